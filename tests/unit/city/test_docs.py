"""docs/city.md is held to the tables it shows."""

from __future__ import annotations

import re

import pytest
import yaml
from city_files import declarations
from commands import check_words, shown_commands
from stack_fixture import REPOSITORY

from govbus.ops.city.faults import FAULTS, NATURES
from govbus.ops.city.life import EVENTS

DOCUMENT = (REPOSITORY / "docs" / "city.md").read_text(encoding="utf-8")


def table(first_column: str) -> list[list[str]]:
    """Return the cells of the document's table whose head begins with *first_column*."""
    found = re.search(rf"^\| {first_column} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE)
    assert found, first_column
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in found[1].splitlines()]


def test_the_fault_table_is_the_one_faults_are_planted_by() -> None:
    """Every kind of fault stands in the document with its places, rates and effect, in the order of the code."""
    shown = [(kind.strip("`"), where, effect, holds) for kind, _, where, effect, holds in table("kind")]
    expected = []
    for kind in dict.fromkeys(fault.kind for fault in FAULTS):
        faults = [fault for fault in FAULTS if fault.kind == kind]
        where = "; ".join(
            f"{fault.dataset}{':' + fault.field if fault.field else ''} {fault.rate * 100:.4g}%" for fault in faults
        )
        expected.append((kind, where, faults[0].effect, faults[0].holds))
        assert {(fault.effect, fault.holds) for fault in faults} == {(faults[0].effect, faults[0].holds)}
    assert shown == expected


def test_the_nature_table_is_the_one_of_the_ledger() -> None:
    """Every kind of fault stands in the document under its nature, those of later waves included."""
    shown = {
        kind: nature.strip("`") for nature, _, kinds in table("nature") for kind in re.findall("`([a-z_0-9]+)`", kinds)
    }
    assert shown == NATURES
    assert {fault.kind for fault in FAULTS} < set(NATURES)


def test_the_event_table_is_the_one_events_are_drawn_from() -> None:
    """Every event stands in the document with what happens in it."""
    assert table("event") == [[f"`{event.name}`", event.happen.__doc__ or ""] for event in EVENTS]


def test_the_dataset_table_is_what_is_declared() -> None:
    """Every dataset stands in the document with its key and its source."""
    shown = {dataset: (key, source) for dataset, _, key, source, _ in table("dataset")}
    assert set(shown) == set(declarations())
    for dataset, declared in declarations().items():
        key, source = shown[dataset]
        assert key == ", ".join(declared.key)
        words = [declared.source["kind"]] if declared.source["kind"] != "file" else [declared.source["format"]]
        words += [declared.source[word] for word in ("encoding", "mode", "table") if word in declared.source]
        assert all(word in source for word in words)


def test_the_element_table_is_what_is_declared() -> None:
    """Every element stands in the document with its source and with the fields that are compared with it."""
    shown = {element: (source, others) for element, _, source, others in table("element")}
    expected: dict[str, tuple[str, list[str]]] = {}
    for dataset, declared in declarations().items():
        for path, entry in declared.fields.items():
            if entry.get("authoritative"):
                expected[entry["element"]] = (f"{dataset} {path}", [])
    for dataset, declared in declarations().items():
        for path, entry in declared.fields.items():
            if "element" in entry and not entry.get("authoritative"):
                expected[entry["element"]][1].append(f"{dataset} {path}")
    assert set(shown) == set(yaml.safe_load((REPOSITORY / "schemas" / "elements.yaml").read_text())["elements"])
    for element, (source, others) in expected.items():
        assert shown[element] == (source, ", ".join(sorted(others)))


def test_the_ask_table_is_what_is_declared() -> None:
    """Every ask stands in the document with its datasets and its delivery."""
    shown = {ask: (datasets, delivery) for ask, datasets, delivery in table("ask")}
    declared = {}
    for path in (REPOSITORY / "consumers").glob("*/*.yaml"):
        if path.name != "subscriber.yaml":
            ask = yaml.safe_load(path.read_text(encoding="utf-8"))
            how = " ".join(str(value) for word, value in ask["delivery"].items() if word != "folder")
            declared[f"{path.parent.name}.{ask['ask']}"] = (", ".join(ask["datasets"]), how)
    assert shown == declared


@pytest.mark.parametrize("words", shown_commands(DOCUMENT), ids=" ".join)
def test_a_command_in_the_document_is_one_there_is(words: list[str]) -> None:
    """Every govbus command shown parses as the command line would parse it."""
    check_words(words)
