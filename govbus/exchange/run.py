"""Running a worker: in the foreground, or under a supervisor that starts it again under the same id.

Crash-only: a fatal or indefinite Kafka error, a fenced producer or a loop that makes no progress ends the process. The
watchdog ends it from outside the loop: a call that blocks for ever in C gives the interpreter free, so its thread runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

import structlog

from govbus.exchange.worker import BATCH_RECORDS, Worker
from govbus.health import Endpoint, Health, Listen
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics

log = structlog.get_logger()

STALLED_EXIT_CODE = 70
WATCHDOG_SECONDS = 60.0
_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_SECONDS = 30.0
_GRACE_SECONDS = 40.0


def exchange(
    settings: Settings,
    topics: Topics,
    worker_id: str,
    *,
    until_caught_up: bool = False,
    batch_records: int = BATCH_RECORDS,
) -> None:
    """Run one worker in this process until SIGTERM or SIGINT (or, asked so, until it has caught up).

    Raises what ends the worker; the process must then exit with a code other than 0.
    """
    health = Health("exchange", f"exchange-{worker_id}", stall_seconds=WATCHDOG_SECONDS)
    worker = Worker(settings, topics, worker_id, health, batch_records)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: worker.stop())
    threading.Thread(target=_watch, args=(health,), name="govbus-watchdog", daemon=True).start()
    with Endpoint(health, settings.home, Listen.load(os.environ)):
        worker.run(until_caught_up=until_caught_up)


def _watch(health: Health) -> None:
    while True:
        time.sleep(1.0)
        alive, line = health.alive()
        if not alive:
            log.critical("the loop is stuck: this process ends and its supervisor starts it again", reason=line)
            os._exit(STALLED_EXIT_CODE)


class Supervisor:
    """Keeps one worker process running: starts it again, under the same arguments, whenever it ends with an error."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def run(self) -> int:
        """Return 0 once the worker ended well, or was asked to stop and did."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._stop())
        failures = 0
        while not self._stopping:
            began = time.monotonic()
            self._child = subprocess.Popen(self._command, start_new_session=False)
            if self._stopping:
                # Asked to stop between the question above and now, when there was nobody to tell.
                self._stop()
            code = self._child.wait()
            if code == 0 or self._stopping:
                return 0
            failures = 0 if time.monotonic() - began > _STEADY_SECONDS else failures + 1
            pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS)) - 1] if failures else 0.0
            log.error("the worker ended and is started again", exit_code=code, pause_seconds=pause)
            time.sleep(pause)
        return 0

    def _stop(self) -> None:
        self._stopping = True
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            threading.Thread(target=self._kill_later, daemon=True).start()

    def _kill_later(self) -> None:
        assert self._child is not None
        try:
            self._child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
