"""Schemas that a record arrives under and the revision does not list: asked of the registry, by the worker."""

from __future__ import annotations

import time
from collections.abc import Callable

from govbus import metrics
from govbus.exchange.compiled import CompiledDataset
from govbus.exchange.waiting import Waiting
from govbus.kafka.registry import Registry
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.rules.reject import RejectReason

ANSWER_SECONDS = 3.0
"""How long the registry may take: both answers that are needed must be there before an open transaction is too old."""
REFUSED_SECONDS = 5.0
"""How long an id that the registry refused is refused without asking again."""


class LateSchemas:
    """Tells what becomes of records under a schema id that was registered since, is foreign, or is unknown.

    *in_transaction*: whether a transaction is open now. The brokers end one that is long open, so then `ask` raises
    `Unavailable` where the registry is away; otherwise it waits.
    """

    def __init__(
        self, settings: Settings, topics: Topics, waiting: Waiting, in_transaction: Callable[[], bool]
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._waiting = waiting
        self._in_transaction = in_transaction
        self._registry: Registry | None = None
        self._refused: dict[tuple[str, int], tuple[RejectReason, float]] = {}

    def ask(self, dataset: CompiledDataset, schema_id: int) -> RejectReason | None:
        """Return why records under *schema_id* are refused, or None once *dataset* can read them."""
        refused = self._refused.get((dataset.id, schema_id))
        if refused is not None and time.monotonic() < refused[1]:
            return refused[0]
        if self._in_transaction():
            reason = self._asked(dataset, schema_id)
        else:
            reason = self._waiting.until_done(metrics.Waiting.REGISTRY, lambda: self._asked(dataset, schema_id))
        if reason is not None:
            self._refused[dataset.id, schema_id] = reason, time.monotonic() + REFUSED_SECONDS
        return reason

    def _asked(self, dataset: CompiledDataset, schema_id: int) -> RejectReason | None:
        if self._registry is None:
            self._registry = Registry(self._settings, timeout_seconds=ANSWER_SECONDS, retries=0)
        registry = self._registry
        schema = registry.schema(schema_id)
        if schema is None:
            return RejectReason.UNKNOWN_SCHEMA
        if not registry.is_registered(self._topics.subject(dataset.raw_topic), schema):
            return RejectReason.FOREIGN_SCHEMA
        dataset.add_writer(schema_id, schema)
        return None
