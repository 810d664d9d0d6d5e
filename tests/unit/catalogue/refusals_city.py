"""Faults between files: names that become too long or collide."""

from __future__ import annotations

from unit.catalogue.refusal import Refusal
from unit.catalogue.small_city import ASK, CITY, FILES, SUBSCRIBER, WEATHER, WEATHER_ASK, WEATHER_SCHEMA

from govbus.catalogue.faults import FaultCode as C

LONG = "a" * 63


def twin(department: str, name: str, number: int) -> dict[str, str | bytes | None]:
    """Return the weather dataset once more, under another name."""
    return {
        f"producers/{department}/{name}.yaml": FILES[WEATHER]
        .replace("dataset: reading", f"dataset: {name}")
        .replace("302022/000001", f"302022/{number}"),
        f"schemas/{department}/{name}.avsc": FILES[WEATHER_SCHEMA].replace('"reading"', f'"{name}"'),
        f"schemas/{department}/{name}.usual.pass.json": '{"station": "1", "heat": 1}',
        f"schemas/{department}/{name}.empty.fail.json": "{}",
    }


def body(file: str, name: str) -> dict[str, str | bytes | None]:
    """Return the head file of one more department or subscriber."""
    own = {"producers": "producers/weather/department.yaml", "consumers": SUBSCRIBER}[file]
    text = FILES[own].replace(": weather\n", f": {name}\n").replace(": school\n", f": {name}\n")
    for code in ("11890000000009048L", "11890000008904143F"):
        text = text.replace(code, "11890000000009056F")
    return {f"{file}/{name}/{own.rpartition('/')[2]}": text}


CITY_REFUSALS = [
    Refusal(
        "long_topic",
        C.NAME_TOO_LONG,
        {
            CITY: FILES[CITY] + f"topic_prefix: {'p' * 160}.\n",
            f"consumers/school/{LONG}.yaml": FILES[WEATHER_ASK].replace("ask: heat", f"ask: {LONG}"),
            WEATHER_ASK: None,
        },
        f"consumers/school/{LONG}.yaml",
        "weather.reading",
        "Kafka allows 249",
    ),
    Refusal(
        "long_table",
        C.NAME_TOO_LONG,
        twin("weather", LONG, 2)
        | {
            WEATHER_ASK: FILES[WEATHER_ASK]
            .replace("weather.reading", f"weather.{LONG}")
            .replace("{kind: file, format: csv, folder: heat}", "{kind: postgres, schema: heat}")
        },
        WEATHER_ASK,
        "weather.a",
        "more than 63",
    ),
    Refusal(
        "share_topics",
        C.TOPIC_COLLISION,
        body("consumers", "school_heat")
        | twin("weather", "heat_weather", 2)
        | {
            "consumers/school/heat_x.yaml": FILES[WEATHER_ASK]
            .replace("ask: heat", "ask: heat_x")
            .replace("folder: heat", "folder: heat_x"),
            "consumers/school_heat/x.yaml": FILES[WEATHER_ASK]
            .replace("ask: heat", "ask: x")
            .replace("folder: heat", "folder: x"),
        },
        "consumers/school_heat/x.yaml",
        "weather.reading",
        "differ only in dots",
    ),
    Refusal(
        "tables",
        C.DELIVERY_COLLISION,
        {"consumers/school/again.yaml": FILES[ASK].replace("ask: places", "ask: again")},
        ASK,
        "delivery",
        "table places.police_person is written for school.again",
    ),
    Refusal(
        "folders",
        C.DELIVERY_COLLISION,
        {"consumers/school/again.yaml": FILES[WEATHER_ASK].replace("ask: heat", "ask: again")},
        WEATHER_ASK,
        "delivery",
        "folder heat is written for school.again",
    ),
]
