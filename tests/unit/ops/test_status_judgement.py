"""The judgement of `govbus status`: each state from the facts that make it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from govbus.catalogue.model import Ask, AskedDataset, Catalogue, City, Contact, Dataset, FieldEntry, Grant, Update
from govbus.ops.scrape import Figures, quantile
from govbus.ops.status import DatasetFacts, Facts, Poll, Status, ViewFacts, status_of
from govbus.ops.status_console import selected

NOW = datetime(2026, 6, 1, 4, tzinfo=UTC)
CONTACT = Contact(role="数据岗")
SENT = ViewFacts(partitions=4, sent_partitions=4, changing_partitions=0, has_topic=True, newest_at=NOW, undelivered=0)
QUIET = DatasetFacts(
    dataset="police.person",
    title="人口",
    max_age_seconds=3600,
    has_topic=True,
    ever=True,
    newest_at=NOW - timedelta(minutes=5),
    unread=0,
    oldest_unread_at=None,
    rejects=0,
    polls=(),
)


def catalogue(until: date = date(2027, 12, 31), state: str = "active") -> Catalogue:
    grant = Grant(
        to="school",
        purpose="places",
        legal_basis="依据",
        until=date(2099, 1, 1),
        state=state,  # type: ignore[arg-type]
        fields={"id": "pass"},
    )
    dataset = Dataset(
        department="police",
        dataset="person",
        title="人口",
        resource_code="101001/000001",
        subject="id",
        key=("id",),
        share="conditional",
        update=Update(cycle="daily"),
        region="890000",
        legal_basis="依据",
        contact=CONTACT,
        fields={"id": FieldEntry(title="号", grade="L1")},
        grants=(grant,),
        avro={"type": "record", "name": "person", "fields": [{"name": "id", "type": "string"}]},
    )
    ask = Ask(
        subscriber="school",
        ask="places",
        purpose="places",
        legal_basis="依据",
        scenario="学位",
        until=until,
        datasets={"police.person": AskedDataset(fields={"id": "pass"})},
        delivery={"kind": "topic"},
    )
    return Catalogue(
        city=City(city="tiny", title="小城", division="890000"),
        datasets={dataset.id: dataset},
        asks={ask.id: ask},
    )


def status(dataset: DatasetFacts = QUIET, view: ViewFacts = SENT, of: Catalogue | None = None) -> Status:
    return status_of(
        Facts(
            now=NOW,
            revision=1,
            applied_at=NOW.isoformat(),
            catalogue=of or catalogue(),
            datasets=(dataset,),
            views={"school.places/police.person": view},
            processes=(),
        )
    )


LONG_AGO = NOW - timedelta(days=9)
LATELY = NOW - timedelta(seconds=60)


@pytest.mark.parametrize(
    ("facts", "state", "since"),
    [
        (QUIET, "flowing", QUIET.newest_at),
        (replace(QUIET, has_topic=False), "no topic", None),
        (replace(QUIET, ever=False, newest_at=None), "nothing yet", None),
        (replace(QUIET, unread=3, oldest_unread_at=LATELY), "waiting", LATELY),
        (replace(QUIET, unread=3, oldest_unread_at=NOW - timedelta(seconds=1)), "flowing", QUIET.newest_at),
        (replace(QUIET, newest_at=LONG_AGO), "stale", LONG_AGO + timedelta(hours=1)),
        (replace(QUIET, newest_at=LONG_AGO, polls=(Poll("file", LATELY),)), "flowing", LONG_AGO),
        (replace(QUIET, polls=(Poll("file", LATELY, held=7),)), "held", LATELY),
    ],
)
def test_a_datasets_state_follows_from_its_facts(facts: DatasetFacts, state: str, since: datetime | None) -> None:
    """Waiting records come first, then held deletions, then age; a look at the source is a sign of life."""
    (found,) = status(facts).datasets
    assert (found.state, found.since) == (state, since)
    assert found.state == "flowing" or found.why


def test_the_delay_is_the_age_of_the_oldest_waiting_record() -> None:
    """In seconds, and nothing where nothing waits."""
    assert status(replace(QUIET, unread=3, oldest_unread_at=LATELY)).datasets[0].behind_seconds == 60.0
    assert status().datasets[0].behind_seconds == 0.0


@pytest.mark.parametrize(
    ("view", "state"),
    [
        (SENT, "flowing"),
        (replace(SENT, has_topic=False), "no topic"),
        (replace(SENT, sent_partitions=1, changing_partitions=1), "being sent"),
        (replace(SENT, sent_partitions=0), "not sent"),
    ],
)
def test_an_asks_state_follows_from_what_its_partitions_have_sent(view: ViewFacts, state: str) -> None:
    """A view counts as flowing once every partition has it as the applied revision wants it."""
    assert status(view=view).asks[0].state == state


def test_an_ask_that_gets_nothing_shows_the_reason() -> None:
    """A suspended grant and a last day that is over, by China Standard Time."""
    assert status(of=catalogue(state="suspended")).asks[0].state == "grant_suspended"
    assert status(of=catalogue(until=date(2026, 5, 31))).asks[0].state == "expired"
    assert status(of=catalogue(until=date(2026, 6, 1))).asks[0].state == "flowing"


def test_what_ends_within_thirty_days_is_marked() -> None:
    """Before and behind that there is nothing to warn of."""
    ends = [date(2026, 5, 31), date(2026, 6, 1), date(2026, 6, 29), date(2026, 7, 2)]
    assert [status(of=catalogue(until=each)).asks[0].ends_soon for each in ends] == [False, True, True, False]


def test_one_departments_and_one_subscribers_part_can_be_selected() -> None:
    """Nothing of others is left in it."""
    whole = status(replace(QUIET, rejects=2))
    assert selected(whole, "police", "").datasets == whole.datasets
    assert selected(whole, "weather", "") == Status(whole.facts, (), ())
    assert selected(whole, "", "school").asks == whole.asks
    assert selected(whole, "", "care").datasets == ()
    assert whole.rejects == {"police": 2}


def test_a_quantile_is_what_promql_would_say() -> None:
    """Straight lines between bounds, from 0; the last finite bound above them all; None without samples."""
    counts = {0.1: 0.0, 0.5: 50.0, 1.0: 90.0, float("inf"): 100.0}
    assert quantile(0.5, counts) == pytest.approx(0.5)
    assert quantile(0.25, counts) == pytest.approx(0.3)
    assert quantile(0.7, counts) == pytest.approx(0.75)
    assert quantile(0.99, counts) == 1.0
    assert quantile(0.5, {0.1: 0.0, float("inf"): 0.0}) is None


def test_figures_of_processes_add_up_and_subtract() -> None:
    """Two workers make one figure; what an earlier look saw can be taken off."""
    text = 'a_total{dataset="x",verdict="stale"} %d\na_total{dataset="y",verdict="stale"} 5\n'
    one, both = Figures(), Figures()
    one.add(text % 1)
    both.add(text % 1)
    both.add(text % 2)
    assert both.total("a_total") == 13
    assert both.total("a_total", dataset="x") == 3
    assert both.by("dataset", "a_total", verdict="stale") == {"x": 3, "y": 10}
    assert both.minus(one).by("dataset", "a_total") == {"x": 2, "y": 5}
    assert both.total("b_total") == 0
