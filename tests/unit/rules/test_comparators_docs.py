"""docs/comparators.md is held to the comparators."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
import yaml
from stack_fixture import REPOSITORY

from govbus.catalogue.model import Vocabulary
from govbus.rules.comparators import COMPARATORS, comparator
from govbus.rules.comparison import Reason, Result, Value
from govbus.rules.division_table import TABLE
from govbus.rules.han_table import FORMER_VARIANTS, SIMPLIFIED, TRADITIONAL, VARIANTS

DOCUMENT = (REPOSITORY / "docs" / "comparators.md").read_text(encoding="utf-8")
DECISION = next((REPOSITORY / "docs" / "decisions").glob("*-names-are-folded-character-by-character.md"))

_RESULTS = {
    "equal": "一致",
    "compatible": "相容",
    "different": "不同",
    "missing_a": "权威来源没有填写",
    "missing_b": "报送方没有填写",
    "invalid_a": "权威来源的值无效",
    "invalid_b": "报送方的值无效",
    "indeterminate": "不能判断",
}


def rows(head: str) -> list[str]:
    """Return the rows of the document's table whose head begins with *head*."""
    found = re.search(rf"^\| {re.escape(head)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE)
    assert found, head
    return found[1].splitlines()


def kinds() -> Iterator[str]:
    """Yield the table of comparators: what they take, what is the same, what is not."""
    for name, kind in COMPARATORS.items():
        yield f"| `{name}` | {kind.title} | {', '.join(sorted(kind.takes))} | {kind.equal} | {kind.differs} |"


def parameters() -> Iterator[str]:
    """Yield the table of parameters; those that every comparator has stand once, at the end."""
    for name, kind in COMPARATORS.items():
        for each, parameter in kind.parameters.items():
            if each != "nulls":
                choices = f", one of {_listed(parameter.choices)}" if 0 < len(parameter.choices) < 10 else ""
                yield (
                    f"| `{name}` | `{each}` | {parameter.type}{choices} | {parameter.meaning} | "
                    f"{_said(parameter.default)} |"
                )
    nulls = COMPARATORS["exact"].parameters["nulls"]
    yield f"| each | `nulls` | {nulls.type} | {nulls.meaning} | {_said(nulls.default)} |"


def examples() -> Iterator[str]:
    """Yield the table of examples."""
    for name, kind in COMPARATORS.items():
        for example in kind.examples:
            declared = f"`{name}`" if not example.parameters else f"`{{{name}: {_mapping(example.parameters)}}}`"
            yield f"| {declared} | {_value(example.a)} | {_value(example.b)} | {_RESULTS[example.result]} |"


def reasons() -> Iterator[str]:
    """Yield the table of reasons."""
    for reason in Reason:
        yield f"| `{reason.name.lower()}` | {reason} |"


def _listed(choices: tuple[object, ...]) -> str:
    return " ".join(f"`{each}`" for each in choices if each != "")


def _said(default: object) -> str:
    if default in ("", (), {}):
        return "none"
    if isinstance(default, tuple):
        return " ".join(f"`{each}`" for each in default)
    return f"`{default}`".replace("\n", "⏎").replace("|", "\\|")


def _mapping(parameters: object) -> str:
    if isinstance(parameters, dict):
        return "{" + ", ".join(f"{key}: {_mapping(value)}" for key, value in parameters.items()) + "}"
    return f'"{parameters}"' if isinstance(parameters, str) else str(parameters)


def _value(value: Value) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(each) if each is not None else "null" for each in value) + "]"  # type: ignore[arg-type]
    return f"`{value}`"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("comparator | 名称 | element types", kinds),
        ("comparator | parameter", parameters),
        ("comparator | 权威来源 A", examples),
        ("reason | 说明", reasons),
    ],
)
def test_a_table_is_what_the_comparators_are(head: str, expected: Callable[[], Iterator[str]]) -> None:
    """The tables of comparators, parameters, examples and reasons are those of the code, row by row."""
    assert rows(head) == list(expected())


def test_every_result_is_explained() -> None:
    """Each result stands once in the table of results."""
    named = [word for row in rows("result") for word in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(map(str, Result))


def test_the_elements_shown_can_be_declared() -> None:
    """Each block of YAML is a vocabulary whose comparators there are, for the types that they take."""
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert blocks
    for block in blocks:
        for element in Vocabulary.model_validate(yaml.safe_load(block)).elements.values():
            comparator(element.comparator)
            kind = element.comparator if isinstance(element.comparator, str) else next(iter(element.comparator))
            assert element.type in COMPARATORS[kind].takes


def test_the_figures_of_the_tables_are_counted() -> None:
    """How many codes and characters there are is what the tables hold."""
    lines = [line.split() for line in TABLE.splitlines()]
    retired = [line for line in lines if not line[2].endswith("-")]
    assert f"{len(lines):,} codes" in DOCUMENT
    assert f"{len(retired):,} retired ones" in DOCUMENT
    assert f"; {sum(len(line) == 3 for line in retired)} have no recorded successor" in DOCUMENT
    assert len(TRADITIONAL) == len(SIMPLIFIED)
    assert f"{len(TRADITIONAL):,} characters" in DOCUMENT
    told = DECISION.read_text(encoding="utf-8")
    assert f"{len(TRADITIONAL):,} pairs" in told
    assert f"{len(VARIANTS.split())} pairs that make two names `compatible`" in told
    assert f"{len(FORMER_VARIANTS.split())} pairs, makes them `different`" in told
