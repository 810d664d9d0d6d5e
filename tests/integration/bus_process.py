"""A govbus command as a process of its own: started, looked at, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from integration.exchange_bus import ExchangeBus


def eventually(condition: Callable[[], object], seconds: float = 60, pause_seconds: float = 0.05) -> None:
    """Wait until *condition* holds. Fails when it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(pause_seconds)


class BusProcess:
    """One govbus command as a process of its own, with what it starts itself. Ended with the context, at the latest."""

    def __init__(self, bus: ExchangeBus, *words: str, environment: Mapping[str, str] | None = None) -> None:
        folder = bus.settings.home / "test-output"
        folder.mkdir(parents=True, exist_ok=True)
        self.output = folder / f"{words[0]}-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "govbus", "--city", str(bus.settings.city_dir), *words]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env=bus.environment() | dict(environment or {}),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """What it printed and logged."""
        return self.output.read_text()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 90) -> int:
        """Return its exit code once it has ended by itself."""
        return self.process.wait(seconds)

    def wait_until_says(self, text: str, seconds: float = 60) -> None:
        eventually(lambda: text in self.said or not self.running, seconds)
        assert text in self.said, self.said

    def kill(self) -> None:
        """End it as a power cut would. Fails if it had ended before."""
        assert self.running, f"it ended by itself:\n{self.said}"
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def __enter__(self) -> BusProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.kill()


@contextmanager
def running(bus: ExchangeBus, *words: str, **more: Any) -> Iterator[BusProcess]:
    """Yield a running govbus command."""
    with BusProcess(bus, *words, **more) as process:
        yield process
