"""The real commands of govbus, run as processes of their own, as departments and subscribers would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from govbus.errors import GovbusError
from govbus.kafka.settings import Settings
from govbus.ops.demo.folder import end_all
from govbus.ops.stack.process import ProcessMark, spawn

_LAST_LINES = 15


class DemoFailed(GovbusError):
    """A command of the demo failed; the text holds its last lines and where the rest is."""


class Commands:
    """Runs `govbus` with the demo's settings; what each command prints goes to a file under *logs*."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self._logs = logs
        self._city = settings.city_dir
        self._env = {**os.environ, "GOVBUS_HOME": str(settings.home), "GOVBUS_CITY": str(settings.city_dir)}
        self.running: dict[str, ProcessMark] = {}

    def run(self, *words: str, may_fail_with: Sequence[int] = ()) -> str:
        """Run ``govbus WORDS`` to its end and return what it printed. Raises `DemoFailed` where it fails."""
        log = self._logs / f"{'-'.join(word.strip('-') for word in words if '/' not in word)}.log"
        done = subprocess.run(
            self._argv(words), cwd=self._city, env=self._env, capture_output=True, text=True, check=False
        )
        log.write_text(done.stdout + done.stderr)
        if done.returncode not in (0, *may_fail_with):
            raise DemoFailed(self._failure(words, done.returncode, log))
        return done.stdout

    def run_all(self, lines: Iterable[Sequence[str]], done: Callable[[Sequence[str]], None]) -> None:
        """Run several commands, as many at a time as there are processors; *done* hears of each that ended."""
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            # Exit code 1 of `produce`: something waits for a person; the demo's table shows it.
            futures = {pool.submit(self.run, *words, may_fail_with=(1,)): words for words in lines}
            for future in as_completed(futures):
                future.result()
                done(futures[future])

    def start(self, *words: str) -> None:
        """Start ``govbus WORDS`` and leave it running."""
        name = "-".join(word.strip("-") for word in words)
        self.running[name] = spawn(self._argv(words), cwd=self._city, output=self._logs / f"{name}.log", env=self._env)

    def check_running(self) -> None:
        """Raise `DemoFailed` if a command that should run has ended."""
        for name, mark in self.running.items():
            if not mark.alive():
                raise DemoFailed(self._failure(name.split("-"), None, self._logs / f"{name}.log"))

    def stop(self) -> None:
        """End everything that was started."""
        end_all(list(self.running.values()))
        self.running.clear()

    @staticmethod
    def _argv(words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "govbus", *words]

    @staticmethod
    def _failure(words: Sequence[str], code: int | None, log: Path) -> str:
        how = "has ended" if code is None else f"failed with exit code {code}"
        last = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
        return f"`govbus {' '.join(words)}` {how}; its last lines (all of them: {log}):\n{last}"
