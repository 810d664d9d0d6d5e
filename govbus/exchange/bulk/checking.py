"""Key, partition and the common formats of a record in compiled code, as `govbus.rules` has them."""

from __future__ import annotations

import numpy as np

from govbus.exchange.bulk.columns import CITIZEN_ID, FORMAT, NULL_INDEX, USCC, compiled
from govbus.exchange.bulk.walking import long_at

_SEPARATOR = 0x1F

_crc = np.arange(256, dtype=np.uint32)
for _ in range(8):
    _crc = np.where(_crc & 1, np.uint32(0xEDB88320) ^ (_crc >> 1), _crc >> 1)
_CRC_TABLE = _crc.astype(np.uint32)

_ID_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.int64)
_ID_CHECKS = np.frombuffer(b"10X98765432", np.uint8).copy()
_USCC_ALPHABET = b"0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUES = np.array([_USCC_ALPHABET.find(bytes([each])) for each in range(256)], np.int64)
_USCC_WEIGHTS = np.array([pow(3, place, 31) for place in range(17)], np.int64)


@compiled
def crc32(value, at, end):
    crc = np.uint32(0xFFFFFFFF)
    for n in range(at, end):
        crc = _CRC_TABLE[(crc ^ value[n]) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return np.int64(crc ^ np.uint32(0xFFFFFFFF))


@compiled
def is_citizen_id(value, at, end):
    if end - at != 18 or value[at] == 48:
        return False
    total = 0
    for n in range(17):
        digit = np.int64(value[at + n]) - 48
        if digit < 0 or digit > 9:
            return False
        total += digit * _ID_WEIGHTS[n]
    year = month = day = np.int64(0)
    for n in range(4):
        year = year * 10 + value[at + 6 + n] - 48
    for n in range(2):
        month = month * 10 + value[at + 10 + n] - 48
        day = day * 10 + value[at + 12 + n] - 48
    if not 1800 <= year <= 2199 or not 1 <= month <= 12 or day < 1:
        return False
    days = 31
    if month == 2:
        days = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        days = 30
    return day <= days and value[at + 17] == _ID_CHECKS[total % 11]


@compiled
def is_uscc(value, at, end):
    if end - at != 18:
        return False
    total = 0
    for n in range(18):
        number = _USCC_VALUES[value[at + n]]
        if number < 0 or (2 <= n < 8 and number > 9):
            return False
        if n < 17:
            total += number * _USCC_WEIGHTS[n]
    return _USCC_VALUES[value[at + 17]] == (31 - total % 31) % 31


@compiled
def has_format(value, at, end, slots, slot):
    """Return whether a slot found canonical is null or in the form its format asks for."""
    if slots[slot, NULL_INDEX] >= 0:
        if value[at] == 2 * slots[slot, NULL_INDEX]:
            return True
        at += 1
    at = long_at(value, at, end)[1]
    wanted = slots[slot, FORMAT]
    if wanted == CITIZEN_ID:
        return is_citizen_id(value, at, end)
    if wanted == USCC:
        return is_uscc(value, at, end)
    return is_citizen_id(value, at, end) or is_uscc(value, at, end)


@compiled
def is_under_key(value, start, keys, key_at, key_end, bounds, record, key_slots, partition, partitions):
    """Return whether the key is the one derived from the record, and its subject belongs to this partition."""
    for n in range(key_slots.shape[0]):
        slot = key_slots[n]
        end = start + bounds[slot + 1, record]
        at = long_at(value, start + bounds[slot, record], end)[1]
        if n > 0:
            if key_at >= key_end or keys[key_at] != _SEPARATOR:
                return False
            key_at += 1
        if at == end or end - at > key_end - key_at:
            return False
        if n == 0 and crc32(value, at, end) % partitions != partition:
            return False
        for m in range(end - at):
            byte = value[at + m]
            if byte == _SEPARATOR or byte != keys[key_at + m]:
                return False
        key_at += end - at
    return key_at == key_end
