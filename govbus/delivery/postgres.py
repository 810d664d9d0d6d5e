"""Delivery into a subscriber's Postgres: rows and positions change in one transaction, so each change lands once.

The transaction begins by moving the positions from the values this sink knows to new ones. If another sink has moved
them, no row matches, everything is rolled back and this process ends: nothing else would fence a sink that was taken
for dead (Kafka's group protocol cannot, positions are not in it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import structlog
from psycopg import sql

from govbus.delivery import postgres_table as tables
from govbus.delivery.plan import Delivered, Plan
from govbus.delivery.position import ReloadReason, Stored, TopicLog, reload_reason
from govbus.delivery.postgres_copy import copy_cell, copy_lines, escaped, key_cells
from govbus.delivery.row import RowMaker
from govbus.delivery.shape import KEY_COLUMN
from govbus.delivery.share import Batch, Limits, Partition
from govbus.delivery.sink import Beginning, SchemaOf, Written
from govbus.delivery.value import NULL_CHARACTER
from govbus.kafka.clients import Fenced

log = structlog.get_logger()

LIMITS = Limits(records=20_000, bytes=32 * 1024 * 1024, linger_seconds=0.3, end_when_level=True)
MAX_KEY_BYTES = 2_000
"""A btree index of Postgres takes entries of up to 2,704 bytes."""

_SESSION = (
    # A paused process must not hold its successor's rows for ever, nor a forgotten lock this one's.
    "-c idle_in_transaction_session_timeout=60s -c lock_timeout=60s "
    # The tables of one batch are small and the subscriber's large: reach its rows by the primary key.
    "-c enable_hashjoin=off -c enable_mergejoin=off"
)


@dataclass(frozen=True, slots=True)
class _Target:
    """One table: statements made once, and what rows are made with."""

    delivered: Delivered
    table: str
    rows: RowMaker
    key_line: Callable[[bytes], str]
    topic_id: str
    copy_rows: sql.Composed
    copy_keys: sql.Composed
    upsert: sql.Composed
    upsert_changed: sql.Composed
    delete: sql.Composed
    seen: tuple[sql.Composed, sql.Composed]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What one batch brings to one table, as COPY reads it."""

    target: _Target
    rows: bytes
    keys: bytes
    undeliverable: int


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A batch with the lines for each of its tables."""

    batch: Batch
    tables: list[_Prepared]


class PostgresSink:
    """A `Sink` into the schema that the ask's `delivery:` names, in the database of *url*."""

    limits = LIMITS

    def __init__(self, url: str, schema: str, application: str) -> None:
        self._schema = schema
        self._connection = psycopg.connect(
            url, application_name=application, connect_timeout=10, options=_SESSION, keepalives_idle=30
        )
        self._targets: dict[str, _Target] = {}
        self._reloading: set[Partition] = set()

    @property
    def reloading(self) -> bool:
        return bool(self._reloading)

    @property
    def asked_anew(self) -> bool:
        return False

    def begin(self, plan: Plan, logs: Mapping[str, TopicLog], schema_of: SchemaOf) -> Beginning:
        """Make and change tables as *plan* says, decide where to read on, and write that down; all or nothing."""
        positions: dict[Partition, int] = {}
        reloads: dict[str, ReloadReason] = {}
        removed: dict[str, int] = {}
        with self._connection.transaction(), self._connection.cursor() as cursor:
            tables.prepare_schema(cursor, self._schema)
            removed.update(tables.withdraw(cursor, self._schema, plan))
            for delivered in plan.delivered:
                if delivered.topic not in logs:
                    continue
                change = tables.migrate(cursor, self._schema, delivered, plan.revision)
                if change.removed_rows:
                    removed[delivered.dataset] = change.removed_rows
                log_now = logs[delivered.topic]
                reason = self._resume(cursor, plan, delivered, log_now, change.reload, positions)
                if reason is not None and reason != ReloadReason.NO_POSITION:
                    reloads[delivered.topic] = reason
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for delivered in plan.delivered:
                if delivered.topic in logs:
                    self._targets[delivered.topic] = self._target(
                        cursor, delivered, logs[delivered.topic].topic_id, schema_of
                    )
        return Beginning(positions, reloads, removed)

    def _resume(
        self,
        cursor: tables.Cursor,
        plan: Plan,
        delivered: Delivered,
        log_now: TopicLog,
        changed: ReloadReason | None,
        positions: dict[Partition, int],
    ) -> ReloadReason | None:
        offsets = sql.Identifier(self._schema, tables.OFFSETS)
        stored: dict[int, Stored] = {}
        rows = cursor.execute(
            sql.SQL("SELECT partition, topic_id, next, level_at, reloading FROM {} WHERE topic = %s FOR UPDATE").format(
                offsets
            ),
            [delivered.topic],
        ).fetchall()
        reloading: set[int] = set()
        for partition, topic_id, position, level_at, reloads in rows:
            assert isinstance(partition, int)
            assert isinstance(topic_id, str)
            assert isinstance(position, int)
            assert isinstance(level_at, datetime)
            stored[partition] = Stored(topic_id, position, level_at)
            if reloads:
                reloading.add(partition)
        reason = changed or (ReloadReason.NO_POSITION if not stored else None)
        reason = reason or reload_reason(stored, log_now, datetime.now(UTC), plan.deletions_kept)
        if reason is not None:
            table = tables.identifier(delivered.name)
            tables.forget_positions(cursor, self._schema, delivered.view.id)
            stored, reloading = {}, set()
            if self._holds_rows(cursor, table):
                tables.make_seen_table(cursor, self._schema, table, delivered.shape)
                reloading = set(log_now.partitions)
        for partition, extent in log_now.partitions.items():
            if partition not in stored:
                cursor.execute(
                    sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s, %s, %s)").format(offsets),
                    [
                        delivered.topic,
                        partition,
                        delivered.view.id,
                        log_now.topic_id,
                        extent.start,
                        datetime.now(UTC),
                        partition in reloading,
                    ],
                )
            positions[delivered.topic, partition] = stored[partition].next if partition in stored else extent.start
            if partition in reloading:
                self._reloading.add((delivered.topic, partition))
        return reason

    def _holds_rows(self, cursor: tables.Cursor, table: str) -> bool:
        query = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(self._schema, table))
        return cursor.execute(query).fetchone() is not None

    def _target(self, cursor: tables.Cursor, delivered: Delivered, topic_id: str, schema_of: SchemaOf) -> _Target:
        name, shape = tables.identifier(delivered.name), delivered.shape
        table = sql.Identifier(self._schema, name)
        seen = sql.Identifier(self._schema, tables.seen_table(name))
        names = [tables.identifier(f"{word}_{name}") for word in ("new", "gone")]
        new, gone = (sql.Identifier("pg_temp", each) for each in names)
        columns, key = tables.identifiers(shape.names), tables.identifiers(shape.key)
        for temporary, held in zip(names, (columns, key), strict=True):
            cursor.execute(
                sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA").format(
                    sql.Identifier(temporary), held, table
                )
            )
        others = [tables.identifier(name) for name in shape.names if name not in shape.key]
        update: sql.Composable = sql.SQL("DO NOTHING")
        changed: sql.Composable = update
        if others:
            update = sql.SQL("DO UPDATE SET {}").format(
                sql.SQL(", ").join(
                    sql.SQL("{} = excluded.{}").format(sql.Identifier(name), sql.Identifier(name)) for name in others
                )
            )
            changed = sql.SQL("{} WHERE ({}) IS DISTINCT FROM ({})").format(
                update,
                sql.SQL(", ").join(sql.Identifier("held", name) for name in others),
                sql.SQL(", ").join(sql.Identifier("excluded", name) for name in others),
            )
        insert = sql.SQL("INSERT INTO {} AS held ({}) SELECT {} FROM {} ON CONFLICT ({}) {}")
        remove = sql.SQL("DELETE FROM {} AS held USING {} AS gone WHERE {}")
        same = tables.same_key(shape.key, "held", "gone")
        return _Target(
            delivered,
            name,
            RowMaker(shape, schema_of, copy_cell),
            _whole_key if shape.key == (KEY_COLUMN,) else key_cells,
            topic_id,
            copy_rows=sql.SQL("COPY {} ({}) FROM STDIN").format(new, columns),
            copy_keys=sql.SQL("COPY {} ({}) FROM STDIN").format(gone, key),
            upsert=insert.format(table, columns, columns, new, key, update),
            upsert_changed=insert.format(table, columns, columns, new, key, changed),
            delete=remove.format(table, gone, same),
            seen=(
                insert.format(seen, key, key, new, key, sql.SQL("DO NOTHING")),
                remove.format(seen, gone, same),
            ),
        )

    def prepare(self, batch: Batch) -> PreparedBatch:
        """Return the lines that COPY will read: locks are then held for the database alone."""
        return PreparedBatch(batch, [_prepared(self._targets[topic], each) for topic, each in batch.changes.items()])

    def write(self, prepared: PreparedBatch) -> Mapping[str, Written]:
        batch = prepared.batch
        written = {each.target.delivered.dataset: Written(undeliverable=each.undeliverable) for each in prepared.tables}
        finished = self._reloading & batch.level
        with self._connection.transaction(), self._connection.cursor() as cursor:
            self._move(cursor, batch)
            for each in prepared.tables:
                self._apply(cursor, each, written[each.target.delivered.dataset])
            for topic in {topic for topic, _ in finished}:
                if not any(partition[0] == topic for partition in self._reloading - finished):
                    target = self._targets[topic]
                    written.setdefault(target.delivered.dataset, Written()).swept = self._sweep(cursor, target)
        self._reloading -= finished
        return written

    def _move(self, cursor: tables.Cursor, batch: Batch) -> None:
        """Move the positions from the values this sink knows; raise `Fenced` where they are others.

        Rows are locked in one order first, so that two sinks cannot block each other. No `executemany`: the server
        counts no idle time of a transaction whose last word was psycopg's pipeline (PostgreSQL 18.4, psycopg 3.3.9).
        """
        offsets = sql.Identifier(self._schema, tables.OFFSETS)
        moves = sorted(batch.moves.items())
        columns = {
            "topic": [topic for (topic, _), _ in moves],
            "partition": [partition for (_, partition), _ in moves],
            "topic_id": [self._targets[topic].topic_id for (topic, _), _ in moves],
            "before": [before for _, (before, _) in moves],
            "after": [after for _, (_, after) in moves],
            "level": [partition in batch.level for partition, _ in moves],
            "reloading": [partition in self._reloading for partition, _ in moves],
        }
        cursor.execute(
            sql.SQL(
                "SELECT FROM {} WHERE (topic, partition) IN "
                "(SELECT * FROM unnest(%(topic)s::text[], %(partition)s::int[])) ORDER BY topic, partition FOR UPDATE"
            ).format(offsets),
            columns,
        )
        cursor.execute(
            sql.SQL(
                "UPDATE {} AS held SET next = move.after, reloading = held.reloading AND NOT move.level, "
                "level_at = CASE WHEN move.level THEN %(began_at)s ELSE held.level_at END "
                "FROM unnest(%(topic)s::text[], %(partition)s::int[], %(topic_id)s::text[], %(before)s::bigint[], "
                "%(after)s::bigint[], %(level)s::bool[], %(reloading)s::bool[]) "
                "AS move (topic, partition, topic_id, before, after, level, reloading) "
                "WHERE held.topic = move.topic AND held.partition = move.partition AND held.topic_id = move.topic_id "
                "AND held.next = move.before AND held.reloading = move.reloading"
            ).format(offsets),
            {**columns, "began_at": batch.began_at},
        )
        if cursor.rowcount != len(moves):
            raise Fenced(f"another sink delivers into schema {self._schema} too: its positions are not those left here")

    def _apply(self, cursor: tables.Cursor, prepared: _Prepared, counts: Written) -> None:
        target = prepared.target
        reloading = any(topic == target.delivered.topic for topic, _ in self._reloading)
        if prepared.rows:
            _copy(cursor, target.copy_rows, prepared.rows)
            counts.upserts += cursor.execute(target.upsert_changed if reloading else target.upsert).rowcount
        if prepared.keys:
            _copy(cursor, target.copy_keys, prepared.keys)
            counts.deletes += cursor.execute(target.delete).rowcount
        if reloading:
            for statement, concerned in zip(target.seen, (prepared.rows, prepared.keys), strict=True):
                if concerned:
                    cursor.execute(statement)

    def _sweep(self, cursor: tables.Cursor, target: _Target) -> int:
        cursor.execute("SET LOCAL enable_hashjoin = on")
        swept = tables.sweep(cursor, self._schema, target.table, target.delivered.shape)
        log.info("reload finished", dataset=target.delivered.dataset, swept_rows=swept)
        return swept

    def close(self) -> None:
        self._connection.close()


def _prepared(target: _Target, changes: Mapping[bytes, bytes | None]) -> _Prepared:
    row, key_line = target.rows.row, target.key_line
    rows: list[list[str]] = []
    keys: list[str] = []
    undeliverable = 0
    for key, value in _storable(changes).items():
        if len(key) > MAX_KEY_BYTES:
            undeliverable += 1
        elif value is None:
            keys.append(key_line(key) + "\n")
        else:
            rows.append(row(key, value))
    return _Prepared(target, copy_lines(rows), "".join(keys).encode(), undeliverable)


def _storable(changes: Mapping[bytes, bytes | None]) -> Mapping[bytes, bytes | None]:
    """Return *changes* under the keys they have in the database: the last of those that U+0000 alone told apart."""
    if not any(b"\0" in key for key in changes):
        return changes
    replacement = NULL_CHARACTER[0].encode()
    return {key.replace(b"\0", replacement): value for key, value in changes.items()}


def _whole_key(key: bytes) -> str:
    return escaped(key.decode("utf-8", "replace"))


def _copy(cursor: tables.Cursor, statement: sql.Composed, lines: bytes) -> None:
    with cursor.copy(statement) as copy:
        copy.write(lines)
