"""What holds of every comparator: it answers anything, agrees with itself, and minds neither writing nor side."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from govbus.ops.city.codes import CitizenIds
from govbus.ops.city.places import DISTRICTS, ROADS
from govbus.rules.comparators import COMPARATORS, comparator
from govbus.rules.comparison import Comparator, Reason, Result, Value
from govbus.rules.division_table import TABLE
from govbus.rules.identity import uscc_check
from govbus.rules.names_zh import canonical_name
from govbus.rules.organisation_names import canonical_organisation_name

DECLARED: dict[str, tuple[str, Mapping[str, Any]]] = {
    **{name: (name, {}) for name in COMPARATORS},
    "date with tolerance": ("date", {"tolerance_days": 3}),
    "division to the prefecture": ("division_prefix", {"digits": 4, "successors": {"890104": ["890101", "890102"]}}),
    "division to the province": ("division_prefix", {"digits": 2}),
    "sex": ("code_map", {"standard": "sex"}),
    "ethnicity": ("code_map", {"standard": "ethnicity"}),
    "numeric with tolerance": ("numeric", {"abs": 0.5, "rel": 0.01}),
    "set of ids": ("set", {"of": "id_canonical"}),
    "set of names": ("set", {"of": "name_zh"}),
    "address to the number": ("address_norm", {"least": 3}),
}
BUILT = {name: comparator({kind: parameters}) for name, (kind, parameters) in DECLARED.items()}

# Characters that comparators care for: digits of every width, dots, masks, placeholders, units, marks, rare planes.
SPECIAL = (
    "0123456789０１９xXＸIOS-—/.．·•・*＊?？□\ufffd\ue863 \u3000\xa0\t\u200b"
    "\ufeff\xad()（）[]【】,，、;；年月日元万亿㎡%￥$:TZ+"
    "张三王赟喆哲昇升乾張偉市区县路街号栋单元室第十二百零有限责任公司至今长期无锟斤拷EeÅéßİıﬁ𠮷\ud7ff&#;nbp"
)
text = st.one_of(st.text(st.sampled_from(SPECIAL), max_size=24), st.text(max_size=12))
number = st.one_of(
    st.integers(),
    st.integers(-(10**9), 10**9),
    st.floats(),
    st.decimals(),
    st.sampled_from([Decimal("sNaN"), Decimal("-Infinity"), Decimal("1E+999999"), Decimal("1E-999999")]),
)
scalar = st.one_of(
    st.none(), st.booleans(), text, number, st.dates(), st.datetimes(), st.datetimes(timezones=st.just(UTC))
)
anything: st.SearchStrategy[Any] = st.one_of(
    scalar,
    st.binary(max_size=4),
    st.recursive(
        scalar,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(text, inner, max_size=2)
        ),
        max_leaves=6,
    ),
)

# --- valid values by comparator ---

_HAN = "张王李赵欧阳诸葛明伟芳静强磊娟艳丽赟喆淼昇乾堃犇𬱖㛃"
han_name = st.text(st.sampled_from(_HAN), min_size=2, max_size=4)
name = st.one_of(han_name, st.builds("{}·{}".format, han_name, han_name))


@st.composite
def citizen_id(draw: st.DrawFn) -> str:
    division = draw(st.sampled_from([district.code for district in DISTRICTS]))
    born = draw(st.dates(date(1900, 1, 1), date(2049, 12, 31)))
    return CitizenIds().issue(division, born.toordinal(), draw(st.booleans()))


@st.composite
def credit_code(draw: st.DrawFn) -> str:
    first17 = "91" + draw(st.from_regex(r"[1-8][0-9]{5}[0-9A-HJ-NPQRTUWXY]{9}", fullmatch=True))
    return first17 + uscc_check(first17)


day = st.dates(date(1971, 1, 1), date(2099, 12, 31))
code = st.sampled_from([line.split()[0] for line in TABLE.splitlines() if len(line.split()) > 3 or line.endswith("-")])
amount = st.decimals(-(10**9), 10**9, allow_nan=False, places=2)
address = st.builds(
    "{}{}号{}栋{}单元{}室".format,
    st.sampled_from(ROADS),
    *[st.integers(1, 300) for _ in range(2)],
    *[st.integers(1, 9)] * 2,
)
VALID: dict[str, st.SearchStrategy[Any]] = {
    "exact": st.one_of(st.text("ABC123中文", min_size=1, max_size=5), st.integers(), day, st.booleans()),
    "id_canonical": citizen_id(),
    "uscc_canonical": credit_code(),
    "name_zh": name,
    "name_latin": st.from_regex(r"[A-Z][a-zé]{1,6}( [A-Z][a-z]{1,6}){0,2}", fullmatch=True),
    "org_name_norm": st.builds("{}（深圳）有限公司".format, han_name),
    "date": st.one_of(day, day.map(str), day.map(lambda each: f"{each:%Y%m}"), day.map(lambda each: str(each.year))),
    "division_prefix": code,
    "code_map": st.text("ABC123", min_size=1, max_size=3),
    "numeric": amount,
    "amount": amount,
    "period_overlap": st.tuples(day, st.one_of(st.none(), st.just(date(2100, 1, 1)))),
    "set": st.lists(st.text("ABC", min_size=1, max_size=3), max_size=4).map(tuple),
    "address_norm": address,
    "date with tolerance": day,
    "division to the prefecture": code,
    "division to the province": code,
    "sex": st.sampled_from(["1", "2", "男", "女", "M", "f", 1, 2]),
    "ethnicity": st.sampled_from(["01", "1", "汉族", "满", "56", 56]),
    "numeric with tolerance": amount,
    "set of ids": st.lists(citizen_id(), min_size=1, max_size=3).map(tuple),
    "set of names": st.lists(name, min_size=1, max_size=3).map(tuple),
    "address to the number": address,
}

every = pytest.mark.parametrize("named", list(DECLARED))


@every
@given(data=st.data())
def test_a_comparator_answers_anything(named: str, data: st.DataObject) -> None:
    """Whatever comes in on either side, a result and a reason of the closed list come out, and nothing is raised."""
    valid = VALID[named]
    told = BUILT[named](data.draw(st.one_of(anything, valid)), data.draw(st.one_of(anything, valid)))
    assert told.result in set(Result) - {Result.STALE_A, Result.STALE_B}
    assert told.reason in set(Reason)


@every
@given(data=st.data())
def test_a_valid_value_equals_itself(named: str, data: st.DataObject) -> None:
    """What can be compared at all is equal to itself."""
    value = data.draw(VALID[named])
    assert BUILT[named](value, value).result is Result.EQUAL


@every
@given(data=st.data())
def test_nothing_differs_from_itself(named: str, data: st.DataObject) -> None:
    """Of any value whatever, the same on both sides is no difference: equal, masked, missing, wrong or illegible."""
    value = data.draw(anything)
    told = BUILT[named](value, value).result
    assert told in {Result.EQUAL, Result.COMPATIBLE, Result.MISSING_A, Result.INVALID_A, Result.INDETERMINATE}


_SWAPPED = {
    Result.MISSING_A: Result.MISSING_B,
    Result.MISSING_B: Result.MISSING_A,
    Result.INVALID_A: Result.INVALID_B,
    Result.INVALID_B: Result.INVALID_A,
}


@pytest.mark.parametrize("named", [each for each in DECLARED if each != "numeric with tolerance"])
@given(data=st.data())
def test_the_sides_may_be_swapped(named: str, data: st.DataObject) -> None:
    """Swapping the sides swaps which one is missing or invalid, and changes nothing else.

    A relative tolerance is the authority's, and where both sides are bad the authority's is told first.
    """
    either = st.one_of(VALID[named], anything)
    a, b = data.draw(either), data.draw(either)
    compare = BUILT[named]
    there, back = compare(a, b), compare(b, a)
    bad = (Result.MISSING_A, Result.INVALID_A)
    assume(not (there.result in bad and back.result is there.result))
    assert back.result is _SWAPPED.get(there.result, there.result)


# --- writings that mean the same ---


def _wide(value: str) -> str:
    return "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in value)


def _lower(value: str) -> str:
    return value.lower()


def _blanks(value: str) -> str:
    return f"\ufeff \u3000{value}&nbsp;\u200b "


def _spaced(value: str) -> str:
    return "\u3000".join(value)


def _as_day(value: str | date) -> date | None:
    try:
        return value if isinstance(value, date) else date.fromisoformat(value)
    except ValueError:
        return None


def _written_day(value: str | date) -> Value:
    found = _as_day(value)
    return value if found is None else f"{found.year}年{found.month}月{found.day}日"


def _serial(value: str | date) -> Value:
    found = _as_day(value)
    return value if found is None else (found - date(1899, 12, 30)).days


def _utc(value: str | date) -> Value:
    found = _as_day(value)
    return value if found is None else datetime(found.year, found.month, found.day, tzinfo=UTC) - timedelta(hours=8)


def _old_id(value: str) -> str:
    return value[:6] + value[8:17] if value[6:8] == "19" and value[14:17] < "996" else value


WRITINGS: dict[str, list[Any]] = {
    "exact": [lambda value: _blanks(value) if isinstance(value, str) else value],
    "id_canonical": [_wide, _lower, _blanks, _spaced, _old_id, "'{}".format],
    "uscc_canonical": [_wide, _lower, _blanks, _spaced],
    "name_zh": [_blanks, _spaced, lambda value: value.replace("·", "．"), canonical_name],
    "name_latin": [_wide, _lower, _blanks, lambda value: ", ".join(reversed(value.split()))],
    "org_name_norm": [_wide, _blanks, _spaced, canonical_organisation_name, lambda each: each.replace("（", "【")],
    "date": [_written_day, _serial, _utc, lambda value: _blanks(str(value)), lambda value: _wide(str(value))],
    "division_prefix": [_wide, _blanks, int, "{}001".format],
    "code_map": [_wide, _lower, _blanks],
    "numeric": [str, "{:,}".format, "{}元".format, lambda value: _wide(str(value))],
    "amount": [str, "￥{:,}".format, "{}元".format, lambda value: f"CNY {value}"],
    "period_overlap": [
        lambda value: (str(value[0]), str(value[1] or "长期")),
        lambda value: f"{value[0]}至{value[1] or '今'}",
    ],
    "set": [lambda value: (*reversed(value), *value), lambda value: "、".join(value) if value else value],
    "address_norm": [_wide, _blanks, _spaced, lambda value: value.replace("栋", "幢").replace("室", "房")],
}


@pytest.mark.parametrize("kind", list(WRITINGS))
@given(data=st.data())
def test_the_writing_makes_no_difference(kind: str, data: st.DataObject) -> None:
    """A value written otherwise equals itself, and stands to any other value as it did before."""
    compare = BUILT[kind]
    a, b = data.draw(VALID[kind]), data.draw(VALID[kind])
    written = data.draw(st.sampled_from(WRITINGS[kind]))(a)
    assert compare(a, written).result is Result.EQUAL
    assert compare(written, a).result is Result.EQUAL
    assert compare(written, b).result is compare(a, b).result
    assert compare(b, written).result is compare(b, a).result


@given(st.one_of(text, name))
def test_canonical_names_stay_as_they_are(written: str) -> None:
    """Folding a name or the name of a body once more changes nothing."""
    for canonical in (canonical_name, canonical_organisation_name):
        assert canonical(canonical(written)) == canonical(written)


@every
@given(data=st.data())
def test_what_was_compared_before_does_not_matter(named: str, data: st.DataObject) -> None:
    """A comparator that has just been built answers as one that has answered much."""
    either = st.one_of(VALID[named], anything)
    a, b = data.draw(either), data.draw(either)
    kind, parameters = DECLARED[named]
    fresh: Comparator = comparator({kind: parameters})
    assert fresh(a, b) == BUILT[named](a, b)
