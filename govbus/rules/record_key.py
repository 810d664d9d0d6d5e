"""Record keys, subjects and partitions: where a record lives.

A key is the canonical UTF-8 texts of the key fields joined by U+001F. The subject is the first of them, and it alone
decides the partition, so all that is held about one person or one enterprise meets in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

SEPARATOR = "\x1f"
SEPARATOR_BYTE = b"\x1f"


def record_key(texts: Sequence[str]) -> bytes:
    """Return the key made of the canonical *texts* of the key fields, in their declared order.

    Raises ValueError if a text is empty or contains U+001F, which would make two keys look like one.
    """
    if not all(texts) or any(SEPARATOR in text for text in texts):
        raise ValueError("a key field is empty or contains U+001F")
    return SEPARATOR.join(texts).encode()


def subject_of(key: bytes) -> bytes:
    """Return the subject, the first field of *key*."""
    return key.partition(SEPARATOR_BYTE)[0]


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of *key*: CRC-32 (ISO 3309, as in zlib) of its subject, modulo *partitions*."""
    return crc32(key.partition(SEPARATOR_BYTE)[0]) % partitions
