"""Comparing dates, periods, numbers, sets, code lists and addresses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise
from random import Random

import pytest

from govbus.ops.city.places import DISTRICTS, houses
from govbus.rules.addresses import address_grade, canonical_address, read_address
from govbus.rules.comparators import comparator
from govbus.rules.comparison import Reason, Result, Value
from govbus.rules.sets import changes, item_reader

day = comparator("date")
address = comparator("address_norm")
numeric = comparator("numeric")
period = comparator("period_overlap")


@pytest.mark.parametrize(
    "written",
    [
        "19800601", "1980-06-01", "1980/6/1", "1980.06.01", "1980年6月1日", "1980年06月01日", "１９８０-０６-０１",
        "1980-06-01 00:00:00", "1980-06-01T00:00:00.000", "1980-06-01 23:59", "19800601123000", "'19800601",
        "1980-05-31T16:00:00Z", "1980-06-01T00:00:00+08:00", "29373", "29373.0", 29373, 29373.0, 29373.75, 19800601,
        Decimal(19800601), datetime(1980, 6, 1, 12), datetime(1980, 5, 31, 16, tzinfo=UTC),
    ],
)  # fmt: skip
def test_a_day_is_the_same_in_every_writing(written: Value) -> None:
    """All the usual writings of a day mean it; times with an offset count in China's day."""
    assert day(date(1980, 6, 1), written).result is Result.EQUAL
    assert day(written, "1980-06-01").result is Result.EQUAL


@pytest.mark.parametrize(
    "partial", ["1980", "1980-00-00", "19800000", "198006", "1980-06", "1980/6", "1980年", "1980年6月", 198006]
)
def test_a_partial_date_agrees_with_every_day_it_may_mean(partial: Value) -> None:
    """A year or a month contradicts no day in it, and every day outside it."""
    assert day(partial, "1980-06-15").reason == Reason.DATE_PARTIAL
    assert day("1980-06-15", partial).result is Result.COMPATIBLE
    assert day(partial, partial).result is Result.EQUAL
    assert day(partial, "1981-06-15").result is Result.DIFFERENT


@pytest.mark.parametrize(
    "nothing",
    ["1900-01-01", "1970-01-01", "9999-12-31", "00000000", "0000-00-00", "1899-12-30", date(1970, 1, 1), 19000101,
     "1970-01-01 00:00:00", datetime(1970, 1, 1, tzinfo=UTC)],
)  # fmt: skip
def test_default_dates_mean_nothing(nothing: Value) -> None:
    """Dates by which systems say that there is none are missing, in any writing."""
    assert day("1980-06-01", nothing).result is Result.MISSING_B
    assert day(nothing, nothing).result is Result.MISSING_A


@pytest.mark.parametrize(
    ("month", "last", "next_day"),
    [
        ("1980-02", "1980-02-29", "1980-03-01"),
        ("1981-02", "1981-02-28", "1981-03-01"),
        ("1980-12", "1980-12-31", "1981-01-01"),
    ],
)
def test_a_month_has_its_own_last_day(month: str, last: str, next_day: str) -> None:
    """A month agrees with its last day, in leap years and in December too, and not with the day after."""
    assert day(month, last).reason == Reason.DATE_PARTIAL
    assert day(month, next_day).result is Result.DIFFERENT


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("1980-02-30", Reason.DATE_IMPOSSIBLE),
        ("1980-13-01", Reason.DATE_IMPOSSIBLE),
        ("198013", Reason.DATE_IMPOSSIBLE),
        ("1980-00-05", Reason.DATE_IMPOSSIBLE),
        ("1580-06-01", Reason.DATE_IMPOSSIBLE),
        ("80-06-01", Reason.DATE_FORM),
        ("800601", Reason.DATE_IMPOSSIBLE),
        ("六月一日", Reason.DATE_FORM),
        ("1980123456", Reason.DATE_FORM),
        (7, Reason.DATE_FORM),
        (float("nan"), Reason.DATE_FORM),
        (date(2, 1, 1), Reason.DATE_IMPOSSIBLE),
        ("1980-06-01T25:00:00Z", Reason.DATE_IMPOSSIBLE),
        ("1980-06-01T00:00:00+99:00", Reason.DATE_FORM),
    ],
)
def test_what_is_no_date_is_invalid(wrong: Value, reason: Reason) -> None:
    """A day that does not exist, a year without its century and any other text is invalid, with the reason."""
    assert (day("1980-06-01", wrong).result, day("1980-06-01", wrong).reason) == (Result.INVALID_B, reason)
    assert day(wrong, wrong).result is Result.INVALID_A


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ("1980-03-05", Reason.DATE_ONE_DAY),
        ("1980-04-03", Reason.DATE_SWAPPED),
        ("1980-03-19", Reason.DATE_LUNAR),
        ("1980-04-15", Reason.DATE_LUNAR),
        ("1980-05-03", Reason.DATE_LUNAR),
        ("1980-05-04", Reason.DATE_DIFFERS),
        ("1980-03-18", Reason.DATE_DIFFERS),
        ("1981-03-04", Reason.DATE_DIFFERS),
        ("1981", Reason.DATE_DIFFERS),
    ],
)
def test_a_difference_of_dates_tells_its_likely_cause(other: str, reason: Reason) -> None:
    """One day suggests a time zone, 15 to 60 days the lunar calendar, a swap month and day."""
    assert (day("1980-03-04", other).result, day("1980-03-04", other).reason) == (Result.DIFFERENT, reason)
    assert day(other, "1980-03-04") == day("1980-03-04", other)


def test_the_tolerance_counts_from_the_nearest_day_of_a_partial_date() -> None:
    """A death on 31 December and one in the next year are a day apart at the least."""
    tolerant = comparator({"date": {"tolerance_days": 3}})
    assert tolerant("2019-12-31", "2020").reason == Reason.DATE_TOLERATED
    assert tolerant("2019-12-28", "2020").result is Result.DIFFERENT


def test_sentinels_are_the_declared_ones() -> None:
    """A city may say which dates mean nothing; 1 January 1970 is then a birthday like any other."""
    own = comparator({"date": {"sentinels": ["2099-12-31"]}})
    assert own("1970-01-01", "1970-01-01").result is Result.EQUAL
    assert own("1970-01-01", "2099-12-31").result is Result.MISSING_B


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ("2020-01-01~2020-12-31", "2020年1月1日至2020年12月31日", Result.EQUAL),
        ("2020-01-01 - 2020-12-31", "20200101-20201231", Result.EQUAL),
        ("2020-01-01/2020-12-31", (20200101, 20201231), Result.EQUAL),
        ("2020-01-01至长期", ("2020-01-01", None), Result.EQUAL),
        (("2020-01-01", "9999-12-31"), ("2020-01-01", ""), Result.EQUAL),
        (("2020-01-01", "2020-03-31"), ("2020-03-31", "2020-05-01"), Result.COMPATIBLE),
        (("2020-01-01", "2020-03-31"), ("2020-04-01", "2020-05-01"), Result.DIFFERENT),
        ((None, "2020-03-31"), ("2019-01-01", "2019-02-01"), Result.COMPATIBLE),
        ("2020", "2020", Result.INVALID_A),
        (("2020-01-01", "2020-01-01", "2020-01-01"), ("2020-01-01", None), Result.INVALID_A),
        (("2020-01-01", "someday"), ("2020-01-01", None), Result.INVALID_A),
        ((None, None), ("2020-01-01", None), Result.MISSING_A),
        ((["2020"], None), ("2020-01-01", None), Result.INVALID_A),
    ],
)
def test_periods(a: Value, b: Value, result: Result) -> None:
    """Periods agree where they overlap; an end that is missing, a default date or "long-term" is open."""
    assert period(a, b).result is result


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ("100万", 1_000_000, Result.EQUAL),
        ("100万元", "1,000,000.00元", Result.EQUAL),
        ("１００", "100.0", Result.EQUAL),
        ("1.5亿", 150_000_000, Result.EQUAL),
        ("￥5,000", "5000元", Result.EQUAL),
        ("人民币100万元", 1_000_000, Result.EQUAL),
        ("89.5平方米", "89.50㎡", Result.EQUAL),
        ("89.5m²", 89.5, Result.EQUAL),
        (0.1 + 0.2, 0.3, Result.DIFFERENT),
        (Decimal("0.30"), 0.3, Result.EQUAL),
        ("-5", -5, Result.EQUAL),
        (0, "0.00", Result.EQUAL),
        ("100元", "100㎡", Result.INDETERMINATE),
        ("100美元", "100元人民币", Result.DIFFERENT),
        (float("inf"), 1, Result.INVALID_A),
        (1, Decimal("NaN"), Result.INVALID_B),
        (1, Decimal("sNaN"), Result.INVALID_B),
        (Decimal("sNaN"), Decimal("sNaN"), Result.INVALID_A),
        (10**30, 10**30, Result.INVALID_A),
        (Decimal("1E+999999"), 1, Result.INVALID_A),
        ("1E99", "1E99", Result.INVALID_A),
        ("12,34", 1234, Result.INVALID_A),
        ("约100", 100, Result.INVALID_A),
        ((1,), 1, Result.INVALID_A),
    ],
)
def test_numbers(a: Value, b: Value, result: Result) -> None:
    """Numbers compare in their units' base, exactly; what is no finite number of a sane size is invalid."""
    assert numeric(a, b).result is result


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (5_000_000, 500, Reason.UNIT_SUSPECT),
        (500, 5_000_000, Reason.UNIT_SUSPECT),
        (Decimal("1234567.89"), Decimal("123.46"), Reason.UNIT_SUSPECT),
        (61_250, 612, Reason.UNIT_SUSPECT_FEN),
        (61_250, Decimal("612.50"), Reason.UNIT_SUSPECT_FEN),
        (5_000_000, 501, Reason.NUMBER_DIFFERS),
        (100, 101, Reason.NUMBER_DIFFERS),
        (5_000_000, 0, Reason.NUMBER_DIFFERS),
    ],
)
@pytest.mark.parametrize("name", ["numeric", "amount"])
def test_a_factor_of_a_unit_is_suspected(name: str, a: Value, b: Value, reason: Reason) -> None:
    """Ten thousand times as much suggests yuan and ten thousand yuan, a hundred times fen and yuan, rounded or not."""
    compared = comparator(name)(a, b)
    assert (compared.result, compared.reason) == (Result.DIFFERENT, reason)


def test_tolerances_are_the_larger_of_both() -> None:
    """The absolute tolerance rules small numbers, the relative one large numbers, measured on the authority's."""
    tolerant = comparator({"numeric": {"abs": 0.5, "rel": 0.01}})
    assert tolerant(10, 10.5).reason == Reason.NUMBER_TOLERATED
    assert tolerant(10, 10.6).result is Result.DIFFERENT
    assert tolerant(1000, 1010).result is Result.COMPATIBLE
    assert tolerant(1000, 1011).result is Result.DIFFERENT


def test_units_are_declared_for_either_side() -> None:
    """A side whose numbers bear no unit can be declared to be in one; a unit in the text goes before it."""
    capital = comparator({"numeric": {"unit_a": "元", "unit_b": "万元"}})
    assert capital(1_000_000, 100).result is Result.EQUAL
    assert capital(100, 100).result is Result.DIFFERENT
    assert capital(1_000_000, "1000000元").result is Result.EQUAL


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (("A", "B"), ("B", "C"), Reason.SET_BOTH),
        (("A",), ("A", "C"), Reason.SET_ADDED),
        ("A、B", "B", Reason.SET_REMOVED),
        ((), ("A",), Reason.SET_ADDED),
        ((), (), Reason.SAME),
        (("A", None, ""), "A", Reason.SAME),
        ((1, 2), ("2", "1"), Reason.SAME),
    ],
)
def test_sets_tell_what_is_added_and_what_is_missing(a: Value, b: Value, reason: Reason) -> None:
    """Order and repeats do not count; empty items are none; the reason tells the direction and no item."""
    assert comparator("set")(a, b).reason == reason


def test_the_items_of_a_set_can_be_told_to_those_who_may_see_them() -> None:
    """What is added and what is removed is had from the same reading that the comparator judges by."""
    read = item_reader("id_canonical")
    a, b = read("11010519491231002x"), read(("440524188001010014", "110105491231002"))
    assert isinstance(a, frozenset)
    assert isinstance(b, frozenset)
    assert changes(a, b) == ({"440524188001010014"}, frozenset())


@pytest.mark.parametrize(
    ("of", "bad", "result"),
    [
        ("id_canonical", ("11010519491231002X", "123"), Result.INVALID_B),
        ("name_zh", ("王?",), Result.INDETERMINATE),
        ("exact", (("A",),), Result.INVALID_B),
    ],
)
def test_a_set_with_a_bad_item_is_bad(of: str, bad: Value, result: Result) -> None:
    """One item that is invalid or illegible makes its side so."""
    good = "11010519491231002X" if of == "id_canonical" else "王赟"
    assert comparator({"set": {"of": of}})(good, bad).result is result


def test_code_maps_translate_both_sides() -> None:
    """Spellings and codes of either list mean the same; one outside both is invalid; without a list codes stand."""
    status = comparator({"code_map": {"codes": {"存续": "A", "在业": "A", "注销": "B"}, "unknown": ["0"]}})
    assert status("存续", "在业").result is Result.EQUAL
    assert status("A", "ａ").result is Result.EQUAL
    assert status("A", "注销").result is Result.DIFFERENT
    assert status("A", "吊销").result is Result.INVALID_B
    assert status("A", "0").reason == Reason.CODE_UNSTATED
    plain = comparator("code_map")
    assert plain("x1", "X1").result is Result.EQUAL
    assert plain("x1", "x2").result is Result.DIFFERENT


def test_declared_codes_join_the_standard_ones() -> None:
    """A department's own spelling can be added to a standard list, by its code or by another spelling."""
    sex = comparator({"code_map": {"standard": "sex", "codes": {"先生": "男", "女士": "2", "0": "1"}}})
    assert sex("先生", "M").result is Result.EQUAL
    assert sex("女士", 2).result is Result.EQUAL
    assert sex("0", "1").result is Result.EQUAL
    assert sex("9", "1").result is Result.MISSING_A


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ("海棠路88号３栋", "海棠路88号三幢", Reason.SAME),
        ("海棠路第88号", "海棠路八十八号", Reason.SAME),
        ("海棠路88号3-2-501", "海棠路88号3栋2单元0501室", Reason.SAME),
        ("云海市望海区海棠路88号", "海棠路88号", Reason.ADDRESS_COARSER),
        ("云海市望海区", "望海区海棠路88号", Reason.ADDRESS_COARSER),
        ("望海区钟楼街道海棠路88号", "望海区海棠街道海棠路88号", Reason.ADDRESS_DIVISION_DIFFERS),
        ("海棠路88号", "海棠路89号", Reason.ADDRESS_NUMBER_DIFFERS),
        ("中山南路1234弄5号601室", "中山南路1234弄6号601室", Reason.ADDRESS_NUMBER_DIFFERS),
        ("海棠路88号3栋", "海棠路88号4栋", Reason.ADDRESS_UNIT_DIFFERS),
        ("七里村2号", "七里村3号", Reason.ADDRESS_NUMBER_DIFFERS),
        ("海棠苑3栋501室", "听涛居3栋501室", Reason.ADDRESS_ROAD_DIFFERS),
        ("海棠路*", "海棠路88号", Reason.MASKED_AGREES),
        ("海棠路?号", "海棠路88号", Reason.PLACEHOLDER),
        ("菜市场楼上", "海棠路88号", Reason.ADDRESS_UNREADABLE),
        ("海棠路88号", "No. 88 Haitang Road", Reason.ADDRESS_UNREADABLE),
    ],
)
def test_addresses(a: str, b: str, reason: Reason) -> None:
    """Each level is compared where both sides tell it, and the first that differs is the reason."""
    assert address(a, b).reason == reason
    assert address(b, a) == address(a, b)


def test_the_grade_of_two_addresses() -> None:
    """The grade is the level to which both agree without a gap: 0 none to 4 the dwelling."""
    whole = read_address(canonical_address("云海市望海区海棠路88号3栋2单元501室"))
    others = {
        "云海市云峰区海棠路88号3栋2单元501室": 0,
        "云海市望海区听涛路88号": 1,
        "望海区海棠路89号": 2,
        "望海区海棠路88号": 3,
        "望海区海棠路88号3栋": 4,
        "海棠路88号": 0,
    }
    assert {other: address_grade(whole, read_address(canonical_address(other))) for other in others} == others


def test_every_address_of_the_reference_city_is_read(seed: int) -> None:
    """Each address gives its levels and differs from its neighbour's; free text decides nothing."""
    chance = Random(seed).random
    for district in DISTRICTS:
        homes = [house.address for house in islice(houses(chance, district), 60)]
        for home, next_one in pairwise(homes):
            read = read_address(canonical_address(home))
            assert read.readable
            assert all((read.city, read.county, read.town, read.road, read.number)), home
            assert address(home, next_one).result is Result.DIFFERENT
            assert address(home, home[3:9] + "菜市场楼上").result is Result.INDETERMINATE


def test_dates_of_the_whole_range_are_read_back(seed: int) -> None:
    """A day written in any of the usual ways equals itself and differs from the next."""
    random = Random(seed)
    for _ in range(300):
        written = date(1901, 1, 2) + timedelta(days=random.randrange(72_000))
        serial = (written - date(1899, 12, 30)).days
        for other in (
            f"{written:%Y%m%d}",
            f"{written:%Y/%m/%d}",
            f"{written.year}年{written.month}月{written.day}日",
            serial,
        ):
            if serial >= 10_000 or not isinstance(other, int):
                assert day(written, other).result in (Result.EQUAL, Result.MISSING_A)
                assert day(written + timedelta(days=400), other).result is not Result.EQUAL
