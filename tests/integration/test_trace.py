"""`govbus trace` on real servers: each way a record can take, and no value of it in any answer or log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import PERSON, citizen_id, person
from stack_fixture import RunningStack
from structlog.testing import capture_logs
from typer.testing import CliRunner

from govbus.cli import app
from govbus.delivery.run import deliver
from govbus.kafka.settings import Settings
from govbus.ops.trace import UnknownName, trace
from govbus.ops.trace_verdict import Trace, Verdict

pytestmark = pytest.mark.stack

PLACES, STATISTICS, AID, HEAT = "school.places", "school.statistics", "care.aid", "care.heat"
NewBus = Callable[..., ExchangeBus]
TOO_OLD, OTHER_SEX, NEITHER = person(21, birth_date=0), person(22, sex="2"), person(23, sex="2", birth_date=0)
SECRETIVE = person(24, name="钱七七", illness="甲类", sex="2", birth_date=0)


@pytest.fixture
def new_bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> NewBus:
    return lambda edit=None: ExchangeBus(settings, topic_prefix, tmp_path / "city", edit)


@pytest.fixture(scope="module")
def at_rest(stack: RunningStack, shared_prefix: str, tmp_path_factory: pytest.TempPathFactory) -> ExchangeBus:
    """A bus on which nothing changes any more: people 0 to 11 as they usually are, and some more for single tests."""
    settings = stack.settings(tmp_path_factory.mktemp("trace"))
    bus = ExchangeBus(settings, shared_prefix, settings.city_dir)
    for number in range(12):
        bus.upsert(person(number))
    for each in (TOO_OLD, OTHER_SEX, NEITHER, SECRETIVE):
        bus.upsert(each)
    bus.exchange()
    return bus


def look(bus: ExchangeBus, number: int, ask: str, dataset: str = PERSON) -> Trace:
    return trace(bus.settings, bus.topics, dataset, [citizen_id(number)], ask)


def test_a_record_in_the_share_topic_is_delivered_to_those_who_read_kafka(at_rest: ExchangeBus) -> None:
    """The verdict names topic, partition, offset and time."""
    found = look(at_rest, 1, PLACES)
    assert found.verdict is Verdict.DELIVERED
    topic = at_rest.topics.share(f"{PLACES}/{PERSON}")
    (seen,) = (each for each in at_rest.read(topic) if each.key == citizen_id(1).encode())
    place = f"in {topic}, partition {seen.partition}, offset {seen.offset}"
    assert any(reason.startswith(place) for reason in found.reasons)


def test_a_record_under_a_pseudonym_is_found_by_its_own_key(at_rest: ExchangeBus) -> None:
    """Who asks knows the citizen's id; the share topic has only the pseudonym, on a partition of its own."""
    assert [look(at_rest, number, STATISTICS).verdict for number in range(12)] == [Verdict.DELIVERED] * 12


def test_without_the_secret_the_pseudonymised_topic_is_not_looked_at(new_bus: NewBus) -> None:
    """The answer says what could not be looked at and where to look instead."""
    bus = new_bus()
    bus.upsert(person(1))
    bus.exchange()
    for secret in (bus.settings.home / "secrets" / "pseudonym").glob("*.key"):
        secret.unlink()
    found = look(bus, 1, STATISTICS)
    assert found.verdict is Verdict.NOT_YET
    assert any("the share topic was not looked at" in reason for reason in found.reasons)
    assert found.what_to_do == "run this where the pseudonym keys are"


def test_a_sink_that_has_not_read_leaves_a_record_shared(new_bus: NewBus) -> None:
    """In the topic is not yet in the subscriber's files; once the sink has run, it is."""
    bus = new_bus(lambda documents: documents["consumers/care/aid.yaml"].update(delivery=_FILES))
    bus.upsert(person(1))
    bus.exchange()
    found = look(bus, 1, AID)
    assert found.verdict is Verdict.SHARED
    assert found.what_to_do == "run `govbus deliver care aid`"

    deliver(bus.settings, bus.topics, "care", "aid", until_caught_up=True)
    assert look(bus, 1, AID).verdict is Verdict.DELIVERED

    bus.upsert(person(1, name="欧阳二"))
    bus.exchange()
    assert look(bus, 1, AID).verdict is Verdict.SHARED


_FILES = {"kind": "file", "format": "jsonl", "folder": "aid"}


def test_a_row_condition_is_named_by_its_field(at_rest: ExchangeBus) -> None:
    """Whose condition, which field, which test; both conditions are looked at."""
    grant = "row condition of the grant: the test `range` of field birth_date does not hold"
    ask = "row condition of the ask: the test `equals` of field sex does not hold"
    for number, conditions in ((21, [grant]), (22, [ask]), (23, [grant, ask])):
        found = look(at_rest, number, PLACES)
        assert found.verdict is Verdict.ROW_CONDITION
        assert [reason for reason in found.reasons if reason.startswith("row condition")] == conditions


def test_an_empty_field_gives_no_answer_to_a_test(new_bus: NewBus) -> None:
    """Unknown is not false, and the reason says so."""

    def only_with_division(documents: dict[str, Any]) -> None:
        documents["producers/police/person.yaml"]["grants"][2]["rows"] = {"not": {"division": {"prefix": "8903"}}}

    bus = new_bus(only_with_division)
    bus.upsert(person(1, division=None))
    bus.upsert(person(2, division="890301"))
    bus.exchange()
    test = "row condition of the grant: the test `prefix` of field division"
    assert f"{test} has no answer, because the field is empty" in look(bus, 1, AID).reasons
    assert f"{test} holds, and the condition asks that it does not" in look(bus, 2, AID).reasons


def test_a_deleted_record_and_one_that_never_came(new_bus: NewBus) -> None:
    """Deleted is told from unknown."""
    bus = new_bus()
    bus.upsert(person(1))
    bus.exchange()
    bus.delete(person(1))
    bus.exchange()
    assert look(bus, 1, AID).verdict is Verdict.DELETED
    assert look(bus, 2, AID).verdict is Verdict.UNKNOWN_KEY


def test_what_no_worker_has_exchanged_is_not_there_yet(new_bus: NewBus) -> None:
    """A record that was only published waits; a later change of an accepted one is a note beside the verdict."""
    bus = new_bus()
    bus.upsert(person(1))
    bus.flush()
    waiting = look(bus, 1, AID)
    assert waiting.verdict is Verdict.NOT_YET
    assert "published once, but no worker has exchanged it yet" in waiting.reasons

    bus.exchange()
    bus.upsert(person(1, name="欧阳二"))
    bus.flush()
    later = look(bus, 1, AID)
    assert later.verdict is Verdict.DELIVERED
    assert "a later change was published once and waits to be exchanged" in later.reasons


def test_a_rejected_record_is_reported_with_its_reason(new_bus: NewBus) -> None:
    """The reason, the field, how often; the remedy is what to do. A wrong partition is found as well."""
    bus = new_bus()
    damaged = bus.value(PERSON, person(1), bus.version())[:-2]
    for _ in range(2):
        bus.send(bus.key(PERSON, person(1)), damaged)
    bus.exchange()
    found = look(bus, 1, AID)
    assert found.verdict is Verdict.REJECTED
    assert any(reason.startswith("rejected 2 times: malformed") for reason in found.reasons)
    assert "check the serialiser" in found.what_to_do

    right = bus.upsert(person(1))
    bus.exchange()
    where = next(each.partition for each in bus.read(bus.topics.raw(PERSON)))
    bus.send(bus.key(PERSON, person(1)), bus.value(PERSON, person(1), right + 1), partition=(where + 1) % 4)
    bus.exchange()
    found = look(bus, 1, AID)
    assert found.verdict is Verdict.DELIVERED
    assert any("rejected once: wrong_partition" in reason for reason in found.reasons)


def test_an_ask_that_gets_nothing_says_why(new_bus: NewBus) -> None:
    """Not asked, suspended and expired are three answers, and none of them looks at the record."""

    def closed(documents: dict[str, Any]) -> None:
        grants = documents["producers/police/person.yaml"]["grants"]
        grants[0]["state"] = "suspended"
        documents["consumers/school/statistics.yaml"]["until"] = "2026-06-30"
        grants[2]["until"] = "2026-06-29"

    bus = new_bus(closed)
    assert look(bus, 1, HEAT).verdict is Verdict.NOT_ASKED
    suspended = look(bus, 1, PLACES)
    assert (suspended.verdict, suspended.reasons) == (Verdict.WITHHELD, ("the owner has suspended the grant",))
    assert look(bus, 1, STATISTICS).reasons == ("the last day of the ask was 2026-06-30",)
    assert look(bus, 1, AID).reasons == ("the last day of the grant was 2026-06-29",)
    assert look(bus, 1, AID).verdict is Verdict.EXPIRED


def test_a_revision_that_no_worker_has_taken_is_not_there_yet(new_bus: NewBus) -> None:
    """The share topic holds what an earlier revision showed, and the answer names both revisions."""
    bus = new_bus()
    bus.upsert(person(1))
    bus.exchange()
    fields = bus.documents["consumers/care/aid.yaml"]["datasets"][PERSON]["fields"]
    bus.documents["consumers/care/aid.yaml"]["datasets"][PERSON]["fields"] = {**fields, "sex": "drop"}
    bus.apply()
    found = look(bus, 1, AID)
    assert found.verdict is Verdict.NOT_YET
    assert any("the one applied is 2" in reason for reason in found.reasons)
    bus.exchange()
    assert look(bus, 1, AID).verdict is Verdict.DELIVERED


def test_neither_answer_nor_log_holds_a_value_of_the_record(at_rest: ExchangeBus) -> None:
    """The look is logged with dataset, ask and verdict; the key, and every other value, stays out."""
    with capture_logs() as logs:
        found = [look(at_rest, 24, ask) for ask in (PLACES, STATISTICS, AID)]
    answers = json.dumps([[each.reasons, each.what_to_do] for each in found], ensure_ascii=False)
    logged = json.dumps(logs, ensure_ascii=False)
    for value in (SECRETIVE["citizen_id"], "钱七七", "甲类", SECRETIVE["division"]):
        assert value not in answers
        assert value not in logged
    looks = [each for each in logs if each["event"] == "record traced"]
    assert [(each["dataset"], each["ask"], each["verdict"]) for each in looks] == [
        (PERSON, PLACES, "row_condition"),
        (PERSON, STATISTICS, "delivered"),
        (PERSON, AID, "delivered"),
    ]


@pytest.mark.parametrize(
    ("dataset", "key", "ask", "says"),
    [
        ("police.nobody", ["1"], AID, "there is no dataset police.nobody; there are: police.car, police.person"),
        (PERSON, [citizen_id(1)], "care.nothing", "there is no ask care.nothing; there are: care.aid"),
        (PERSON, [citizen_id(1), "云A1"], AID, r"a key of police.person is 1 texts: citizen_id \(公民身份号码\)"),
        (PERSON, [citizen_id(1)[:-1] + "Y"], AID, "the text given for citizen_id is no citizen_id"),
    ],
)
def test_a_name_or_key_that_cannot_be_looked_for_is_an_error(
    at_rest: ExchangeBus, dataset: str, key: list[str], ask: str, says: str
) -> None:
    """The message says what can be looked for, and repeats no key."""
    with pytest.raises(UnknownName, match=says) as error:
        trace(at_rest.settings, at_rest.topics, dataset, key, ask)
    assert key[0] not in str(error.value) or key[0] == "1"


def test_the_command_takes_the_key_from_standard_input(at_rest: ExchangeBus) -> None:
    """A lone - keeps the key out of the shell's history; --json is for programs."""
    words = ["--city", str(at_rest.settings.city_dir), "trace", PERSON, "-", "--ask", AID, "--json"]
    key, environment = f"{citizen_id(1)}\n", at_rest.environment()
    done = CliRunner().invoke(app, words, input=key, env=environment, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout[done.stdout.index("{\n") :])["verdict"] == "delivered"
