"""The small city of the exchange's tests: two departments, two subscribers, every kind of mask and row condition."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

PARTITIONS = 4
TODAY = date(2026, 6, 1)
MAX_RECORD_BYTES = 65_536
PERSON, CAR, READING = "police.person", "police.car", "weather.reading"
PLACES, STATISTICS, AID, HEAT = (
    "school.places/police.person",
    "school.statistics/police.person",
    "care.aid/police.person",
    "care.heat/weather.reading",
)
CARS = "care.aid/police.car"
_CONTACT = {"role": "数据岗"}
_LAW = "数据共享条例第三条"

Document = dict[str, Any]


def _grant(to: str, purpose: str, fields: Mapping[str, Any], **more: Any) -> Document:
    return {"to": to, "purpose": purpose, "legal_basis": _LAW, "until": "2099-12-31", "fields": dict(fields), **more}


def _department(name: str, title: str, code: str) -> Document:
    return {"department": name, "title": title, "code": code, "region": "890000", "contact": _CONTACT}


def _dataset(name: str, resource: str, **more: Any) -> Document:
    return {
        "dataset": name,
        "title": name,
        "resource_code": resource,
        "share": "conditional",
        "update": {"cycle": "daily"},
        "region": "890000",
        "legal_basis": _LAW,
        "contact": _CONTACT,
        "source": {"kind": "python"},
        **more,
    }


def _subscriber(name: str, code: str) -> Document:
    return {
        "subscriber": name,
        "title": name,
        "code": code,
        "clearance": "L3",
        "region": "890000",
        "contact": _CONTACT,
    }


def _ask(name: str, purpose: str, datasets: Document, delivery: Document | None = None) -> Document:
    return {
        "ask": name,
        "purpose": purpose,
        "legal_basis": _LAW,
        "scenario": "核验",
        "until": "2099-12-31",
        "datasets": datasets,
        "delivery": delivery or {"kind": "topic"},
    }


PASS_ALL = dict.fromkeys(("citizen_id", "name", "sex", "birth_date", "division", "income"), "pass")
DOCUMENTS: Mapping[str, Document] = {
    "schemas/elements.yaml": {
        "purposes": {"places": "学位", "statistics": "统计", "aid": "救助", "heat": "高温"},
        "code_lists": {"sex": {"1": "男", "2": "女"}},
    },
    "producers/police/department.yaml": _department("police", "公安局", "11890000008900038B"),
    "producers/weather/department.yaml": _department("weather", "气象局", "11890000000009048L"),
    "producers/police/person.yaml": _dataset(
        "person",
        "101001/000001",
        subject="citizen_id",
        key=["citizen_id"],
        fields={
            "citizen_id": {"title": "公民身份号码", "grade": "L3", "format": "citizen_id"},
            "name": {"title": "姓名", "grade": "L3"},
            "sex": {"title": "性别", "grade": "L2", "codes": "sex"},
            "birth_date": {"title": "出生日期", "grade": "L3"},
            "division": {"title": "区划", "grade": "L2"},
            "income": {"title": "收入", "grade": "L3"},
            "illness": {"title": "疾病", "grade": "L4"},
        },
        grants=[
            _grant(
                "school",
                "places",
                {"citizen_id": "pass", "name": {"mask": {"first": 1}}, "birth_date": "pass", "sex": "pass"},
                rows={"birth_date": {"range": {"from": "2008-01-01", "to": "2020-12-31"}}},
            ),
            _grant(
                "school",
                "statistics",
                {"citizen_id": "pseudonym", "division": {"generalise": {"division": 4}}, "income": "pass"},
            ),
            _grant("care", "aid", PASS_ALL),
        ],
    ),
    "producers/police/car.yaml": _dataset(
        "car",
        "101001/000002",
        subject="citizen_id",
        key=["citizen_id", "plate"],
        fields={
            "citizen_id": {"title": "公民身份号码", "grade": "L3", "format": "citizen_id"},
            "plate": {"title": "号牌", "grade": "L2"},
            "seats": {"title": "座位", "grade": "L1"},
        },
        grants=[_grant("care", "aid", {"citizen_id": "pass", "plate": "pass", "seats": "pass"})],
    ),
    "producers/weather/reading.yaml": _dataset(
        "reading",
        "302022/000001",
        share="unconditional",
        openness="open",
        subject="station",
        key=["station"],
        fields={"station": {"title": "站号", "grade": "L1"}, "heat": {"title": "气温", "grade": "L1"}},
    ),
    "schemas/police/person.avsc": {
        "type": "record",
        "name": "person",
        "fields": [
            {"name": "citizen_id", "type": "string"},
            {"name": "name", "type": "string"},
            {"name": "sex", "type": "string"},
            {"name": "birth_date", "type": {"type": "int", "logicalType": "date"}},
            {"name": "division", "type": ["null", "string"], "default": None},
            {"name": "income", "type": ["null", "long"], "default": None},
            {"name": "illness", "type": ["null", "string"], "default": None},
        ],
    },
    "schemas/police/car.avsc": {
        "type": "record",
        "name": "car",
        "fields": [
            {"name": "citizen_id", "type": "string"},
            {"name": "plate", "type": "string"},
            {"name": "seats", "type": "int"},
        ],
    },
    "schemas/weather/reading.avsc": {
        "type": "record",
        "name": "reading",
        "fields": [{"name": "station", "type": "string"}, {"name": "heat", "type": "int"}],
    },
    "schemas/police/person.usual.pass.json": {
        "citizen_id": "890201197806301238",
        "name": "欧阳建国",
        "sex": "1",
        "birth_date": "1978-06-30",
    },
    "schemas/police/person.no_name.fail.json": {"citizen_id": "890201197806301238", "sex": "1"},
    "schemas/police/car.usual.pass.json": {"citizen_id": "890201197806301238", "plate": "云A12345", "seats": 5},
    "schemas/police/car.no_plate.fail.json": {"citizen_id": "890201197806301238", "seats": 5},
    "schemas/weather/reading.usual.pass.json": {"station": "89001", "heat": 215},
    "schemas/weather/reading.text.fail.json": {"station": "89001", "heat": "hot"},
    "consumers/school/subscriber.yaml": _subscriber("school", "11890000008904143F"),
    "consumers/care/subscriber.yaml": _subscriber("care", "118900000089041507"),
    "consumers/school/places.yaml": _ask(
        "places",
        "places",
        {
            PERSON: {
                "fields": {
                    "citizen_id": "pass",
                    "name": {"mask": {"first": 1}},
                    "birth_date": {"generalise": "year"},
                    "sex": "pass",
                },
                "rows": {"sex": {"equals": "1"}},
            }
        },
    ),
    "consumers/school/statistics.yaml": _ask(
        "statistics",
        "statistics",
        {
            PERSON: {
                "fields": {
                    "citizen_id": "pseudonym",
                    "division": {"generalise": {"division": 4}},
                    "income": {"generalise": {"band": 1000}},
                }
            }
        },
    ),
    "consumers/care/aid.yaml": _ask(
        "aid",
        "aid",
        {
            PERSON: {"fields": PASS_ALL},
            CAR: {"fields": {"citizen_id": "pass", "plate": "pass", "seats": "pass"}},
        },
    ),
    "consumers/care/heat.yaml": _ask("heat", "heat", {READING: {"fields": {"station": "pass", "heat": "pass"}}}),
}


def citizen_id(number: int) -> str:
    """Return the *number*-th valid citizen id of the fictional city (GB 11643, ISO 7064 MOD 11-2)."""
    first = (
        f"890201{2008 + number // 100_000 % 13}{1 + number // 9_000 % 11:02}{1 + number // 999 % 9:02}{number % 999:03}"
    )
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(first))
    return first + "10X98765432"[total % 11]


def person(number: int, **changed: Any) -> Document:
    """Return the *number*-th person, a child who is seen by every ask about persons."""
    return {
        "citizen_id": citizen_id(number),
        "name": f"欧阳{number}",
        "sex": "1",
        "birth_date": date(2012, 1, 1).toordinal() - date(1970, 1, 1).toordinal() + number % 365,
        "division": f"8902{number % 90 + 10}",
        "income": number * 10,
        "illness": None,
        **changed,
    }
