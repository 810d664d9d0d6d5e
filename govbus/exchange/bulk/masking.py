"""Masks in compiled code: from a slot's bytes to those that stand for it, as `govbus.codec.projection` has them."""

from __future__ import annotations

import numpy as np

from govbus.exchange.bulk.columns import (
    BAND,
    DATE,
    DIVISION,
    FIRST,
    FIRST_SLOT,
    KEEP,
    LAST,
    NULL_INDEX,
    OPERATION,
    compiled,
)
from govbus.exchange.bulk.hashing import pseudonym
from govbus.exchange.bulk.walking import long_at

_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_WIDEST = 1 << 61


@compiled
def copied(value, at, end, shown, to):
    for n in range(at, end):
        shown[to + n - at] = value[n]
    return to + end - at


@compiled
def length_written(length, shown, to):
    bits = length << 1
    while bits > 0x7F:
        shown[to] = bits & 0x7F | 0x80
        bits >>= 7
        to += 1
    shown[to] = bits
    return to + 1


@compiled
def characters_end(value, at, end, characters):
    """Return where the first so many characters of a text end."""
    while characters > 0 and at < end:
        at += 1
        while at < end and value[at] & 0xC0 == 0x80:
            at += 1
        characters -= 1
    return at


@compiled
def kept(value, at, end, first, last, shown, to):
    length = 0
    for n in range(at, end):
        if value[n] & 0xC0 != 0x80:
            length += 1
    first = min(first, length // 2)
    last = min(last, (length - 1) // 2 if length > 0 else 0)
    first_end = characters_end(value, at, end, first)
    last_start = characters_end(value, first_end, end, length - first - last)
    stars = length - first - last
    to = length_written(first_end - at + stars + end - last_start, shown, to)
    to = copied(value, at, first_end, shown, to)
    for _ in range(stars):
        shown[to] = 42
        to += 1
    return copied(value, last_start, end, shown, to)


@compiled
def digits_written(number, least, shown, to):
    """Write a number that is not negative in decimal, with at least so many digits."""
    digits = 1
    power = np.int64(1)
    while digits < 19 and number // power >= 10:
        power *= 10
        digits += 1
    while digits < least:
        power *= 10
        digits += 1
    for _ in range(digits):
        shown[to] = 48 + number // power % 10
        power //= 10
        to += 1
    return to


@compiled
def number_written(number, shown, to):
    if number < 0:
        shown[to] = 45
        to += 1
        number = -number
    return digits_written(number, 1, shown, to)


@compiled
def date_written(days, with_month, shown, to):
    """Write the year (and month) of a day counted from 1970-01-01, in the calendar of `datetime.date`."""
    # Years begin in March here, so that the leap day is a year's last (Howard Hinnant, "chrono-compatible low-level
    # date algorithms").
    days += 719_468
    era = days // 146_097
    day = days - era * 146_097
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    month = (5 * (day - (365 * year + year // 4 - year // 100)) + 2) // 153
    year += era * 400
    if month < 10:
        month += 3
    else:
        month -= 9
        year += 1
    to = length_written(7 if with_month else 4, shown, to)
    to = digits_written(year, 4, shown, to)
    if with_month:
        shown[to] = 45
        to = digits_written(month, 2, shown, to + 1)
    return to


@compiled
def masked(value, at, end, slots, parts, part, states, view, shown, to, state, words, of_key, key_slot):
    """Write what stands for a slot; return where it ends, -1 where its mask cannot express the value."""
    slot = parts[part, FIRST_SLOT]
    if slots[slot, NULL_INDEX] >= 0:
        shown[to] = value[at]
        to += 1
        at += 1
        if value[at - 1] == 2 * slots[slot, NULL_INDEX]:
            return to
    operation, first, last = parts[part, OPERATION], parts[part, FIRST], parts[part, LAST]
    number, text = long_at(value, at, end)
    if operation == DATE:
        if not _FIRST_DAY <= number <= _LAST_DAY:
            return np.int64(-1)
        return date_written(number, first, shown, to)
    if operation == BAND:
        if not -_WIDEST < number < _WIDEST:
            return np.int64(-1)
        low = number // first * first
        # The length stands before the digits, and is below 64: one byte.
        text_at = to + 1
        to = number_written(low, shown, text_at)
        shown[to] = 45
        to = number_written(low + first - 1, shown, to + 1)
        shown[text_at - 1] = (to - text_at) << 1
        return to
    if operation == KEEP:
        return kept(value, text, end, first, last, shown, to)
    if operation == DIVISION:
        text_end = characters_end(value, text, end, first)
        return copied(value, text, text_end, shown, length_written(text_end - text, shown, to))
    to = length_written(32, shown, to)
    if slot != key_slot:
        return pseudonym(value, text, end, states, view, shown, to, state, words)
    # Hashing costs as much as all else here, and the key's pseudonym is asked for again as the key.
    if of_key[32] == 0:
        pseudonym(value, text, end, states, view, of_key, 0, state, words)
        of_key[32] = 1
    return copied(of_key, 0, 32, shown, to)
