"""Files become plain values with lines; what YAML readers could misunderstand is refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from govbus.catalogue import document
from govbus.catalogue.document import read_json, read_yaml
from govbus.errors import Fault


def _read(tmp_path: Path, text: str) -> tuple[Any, list[Fault]]:
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    faults: list[Fault] = []
    return read_yaml(tmp_path, "a.yaml", faults).value, faults


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 3", 3),
        ("a: -3", -3),
        ("a: 1.5", 1.5),
        ("a: true", True),
        ("a: null", None),
        ("a: ~", None),
        ("a:", None),
        ("a: 2027-12-31", date(2027, 12, 31)),
        ('a: "2027-12-31"', "2027-12-31"),
        ('a: "012"', "012"),
        ("a: 11890000008900038B", "11890000008900038B"),
        ("a: 26h", "26h"),
        ("a: 101001/000001", "101001/000001"),
        ("a: 0890-5550-1101", "0890-5550-1101"),
        ("a: 10%", "10%"),
        ("a: note", "note"),
        ("a: [x, {y: 1}]", ["x", {"y": 1}]),
        ("a: {}", {}),
        ("a: |\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_a_plain_value_means_what_it_looks_like(tmp_path: Path, text: str, value: object) -> None:
    """Numbers, truths, dates and texts are told apart, and PyYAML's own safe reader agrees."""
    read, faults = _read(tmp_path, text)

    assert faults == []
    assert read == {"a": value}
    assert yaml.safe_load(text) == {"a": value}


@pytest.mark.parametrize(
    "scalar",
    [
        *("yes", "No", "ON", "off", "TRUE", "Null", "012", "0x1F", "0o17", "0b11", "1_000", "12:30", "12:30:45"),
        *("1e5", "1.0e+5", ".5", "+.5", "5.", ".inf", "-.INF", ".nan", "9" * 30),
        *("2027-12-31T10:00:00Z", "2027-12-31 10:00:00", "2027-02-30"),
    ],
)
def test_a_value_that_readers_understand_differently_is_refused(tmp_path: Path, scalar: str) -> None:
    """YAML 1.1 and 1.2 read these as different things: they must stand in quotes."""
    _, faults = _read(tmp_path, f"a: {scalar}\n")

    assert [(fault.line, fault.code) for fault in faults] == [(1, "ambiguous_value")]
    assert _read(tmp_path, f'a: "{scalar}"\n') == ({"a": scalar}, [])


def test_lines_are_found_by_key_index_and_name(tmp_path: Path) -> None:
    """A part of a file is found by its keys, by a list's index or by the name of a list's entry."""
    text = "a:\n  b: 1\n  c:\n    - x\n    - y: {z: 1}\n    - name: n\n      k: 2\n"
    (tmp_path / "a.yaml").write_text(text)
    read = read_yaml(tmp_path, "a.yaml", [])

    assert [read.line(*path) for path in ((), ("a",), ("a", "b"), ("a", "c"), ("a", "c", 0), ("a", "c", 1))] == [
        1,
        1,
        2,
        3,
        4,
        5,
    ]
    assert read.line("a", "c", "x") == 4
    assert read.line("a", "c", "y") == 5
    assert read.line("a", "c", 2, "k") == 7
    assert read.line("a", "nothing", "at all") == 1


def test_lines_follow_a_file_that_was_edited(tmp_path: Path) -> None:
    """After an edit the lines are those of the new text."""
    file = tmp_path / "a.yaml"
    file.write_text("a: 1\n")
    assert read_yaml(tmp_path, "a.yaml", []).line("a") == 1
    file.write_text("\n\na: 1\n")
    assert read_yaml(tmp_path, "a.yaml", []).line("a") == 3


def test_a_json_file_has_lines_too(tmp_path: Path) -> None:
    """JSON is read as JSON and its lines are found as YAML's, tabs included."""
    (tmp_path / "a.json").write_text('{\n\t"a": 1,\n\t"b": {\n\t\t"c": [true, null]}}')
    faults: list[Fault] = []

    read = read_json(tmp_path, "a.json", faults)

    assert faults == []
    assert read.value == {"a": 1, "b": {"c": [True, None]}}
    assert (read.line("a"), read.line("b"), read.line("b", "c")) == (2, 3, 4)


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": "\\ud800"}', "[1]", "", "{" * 100_000, '{"a": 1} x'])
def test_json_outside_the_standard_is_refused(tmp_path: Path, text: str) -> None:
    """NaN, half surrogates, other tops than objects and endless nesting are one fault each."""
    (tmp_path / "a.json").write_text(text)
    faults: list[Fault] = []

    assert read_json(tmp_path, "a.json", faults).value is None
    assert [fault.code for fault in faults] == ["malformed_file"]


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the limit is a fault, not a memory problem."""
    monkeypatch.setattr(document, "MAX_BYTES", 10)
    _, faults = _read(tmp_path, "a: 1234567890\n")

    assert [fault.code for fault in faults] == ["malformed_file"]


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.dates()
    | st.text("ab人 :{}[]#&*!|>'\"%@-\n\t", max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc人", min_size=1, max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(value=st.dictionaries(st.text("abc人", min_size=1, max_size=4), PLAIN, max_size=4), libyaml=st.booleans())
def test_what_pyyaml_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, value: Any, libyaml: bool) -> None:
    """For plain data our reader and PyYAML's writer agree, with libyaml and with the pure parser."""
    folder = tmp_path_factory.mktemp("plain")
    dumper = type("NoAliases", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})
    (folder / "a.yaml").write_text(yaml.dump(value, Dumper=dumper, allow_unicode=True), encoding="utf-8")
    faults: list[Fault] = []
    with pytest.MonkeyPatch.context() as patch:
        if not libyaml:
            patch.setattr(document, "CParser", None)
        read = read_yaml(folder, "a.yaml", faults)

    assert faults == []
    assert read.value == value
