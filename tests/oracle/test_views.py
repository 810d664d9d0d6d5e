"""The oracle's views by example: a city small enough to see at a glance what each ask must hold."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from oracle import masks, views
from oracle.avro import Branch
from oracle.views import Declared, Event, Latest

ASK, DATASET = "education.school_place", "public_security.population"
KEYS = {"education.school_place": bytes(32)}
NOW = datetime(2026, 6, 1, tzinfo=UTC)
DATE = {"type": "int", "logicalType": "date"}
RECORDS = {
    "1": {"id": "1", "name": "张伟", "born": Branch(1, 7370), "home": {"division": "890301", "street": "x"}},
    "2": {"id": "2", "name": "王芳", "born": Branch(0, None), "home": {"division": "890401", "street": "y"}},
}


def city(**changes: Any) -> Declared:
    """The city, with entries of the dataset, its only grant or the ask replaced: ``grant__state="ended"``."""
    grant = {
        "to": "education",
        "purpose": "school_place",
        "until": date(2027, 12, 31),
        "fields": ["id", {"name": {"mask": {"first": 1}}}, "born", "home"],
    }
    dataset = {
        "key": ["id"],
        "share": "conditional",
        "fields": {
            "id": {"grade": "L3"},
            "name": {"grade": "L3"},
            "born": {"grade": "L2"},
            "home": {"grade": "L2"},
            "home.division": {"grade": "L2"},
            "home.street": {"grade": "L4"},
        },
        "grants": [grant],
    }
    asked = {"fields": {"id": "pass", "name": {"mask": {"first": 1}}, "home.division": "pass"}}
    ask = {"purpose": "school_place", "until": date(2028, 1, 1), "datasets": {DATASET: asked}}
    subscriber = {"clearance": "L3"}
    parts = {"grant": grant, "dataset": dataset, "asked": asked, "ask": ask, "subscriber": subscriber}
    for place, value in changes.items():
        part, _, word = place.partition("__")
        parts[part][word] = value
    schema = {
        "type": "record",
        "name": "population",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "name", "type": "string"},
            {"name": "born", "type": ["null", DATE]},
            {
                "name": "home",
                "type": {
                    "type": "record",
                    "name": "Home",
                    "fields": [{"name": "division", "type": "string"}, {"name": "street", "type": "string"}],
                },
            },
        ],
    }
    return Declared({}, {DATASET: dataset}, {DATASET: schema}, {"education": subscriber}, {ASK: ask})


def table(now: datetime = NOW, **changes: Any) -> views.Table:
    return views.share_rows(city(**changes), ASK, DATASET, copy.deepcopy(RECORDS), now, KEYS)


def test_an_ask_holds_what_it_asks_of_what_is_granted() -> None:
    """Asked fields in the order of the schema, masked as asked, under the records' own keys."""
    assert table().plain() == {
        "1": {"id": "1", "name": "张*", "home": {"division": "890301"}},
        "2": {"id": "2", "name": "王*", "home": {"division": "890401"}},
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset__share": "not_shared"}, "no_grant"),
        ({"grant__to": "taxation"}, "no_grant"),
        ({"grant__purpose": "tax"}, "no_grant"),
        ({"grant__state": "suspended"}, "grant_suspended"),
        ({"grant__state": "ended"}, "grant_ended"),
        ({"grant__until": date(2026, 5, 31)}, "expired"),
        ({"ask__until": date(2026, 5, 31)}, "expired"),
    ],
)
def test_an_ask_without_a_door_holds_nothing(changes: dict[str, Any], reason: str) -> None:
    """No grant for this subscriber and purpose, a suspended, ended or expired one, an expired ask: no row."""
    found = table(**changes)
    assert (found.rows, found.reason) == ({}, reason)


def test_the_last_day_counts_in_full_in_china() -> None:
    """A term ends at midnight in UTC+8, which is 16:00 UTC."""
    end = datetime(2026, 6, 30, 16, tzinfo=UTC)
    assert table(end - timedelta(microseconds=1), grant__until=date(2026, 6, 30)).rows
    assert not table(end, grant__until=date(2026, 6, 30)).rows


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({"grant__rows": {"home.division": {"prefix": "8903"}}}, ["1"]),
        ({"grant__rows": {"name": {"equals": "张伟"}}}, ["1"]),
        ({"asked__rows": {"name": {"equals": "张伟"}}}, []),
        ({"asked__rows": {"name": {"equals": "张*"}}}, ["1"]),
        ({"grant__rows": {"born": {"range": {"to": date(1990, 12, 31)}}}}, ["1"]),
        ({"grant__rows": {"not": {"born": {"equals": "1999-01-01"}}}}, ["1"]),
        ({"grant__rows": {"born": {"is_null": True}}}, ["2"]),
        ({"grant__rows": {"name": {"prefix": "张"}}, "asked__rows": {"home.division": {"prefix": "8904"}}}, []),
    ],
)
def test_rows_are_released_where_both_conditions_are_true(changes: dict[str, Any], rows: list[str]) -> None:
    """The grant's condition holds of the record, the ask's of what is left of it, and unknown is not true."""
    assert sorted(table(**changes).plain()) == rows


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"home": "pass"}, {}),
        ({"home.street": "pass"}, {}),
        ({"home": "pass", "born": {"generalise": "year"}}, {"born": "1990"}),
        ({"born": "drop", "name": "null"}, {"name": None}),
    ],
)
def test_what_is_above_the_clearance_is_never_shown(asked: dict[str, Any], shown: dict[str, Any]) -> None:
    """A field above the clearance, or a record that holds one, is left out whatever is granted."""
    found = table(asked__fields=asked)
    (first, *_) = found.plain().values()
    assert first == shown


def test_the_key_is_a_pseudonym_unless_every_key_field_shows() -> None:
    """Without the key field in clear, rows stand under HMAC-SHA256 of their key."""
    found = table(asked__fields={"name": "pass"})
    assert set(found.rows) == {masks.pseudonym(bytes(32), key.encode()).encode() for key in RECORDS}


def test_a_dataset_shared_without_conditions_needs_no_grant() -> None:
    """Any stated purpose sees every field that is not itself withheld."""
    found = table(dataset__share="unconditional", dataset__grants=[], asked__fields={"id": "pass", "born": "pass"})
    assert found.plain()["1"] == {"id": "1", "born": date(1990, 3, 7)}


def test_the_newest_version_counts_and_deletions_are_remembered() -> None:
    """Order does not matter, a deletion is a version like any other, and an epoch goes before all versions."""
    latest = Latest()
    verdicts = [
        latest.add(Event("d", "1", version, record, epoch))
        for version, record, epoch in [
            (5, "five", 0),
            (4, "four", 0),
            (5, "five", 0),
            (5, "other", 0),
            (6, None, 0),
            (5, "five", 0),
            (6, None, 0),
            (6, "six", 0),
            (1, "anew", 1),
        ]
    ]
    assert verdicts == [
        *("accepted", "stale", "duplicate", "conflict"),
        *("accepted", "stale", "duplicate", "conflict", "accepted"),
    ]
    assert latest.records() == {"1": "anew"}


def test_the_reference_city_is_read() -> None:
    """Every ask of the reference city has a permission or a reason for each dataset it names."""
    declared = views.read(Path(__file__).parents[2])
    asked = [(ask, dataset) for ask, document in declared.asks.items() for dataset in document["datasets"]]
    permissions = [views.permission(declared, *pair) for pair in asked]
    assert any(isinstance(each, views.Permission) and each.fields for each in permissions)
    assert set(declared.schemas) == set(declared.datasets)
