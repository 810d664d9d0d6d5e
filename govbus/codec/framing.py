"""The Confluent wire format: byte 0, the schema's registry id in four bytes (big endian), then Avro."""

from __future__ import annotations

import struct

HEADER_BYTES = 5
_HEADER = struct.Struct(">bI")


def header(schema_id: int) -> bytes:
    """Return the five bytes that stand before every value written under *schema_id*."""
    return _HEADER.pack(0, schema_id)


def schema_id_of(value: bytes) -> int | None:
    """Return the schema id that *value* is framed with, or None if it is not framed."""
    if len(value) < HEADER_BYTES or value[0]:
        return None
    return int.from_bytes(value[1:HEADER_BYTES], "big")
