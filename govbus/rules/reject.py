"""Why a record is put aside: every reason, once, with what its owner should do."""

from __future__ import annotations

from enum import StrEnum

from govbus.rules.structural import RULES


class RejectReason(StrEnum):
    """Reasons in the ``reason`` header of reject topics and the label of the reject metric."""

    NULL_KEY = "null_key"
    NOT_FRAMED = "not_framed"
    UNKNOWN_SCHEMA = "unknown_schema"
    FOREIGN_SCHEMA = "foreign_schema"
    MALFORMED = "malformed"
    OVERSIZE = "oversize"
    KEY_MISMATCH = "key_mismatch"
    WRONG_PARTITION = "wrong_partition"
    INVALID_VALUE = "invalid_value"
    STRUCTURAL_CHECK = "structural_check"
    VERSION_MISSING = "version_missing"
    VERSION_RANGE = "version_range"
    VERSION_AHEAD = "version_ahead"
    VERSION_CONFLICT = "version_conflict"
    UNPROCESSABLE = "unprocessable"


REMEDY: dict[RejectReason, str] = {
    RejectReason.NULL_KEY: "send the record with its key: the canonical key fields joined by U+001F",
    RejectReason.NOT_FRAMED: "send the Confluent wire format: byte 0, schema id in 4 bytes, Avro",
    RejectReason.UNKNOWN_SCHEMA: "the registry does not know this schema id: register schemas by `govbus apply` only",
    RejectReason.FOREIGN_SCHEMA: "this schema id belongs to another topic: use the one registered under this topic",
    RejectReason.MALFORMED: "the bytes are not Avro of the stated schema: check the serialiser",
    RejectReason.OVERSIZE: "the record is larger than the city allows: split it, or ask to raise max_record_bytes",
    RejectReason.KEY_MISMATCH: "the key is not the one made of the value's key fields: use govbus's publisher",
    RejectReason.WRONG_PARTITION: "set the partition to crc32(subject) mod partitions, as govbus's publisher does",
    RejectReason.INVALID_VALUE: "a value is not in its canonical form: correct it at the source and send it again",
    RejectReason.STRUCTURAL_CHECK: (
        "fields of the record contradict each other: correct them at the source and send it again"
    ),
    RejectReason.VERSION_MISSING: "a deletion needs a `version` header with a decimal number",
    RejectReason.VERSION_RANGE: "versions run from 1 to 2^62",
    RejectReason.VERSION_AHEAD: "the version's time is more than an hour ahead: set the source's clock right",
    RejectReason.VERSION_CONFLICT: "this version was sent before with other values: send right ones with a higher one",
    RejectReason.UNPROCESSABLE: "the bus cannot process this record and put it aside alone: tell the operators",
}


def why(reason: str, rule: str = "") -> str:
    """Return a reject's reason as it is shown: with the structural check in brackets, where that is the reason."""
    return f"{reason} ({rule})" if rule else reason


def remedy(reason: str, rule: str = "") -> str:
    """Return what the owner of a record rejected for *reason*, by the structural check *rule*, should do."""
    known = {each.value: text for each, text in REMEDY.items()}
    text = known.get(reason, REMEDY[RejectReason.UNPROCESSABLE])
    return f"{RULES[rule].fault}: {text}" if rule in RULES else text
