"""What a person sees while the demo runs: one line per step, a bar while it takes long, the time it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn


class Step:
    """One step that is being done."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self.result = ""

    def progress(self, done: float, of: float, what: str = "") -> None:
        """Show that *done* of *of* is done, and *what* is being done now."""
        self._bar.update(self._task, completed=done, total=of, what=what)

    def say(self, what: str) -> None:
        """Show what is being done now."""
        self._bar.update(self._task, what=what)


class Steps:
    """The steps of the demo, numbered by the time since it began."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show *title* with a moving bar while the step lasts, then as one line with `Step.result`."""
        began = self.seconds
        if not self._console.is_terminal:
            # Where nothing can move, the line must stand before the wait and not after it.
            self._line(began, f"{title} ...")
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(20),
            TextColumn("[dim]{task.fields[what]}"),
        )
        with Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal) as bar:
            step = Step(bar, bar.add_task(title, total=None, what=""))
            yield step
        took = self.seconds - began
        self._line(self.seconds, f"[green]✓[/] {title}" + (f": {step.result}" if step.result else ""), f"{took:.1f} s")

    def _line(self, at: float, text: str, took: str = "") -> None:
        self._console.print(f"[dim]{at:5.1f} s[/]  {text}  [dim]{took}[/]", highlight=False, soft_wrap=True)
