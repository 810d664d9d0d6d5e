"""Where people live in Yunhai: districts, streets, houses, schools, hospitals, weather stations. All fictional."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

Chance = Callable[[], float]


class District(NamedTuple):
    """A county-level division."""

    code: str
    name: str
    share: float
    """Of the city's people."""
    minorities: float
    """Share of people who are not Han."""
    rural: float
    """Share of homes in villages."""
    streets: tuple[str, ...]


CITY = "云海市"
DISTRICTS: tuple[District, ...] = (
    District("890101", "望海区", 0.20, 0.04, 0.0, ("钟楼街道", "海棠街道", "望潮街道", "南塔街道", "长堤街道")),
    District("890102", "云峰区", 0.14, 0.04, 0.0, ("云门街道", "松涧街道", "石桥街道", "北苑街道")),
    District("890103", "鹭江区", 0.11, 0.05, 0.0, ("鹭鸣街道", "江湾街道", "西渡街道", "荷塘街道")),
    District("890201", "青屏区", 0.12, 0.06, 0.1, ("青屏街道", "竹溪街道", "麓山街道", "梅园镇")),
    District("890202", "澄溪县", 0.07, 0.08, 0.5, ("城关镇", "清流镇", "白塔镇", "枫林乡")),
    District("890301", "东湾区", 0.13, 0.05, 0.0, ("观澜街道", "听涛街道", "渔港街道", "新圩街道", "金沙街道")),
    District("890302", "石塘区", 0.09, 0.05, 0.2, ("石塘街道", "盐田街道", "龙门街道", "沙浦镇")),
    District("890303", "南屿县", 0.05, 0.07, 0.6, ("南屿镇", "灯塔镇", "贝澳镇", "鱼梁乡")),
    District("890421", "岚谷自治县", 0.04, 0.55, 0.7, ("岚谷镇", "七星镇", "鼓楼寨乡", "云上乡")),
    District("890422", "云岭县", 0.05, 0.12, 0.5, ("云岭镇", "茶亭镇", "古驿镇", "三溪乡")),
)
BY_CODE = {district.code: district for district in DISTRICTS}
RETIRED_DIVISIONS = {
    "890104": "890101",
    "890221": "890201",
    "890321": "890301",
}
"""Retired codes, and which division took their place. Older people's ids begin with them."""

_BY_SUCCESSOR = {successor: retired for retired, successor in RETIRED_DIVISIONS.items()}


def retired_code(division: str) -> str | None:
    """Return the retired code of *division*, or None if it never had another."""
    return _BY_SUCCESSOR.get(division)


def words(*lines: str) -> tuple[str, ...]:
    """Return the words of *lines*."""
    return tuple(word for line in lines for word in line.split())


ROADS = words(
    "海棠路 听涛路 观海大道 云门路 松风路 长堤路 钟楼东街 钟楼西街 望江路 鹭鸣路 江湾路 荷塘路 石桥路 竹溪路 青屏大道",
    "梅园路 麓山南路 麓山北路 枫林路 白塔街 清流路 渔港路 新圩大街 金沙路 盐田路 龙门路 灯塔路 贝澳路 茶亭路 古驿街",
    "七星路 鼓楼街 文昌路 书院路 学府路 迎宾路 朝阳路 和平路 友谊路 东风路 光华路 民主路 振兴路 创业路 科技路 港口路",
    "环岛路 滨海大道 紫荆路 木棉路 桂花路 玉兰路 丹桂路 银杏路",
)
ESTATES = words(
    "澜光花园 海棠苑 听涛居 云栖雅筑 松涧小区 鹭江新村 荷塘月色 青屏家园 梅园里 麓山公馆 望潮府 金沙湾 渔港新村",
    "学府名邸 和平里",
)
VILLAGES = words(
    "渔灯村 白沙村 上塘村 下塘村 石埠村 大王村 小溪村 竹篙村 枫树坪村 茶园村 古井村 双桥村 七里村 云上寨 鼓楼寨 龙潭村"
)


class House(NamedTuple):
    """One dwelling: its local code, its real-estate unit number (GB/T 37346) and its address."""

    code: str
    unit: str
    division: str
    address: str


def district_at(share: float) -> District:
    """Return the district in which the person at *share* (0 to 1) of the city's people lives."""
    for district in DISTRICTS:
        share -= district.share
        if share < 0:
            return district
    return DISTRICTS[-1]


def houses(chance: Chance, district: District, first_building: int = 0) -> Iterator[House]:
    """Yield the houses of *district* without end, building by building after *first_building*, no code twice."""
    serial = first_building
    while True:
        serial += 1
        street = int(chance() * len(district.streets))
        place = f"{CITY}{district.name}{district.streets[street]}"
        building = f"{district.code}{street + 1:03}{serial:010}"
        cadastre = f"{district.code}{street + 1:03}{serial // 100_000 + 1:03}GB{serial % 100_000:05}F"
        if chance() < district.rural:
            village = VILLAGES[int(chance() * len(VILLAGES))]
            for number in range(1, 31):
                address = f"{place}{village}{number}号"
                yield House(f"{building}{number:06}", f"{cadastre}0001{number:04}", district.code, address)
            continue
        road = ROADS[int(chance() * len(ROADS))]
        estate = ESTATES[int(chance() * len(ESTATES))] if chance() < 0.4 else ""
        place = f"{place}{road}{int(chance() * 300) + 1}号{estate}{int(chance() * 20) + 1}栋"
        entrances, floors = int(chance() * 3) + 1, (6, 6, 11, 18, 26, 33)[int(chance() * 6)]
        number = 0
        for entrance in range(1, entrances + 1):
            for floor in range(1, floors + 1):
                for room in (1, 2):
                    number += 1
                    door = f"{entrance:02}{floor:02}{room:02}"
                    address = (
                        f"{place}{entrance}单元{floor}{room:02}室" if entrances > 1 else f"{place}{floor}{room:02}室"
                    )
                    yield House(building + door, f"{cadastre}0001{number:04}", district.code, address)


class School(NamedTuple):
    """A school: ten-digit identification code, name, division, stage code."""

    code: str
    name: str
    division: str
    stage: str


_SCHOOL_WORDS = words("听涛 海棠 望潮 育才 实验 文昌 书院 青屏 松涧 鹭江 荷塘 金沙 灯塔 启明 和平 学府")


def _schools() -> dict[tuple[str, str], tuple[School, ...]]:
    made: dict[tuple[str, str], tuple[School, ...]] = {}
    serial = 0
    for place, district in enumerate(DISTRICTS):
        for stage, suffix, count in (("2", "小学", 8), ("3", "初级中学", 4), ("4", "高级中学", 2)):
            found = []
            for each in range(count):
                serial += 1
                word = _SCHOOL_WORDS[(place * 5 + each) % len(_SCHOOL_WORDS)]
                found.append(
                    School(f"3{stage}89{serial:06}", f"{CITY}{district.name}{word}{suffix}", district.code, stage)
                )
            made[district.code, stage] = tuple(found)
    return made


SCHOOLS = _schools()
"""Schools by division and stage (2 primary, 3 junior, 4 senior)."""
