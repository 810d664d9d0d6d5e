"""docs/declarations.md is complete and true: every key, every code, and an example city that passes its check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from unit.catalogue.small_city import TODAY

from govbus.catalogue import delivery, model, source
from govbus.catalogue.avro_fields import applies
from govbus.catalogue.check import check
from govbus.catalogue.check_elements import SUITED_KINDS
from govbus.catalogue.faults import MEANING, FaultCode, WarningCode
from govbus.catalogue.views import share_views
from govbus.rules.formats import FORMATS
from govbus.rules.mask import parse_mask
from govbus.rules.share import ShareView
from govbus.rules.structural import RULES, parse_check

TEXT = (Path(__file__).parents[3] / "docs" / "declarations.md").read_text(encoding="utf-8")

PLACED = {"department", "subscriber", "avro"}
"""What a dataset or an ask has from the place of its file."""

TABLES: dict[str, tuple[type[BaseModel], set[str]]] = {
    "key of city.yaml": (model.City, set()),
    "key of elements.yaml": (model.Vocabulary, set()),
    "key of an entity": (model.Entity, set()),
    "key of an element": (model.Element, set()),
    "key of a code map": (model.CodeMap, set()),
    "key of a split authority": (model.Authority, set()),
    "key of department.yaml": (model.Department, set()),
    "key of a contact": (model.Contact, set()),
    "key of a dataset": (model.Dataset, PLACED),
    "key of update": (model.Update, set()),
    "key of a field": (model.FieldEntry, set()),
    "key of a file source": (source.FileSource, set()),
    "key of a postgres source": (source.PostgresSource, set()),
    "key of an outbox source": (source.OutboxSource, set()),
    "key of a python source": (source.PythonSource, set()),
    "key of a grant": (model.Grant, set()),
    "key of subscriber.yaml": (model.Subscriber, set()),
    "key of an ask": (model.Ask, PLACED),
    "key of an asked dataset": (model.AskedDataset, set()),
    "key of a postgres delivery": (delivery.PostgresDelivery, set()),
    "key of a file delivery": (delivery.FileDelivery, set()),
    "key of a topic delivery": (delivery.TopicDelivery, set()),
}


def rows(first_cell: str) -> list[list[str]]:
    """Return the cells of the table whose header begins with *first_cell*."""
    found = re.search(rf"^\| {re.escape(first_cell)} \|.*\n\|[-|]+\|\n((?:\|.*\n)*)", TEXT, re.M)
    assert found, f"no table of {first_cell}"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found[1].splitlines()]


@pytest.mark.parametrize("header", TABLES)
def test_every_key_is_described(header: str) -> None:
    """The table of each file lists exactly the keys of its model, required ones as such, defaults as they are."""
    kind, placed = TABLES[header]
    fields = {field.alias or name: field for name, field in kind.model_fields.items() if name not in placed}
    listed = {row[0].strip("`"): row[-1] for row in rows(header)}

    assert sorted(listed) == sorted(fields)
    for name, field in fields.items():
        assert (listed[name] == "required") == field.is_required(), name
        if isinstance(field.default, int) and not isinstance(field.default, bool):
            assert listed[name] == str(field.default), name
        if isinstance(field.default, str) and field.default:
            assert listed[name] == field.default, name


def test_every_code_is_described() -> None:
    """The tables of faults and warnings are the table in the code."""
    documented = {row[0].strip("`"): row[1] for row in re.findall(r"^\| (`[a-z_]+`) \| (.*?) \|$", TEXT, re.M)}

    for code in (*FaultCode, *WarningCode):
        assert documented.get(str(code)) == MEANING[code]
    faults = TEXT[TEXT.index("## Faults") : TEXT.index("## Warnings")]
    assert re.findall(r"^\| `([a-z_]+)`", faults, re.M) == [str(code) for code in FaultCode]
    assert re.findall(r"^\| `([a-z_]+)`", TEXT[TEXT.index("## Warnings\n") :], re.M) == [
        str(code) for code in WarningCode
    ]


def test_every_format_is_described() -> None:
    """The table of formats is that of the code."""
    assert {row[0].strip("`"): row[1] for row in rows("format")} == {name: each.title for name, each in FORMATS.items()}


def test_every_rule_is_described() -> None:
    """The table of structural checks is that of the code: each rule with its operands and settings, and what holds."""
    told = {row[0].strip("`"): (set(re.findall(r"`([a-z_]+)`", row[1])), row[2]) for row in rows("rule")}
    assert told.keys() == RULES.keys()
    for name, rule in RULES.items():
        words, title = told[name]
        assert title == rule.title
        assert words - {"male", "female"} == (set(rule.operands) | rule.settings) - {"male", "female"}


def test_the_checks_shown_are_checks() -> None:
    """Each check of the section on structural checks is one that is understood."""
    import yaml

    section = TEXT[TEXT.index("### Structural checks\n") : TEXT.index("### Grants\n")]
    lines = re.findall(r"^      - (\{rule: .*\})$", section, re.M)
    assert len(lines) == 6
    for line in lines:
        parse_check(yaml.safe_load(line))


def test_masks_are_told_by_type() -> None:
    """A mask is named beside a type exactly where it applies."""
    masks = {
        "mask": {"mask": {"first": 1}},
        "division": {"generalise": {"division": 4}},
        "band": {"generalise": {"band": 10}},
        "year": {"generalise": "year"},
        "pseudonym": "pseudonym",
    }
    kinds = {
        "`string`": "string",
        "`int`, `long`": "long",
        "`int` with `date`": "date",
        "`boolean`": "boolean",
        "`enum`": "enum",
    }
    told = {row[0]: row[2] for row in rows("Avro type")}
    for header, kind in kinds.items():
        for word, mask in masks.items():
            named = bool(re.search(rf"\b{word}\b", told[header]))
            assert named == applies(parse_mask(mask), kind), (kind, word)  # type: ignore[arg-type]


def examples() -> dict[str, str]:
    """Return every fenced example that names its file in its first line."""
    found = re.findall(r"^```(?:yaml|json)\n(?:#|//) (\S+)\n(.*?)^```$", TEXT, re.M | re.S)
    return dict(found)


def test_the_examples_are_a_city(tmp_path: Path) -> None:
    """Every example written to its file: together they pass the check, and both asks are delivered."""
    for file, text in examples().items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    checked = check(tmp_path, TODAY)

    assert [str(fault) for fault in checked.faults] == []
    assert checked.warnings == ()
    assert checked.catalogue is not None
    views = {view.id: view for view in share_views(checked.catalogue) if isinstance(view, ShareView)}
    assert {name: len(view.fields) for name, view in views.items()} == {
        "disabled_federation.card/golden.citizen": 3,
        "disabled_federation.subsidy/civil_affairs.minimum_living": 4,
    }


def test_every_type_of_element_is_told_with_the_fields_that_carry_it() -> None:
    """The table of an element's types is the one that the check goes by."""
    told = {
        row[0].strip("`"): tuple(word.strip("`") for word in row[1].split(", ")) for row in rows("type of an element")
    }
    assert told == SUITED_KINDS


def test_the_conditions_shown_are_conditions() -> None:
    """Each `rows:` line of the section on conditions is one that is understood."""
    import yaml

    from govbus.rules.condition import parse_condition

    lines = re.findall(r"^    rows: (.*)$", TEXT[TEXT.index("## Row conditions\n") :], re.M)
    assert len(lines) == 3
    for line in lines:
        parse_condition(yaml.safe_load(line))


def test_links_lead_somewhere() -> None:
    """Every link inside the page has its heading."""
    anchors = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", TEXT, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
