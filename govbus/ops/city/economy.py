"""What is not a person in Yunhai: firms, hospitals, weather stations and what they measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import cos, pi
from random import Random
from typing import Any, NamedTuple

from govbus.ops.city.codes import registration_number, uscc
from govbus.ops.city.families import TODAY
from govbus.ops.city.places import BY_CODE, CITY, DISTRICTS, ROADS, district_at, words
from govbus.rules.share import CHINA_STANDARD_TIME

_YEAR = 365.2425
_SINCE_USCC = date(2015, 10, 1).toordinal()

_WORDS = words("澜光 云启 海晟 瑞和 恒泰 嘉禾 中岳 华宸 鼎新 博远 安澜 众诚 金帆 天禾 永昌 远航 盛景 新域 青禾 万象")
_SHOP_WORDS = words("老码头 阿婆 好邻居 兴旺 福满 渔家 小榕树 南门 聚福 鑫源 惠民 百味 顺达 老街")


class Trade(NamedTuple):
    """A line of business: word in the name, industry codes (GB/T 4754), scope."""

    word: str
    industries: tuple[str, ...]
    scope: str


_TRADES = (
    Trade("科技", ("6510", "6450"), "软件开发；信息系统集成服务；信息技术咨询服务。"),
    Trade(
        "建筑工程",
        ("4710",),
        "房屋建筑工程施工；市政公用工程施工。（依法须经批准的项目，经批准后方可开展）",
    ),
    Trade("商贸", ("5191", "5299"), "日用百货批发；五金产品零售；互联网销售（除销售需要许可的商品）。"),
    Trade("物流", ("5430", "5990"), "普通货物道路运输；仓储服务；国内货物运输代理。"),
    Trade("食品", ("1431", "1353", "5129"), "食品生产；食品销售；水产品冷冻加工。"),
    Trade("医疗器械", ("3581",), "第二类医疗器械生产；第一类医疗器械销售。"),
    Trade("物业管理", ("7020",), "物业管理；停车场服务；家政服务。"),
    Trade("文化传媒", ("8810", "7251"), "组织文化艺术交流活动；广告设计、代理。"),
)
_SHOPS = (
    Trade("面馆", ("6210",), "小餐饮。"),
    Trade("便利店", ("5212",), "食品销售；烟草制品零售；日用百货零售。"),
    Trade("理发店", ("8040",), "理发服务。"),
    Trade("五金店", ("5271",), "五金产品零售。"),
    Trade("水产行", ("5126",), "水产品批发；水产品零售。"),
)


@dataclass(slots=True)
class Enterprise:
    """A firm or an individual business, without the person who answers for it."""

    uscc: str
    name: str
    type: str
    division: str
    established: int
    status: str
    capital: int | None
    trade: Trade
    address: str
    registration_no: str | None
    pays_tax: bool


def enterprises(seed: int, count: int) -> list[Enterprise]:
    """Return *count* enterprises, some 300 bytes each; every fifth or so is an individual business."""
    random = Random(f"enterprises {seed}")
    made = []
    for serial in range(count):
        district = district_at(random.random())
        shop = random.random() < 0.22
        established = TODAY - int(random.random() ** 1.4 * 24 * _YEAR) - 30
        trade = random.choice(_SHOPS if shop else _TRADES)
        if shop:
            name = f"{CITY}{district.name}{random.choice(_SHOP_WORDS)}{trade.word}"
        else:
            word, form = random.choice(_WORDS), random.choices(("有限公司", "股份有限公司"), (95, 5))[0]
            name = f"{word}（云海）{trade.word}{form}" if random.random() < 0.12 else f"云海{word}{trade.word}{form}"
        drawn = random.random()
        made.append(
            Enterprise(
                uscc=uscc("92" if shop else "91", district.code, serial + 1),
                name=name,
                type="9200" if shop else "1223" if "股份" in name else "1130" if drawn < 0.2 else "1150",
                division=district.code,
                established=established,
                status="2" if drawn > 0.94 else "3" if drawn > 0.925 else "1",
                capital=None if shop else int(random.choice((10, 50, 100, 200, 500, 1000, 2000, 5000)) * 10_000),
                trade=trade,
                address=f"{CITY}{district.name}{random.choice(ROADS)}{random.randrange(1, 300)}号",
                registration_no=registration_number(district.code, serial + 1) if established < _SINCE_USCC else None,
                pays_tax=random.random() < 0.95,
            )
        )
    return made


class Hospital(NamedTuple):
    """A hospital where children are born."""

    uscc: str
    name: str


HOSPITALS = tuple(
    Hospital(uscc("12", district.code, 9_000_000 + number * 10 + each), f"{CITY}{district.name}{suffix}")
    for number, district in enumerate(DISTRICTS)
    for each, suffix in enumerate(("人民医院", "妇幼保健院"))
)


class Station(NamedTuple):
    """A weather station at sea and ashore of a coast that is not there."""

    code: str
    name: str
    division: str
    longitude: float
    latitude: float
    coldness: float


_STATION_SITES = ("观象台", "水库", "码头", "山顶", "农场", "机场")


def _stations() -> tuple[Station, ...]:
    random = Random("stations")
    return tuple(
        Station(
            f"Y89{number:02}",
            f"{BY_CODE[district.code].name[:2]}{site}",
            district.code,
            round(123.2 + random.random() * 0.9, 4),
            round(28.3 + random.random() * 0.8, 4),
            random.random() * 4,
        )
        for number, (district, site) in enumerate((district, site) for district in DISTRICTS for site in _STATION_SITES)
    )


STATIONS = _stations()


def observations(seed: int, first: datetime, hours: int) -> Iterator[dict[str, Any]]:
    """Yield the hourly observations of all stations from *first* on, hour by hour; a sensor fails now and then."""
    for hour in range(hours):
        moment = first + timedelta(hours=hour)
        random = Random(f"weather {seed} {moment.isoformat()}")
        warmth = 24.5 - 4.5 * cos((moment.astimezone(CHINA_STANDARD_TIME).hour - 3) / 12 * pi) + random.random() * 2
        wet, wind = random.random() < 0.2, random.randrange(360)
        for station in STATIONS:
            failed = random.random() < 0.01
            rain = Decimal(int(random.random() * 120) if wet else 0) / 10
            yield {
                "station_code": station.code,
                "observed_at": moment,
                "station_name": station.name,
                "division": station.division,
                "longitude": station.longitude,
                "latitude": station.latitude,
                "temperature": None if failed else _tenths(warmth - station.coldness + random.random()),
                "humidity": None if failed else int(92 if wet else 60 + random.random() * 25),
                "precipitation": None if failed else rain.quantize(Decimal("0.1")),
                "wind_direction": (wind + random.randrange(40)) % 360,
                "wind_speed": _tenths(random.random() * 9),
                "pressure": _tenths(1012 - station.coldness * 9 + random.random()),
            }


def _tenths(number: float) -> Decimal:
    return Decimal(round(number * 10)).scaleb(-1)
