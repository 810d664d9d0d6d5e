"""How the latest accepted record of a key is held in state: its bytes, its epoch, or that it was deleted."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from govbus.codec.framing import HEADER_BYTES
from govbus.codec.walk import read_long, write_long

RECORD = 0
RECORD_WITH_EPOCH = 1
DELETED = 2

_EPOCH = struct.Struct(">BI")
_DELETED = struct.Struct(">BIQQ")


@dataclass(frozen=True, slots=True)
class Held:
    """The latest accepted record of one key; `record` is None where it is deleted. Times in microseconds, UTC."""

    epoch: int
    version: int
    record: bytes | None
    time_micros: int = 0

    @classmethod
    def parse(cls, stored: bytes) -> Held:
        """Return what *stored*, a state value, holds."""
        if stored[0] == RECORD:
            return cls(0, read_long(stored, HEADER_BYTES)[0], stored)
        if stored[0] == RECORD_WITH_EPOCH:
            record = stored[_EPOCH.size :]
            return cls(_EPOCH.unpack_from(stored)[1], read_long(record, HEADER_BYTES)[0], record)
        _, epoch, version, time_micros = _DELETED.unpack(stored)
        return cls(epoch, version, None, time_micros)

    def stored(self) -> bytes:
        """Return the state value. A record of epoch 0, the common case, is stored as its own framed bytes."""
        if self.record is None:
            return _DELETED.pack(DELETED, self.epoch, self.version, self.time_micros)
        return self.record if self.epoch == 0 else _EPOCH.pack(RECORD_WITH_EPOCH, self.epoch) + self.record

    def current_value(self, deleted_frame: bytes) -> bytes:
        """Return the value on the ``current`` topic; *deleted_frame* stands before ``bus.Deleted``."""
        if self.record is not None:
            return self.record
        return deleted_frame + write_long(self.version) + write_long(self.time_micros)

    @classmethod
    def from_current(cls, value: bytes, epoch: int, deleted_frame: bytes) -> Held:
        """Return what a record of the ``current`` topic with header *epoch* holds."""
        if value[:HEADER_BYTES] == deleted_frame:
            version, at = read_long(value, HEADER_BYTES)
            return cls(epoch, version, None, read_long(value, at)[0])
        return cls(epoch, read_long(value, HEADER_BYTES)[0], value)
