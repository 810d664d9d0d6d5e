"""What lies in a broker's log segments: every byte a topic holds on disk, aborted and superseded records included.

Record batches of format 2 (Kafka documentation, "Message format"): a header of 61 bytes, whose attributes name the
compression, then the records.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pyarrow

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AT = 12
"""What stands before the part whose length a batch states."""
_CODECS = {1: "gzip", 3: "lz4", 4: "zstd"}


def payloads(data: Path, topic: str) -> Iterator[bytes]:
    """Yield the records of each batch of *topic* as bytes, uncompressed; *data* is the broker's ``log.dirs``."""
    for segment in sorted(data.glob(f"{topic}-*/*.log")):
        if not segment.parent.name.removeprefix(f"{topic}-").isdigit():
            continue
        content, at = segment.read_bytes(), 0
        while at + _HEADER.size <= len(content):
            header = _HEADER.unpack_from(content, at)
            end = at + _LENGTH_AT + header[1]
            if header[1] <= 0 or end > len(content):
                # The broker is writing it, or made room for it beforehand.
                break
            assert header[3] == 2, "a record batch of another format"
            yield _uncompressed(header[5] & 7, content[at + _HEADER.size : end])
            at = end


def _uncompressed(codec: int, records: bytes) -> bytes:
    if codec == 0 or not records:
        return records
    with pyarrow.CompressedInputStream(pyarrow.BufferReader(records), _CODECS[codec]) as stream:
        return bytes(stream.read())
