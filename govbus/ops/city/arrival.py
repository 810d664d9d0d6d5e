"""Putting the written city before the departments: the first export, later one wave of changes after another.

Files go into the drop folders, tables and their changes into a Postgres server.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg

from govbus.errors import SettingsError, Unavailable

_COPY_LINE = re.compile(r"\\copy (?P<into>\S+ \([^)]*\)) FROM '(?P<file>[^']+)'")
_CHUNK_BYTES = 1 << 20


class Copied(NamedTuple):
    """What was loaded into one table: the dataset and its rows."""

    dataset: str
    rows: int


def bring(city: Path, wave: int, drop: Path, url: str) -> list[Path]:
    """Put wave number *wave* of the city written in *city* before the departments; 0 is the first export.

    Files go to *drop*/DEPARTMENT, tables to the database at *url*. Returns the files' new paths. Raises as
    `put_into_drop`, `load_into_postgres` and `apply_wave_to_postgres` do.
    """
    if wave:
        apply_wave_to_postgres(url, city, wave)
    else:
        load_into_postgres(url, city)
    return put_into_drop(city, wave, drop)


def put_into_drop(city: Path, wave: int, drop: Path) -> list[Path]:
    """Copy the export files of *wave* (0: the first) into *drop*/DEPARTMENT and return their new paths.

    A file appears there whole, under its name and with its time. Raises SettingsError where there is no such wave.
    """
    source = city / "changes" / f"{wave:02}" / "drop" if wave else city / "drop"
    if not source.is_dir():
        raise SettingsError(f"{source} is missing: the city in {city} has no wave {wave}")
    put = []
    for path in sorted(each for each in source.rglob("*") if each.is_file()):
        target = drop / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.part")
        shutil.copy2(path, unfinished)
        unfinished.rename(target)
        put.append(target)
    return put


def load_into_postgres(url: str, city: Path) -> list[Copied]:
    """Make the departments' tables anew in the database at *url* and fill them from the folder *city*.

    All or nothing, in one transaction; tables of the same names are dropped. Raises SettingsError where *city* holds no
    written city, Unavailable where the server cannot be reached or ends the connection.
    """
    folder = city / "postgres"
    schema, load = _read(folder / "schema.sql"), _read(folder / "load.sql")
    copied = []
    try:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(schema.encode())
            for line in load.splitlines():
                found = _COPY_LINE.fullmatch(line)
                if found is None:
                    raise SettingsError(f"{folder / 'load.sql'} was changed: write the city again")
                with cursor.copy(f"COPY {found['into']} FROM STDIN".encode()) as copy:
                    for chunk in _chunks(folder / found["file"]):
                        copy.write(chunk)
                copied.append(Copied(found["file"].removesuffix(".copy"), cursor.rowcount))
    except psycopg.OperationalError as error:
        raise Unavailable(f"Postgres does not answer: {_first_line(error)}") from error
    return copied


def apply_wave_to_postgres(url: str, city: Path, wave: int) -> None:
    """Apply what wave number *wave* (from 1) brings to the departments' tables, in one transaction.

    Raises SettingsError where the city has no such wave, Unavailable as `load_into_postgres` does.
    """
    statements = _read(city / "changes" / f"{wave:02}" / "postgres.sql")
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statements.encode())
    except psycopg.OperationalError as error:
        raise Unavailable(f"Postgres does not answer: {_first_line(error)}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path} is missing: write the city first, with govbus city") from None


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
