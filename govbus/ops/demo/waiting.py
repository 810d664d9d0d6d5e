"""Waiting until the bus is at rest: everything published is exchanged, everything shared is delivered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from govbus.catalogue.model import Catalogue
from govbus.catalogue.views import share_views
from govbus.errors import Unavailable
from govbus.health import processes
from govbus.kafka.offsets import Partition
from govbus.kafka.topics import Topics
from govbus.ops.demo.commands import Commands
from govbus.ops.demo.steps import Step
from govbus.ops.scrape import readiness
from govbus.ops.topic_scan import TopicScan
from govbus.rules.share import ShareView

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 300.0
"""Without any movement for so long, something is wrong."""


class Rest:
    """Watches one city's topics and groups."""

    def __init__(self, scan: TopicScan, topics: Topics, catalogue: Catalogue, commands: Commands) -> None:
        self._scan, self._topics, self._commands = scan, topics, commands
        self._raws = [topics.raw(dataset) for dataset in catalogue.datasets]
        self._shares: dict[str, list[str]] = {}
        for view in share_views(catalogue):
            ask = catalogue.asks[f"{view.subscriber}.{view.ask}"]
            # Sinks into files hold records back for half a minute, to write fewer files.
            if isinstance(view, ShareView) and ask.delivery["kind"] == "postgres":
                self._shares.setdefault(ask.id, []).append(topics.share(view.id))

    def worker_ready(self, step: Step, home: Path) -> None:
        """Return once a worker on this machine is assigned, restored and at the applied revision."""
        began = time.monotonic()
        while True:
            says = [readiness(each) for each in processes(home) if each.component == "exchange"]
            step.say(f"the worker is {says[0]}" if says else "")
            if "ready" in says:
                return
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise Unavailable(f"the worker did not become ready in {PATIENCE_SECONDS:.0f} s")
            self._commands.check_running()
            time.sleep(LOOK_SECONDS)

    def exchanged(self, step: Step) -> int:
        """Return, once a worker has exchanged all that is published now, how many records that were in all."""
        goal = self._ends(self._raws)
        self._wait(
            step, "records exchanged", goal, lambda: self._scan.committed(self._topics.exchange_group, self._raws)
        )
        return sum(goal.values())

    def delivered(self, step: Step) -> None:
        """Return once every running sink has delivered all that is shared now."""
        goal = self._ends(topic for topics in self._shares.values() for topic in topics)
        self._wait(step, "offsets delivered", goal, self._delivered)

    def _delivered(self) -> dict[Partition, int]:
        found: dict[Partition, int] = {}
        for ask, topics in self._shares.items():
            found |= self._scan.committed(self._topics.delivery_group(ask), topics)
        return found

    def _ends(self, topics: Iterable[str]) -> dict[Partition, int]:
        return {each: extent.end for each, extent in self._scan.extents(topics).items()}

    def _wait(
        self, step: Step, what: str, goal: dict[Partition, int], reached: Callable[[], dict[Partition, int]]
    ) -> None:
        total, before, moved_at = sum(goal.values()), -1, time.monotonic()
        while True:
            now = reached()
            done = sum(min(end, now.get(each, 0)) for each, end in goal.items())
            step.progress(done, total, f"{done:,} of {total:,} {what}")
            if done == total:
                return
            if done != before:
                before, moved_at = done, time.monotonic()
            elif time.monotonic() - moved_at > PATIENCE_SECONDS:
                raise Unavailable(f"only {done:,} of {total:,} {what}, and nothing moves")
            self._commands.check_running()
            time.sleep(LOOK_SECONDS)
