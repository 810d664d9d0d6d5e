"""What the reports about one entity amount to: per element the source's value and its standing, and who differs.

One number, one source (一数一源): an element's value is always its authority's; every other report is compared with it
and changes nothing but the standing. A report that lags behind within its update cycle is stale, not different.
Functions of the latest reports and of a clock alone, so that any order of arrival ends in the same answer.
Source: 政务数据共享条例 (国务院令第809号) Art. 19 and 26.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from govbus.rules.comparison import Comparison, Result

NEVER = 2**63 - 1
"""A deadline that does not come."""

Compare = Callable[[bytes | None, bytes], Comparison]
"""From the authority's value and a reported one, both as they stand in records, to how they compare."""

OPENING = frozenset({Result.DIFFERENT, Result.INVALID_A})
"""The results that are a discrepancy."""

AGREEING = frozenset({Result.EQUAL, Result.COMPATIBLE})

COMPARABLE = AGREEING | OPENING | {Result.INVALID_B, Result.STALE_A, Result.STALE_B}
"""The results where both sides have a value and it can be told how they compare: what rates of agreement are of."""


class Standing(StrEnum):
    """How far the authority's value can be relied on, as of the other reports."""

    AGREED = "agreed"
    DISPUTED = "disputed"
    UNVERIFIED = "unverified"
    PROVISIONAL = "provisional"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Claim:
    """A dataset's claim to be the source: always, or for records whose division begins with one of `prefixes`."""

    dataset: int
    position: int
    by: int | None = None
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ElementRule:
    """One element: its claims (the more specific first decides), who else reports it, and how values compare.

    Datasets are numbers, positions those of a value among the report's. `compare` is by authority and reporter;
    `grace_micros` per dataset: for how long it may lag behind.
    """

    name: str
    claims: tuple[Claim, ...]
    reports: tuple[tuple[int, int], ...]
    compare: Mapping[tuple[int, int], Compare]
    grace_micros: Sequence[int]


class Report(NamedTuple):
    """What one dataset says about the entity: the values of its bound fields (None: null), its version and the time at
    which its source changed it (microseconds, UTC).
    """

    values: tuple[bytes | None, ...]
    epoch: int
    version: int
    changed_at: int


class Judged(NamedTuple):
    """One element as it stands: which dataset is its source (None: none claims it), and the source's value."""

    source: int | None
    value: bytes | None
    standing: Standing


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A report that differs from its source. `since`: from when on it counts, in microseconds, UTC; two that differ in
    nothing else are the same discrepancy.
    """

    source: int
    value: bytes
    said: bytes
    comparison: Comparison
    since: int = field(compare=False)


class Evaluation(NamedTuple):
    """Everything the reports amount to at one clock.

    `discrepancies` by element's number and reporting dataset. `due`: the next clock at which it may amount to something
    else although nothing is reported; `NEVER` where there is none. `unsettled`: whether some value differs, so that
    the reports' times matter. `results` in the order of elements and reports, for counting.
    """

    elements: tuple[Judged, ...]
    discrepancies: Mapping[tuple[int, int], Discrepancy]
    due: int
    unsettled: bool
    results: tuple[tuple[int, int, Result], ...]


def evaluate(
    rules: Sequence[ElementRule],
    reports: Sequence[Report | None],
    clock_micros: int,
    text_of: Callable[[bytes], str],
) -> Evaluation:
    """Return what *reports* (one per dataset, None where it has none) amount to at *clock_micros*.

    *text_of* reads the division that decides a split authority. Pure and total.
    """
    elements: list[Judged] = []
    discrepancies: dict[tuple[int, int], Discrepancy] = {}
    results: list[tuple[int, int, Result]] = []
    due, unsettled = NEVER, False
    for number, rule in enumerate(rules):
        claim, contested = _source(rule.claims, reports, text_of)
        authority = None if claim is None else reports[claim.dataset]
        value = None if claim is None or authority is None else authority.values[claim.position]
        different = stale = agreeing = reported = False
        for dataset, position in rule.reports:
            report = reports[dataset]
            if report is None or (claim is not None and claim.dataset == dataset):
                continue
            said = report.values[position]
            if said is None:
                results.append((number, dataset, Result.MISSING_B if value is not None else Result.MISSING_A))
                continue
            reported = True
            if value is None or claim is None or authority is None:
                results.append((number, dataset, Result.MISSING_A))
                continue
            comparison = rule.compare[claim.dataset, dataset](value, said)
            result = comparison.result
            if result is Result.DIFFERENT:
                unsettled = True
                result, until = _lag(
                    authority.changed_at,
                    report.changed_at,
                    rule.grace_micros[claim.dataset],
                    rule.grace_micros[dataset],
                    clock_micros,
                )
                due = min(due, until) if result is not Result.DIFFERENT else due
                since = max(authority.changed_at, report.changed_at, until if until <= clock_micros else 0)
            elif result is Result.INVALID_A:
                unsettled, since = True, authority.changed_at
            else:
                since = 0
            results.append((number, dataset, result))
            if result in OPENING:
                different = True
                discrepancies[number, dataset] = Discrepancy(claim.dataset, value, said, comparison, since)
            stale = stale or result is Result.STALE_A
            agreeing = agreeing or result in AGREEING
        if contested or different:
            standing = Standing.DISPUTED
        elif stale:
            standing = Standing.STALE
        elif agreeing:
            standing = Standing.AGREED
        elif value is None and reported:
            standing = Standing.PROVISIONAL
        else:
            standing = Standing.UNVERIFIED
        elements.append(Judged(None if claim is None else claim.dataset, value, standing))
    return Evaluation(tuple(elements), discrepancies, due, unsettled, tuple(results))


def _source(
    claims: Sequence[Claim], reports: Sequence[Report | None], text_of: Callable[[bytes], str]
) -> tuple[Claim | None, bool]:
    """Return whose value counts, and whether another dataset claims to be the source of it as well."""
    if len(claims) == 1 and claims[0].by is None:
        return (None if reports[claims[0].dataset] is None else claims[0]), False
    best: Claim | None = None
    longest, holders = -1, 0
    for claim in claims:
        report = reports[claim.dataset]
        if report is None:
            continue
        if claim.by is None:
            length = 0
        else:
            division = report.values[claim.by]
            if division is None:
                continue
            text = text_of(division)
            length = max((len(prefix) for prefix in claim.prefixes if text.startswith(prefix)), default=-1)
            if length < 0:
                continue
        holders += 1
        if length > longest:
            best, longest = claim, length
    return best, holders > 1


def _lag(authority: int, report: int, authority_grace: int, report_grace: int, clock: int) -> tuple[Result, int]:
    """Return whether two values differ or one of them lags, and until when it may; all in microseconds."""
    if report < authority:
        until = authority + report_grace
        return (Result.STALE_B if clock < until else Result.DIFFERENT), until
    if authority < report:
        until = report + authority_grace
        return (Result.STALE_A if clock < until else Result.DIFFERENT), until
    return Result.DIFFERENT, 0
