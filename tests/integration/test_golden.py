"""Golden asks on real servers: delivered, disputed, corrected, traced; and what an operator sees of all that."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration.exchange_bus import ExchangeBus
from integration.golden_city import GOLDEN, KNOWN, KNOWN_VIEW, PUPIL, pupil, with_pupils
from integration.tiny_city import PERSON, citizen_id, person
from psycopg.rows import dict_row
from structlog.testing import capture_logs
from typer.testing import CliRunner

from govbus.cli import app
from govbus.codec.schemas import DISCREPANCY
from govbus.delivery.run import deliver
from govbus.kafka.settings import Settings
from govbus.ops.record_text import RecordText

pytestmark = pytest.mark.stack


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> Iterator[ExchangeBus]:
    schema = f"g_{topic_prefix.rstrip('.')}"

    def edit(documents: Any) -> None:
        with_pupils(documents)
        documents["consumers/care/known.yaml"]["delivery"] = {"kind": "postgres", "schema": schema}

    try:
        yield ExchangeBus(settings, topic_prefix, tmp_path / "city", edit)
    finally:
        with psycopg.connect(settings.need_postgres_url(), autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def table(bus: ExchangeBus) -> dict[str, dict[str, Any]]:
    """Return what the subscriber's table holds, after everything shared is delivered."""
    deliver(bus.settings, bus.topics, "care", "known", until_caught_up=True)
    schema = bus.documents["consumers/care/known.yaml"]["delivery"]["schema"]
    with psycopg.connect(bus.settings.need_postgres_url(), row_factory=dict_row) as connection:
        rows = connection.execute(f'SELECT * FROM "{schema}".golden_citizen').fetchall()
    return {row["citizen_id"]: row for row in rows}


def open_discrepancies(bus: ExchangeBus) -> dict[str, dict[str, Any]]:
    """Return what a reader of the whole discrepancy topic holds, by key."""
    last = {seen.key.decode(): seen.value for seen in bus.read(bus.topics.discrepancy) if seen.key}
    text = RecordText(DISCREPANCY)
    return {key: text.fields(value) for key, value in last.items() if value is not None}


def command(bus: ExchangeBus, *words: str, typed: str | None = None) -> Any:
    words = ("--city", str(bus.settings.city_dir), *words)
    return CliRunner().invoke(app, words, input=typed, env=bus.environment(), catch_exceptions=False)


def answer(bus: ExchangeBus, *words: str, typed: str | None = None) -> Any:
    """Return the JSON document that a command prints."""
    done = command(bus, *words, "--json", typed=typed)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout[done.stdout.index("{\n") :])


def test_a_dispute_comes_and_goes_at_the_subscriber(bus: ExchangeBus) -> None:
    """The source's value is delivered all the time; its standing follows the other register, and so does the topic."""
    bus.upsert(person(1))
    bus.upsert(pupil(1), dataset=PUPIL)
    bus.exchange()
    held = table(bus)[citizen_id(1)]
    assert (held["name"], held["sex"]) == (
        {"value": "欧阳1", "standing": "agreed"},
        {"value": "1", "standing": "agreed"},
    )
    assert open_discrepancies(bus) == {}

    bus.upsert(pupil(1, name="欧阳乙"), dataset=PUPIL)
    bus.exchange()
    held = table(bus)[citizen_id(1)]
    assert (held["name"], held["sex"]["standing"]) == ({"value": "欧阳1", "standing": "disputed"}, "agreed")
    ((key, found),) = open_discrepancies(bus).items()
    assert key == "\x1f".join([citizen_id(1), "citizen.name", PUPIL])
    sides = (found["source"], found["source_value"], found["reporter"], found["reported_value"])
    assert sides == (PERSON, "欧阳1", PUPIL, "欧阳乙")

    bus.upsert(pupil(1), dataset=PUPIL)
    bus.exchange()
    held = table(bus)[citizen_id(1)]
    assert held["name"] == {"value": "欧阳1", "standing": "agreed"}
    assert open_discrepancies(bus) == {}


def test_a_record_that_only_a_reporter_has_is_not_delivered(bus: ExchangeBus) -> None:
    """Somebody of whom the source says nothing is not in the table, until the source says something."""
    bus.upsert(pupil(2), dataset=PUPIL)
    bus.exchange()
    assert table(bus) == {}
    bus.upsert(person(2))
    bus.exchange()
    assert table(bus)[citizen_id(2)]["name"] == {"value": "欧阳2", "standing": "agreed"}
    bus.delete(person(2))
    bus.exchange()
    assert table(bus) == {}


def test_status_names_golden_asks_and_discrepancies(bus: ExchangeBus) -> None:
    """The golden ask flows like any other, and each dataset shows how many open discrepancies it has a part in."""
    bus.upsert(person(1))
    bus.upsert(pupil(1, name="欧阳乙"), dataset=PUPIL)
    bus.exchange()
    table(bus)
    found = answer(bus, "status")
    (ask,) = [each for each in found["asks"] if each["ask"] == KNOWN]
    assert (ask["dataset"], ask["state"], ask["undelivered_offsets"] is not None) == (GOLDEN, "flowing", True)
    assert {each["dataset"]: each["open_discrepancies"] for each in found["datasets"]} == {
        "police.car": 0,
        PERSON: 0,
        PUPIL: 1,
        "weather.reading": 0,
    }
    text = command(bus, "status").output
    assert "1 open discrepancy" in text
    assert "govbus discrepancies school" in text


# --- explain ---------------------------------------------------------------------------------------------------------


def test_explain_names_source_reports_and_reasons(bus: ExchangeBus) -> None:
    """Per element the source's value and standing, and per report its value, its result and the reason."""
    version = bus.upsert(person(1, sex="2"))
    bus.upsert(pupil(1, name="欧阳乙", sex="2"), dataset=PUPIL)
    bus.exchange()
    with capture_logs():
        found = answer(bus, "explain", "citizen", citizen_id(1))
    elements = {each["element"]: each for each in found["elements"]}
    name, sex, born = (elements[f"citizen.{each}"] for each in ("name", "sex", "birth_date"))
    assert (name["value"], name["standing"], name["source"]) == ("欧阳1", "disputed", PERSON)
    assert (sex["value"], sex["standing"]) == ("2 女", "agreed")
    assert (born["value"], born["standing"]) == ("2012-01-02", "unverified")
    source, report = name["reports"]
    assert (source["dataset"], source["is_source"], source["version"]) == (PERSON, True, version)
    assert (report["dataset"], report["value"], report["result"]) == (PUPIL, "欧阳乙", "different")
    assert report["reason"]
    assert [each["result"] for each in born["reports"]] == [None, "missing_b"]
    ((element, dataset),) = [(each["element"], each["dataset"]) for each in found["discrepancies"]]
    assert (element, dataset) == ("citizen.name", PUPIL)
    text = command(bus, "explain", "citizen", citizen_id(1)).output
    for word in ("欧阳1", "欧阳乙", "权威来源", "不一致", "有争议", "2 女", "未结的差异 1 条"):
        assert word in text


def test_explain_judges_what_is_accepted_and_counts_what_waits(bus: ExchangeBus) -> None:
    """A record that no worker has exchanged is told as waiting and changes no answer."""
    bus.upsert(person(1))
    bus.exchange()
    bus.upsert(person(1, name="欧阳改"))
    bus.flush()
    found = answer(bus, "explain", "citizen", citizen_id(1))
    assert found["elements"][0]["value"] == "欧阳1"
    assert {each["dataset"]: each["waiting"] for each in found["held"]} == {PERSON: 1, PUPIL: 0}


def test_explain_of_somebody_unknown_and_of_somebody_deleted(bus: ExchangeBus) -> None:
    """Nothing held is an answer; which datasets have deleted their record is told."""
    bus.upsert(person(1))
    bus.exchange()
    bus.delete(person(1))
    bus.exchange()
    assert "没有任何数据集持有" in command(bus, "explain", "citizen", citizen_id(2)).output
    found = answer(bus, "explain", "citizen", citizen_id(1))
    assert found["elements"] == []
    assert {each["dataset"]: each["deleted"] for each in found["held"]} == {PERSON: True, PUPIL: False}


@pytest.mark.parametrize(
    ("entity", "text", "says"),
    [
        ("city", "1", "there is no entity city; there are: citizen (自然人)"),
        ("citizen", citizen_id(1)[:-1] + "Y", "the text given is no citizen_id (公民身份号码)"),
    ],
)
def test_explain_of_what_cannot_be_looked_for(bus: ExchangeBus, entity: str, text: str, says: str) -> None:
    """The message says what can be looked for, and repeats no id."""
    done = CliRunner().invoke(
        app, ["--city", str(bus.settings.city_dir), "explain", entity, text], env=bus.environment()
    )
    assert done.exit_code != 0
    assert says in str(done.exception)
    assert len(text) == 1 or text not in str(done.exception)


def test_a_look_is_noted_without_the_id(bus: ExchangeBus) -> None:
    """Who, when and which kind of entity are written down and logged; the id and the values are in neither."""
    bus.upsert(person(1))
    bus.exchange()
    before = datetime.now(UTC)
    done = command(bus, "explain", "citizen", "-", typed=f"{citizen_id(1)}\n")
    command(bus, "discrepancies", "police")
    book = (bus.settings.home / "looks.jsonl").read_text()
    looks = [json.loads(line) for line in book.splitlines()]
    assert [(each["what"], each.get("entity"), each.get("department")) for each in looks] == [
        ("explain", "citizen", None),
        ("discrepancies", None, "police"),
    ]
    assert all(before <= datetime.fromisoformat(each["at"]) <= datetime.now(UTC) and each["who"] for each in looks)
    assert (bus.settings.home / "looks.jsonl").stat().st_mode & 0o077 == 0
    assert "欧阳1" in done.stdout
    for secret in (citizen_id(1), "欧阳1"):
        assert secret not in book
        assert secret not in done.stderr
    assert "look noted" in done.stderr


def test_a_look_that_cannot_be_noted_does_not_take_place(bus: ExchangeBus) -> None:
    """Where the book of looks cannot be written, nothing is shown."""
    bus.upsert(person(1))
    bus.exchange()
    (bus.settings.home / "looks.jsonl").mkdir()
    done = CliRunner().invoke(
        app, ["--city", str(bus.settings.city_dir), "explain", "citizen", citizen_id(1)], env=bus.environment()
    )
    assert done.exit_code != 0
    assert "nothing is shown" in str(done.exception)
    assert "欧阳1" not in done.output


# --- a department's own list -----------------------------------------------------------------------------------------


def test_each_side_sees_its_own_value_and_never_the_other(bus: ExchangeBus) -> None:
    """Source and reporter each hear of the same discrepancies, with their own value in clear and no other."""
    bus.upsert(person(1, sex="2"))
    bus.upsert(pupil(1, name="欧阳乙", sex="1"), dataset=PUPIL)
    bus.exchange()
    police, school = answer(bus, "discrepancies", "police"), answer(bus, "discrepancies", "school")
    assert [(each["element"], each["side"], each["own"]) for each in police["discrepancies"]] == [
        ("citizen.sex", "source", [{"dataset": PERSON, "value": "2 女"}]),
        ("citizen.name", "source", [{"dataset": PERSON, "value": "欧阳1"}]),
    ]
    assert [(each["element"], each["side"], each["own"]) for each in school["discrepancies"]] == [
        ("citizen.sex", "reporter", [{"dataset": PUPIL, "value": "1 男"}]),
        ("citizen.name", "reporter", [{"dataset": PUPIL, "value": "欧阳乙"}]),
    ]
    assert "欧阳乙" not in json.dumps(police, ensure_ascii=False)
    assert "欧阳1" not in json.dumps(school, ensure_ascii=False)
    # The police receive nothing from anybody: that a school reports on the person is not theirs to know.
    assert {each["other_dataset"] for each in police["discrepancies"]} == {None}
    assert {each["other_dataset"] for each in school["discrepancies"]} == {PERSON}


def test_a_low_clearance_hears_nothing_of_few_valued_elements(bus: ExchangeBus) -> None:
    """Hearing that one's own sex is wrong is the other value: withheld from a reporter without the clearance."""
    for field in ("name", "sex"):
        bus.documents["producers/school/pupil.yaml"]["fields"][field]["grade"] = "L4"
    bus.forget("consumers/care/known.yaml")
    bus.apply()
    bus.upsert(person(1, sex="2"))
    bus.upsert(pupil(1, name="欧阳乙", sex="1"), dataset=PUPIL)
    bus.exchange()
    found = answer(bus, "discrepancies", "school")
    assert [(each["element"], each["reason"]) for each in found["discrepancies"]] == [("citizen.name", None)]
    assert found["withheld"] == {"few_values": 1}
    text = command(bus, "discrepancies", "school").output
    assert "另有 1 条未列出" in text
    assert "性别" not in text


def test_the_list_of_an_unknown_department(bus: ExchangeBus) -> None:
    """The message lists the departments there are."""
    done = CliRunner().invoke(
        app, ["--city", str(bus.settings.city_dir), "discrepancies", "nobody"], env=bus.environment()
    )
    assert "there is no department nobody; there are: police, school, weather" in str(done.exception)


# --- trace -----------------------------------------------------------------------------------------------------------


def verdict(bus: ExchangeBus, number: int) -> tuple[str, list[str]]:
    found = answer(bus, "trace", GOLDEN, citizen_id(number), "--ask", KNOWN)
    return found["verdict"], found["reasons"]


def test_trace_follows_an_entity_to_a_golden_ask(bus: ExchangeBus) -> None:
    """Unknown, waiting, shared, delivered, without a source: each is told."""
    assert verdict(bus, 1)[0] == "unknown_key"
    bus.upsert(pupil(1), dataset=PUPIL)
    bus.flush()
    assert verdict(bus, 1)[0] == "not_yet"
    bus.exchange()
    assert verdict(bus, 1)[0] == "no_source"
    bus.upsert(person(1))
    bus.exchange()
    assert verdict(bus, 1)[0] == "shared"
    table(bus)
    assert verdict(bus, 1)[0] == "delivered"
    bus.delete(person(1))
    bus.delete(pupil(1), dataset=PUPIL)
    bus.exchange()
    assert verdict(bus, 1)[0] == "deleted"


def test_trace_names_the_row_condition_of_a_source(bus: ExchangeBus) -> None:
    """Where the grant of the source keeps its record back, the answer names the dataset and the field."""
    bus.documents["producers/police/person.yaml"]["grants"][2]["rows"] = {"division": {"prefix": "8903"}}
    bus.apply()
    bus.upsert(person(1, division="890210"))
    bus.upsert(pupil(1), dataset=PUPIL)
    bus.exchange()
    found, reasons = verdict(bus, 1)
    assert found == "row_condition"
    (condition,) = [reason for reason in reasons if reason.startswith("row condition")]
    assert condition == f"row condition of the grant of {PERSON}: the test `prefix` of field division does not hold"
    assert table(bus) == {}


def test_trace_names_the_row_condition_of_the_ask(bus: ExchangeBus) -> None:
    """The ask's own condition is on what it would be shown of the golden record."""
    bus.documents["consumers/care/known.yaml"]["datasets"][GOLDEN]["rows"] = {"name.standing": {"equals": "agreed"}}
    bus.apply()
    bus.upsert(person(1))
    bus.exchange()
    found, reasons = verdict(bus, 1)
    assert found == "row_condition"
    assert "row condition of the ask: the test `equals` of field name.standing does not hold" in reasons
    bus.upsert(pupil(1), dataset=PUPIL)
    bus.exchange()
    assert verdict(bus, 1)[0] == "shared"


def test_nothing_but_the_view_reaches_the_share_topic(bus: ExchangeBus) -> None:
    """No version, time or source of a golden record stands in a share record, and no value of the other register."""
    bus.upsert(person(1))
    bus.upsert(pupil(1, name="欧阳乙"), dataset=PUPIL)
    bus.exchange()
    (value,) = bus.shared(KNOWN_VIEW).values()
    assert "欧阳乙".encode() not in value
    assert b"police" not in value


# --- other ways of delivery ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written_as", ["jsonl", "csv"])
def test_files_hold_golden_rows(bus: ExchangeBus, written_as: str) -> None:
    """A sink into files writes an element as any nested record: one object of value and standing."""
    delivery = {"kind": "file", "format": written_as, "folder": "known"}
    bus.documents["consumers/care/known.yaml"]["delivery"] = delivery
    bus.apply()
    bus.upsert(person(1))
    bus.upsert(pupil(1), dataset=PUPIL)
    bus.exchange()
    deliver(bus.settings, bus.topics, "care", "known", until_caught_up=True)
    (file,) = (bus.settings.home / "delivered" / "known").glob(f"*/golden_citizen.{written_as}")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        (row,) = csv.DictReader(lines) if written_as == "csv" else map(json.loads, lines)
    assert row["citizen_id"].lstrip("\t") == citizen_id(1)
    name = row["name"] if written_as == "jsonl" else json.loads(row["name"])
    assert name == {"value": "欧阳1", "standing": "agreed"}


def test_a_topic_of_golden_rows_is_explained(bus: ExchangeBus) -> None:
    """Of an ask that is delivered by topic it is said how to read it, golden views like any other."""
    bus.documents["consumers/care/known.yaml"]["delivery"] = {"kind": "topic"}
    bus.apply()
    said = command(bus, "deliver", "care", "known").output
    assert bus.topics.share(KNOWN_VIEW) in said


def test_plan_and_rejects_know_golden_asks(bus: ExchangeBus) -> None:
    """A plan says what a golden ask gains; a department's rejects are listed as ever."""
    bus.documents["consumers/care/known.yaml"]["datasets"][GOLDEN]["fields"].pop("sex.value")
    bus.write()
    planned = command(bus, "plan").output
    assert KNOWN in planned
    assert "sex.value" in planned
    assert "school has no rejects" in command(bus, "rejects", "school").output
