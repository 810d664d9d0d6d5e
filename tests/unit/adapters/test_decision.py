"""What becomes of a change at the department's side."""

from __future__ import annotations

from govbus.adapters.decision import Outcome, decide
from govbus.adapters.journal import Held

DIGEST = b"digest of the values sent last"


def held(version: int = 5, source_order: int | None = None) -> Held:
    return Held(id=1, version=version, source_order=source_order, digest=DIGEST, batch=0)


def test_values_sent_last_are_not_sent_again() -> None:
    """A change that changes nothing does not travel."""
    assert decide(held(), DIGEST, 9, None)[0] is Outcome.UNCHANGED


def test_values_that_the_bus_rejected_are_sent_again_under_a_higher_version() -> None:
    """Asked so, the same values travel once more, above every version before."""
    assert decide(held(), DIGEST, 9, None, again=True) == (Outcome.SENT, 9)
    assert decide(held(), DIGEST, 2, None, again=True) == (Outcome.SENT, 6)


def test_a_source_that_counts_versions_keeps_its_number_when_it_sends_again() -> None:
    """No number is invented between two of the source's own."""
    assert decide(held(source_order=5), DIGEST, 5, 5, again=True) == (Outcome.SENT, 5)
    assert decide(held(source_order=5), DIGEST, 7, 7, again=True) == (Outcome.SENT, 7)
