"""A framed record as what `json.dumps` may write: field by field, dates and decimals as text."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader

from govbus.codec.framing import HEADER_BYTES
from govbus.codec.reader import RecordReader
from govbus.delivery.row import bare
from govbus.delivery.value import json_maker


class RecordText:
    """Reads records of one schema. `fields` raises `govbus.codec.walk.Malformed` for bytes that are none."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._reader = RecordReader(schema)
        self._parsed = parse_schema(bare(schema), _force=True)
        self._json = json_maker(schema)

    def fields(self, value: bytes) -> dict[str, Any]:
        """Return the fields of the framed record *value*."""
        canonical, _ = self._reader.read(value)
        found: dict[str, Any] = self._json(schemaless_reader(BytesIO(canonical[HEADER_BYTES:]), self._parsed, None))
        return found
