"""What one ask is to receive, as the latest applied revision says: topics, their shapes, and what is withheld."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from govbus.catalogue.delivery import Delivery, parse_delivery, table_name
from govbus.catalogue.model import Ask, seconds
from govbus.catalogue.views import share_views
from govbus.delivery.shape import Shape, shape_of
from govbus.errors import GovbusError, Unavailable
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import Revision
from govbus.rules.share import ShareView, Withheld


class RegistryUnavailable(Unavailable):
    """The registry does not answer, or does not know a schema that it must once have known."""


class UnknownAsk(GovbusError):
    """The applied catalogue has no such ask; the text lists those it has."""


@dataclass(frozen=True)
class Delivered:
    """One dataset of an ask that has a grant: its view, its topic, and the schema its records have from now on."""

    view: ShareView
    topic: str
    schema_id: int
    schema: dict[str, Any]

    @property
    def dataset(self) -> str:
        return self.view.dataset

    @cached_property
    def name(self) -> str:
        """``DEPARTMENT_DATASET``: what the table or file is called."""
        return table_name(self.dataset)

    @cached_property
    def shape(self) -> Shape:
        return shape_of(self.schema, self.view.key, key_in_clear=self.view.key_in_clear)


@dataclass(frozen=True)
class Plan:
    """An ask as it was last applied. `withheld` are its datasets of which nothing leaves, with the reason."""

    revision: int
    ask: Ask
    delivered: tuple[Delivered, ...]
    withheld: tuple[Withheld, ...]
    deletions_kept: timedelta

    @property
    def delivery(self) -> Delivery:
        return parse_delivery(self.ask.delivery)


def plan_of(revision: Revision, registry: Registry, subscriber: str, ask: str) -> Plan:
    """Return what *ask* of *subscriber* receives under *revision*.

    Raises `UnknownAsk`, and `RegistryUnavailable` while the schemas of its views cannot be had.
    """
    catalogue = revision.catalogue
    found = catalogue.asks.get(f"{subscriber}.{ask}")
    if found is None:
        known = ", ".join(name.replace(".", " ") for name in sorted(catalogue.asks)) or "none"
        raise UnknownAsk(
            f"revision {revision.number} has no ask {ask} of subscriber {subscriber}; it has: {known}. "
            "Declare it under consumers/, then `govbus apply`"
        )
    delivered: list[Delivered] = []
    withheld: list[Withheld] = []
    for view in share_views(catalogue):
        if (view.subscriber, view.ask) != (subscriber, ask):
            continue
        if isinstance(view, Withheld):
            withheld.append(view)
            continue
        schema_id = revision.view_schema_ids[view.id]
        topic = revision.topics.share(view.id)
        delivered.append(Delivered(view, topic, schema_id, known_schema(registry)(schema_id)))
    deletions_kept = timedelta(seconds=seconds(catalogue.city.delete_retention))
    return Plan(revision.number, found, tuple(delivered), tuple(withheld), deletions_kept)


def known_schema(registry: Registry) -> Callable[[int], dict[str, Any]]:
    """Return a look-up in *registry* that raises `RegistryUnavailable` where there is no answer to be had."""

    def schema_of(schema_id: int) -> dict[str, Any]:
        try:
            schema = registry.schema(schema_id)
        except Unavailable as error:
            raise RegistryUnavailable(str(error)) from error
        if schema is None:
            raise RegistryUnavailable(
                f"the registry does not know schema {schema_id}, which share records are written with: was it restored "
                "from an old backup?"
            )
        return schema

    return schema_of
