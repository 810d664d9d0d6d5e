"""Raw messages as the oracle reads them."""

from __future__ import annotations

import pytest

from oracle import avro, wire
from oracle.avro import Branch, Malformed, Record
from oracle.views import Event

OLDER = {"type": "record", "name": "r", "fields": [{"name": "id", "type": "string"}, {"name": "n", "type": "long"}]}
NEWER = {**OLDER, "fields": [*OLDER["fields"], {"name": "note", "type": ["null", "string"], "default": None}]}
SCHEMAS = {3: OLDER, 4: NEWER}
VALUE = b"\x00\x00\x00\x00\x03" + b"\x0e" + b"\x02" + b"\x02a" + b"\x0a"


def read(key: bytes, value: bytes | None, headers: dict[str, bytes] | None = None) -> Event:
    newest = avro.parse(NEWER)
    assert isinstance(newest, Record)
    return wire.event_of("d.r", key, value, headers or {}, SCHEMAS, newest, ("id",))


def test_a_record_is_brought_into_the_newest_schema() -> None:
    """Version and business fields come out of the bytes; what the older schema lacks has its default."""
    assert read(b"a", VALUE) == Event("d.r", "a", 7, {"id": "a", "n": 5, "note": Branch(0, None)})


def test_a_deletion_has_its_version_in_a_header() -> None:
    """A message without value is a deletion of the version that its header states."""
    assert read(b"a", None, {"version": b"8"}) == Event("d.r", "a", 8, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"a", None),
        (b"b", VALUE),
        (b"a", VALUE[:-1]),
        (b"a", VALUE + b"\x00"),
        (b"a", b"\x01" + VALUE[1:]),
        (b"a", b"\x00\x00\x00\x00\x09" + VALUE[5:]),
        (b"a", b""),
    ],
)
def test_anything_else_is_no_event(key: bytes, value: bytes | None) -> None:
    """Another key, cut or longer bytes, another frame, an unknown schema, no version: refused."""
    with pytest.raises(Malformed):
        read(key, value)


def test_a_flat_row_has_its_values_by_path() -> None:
    """Nested fields stand under their dotted path, absent ones as None."""
    schema = {
        "type": "record",
        "name": "r",
        "fields": [
            {"name": "home", "type": {"type": "record", "name": "H", "fields": [{"name": "street", "type": "string"}]}},
            {"name": "born", "type": ["null", {"type": "int", "logicalType": "date"}]},
        ],
    }
    record = avro.parse(schema)
    assert isinstance(record, Record)
    value = {"home": {"street": "x"}, "born": Branch(0, None)}
    assert wire.rows_by_path(record, value, ["born", "home.street"]) == {"born": None, "home.street": "x"}
