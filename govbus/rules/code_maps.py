"""Codes of one list said in another: sex as 1, M or 男; nationality as 01 or 汉."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from govbus.rules.comparator_kind import NULLS, ComparatorKind, Example, Parameter
from govbus.rules.comparison import EQUAL, Comparator, Comparison, Reason, Result, Value, different
from govbus.rules.identifiers import plain_text
from govbus.rules.sides import MISSING, NULL_SPELLINGS, Nulls, Unread, legible, two_sided

_NATIONALITIES = (
    "汉 蒙古 回 藏 维吾尔 苗 彝 壮 布依 朝鲜 满 侗 瑶 白 土家 哈尼 哈萨克 傣 黎 傈僳 佤 畲 高山 拉祜 水 东乡 纳西 "
    "景颇 柯尔克孜 土 达斡尔 仫佬 羌 布朗 撒拉 毛南 仡佬 锡伯 阿昌 普米 塔吉克 怒 乌孜别克 俄罗斯 鄂温克 德昂 保安 "
    "裕固 京 塔塔尔 独龙 鄂伦春 赫哲 门巴 珞巴 基诺"
)
"""The 56 in the order of their codes, GB/T 3304."""


def _nationality_spellings() -> dict[str, str]:
    spellings: dict[str, str] = {}
    for number, name in enumerate(_NATIONALITIES.split(), 1):
        code = f"{number:02}"
        spellings |= {code: code, str(number): code, name: code, name + "族": code}
    return spellings | {"97": "97", "其他": "97", "98": "98", "外国血统中国籍人士": "98", "外国血统": "98"}


STANDARDS: Mapping[str, tuple[Mapping[str, str], frozenset[str]]] = MappingProxyType(
    {
        # GB/T 2261.1: 0 unknown, 9 not stated.
        "sex": (
            {
                **dict.fromkeys(("1", "M", "MALE", "男", "男性"), "1"),
                **dict.fromkeys(("2", "F", "FEMALE", "女", "女性"), "2"),
            },
            frozenset({"0", "9", "未知", "未知的性别", "未说明", "未说明的性别"}),
        ),
        # GB/T 3304; 97 and 98 as registers use them.
        "ethnicity": (_nationality_spellings(), frozenset({"99", "未识别", "未说明"})),
        # GB/T 2261.2: 21 to 23 say more about 20.
        "marital_status": (
            {
                **dict.fromkeys(("10", "未婚"), "10"),
                **dict.fromkeys(("20", "21", "22", "23", "已婚", "初婚", "再婚", "复婚"), "20"),
                **dict.fromkeys(("30", "丧偶"), "30"),
                **dict.fromkeys(("40", "离婚", "离异"), "40"),
            },
            frozenset({"90", "未说明", "未说明的婚姻状况"}),
        ),
    }
)
"""Spellings by the standard code they mean, and the codes that say that nothing is known."""

_UNSTATED = Unread("missing", Reason.CODE_UNSTATED)
_UNKNOWN = Unread("invalid", Reason.CODE_UNKNOWN)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", legible(text)).strip().upper()


def _build(
    standard: str = "",
    codes: Mapping[str, tuple[str, ...]] | None = None,
    unknown: Sequence[str] = (),
    nulls: Sequence[str] = NULL_SPELLINGS,
) -> Comparator:
    spellings, unstated = STANDARDS.get(standard, ({}, frozenset()))
    meaning = {_folded(each): code for each, code in spellings.items()}
    for each, to in (codes or {}).items():
        if len(to) != 1:
            raise ValueError("codes map one code to one code")
        target = _folded(to[0])
        meaning[_folded(each)] = meaning.get(target, target)
    for target in set(meaning.values()):
        meaning.setdefault(target, target)
    without = {_folded(each) for each in (*unstated, *unknown)} - set(map(_folded, codes or ()))
    nothing = Nulls(nulls)

    @lru_cache(maxsize=1024)
    def read_text(text: str) -> str | Unread:
        folded = _folded(text)
        if folded in without:
            return _UNSTATED
        if meaning and folded in meaning:
            return meaning[folded]
        if nothing.hold(text):
            return MISSING
        return _UNKNOWN if meaning else folded

    def read(value: Value) -> str | Unread:
        text = plain_text(value)
        return read_text(text) if isinstance(text, str) else text

    def judge(a: str, b: str) -> Comparison:
        return EQUAL if a == b else different(Reason.CODE_DIFFERS)

    return two_sided(read, judge, meaning.__contains__ if not without & meaning.keys() else lambda text: False)


CODE_MAP = ComparatorKind(
    "代码对照",
    "各部门代码换成同一套代码后一致；全角半角、大小写不论。国家标准中的性别、民族、婚姻状况写法已内置",
    "换算后不同；不在对照表内的为“无效”；“未知”“未说明”视为没有填写",
    frozenset({"code", "text", "number", "boolean"}),
    _build,
    {
        "standard": Parameter("text", "", "内置的国家标准对照表", ("", *STANDARDS)),
        "codes": Parameter("map", {}, "另外的写法及其对应的代码；不填且无内置表时直接比代码"),
        "unknown": Parameter("texts", (), "表示未知或未说明的代码"),
        "nulls": NULLS,
    },
    (
        Example("1", "男", Result.EQUAL, {"standard": "sex"}),
        Example("M", "1", Result.EQUAL, {"standard": "sex"}),
        Example("01", "汉族", Result.EQUAL, {"standard": "ethnicity"}),
        Example("A", "在营", Result.EQUAL, {"codes": {"在营": "A", "注销": "B"}}),
        Example("1", "F", Result.DIFFERENT, {"standard": "sex"}),
        Example("1", "9", Result.MISSING_B, {"standard": "sex"}),
        Example("1", "3", Result.INVALID_B, {"standard": "sex"}),
    ),
)
