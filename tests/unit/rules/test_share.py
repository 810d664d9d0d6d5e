"""Share views: their names, whether keys show, and the instant at which they end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from govbus.rules.condition import Condition, Equals
from govbus.rules.mask import GeneraliseDate, Keep, Mask, Null, Pass, Pseudonym
from govbus.rules.share import ShareView, Withheld, WithheldReason, end_of, narrows


def view(*fields: tuple[str, Mask], key: tuple[str, ...] = ("citizen_id",), until: date | None = None) -> ShareView:
    return ShareView(
        subscriber="education",
        ask="school_place",
        dataset="public_security.population",
        purpose="school_place",
        fields=fields,
        key=key,
        grant_rows=None,
        ask_rows=None,
        until=until,
    )


def test_a_view_is_named_by_ask_and_dataset() -> None:
    """A view's name is ``subscriber.ask/department.dataset``, and an ask that gets nothing is named alike."""
    withheld = Withheld("education", "school_place", "public_security.population", WithheldReason.NO_GRANT)
    assert view().id == withheld.id == "education.school_place/public_security.population"


@pytest.mark.parametrize(
    ("fields", "key", "in_clear"),
    [
        ((("citizen_id", Pass()),), ("citizen_id",), True),
        ((("citizen_id", Pass()), ("month", Pass())), ("citizen_id", "month"), True),
        ((("citizen_id", Pass()),), ("citizen_id", "month"), False),
        ((("name", Pass()),), ("citizen_id",), False),
        ((("citizen_id", Pseudonym()),), ("citizen_id",), False),
        ((("citizen_id", Keep(6, 4)),), ("citizen_id",), False),
        ((("citizen_id", Null()),), ("citizen_id",), False),
        ((("since", GeneraliseDate("year")), ("citizen_id", Pass())), ("citizen_id", "since"), False),
    ],
)
def test_a_key_shows_only_where_every_key_field_does(
    fields: tuple[tuple[str, Mask], ...], key: tuple[str, ...], in_clear: bool
) -> None:
    """One key field that is masked, nulled or absent makes the share topic's key a pseudonym."""
    assert view(*fields, key=key).key_in_clear is in_clear


@pytest.mark.parametrize(
    ("day", "instant"),
    [
        (date(2027, 12, 31), datetime(2027, 12, 31, 16, tzinfo=UTC)),
        (date(2028, 2, 29), datetime(2028, 2, 29, 16, tzinfo=UTC)),
        (date(2024, 12, 31), datetime(2024, 12, 31, 16, tzinfo=UTC)),
    ],
)
def test_a_day_is_over_at_midnight_in_china(day: date, instant: datetime) -> None:
    """The last day counts in full, in China Standard Time (UTC+8 without summer time)."""
    assert end_of(day) == instant
    assert view(until=day).ends_at == instant


def test_a_view_without_an_end_never_ends() -> None:
    """No `until`, no instant."""
    assert view().ends_at is None


@pytest.mark.parametrize(
    ("fields", "grant_rows", "ask_rows", "narrower"),
    [
        ((("id", Pass()), ("name", Pass())), None, None, False),
        ((("id", Pass()), ("name", Pass()), ("phone", Pass())), None, None, False),
        ((("id", Pass()),), None, None, True),
        ((("id", Pass()), ("name", Keep(1, 0))), None, None, True),
        ((("id", Pass()), ("name", Pass())), Equals("id", "1"), None, True),
        ((("id", Pass()), ("name", Pass())), None, Equals("id", "1"), True),
    ],
)
def test_a_view_narrows_where_it_may_show_less(
    fields: tuple[tuple[str, Mask], ...], grant_rows: Condition | None, ask_rows: Condition | None, narrower: bool
) -> None:
    """A field gone, a stricter mask or another row condition narrows a view; more fields or the same ones do not."""
    old = ShareView("s", "a", "d.x", "p", (("id", Pass()), ("name", Pass())), ("id",), None, None, None)
    assert narrows(old, replace(old, fields=fields, grant_rows=grant_rows, ask_rows=ask_rows)) is narrower


def test_dropping_a_row_condition_does_not_narrow() -> None:
    """All rows are more than some."""
    old = ShareView("s", "a", "d.x", "p", (("id", Pass()),), ("id",), Equals("id", "1"), Equals("id", "1"), None)
    assert not narrows(old, replace(old, grant_rows=None, ask_rows=None))


@pytest.mark.parametrize(
    ("before", "after", "narrower"),
    [
        ((), (("d.x", Equals("id", "1")),), True),
        ((("d.x", Equals("id", "1")),), (("d.x", Equals("id", "2")),), True),
        ((("d.x", Equals("id", "1")),), (("d.x", Equals("id", "1")),), False),
        ((("d.x", Equals("id", "1")),), (), False),
        ((("d.x", Equals("id", "1")),), (("d.y", Equals("id", "1")),), True),
    ],
)
def test_a_condition_of_a_source_narrows_a_golden_view(
    before: tuple[tuple[str, Condition], ...], after: tuple[tuple[str, Condition], ...], narrower: bool
) -> None:
    """A golden view shows less where the grant of one of its sources has a condition that it had not before."""
    old = ShareView("s", "a", "golden.x", "p", (("id", Pass()),), ("id",), None, None, None, before)
    assert narrows(old, replace(old, source_rows=after)) is narrower
