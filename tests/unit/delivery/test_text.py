"""Texts for COPY and CSV, names for Postgres, and what may be said of a fault."""

from __future__ import annotations

import csv
import io

import psycopg
from hypothesis import given
from hypothesis import strategies as st

from govbus.delivery.file_format import csv_text
from govbus.delivery.plan import RegistryUnavailable
from govbus.delivery.postgres_copy import copy_cell, escaped, key_cells
from govbus.delivery.postgres_table import identifier
from govbus.delivery.shape import Column, Kind
from govbus.delivery.waiting import wait_of
from govbus.errors import SettingsError, Unavailable
from govbus.kafka.clients import Fenced

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))


def unescaped(cell: str) -> str:
    """Read a COPY cell as PostgreSQL's manual says."""
    out, letters = [], iter(cell)
    for letter in letters:
        out.append({"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}[next(letters)] if letter == "\\" else letter)
    return "".join(out)


@given(TEXTS)
def test_every_text_reads_back_from_a_copy_cell(text: str) -> None:
    """Only U+0000, which Postgres cannot hold, changes on the way; no text is taken for null or for another cell."""
    cell = escaped(text)
    assert not set(cell) & set("\t\n\r\0")
    assert cell != "\\N"
    assert unescaped(cell) == text.replace("\0", "\N{REPLACEMENT CHARACTER}")


@given(st.lists(TEXTS.filter(lambda text: "\x1f" not in text), min_size=1, max_size=4))
def test_a_record_key_is_one_cell_per_key_field(texts: list[str]) -> None:
    """The texts of a key are the cells of its columns, in order."""
    cells = key_cells("\x1f".join(texts).encode()).split("\t")
    assert [unescaped(cell) for cell in cells] == [text.replace("\0", "\ufffd") for text in texts]


@given(TEXTS)
def test_every_text_reads_back_from_csv(text: str) -> None:
    """A reader of RFC 4180 that takes one leading TAB off gets the text; none begins as a formula or a number."""
    (row,) = csv.reader(io.StringIO(f"1,{csv_text(text)}", newline=""), strict=True)
    assert row[1].removeprefix("\t") == text
    assert not row[1] or row[1][0] == "\t" or row[1][0].isalpha()


def test_dates_before_and_beyond_the_era_are_postgres_own() -> None:
    """Postgres writes years before 1 as BC, and has infinity for what it cannot hold."""
    cell = copy_cell(Column("day", Kind.DATE), {"type": "int", "logicalType": "date"})
    assert cell(-719_163) == "0001-12-31 BC"
    assert cell(2_932_897) == "10000-01-01"
    assert (cell(-(2**31)), cell(2**31 - 1), cell(None)) == ("-infinity", "infinity", "\\N")
    at = copy_cell(Column("at", Kind.TIMESTAMP), {"type": "long", "logicalType": "timestamp-millis"})
    assert at(-1) == "1969-12-31 23:59:59.999000+00"
    assert at(-719_163 * 86_400_000) == "0001-12-31 00:00:00+00 BC"


@given(st.lists(st.text("abc_", min_size=1, max_size=130), min_size=2, max_size=2, unique=True))
def test_names_stay_apart_and_fit_postgres(names: list[str]) -> None:
    """Two names that differ anywhere are two identifiers of at most 63 bytes."""
    one, other = map(identifier, names)
    assert one != other
    assert max(len(one), len(other)) <= 63


def test_what_a_fault_says_holds_no_value() -> None:
    """The server's own sentence may quote a value: of its errors only class, code and names are passed on."""
    error = psycopg.errors.InvalidTextRepresentation('invalid input syntax for type integer: "89010119900101123X"')
    wait = wait_of(error)
    assert (wait.reason, wait.needs_a_person) == ("table", True)
    assert "8901" not in wait.cause
    assert "InvalidTextRepresentation" in wait.cause


def test_each_kind_of_fault_is_counted_under_its_own_reason() -> None:
    """Operators see at once what a delivery waits for."""
    faults = {
        "postgres": psycopg.OperationalError("connection refused"),
        "disk": psycopg.errors.DiskFull(),
        "registry": RegistryUnavailable("no answer"),
        "denied": SettingsError("no right"),
        "broker": Unavailable("no answer"),
        "declaration": Fenced("no fault of this list"),
    }
    assert {wait_of(error).reason: error for error in faults.values()} == faults
    assert wait_of(OSError(28, "No space left on device")).reason == "disk"
