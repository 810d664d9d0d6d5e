"""What becomes of a change: versions only rise, equal values travel once, the unsure keeps its version."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from govbus.adapters.decision import Outcome, decide
from govbus.adapters.journal import UNSURE, Held

A, B = b"a" * 16, b"b" * 16
DIGESTS = st.sampled_from([A, B, None])


def held(version: int = 10, digest: bytes | None = A, order: int | None = None, batch: int = 1) -> Held:
    return Held(1, version, order, digest, batch)


def test_an_unknown_record_is_sent_under_the_sources_version() -> None:
    """What was never published goes out with the version its source gives, deletions too."""
    assert decide(None, A, 7, None) == (Outcome.SENT, 7)
    assert decide(None, None, 7, None) == (Outcome.SENT, 7)


def test_equal_values_are_not_sent_again() -> None:
    """The same values, or a second deletion, send nothing, whatever their version says."""
    assert decide(held(), A, 99, None)[0] is Outcome.UNCHANGED
    assert decide(held(digest=None), None, 99, None)[0] is Outcome.UNCHANGED


@given(st.integers(1, 100), st.integers(1, 100))
def test_other_values_get_a_higher_version(last: int, version: int) -> None:
    """A change gets the source's version, and never one that is not above the last."""
    assert decide(held(last), B, version, None) == (Outcome.SENT, max(last + 1, version))


def test_what_a_crash_left_unsure_is_sent_again_under_its_version() -> None:
    """Equal values go out under the version they may have arrived under; others under a higher one."""
    unsure = held(10, A, batch=UNSURE)
    assert decide(unsure, A, 99, None) == (Outcome.SENT, 10)
    assert decide(unsure, B, 5, None) == (Outcome.SENT, 11)
    assert decide(held(10, None, batch=UNSURE), None, 99, None) == (Outcome.SENT, 10)


def test_what_the_source_has_overtaken_is_stale() -> None:
    """A change that stands before the last one in the source's own order is not sent; one equal in order is."""
    assert decide(held(10, A, order=50), B, 99, 49)[0] is Outcome.STALE
    assert decide(held(10, A, order=50), B, 99, 50) == (Outcome.SENT, 99)


def test_a_rebuilt_journal_knows_the_order_where_it_is_the_version() -> None:
    """Without the source's order, a version tells as much if the order is the version, and nothing otherwise."""
    assert decide(held(10), B, 9, 9)[0] is Outcome.STALE
    assert decide(held(10), B, 9, 3) == (Outcome.SENT, 11)


@given(st.lists(st.tuples(DIGESTS, st.integers(1, 20)), min_size=1, max_size=20))
def test_per_key_versions_rise_strictly(changes: list[tuple[bytes | None, int]]) -> None:
    """Over any history of a source's present state, two different values never share a version."""
    now: Held | None = None
    versions = []
    for digest, version in changes:
        outcome, given = decide(now, digest, version, None)
        if outcome is Outcome.SENT:
            versions.append(given)
            now = held(given, digest)
    assert versions == sorted(set(versions))


@given(st.permutations(range(1, 7)), st.data())
def test_the_sources_last_word_wins_in_any_order_of_arrival(arrivals: list[int], data: st.DataObject) -> None:
    """Changes that carry the source's order may come in any order: the highest of them is what stays."""
    values = {order: data.draw(DIGESTS) for order in arrivals}
    now: Held | None = None
    for order in arrivals:
        outcome, version = decide(now, values[order], order, order)
        if outcome is Outcome.SENT:
            now = held(version, values[order], order)
        elif outcome is Outcome.UNCHANGED and now is not None:
            now = now._replace(source_order=order)
    assert now is not None
    assert now.digest == values[6]
