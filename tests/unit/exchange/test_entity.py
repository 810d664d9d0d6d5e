"""Cross-checks of one partition: what is looked at, what is held, what is told of mass discrepancies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import pytest
from unit.catalogue.elements_city import CITIZENS, GOLDEN_ASK
from unit.catalogue.small_city import write_city

from govbus.catalogue.check import load
from govbus.catalogue.golden import golden_datasets
from govbus.codec.schemas import DISCREPANCY, INCIDENT, record_schema
from govbus.exchange.difference import Arrival, Output
from govbus.exchange.partition import AssignedPartition
from govbus.exchange.revision import CompiledRevision
from govbus.exchange.state import PartitionState
from govbus.kafka.revisions import Revision
from govbus.rules.identity import citizen_id_check
from govbus.rules.incident import CAUSE_TITLES, Cause

NOW_MS = 1_800_000_000_000
LONG_AGO = NOW_MS * 1000 - 300 * 86_400_000_000
PERSON, PUPIL = "police.person", "school.pupil"


class Message:
    """What the exchange asks of a message beyond key, value and time."""

    def headers(self) -> object:
        return None

    def offset(self) -> int | None:
        return 0


@dataclass
class OnePartition:
    """A city of one partition, two registers that tell three elements, and nobody who asks."""

    revision: CompiledRevision
    partition: AssignedPartition
    schemas: dict[str, Any]
    version: int = LONG_AGO

    def record(self, dataset: str, fields: dict[str, Any], changed_at: int) -> bytes:
        self.version += 1
        out = io.BytesIO()
        whole = {"_version": self.version, "_changed_at": changed_at, **fields}
        fastavro.schemaless_writer(out, self.schemas[dataset], whole)
        return self.revision.datasets[dataset].newest_frame + out.getvalue()

    def arrive(self, dataset: str, *rows: dict[str, Any], changed_at: int = LONG_AGO) -> list[Output]:
        """Exchange *rows* as one committed batch; return what was put out."""
        exchange = self.partition.exchange
        of = self.partition.datasets[self.revision.datasets[dataset].raw_topic]
        arrivals: list[Arrival] = []
        for row in rows:
            key = row.get("pupil_id") or f"{row['citizen_id']}\x1f{row['register_no']}"
            arrivals.append((of, key.encode(), self.record(dataset, row, changed_at), NOW_MS, Message()))
        exchange.clock_ms = NOW_MS
        exchange.accept(arrivals)
        assert not of.rejected, of.rejected
        outputs = [*exchange.outputs, *self.partition.clock_outputs()]
        self.partition.state.write(exchange.pending)
        exchange.keep()
        return outputs

    def golden_schema(self) -> Any:
        return self.revision.goldens["golden.citizen"].newest.schema

    def told(self, outputs: list[Output], topic: str, schema: Any) -> dict[str, Any]:
        """Return the records on *topic*, by key; None where one was retracted."""
        parsed = fastavro.parse_schema(schema)
        return {
            (key or b"").decode(): value and fastavro.schemaless_reader(io.BytesIO(value[5:]), parsed, None)
            for name, value, key, *_ in outputs
            if name == topic
        }


@pytest.fixture
def one(tmp_path: Path) -> Iterator[OnePartition]:
    files = {name: text for name, text in CITIZENS.items() if name != GOLDEN_ASK}
    catalogue = load(write_city(tmp_path / "city", files))
    catalogue = catalogue.model_copy(update={"asks": {}, "city": catalogue.city.model_copy(update={"partitions": 1})})
    schemas = {name: record_schema(each.avro) for name, each in catalogue.datasets.items()}
    revision = CompiledRevision(
        Revision(
            number=1,
            applied_at="",
            catalogue=catalogue,
            schema_ids={name: ((number, schemas[name]),) for number, name in enumerate(schemas, 1)},
            view_schema_ids={},
            golden_schema_ids=dict.fromkeys(golden_datasets(catalogue), 100),
            discrepancy_schema_id=101,
            incident_schema_id=102,
            deleted_schema_id=103,
            pseudonym_keys={},
        ),
        lambda _name, _mark: b"",
    )
    state = PartitionState(tmp_path / "state")
    partition = AssignedPartition.open(0, state, revision, lambda _dataset, _schema_id: None)
    partition.clock_ms = partition.checked_ms = NOW_MS
    partition.open_checks(revision)
    partition.activate(revision)
    yield OnePartition(revision, partition, schemas)
    state.close()


def citizen_id(number: int) -> str:
    digits = f"89030119900101{number:03}"
    return digits + citizen_id_check(digits)


def person(number: int, **other: Any) -> dict[str, Any]:
    return {
        "citizen_id": citizen_id(number),
        "register_no": 1,
        "name": f"张{chr(0x4E00 + number)}",
        "sex": "1",
        "state": "ALIVE",
        "birth_date": 7_305,
        "income": None,
        "weight": 60.0,
        "illness": None,
        "phone": None,
        "address": {"division": "890301", "street": None},
        "spouse": None,
        "tags": [],
        **other,
    }


def pupil(number: int, **other: Any) -> dict[str, Any]:
    return {
        "pupil_id": citizen_id(number),
        "name": f"张{chr(0x4E00 + number)}",
        "gender": "M",
        "born": 7_305,
        "school": "一中",
        "division": "890301",
        "home": None,
        "grade_no": 1,
        **other,
    }


def test_agreement_and_discrepancy(one: OnePartition) -> None:
    """A copy that differs opens one discrepancy with both values; when it agrees again, that one is retracted."""
    one.arrive(PERSON, person(1))
    opened = one.arrive(PUPIL, pupil(1, name="李四"))
    topics = one.revision.topics
    ((key, row),) = one.told(opened, topics.discrepancy, DISCREPANCY).items()
    assert key == "\x1f".join([citizen_id(1), "citizen.name", PUPIL])
    assert (row["source"], row["source_value"], row["reported_value"]) == (PERSON, person(1)["name"], "李四")

    cleared = one.arrive(PUPIL, pupil(1))
    assert one.told(cleared, topics.discrepancy, DISCREPANCY) == {key: None}
    (golden,) = one.told(cleared, topics.golden("golden.citizen"), one.golden_schema()).values()
    assert golden["name"]["standing"] == "agreed"


def test_the_same_mismatch_is_told_once(one: OnePartition) -> None:
    """A mismatch that is reported again and again sends nothing more."""
    one.arrive(PERSON, person(1))
    one.arrive(PUPIL, pupil(1, name="李四"))

    again = [one.arrive(PUPIL, pupil(1, name="李四", grade_no=grade)) for grade in range(2, 12)]

    told = [one.told(outputs, one.revision.topics.discrepancy, DISCREPANCY) for outputs in again]
    assert told == [{}] * 10


def test_event_that_changes_no_bound_field_is_not_looked_at(one: OnePartition) -> None:
    """Where a register has one record per person, a change elsewhere in it reaches no cross-check."""
    one.arrive(PERSON, person(1))
    one.arrive(PUPIL, pupil(1))
    (checks,) = one.partition.checks.values()
    held = dict(checks.counts)

    outputs = one.arrive(PUPIL, pupil(1, grade_no=2, division="890302"))

    assert [output[0] for output in outputs] == [one.revision.datasets[PUPIL].current_topic]
    assert dict(checks.counts) == held


def test_what_is_held_of_an_entity_is_small(one: OnePartition) -> None:
    """Beside the records themselves, an entity takes less than 1.2 KB: here with two reports, under a third of it."""
    one.arrive(PERSON, *(person(number) for number in range(1, 200)))
    one.arrive(PUPIL, *(pupil(number) for number in range(1, 200)))
    (prefix, due) = one.partition.state.entity_prefixes("golden.citizen")

    sizes = [len(key) + len(value) for key, value in one.partition.state.entries(prefix)]
    assert len(sizes) == 199
    assert max(sizes) < 400
    assert list(one.partition.state.entries(due)) == []


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        (lambda number: {"name": "一中"}, Cause.SHIFTED_COLUMN),
        (lambda number: {"name": "佚名"}, Cause.ONE_VALUE),
        (lambda number: {"name": f"王{chr(0x4F00 + number)}"}, Cause.RELOAD),
    ],
)
def test_bad_reload_is_one_incident(one: OnePartition, wrong: Any, cause: Cause) -> None:
    """So many mismatches in one batch are told as one incident with a likely cause, and it ends when they do."""
    everybody = range(1, 200)
    one.arrive(PERSON, *(person(number) for number in everybody))
    quiet = one.arrive(PUPIL, *(pupil(number) for number in everybody))
    topic = one.revision.topics.incident
    assert one.told(quiet, topic, INCIDENT) == {}

    opened = one.arrive(PUPIL, *(pupil(number, **wrong(number)) for number in everybody))
    ((key, incident),) = one.told(opened, topic, INCIDENT).items()
    assert key == f"citizen.name\x1f{PUPIL}\x1f0"
    assert (incident["different"], incident["compared"]) == (199, 199)
    assert (incident["cause"], incident["cause_title"]) == (cause, CAUSE_TITLES[cause])
    assert len(one.told(opened, one.revision.topics.discrepancy, DISCREPANCY)) == 199

    ended = one.arrive(PUPIL, *(pupil(number) for number in everybody))
    assert one.told(ended, topic, INCIDENT) == {key: None}


def test_single_mistakes_are_no_incident(one: OnePartition) -> None:
    """A few mismatches among many, as registers have them, make no incident."""
    one.arrive(PERSON, *(person(number) for number in range(1, 900)))
    outputs = one.arrive(PUPIL, *(pupil(n, name="李四" if n % 20 == 1 else person(n)["name"]) for n in range(1, 900)))

    assert len(one.told(outputs, one.revision.topics.discrepancy, DISCREPANCY)) == 45
    assert one.told(outputs, one.revision.topics.incident, INCIDENT) == {}
