"""The golden and the discrepancy view, worked out from scratch: declarations, latest records and a clock in, rows out.

One number, one source: of every element the authority's value and how all other reports stand to it. Everything is
computed again for every entity; nothing is remembered, nothing is clever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from oracle import avro, comparators, masks
from oracle.comparators import (
    COMPATIBLE,
    DIFFERENT,
    EQUAL,
    INVALID_A,
    INVALID_B,
    MISSING_A,
    MISSING_B,
)
from oracle.views import SEPARATOR, Declared

STALE_A, STALE_B = "STALE_A", "STALE_B"
AGREED, DISPUTED, UNVERIFIED, PROVISIONAL, STALE = "agreed", "disputed", "unverified", "provisional", "stale"
OPEN = (DIFFERENT, INVALID_A)
"""Results that make a row of the discrepancy view, and the element disputed."""

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
CYCLES = {
    "realtime": "5m",
    "daily": "1d",
    "weekly": "7d",
    "monthly": "31d",
    "quarterly": "92d",
    "yearly": "366d",
}


class Report(NamedTuple):
    """A record that counts: accepted, the newest of its key, not deleted. *record* has the newest schema's fields."""

    key: str
    version: int
    changed_at: int
    """Microseconds since 1970."""
    record: Any
    epoch: int = 0


class Golden(NamedTuple):
    """One element of a golden record: the authority's value, its standing, and which dataset the authority is."""

    value: Any
    standing: str
    source: str


class Difference(NamedTuple):
    """A row of the discrepancy view, and the versions of the two records that it is about."""

    value: Any
    reported: Any
    result: str
    versions: tuple[int, int]


@dataclass
class CrossViews:
    """Golden rows by entity id and element name; discrepancies by entity id, element and reporting dataset.

    `compared` has the result of every comparison, by the same key; `reports` says who was heard on each entity;
    `ends` are the instants, in microseconds, at which something is no longer merely stale.
    """

    golden: dict[str, dict[str, Golden]] = field(default_factory=dict)
    discrepancies: dict[tuple[str, str, str], Difference] = field(default_factory=dict)
    compared: dict[tuple[str, str, str], str] = field(default_factory=dict)
    reports: dict[str, dict[str, Report]] = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)


# What is declared -----------------------------------------------------------------------------------------------------


class Bound(NamedTuple):
    """A field that carries an element: *authority* is false, true, or the declaration of a share of it."""

    dataset: str
    path: str
    authority: Any


def bound_fields(declared: Declared, entity: str) -> dict[str, list[Bound]]:
    """Return per element of an entity, by its own name, the fields that carry it; only elements that have a source."""
    found: dict[str, list[Bound]] = {}
    for dataset, document in sorted(declared.datasets.items()):
        if document.get("entity") != entity:
            continue
        for path, entry in document["fields"].items():
            of, _, name = (entry.get("element") or "").partition(".")
            if of == entity:
                found.setdefault(name, []).append(Bound(dataset, path, entry.get("authoritative", False)))
    return {name: bound for name, bound in found.items() if any(each.authority for each in bound)}


def seconds(duration: str) -> int:
    """Return the length of a duration such as 26h."""
    return int(duration[:-1]) * SECONDS[duration[-1]]


def grace_seconds(declared: Declared, element: str, dataset: str) -> int:
    """Return for how long after the other side's change *dataset* may lag behind with this element."""
    own = declared.vocabulary["elements"][element].get("grace")
    if own is not None:
        return seconds(own)
    update = declared.datasets[dataset]["update"]
    cycle = seconds(CYCLES.get(update["cycle"]) or update["max_age"])
    return min(seconds("45d"), max(seconds("15m"), cycle * 3 // 2))


def about(declared: Declared, entity: str, subject: str) -> bool:
    """Return whether a record under *subject* is about such an entity: written in its identifier's one form."""
    return is_canonical(declared.vocabulary["entities"][entity]["format"], subject)


def is_canonical(name: str, text: str) -> bool:
    """Return whether *text* is in the one form of a format."""
    try:
        match name:
            case "citizen_id":
                return comparators.citizen_id(text) == text and _born(text)
            case "uscc":
                return comparators.uscc(text) == text
            case "division":
                return re.fullmatch("[1-9][0-9]{5}", text) is not None
            case "house_code":
                return re.fullmatch("[0-9A-Z]{10,32}", text) is not None
            case "year":
                return re.fullmatch("(18|19|20|21)[0-9]{2}", text) is not None
    except comparators.Invalid:
        return False
    raise AssertionError(name)


def _born(citizen_id: str) -> bool:
    try:
        first, last = comparators.day(citizen_id[6:14])
    except comparators.Missing:
        return True
    except comparators.Invalid:
        return False
    return first == last and 1800 <= first.year <= 2199 and citizen_id[0] != "0"


# The views ------------------------------------------------------------------------------------------------------------


def cross_views(declared: Declared, entity: str, records: Mapping[str, Iterable[Report]], clock_ms: int) -> CrossViews:
    """Return both views of one kind of entity, given what counts of every dataset, at the clock *clock_ms*."""
    views = CrossViews()
    bound = bound_fields(declared, entity)
    for dataset in sorted({each.dataset for fields in bound.values() for each in fields}):
        for report in records.get(dataset, ()):
            subject = report.key.split(SEPARATOR)[0]
            if about(declared, entity, subject):
                heard = views.reports.setdefault(subject, {})
                if dataset not in heard or _age(report) > _age(heard[dataset]):
                    heard[dataset] = report
    for subject, reports in views.reports.items():
        views.golden[subject] = {}
        for name, fields in bound.items():
            views.golden[subject][name] = _checked(declared, entity, name, fields, subject, reports, clock_ms, views)
    return views


def _age(report: Report) -> tuple[int, int, str]:
    return report.epoch, report.version, report.key


def _checked(
    declared: Declared,
    entity: str,
    name: str,
    fields: list[Bound],
    subject: str,
    reports: Mapping[str, Report],
    clock_ms: int,
    views: CrossViews,
) -> Golden:
    """Return one element of one golden record; its comparisons and discrepancies are added to *views*."""
    element = f"{entity}.{name}"
    claims = sorted(claim for each in fields for claim in _claim(declared, each, reports))
    source = claims[0].bound if claims else None
    value = None if source is None else value_of(declared, source, reports)
    results = set()
    for each in fields:
        if each.dataset not in reports or (source is not None and each.dataset == source.dataset):
            continue
        reported = value_of(declared, each, reports)
        result = _compared(declared, element, source, each, reports)
        if result == DIFFERENT and source is not None:
            result, end = _late(declared, element, source.dataset, each.dataset, reports, clock_ms)
            views.ends |= {end} if result in (STALE_A, STALE_B) else set()
        results.add(result)
        views.compared[subject, name, each.dataset] = result
        if result in OPEN:
            versions = (0 if source is None else reports[source.dataset].version, reports[each.dataset].version)
            views.discrepancies[subject, name, each.dataset] = Difference(value, reported, result, versions)
    others = [value_of(declared, each, reports) for each in fields if each.dataset in reports]
    standing = UNVERIFIED
    if results & set(OPEN) or len(claims) > 1:
        standing = DISPUTED
    elif STALE_A in results:
        standing = STALE
    elif results & {EQUAL, COMPATIBLE}:
        standing = AGREED
    elif value is None and any(each is not None for each in others):
        standing = PROVISIONAL
    return Golden(value, standing, "" if source is None else source.dataset)


class Claim(NamedTuple):
    """That a dataset is the authority here. Claims sort by precedence: the longest prefix, then the dataset's id."""

    shortness: int
    dataset: str
    bound: Bound


def _claim(declared: Declared, bound: Bound, reports: Mapping[str, Report]) -> list[Claim]:
    if bound.dataset not in reports or not bound.authority:
        return []
    if bound.authority is True:
        return [Claim(0, bound.dataset, bound)]
    business = declared.business(bound.dataset)
    place = masks.value_at(business, reports[bound.dataset].record, bound.authority["by"])[1]
    lengths = [len(each) for each in bound.authority["divisions"] if isinstance(place, str) and place.startswith(each)]
    return [Claim(-max(lengths), bound.dataset, bound)] if lengths else []


def value_of(declared: Declared, bound: Bound, reports: Mapping[str, Report]) -> Any:
    """Return what a dataset's report says of an element, as a Python reader has it; None where it says nothing."""
    kind, value = masks.value_at(declared.business(bound.dataset), reports[bound.dataset].record, bound.path)
    return None if value is None else avro.plain(kind, value)


def _compared(
    declared: Declared,
    element: str,
    source: Bound | None,
    other: Bound,
    reports: Mapping[str, Report],
) -> str:
    if source is None:
        return MISSING_A
    sides = []
    for each, invalid in ((source, INVALID_A), (other, INVALID_B)):
        value = value_of(declared, each, reports)
        try:
            sides.append(translated(declared, element, each, value))
        except comparators.Invalid:
            # What is missing on either side was missing before anything could be wrong with the other.
            if value_of(declared, source, reports) is None:
                return MISSING_A
            return MISSING_B if value_of(declared, other, reports) is None else invalid
    units = [declared.datasets[each.dataset]["fields"][each.path].get("unit") for each in (source, other)]
    return comparators.compare(in_units(declared.vocabulary["elements"][element]["comparator"], *units), *sides)


def in_units(declared: Any, source: str | None, reporter: str | None) -> Any:
    """Return the comparator of two fields: numbers are in their fields' units, unless the comparator says otherwise."""
    name, parameters = (declared, {}) if isinstance(declared, str) else next(iter(declared.items()))
    if name not in ("numeric", "amount") or source is None or reporter is None:
        return declared
    return {name: {"unit_a": source, "unit_b": reporter} | parameters}


def _late(
    declared: Declared, element: str, source: str, other: str, reports: Mapping[str, Report], clock_ms: int
) -> tuple[str, int]:
    """Return whether two different values differ or one of them lags behind, and until when it may."""
    authority, report = reports[source].changed_at, reports[other].changed_at
    laggard, result = (other, STALE_B) if report < authority else (source, STALE_A)
    end = max(authority, report) + 1_000_000 * grace_seconds(declared, element, laggard)
    return (DIFFERENT if authority == report or clock_ms * 1000 >= end else result), end


def translated(declared: Declared, element: str, bound: Bound, value: Any) -> Any:
    """Return a code of a field's own list as the element's list has it; a code that has no counterpart is Invalid."""
    codes = declared.datasets[bound.dataset]["fields"][bound.path].get("codes")
    wanted = declared.vocabulary["elements"][element].get("codes")
    if value is None or codes is None or codes == wanted:
        return value
    by_list = declared.vocabulary.get("code_maps", {}).get(codes)
    if by_list is None or by_list["to"] != wanted:
        return value
    if value not in by_list["codes"]:
        raise comparators.Invalid
    return by_list["codes"][value]
