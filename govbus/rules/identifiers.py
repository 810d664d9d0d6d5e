"""Codes that identify: compared as they are, or in the one canonical form of citizen ids and credit codes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache

from govbus.rules import identity
from govbus.rules.comparator_kind import NULLS, ComparatorKind, Example
from govbus.rules.comparison import (
    EQUAL,
    Comparator,
    Comparison,
    Reason,
    Result,
    Value,
    compatible,
    different,
    indeterminate,
)
from govbus.rules.masked import compare_masked, is_masked
from govbus.rules.sides import MISSING, NULL_SPELLINGS, WRONG_TYPE, Nulls, Unread, legible, two_sided

_PLAIN = re.compile(r"[!-%'-~\u4e00-\u9fff]+").fullmatch


def plain_text(value: Value) -> str | Unread:
    """Return a scalar as the text that codes of it compare by: NFC without blanks at its ends, dates as ISO 8601."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", legible(value)).strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < 40:
        return format(value.normalize() + 0, "f")
    if isinstance(value, int | date):
        return str(value)
    return MISSING if value is None else WRONG_TYPE


def _exact(nulls: Sequence[str] = NULL_SPELLINGS) -> Comparator:
    nothing = Nulls(nulls)

    def read(value: Value) -> str | Unread:
        text = plain_text(value)
        return MISSING if isinstance(text, str) and nothing.hold(text) else text

    def judge(a: str, b: str) -> Comparison:
        return EQUAL if a == b else different(Reason.TEXT_DIFFERS)

    def surely_valid(text: str) -> bool:
        return _PLAIN(text) is not None and text.casefold() not in nothing.words

    return two_sided(read, judge, surely_valid)


# --- citizen ids ---

_MASKED_ID = re.compile(r"[\dX*]{2,18}", re.ASCII).fullmatch
_ID_FORM = re.compile(r"[1-9]\d{14}|[1-9]\d{16}[\dX]", re.ASCII).fullmatch
_LOOK_ALIKES = str.maketrans("ХхⅩⅹ", "XXXX")


def citizen_id(text: str) -> str | Unread:
    """Return the canonical citizen id in *text*, a masked one with its asterisks, or what is wrong with it."""
    plain = text.translate(_LOOK_ALIKES)
    try:
        return identity.citizen_id_canonical(plain)
    except ValueError:
        return _no_id(plain)


def _id_canonical(nulls: Sequence[str] = NULL_SPELLINGS) -> Comparator:
    nothing = Nulls(nulls)

    def read(value: Value) -> str | Unread:
        if not isinstance(value, str):
            return MISSING if value is None else WRONG_TYPE
        text = legible(value)
        return MISSING if nothing.hold(text) else citizen_id(text)

    def judge(a: str, b: str) -> Comparison:
        if is_masked(a) or is_masked(b):
            return compare_masked(a, b)
        return EQUAL if a == b else different(Reason.CODE_DIFFERS)

    return two_sided(read, judge, _is_canonical_id)


def _is_canonical_id(text: str) -> bool:
    return text.isascii() and identity.is_canonical_citizen_id(text.encode())


def _no_id(text: str) -> str | Unread:
    """Return a masked id, or what is wrong with *text*."""
    try:
        plain = identity.folded(text)
    except ValueError:
        return Unread("invalid", Reason.ID_ROUNDED)
    if is_masked(plain) and _MASKED_ID(plain) and plain.strip("*"):
        return plain
    if not _ID_FORM(plain):
        return Unread("invalid", Reason.ID_FORM)
    birth = plain[6:14] if len(plain) == 18 else "19" + plain[6:12]
    return Unread("invalid", Reason.ID_CHECK if identity.is_day(birth) else Reason.ID_DATE)


# --- unified social credit codes ---

_MASKED_USCC = re.compile(r"[0-9A-Z*]{2,18}", re.ASCII).fullmatch
_LETTERS_FOR_DIGITS = str.maketrans("IO", "10")


def credit_code(text: str) -> str | Unread:
    """Return the canonical USCC in *text*, a masked or older code, or what is wrong with it."""
    try:
        return identity.uscc_canonical(text)
    except ValueError:
        return _no_uscc(text)


def _uscc_canonical(nulls: Sequence[str] = NULL_SPELLINGS) -> Comparator:
    nothing = Nulls(nulls)

    def read(value: Value) -> str | Unread:
        if not isinstance(value, str):
            return MISSING if value is None else WRONG_TYPE
        text = legible(value)
        return MISSING if nothing.hold(text) else credit_code(text)

    return two_sided(read, _judge_uscc, _is_canonical_uscc)


@lru_cache(maxsize=1024)
def _is_canonical_uscc(text: str) -> bool:
    return text.isascii() and identity.is_canonical_uscc(text.encode())


def _no_uscc(text: str) -> str | Unread:
    """Return a masked code or one of the older kinds (9 or 15 characters), or what is wrong with *text*."""
    try:
        plain = identity.folded(text)
    except ValueError:
        return Unread("invalid", Reason.ID_ROUNDED)
    if is_masked(plain) and _MASKED_USCC(plain) and plain.strip("*"):
        return plain
    if len(plain) == 15 and plain[:6].isdigit() and plain.isascii():
        # A registration number, or the old tax id: six digits of division, then the organisation code.
        return plain if _organisation_code(plain[6:]) or _is_registration_number(plain) else _WRONG_FORM
    if len(plain) == 9:
        return plain if _organisation_code(plain) else _WRONG_FORM
    if len(plain) != 18:
        return _WRONG_FORM
    if _is_canonical_uscc(plain.translate(_LETTERS_FOR_DIGITS)):
        return Unread("invalid", Reason.USCC_LETTERS)
    check = all(each in identity.USCC_ALPHABET for each in plain) and plain[2:8].isdigit()
    return Unread("invalid", Reason.USCC_CHECK) if check else _WRONG_FORM


_WRONG_FORM = Unread("invalid", Reason.USCC_FORM)


def _organisation_code(text: str) -> str | None:
    """Return the organisation code in *text*: all of nine characters, or that part of a USCC or an old tax id."""
    part = {9: text, 15: text[6:], 18: text[8:17]}.get(len(text))
    try:
        return identity.organisation_code_canonical(part) if part else None
    except ValueError:
        return None


def _is_registration_number(text: str) -> bool:
    try:
        return bool(identity.registration_number_canonical(text))
    except ValueError:
        return False


def _judge_uscc(a: str, b: str) -> Comparison:
    if is_masked(a) or is_masked(b):
        return compare_masked(a, b)
    if a == b:
        return EQUAL
    if len(a) == len(b) == 18:
        return different(Reason.SAME_BODY_DIFFERENT_CODE if a[8:17] == b[8:17] else Reason.CODE_DIFFERS)
    body = _organisation_code(a)
    if body is not None and body == _organisation_code(b):
        return compatible(Reason.ORGANISATION_CODE_AGREES)
    if len(a) != len(b) and 15 in (len(a), len(b)) and _is_registration_number(a if len(a) == 15 else b):
        return indeterminate(Reason.OLD_REGISTRATION)
    return different(Reason.CODE_DIFFERS)


EXACT = ComparatorKind(
    "逐字",
    "首尾空格和字符编码方式（NFC）不同，仍是同一值；数字、是否、日期按其文本比",
    "其余任何不同，包括大小写、全角半角",
    frozenset({"text", "code", "number", "boolean", "date"}),
    _exact,
    {"nulls": NULLS},
    (
        Example("A001", "A001", Result.EQUAL),
        Example(" A001", "A001　", Result.EQUAL),
        Example("a001", "A001", Result.DIFFERENT),
        Example("A001", "/", Result.MISSING_B),
    ),
)

ID_CANONICAL = ComparatorKind(
    "公民身份号码",
    "全角半角、空格、连字符、末位 x 的大小写不同，15位与升位后的18位，仍是同一号码；脱敏号码可见部分一致为“相容”",
    "其余任何不同；位数、出生日期或校验码不对的为“无效”",
    frozenset({"text", "code"}),
    _id_canonical,
    {"nulls": NULLS},
    (
        Example("11010519491231002x", "11010519491231002X", Result.EQUAL),
        Example("110105491231002", "11010519491231002X", Result.EQUAL),
        Example("1101051949123100２X", "110105 19491231 002X", Result.EQUAL),
        Example("110105********002X", "11010519491231002X", Result.COMPATIBLE),
        Example("11010519491231002X", "440524188001010014", Result.DIFFERENT),
        Example("110105194912310021", "11010519491231002X", Result.INVALID_A),
        Example("440524188001010014", "4.40524E+17", Result.INVALID_B),
    ),
)

USCC_CANONICAL = ComparatorKind(
    "统一社会信用代码",
    "全角半角、空格、大小写不同，仍是同一代码；9位组织机构代码或15位旧税号与其中的组织机构代码一致，为“相容”",
    "其余任何不同；组织机构代码相同而代码不同的，另作提示；写成 I、O 的为“无效”，不自动改为 1、0",
    frozenset({"text", "code"}),
    _uscc_canonical,
    {"nulls": NULLS},
    (
        Example("91350100m000100y43", "91350100M000100Y43", Result.EQUAL),
        Example("918901000000004650", "９１8901000000004650", Result.EQUAL),
        Example("91350100M000100Y43", "M000100Y-4", Result.COMPATIBLE),
        Example("91890100MA5TEXT03K", "92890100MA5TEXT11B", Result.DIFFERENT),
        Example("91350100M000100Y43", "9135O100M000100Y43", Result.INVALID_B),
        Example("91890100MA5TEXT03K", "890100000000018", Result.INDETERMINATE),
    ),
)
