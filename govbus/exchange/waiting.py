"""What a worker waits for: said in the log, shown as a metric, and given up when the worker is asked to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from govbus import metrics
from govbus.errors import Unavailable
from govbus.health import Health

log = structlog.get_logger()
T = TypeVar("T")

PAUSE_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""Ticks are a second apart, so such a silence of the brokers is no chance."""

_SAID = {
    metrics.Waiting.BROKER: "waiting for the brokers",
    metrics.Waiting.REGISTRY: "waiting for the schema registry",
}


class Stopped(Exception):
    """The worker was asked to stop while it waited: what waited is left as it was."""


class Waiting:
    """The worker's patience, and whether it is asked to stop."""

    def __init__(self, health: Health, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._health = health
        self._monotonic = monotonic
        self._stop = threading.Event()
        self._heard_at = monotonic()
        self.brokers_silent = False
        """Whether nothing is heard from the brokers, who should at least send this worker's own ticks back."""

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the worker to stop; safe in a signal handler and from other threads."""
        self._stop.set()

    def pause(self, what: metrics.Waiting, error: Unavailable) -> None:
        """Wait a moment for what is away. Raises `Stopped` where the worker is asked to stop."""
        self._health.wait_for(what)
        self._health.beat()
        log.warning(_SAID[what], reason=str(error))
        if self._stop.wait(PAUSE_SECONDS):
            raise Stopped

    def until_done(self, what: metrics.Waiting, doing: Callable[[], T]) -> T:
        """Return what *doing* returns, trying again as long as it is `Unavailable`."""
        while True:
            self._health.beat()
            try:
                done = doing()
            except Unavailable as error:
                self.pause(what, error)
                continue
            self._health.wait_for(None)
            return done

    # --- silence ------------------------------------------------------------------------------------------------------

    def heard(self) -> None:
        """Note that the brokers sent something, or could not have."""
        self._heard_at = self._monotonic()
        if self.brokers_silent:
            self.brokers_silent = False
            self._health.wait_for(None)
            log.info("the brokers answer again")

    def listen(self) -> None:
        """Judge, once per round of the loop, whether the brokers are silent. The client library goes on trying."""
        if not self.brokers_silent and self._monotonic() - self._heard_at > SILENT_SECONDS:
            self.brokers_silent = True
            log.warning(_SAID[metrics.Waiting.BROKER], reason=f"no tick came back for {SILENT_SECONDS:.0f} s")
        if self.brokers_silent:
            self._health.wait_for(metrics.Waiting.BROKER)
