"""The schemas a dataset and its views have on the wire, made from the business schema and nothing else."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

VERSION_FIELD = "_version"
CHANGED_AT_FIELD = "_changed_at"

DELETED: Schema = {
    "type": "record",
    "name": "Deleted",
    "namespace": "bus",
    "doc": "What the bus keeps of a deleted record, so that no older copy can come back.",
    "fields": [
        {"name": "version", "type": "long"},
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ],
}


def record_schema(business: Schema) -> Schema:
    """Return the schema of raw and current records: `_version` and `_changed_at`, then the business fields."""
    meta = [
        {"name": VERSION_FIELD, "type": "long", "doc": "Version of this record at its source; the highest wins."},
        {
            "name": CHANGED_AT_FIELD,
            "type": {"type": "long", "logicalType": "timestamp-micros"},
            "doc": "When the source changed it, UTC.",
        },
    ]
    return {**business, "fields": [*meta, *business["fields"]]}
