"""What happens later: each wave changes few rows, in files as departments send them, and registers stay consistent."""

from __future__ import annotations

import re

import pytest
from city_files import Row, Written, declarations, ledger, rows

HOUSEHOLD = "public_security.household"
SNAPSHOTS = sorted(each.id for each in declarations().values() if each.source.get("mode") == "snapshot")
CHANGES = sorted(each.id for each in declarations().values() if each.source.get("mode") == "changes")


def after(city: Written, dataset: str, wave: int) -> list[Row]:
    """Return the latest snapshot of *dataset* as of *wave*."""
    while wave and not rows(city.path, dataset, wave):
        wave -= 1
    return rows(city.path, dataset, wave)


def lines(found: list[Row]) -> set[tuple[str, ...]]:
    return {tuple(map(str, row.values())) for row in found}


@pytest.mark.parametrize("dataset", SNAPSHOTS)
def test_a_later_snapshot_differs_by_what_the_summary_counts(city: Written, dataset: str) -> None:
    """From one full export to the next only the wave's rows change, and fewer vanish than in a truncated file."""
    before = after(city, dataset, 0)
    for number, wave in enumerate(city.summary["waves"], 1):
        now = after(city, dataset, number)
        written = wave["upserts"].get(dataset, 0)
        deleted = wave["deletions"].get(dataset, 0)
        assert len(lines(now) - lines(before)) <= written
        assert len(lines(before) - lines(now)) <= written + deleted
        keys = [tuple(str(row[path]) for path in declarations()[dataset].key) for row in now]
        gone = {tuple(str(row[path]) for path in declarations()[dataset].key) for row in before} - set(keys)
        assert len(gone) < 0.1 * len(before)
        before = now


@pytest.mark.parametrize("dataset", CHANGES)
def test_a_change_file_has_a_row_for_each_change(city: Written, dataset: str) -> None:
    """A change file says U for each record written and D for each deleted; without an operation all are written."""
    for number, wave in enumerate(city.summary["waves"], 1):
        operations = [row.get("operation", "U") for row in rows(city.path, dataset, number)]
        assert operations.count("U") == wave["upserts"].get(dataset, 0)
        assert operations.count("D") == wave["deletions"].get(dataset, 0)


def test_a_waves_sql_has_a_statement_for_each_change(city: Written) -> None:
    """Tables and outboxes get one statement per record written or deleted, in one transaction."""
    tables = {each.source["table"]: each.id for each in declarations().values() if each.source["kind"] != "file"}
    for number, wave in enumerate(city.summary["waves"], 1):
        sql = (city.path / "changes" / f"{number:02}" / "postgres.sql").read_text(encoding="utf-8")
        assert sql.startswith("BEGIN;\n")
        assert sql.endswith("COMMIT;\n")
        for table, dataset in tables.items():
            schema, name = table.split(".")
            inserts = len(re.findall(rf'^INSERT INTO "{schema}"\."{name}" ', sql, re.MULTILINE))
            deletes = len(re.findall(rf'^DELETE FROM "{schema}"\."{name}" ', sql, re.MULTILINE))
            outbox = declarations()[dataset].source["kind"] == "outbox"
            written, deleted = wave["upserts"].get(dataset, 0), wave["deletions"].get(dataset, 0)
            assert inserts == written + (deleted if outbox else 0)
            assert deletes >= (0 if outbox else deleted)


def test_people_leave_the_divisions_of_the_school_place_grant(city: Written) -> None:
    """Households disappear from the divisions 8903 that the school-place ask sees; their people live elsewhere."""
    first, last = after(city, HOUSEHOLD, 0), after(city, HOUSEHOLD, city.asked.waves)
    inside = {row["household_no"] for row in first if row["division"].startswith("8903")}
    outside = {number for row in last if not row["division"].startswith("8903") for number in row["member_ids"]}
    moved = [row for row in first if row["household_no"] in inside and set(row["member_ids"]) & outside]
    assert moved
    assert {row["household_no"] for row in moved}.isdisjoint(row["household_no"] for row in last)


def test_many_kinds_of_things_happen(city: Written) -> None:
    """Moves, marriages, births, deaths, corrections and deletions all occur in a city of this size."""
    happened: set[str] = set()
    for wave in city.summary["waves"]:
        happened |= set(wave["events"])
    assert happened >= {"leave_filter", "marriage", "birth", "death", "correction", "phone_change", "move_nearby"}
    assert any(wave["deletions"] for wave in city.summary["waves"])


def test_households_still_list_everybody_once(city: Written) -> None:
    """After all waves nobody is a member of two households."""
    listed = [number for row in after(city, HOUSEHOLD, city.asked.waves) for number in row["member_ids"]]
    assert len(set(listed)) == len(listed)


def test_a_corrected_fault_is_gone_from_the_next_export(city: Written) -> None:
    """The rows of corrected faults of names are right in the exports of the wave that corrects them."""
    lines = ledger(city.path)
    faults = {line["fault"]: line for line in lines if "fault" in line}
    checked = 0
    for line in lines:
        fault = faults[line["corrects"]] if "corrects" in line else None
        if fault is None or fault["dataset"] not in SNAPSHOTS or fault["holds"] != "wrong" or not fault["right"]:
            continue
        found = after(city, fault["dataset"], city.asked.waves)
        key = declarations()[fault["dataset"]].key
        same = [row for row in found if [str(row[path]) for path in key] == fault["key"]]
        assert all(str(row[fault["field"]]) != fault["written"] for row in same)
        checked += 1
    assert checked or not any("corrects" in line for line in lines) or city.summary["ledger"]["corrected"] < 60


def test_about_as_many_rows_change_as_asked(city: Written) -> None:
    """By default a tenth as many rows change as there are people, the weather aside."""
    changed = sum(
        sum(count for dataset, count in wave["upserts"].items() if dataset != "meteorology.observation")
        for wave in city.summary["waves"]
    )
    assert 0.06 < changed / city.asked.people < 0.16
