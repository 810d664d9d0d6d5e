"""Finding out that a worker's consumer has fallen asleep on a partition: the process then ends and is started anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from confluent_kafka import Consumer, IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from govbus.errors import Unavailable
from govbus.kafka import clients
from govbus.kafka.offsets import Partition, log_offsets
from govbus.kafka.settings import Settings
from govbus.kafka.standstill import Standstill

STALLED_SECONDS = 20.0
RESTORE_STALLED_SECONDS = 40.0
"""A restore waits for transactions that others left open: ten seconds until the brokers end one, and some for that."""
ANSWER_SECONDS = 2.0
PROBE_SECONDS = 10.0


class Stalls:
    """Looks, every few seconds, whether every live input and every clock of a worker goes on.

    Raises `Unavailable` where one does not, though the brokers have more of it: the process must then end.
    """

    def __init__(
        self, settings: Settings, admin: AdminClient, group: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._admin = admin
        self._group = group
        self._monotonic = monotonic
        self._inputs = Standstill(STALLED_SECONDS, monotonic)
        self._clocks = Standstill(STALLED_SECONDS, monotonic)
        self._nothing_there: dict[Partition, int] = {}
        """Inputs whose log ends in what no reader gets (marks of transactions), with that end."""
        self._restore: tuple[object, float] = (None, 0.0)
        self.idle = False
        """Whether the consumer had nothing to hand over when it was asked last; the worker says so."""

    def look(self, offsets: Mapping[Partition, int], ticks: Mapping[Partition, int], *, silent: bool) -> None:
        """Judge live inputs by *offsets* (the next to read) and clocks by how many *ticks* were heard of each.

        *silent*: whether the brokers are, to all appearances, away.
        """
        if silent:
            self._inputs.forget()
            self._clocks.forget()
            return
        # There is always another tick to come.
        for place in self._clocks.look(ticks, {each: heard + 1 for each, heard in ticks.items()}, idle=self.idle):
            raise Unavailable(f"{place[0]} partition {place[1]} is not read any more: its clock stands still")
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        try:
            found = log_offsets(
                self._admin, list(offsets), latest, IsolationLevel.READ_COMMITTED, timeout_seconds=ANSWER_SECONDS
            )
        except Unavailable:
            self._inputs.forget()
            return
        ends = {place: at.offset for place, at in found.items() if at.offset != self._nothing_there.get(place)}
        for place in self._inputs.look(offsets, ends, idle=self.idle):
            if self._is_readable(place, offsets[place]):
                raise Unavailable(f"{place[0]} partition {place[1]} is not read any more, though there are records")
            self._nothing_there[place] = ends[place]

    def restoring(self, state: object) -> None:
        """Judge a restore by *state*, which must be another one as soon as it moves."""
        now = self._monotonic()
        if state != self._restore[0]:
            self._restore = state, now
        elif now - self._restore[1] > RESTORE_STALLED_SECONDS:
            raise Unavailable(f"the restore has not moved for {RESTORE_STALLED_SECONDS:.0f} s")

    def _is_readable(self, place: Partition, offset: int) -> bool:
        """Return whether another consumer gets a record of *place* at or after *offset*."""
        probe: Consumer = clients.consumer(self._settings, f"{self._group}.probe", enable_partition_eof=True)
        try:
            probe.assign([TopicPartition(*place, offset)])
            message = probe.poll(PROBE_SECONDS)
        finally:
            probe.close()
        if message is None:
            return False
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            return False
        raise clients.translate(error, f"looking into {place[0]}")
