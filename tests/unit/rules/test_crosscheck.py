"""What reports amount to: the source's value always, its standing, and who differs, at any clock."""

from __future__ import annotations

import pytest

from govbus.rules.comparison import Comparison, Result
from govbus.rules.crosscheck import NEVER, Claim, ElementRule, Evaluation, Report, Standing, evaluate

SOURCE, COPY, OTHER = 0, 1, 2
GRACE = 100


def compare(a: bytes | None, b: bytes) -> Comparison:
    """Equal bytes agree, ``?`` cannot be told, ``!`` is no value at all."""
    if a is None:
        return Comparison(Result.MISSING_A, "")
    if a == b"!":
        return Comparison(Result.INVALID_A, "")
    if b == b"!":
        return Comparison(Result.INVALID_B, "")
    if b == b"?":
        return Comparison(Result.INDETERMINATE, "")
    return Comparison(Result.EQUAL if a == b else Result.DIFFERENT, "")


def rule(*claims: Claim) -> ElementRule:
    claims = claims or (Claim(SOURCE, 0),)
    pairs = {(claim.dataset, reporter): compare for claim in claims for reporter in range(3)}
    return ElementRule("name", claims, tuple((number, 0) for number in range(3)), pairs, [GRACE, GRACE * 2, GRACE * 3])


def says(value: bytes | None, at: int = 0, division: bytes | None = None) -> Report:
    return Report((value, division), 0, at, at)


def judged(*reports: Report | None, clock: int = 10_000, by: ElementRule | None = None) -> Evaluation:
    return evaluate([by or rule()], [*reports, *[None] * (3 - len(reports))], clock, lambda value: value.decode())


@pytest.mark.parametrize(
    ("reports", "standing"),
    [
        ((says(b"a"),), Standing.UNVERIFIED),
        ((says(b"a"), says(b"a")), Standing.AGREED),
        ((says(b"a"), says(b"b")), Standing.DISPUTED),
        ((says(b"a"), says(b"a"), says(b"b")), Standing.DISPUTED),
        ((says(b"a"), says(b"b"), says(b"b")), Standing.DISPUTED),
        ((says(b"a"), says(b"?")), Standing.UNVERIFIED),
        ((says(b"a"), says(b"!")), Standing.UNVERIFIED),
        ((says(b"a"), says(None)), Standing.UNVERIFIED),
        ((says(b"!"), says(b"b")), Standing.DISPUTED),
        ((says(None), says(b"b")), Standing.PROVISIONAL),
        ((None, says(b"b")), Standing.PROVISIONAL),
        ((None, says(None)), Standing.UNVERIFIED),
    ],
)
def test_standing(reports: tuple[Report | None, ...], standing: Standing) -> None:
    """The standing follows from all reports; the value is the source's, and no majority or newer report changes it."""
    (element,) = judged(*reports).elements

    assert element.standing is standing
    assert element.value == (None if reports[0] is None else reports[0].values[0])


def test_report_that_lags_is_stale_until_its_grace_is_over() -> None:
    """A copy older than its source's change is late, not wrong, for its own grace; then it differs, from that on."""
    late = [says(b"new", at=1_000), says(b"old", at=500)]

    early = judged(*late, clock=1_199)
    assert early.results == ((0, COPY, Result.STALE_B),)
    assert (early.discrepancies, early.due, early.unsettled) == ({}, 1_200, True)
    assert early.elements[0].standing is Standing.UNVERIFIED

    over = judged(*late, clock=1_200)
    assert over.discrepancies[0, COPY].since == 1_200
    assert over.due == NEVER


def test_source_that_lags_is_stale_until_its_own_grace_is_over() -> None:
    """A copy newer than its source may be right: the value stands as stale for the source's grace, then as disputed."""
    newer = [says(b"old", at=500), says(b"new", at=1_000)]

    assert judged(*newer, clock=1_099).elements[0].standing is Standing.STALE
    assert judged(*newer, clock=1_100).elements[0].standing is Standing.DISPUTED


def test_values_changed_at_one_time_differ_at_once() -> None:
    """Where neither side is older, nobody lags."""
    found = judged(says(b"a", at=500), says(b"b", at=500), clock=500)

    assert found.discrepancies[0, COPY].since == 500


def test_equal_values_never_come_due() -> None:
    """Where values agree, times play no part."""
    found = judged(says(b"a", at=1_000), says(b"a", at=500), clock=0)

    assert (found.due, found.unsettled) == (NEVER, False)


@pytest.mark.parametrize(
    ("north", "south", "source", "standing"),
    [
        (b"8901", b"8902", None, Standing.PROVISIONAL),
        (b"890101", b"8901", SOURCE, Standing.DISPUTED),
        (b"8902", b"890201", COPY, Standing.DISPUTED),
        (b"890101", b"890301", SOURCE, Standing.DISPUTED),
        (b"890101", b"890201", SOURCE, Standing.DISPUTED),
    ],
)
def test_split_authority(north: bytes, south: bytes, source: int | None, standing: Standing) -> None:
    """Where authority is split, the record's own division says who is the source; two claims dispute the value."""
    split = rule(Claim(SOURCE, 0, 1, ("890101",)), Claim(COPY, 0, 1, ("890201",)))
    (element,) = judged(says(b"a", division=north), says(b"b", division=south), by=split).elements

    assert (element.source, element.standing) == (source, standing)


def test_more_specific_claim_decides() -> None:
    """Of two claims the one with the longer prefix is the source, whichever dataset comes first."""
    split = rule(Claim(SOURCE, 0, 1, ("89",)), Claim(COPY, 0, 1, ("8901",)))
    (element,) = judged(says(b"a", division=b"890101"), says(b"b", division=b"890101"), by=split).elements

    assert (element.source, element.value) == (COPY, b"b")


def test_nobody_is_compared_with_itself() -> None:
    """The source's own report gives no result, also where another dataset could be the source."""
    split = rule(Claim(SOURCE, 0, 1, ("8901",)), Claim(COPY, 0, 1, ("8902",)))
    found = judged(says(b"a", division=b"890101"), says(b"a", division=b"890301"), by=split)

    assert found.results == ((0, COPY, Result.EQUAL),)
