"""What `govbus city` shows: a progress bar while it writes, then how much there is of what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from govbus.ops.city.arrival import bring
from govbus.ops.city.generator import City, write_city


def show_writing(declarations: Path, out: Path, city: City, console: Console) -> None:
    """Write the city with a progress bar, then show its summary."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("people", total=city.people)
        summary = write_city(declarations, out, city, lambda done, of: progress.update(task, completed=done, total=of))
    show_summary(summary, out, console)


def show_summary(summary: dict[str, Any], out: Path, console: Console) -> None:
    """Show rows per dataset, what changes later, and how many faults there are among them."""
    table = Table(title=f"{summary['people']} people, seed {summary['seed']}, as of {summary['as_of']}")
    table.add_column("dataset", no_wrap=True)
    for name in ("rows", f"changed in {len(summary['waves'])} waves", "deleted"):
        table.add_column(name, justify="right")
    for dataset, rows in summary["rows"].items():
        upserts = sum(wave["upserts"].get(dataset, 0) for wave in summary["waves"])
        deletions = sum(wave["deletions"].get(dataset, 0) for wave in summary["waves"])
        table.add_row(dataset, str(rows), str(upserts), str(deletions))
    console.print(table)
    console.print(f"{summary['ledger']['faults']} faults planted: {out / 'ledger.jsonl'}", soft_wrap=True)
    console.print(f"Bring the first export to the departments: govbus city --out {out} --bring 0", soft_wrap=True)


def show_bringing(out: Path, wave: int, drop: Path, url: str, console: Console) -> None:
    """Bring a wave to the departments and show where its files are."""
    put = bring(out, wave, drop, url)
    for path in put:
        console.print(str(path), soft_wrap=True)
    console.print(f"wave {wave}: {len(put)} files in {drop}, tables in Postgres")
