"""The tables a subscriber receives: made from the shape of a view, and changed when the view changes.

What is withdrawn goes: a field that left the view loses its column, a dataset that left the ask its table, and a
dataset whose grant was suspended or ended its rows. Where a subscriber's own SQL view holds on to a column or a table,
that is emptied and renamed instead, and a log line says so. All of it happens inside the caller's transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import psycopg
import structlog
from psycopg import sql
from psycopg.errors import DependentObjectsStillExist

from govbus.delivery.plan import Delivered, Plan
from govbus.delivery.position import ReloadReason
from govbus.delivery.postgres_copy import COLUMN_TYPES
from govbus.delivery.shape import Column, Kind, Shape
from govbus.errors import GovbusError, Unavailable

log = structlog.get_logger()

OFFSETS = "_govbus_offsets"
TABLES = "_govbus_tables"
_MAX_IDENTIFIER_BYTES = 63

Cursor = psycopg.Cursor[tuple[object, ...]]


class TableTaken(GovbusError):
    """A table of this name is there and is not ours to write; the text says what to do."""


@dataclass(frozen=True, slots=True)
class TableChange:
    """What `migrate` did: why all records must be read again (None: they need not), and the rows it removed."""

    reload: ReloadReason | None
    removed_rows: int = 0


def identifier(name: str) -> str:
    """Return *name* cut to what Postgres keeps (63 bytes), told from others with the same beginning by a hash.

    Postgres itself would cut without a word, and two names could become one.
    """
    if len(name.encode()) <= _MAX_IDENTIFIER_BYTES:
        return name
    return f"{name[:54]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def seen_table(table: str) -> str:
    """Return the name of the table that holds, during a reload, the keys met so far."""
    return identifier(f"_govbus_seen_{table}")


def prepare_schema(cursor: Cursor, schema: str) -> None:
    """Make *schema* and the sink's own two tables in it where they are missing; one sink at a time."""
    # Two sinks that start together would both find nothing and both create.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('govbus delivery ' || %s, 0))", [schema])
    # CREATE SCHEMA IF NOT EXISTS asks for the right to create even where there is nothing to do.
    if not cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchone():
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    if not _exists(cursor, schema, TABLES):
        cursor.execute(
            sql.SQL(
                "CREATE TABLE {} (name text PRIMARY KEY, view text NOT NULL, revision bigint NOT NULL, "
                "columns jsonb NOT NULL, key jsonb NOT NULL)"
            ).format(sql.Identifier(schema, TABLES))
        )
    if not _exists(cursor, schema, OFFSETS):
        cursor.execute(
            sql.SQL(
                "CREATE TABLE {} (topic text, partition integer, view text NOT NULL, topic_id text NOT NULL, "
                "next bigint NOT NULL, level_at timestamptz NOT NULL, reloading boolean NOT NULL, "
                "PRIMARY KEY (topic, partition))"
            ).format(sql.Identifier(schema, OFFSETS))
        )


def migrate(cursor: Cursor, schema: str, delivered: Delivered, revision: int) -> TableChange:
    """Make or change the table of *delivered*.

    Raises `TableTaken` if the name belongs to somebody else, `Unavailable` if a newer revision was already taken.
    """
    name, view, shape = identifier(delivered.name), delivered.view.id, delivered.shape
    known = cursor.execute(
        sql.SQL("SELECT view, revision, columns, key FROM {} WHERE name = %s").format(sql.Identifier(schema, TABLES)),
        [name],
    ).fetchone()
    exists = _exists(cursor, schema, name)
    if known is None:
        if exists:
            raise TableTaken(
                f"table {schema}.{name} exists and was not made by govbus: rename it, or deliver elsewhere"
            )
        _create(cursor, schema, name, delivered)
        _note(cursor, schema, name, view, revision, shape)
        return TableChange(ReloadReason.NO_POSITION)
    held_by, held_revision, columns, key = known
    if held_by != view:
        raise TableTaken(
            f"table {schema}.{name} is already delivered to by {held_by}: give {view} another schema in `delivery:`"
        )
    assert isinstance(held_revision, int)
    if held_revision > revision:
        raise Unavailable(
            f"table {schema}.{name} follows revision {held_revision}, newer than {revision}: reading again"
        )
    held = _shape(columns, key)
    change = TableChange(None)
    if not exists:
        _create(cursor, schema, name, delivered)
        change = TableChange(ReloadReason.TABLE_CHANGED)
    elif held.key_columns != shape.key_columns:
        # Other keys: every row is another row now, and a key that was in clear must not stay.
        removed = _drop(cursor, schema, name, revision)
        _create(cursor, schema, name, delivered)
        change = TableChange(ReloadReason.TABLE_CHANGED, removed)
    elif held != shape:
        change = _alter(cursor, schema, name, held, shape, revision)
    if held != shape or held_revision != revision:
        _note(cursor, schema, name, view, revision, shape)
    return change


def withdraw(cursor: Cursor, schema: str, plan: Plan) -> list[tuple[str, int]]:
    """Empty the tables of datasets that are withheld from the ask, and drop those it no longer asks for.

    Returns (dataset, rows removed) for each table that lost any; its positions go too, so that a grant that comes back
    is read from the start.
    """
    tables = cursor.execute(
        sql.SQL("SELECT name, view FROM {} WHERE starts_with(view, %s) AND revision <= %s").format(
            sql.Identifier(schema, TABLES)
        ),
        [f"{plan.ask.id}/", plan.revision],
    ).fetchall()
    kept = {each.view.id for each in plan.delivered}
    withheld = {each.id for each in plan.withheld}
    removed: list[tuple[str, int]] = []
    for name, view in tables:
        assert isinstance(name, str)
        assert isinstance(view, str)
        if view in kept or not _exists(cursor, schema, name):
            continue
        if view in withheld:
            rows = _empty(cursor, schema, name)
        else:
            rows = _drop(cursor, schema, name, plan.revision)
            cursor.execute(sql.SQL("DELETE FROM {} WHERE name = %s").format(sql.Identifier(schema, TABLES)), [name])
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(schema, seen_table(name))))
        forget_positions(cursor, schema, view)
        if rows:
            removed.append((view.partition("/")[2], rows))
    return removed


def forget_positions(cursor: Cursor, schema: str, view: str) -> None:
    """Remove the stored positions of *view*: its topic is read from the start next time."""
    cursor.execute(sql.SQL("DELETE FROM {} WHERE view = %s").format(sql.Identifier(schema, OFFSETS)), [view])


def make_seen_table(cursor: Cursor, schema: str, table: str, shape: Shape) -> None:
    """Make the empty table of keys met during a reload, in place of one that an earlier reload left."""
    name = sql.Identifier(schema, seen_table(table))
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
    cursor.execute(
        sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(
            name, _definitions(shape.key_columns), identifiers(shape.key)
        )
    )


def sweep(cursor: Cursor, schema: str, table: str, shape: Shape) -> int:
    """Remove the rows whose keys were not met during the reload, and the table of those that were; return how many."""
    seen = sql.Identifier(schema, seen_table(table))
    cursor.execute(sql.SQL("ANALYZE {}").format(seen))
    rows = cursor.execute(
        sql.SQL("DELETE FROM {} AS held WHERE NOT EXISTS (SELECT 1 FROM {} AS seen WHERE {})").format(
            sql.Identifier(schema, table), seen, same_key(shape.key, "held", "seen")
        )
    ).rowcount
    cursor.execute(sql.SQL("DROP TABLE {}").format(seen))
    return rows


def identifiers(names: Iterable[str]) -> sql.Composed:
    """Return *names* as a list of columns."""
    return sql.SQL(", ").join(sql.Identifier(identifier(name)) for name in names)


def same_key(key: Iterable[str], one: str, other: str) -> sql.Composed:
    """Return the condition that rows *one* and *other* have the same key."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(one, identifier(name)), sql.Identifier(other, identifier(name)))
        for name in key
    )


def _exists(cursor: Cursor, schema: str, name: str) -> bool:
    query = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = %s AND relname = %s"
    return cursor.execute(query, [schema, name]).fetchone() is not None


def _create(cursor: Cursor, schema: str, name: str, delivered: Delivered) -> None:
    shape = delivered.shape
    cursor.execute(
        sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(
            sql.Identifier(schema, name), _definitions(shape.columns), identifiers(shape.key)
        )
    )
    cursor.execute(
        sql.SQL("COMMENT ON TABLE {} IS {}").format(
            sql.Identifier(schema, name),
            sql.Literal(f"Kept by govbus: {delivered.view.id}. Read it, do not write to it."),
        )
    )


def _definitions(columns: Iterable[Column]) -> sql.Composed:
    return sql.SQL(", ").join(_definition(column) for column in columns)


def _definition(column: Column) -> sql.Composed:
    return sql.SQL("{} {}").format(sql.Identifier(identifier(column.name)), sql.SQL(COLUMN_TYPES[column.kind]))


def _alter(cursor: Cursor, schema: str, name: str, held: Shape, shape: Shape, revision: int) -> TableChange:
    """Change the columns outside the key. A column of another kind loses its values until they are read again."""
    table = sql.Identifier(schema, name)
    types = {column.name: COLUMN_TYPES[column.kind] for column in held.columns}
    wanted = {column.name: COLUMN_TYPES[column.kind] for column in shape.columns}
    changed = [column for column in shape.columns if types.get(column.name, wanted[column.name]) != wanted[column.name]]
    for column in held.columns:
        if column.name not in wanted or column.name in {each.name for each in changed}:
            _drop_column(cursor, schema, name, column.name, revision)
    for column in shape.columns:
        if column.name not in types or column in changed:
            cursor.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(table, _definition(column)))
    log.info(
        "table changed",
        table=f"{schema}.{name}",
        added=sorted(set(wanted) - set(types)),
        dropped=sorted(set(types) - set(wanted)),
        retyped=[column.name for column in changed],
    )
    return TableChange(ReloadReason.TABLE_CHANGED if changed else None)


def _drop_column(cursor: Cursor, schema: str, name: str, column: str, revision: int) -> None:
    table, quoted = sql.Identifier(schema, name), sql.Identifier(identifier(column))
    try:
        with cursor.connection.transaction():
            cursor.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(table, quoted))
    except DependentObjectsStillExist:
        cursor.execute(sql.SQL("UPDATE {} SET {} = NULL WHERE {} IS NOT NULL").format(table, quoted, quoted))
        kept_as = identifier(f"{column}__withdrawn_{revision}")
        cursor.execute(sql.SQL("ALTER TABLE {} RENAME {} TO {}").format(table, quoted, sql.Identifier(kept_as)))
        log.warning(
            "column withdrawn, but other objects depend on it: emptied and renamed",
            table=f"{schema}.{name}",
            column=column,
            kept_as=kept_as,
        )


def _drop(cursor: Cursor, schema: str, name: str, revision: int) -> int:
    table = sql.Identifier(schema, name)
    rows = _empty(cursor, schema, name)
    try:
        with cursor.connection.transaction():
            cursor.execute(sql.SQL("DROP TABLE {}").format(table))
    except DependentObjectsStillExist:
        kept_as = identifier(f"{name}__withdrawn_{revision}")
        cursor.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(table, sql.Identifier(kept_as)))
        log.warning(
            "table withdrawn, but other objects depend on it: emptied and renamed",
            table=f"{schema}.{name}",
            kept_as=kept_as,
        )
    return rows


def _empty(cursor: Cursor, schema: str, name: str) -> int:
    return cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, name))).rowcount


def _note(cursor: Cursor, schema: str, name: str, view: str, revision: int, shape: Shape) -> None:
    cursor.execute(
        sql.SQL(
            "INSERT INTO {} (name, view, revision, columns, key) VALUES (%s, %s, %s, %s, %s) ON CONFLICT (name) "
            "DO UPDATE SET view = excluded.view, revision = excluded.revision, columns = excluded.columns, "
            "key = excluded.key"
        ).format(sql.Identifier(schema, TABLES)),
        [name, view, revision, json.dumps([asdict(column) for column in shape.columns]), json.dumps(shape.key)],
    )


def _shape(columns: object, key: object) -> Shape:
    assert isinstance(columns, list)
    assert isinstance(key, list)
    return Shape(
        tuple(Column(each["name"], Kind(each["kind"]), each["precision"], each["scale"]) for each in columns),
        tuple(key),
    )
