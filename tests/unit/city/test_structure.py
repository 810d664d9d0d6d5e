"""Structural checks on the reference city: what they find are the faults of the ledger that they can see, none else."""

from __future__ import annotations

import pytest
from city_contradictions import POPULATION, PUPIL, SEEN, planted
from city_files import Written, declarations, rows
from stack_fixture import REPOSITORY
from unit.city.test_ledger import shape_of

from govbus.adapters.values import InvalidRecord
from govbus.catalogue.check import load
from govbus.catalogue.model import Catalogue
from govbus.catalogue.structure import checks_of
from govbus.codec.framing import header
from govbus.codec.reader import RecordReader
from govbus.codec.schemas import record_schema
from govbus.codec.structure import Structure, slots_of


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The reference city's catalogue."""
    return load(REPOSITORY)


def failing(city: Written, catalogue: Catalogue, dataset: str) -> dict[str, set[tuple[str, ...]]]:
    """Return by rule the keys of the rows that fail it, of those that the dataset's adapter publishes."""
    entry = catalogue.datasets[dataset]
    reader = RecordReader(record_schema(entry.avro))
    structure = Structure(checks_of(entry, catalogue.vocabulary.code_lists), slots_of(reader))
    shape = shape_of(catalogue, dataset)
    found: dict[str, set[tuple[str, ...]]] = {}
    for row in rows(city.path, dataset, raw=True):
        try:
            key, body = shape.encode(row)
        except InvalidRecord:
            continue
        value = header(1) + b"\x02\x02" + body
        for failure in structure.failing(value, reader.bounds(value)):
            found.setdefault(failure.decision.rule, set()).add(tuple(key.decode().split("\x1f")))
    return found


@pytest.mark.parametrize("dataset", sorted(declarations()))
def test_exactly_the_planted_contradictions_fail(city: Written, catalogue: Catalogue, dataset: str) -> None:
    """Of a first export exactly those rows fail a check into which the ledger says such a fault was planted."""
    expected = planted(city.path, dataset)
    assert failing(city, catalogue, dataset) == expected
    if dataset == POPULATION:
        assert len(expected["birth_date_of_id"]) >= 8
        assert len(expected["sex_of_id"]) >= 1
    if dataset == PUPIL:
        assert len(expected["birth_date_of_id"]) >= 2


def test_every_rule_that_sees_a_planted_fault_is_declared(catalogue: Catalogue) -> None:
    """The table above speaks of checks that the city declares."""
    for dataset, rule in SEEN:
        assert rule in {check["rule"] for check in catalogue.datasets[dataset].checks}


def test_samples_named_flagged_are_accepted_and_fail_a_check(catalogue: Catalogue) -> None:
    """A passing sample fails a check that flags exactly where its name says so."""
    from govbus.catalogue.document import read_json
    from govbus.catalogue.samples import sample_problems

    flagged = 0
    for path in sorted((REPOSITORY / "schemas").glob("*/*.pass.json")):
        dataset = catalogue.datasets[f"{path.parent.name}.{path.name.split('.')[0]}"]
        strict = dataset.model_copy(update={"checks": tuple({**c, "on_failure": "reject"} for c in dataset.checks)})
        sample = read_json(REPOSITORY, str(path.relative_to(REPOSITORY)), []).value
        fails = bool(sample_problems(sample, strict, catalogue.vocabulary.code_lists))
        assert fails == path.name.endswith("_flagged.pass.json"), path.name
        flagged += fails
    assert flagged >= 4
