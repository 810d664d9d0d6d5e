"""A department's own list: what is told, in which order, what is counted instead, and what never stands there."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from unit.catalogue.elements_city import CITIZENS
from unit.catalogue.small_city import write_city

from govbus.catalogue.check import load
from govbus.catalogue.disclosure import Silence
from govbus.catalogue.model import Catalogue
from govbus.ops.discrepancies import Listed, Mass, listed
from govbus.ops.discrepancies_console import SILENCE_WORDS, discrepancies_document, show_discrepancies

PERSON, PUPIL = "police.person", "school.pupil"


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return load(write_city(tmp_path, CITIZENS))


def found(number: int, element: str = "citizen.name", **other: Any) -> dict[str, Any]:
    """A record of the discrepancy topic as it is read."""
    return {
        "entity": "citizen",
        "id": f"id-{number}",
        "element": element,
        "source": PERSON,
        "reporter": PUPIL,
        "source_value": f"源值{number}",
        "reported_value": f"报值{number}",
        "comparator": "exact",
        "result": "different",
        "reason": "只差一个字",
        "severity": "major",
        "opened_at": f"2026-05-{number:02}T17:00:00Z",
        **other,
    }


def shown(listing: Listed) -> str:
    out = io.StringIO()
    show_discrepancies(listing, Console(file=out, width=300))
    return out.getvalue()


def test_own_value_in_clear_and_no_other(catalogue: Catalogue) -> None:
    """Neither side's list holds the other's value, on the console or in the document."""
    for department, own, other in (("police", "源值1", "报值1"), ("school", "报值1", "源值1")):
        listing = listed(catalogue, department, [found(1)], [])
        for text in (shown(listing), json.dumps(discrepancies_document(listing), ensure_ascii=False)):
            assert own in text
            assert other not in text


def test_source_without_clearance_knows_neither_who_nor_why(catalogue: Catalogue) -> None:
    """The police are no subscriber: that somebody differs is told, which register it is and the reason are not."""
    listing = listed(catalogue, "police", [found(1)], [])
    for text in (shown(listing), json.dumps(discrepancies_document(listing), ensure_ascii=False)):
        assert PUPIL not in text
        assert "只差一个字" not in text
    (row,) = listed(catalogue, "school", [found(1)], []).rows
    assert (row.other, row.reason) == (PERSON, "只差一个字")


def test_code_stands_with_its_meaning(catalogue: Catalogue) -> None:
    """A department reads its own code with what it means in its own list."""
    (row,) = listed(catalogue, "school", [found(1, "citizen.sex", reported_value="M")], []).rows
    assert row.own == ((PUPIL, "M 男"),)


def test_worst_first_then_newest(catalogue: Catalogue) -> None:
    """Severity leads, then the day; the limit cuts behind, and the total and the counts stay whole."""
    many = [found(3, severity="minor"), found(1), found(2), found(4, severity="critical")]
    listing = listed(catalogue, "school", many, [], limit=3)
    assert [each.id for each in listing.rows] == ["id-4", "id-2", "id-1"]
    assert (listing.total, sum(each[4] for each in listing.counts)) == (4, 4)
    assert "以上是其中 3 条" in shown(listing)
    assert len(listed(catalogue, "school", many, [], limit=0).rows) == 4


def test_day_of_opening_is_that_of_china(catalogue: Catalogue) -> None:
    """Five in the afternoon in London is the next day here; the hour is not told, it would date the other's change."""
    (row,) = listed(catalogue, "school", [found(1)], []).rows
    assert row.opened_on.isoformat() == "2026-05-02"
    assert "17:00" not in json.dumps(discrepancies_document(listed(catalogue, "school", [found(1)], [])))


def test_others_discrepancies_are_not_there(catalogue: Catalogue) -> None:
    """What is between two other departments is neither listed nor counted."""
    listing = listed(catalogue, "weather", [found(1), found(2)], [])
    assert (listing.total, listing.withheld) == (0, {})
    assert "没有" in shown(listing) or "0 条" in shown(listing)


def test_withheld_are_counted_by_reason_alone(catalogue: Catalogue) -> None:
    """How many are withheld is told, and why; not of which element, whom, or since when."""
    school = catalogue.subscribers["school"].model_copy(update={"clearance": "L1"})
    low = catalogue.model_copy(update={"subscribers": {"school": school}})
    listing = listed(low, "school", [found(1, "citizen.sex"), found(2, "citizen.sex"), found(3)], [])
    assert listing.withheld == {Silence.FEW_VALUES: 2}
    assert [each.element for each in listing.rows] == ["citizen.name"]
    for text in (shown(listing), json.dumps(discrepancies_document(listing), ensure_ascii=False)):
        assert "2" in text
        for secret in ("citizen.sex", "性别", "id-1", "id-2"):
            assert secret not in text


def test_every_silence_has_its_words() -> None:
    """A clerk is told in Chinese why something is withheld, whatever the reason."""
    assert SILENCE_WORDS.keys() == set(Silence)


def test_incident_comes_first(catalogue: Catalogue) -> None:
    """So many at once are one thing to look at: the parts of all partitions together, with the likely causes."""
    parts = [
        {"element": "citizen.name", "reporter": PUPIL, "different": n, "compared": 200, "cause_title": cause}
        for n, cause in ((60, "疑似列错位"), (90, "疑似列错位"))
    ]
    listing = listed(catalogue, "school", [], parts)
    assert listing.incidents == (Mass("citizen.name", "姓名", PUPIL, 150, 400, ("疑似列错位",)),)
    assert "请先检查最近一次报送" in shown(listing)
    assert listed(catalogue, "police", [], parts).incidents == ()


def test_incident_of_what_one_may_not_hear_of_is_not_told(catalogue: Catalogue) -> None:
    """An incident tells no more than its discrepancies would."""
    school = catalogue.subscribers["school"].model_copy(update={"clearance": "L1"})
    low = catalogue.model_copy(update={"subscribers": {"school": school}})
    part = {"element": "citizen.sex", "reporter": PUPIL, "different": 60, "compared": 60, "cause_title": "疑似"}
    assert listed(low, "school", [], [part]).incidents == ()
