"""The demo's data folder: made by the demo, removed by the next demo, and nobody else's data ever touched."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from govbus.errors import GovbusError
from govbus.ops.stack import Stack
from govbus.ops.stack.process import ProcessMark

MARKER = "demo.json"
"""Says that the folder is the demo's own, and which processes a demo left running in it."""


class NotTheDemos(GovbusError):
    """The data folder holds somebody's data; the text says how to give the demo one of its own."""


class DemoFolder:
    """The data folder *home* as long as it is the demo's."""

    def __init__(self, home: Path, stack: Stack) -> None:
        self.home = home
        self._stack = stack
        self._marker = home / MARKER

    @property
    def logs(self) -> Path:
        return self.home / "demo-logs"

    def begin(self, report: Callable[[str], None]) -> None:
        """Make the folder an empty one of the demo's own.

        What an earlier demo left, running or not, is ended and removed. Raises `NotTheDemos` where the folder holds
        anything that no demo made.
        """
        if self._marker.is_file():
            report("removing what the earlier demo left")
            self.end()
            self._stack.down(purge=True)
            for each in self.home.iterdir():
                if each.is_dir():
                    shutil.rmtree(each)
                else:
                    each.unlink()
        elif self.home.is_dir() and any(self.home.iterdir()):
            raise NotTheDemos(
                f"{self.home} holds data that no demo made: set GOVBUS_HOME to a folder for the demo alone, or remove "
                f"{self.home} if you no longer need it (`govbus stack down` first)"
            )
        self.home.mkdir(parents=True, exist_ok=True)
        self.note([])
        self.logs.mkdir()

    def note(self, running: list[ProcessMark]) -> None:
        """Write down which processes run on behalf of the demo."""
        self._marker.write_text(json.dumps({"processes": [asdict(mark) for mark in running]}))

    def end(self) -> int:
        """End the processes that the demo left running; return how many there were."""
        if not self._marker.is_file():
            return 0
        marks = [ProcessMark(**each) for each in json.loads(self._marker.read_text())["processes"]]
        running = [mark for mark in marks if mark.alive()]
        end_all(running)
        self.note([])
        return len(running)


def end_all(marks: list[ProcessMark]) -> None:
    """Ask all of *marks* to end at once, then wait for each; one that does not end is killed."""
    for mark in marks:
        mark.send(signal.SIGTERM)
    for mark in marks:
        mark.end()
