"""The command `govbus produce`: one department's adapters in one process, with signals, progress and a last word."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from govbus.adapters.run import Produced, produce
from govbus.health import Endpoint, Health, Listen
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics


def run_produce(
    settings: Settings,
    topics: Topics,
    department: str,
    datasets: Sequence[str],
    console: Console,
    *,
    once: bool = False,
    dry_run: bool = False,
    accept_deletions: int | None = None,
    drop: Path | None = None,
) -> bool:
    """Publish in the foreground until SIGTERM or SIGINT, or once; then show what was done.

    Returns whether nothing waits for a person. Raises what `produce` raises.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    health = Health("adapter", "-".join(["produce", department, *datasets]))
    with Endpoint(health, settings.home, Listen.load(os.environ)), _Bars() as bars:
        produced = produce(
            settings,
            topics,
            department,
            datasets or None,
            once=once,
            dry_run=dry_run,
            accept_deletions=accept_deletions,
            drop=drop,
            progress=bars.show,
            stop=stop,
            health=health,
        )
    show_produced(produced, department, console, dry_run=dry_run)
    return produced.clean


def show_produced(produced: Produced, department: str, console: Console, *, dry_run: bool = False) -> None:
    """Show per dataset what was sent and rejected, and everything that waits for a person."""
    title = f"{department}, revision {produced.revision}{': a dry run, nothing was sent' if dry_run else ''}"
    table = Table("dataset", "rows", "upserts", "deletions", "unchanged", "stale", "rejected", title=title)
    for dataset, look in sorted(produced.looks.items()):
        counts = look.counts
        numbers = (
            look.rows,
            counts.upserted,
            counts.deleted,
            counts.unchanged + counts.repeated,
            counts.stale,
            look.rejections,
        )
        table.add_row(dataset.partition(".")[2], *(f"{number:,}" for number in numbers))
    if produced.looks:
        console.print(table)
    else:
        console.print(f"{title}: no source to look at")
    for dataset, look in sorted(produced.looks.items()):
        for reason, rows in sorted(look.rejected.items()):
            console.print(f"{dataset}: {rows:,} rows rejected ({reason})")
        for line in look.said:
            console.print(f"{dataset}: {line}", markup=False)
    for dataset in produced.own_program:
        console.print(f"{dataset}: published by the department's own program (govbus.adapters.Publisher)")


class _Bars:
    """Progress bars on the terminal for work that takes long; nothing where there is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def show(self, doing: str, done: int, of: int) -> None:
        """Show how far something is; *of* 0: nobody knows how much it is."""
        amount = f"{done / of:.0%}" if of else f"{done:,}"
        if doing not in self._tasks:
            self._tasks[doing] = self._progress.add_task(doing, total=of or None, amount=amount)
        self._progress.update(self._tasks[doing], completed=done, total=of or None, amount=amount)

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
