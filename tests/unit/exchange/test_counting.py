"""What a worker counts of cross-checks: how reports compare, and what golden views meant for their share views."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from unit.catalogue.elements_city import CITIZENS, GOLDEN_ASK
from unit.catalogue.small_city import PERSON as PERSON_FILE
from unit.catalogue.small_city import write_city
from unit.exchange.test_entity import LONG_AGO, NOW_MS, PERSON, PUPIL, Message, OnePartition, person, pupil

from govbus import metrics
from govbus.catalogue.check import load
from govbus.catalogue.golden import golden_datasets
from govbus.catalogue.views import share_views
from govbus.codec.schemas import record_schema
from govbus.exchange.counting import Counting
from govbus.exchange.difference import Output
from govbus.exchange.entity import EntityChecks, entities
from govbus.exchange.partition import AssignedPartition
from govbus.exchange.revision import CompiledRevision
from govbus.exchange.state import PartitionState
from govbus.kafka.revisions import Revision

GOLDEN, ASK = "golden.citizen", "school.golden"
DAY_MS = 86_400_000


@dataclass
class Counted(OnePartition):
    """One partition of a city with an ask for the golden view, and the worker's counting beside it."""

    counting: Any = None

    def arrive(self, dataset: str, *rows: dict[str, Any], changed_at: int = LONG_AGO) -> list[Output]:
        """Exchange *rows* at the partition's clock as one committed batch; return what was put out."""
        now_ms = self.partition.now_ms
        exchange, of = self.partition.exchange, self.partition.datasets[self.revision.datasets[dataset].raw_topic]
        exchange.clock_ms = now_ms
        for row in rows:
            key = row.get("pupil_id") or f"{row['citizen_id']}\x1f{row['register_no']}"
            exchange.accept([(of, key.encode(), self.record(dataset, row, changed_at), now_ms, Message())])
        assert not of.rejected, of.rejected
        outputs = [*exchange.outputs, *self.partition.clock_outputs()]
        self.partition.state.write(exchange.pending)
        exchange.keep()
        return outputs

    @property
    def checks(self) -> EntityChecks:
        return self.partition.checks[GOLDEN]

    def shown(self, name: str, **labels: str) -> float:
        """What the metrics show now: the worker's state is set first, and its batch counted."""
        self.counting.batch([self.partition], 0, 0.0)
        self.counting._state_at = 0.0
        self.counting.state({0: self.partition}, None, {})
        return metrics.REGISTRY.get_sample_value(name, labels) or 0.0

    def recounted(self) -> Counter[Any]:
        """How the reports compare at the partition's clock, from the records alone."""
        clock_micros = self.partition.now_ms * 1000
        found: Counter[Any] = Counter()
        for _, said in entities(self.checks.golden, self.partition.state):
            evaluation = self.checks.golden.evaluate(said, clock_micros)
            assert evaluation is not None
            found.update(evaluation.results)
        return found

    def pass_time(self, milliseconds: int) -> None:
        """A tick: what is due is judged and committed."""
        self.partition.clock_ms = self.partition.now_ms + milliseconds
        assert all(isinstance(outputs, list) for outputs in self.partition.judged_by_time())

    def restart(self, keys: dict[str, set[bytes]], later_ms: int) -> None:
        """The worker ends, and starts again with *keys* restored, the golden views having been sent *later_ms* on."""
        exchange, state = self.partition, self.partition.state
        self.partition = AssignedPartition.open(0, state, self.revision, lambda _dataset, _schema_id: None)
        self.partition.clock_ms = self.partition.checked_ms = exchange.now_ms + later_ms
        self.partition.restored = keys
        self.partition.open_checks(self.revision)
        self.partition.activate(self.revision)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Counted]:
    without_rows = re.sub(r"\n    rows: {birth_date.*", "", CITIZENS[PERSON_FILE])
    of_the_police = re.sub(r"\n      school\..*", "", CITIZENS[GOLDEN_ASK])
    files = {**CITIZENS, PERSON_FILE: without_rows, GOLDEN_ASK: of_the_police}
    catalogue = load(write_city(tmp_path / "city", files))
    asks = {name: ask for name, ask in catalogue.asks.items() if name == ASK}
    catalogue = catalogue.model_copy(update={"asks": asks, "city": catalogue.city.model_copy(update={"partitions": 1})})
    schemas = {name: record_schema(each.avro) for name, each in catalogue.datasets.items()}
    revision = CompiledRevision(
        Revision(
            number=1,
            applied_at="",
            catalogue=catalogue,
            schema_ids={name: ((number, schemas[name]),) for number, name in enumerate(schemas, 1)},
            view_schema_ids={view.id: 200 + number for number, view in enumerate(share_views(catalogue))},
            golden_schema_ids=dict.fromkeys(golden_datasets(catalogue), 100),
            discrepancy_schema_id=101,
            incident_schema_id=102,
            deleted_schema_id=103,
            pseudonym_keys={},
        ),
        lambda _name, _mark: b"",
    )
    for metric in (metrics.CROSSCHECK_REPORTS, metrics.CROSSCHECK_DISCREPANCIES, metrics.CROSSCHECK_INCIDENTS):
        metric.clear()
    for metric in (metrics.EXCHANGE_DELIVERIES, metrics.EXCHANGE_WITHHELD):
        metric.clear()
    state = PartitionState(tmp_path / "state")
    partition = AssignedPartition.open(0, state, revision, lambda _dataset, _schema_id: None)
    partition.clock_ms = partition.checked_ms = NOW_MS
    partition.open_checks(revision)
    partition.activate(revision)
    yield Counted(revision, partition, schemas, counting=Counting(revision))
    state.close()


def reports(one: Counted, element: str, result: str) -> float:
    return one.shown("govbus_crosscheck_reports", element=f"citizen.{element}", dataset=PUPIL, result=result)


def discrepancies(one: Counted, element: str, severity: str = "major") -> float:
    labels = {"element": f"citizen.{element}", "dataset": PUPIL, "severity": severity}
    return one.shown("govbus_crosscheck_discrepancies", **labels)


def test_reports_are_counted_by_result(one: Counted) -> None:
    """Per element and reporting dataset the gauge shows how many entities compare with which result."""
    one.arrive(PERSON, *(person(number) for number in range(1, 6)))
    one.arrive(PUPIL, pupil(1), pupil(2), pupil(3, name="李四"), pupil(4, born=None), pupil(7))

    assert [reports(one, "name", result) for result in ("equal", "different", "missing_a")] == [3, 1, 1]
    assert [reports(one, "born", result) for result in ("equal", "different", "missing_a")] == [3, 0, 1]
    assert reports(one, "born", "missing_b") == 1
    assert (discrepancies(one, "name"), discrepancies(one, "born")) == (1, 0)


def test_corrected_discrepancy_is_open_no_more(one: Counted) -> None:
    """What agrees again is counted so, and the open discrepancy goes back to 0."""
    one.arrive(PERSON, person(1))
    one.arrive(PUPIL, pupil(1, name="李四"))
    assert discrepancies(one, "name") == 1
    one.arrive(PUPIL, pupil(1))
    assert (discrepancies(one, "name"), reports(one, "name", "equal"), reports(one, "name", "different")) == (0, 1, 0)


def test_source_is_not_compared_with_itself(one: Counted) -> None:
    """The authority has no series of its own among the reports."""
    one.arrive(PERSON, person(1))
    one.arrive(PUPIL, pupil(1))
    assert reports(one, "name", "equal") == 1
    labels = {"element": "citizen.name", "dataset": PERSON, "result": "equal"}
    assert metrics.REGISTRY.get_sample_value("govbus_crosscheck_reports", labels) is None


def test_worker_without_partitions_counts_nothing(one: Counted) -> None:
    """Whoever has given its partitions away shows no report and no discrepancy, so that none is counted twice."""
    one.arrive(PERSON, person(1))
    one.arrive(PUPIL, pupil(1, name="李四"))
    assert discrepancies(one, "name") == 1
    one.counting._state_at = 0.0
    one.counting.state({}, None, {})
    families = [metric.collect() for metric in (metrics.CROSSCHECK_REPORTS, metrics.CROSSCHECK_DISCREPANCIES)]
    assert [family.samples for each in families for family in each] == [[], []]


def test_partition_that_is_being_restored_changes_no_figure(one: Counted) -> None:
    """Until every partition is whole the gauges stay as they were: half a count would look like a correction."""
    one.arrive(PERSON, person(1))
    one.arrive(PUPIL, pupil(1, name="李四"))
    assert discrepancies(one, "name") == 1
    one.arrive(PUPIL, pupil(1))
    one.partition.live = False
    assert discrepancies(one, "name") == 1
    one.partition.live = True
    assert discrepancies(one, "name") == 0


def test_counts_stay_those_of_the_records(one: Counted, seed: int) -> None:
    """Whatever arrives, falls due or is restored, in whatever order: the counts are those of a count from nothing."""
    rng = random.Random(seed)
    for _ in range(60):
        touched: dict[str, set[bytes]] = {PERSON: set(), PUPIL: set()}
        for _ in range(rng.randrange(4)):
            number, name = rng.randrange(1, 6), rng.choice(["张三", "李四"])
            changed_at = one.partition.now_ms * 1000 - rng.choice([0, 1, 3, 400]) * DAY_MS * 1000
            if rng.random() < 0.5:
                one.arrive(PERSON, person(number, name=name), changed_at=changed_at)
                touched[PERSON].add(f"{person(number)['citizen_id']}\x1f1".encode())
            else:
                one.arrive(PUPIL, pupil(number, name=name), changed_at=changed_at)
                touched[PUPIL].add(pupil(number)["pupil_id"].encode())
        if rng.random() < 0.3:
            one.restart(touched, rng.choice([0, DAY_MS, 30 * DAY_MS]))
        one.pass_time(rng.choice([0, DAY_MS, 5 * DAY_MS]))
        assert +one.checks.counts == one.recounted()
        assert min(one.checks.counts.values(), default=0) >= 0


# --- share views of golden views -------------------------------------------------------------------------------------


def outcomes(one: Counted) -> dict[str, float]:
    return {
        outcome: one.shown("govbus_exchange_deliveries_total", ask=ASK, dataset=GOLDEN, outcome=outcome)
        for outcome in ("upserted", "retracted", "unchanged")
    }


def withheld(one: Counted, reason: str) -> float:
    return one.shown("govbus_exchange_withheld_total", ask=ASK, dataset=GOLDEN, reason=reason)


def test_deliveries_of_golden_views_are_counted(one: Counted) -> None:
    """A share view of a golden view counts what it was sent, once: shown, left by a dispute, and back."""
    one.arrive(PERSON, person(1))
    one.arrive(PUPIL, pupil(1))
    assert outcomes(one) == {"upserted": 1, "retracted": 0, "unchanged": 1}
    one.arrive(PUPIL, pupil(1, name="李四"))
    assert outcomes(one) == {"upserted": 1, "retracted": 1, "unchanged": 1}
    one.arrive(PUPIL, pupil(1))
    assert outcomes(one) == {"upserted": 2, "retracted": 1, "unchanged": 1}
    assert outcomes(one) == {"upserted": 2, "retracted": 1, "unchanged": 1}


def test_what_is_withheld_says_why(one: Counted) -> None:
    """An unmet row condition, and no source of what is asked for, are two reasons; each is counted once."""
    one.arrive(PERSON, person(1))
    assert (withheld(one, "row_condition"), withheld(one, "no_source")) == (1, 0)
    one.arrive(PUPIL, pupil(1), pupil(2))
    assert (withheld(one, "row_condition"), withheld(one, "no_source")) == (1, 1)


def test_delay_of_golden_views_is_counted(one: Counted) -> None:
    """Publish to share topic is timed once per record that changed a share view, under the golden view's name."""

    def times() -> float:
        return one.shown("govbus_exchange_delay_seconds_count", dataset=GOLDEN)

    before = times()
    one.arrive(PERSON, person(1))
    assert times() == before
    one.arrive(PUPIL, pupil(1))
    assert times() == before + 1
    one.arrive(PUPIL, pupil(1, grade_no=4))
    assert times() == before + 1


def test_dropped_batch_counts_nothing(one: Counted) -> None:
    """What a batch counted that is not kept is forgotten."""
    one.arrive(PERSON, person(1))
    one.arrive(PUPIL, pupil(1))
    one.counting.drop(one.partition)
    assert outcomes(one) == {"upserted": 0, "retracted": 0, "unchanged": 0}


def test_what_time_changes_is_counted(one: Counted) -> None:
    """A report that is late no longer disputes: the share view loses the row, and that is counted without a delay."""
    one.arrive(PUPIL, pupil(1, name="李四"), changed_at=LONG_AGO)
    one.arrive(PERSON, person(1), changed_at=NOW_MS * 1000 - 1)
    assert reports(one, "name", "stale_b") == 1
    first = outcomes(one)
    one.pass_time(60 * DAY_MS)
    one.counting.judged(one.partition)
    assert reports(one, "name", "different") == 1
    assert sum(outcomes(one).values()) == sum(first.values()) + 1
