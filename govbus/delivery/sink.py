"""What every sink is to the loop that feeds it: it says where to read on, and writes a batch whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from govbus.delivery.plan import Plan
from govbus.delivery.position import ReloadReason, TopicLog
from govbus.delivery.share import Batch, Limits, Partition

SchemaOf = Callable[[int], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where to read on; which topics are read from their start, and why; rows already removed, by dataset.

    `since`: partitions of which a batch shall tell apart what stands from this offset on (`Batch.recent`).
    """

    positions: Mapping[Partition, int]
    reloads: Mapping[str, ReloadReason] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    since: Mapping[Partition, int] = field(default_factory=dict)


@dataclass(slots=True)
class Written:
    """What one batch did to one dataset: rows upserted and deleted; `swept` rows were not met in a finished reload.

    `undeliverable` counts rows that the store cannot hold at all (a key longer than its index takes).
    """

    upserts: int = 0
    deletes: int = 0
    swept: int = 0
    undeliverable: int = 0


P = TypeVar("P")
"""A prepared batch; what it is, is the sink's own business."""


class Sink(Protocol[P]):
    """A subscriber's store. One instance serves one plan; whatever goes wrong, the loop closes it and opens another.

    `begin` and `write` raise `Fenced` if another sink of the same ask has moved the positions, `Unavailable` where
    waiting may help.
    """

    limits: Limits

    def begin(self, plan: Plan, logs: Mapping[str, TopicLog], schema_of: SchemaOf) -> Beginning:
        """Prepare the store for *plan* and return where to read on in the topics of *logs* (those that exist)."""

    def prepare(self, batch: Batch) -> P:
        """Return *batch* as the store will take it. Touches nothing, so it may run while an earlier one is written."""

    def write(self, prepared: P) -> Mapping[str, Written]:
        """Write a batch and its positions, both or neither; return what was done per dataset."""

    @property
    def reloading(self) -> bool:
        """Whether a reload is still running: rows that will be swept may still be there."""

    @property
    def asked_anew(self) -> bool:
        """Whether somebody asked for something that the sink does when it begins."""

    def close(self) -> None:
        """Let go of the store."""
