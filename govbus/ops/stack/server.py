"""One server of the local stack: what is the same for the broker, the registry and the database."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from govbus.ops.stack.errors import StackError
from govbus.ops.stack.ports import require_free
from govbus.ops.stack.process import ProcessMark, spawn
from govbus.ops.stack.record import StackRecord

_TAIL_BYTES = 2000


class Server(ABC):
    """A real server on the loopback address, with its own folder, fixed ports and one process.

    It keeps its ports over `kill` and `start`, so clients find it again. Everything it knows about its process is
    in the stack's record on disk: another process may start, kill or await the same server.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    stop_signal: ClassVar[int] = signal.SIGTERM
    ready_timeout_seconds: ClassVar[float] = 90.0

    def __init__(self, record: StackRecord) -> None:
        self._record = record
        self.folder: Path = record.folder / self.name

    @abstractmethod
    def address(self) -> str:
        """Return what a client connects to, once the ports are chosen."""

    @abstractmethod
    def port_names(self) -> Sequence[str]:
        """Return the names of the ports it listens on; the first is the one that clients use."""

    @abstractmethod
    def prepare(self) -> None:
        """Make data folder and configuration, as far as they are not there yet."""

    @abstractmethod
    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """Return the command line and the whole environment of the process."""

    @abstractmethod
    def answers(self) -> bool:
        """Return whether it serves clients now; waits two seconds at most."""

    @property
    def log(self) -> Path:
        """What the process itself printed since its last start."""
        return self.folder / "output.log"

    @property
    def port(self) -> int:
        """The port that clients use."""
        return self._record.port(self.port_names()[0])

    @property
    def mark(self) -> ProcessMark | None:
        """The mark of its process, or None where it does not run."""
        mark = self._record.mark(self.name)
        return mark if mark is not None and mark.alive() else None

    @property
    def pid(self) -> int | None:
        """The pid of its process, or None where it does not run."""
        mark = self.mark
        return mark.pid if mark else None

    def start(self) -> None:
        """Start the process unless it runs; returns at once (see `wait_ready`).

        Raises StackError where one of its ports is taken by somebody else.
        """
        if self.mark is not None:
            return
        for name in self.port_names():
            require_free(self._record.port(name), self.title)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        argv, env = self.command()
        self._record.set_mark(self.name, spawn(argv, cwd=self.folder, output=self.log, env=env))

    def wait_ready(self, timeout_seconds: float | None = None) -> None:
        """Return as soon as it serves clients; StackError with the end of its log if it dies or takes too long."""
        limit = self.ready_timeout_seconds if timeout_seconds is None else timeout_seconds
        deadline = time.monotonic() + limit
        while True:
            # The order matters: a process that dies after it has answered is noticed by the next caller.
            alive = self.mark is not None
            if alive and self.answers():
                return
            if not alive:
                raise StackError(f"{self.title} ended before it was ready. {self._why()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.title} was not ready after {limit:.0f} s. {self._why()}")
            time.sleep(0.1)

    def stop(self, grace_seconds: float = 30.0) -> None:
        """End the process in its own orderly way, or the hard way after *grace_seconds*."""
        mark = self.mark
        if mark is not None:
            mark.end(self.stop_signal, grace_seconds)
        self._record.forget_mark(self.name)

    def kill(self) -> None:
        """Kill the process as a power cut would (SIGKILL) and return when it is gone; its data stays."""
        mark = self.mark
        if mark is not None:
            mark.end(signal.SIGKILL, 10.0)

    def _why(self) -> str:
        try:
            tail = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
        except FileNotFoundError:
            tail = ""
        said = f"It said:\n{tail}\n" if tail else ""
        return (
            f"{said}Its logs are in {self.folder}; if its data is beyond repair, `govbus stack down --purge` removes it"
        )
