"""From the bytes on a raw topic to the events the oracle reasons about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oracle import avro, masks, views
from oracle.avro import Malformed, Primitive, Record

MICROS = Primitive("long", "timestamp-micros")


def record_type(business: Record) -> Record:
    """Return the type of raw records: `_version` and `_changed_at` stand before the business fields."""
    head = [avro.Field("_version", Primitive("long"), ()), avro.Field("_changed_at", MICROS, ())]
    return Record(business.name, [*head, *business.fields])


def event_of(
    dataset: str,
    key: bytes,
    value: bytes | None,
    headers: Mapping[str, bytes],
    schemas: Mapping[int, Any],
    newest: Record,
    key_fields: tuple[str, ...],
    epoch: int = 0,
) -> views.Event:
    """Return the change that one message of a raw topic is.

    *schemas* are the business schemas (as JSON has them) under their registry ids; the record is resolved to *newest*.
    Raises `Malformed` for anything that is not a strict record under its own key, or a deletion without its version.
    """
    if value is None:
        version = headers.get("version", b"")
        if not version.isdigit():
            raise Malformed("a deletion without its version")
        return views.Event(dataset, key.decode(), int(version), None, epoch)
    number = int.from_bytes(value[1:5], "big")
    if len(value) < 5 or value[0] or number not in schemas:
        raise Malformed("not framed under a known schema")
    business = avro.parse(schemas[number])
    assert isinstance(business, Record)
    whole, _ = avro.decode(record_type(business), value[5:])
    record = {each.name: whole[each.name] for each in business.fields}
    if views.key_of(business, record, key_fields).encode() != key:
        raise Malformed("the key is not the record's")
    return views.Event(dataset, key.decode(), whole["_version"], avro.resolve(business, newest, record), epoch)


def rows_by_path(record: Record, value: Any, paths: list[str]) -> dict[str, Any]:
    """Return the plain values at dotted paths: what a flat table of this record shows."""
    return {path: avro.plain(*masks.value_at(record, value, path)) for path in paths}
