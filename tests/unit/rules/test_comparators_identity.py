"""Comparing ids, codes and names: the vectors of the standards, and the dirt of registers."""

from __future__ import annotations

import pytest

from govbus.ops.city import population
from govbus.ops.city.faults import FAULTS
from govbus.ops.city.names import RARE_CHARACTERS
from govbus.rules.comparators import comparator
from govbus.rules.comparison import Reason, Result
from govbus.rules.han_folding import simplified

citizen_id = comparator("id_canonical")
uscc = comparator("uscc_canonical")
name = comparator("name_zh")
organisation = comparator("org_name_norm")

VALID_IDS = [
    "11010519491231002X", "440524188001010014", "890101200503140018", "890101200503140026", "89010119910101008X",
    "890201197806301238", "810000199001010019", "830000198506150024", "911034198401010011",
]  # fmt: skip
VALID_CODES = [
    "91350100M000100Y43", "91890100MA5TEXT03K", "92890100MA5TEXT11B", "51890100500123453D", "12890100400123456C",
    "918901000000004650",
]  # fmt: skip


@pytest.mark.parametrize("valid", VALID_IDS)
def test_an_id_equals_itself_in_any_writing(valid: str) -> None:
    """Case, width, blanks, hyphens, an apostrophe and look-alike letters of X make no other id."""
    wide = "".join(chr(ord(each) + 0xFEE0) for each in valid)
    cyrillic = valid.replace("X", "Х")
    for written in (
        valid.lower(),
        wide,
        f" {valid}　",
        f"'{valid}",
        f"{valid[:6]}-{valid[6:14]}-{valid[14:]}",
        cyrillic,
    ):
        assert citizen_id(valid, written).result is Result.EQUAL
        assert citizen_id(written, valid).result is Result.EQUAL


@pytest.mark.parametrize(
    ("old", "new"), [("890101910101019", "890101199101010194"), ("890101800101997", "890101188001019972")]
)
def test_an_id_of_15_digits_equals_its_18(old: str, new: str) -> None:
    """The century is 19, and 18 for the sequences that were kept for centenarians."""
    assert citizen_id(old, new).result is Result.EQUAL
    assert citizen_id(new, old).result is Result.EQUAL


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("110105194912310021", Reason.ID_CHECK),
        ("110105194913310021", Reason.ID_DATE),
        ("110105491331002", Reason.ID_DATE),
        ("11010519491231", Reason.ID_FORM),
        ("张三", Reason.ID_FORM),
        ("4.40524E+17", Reason.ID_ROUNDED),
        ("*", Reason.ID_FORM),
    ],
)
def test_a_wrong_id_says_what_is_wrong(wrong: str, reason: Reason) -> None:
    """An invalid id is invalid also where both sides hold it, with the reason for it."""
    assert citizen_id(wrong, VALID_IDS[0]).reason == reason
    assert citizen_id(wrong, wrong).result is Result.INVALID_A
    assert citizen_id(VALID_IDS[0], wrong).result is Result.INVALID_B


@pytest.mark.parametrize(
    ("masked", "result"),
    [
        ("110105********002X", Result.COMPATIBLE),
        ("110105*", Result.COMPATIBLE),
        ("**************002X", Result.COMPATIBLE),
        ("110106********002X", Result.DIFFERENT),
        ("110105********0021", Result.DIFFERENT),
    ],
)
def test_a_masked_id_is_compared_by_what_it_shows(masked: str, result: Result) -> None:
    """What a mask shows must agree at both ends; what it hides decides nothing."""
    assert citizen_id(masked, "11010519491231002X").result is result
    assert citizen_id("11010519491231002X", masked).result is result


@pytest.mark.parametrize("valid", VALID_CODES)
def test_a_credit_code_equals_itself_in_any_writing(valid: str) -> None:
    """Case, width and blanks make no other code; a check sum that wraps to 0 is right."""
    assert uscc(valid, valid).result is Result.EQUAL
    assert uscc(valid, f" {valid.lower()} ").result is Result.EQUAL


@pytest.mark.parametrize(
    ("a", "b", "result", "reason"),
    [
        ("91890100MA5TEXT03K", "92890100MA5TEXT11B", Result.DIFFERENT, Reason.CODE_DIFFERS),
        ("91350100M000100Y43", "M000100Y4", Result.COMPATIBLE, Reason.ORGANISATION_CODE_AGREES),
        ("91350100M000100Y43", "350100M000100Y4", Result.COMPATIBLE, Reason.ORGANISATION_CODE_AGREES),
        ("91890100MA5TEXT03K", "M000100Y4", Result.DIFFERENT, Reason.CODE_DIFFERS),
        ("91890100MA5TEXT03K", "110000013023494", Result.INDETERMINATE, Reason.OLD_REGISTRATION),
        ("91350100M000100Y43", "91350I00M000100Y43", Result.INVALID_B, Reason.USCC_LETTERS),
        ("91350100M000100Y43", "91350100M000100Y44", Result.INVALID_B, Reason.USCC_CHECK),
        ("91350100M000100Y43", "张三有限公司", Result.INVALID_B, Reason.USCC_FORM),
        ("91350100M000100Y43", "9135****00100Y43", Result.COMPATIBLE, Reason.MASKED_AGREES),
    ],
)
def test_credit_codes_and_what_stood_for_them(a: str, b: str, result: Result, reason: Reason) -> None:
    """Older codes agree through the organisation code where it can be had; letters for digits are never put right."""
    assert (uscc(a, b).result, uscc(a, b).reason) == (result, reason)


def test_one_body_with_two_codes_is_told() -> None:
    """Two valid codes over the same organisation code differ, and the reason says that the body may be the same."""
    told = uscc("91350100M000100Y43", "91440300M000100Y40")
    assert (told.result, told.reason) == (Result.DIFFERENT, Reason.SAME_BODY_DIFFERENT_CODE)


@pytest.mark.parametrize(
    "written",
    [
        "买买提.吐尔逊",
        "买买提•吐尔逊",
        "买买提・吐尔逊",
        "买买提．吐尔逊",
        "买买提 · 吐尔逊",
        "買買提·吐爾遜",
        "买买提&middot;吐尔逊",
    ],
)
def test_middle_dots_blanks_and_script_make_no_other_name(written: str) -> None:
    """Every way to write the dot between the parts of a name is the same dot."""
    assert name("买买提·吐尔逊", written).result is Result.EQUAL


def test_a_name_without_its_dot_is_compatible() -> None:
    """A register that drops the dot reports the same name, as far as anyone can tell."""
    assert name("买买提·吐尔逊", "买买提吐尔逊").reason == Reason.NAME_DOT


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ("陶喆", "陶哲", Reason.NAME_FORMER_VARIANT),
        ("王淼", "王渺", Reason.NAME_FORMER_VARIANT),
        ("王堃", "王坤", Reason.NAME_FORMER_VARIANT),
        ("甯静", "宁静", Reason.NAME_FORMER_VARIANT),
        ("张三", "张叁", Reason.NAME_DIFFERS),
        ("张三", "张三丰", Reason.NAME_DIFFERS),
        ("王鑫", "王犇", Reason.NAME_DIFFERS),
    ],
)
def test_standard_characters_are_never_merged(a: str, b: str, reason: Reason) -> None:
    """Characters that people are named with today stay apart, also where one was once a variant of the other."""
    assert (name(a, b).result, name(a, b).reason) == (Result.DIFFERENT, reason)
    assert name(b, a) == name(a, b)


@pytest.mark.parametrize(
    ("a", "b"), [("王昇", "王升"), ("李乾", "李干"), ("鍾馗", "锺馗"), ("鍾馗", "钟馗"), ("余光中", "餘光中")]
)
def test_characters_with_several_simplified_forms_contradict_nothing(a: str, b: str) -> None:
    """Where a traditional character may be either of two simplified ones, the names are equal or compatible."""
    assert name(a, b).result in (Result.EQUAL, Result.COMPATIBLE)
    assert name(b, a) == name(a, b)


@pytest.mark.parametrize("character", ["乾", "昇", "喆", "淼", "堃", "徵", "於", "甯", "犇", "𬱖", "𬭎"])
def test_standard_characters_are_not_simplified(character: str) -> None:
    """A character of the Table of General Standard Chinese Characters is never turned into another."""
    assert simplified(character) == character


@pytest.mark.parametrize("rare", RARE_CHARACTERS)
def test_names_with_rare_characters_compare_like_any(rare: str) -> None:
    """A rare character equals itself and nothing else, and its placeholders decide nothing."""
    assert name(f"王{rare}", f"王 {rare}").result is Result.EQUAL
    assert name(f"王{rare}", "王伟").result is Result.DIFFERENT
    for stand_in in ("?", "？", "□", "＊", "\ufffd", "\ue000", "YING"):
        assert name(f"王{rare}", f"王{stand_in}").result is Result.INDETERMINATE


@pytest.mark.parametrize("original", ["张三", "王小明", "欧阳修", "诸葛亮", "古丽娜尔", "阿不都拉·卡德尔"])
@pytest.mark.parametrize(
    ("written", "read"), [("utf-8", "gbk"), ("utf-8", "latin-1"), ("utf-8", "cp1252"), ("gbk", "latin-1")]
)
def test_mixed_up_code_pages_decide_nothing(original: str, written: str, read: str) -> None:
    """A name garbled by reading it in the wrong code page is not held to be another name."""
    garbled = original.encode(written).decode(read, errors="replace")
    assert name(original, garbled).result is Result.INDETERMINATE
    assert name(garbled, original).result is Result.INDETERMINATE


def test_true_names_are_hardly_ever_taken_for_garbled(common_names: list[str]) -> None:
    """Of 20,000 names none is held to be a mix-up of code pages."""
    other = "甲乙丙丁"
    assert [each for each in common_names if name(each, other).result is not Result.DIFFERENT] == []


@pytest.fixture
def common_names(seed: int) -> list[str]:
    """Names as the reference city has them."""
    return [str(person["name"]) for person in population(20_000, seed)]


@pytest.mark.parametrize(("a", "b"), [("张三", "张3"), ("张三", "11010519491231002X")])
def test_digits_in_a_name_are_invalid(a: str, b: str) -> None:
    """A number in the name's column is a shifted column, not another name."""
    assert (name(a, b).result, name(a, b).reason) == (Result.INVALID_B, Reason.NAME_DIGITS)


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ("张*", "张三丰", Result.COMPATIBLE),
        ("张**", "张三", Result.COMPATIBLE),
        ("*三", "张三", Result.COMPATIBLE),
        ("张*丰", "张三丰", Result.COMPATIBLE),
        ("张*", "*三", Result.COMPATIBLE),
        ("张*", "张*", Result.COMPATIBLE),
        ("張*", "张三", Result.COMPATIBLE),
        ("张*", "李四", Result.DIFFERENT),
        ("张*丰", "张三", Result.DIFFERENT),
        ("张*", "张", Result.DIFFERENT),
    ],
)
def test_masked_names(a: str, b: str, result: Result) -> None:
    """A masked name agrees with every name that has what it shows, and more."""
    assert name(a, b).result is result
    assert name(b, a).result is result


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ("甲【深圳】有限公司", "甲(深圳)有限公司", Result.EQUAL),
        ("ＡＢＣ有限公司", "abc有限公司", Result.EQUAL),
        ("“甲”有限公司", "甲有限公司", Result.EQUAL),
        ("甲貿易有限公司", "甲贸易有限公司", Result.EQUAL),
        ("甲·乙有限公司", "甲乙有限公司", Result.COMPATIBLE),
        ("甲股份有限公司", "甲有限公司", Result.DIFFERENT),
        ("甲公司", "甲有限公司", Result.DIFFERENT),
        ("甲有限公司", "甲有限公司第一分公司", Result.DIFFERENT),
        ("甲有限公司", "甲□有限公司", Result.INDETERMINATE),
    ],
)
def test_names_of_bodies(a: str, b: str, result: Result) -> None:
    """Brackets, quotes, width and script make no other body; a word more or less does."""
    assert organisation(a, b).result is result
    assert organisation(b, a).result is result


def test_the_names_that_the_reference_city_spoils_are_judged_as_its_table_says() -> None:
    """Dots, blanks and marks are formatting; placeholders, pinyin and mojibake decide nothing."""
    kinds = {fault.kind for fault in FAULTS if fault.kind.startswith("name_")}
    marks = {"middle_dot", "spaced", "nbsp", "brackets"}
    assert kinds == {f"name_{each}" for each in marks | {"placeholder", "pinyin", "mojibake"}}
    assert name("王三&nbsp;", "王三").result is Result.EQUAL
    assert name("王　三", "王三").result is Result.EQUAL
    assert name("锟斤拷锟斤拷锟斤拷", "欧阳修").result is Result.INDETERMINATE
