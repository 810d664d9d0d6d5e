"""Division codes over time: the table itself, and what is compared with it."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from govbus.ops.city.places import BY_CODE, RETIRED_DIVISIONS
from govbus.rules.comparators import comparator
from govbus.rules.comparison import Reason, Result, Value
from govbus.rules.division_table import TABLE
from govbus.rules.division_table import __doc__ as about
from govbus.rules.divisions import division_table

county = comparator("division_prefix")
prefecture = comparator({"division_prefix": {"digits": 4}})
province = comparator({"division_prefix": {"digits": 2}})

LINES = [line.split() for line in TABLE.splitlines()]
RETIRED = [line for line in LINES if not line[2].endswith("-")]


def test_every_line_is_a_code_a_name_its_years_and_its_successors() -> None:
    """Lines are sorted, no code stands twice, years are in order, and only retired codes have successors."""
    codes = [code for code, *_ in LINES]
    assert codes == sorted(set(codes))
    for code, name, years, *successors in LINES:
        assert re.fullmatch(r"[1-8]\d{5}", code)
        assert re.fullmatch(r"[一-鿿]{2,20}", name)
        first, last = years.split("-")
        assert first == "?" or 1980 <= int(first) <= 2026
        assert not last or first == "?" or int(first) <= int(last) <= 2026
        assert not successors or last


def test_successors_are_in_force() -> None:
    """What took a retired code's place is valid today, is another code, and lies where its people then lived."""
    table = division_table()
    for code, _, _, *successors in RETIRED:
        assert set(successors) <= table.in_force
        assert code not in successors
        # Hainan left Guangdong in 1988, Chongqing left Sichuan in 1997: no other code changed its province.
        for successor in successors:
            assert successor[:2] == code[:2] or (code[:2], successor[:2]) in {("44", "46"), ("51", "50")}


def test_the_table_has_the_size_that_its_description_says() -> None:
    """The figures of the table's description are counted from it."""
    unknown = [line for line in RETIRED if len(line) == 3]
    later = [line for line in unknown if int(line[2][-4:]) > 1983]
    assert about is not None
    assert f"Of {len(RETIRED):,} retired codes {len(unknown)} have no successor, {len(later)} of them" in about
    levels = Counter((code.endswith("0000"), code.endswith("00")) for code in division_table().in_force)
    # 34 at province level, 333 prefectures; the municipalities' districts and the rest are counties.
    assert (levels[True, True], levels[False, True]) == (34, 333)


@pytest.mark.parametrize(
    ("retired", "today", "approval"),
    [
        ("310103", "310101", "卢湾区并入黄浦区，2011年"),
        ("110103", "110101", "崇文区并入东城区，2010年"),
        ("110104", "110102", "宣武区并入西城区，2010年"),
        ("310119", "310115", "南汇区并入浦东新区，国函〔2009〕52号"),
        ("440102", "440104", "东山区并入越秀区，2005年"),
        ("371202", "370116", "莱城区改为济南市莱芜区，国函〔2018〕163号"),
        ("110221", "110114", "昌平县改区"),
        ("510212", "500106", "重庆市沙坪坝区，1997年设直辖市"),
        ("442201", "460200", "海南建省前的三亚市"),
        ("612501", "611002", "商州市改区，国函〔2001〕94号"),
        ("430402", "430405", "江东区改珠晖区，国函〔2001〕34号"),
        ("379027", "370784", "安丘市，民行批〔1994〕7号"),
        ("330103", "330105", "下城区并入拱墅区，国函〔2021〕29号"),
    ],
)
def test_merges_of_record(retired: str, today: str, approval: str) -> None:
    """A code that an approval retired is equal to the one that took its place."""
    told = county(retired, today)
    assert (told.result, told.reason) == (Result.EQUAL, Reason.DIVISION_SUCCEEDED), approval
    assert county(today, retired) == told


@pytest.mark.parametrize(
    ("retired", "parts"),
    [
        ("320586", ["320506", "320507"]),
        ("330104", ["330102", "330114"]),
        ("130106", ["130102", "130104", "130105", "130108"]),
        ("430411", ["430405", "430406", "430407", "430408"]),
    ],
)
def test_a_split_division_is_compatible_with_each_of_its_parts(retired: str, parts: list[str]) -> None:
    """Where a division was shared out nobody can tell from its code into which part, but no other is right."""
    for part in parts:
        assert county(retired, part).reason == Reason.DIVISION_SPLIT
    assert county(retired, "110101").result is Result.DIFFERENT
    assert county(retired, retired).result is Result.EQUAL


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ("310101", "440305", Reason.PROVINCE_DIFFERS),
        ("440305", "440106", Reason.PREFECTURE_DIFFERS),
        ("440305", "440306", Reason.COUNTY_DIFFERS),
        ("310101", "310104", Reason.COUNTY_DIFFERS),
        ("440305", "440399", Reason.DIVISION_UNKNOWN),
    ],
)
def test_a_difference_tells_its_level(a: str, b: str, reason: Reason) -> None:
    """The reason says whether province, prefecture or county differs, or that a code is in no list."""
    assert (county(a, b).result, county(a, b).reason) == (Result.DIFFERENT, reason)
    assert county(b, a) == county(a, b)


def test_only_the_declared_digits_count() -> None:
    """Two counties of a city agree at four digits, two cities of a province at two, municipalities as a whole."""
    assert prefecture("440305", "440306").result is Result.EQUAL
    assert province("440305", "440106").result is Result.EQUAL
    assert prefecture("440305", "440106").result is Result.DIFFERENT
    assert prefecture("500101", "500229").result is Result.EQUAL
    assert prefecture("512301", "500102").result is Result.EQUAL


@pytest.mark.parametrize("coarse", ["310000", "31", "310100"])
def test_a_higher_level_contradicts_none_below_it(coarse: str) -> None:
    """A province's code is compatible with all of its counties; zeros tell nothing."""
    assert county(coarse, "310101").reason == Reason.DIVISION_COARSER
    assert county(coarse, "320101").result is Result.DIFFERENT
    assert province(coarse, "310101").result is Result.EQUAL


@pytest.mark.parametrize("urban", ["320101", "440301"])
def test_the_districts_of_a_city_together_are_the_city(urban: str) -> None:
    """The code of 市辖区, which only statistics use, is the city's."""
    assert county(urban, f"{urban[:4]}06").reason == Reason.DIVISION_COARSER
    assert county(urban, f"{urban[:4]}00").result is Result.EQUAL


@pytest.mark.parametrize("written", ["３１０１０１", " 310101 ", 310101, 310101.0, "310101002", "310101002003"])
def test_writings_of_a_code(written: Value) -> None:
    """Width, blanks, a number's type and the digits of street and village make no other county."""
    assert county("310101", written).result is Result.EQUAL


@pytest.mark.parametrize("wrong", ["上海市", "31010", "010101", "3101011", "", -310101, 310101.5, "310101X"])
def test_what_is_no_code_is_invalid(wrong: Value) -> None:
    """A name, a wrong number of digits or a leading zero is invalid; an empty text is missing."""
    assert county("310101", wrong).result is (Result.MISSING_B if wrong == "" else Result.INVALID_B)


def test_a_retired_code_without_a_recorded_successor_decides_nothing() -> None:
    """Where it went is not known, so it differs from nothing; its province is known all the same."""
    assert county("640211", "640205").reason == Reason.DIVISION_SUCCESSOR_UNKNOWN
    assert county("640211", "640211").result is Result.INDETERMINATE
    assert province("640211", "640205").result is Result.EQUAL
    assert province("640211", "310101").result is Result.DIFFERENT


def test_a_citys_own_codes_compare_by_its_own_successors() -> None:
    """The reference city's fictional divisions are its own: they compare as they are, after the declared successors."""
    own = comparator({"division_prefix": {"successors": RETIRED_DIVISIONS}})
    for retired, today in RETIRED_DIVISIONS.items():
        assert own(retired, today).reason == Reason.DIVISION_SUCCEEDED
        assert county(retired, today).result is Result.DIFFERENT
    for code in BY_CODE:
        assert own(code, code).result is Result.EQUAL
        assert own(code, "890000").reason == Reason.DIVISION_COARSER
        assert all(own(code, other).result is Result.DIFFERENT for other in BY_CODE if other != code)


def test_declared_successors_may_split_chain_and_even_circle() -> None:
    """A city's successors can be several, lead on, and never lead into a circle that does not end."""
    own = comparator(
        {"division_prefix": {"successors": {"890104": ["890101", "890102"], "890105": "890104", "890106": "890106"}}}
    )
    assert own("890105", "890102").reason == Reason.DIVISION_SPLIT
    assert own("890106", "890106").result is Result.EQUAL
    assert own("890105", "890103").result is Result.DIFFERENT


def test_a_place_that_kept_its_name_is_among_the_successors() -> None:
    """A place whose code begins when another of its province, level and name ends is what that became."""
    named: dict[tuple[str, str, bool], list[tuple[str, str]]] = {}
    for code, name, years, *_ in LINES:
        if years.endswith("-"):
            named.setdefault((code[:2], name, code.endswith("00")), []).append((code, years[:4]))
    checked, strays = 0, []
    for code, name, years, *successors in RETIRED:
        begun_later = [
            other for other, first in named.get((code[:2], name, code.endswith("00")), []) if first > years[-4:]
        ]
        if successors and len(begun_later) == 1:
            checked += 1
            if begun_later[0] not in successors:
                strays.append((code, name))
    # Xingtai's 桥西区 is 信都区 today; the one of that name lies in Zhangjiakou.
    assert strays == [("132203", "桥西区")]
    assert checked > 1_000
