"""The outbox adapter: changes that a department's application wrote in the transactions that made them.

Nothing committed is skipped, although ids are given before transactions commit: only rows of transactions that are
older than every running one are read (``pg_snapshot_xmin``), and the position is a transaction id, not a row id. A row
with a lower id that commits late is therefore read later, and in the order of ids within its look; where two changes of
one record come in different looks, the higher id counts. Deletions are rows like any other.

The transaction of a row is taken from a column of type ``xid8`` (``DEFAULT pg_current_xact_id()``), which an index
can serve; a table without one is read by the system column ``xmin``, each time in whole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import structlog
from psycopg import IsolationLevel, sql

from govbus.adapters.decision import Change
from govbus.adapters.feed import BATCH_RECORDS, Feed
from govbus.adapters.file import DELETIONS, UPSERTS
from govbus.adapters.look import Look, Progress
from govbus.adapters.postgres_source import Table, connect, describe, meaning
from govbus.adapters.rejected_rows import RejectedLog
from govbus.adapters.values import InvalidRecord, RecordShape
from govbus.catalogue.model import Dataset
from govbus.catalogue.source import OutboxSource
from govbus.errors import SettingsError

log = structlog.get_logger()

_KEEP_SECONDS = 10.0
"""How often the position of a quiet outbox is written down."""

_COLUMNS = ("id", "operation", "record")
Connection = psycopg.Connection[tuple[object, ...]]


class OutboxAdapter:
    """The outbox of one dataset. *open_feed* opens its way onto the bus, anew after every error."""

    kind = "outbox"

    def __init__(
        self,
        dataset: Dataset,
        source: OutboxSource,
        url: str,
        open_feed: Callable[[], Feed],
        *,
        progress: Progress = lambda doing, done, of: None,
    ) -> None:
        self.dataset = dataset.id
        self.every_seconds = float(source.poll_seconds)
        self._declared, self._source, self._url = dataset, source, url
        self._open_feed = open_feed
        self._progress = progress
        self._feed: Feed | None = None
        self._connection: Connection | None = None
        self._outbox: _Outbox | None = None
        self._rejected: RejectedLog | None = None
        self._kept_at = 0.0
        self._read_up_to: int | None = None

    def let_go(self) -> None:
        """Close connection and journal; what was in flight is sent again by the next look."""
        self._read_up_to = None
        if self._feed is not None:
            self._feed.close()
            self._feed = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._outbox = None

    def look(self) -> Look:
        """Read every row whose transaction, and all before it, have ended."""
        look = Look(self.dataset, self.kind)
        if self._feed is None:
            self._feed = self._open_feed()
        feed = self._feed
        if self._rejected is None:
            self._rejected = RejectedLog(feed.link.settings.home, self.dataset, write=not feed.dry_run)
        try:
            if self._connection is None or self._outbox is None:
                self._connection = connect(self._url, f"govbus produce {self.dataset}")
                self._outbox = _Outbox.of(self._source, self._connection)
            with self._connection.transaction():
                self._read(feed, self._outbox, self._rejected, look)
        except psycopg.Error as error:
            raise meaning(error) from error
        feed.settle()
        if look.rows:
            feed.show_journal()
        look.completed = True
        return look

    def _read(self, feed: Feed, outbox: _Outbox, rejected: RejectedLog, look: Look) -> None:
        since = self._read_up_to
        if since is None:
            feed.journal.order_by(f"outbox {outbox.identity}")
            noted = feed.journal.position(self.kind)
            position = json.loads(noted) if noted else None
            if position is not None and position["table"] == outbox.identity:
                since = int(position["transaction"])
        until, newest = outbox.snapshot()
        if since is not None and since > until:
            log.warning("the position is of another database server: the outbox is read anew", dataset=self.dataset)
            since = None
        shape = RecordShape(
            self._declared, feed.schema, feed.link.revision.catalogue.vocabulary, columns=self._source.columns
        )
        # Without a position, earlier rows may have been published by a process whose journal is lost: only the last
        # change of each record counts then, or old values would be published over newer ones on the way.
        last: dict[bytes, Change] | None = {} if since is None else None
        changes: list[Change] = []
        for row in outbox.rows(since, until, newest):
            look.rows += 1
            try:
                change = _change(row, shape, feed)
            except InvalidRecord as invalid:
                if rejected.add(_COLUMNS, row[:3], str(invalid)):
                    look.reject(invalid)
                continue
            if last is not None:
                last.pop(change.key, None)
                last[change.key] = change
                continue
            changes.append(change)
            if len(changes) >= BATCH_RECORDS:
                look.counts.add(feed.submit(changes))
                changes = []
                self._progress(self.dataset, look.rows, 0)
        if last is not None:
            changes = list(last.values())
        while len(changes) > BATCH_RECORDS:
            look.counts.add(feed.submit(changes[:BATCH_RECORDS]))
            changes = changes[BATCH_RECORDS:]
            self._progress(self.dataset, look.rows, 0)
        keep = bool(look.rows) or time.monotonic() - self._kept_at > _KEEP_SECONDS
        position_text = json.dumps({"table": outbox.identity, "transaction": until})
        look.counts.add(feed.submit(changes, {self.kind: position_text} if keep else None))
        if keep:
            self._kept_at = time.monotonic()
        self._read_up_to = until


def _change(row: tuple[Any, ...], shape: RecordShape, feed: Feed) -> Change:
    """Return the change that a row of the outbox says. Raises InvalidRecord."""
    order, operation, text, micros = row
    word = str(operation).strip().upper()
    if word not in UPSERTS and word not in DELETIONS:
        raise InvalidRecord([("", "the operation is neither an upsert (U) nor a deletion (D)")])
    try:
        record = json.loads(text, parse_float=Decimal) if text else None
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise InvalidRecord([("", "the record is not a JSON object")])
    changed_at = time.time_ns() // 1000 if micros is None else int(micros)
    if word in DELETIONS:
        key, body = shape.key(record), None
    else:
        key, body = shape.encode(record)
    feed.check(body, changed_at)
    return Change(key, body, changed_at, changed_at, int(order))


@dataclass(frozen=True, slots=True)
class _Outbox:
    """The statements that read one outbox; all of one look see the same snapshot."""

    connection: Connection
    identity: str
    """The table's name and object id: a table made again numbers its rows from the start."""
    select: sql.Composed
    order: sql.Composed
    transaction_column: str | None

    @classmethod
    def of(cls, source: OutboxSource, connection: Connection) -> _Outbox:
        """Describe the table. Raises SettingsError where it is not an outbox as declared."""
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        table = describe(connection, source.table)
        declared = {source.sequence, source.operation, source.record, source.changed_at}
        if missing := sorted(declared - table.columns.keys()):
            raise SettingsError(f"{source.table} has no column {', '.join(missing)}: an outbox needs it")
        if table.columns[source.sequence] not in ("bigint", "integer"):
            raise SettingsError(f"{source.table}.{source.sequence} must be a bigint that ascends")
        marks = sorted(column for column, kind in table.columns.items() if kind == "xid8")
        if marks:
            _refuse_foreign(connection, table, marks[0])
        else:
            log.warning(
                "an outbox without a column of type xid8 is read in whole each time",
                table=source.table,
                what_to_do="add: transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(), and an index on it",
            )
        select = sql.SQL("SELECT {}, {}::text, {}::text, {} FROM {}").format(
            sql.Identifier(source.sequence),
            sql.Identifier(source.operation),
            sql.Identifier(source.record),
            table.micros(source.changed_at),
            table.identifier,
        )
        order = sql.SQL(" ORDER BY {}").format(sql.Identifier(source.sequence))
        return cls(connection, f"{table.name} {table.oid}", select, order, marks[0] if marks else None)

    def snapshot(self) -> tuple[int, int]:
        """Return the id of the oldest transaction that still runs (all before it have ended), and of the next one."""
        row = self.connection.execute(
            "SELECT pg_snapshot_xmin(pg_current_snapshot())::text, pg_snapshot_xmax(pg_current_snapshot())::text"
        ).fetchone()
        assert row is not None
        return int(str(row[0])), int(str(row[1]))

    def rows(self, since: int | None, until: int, newest: int) -> Iterator[tuple[Any, ...]]:
        """Yield (id, operation, record, microseconds) of transactions from *since* on and before *until*, by id."""
        if self.transaction_column is not None:
            place: sql.Composable = sql.Identifier(self.transaction_column)
            as_literal = "{} {} {}::xid8"
        else:
            # The row's own 32 bits, in the round of 2^32 that ends at the newest transaction.
            place = sql.SQL("(xmin::text::bigint + CASE WHEN xmin::text::bigint > {} THEN {} ELSE {} END)").format(
                sql.Literal(newest & 0xFFFFFFFF),
                sql.Literal((newest >> 32 << 32) - 2**32),
                sql.Literal(newest >> 32 << 32),
            )
            as_literal = "{} {} {}::bigint"
        limits = [sql.SQL(as_literal).format(place, sql.SQL("<"), sql.Literal(str(until)))]
        if since is not None:
            limits.append(sql.SQL(as_literal).format(place, sql.SQL(">="), sql.Literal(str(since))))
        query = sql.Composed([self.select, sql.SQL(" WHERE "), sql.SQL(" AND ").join(limits), self.order])
        with self.connection.cursor(name="govbus_outbox") as cursor:
            cursor.itersize = BATCH_RECORDS
            cursor.execute(query)
            yield from cursor


def _refuse_foreign(connection: Connection, table: Table, column: str) -> None:
    """Raise SettingsError where rows carry ids of transactions that this server has not had yet."""
    query = sql.SQL("SELECT EXISTS (SELECT 1 FROM {} WHERE {} >= pg_snapshot_xmax(pg_current_snapshot()))").format(
        table.identifier, sql.Identifier(column)
    )
    row = connection.execute(query).fetchone()
    if row is not None and row[0]:
        raise SettingsError(
            f"{table.name}.{column} holds transaction ids of another server (was the table restored here?), so that "
            f"these rows would wait for ever: UPDATE {table.name} SET {column} = pg_current_xact_id()"
        )
