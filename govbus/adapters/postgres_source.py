"""A department's Postgres as a source: the connection, its errors, and times in microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
import stamina
from psycopg import sql

from govbus.errors import GovbusError, SettingsError, Unavailable

_CONNECT_SECONDS = 10.0

_TIMES = {
    "timestamp with time zone": "{}",
    # As department systems keep it: China Standard Time, which the fixed offset says for all years.
    "timestamp without time zone": "({} AT TIME ZONE INTERVAL '+08:00')",
}


class SourceUnavailable(Unavailable):
    """The department's database cannot be read now."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the database describes it: its columns and their types by name."""

    name: str
    oid: int
    columns: Mapping[str, str]

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(*self.name.split("."))

    def moment(self, column: str) -> sql.Composed:
        """Return the expression of *column* as a timestamp with time zone. Raises SettingsError for other types."""
        kind = self.columns.get(column)
        if kind is None:
            raise SettingsError(f"{self.name} has no column {column}")
        if kind not in _TIMES:
            raise SettingsError(
                f"{self.name}.{column} is a {kind} and must be a timestamp; for anything else use an outbox"
            )
        return sql.SQL(_TIMES[kind]).format(sql.Identifier(column))

    def micros(self, column: str) -> sql.Composed:
        """Return the expression of *column* in microseconds since 1970 UTC."""
        return micros(self.moment(column))


def micros(moment: sql.Composable) -> sql.Composed:
    """Return the expression of a timestamp in microseconds since 1970 UTC, exactly."""
    return sql.SQL("(extract(epoch from {}) * 1000000)::bigint").format(moment)


def connect(url: str, application: str) -> psycopg.Connection[tuple[object, ...]]:
    """Return a connection in autocommit that writes times in UTC and ISO, tried for ten seconds.

    Raises `Unavailable` where the server cannot be reached, SettingsError where it refuses the credentials.
    """
    try:
        for attempt in stamina.retry_context(
            on=_may_pass, attempts=None, timeout=_CONNECT_SECONDS, wait_initial=0.2, wait_max=2.0
        ):
            with attempt:
                return psycopg.connect(
                    url,
                    autocommit=True,
                    application_name=application,
                    connect_timeout=5,
                    keepalives_idle=30,
                    options="-c TimeZone=UTC -c DateStyle=ISO,YMD -c IntervalStyle=postgres -c bytea_output=hex",
                )
    except psycopg.OperationalError as error:
        if error.sqlstate is not None and error.sqlstate.startswith("28"):
            raise SettingsError("the source database refuses the credentials: check GOVBUS_POSTGRES_URL") from error
        raise meaning(error) from error
    raise AssertionError("retrying ends with a connection or an error")


def _may_pass(error: Exception) -> bool:
    return isinstance(error, psycopg.OperationalError) and not (error.sqlstate or "").startswith("28")


def meaning(error: psycopg.Error) -> GovbusError:
    """Return what *error* means, without the server's sentence, which may quote a value.

    `Unavailable` where it may pass, SettingsError where someone must change a right or a declaration.
    """
    if error.sqlstate is None:
        # No server wrote this one: it says what could not be reached.
        return SourceUnavailable(f"the source database: {str(error).strip() or type(error).__name__}")
    parts = [type(error).__name__, error.sqlstate, error.diag.table_name, error.diag.column_name]
    text = f"the source database answers {' '.join(part for part in parts if part)}"
    # 42: no right, no such column, no such function.
    return SettingsError(text) if error.sqlstate.startswith("42") else SourceUnavailable(text)


def describe(connection: psycopg.Connection[tuple[object, ...]], name: str) -> Table:
    """Return the table or view *name* (schema.table). Raises SettingsError if it is missing or may not be read."""
    found = connection.execute("SELECT to_regclass(%s)::oid", [_quoted(name)]).fetchone()
    if found is None or found[0] is None:
        raise SettingsError(f"the source database has no table {name}, or this user may not see it")
    rows = connection.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
        " WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped",
        [found[0]],
    ).fetchall()
    return Table(name, int(str(found[0])), {str(column): str(kind) for column, kind in rows})


def _quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))
