"""The plan says who gains or loses what, and refuses what cannot follow, before anything is touched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from unit.catalogue.small_city import ASK, CITY, DEPARTMENT, FILES, PERSON, PERSON_SCHEMA, TODAY, edited, write_city

from govbus.catalogue.change import Change
from govbus.catalogue.check import load
from govbus.catalogue.model import Catalogue
from govbus.catalogue.plan import Plan, SchemaChange, plan
from govbus.catalogue.plan_views import RowChange, ViewChange

VIEW = "school.places/police.person"


@pytest.fixture
def applied(tmp_path: Path) -> Catalogue:
    return load(write_city(tmp_path / "applied"))


def planned(tmp_path: Path, applied: Catalogue, files: Mapping[str, str | None]) -> Plan:
    return plan(applied, load(write_city(tmp_path / "wanted", files)), today=TODAY)


def view(found: Plan, name: str = VIEW) -> ViewChange:
    (change,) = [each for each in found.views if each.view == name]
    return change


def test_the_same_declarations_need_nothing(tmp_path: Path, applied: Catalogue) -> None:
    """Applying twice changes nothing, and the plan says so."""
    found = planned(tmp_path, applied, {})

    assert found.is_empty
    assert found.topics_created == ()
    assert len(found.topics_kept) == 3 + 2 + 2 * 2 + 2 + 3


def test_the_first_plan_creates_everything(applied: Catalogue) -> None:
    """Without anything applied, every topic is created and every view is new with all of its fields."""
    found = plan(None, applied, today=TODAY)

    assert found.first
    assert "raw.police.person" in found.topics_created
    assert "share.school.places.police.person" in found.topics_created
    assert {"raw.police.person-value", "current.police.person-value"} <= set(found.subjects)
    change = view(found)
    assert change.kind == "new"
    assert ("name", {"mask": {"first": 1, "last": 0}}) in change.gained
    assert change.until == Change(None, "2027-12-31")


def test_fields_gained_lost_and_masked_otherwise(tmp_path: Path, applied: Catalogue) -> None:
    """An ask that changes its fields: which come, go or are masked otherwise; its subject is registered anew."""
    ask = FILES[ASK].replace("      weight: pass\n", "      state: pass\n").replace("{mask: {first: 1}}", "drop")
    ask = ask.replace("birth_date: {generalise: year}", "birth_date: {generalise: month}")
    found = planned(tmp_path, applied, {ASK: ask})

    change = view(found)
    assert (change.kind, change.gained, set(change.lost)) == ("changed", (("state", "pass"),), {"name", "weight"})
    assert change.masks == (("birth_date", Change({"generalise": "year"}, {"generalise": "month"})),)
    assert found.subjects == ("share.school.places.police.person-value",)
    assert found.topics_created == ()


@pytest.mark.parametrize(
    ("rows", "movement"),
    [('{sex: {in: ["1", "2"]}}', "wider"), ('{sex: {equals: "2"}}', "different"), (None, "wider")],
)
def test_rows_of_an_ask(tmp_path: Path, applied: Catalogue, rows: str | None, movement: str) -> None:
    """A changed row condition is shown before and after, with what it does to the rows where that can be proven."""
    line = '    rows: {sex: {equals: "1"}}\n'
    found = planned(tmp_path, applied, edited(ASK, line, f"    rows: {rows}\n" if rows else ""))

    change = view(found).ask_rows
    assert isinstance(change, RowChange)
    assert (change.before, change.rows) == ({"sex": {"equals": "1"}}, movement)


def test_rows_and_term_of_a_grant(tmp_path: Path, applied: Catalogue) -> None:
    """A grant's narrower condition and shorter term reach its subscriber's view."""
    person = (
        FILES[PERSON].replace("from: 2008-01-01", "from: 2012-01-01").replace("until: 2027-12-31", "until: 2027-06-30")
    )
    found = planned(tmp_path, applied, {PERSON: person})

    change = view(found)
    assert change.grant_rows is not None
    assert change.grant_rows.rows == "narrower"
    assert change.until == Change("2027-12-31", "2027-06-30")
    assert (change.gained, change.lost, change.masks) == ((), (), ())


def test_a_key_that_is_no_longer_clear(tmp_path: Path, applied: Catalogue) -> None:
    """A pseudonymised key field changes the share topic's keys, and the plan says so."""
    found = planned(tmp_path, applied, edited(ASK, "citizen_id: pass", "citizen_id: pseudonym"))

    assert view(found).key_in_clear == Change(True, False)


@pytest.mark.parametrize("state", ["suspended", "ended"])
def test_a_withdrawn_grant_withholds_its_view(tmp_path: Path, applied: Catalogue, state: str) -> None:
    """A suspended or ended grant: the view is withheld with its reason, every field lost, its topic left alone."""
    found = planned(tmp_path, applied, edited(PERSON, "    until: 2027", f"    state: {state}\n    until: 2027"))

    change = view(found)
    assert (change.kind, change.reason) == ("withheld", f"grant_{state}")
    assert "citizen_id" in change.lost
    assert [(each.view, each.reason) for each in found.withheld] == [(VIEW, f"grant_{state}")]
    assert found.topics_left == ("share.school.places.police.person",)


def test_a_grant_that_returns_releases_its_view(tmp_path: Path, applied: Catalogue) -> None:
    """From suspended back to active is a release, not a new ask."""
    suspended = load(
        write_city(tmp_path / "s", edited(PERSON, "    until: 2027", "    state: suspended\n    until: 2027"))
    )

    assert view(plan(suspended, applied, today=TODAY)).kind == "released"


def test_an_expired_grant_counts_as_withheld(tmp_path: Path, applied: Catalogue) -> None:
    """With a day to go by, a term that has passed withholds; without one, dates are left to the worker."""
    wanted = load(write_city(tmp_path / "w", edited(PERSON, "until: 2027-12-31", "until: 2026-05-31")))

    assert [(each.view, each.reason) for each in plan(applied, wanted, today=TODAY).withheld] == [
        (VIEW, "grant_expired")
    ]
    assert plan(applied, wanted).withheld == ()


def test_an_ask_without_grant_is_listed(tmp_path: Path, applied: Catalogue) -> None:
    """A new ask that nobody granted is new and withheld, and gets no topic."""
    ask = FILES[ASK].replace("ask: places", "ask: more").replace("schema: places", "schema: more")
    person = FILES[PERSON][: FILES[PERSON].index("grants:")]
    found = planned(tmp_path, applied, {"consumers/school/more.yaml": ask, PERSON: person})

    assert found.asks_added == ("school.more",)
    assert ("school.more/police.person", "no_grant") in [(each.view, each.reason) for each in found.withheld]
    assert view(found, "school.more/police.person").gained == ()
    assert not any("more" in topic for topic in found.topics_created)


def test_an_ended_ask(tmp_path: Path, applied: Catalogue) -> None:
    """An ask whose file is gone has ended: its fields are lost, its topic is left for the worker to empty."""
    found = planned(tmp_path, applied, {ASK: None})

    assert found.asks_ended == ("school.places",)
    assert view(found).kind == "ended"
    assert found.topics_left == ("share.school.places.police.person",)


def test_a_schema_that_grows(tmp_path: Path, applied: Catalogue) -> None:
    """An optional field more: shown as added, both subjects of the dataset registered anew, no view touched."""
    schema = FILES[PERSON_SCHEMA].replace(
        '{"name": "weight"', '{"name": "height", "type": ["null", "int"], "default": null},\n{"name": "weight"'
    )
    person = FILES[PERSON].replace("  weight: {title", "  height: {title: 身高, grade: L2}\n  weight: {title")
    found = planned(tmp_path, applied, {PERSON_SCHEMA: schema, PERSON: person})

    assert found.schemas == (SchemaChange("police.person", ("height",), (), ()),)
    assert found.subjects == ("current.police.person-value", "raw.police.person-value")
    assert found.views == ()
    assert found.refusals == ()


def incompatible(tmp_path: Path) -> Catalogue:
    schema = FILES[PERSON_SCHEMA].replace('"double"', '"float"')
    return load(write_city(tmp_path / "incompatible", {PERSON_SCHEMA: schema}))


def test_an_incompatible_schema_is_refused(tmp_path: Path, applied: Catalogue) -> None:
    """A changed type is refused with file, place and remedy."""
    found = plan(applied, incompatible(tmp_path))

    (refusal,) = found.refusals
    assert (refusal.file, refusal.code, refusal.at) == (PERSON_SCHEMA, "incompatible_schema", ("fields", 7))
    assert "from double to float" in refusal.message
    assert [fault.code for fault in found.faults] == ["incompatible_schema"]
    assert not found.is_empty


def test_every_applied_schema_counts(tmp_path: Path, applied: Catalogue) -> None:
    """A schema must follow all that were ever applied, not the last one alone."""
    old = dict(applied.datasets["weather.reading"].avro)
    old["fields"] = [{"name": "station", "type": "string"}, {"name": "heat", "type": "string"}]

    found = plan(applied, applied, schemas={"weather.reading": [old, applied.datasets["weather.reading"].avro]})

    assert [(each.file, each.code) for each in found.refusals] == [
        ("schemas/weather/reading.avsc", "incompatible_schema")
    ]


@pytest.mark.parametrize(
    ("files", "at"),
    [
        (edited(CITY, "title:", "partitions: 6\ntitle:"), "partitions"),
        (edited(PERSON, "key: [citizen_id, register_no]", "key: [citizen_id]"), "key"),
    ],
)
def test_what_is_fixed_stays(tmp_path: Path, applied: Catalogue, files: Mapping[str, str], at: str) -> None:
    """The city's partitions and a dataset's key cannot change under the records that lie by them."""
    (refusal,) = planned(tmp_path, applied, files).refusals

    assert (refusal.code, refusal.at) == ("fixed_once_applied", (at,))


def test_an_epoch_only_rises(tmp_path: Path, applied: Catalogue) -> None:
    """Raising an epoch is a change, lowering it is refused."""
    raised = load(write_city(tmp_path / "raised", edited(PERSON, "entity: citizen", "epoch: 2\nentity: citizen")))

    assert plan(applied, raised).other == ("dataset police.person: epoch",)
    assert [each.code for each in plan(raised, applied).refusals] == ["fixed_once_applied"]


def test_no_difference_is_silent(tmp_path: Path, applied: Catalogue) -> None:
    """A change that reaches nobody's data is listed too: what is applied never differs unseen."""
    files = edited(DEPARTMENT, "数据岗", "数据管理岗") | edited(ASK, "until: 2027-12-31", "until: 2028-12-31")
    found = planned(tmp_path, applied, files)

    assert found.other == ("department police", "ask school.places: until")
    assert not found.is_empty


def test_a_replaced_key_is_shown(applied: Catalogue) -> None:
    """A pseudonym key with another fingerprint than the applied one is a full new sending."""
    found = plan(applied, applied, keys={"school.places": ("aa", "bb"), "school.care": ("cc", "cc")})

    assert found.pseudonym_keys == ("school.places",)
    assert not found.is_empty


def test_a_plan_is_plain_data(tmp_path: Path, applied: Catalogue) -> None:
    """The plan as JSON survives being written and read."""
    found = planned(tmp_path, applied, {ASK: None})

    assert json.loads(json.dumps(found.as_json()))["asks_ended"] == ["school.places"]
