"""Three people of the fictional city, as their source has them and as two subscribers see them.

Chosen by what the later changes did to them: one who left the rows that the first subscriber may see, one who came into
them, and one whose row changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from govbus.catalogue.delivery import PostgresDelivery, parse_delivery, table_name
from govbus.catalogue.model import Catalogue
from govbus.catalogue.source import PostgresSource, parse_source
from govbus.catalogue.views import share_views
from govbus.codec.framing import schema_id_of
from govbus.kafka.pseudonym_keys import read_key
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import Revision
from govbus.kafka.settings import Settings
from govbus.ops.record_text import RecordText
from govbus.ops.topic_scan import TopicScan
from govbus.rules.mask import pseudonym
from govbus.rules.record_key import record_key
from govbus.rules.share import ShareView

DATASET = "public_security.population"
FIRST = "education.school_place"
"""Delivered into Postgres; its rows are those of one part of the city."""
SECOND = "human_resources.disabled_employment"
"""Sees people under pseudonyms only."""

Row = Mapping[str, Any]
Rows = dict[str, Row]


@dataclass(frozen=True, slots=True)
class Example:
    """One person: `story` says what happened; None where a subscriber holds no row."""

    story: str
    key: str
    source: Row | None
    first: Row | None
    second: Row | None


class Examples:
    """Reads rows of `DATASET` where they stand. `of` returns None where the city is not the reference city."""

    def __init__(self, settings: Settings, revision: Revision, scan: TopicScan, first: ShareView, second: ShareView):
        self._settings, self._revision, self._scan = settings, revision, scan
        self.first, self.second = first, second
        self._catalogue = revision.catalogue
        self.dataset = self._catalogue.datasets[DATASET]
        delivery = parse_delivery(self._catalogue.asks[FIRST].delivery)
        source = parse_source(self.dataset.source or {})
        assert isinstance(delivery, PostgresDelivery)
        assert isinstance(source, PostgresSource)
        self._table = (delivery.schema_, table_name(DATASET))
        self._source = source

    @classmethod
    def of(cls, settings: Settings, revision: Revision, scan: TopicScan) -> Examples | None:
        views = _views(revision.catalogue)
        first, second = views.get(f"{FIRST}/{DATASET}"), views.get(f"{SECOND}/{DATASET}")
        return None if first is None or second is None else cls(settings, revision, scan, first, second)

    def held_by_first(self) -> Rows:
        """Return every row that the first subscriber's table holds, by key."""
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(*self._table))
        key = self.dataset.key[0]
        with psycopg.connect(self._settings.need_postgres_url(), row_factory=dict_row) as database:
            return {str(row[key]): row for row in database.execute(query)}

    def told(self, before: Rows) -> list[Example]:
        """Return up to three people by what became of them since *before*."""
        after = self.held_by_first()
        second, both = self._held_by_second(), after.keys() & before.keys()
        stories: list[tuple[str, Iterable[str]]] = [
            ("left the rows that the first subscriber may see: retracted there", before.keys() - after.keys()),
            ("came into the rows that the first subscriber may see", after.keys() - before.keys()),
            ("changed in what the first subscriber sees", (key for key in both if before[key] != after[key])),
            ("nothing happened to this one", (key for key in both if before[key] == after[key])),
        ]
        told: dict[str, Example] = {}
        for story, keys in stories:
            # Someone whom both know shows more.
            chosen = next(iter(sorted(keys, key=lambda key: (self._shown(key) not in second, key))), None)
            if chosen is not None and len(told) < 3:
                shown = second.get(self._shown(chosen))
                told[chosen] = Example(
                    story=story,
                    key=chosen,
                    source=self._at_the_source(chosen),
                    first=after.get(chosen),
                    second=None if shown is None else self._decoded(shown),
                )
        return list(told.values())

    def _shown(self, key: str) -> bytes:
        name = f"{self.second.subscriber}.{self.second.purpose}"
        secret = read_key(self._settings, name, self._revision.pseudonym_keys[name])
        return pseudonym(secret, record_key([key])).encode()

    def _held_by_second(self) -> dict[bytes, bytes]:
        held: dict[bytes, bytes] = {}
        for record in self._scan.records(self._revision.topics.share(self.second.id)):
            if record.key is not None and record.value is not None:
                held[record.key] = record.value
            elif record.key is not None:
                held.pop(record.key, None)
        return held

    def _decoded(self, value: bytes) -> Row | None:
        schema_id = schema_id_of(value)
        schema = None if schema_id is None else Registry(self._settings).schema(schema_id)
        return None if schema is None else RecordText(schema).fields(value)

    def _at_the_source(self, key: str) -> Row | None:
        columns = {path: self._source.columns.get(path, path) for path in self.dataset.fields}
        query = sql.SQL("SELECT {} FROM {} WHERE {} = %s").format(
            sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(sql.Identifier(column), sql.Identifier(path))
                for path, column in columns.items()
            ),
            sql.Identifier(*self._source.table.split(".")),
            sql.Identifier(columns[self.dataset.key[0]]),
        )
        with psycopg.connect(self._settings.need_postgres_url(), row_factory=dict_row) as database:
            return database.execute(query, [key]).fetchone()


def _views(catalogue: Catalogue) -> dict[str, ShareView]:
    return {view.id: view for view in share_views(catalogue) if isinstance(view, ShareView)}
