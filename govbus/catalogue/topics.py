"""The names of every topic, group and transaction id of a city, in one place.

Department comes first after the room, so that one prefixed ACL covers one party; a trailing dot in a prefix keeps
``tax.`` from matching ``taxi.``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topics:
    """Names under the city's `topic_prefix`."""

    prefix: str = ""

    def raw(self, dataset: str) -> str:
        """What a department said: ``raw.DEPARTMENT.DATASET``."""
        return f"{self.prefix}raw.{dataset}"

    def current(self, dataset: str) -> str:
        """What the bus accepted, newest per key: ``current.DEPARTMENT.DATASET``."""
        return f"{self.prefix}current.{dataset}"

    def share(self, view: str) -> str:
        """What a subscriber sees; *view* is `ShareView.id`: ``share.SUBSCRIBER.ASK.DEPARTMENT.DATASET``."""
        ask, _, dataset = view.partition("/")
        return f"{self.prefix}share.{ask}.{dataset}"

    def golden(self, dataset: str) -> str:
        """The one authoritative value of every element, per entity; *dataset* is ``golden.ENTITY``."""
        return f"{self.prefix}{dataset}"

    @property
    def discrepancy(self) -> str:
        """Which reports differ from the authority: ``discrepancy``."""
        return f"{self.prefix}discrepancy"

    @property
    def incident(self) -> str:
        """Which datasets differ from an authority in mass: ``incident``."""
        return f"{self.prefix}incident"

    def reject(self, department: str) -> str:
        """What a department sent and the bus could not accept: ``reject.DEPARTMENT``."""
        return f"{self.prefix}reject.{department}"

    @property
    def catalogue(self) -> str:
        return f"{self.prefix}bus.catalogue"

    @property
    def progress(self) -> str:
        return f"{self.prefix}bus.progress"

    @property
    def tick(self) -> str:
        return f"{self.prefix}bus.tick"

    @property
    def exchange_group(self) -> str:
        return f"{self.prefix}govbus.exchange"

    def delivery_group(self, ask: str) -> str:
        return f"{self.prefix}govbus.deliver.{ask}"

    def subject(self, topic: str) -> str:
        """The registry subject of a topic's values (TopicNameStrategy)."""
        return f"{topic}-value"
