"""Rows of files: line numbers, encodings, and what is no row."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from govbus.adapters.file_rows import BadRow, CsvFile, CsvRow, JsonLinesFile, JsonRow, UnreadableFile, lost_digits
from govbus.catalogue.source import FileSource
from govbus.rules.identity import citizen_id_check


def source(**more: Any) -> FileSource:
    return FileSource.model_validate({"kind": "file", "format": "csv", "path": "*.csv", **more})


def rows(path: Path, data: bytes, **more: Any) -> list[CsvRow | BadRow]:
    path.write_bytes(data)
    file = CsvFile(path, source(**more))
    try:
        return list(file.rows())
    finally:
        file.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.csv"


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("utf-8-sig", b"\xef\xbb\xbf"), ("gb18030", b"")]
)
def test_rows_have_their_cells_and_lines(path: Path, encoding: str, mark: bytes) -> None:
    """Any declared encoding, with or without a mark, quoted line breaks and rare characters included."""
    text = '甲,乙\r\n1,𠮷\r\n\r\n"2\r\n3","a""b"\r\n4,5\r\n'
    assert rows(path, mark + text.encode(encoding.removesuffix("-sig")), encoding=encoding) == [
        CsvRow(2, ["1", "𠮷", None]),
        CsvRow(4, ["2\r\n3", 'a"b', None]),
        CsvRow(6, ["4", "5", None]),
    ]


def test_the_delimiter_is_the_declared_one(path: Path) -> None:
    """Commas are ordinary characters where another delimiter is declared."""
    assert rows(path, b"a|b\n1,5|2\n", delimiter="|") == [CsvRow(2, ["1,5", "2", None])]


def test_a_row_of_another_length_is_told(path: Path) -> None:
    """Too few or too many columns are a bad row; empty ones too many are none."""
    found = rows(path, b"a,b\n1\n1,2,3\n1,2,,\n")
    assert [(row.line, type(row)) for row in found] == [(2, BadRow), (3, BadRow), (4, CsvRow)]
    assert [row.reason for row in found if isinstance(row, BadRow)] == [
        "the row has 1 columns, the header 2",
        "the row has 3 columns, the header 2",
    ]
    assert not any(row.broken for row in found if isinstance(row, BadRow))


@pytest.mark.parametrize("data", [b"a,b\n1,2\n3", b'a,b\n"1,2\n3,4\n5,6\n', b'a,b\n"1"x,2\n', b'a,b\n"1\n2",3,4\n'])
def test_lines_that_may_hide_others_are_broken(path: Path, data: bytes) -> None:
    """A cut last line, a quote that never ends or ends in the middle, a wrong row over several lines."""
    assert [row.broken for row in rows(path, data) if isinstance(row, BadRow)] == [True]


def test_reading_goes_on_behind_a_broken_row(path: Path) -> None:
    """A row with a misplaced quote is told, and the next is read as usual."""
    found = rows(path, b'a,b\n"1"x,2\n3,4\n')
    assert isinstance(found[0], BadRow)
    assert found[1] == CsvRow(3, ["3", "4", None])


@pytest.mark.parametrize(("data", "says"), [(b"", "empty"), (b"\n1,2\n", "empty"), (b"a,a\n", "twice")])
def test_a_file_without_a_usable_header_is_unreadable(path: Path, data: bytes, says: str) -> None:
    """A CSV export begins with a header that names each column once."""
    with pytest.raises(UnreadableFile, match=says):
        rows(path, data)


def test_missing_columns_are_all_named(path: Path) -> None:
    """Whoever fixes the export hears of every column at once; those that may be absent get the place at the end."""
    path.write_bytes(b"a,b\n")
    file = CsvFile(path, source())
    try:
        assert file.places([("b", None), ("a", None), ("z", "field")]) == [1, 0, 2]
        with pytest.raises(UnreadableFile, match="x, y"):
            file.places([("x", None), ("a", None), ("y", None)])
    finally:
        file.close()


def test_json_lines_keep_decimals_and_tell_what_is_no_object(path: Path) -> None:
    """Numbers keep their digits; arrays, broken lines and NaN are no records; a cut last line is broken."""
    path.write_bytes('\ufeff{"a": 0.10, "b": "𠮷"}\n\n[1]\n{"a": NaN}\n{"a": 1}\n{"a"'.encode())
    file = JsonLinesFile(path, source(format="jsonl"))
    try:
        found = list(file.rows())
    finally:
        file.close()
    first, *_, whole, cut = found
    assert isinstance(first, JsonRow)
    assert (first.line, str(first.record["a"]), first.record["b"]) == (1, "0.10", "𠮷")
    assert [(row.line, row.broken) for row in found if isinstance(row, BadRow)] == [(3, False), (4, False), (6, True)]
    assert isinstance(whole, JsonRow)
    assert isinstance(cut, BadRow)


def citizens(count: int) -> list[str]:
    found = []
    for number in range(count):
        first17 = f"890101{date(1950, 1, 1) + timedelta(days=number):%Y%m%d}123"
        found.append(first17 + citizen_id_check(first17))
    return found


@pytest.mark.parametrize(
    ("ids", "lost"),
    [
        (citizens(1000), False),
        ([each[:15] + "000" for each in citizens(1000)], True),
        (["8.90101E+17"] * 1000, True),
        ([*citizens(999), "890101195001010000"], False),
        ([], False),
    ],
)
def test_a_cut_column_is_recognised_and_a_single_cut_id_is_not_taken_for_one(
    path: Path, ids: list[str], lost: bool
) -> None:
    """Only where ids are cut by the hundred is every id that ends in 000 to be doubted."""
    path.write_text("\n".join(["身份证号", *ids]), encoding="utf-8")
    assert lost_digits(path) is lost
