"""Shapes and rows: which columns a view has, and what of an older record is delivered into them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
import pytest

from govbus.codec.framing import header
from govbus.delivery.file_format import JsonLines, deletion_cells
from govbus.delivery.row import RowMaker, UnreadableRecord
from govbus.delivery.shape import Column, Kind, Shape, shape_of

DATE = {"type": "int", "logicalType": "date"}


def schema(**types: Any) -> dict[str, Any]:
    return {"type": "record", "name": "r", "fields": [{"name": name, "type": t} for name, t in types.items()]}


def framed(schema_id: int, of: dict[str, Any], **values: Any) -> bytes:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(of), values)
    return header(schema_id) + stream.getvalue()


def test_a_key_in_clear_is_its_own_columns() -> None:
    """Key fields that are delivered in clear are the key of the table; no column is added."""
    shape = shape_of(schema(id="string", month="int", name="string"), ["id", "month"], key_in_clear=True)
    assert shape.key == ("id", "month")
    assert shape.names == ("id", "month", "name")


@pytest.mark.parametrize(
    ("fields", "key", "in_clear"),
    [
        ({"id": "string", "name": "string"}, ["id"], False),
        ({"name": "string"}, ["id"], False),
        ({"person": schema(id="string")}, ["person.id"], True),
        ({"id": "double", "name": "string"}, ["id"], True),
    ],
)
def test_any_other_key_is_a_column_of_its_own(fields: dict[str, Any], key: list[str], in_clear: bool) -> None:
    """A pseudonym, a nested key field, or one whose text is no exact value makes `_key` the key."""
    shape = shape_of(schema(**fields), key, key_in_clear=in_clear)
    assert shape.key == ("_key",)
    assert shape.columns[0] == Column("_key", Kind.TEXT)


def test_kinds_follow_the_avro_type_and_optional_is_no_kind() -> None:
    """["null", T] is a column of T; a wider union and whatever nests is JSON; a field always null is an empty text."""
    found = shape_of(
        schema(
            id="string", day=["null", DATE], wide=["string", "int"], gone="null", list={"type": "array", "items": "int"}
        ),
        ["id"],
        key_in_clear=True,
    )
    assert [column.kind for column in found.columns] == [Kind.TEXT, Kind.DATE, Kind.JSON, Kind.TEXT, Kind.JSON]


def test_an_older_record_fills_only_what_the_shape_still_has() -> None:
    """Withdrawn fields are not delivered again, new ones are empty, and one of another kind waits for new records."""
    old = schema(id="string", birth=DATE, phone="string", name="string")
    new = schema(id="string", birth="string", name="string", since=["null", DATE])
    maker = RowMaker(shape_of(new, ["id"], key_in_clear=True), {1: old, 2: new}.__getitem__, JsonLines().cell)
    assert maker.row(b"1", framed(1, old, id="1", birth=0, phone="0890", name="甲")) == ["1", None, "甲", None]
    assert maker.row(b"1", framed(2, new, id="1", birth="1970", name="甲", since=1)) == [
        "1",
        "1970",
        "甲",
        "1970-01-02",
    ]


@pytest.mark.parametrize("value", [b"", b"\x00\x00", b"\x01\x00\x00\x00\x01\x02x", b"\x00\x00\x00\x00\x01\x08x"])
def test_bytes_that_are_no_record_are_named_so(value: bytes) -> None:
    """Values that are not framed or end too early are one kind of fault, whose text holds none of them."""
    of = schema(id="string")
    maker = RowMaker(shape_of(of, ["id"], key_in_clear=True), lambda _: of, JsonLines().cell)
    with pytest.raises(UnreadableRecord):
        maker.row(b"1", value)


def test_a_deletion_reads_its_key_columns_back_from_the_key() -> None:
    """Texts of every key type become the values their columns have; the other columns are null."""
    shape = Shape(
        (
            Column("id", Kind.TEXT),
            Column("name", Kind.TEXT),
            Column("month", Kind.BIGINT),
            Column("day", Kind.DATE),
            Column("yes", Kind.BOOLEAN),
        ),
        ("id", "month", "day", "yes"),
    )
    cells = deletion_cells("甲\x1f-3\x1f1970-01-02\x1ftrue".encode(), shape, JsonLines().cell)
    assert cells == ["甲", None, -3, "1970-01-02", True]
    for key in (b"x", "甲\x1fx\x1f1970-01-02\x1ftrue".encode(), "甲\x1f1\x1f1970\x1ftrue".encode()):
        with pytest.raises(UnreadableRecord):
            deletion_cells(key, shape, JsonLines().cell)
