"""`govbus rejects` on real servers: reasons and remedies, one record, out into a file and back onto the bus."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import CAR, PARTITIONS, PERSON, citizen_id, person
from structlog.testing import capture_logs
from typer.testing import CliRunner

from govbus.adapters import Publisher
from govbus.cli import app
from govbus.kafka.settings import Settings
from govbus.ops.rejects import Filter, NoSuchReject, Reject, RejectTopic
from govbus.ops.rejects_resend import FileTaken, export, resend
from govbus.rules.record_key import partition_of

pytestmark = pytest.mark.stack

AID = f"care.aid/{PERSON}"


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    return ExchangeBus(settings, topic_prefix, tmp_path / "city")


def topic(bus: ExchangeBus) -> RejectTopic:
    return RejectTopic(bus.settings, bus.topics, "police")


def send_invalid(bus: ExchangeBus, number: int) -> str:
    """Publish a person under an id whose check digit is wrong, past the publisher's checks; return that id."""
    right = citizen_id(number)
    wrong = right[:-1] + ("1" if right[-1] == "0" else "0")
    record = person(number, citizen_id=wrong)
    bus.send_bad(wrong.encode(), bus.value(PERSON, record, bus.version()))
    return wrong


def documents(bus: ExchangeBus) -> list[dict[str, Any]]:
    found = topic(bus)
    return [found.document(each) for each in found.with_superseded(found.each())]


def exported(bus: ExchangeBus, file: Path) -> list[dict[str, Any]]:
    export(topic(bus), file)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write(file: Path, lines: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def test_rejects_are_counted_by_reason_and_field(bus: ExchangeBus) -> None:
    """Groups, most frequent first, each with its remedy; the newest first; filters apply to both."""
    for number in range(3):
        send_invalid(bus, number)
    bus.send_bad(bus.key(PERSON, person(9)), None)
    car = {"citizen_id": citizen_id(1), "plate": "云A1", "seats": 5}
    bus.send_bad(bus.key(CAR, car), bus.value(CAR, car, bus.version())[:-1], dataset=CAR)
    bus.exchange()

    found = topic(bus).overview()
    assert found.total == 5
    most = found.groups[0]
    assert (most.dataset, most.reason, most.field, most.times) == (PERSON, "invalid_value", "citizen_id", 3)
    assert {(each.dataset, each.reason, each.times) for each in found.groups[1:]} == {
        (PERSON, "version_missing", 1),
        (CAR, "malformed", 1),
    }
    assert [each.at_ms for each in found.newest] == sorted((each.at_ms for each in found.newest), reverse=True)
    assert all(each.what_to_do for each in found.newest)

    only_cars = topic(bus).overview(Filter(dataset=CAR))
    assert (only_cars.total, [each.dataset for each in only_cars.newest]) == (1, [CAR])
    assert topic(bus).overview(Filter(reason="malformed")).total == 1
    assert len(topic(bus).overview(limit=2).newest) == 2


def test_each_kind_of_reject_is_shown_with_what_is_known_of_it(bus: ExchangeBus) -> None:
    """A record field by field, a deletion by its key, unreadable bytes as they are, an over-size one by its size."""
    wrong = send_invalid(bus, 1)
    bus.send_bad(bus.key(PERSON, person(2)), None)
    damaged = bus.value(PERSON, person(3), bus.version())[:-2]
    bus.send_bad(bus.key(PERSON, person(3)), damaged)
    bus.send_bad(bus.key(PERSON, person(4)), bus.value(PERSON, person(4, name="大" * 30_000), bus.version()))
    bus.send_bad(bus.key(PERSON, person(5)), b"no avro")
    bus.exchange()

    by_reason = {each["reason"]: each for each in documents(bus)}
    shown = by_reason["invalid_value"]
    assert shown["operation"] == "upsert"
    assert shown["record"] == {**person(1), "citizen_id": wrong, "birth_date": "2012-01-02"}
    assert shown["field"] == "citizen_id"
    assert (by_reason["version_missing"]["operation"], by_reason["version_missing"]["key"]) == (
        "delete",
        [citizen_id(2)],
    )
    assert by_reason["malformed"]["operation"] == "unreadable"
    assert by_reason["oversize"]["size_bytes"].isdigit()
    assert "bytes" not in by_reason["oversize"]
    assert by_reason["not_framed"]["bytes"] == "bm8gYXZybw=="


def test_a_reject_keeps_its_number(bus: ExchangeBus) -> None:
    """What the list calls a reject finds it again; another number says where to look."""
    send_invalid(bus, 1)
    bus.exchange()
    (listed,) = topic(bus).overview().newest
    assert topic(bus).one(listed.number) == listed
    for number in ("3-99999", "0-9", "x"):
        with pytest.raises(NoSuchReject, match="`govbus rejects police` lists them"):
            topic(bus).one(number)
    with pytest.raises(NoSuchReject, match="there are: police, weather"):
        RejectTopic(bus.settings, bus.topics, "nobody")


def test_a_newer_state_that_was_taken_leaves_nothing_to_do(bus: ExchangeBus) -> None:
    """Superseded is a reject after which the department published the key again and was not refused."""

    def superseded() -> dict[bytes | None, bool]:
        found = topic(bus)
        return {each.key: each.superseded for each in found.with_superseded(found.each())}

    keys = [bus.key(PERSON, person(number)) for number in range(3)]
    for number in range(3):
        bus.send_bad(keys[number], bus.value(PERSON, person(number), bus.version())[:-2])
    bus.exchange()
    assert superseded() == dict.fromkeys(keys, False)

    bus.upsert(person(0))
    bus.send_bad(keys[1], bus.value(PERSON, person(1), bus.version())[:-2])
    bus.exchange()
    assert superseded() == {keys[0]: True, keys[1]: False, keys[2]: False}


def test_corrected_rejects_reach_the_subscriber(bus: ExchangeBus, tmp_path: Path) -> None:
    """Export, correct, resend, exchange: the view holds the corrected records, and a line still wrong is named."""
    for number in (1, 2):
        send_invalid(bus, number)
    bus.exchange()
    assert bus.shared(AID) == {}

    file = tmp_path / "rejects.jsonl"
    lines = exported(bus, file)
    for line in lines:
        if line["record"]["name"] == "欧阳1":
            line["record"]["citizen_id"] = citizen_id(1)
    wrong = next(place for place, line in enumerate(lines, start=1) if line["record"]["name"] == "欧阳2")
    write(file, lines)
    with capture_logs() as logs:
        found = resend(topic(bus), file)
    assert found.sent == 1
    assert [(fault.line, fault.reason) for fault in found.faults] == [
        (wrong, "citizen_id: the check character of the citizen id is wrong")
    ]
    assert citizen_id(1) not in json.dumps(logs)

    bus.exchange()
    assert set(bus.shared(AID)) == {citizen_id(1).encode()}


def test_the_exported_file_is_its_owners_alone(bus: ExchangeBus, tmp_path: Path) -> None:
    """Nobody else may read people's records, and a file that is there is never written over."""
    send_invalid(bus, 1)
    bus.exchange()
    file = tmp_path / "rejects.jsonl"
    assert export(topic(bus), file) == (1, 0)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    with pytest.raises(FileTaken, match="name another file"):
        export(topic(bus), file)
    assert file.read_bytes() == before


def test_a_line_that_would_undo_something_newer_is_left_out(bus: ExchangeBus, tmp_path: Path) -> None:
    """The key got a newer state since the reject, so the old one is not sent over it unless asked for."""
    send_invalid(bus, 1)
    bus.exchange()
    file = tmp_path / "rejects.jsonl"
    (line,) = exported(bus, file)
    line["record"].update(citizen_id=citizen_id(1), name="旧")
    write(file, [line])
    with Publisher(bus.settings, PERSON, bus.topics) as publisher:
        publisher.upsert({**line["record"], "name": "新"})
    bus.exchange()

    found = resend(topic(bus), file)
    assert (found.sent, found.superseded, found.faults) == (0, [1], [])
    bus.exchange()
    assert "新".encode() in bus.shared(AID)[citizen_id(1).encode()]

    assert resend(topic(bus), file, overwrite=True).sent == 1
    bus.exchange()
    assert "旧".encode() in bus.shared(AID)[citizen_id(1).encode()]


def test_values_that_were_published_last_are_sent_again(bus: ExchangeBus, tmp_path: Path) -> None:
    """The department's journal thinks them published; the bus put them aside; so they travel once more."""
    record = person(1)
    value = bus.value(PERSON, record, bus.version())
    here = bus.key(PERSON, record)
    wrong_partition = next(number for number in range(PARTITIONS) if number != partition_of(here, PARTITIONS))
    bus.send_bad(here, value, partition=wrong_partition)
    bus.exchange()
    file = tmp_path / "rejects.jsonl"
    (line,) = exported(bus, file)
    assert line["reason"] == "wrong_partition"

    # A new journal is read back from the raw topic, where these very values stand.
    assert resend(topic(bus), file).sent == 1
    bus.exchange()
    assert set(bus.shared(AID)) == {here}


def test_lines_that_nobody_can_send_are_named(bus: ExchangeBus, tmp_path: Path) -> None:
    """No JSON, no dataset of this department, no operation: each has its line and its reason, and the rest goes."""
    file = tmp_path / "rejects.jsonl"
    good = {"dataset": PERSON, "operation": "upsert", "record": {**person(1), "birth_date": "2012-01-02"}}
    lines = [
        json.dumps(good, ensure_ascii=False),
        "{",
        json.dumps({**good, "dataset": "weather.reading"}),
        json.dumps({**good, "operation": "unreadable"}),
        json.dumps({**good, "operation": "delete"}),
        "",
        json.dumps({**good, "record": {**good["record"], "colour": "red"}}),
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    found = resend(topic(bus), file)
    assert found.sent == 1
    assert [fault.line for fault in found.faults] == [2, 3, 4, 5, 7]
    reasons = [fault.reason for fault in found.faults]
    assert reasons[0] == "this is no JSON: one document in braces a line"
    assert reasons[1] == "`dataset` names no dataset of police"
    assert reasons[2].startswith("the bus could not read this one")
    assert reasons[3].startswith("`operation` is upsert")
    assert reasons[4] == "colour: this dataset has no such field"


def test_a_deletion_can_be_sent_again(bus: ExchangeBus, tmp_path: Path) -> None:
    """A tombstone without a version is put aside; its line deletes the record."""
    bus.upsert(person(1))
    bus.exchange()
    bus.send_bad(bus.key(PERSON, person(1)), None)
    bus.exchange()
    assert set(bus.shared(AID)) == {citizen_id(1).encode()}
    file = tmp_path / "rejects.jsonl"
    exported(bus, file)
    assert resend(topic(bus), file).sent == 1
    bus.exchange()
    assert bus.shared(AID) == {}


def test_the_command_says_what_to_do_next(bus: ExchangeBus, tmp_path: Path) -> None:
    """List, show, export and resend as a department calls them; exit code 1 where a line could not be sent."""
    wrong = send_invalid(bus, 1)
    bus.exchange()

    def run(*words: str) -> tuple[int, str]:
        line = ["--city", str(bus.settings.city_dir), "rejects", "police", *words]
        done = CliRunner().invoke(app, line, env=bus.environment(), catch_exceptions=False)
        return done.exit_code, done.output

    code, listed = run()
    assert code == 0
    assert "invalid_value: a value is not in its canonical form" in listed
    assert wrong not in listed
    (reject,) = topic(bus).each()
    assert isinstance(reject, Reject)
    assert f'"citizen_id": "{wrong}"' in run("--show", reject.number)[1]
    file = tmp_path / "rejects.jsonl"
    assert f"govbus rejects police --resend {file}" in run("--export", str(file))[1]
    code, sent = run("--resend", str(file))
    assert code == 1
    assert "0 lines sent." in sent
    assert "line 1: citizen_id: the check character" in sent
