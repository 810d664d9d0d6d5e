"""Records held under an older schema, brought into the newest one: the slow way, through fastavro's schema resolution."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import fastavro

from govbus.codec.framing import HEADER_BYTES
from govbus.codec.schemas import Schema


def upgrade(writer: Schema, newest: Schema) -> Callable[[bytes], bytes]:
    """Return a function from a framed record of *writer* to the same record under *newest*, its frame unchanged.

    Fields that *writer* lacks take their defaults (Avro 1.11, "Schema Resolution"). Logical types are left aside: the
    bytes of a date or a decimal are carried, not interpreted.
    """
    written = fastavro.parse_schema(_without_logical_types(writer), _force=True)
    wanted = fastavro.parse_schema(_without_logical_types(newest), _force=True)

    def upgraded(value: bytes) -> bytes:
        record = fastavro.schemaless_reader(io.BytesIO(value[HEADER_BYTES:]), written, wanted)
        out = io.BytesIO()
        out.write(value[:HEADER_BYTES])
        fastavro.schemaless_writer(out, wanted, record)
        return out.getvalue()

    return upgraded


def encoded(avro_type: Any, value: object) -> bytes:
    """Return *value*, as a schema's default spells it, in the bytes of *avro_type* (self-contained)."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(_without_logical_types(avro_type), _force=True), value)
    return out.getvalue()


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {word: _without_logical_types(each) for word, each in node.items() if word != "logicalType"}
    return [_without_logical_types(each) for each in node] if isinstance(node, list) else node
