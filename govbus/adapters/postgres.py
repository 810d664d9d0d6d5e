"""The Postgres adapter: a table read in whole once, then by its watermark column; deletions by a sweep over the keys.

What is guaranteed: every committed state of a row that is still there at the next look arrives, except one: a row whose
watermark lies further back than both the overlap and the start of every transaction that ran at the last look. The
start of running transactions is seen of all sessions where this user may read them (role pg_read_all_stats), and of
its own otherwise; then only the overlap protects. Short-lived states between two looks are not seen, and a deletion is
seen by the next sweep. An outbox (`govbus.adapters.outbox`) has none of these limits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import structlog
from psycopg import sql

from govbus import metrics
from govbus.adapters.decision import Change
from govbus.adapters.feed import BATCH_RECORDS, Feed
from govbus.adapters.look import Look, Progress
from govbus.adapters.postgres_source import Table, connect, describe, meaning, micros
from govbus.adapters.rejected_rows import RejectedLog
from govbus.adapters.sweep import sweep
from govbus.adapters.values import InvalidRecord, RecordShape
from govbus.catalogue.model import Dataset
from govbus.catalogue.source import PostgresSource
from govbus.errors import SettingsError

log = structlog.get_logger()

_MOST_MISSED = 10_000
_KEYS_PER_QUERY = 1_000
Connection = psycopg.Connection[tuple[object, ...]]


class PostgresAdapter:
    """The table of one dataset. *open_feed* opens its way onto the bus, anew after every error."""

    kind = "postgres"

    def __init__(
        self,
        dataset: Dataset,
        source: PostgresSource,
        url: str,
        open_feed: Callable[[], Feed],
        *,
        accept_deletions: int | None = None,
        progress: Progress = lambda doing, done, of: None,
    ) -> None:
        self.dataset = dataset.id
        self.every_seconds = float(source.poll_seconds)
        self._declared, self._source, self._url = dataset, source, url
        self._open_feed = open_feed
        self._accepted = accept_deletions or 0
        self._progress = progress
        self._feed: Feed | None = None
        self._connection: Connection | None = None
        self._reader: _TableReader | None = None
        self._rejected: RejectedLog | None = None
        self._first = True

    def let_go(self) -> None:
        """Close connection and journal; what was in flight is sent again by the next look."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._reader = None

    def look(self) -> Look:
        """Read what changed, and every `sweep` what is gone."""
        look = Look(self.dataset, self.kind)
        if self._feed is None:
            self._feed = self._open_feed()
        feed = self._feed
        if self._rejected is None:
            self._rejected = RejectedLog(feed.link.settings.home, self.dataset, write=not feed.dry_run)
        try:
            if self._connection is None or self._reader is None:
                self._connection = connect(self._url, f"govbus produce {self.dataset}")
                self._reader = _TableReader(self._declared, self._source, feed, self._connection)
            table = _TableLook(self._source, feed, self._reader, self._rejected, look, self._progress)
            table.run(self._accepted, sweep_now=self._first)
        except psycopg.Error as error:
            raise meaning(error) from error
        self._first = False
        feed.show_journal()
        if table.swept:
            # What a person allowed was for the deletions he was shown, not for those of all times.
            self._accepted = 0
            metrics.ADAPTER_HELD_DELETIONS.labels(dataset=self.dataset).set(look.held)
        return look


class _TableReader:
    """The statements that read one table as texts."""

    def __init__(self, dataset: Dataset, source: PostgresSource, feed: Feed, connection: Connection) -> None:
        self.connection = connection
        self.shape = RecordShape(
            dataset, feed.schema, feed.link.revision.catalogue.vocabulary, columns=source.columns, texts=True
        )
        self.table: Table = describe(connection, source.table)
        self.identity = f"{self.table.name} {self.table.oid}"
        self._moment = self.table.moment(source.watermark)
        columns = [column for _, column in self.shape.texts_columns]
        if missing := sorted(set(columns) - self.table.columns.keys()):
            raise SettingsError(f"{source.table} has no column {', '.join(missing)}: check `columns` of {dataset.id}")
        self.columns = columns
        self._expressions = [
            sql.SQL("to_json({})").format(sql.Identifier(column))
            if path in self.shape.composite
            else sql.Identifier(column)
            for path, column in self.shape.texts_columns
        ]
        places = {path: place for place, (path, _) in enumerate(self.shape.texts_columns)}
        self._key_places = [places[path] for path in dataset.key]
        self._key_columns = [columns[place] for place in self._key_places]

    def bound(self) -> tuple[int, bool]:
        """Return, in microseconds, a time before which no change can still be uncommitted, and whether that is known.

        It is the start of the oldest transaction that runs in this database. It must be asked for before reading: what
        is committed later then lies behind it. Not known: sessions of other users are hidden from this one, or this is
        a standby, where the writers are not.
        """
        oldest = sql.SQL(
            "least(clock_timestamp(), min(xact_start), (SELECT min(prepared) FROM pg_prepared_xacts"
            " WHERE database = current_database()))"
        )
        query = sql.SQL(
            "SELECT {}, count(*) FILTER (WHERE query = '<insufficient privilege>'), pg_is_in_recovery()"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).format(micros(oldest))
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return int(str(row[0])), row[1] == 0 and not row[2]

    def rows(self, since_micros: int | None) -> Iterator[tuple[Any, ...]]:
        """Yield the texts of every row, or of those with a watermark from *since_micros* on; last its microseconds."""
        where: sql.Composable = sql.SQL("")
        if since_micros is not None:
            where = sql.SQL(" WHERE {} >= to_timestamp({}::numeric / 1000000)").format(
                self._moment, sql.Literal(since_micros)
            )
        return self._copy([*self._expressions, micros(self._moment)], where)

    def rows_of(self, keys: Sequence[Sequence[str]]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows with these texts in their key columns."""
        columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in self._key_columns)
        values = sql.SQL(", ").join(sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, each))) for each in keys)
        where = sql.SQL(" WHERE ({}) IN ({})").format(columns, values)
        return self._copy([*self._expressions, micros(self._moment)], where)

    def keys(self) -> Iterator[tuple[Any, ...]]:
        """Yield the texts of the key columns of every row."""
        return self._copy([sql.Identifier(name) for name in self._key_columns], sql.SQL(""))

    def row_of_key(self, cells: Sequence[Any]) -> list[Any]:
        """Return a row that has nothing but its key columns."""
        row: list[Any] = [None] * len(self.columns)
        for place, cell in zip(self._key_places, cells, strict=True):
            row[place] = cell
        return row

    def _copy(self, expressions: Sequence[sql.Composable], where: sql.Composable) -> Iterator[tuple[Any, ...]]:
        query = sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT").format(
            sql.SQL(", ").join(expressions), self.table.identifier, where
        )
        with self.connection.cursor() as cursor, cursor.copy(query) as copy:
            yield from copy.rows()


class _TableLook:
    """One look at a table."""

    def __init__(
        self,
        source: PostgresSource,
        feed: Feed,
        reader: _TableReader,
        rejected: RejectedLog,
        look: Look,
        progress: Progress,
    ) -> None:
        self._source, self._feed, self._reader = source, feed, reader
        self._rejected, self._look, self._progress = rejected, look, progress
        self._dataset = feed.dataset
        self.swept = False
        """Whether all keys were looked at, so that `Look.held` is news."""

    def run(self, accepted: int, *, sweep_now: bool) -> None:
        """Read from the position on; sweep where it is due, and at the first look of a process."""
        noted = self._feed.journal.position("postgres")
        position = json.loads(noted) if noted else None
        if position is not None and position["table"] != self._reader.identity:
            position = None
        bound, known = self._reader.bound()
        now = time.time()
        if position is None:
            if not known:
                log.warning(
                    "running transactions are hidden: the overlap alone protects late commits",
                    dataset=self._dataset.id,
                    what_to_do="grant pg_read_all_stats to the adapter's user",
                )
            self._whole_table(bound, accepted, now)
        else:
            since = int(position["watermark"]) - self._source.overlap_seconds * 1_000_000
            swept_at = float(position["swept_at"])
            self._take(self._reader.rows(since), None)
            if sweep_now or now - swept_at >= self._source.sweep_seconds:
                self._sweep_keys(accepted)
                swept_at = now
            self._keep(bound, swept_at)
        self._feed.settle()
        self._look.completed = True

    def _whole_table(self, bound: int, accepted: int, now: float) -> None:
        live_before = self._feed.journal.live()
        seen = bytearray(self._feed.journal.last_id + 1)
        self._take(self._reader.rows(None), seen)
        self._delete_absent(seen, live_before, accepted)
        self._keep(bound, now)

    def _keep(self, bound: int, swept_at: float) -> None:
        position = json.dumps({"table": self._reader.identity, "watermark": bound, "swept_at": swept_at})
        self._feed.submit([], {"postgres": position})

    def _take(self, rows: Iterator[tuple[Any, ...]], seen: bytearray | None) -> None:
        """Submit *rows*, batch by batch."""
        encode, check = self._reader.shape.encode_texts, self._feed.check
        changes: list[Change] = []
        present: list[bytes] = []
        origins: list[tuple[Any, ...]] = []
        for row in rows:
            self._look.rows += 1
            cells, stated = row[:-1], row[-1]
            try:
                key, body = encode(cells)
                version = time.time_ns() // 1000 if stated is None else int(stated)
                check(body, version)
                changes.append(Change(key, body, version, version))
                origins.append(cells)
            except InvalidRecord as invalid:
                if self._rejected.add(self._reader.columns, cells, str(invalid)):
                    self._look.reject(invalid)
                self._note_presence(cells, present)
            if len(changes) >= BATCH_RECORDS or len(present) >= BATCH_RECORDS:
                self._submit(changes, present, origins, seen)
                changes, present, origins = [], [], []
                self._progress(self._dataset.id, self._look.rows, 0)
        self._submit(changes, present, origins, seen)

    def _submit(
        self,
        changes: list[Change],
        present: list[bytes],
        origins: list[tuple[Any, ...]],
        seen: bytearray | None,
    ) -> None:
        if not changes and not present:
            return
        counts = self._feed.submit(changes, seen=seen, present=present)
        for index in counts.conflicts:
            reason = "another row of this table has the same key and other values"
            if self._rejected.add(self._reader.columns, origins[index], reason):
                self._look.rejected["version_conflict"] += 1
        self._look.counts.add(counts)

    def _note_presence(self, cells: Sequence[Any], present: list[bytes]) -> None:
        try:
            present.append(self._reader.shape.key_texts(cells))
        except InvalidRecord:
            return

    def _sweep_keys(self, accepted: int) -> None:
        """Find what is gone, and what was never read, by the keys alone."""
        live_before = self._feed.journal.live()
        seen = bytearray(self._feed.journal.last_id + 1)
        missed: list[Sequence[str]] = []
        for batch in _batches(self._reader.keys(), BATCH_RECORDS):
            keys: list[bytes] = []
            cells: list[Sequence[str]] = []
            for row in batch:
                try:
                    keys.append(self._reader.shape.key_texts(self._reader.row_of_key(row)))
                    cells.append(row)
                except InvalidRecord:
                    continue
            missed.extend(cells[index] for index in self._feed.mark(keys, seen))
        self._delete_absent(seen, live_before, accepted)
        for batch in _batches(iter(missed[:_MOST_MISSED]), _KEYS_PER_QUERY):
            self._take(self._reader.rows_of(batch), None)

    def _delete_absent(self, seen: bytearray, live_before: int, accepted: int) -> None:
        swept = sweep(
            self._feed,
            seen,
            live_before,
            limit=self._source.deletion_fraction,
            accepted=accepted,
            changed_at=time.time_ns() // 1000,
        )
        self._look.counts.deleted += swept.deleted
        self._look.held = swept.held
        self.swept = True
        if swept.held:
            self._look.said.append(
                f"{self._source.table}: {swept.held} of {swept.live} records would be deleted, more than "
                f"{self._source.deletion_limit}. If that is right: govbus produce {self._dataset.department} --once "
                f"--accept-deletions {swept.held}"
            )
            log.error(
                "deletions held",
                dataset=self._dataset.id,
                deletions=swept.held,
                live=swept.live,
                limit=self._source.deletion_limit,
            )


def _batches(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch
