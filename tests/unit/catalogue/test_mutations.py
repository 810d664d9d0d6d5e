"""Whatever stands in the files of a city, the check gives a verdict: it never raises, and never takes nonsense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.catalogue.elements_city import CITIZENS
from unit.catalogue.small_city import FILES as TINY
from unit.catalogue.small_city import TODAY, write_city

from govbus.catalogue.check import check
from govbus.catalogue.faults import FaultCode
from govbus.errors import Fault

FILES = {**TINY, **CITIZENS}
YAML_FILES = sorted(file for file in FILES if file.endswith(".yaml"))
JSON_FILES = sorted(file for file in FILES if file.endswith((".avsc", ".json")))

WORDS = (
    *("", " ", "pass", "drop", "null", "school", "police.person", "x", "人口", "_a", "2027-12-31", "9999-12-31"),
    *("0001-01-01", "string", "record", "fields", "citizen_id", "a.b", "\x1f", "*a", "1" * 300),
    *("citizen.name", "citizen.born", "golden.citizen", "name.value", "code", "set", "sex", "gender", "exact", "8903"),
)
SCALARS = st.sampled_from((None, True, False, 0, -1, 7, 2**70, 1.5, *WORDS))
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcr_.", max_size=6), inner, max_size=3),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every part of a plain value."""
    found = [at]
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in entries:
        found += places(inner, (*at, step))
    return found


def replaced(value: Any, at: tuple[Any, ...], junk: Any, how: str) -> Any:
    """Return *value* with the part at *at* replaced, removed, or with one more entry beside it."""
    if not at:
        return junk
    step, *rest = at
    copy = dict(value) if isinstance(value, dict) else list(value)
    if rest:
        copy[step] = replaced(copy[step], tuple(rest), junk, how)
    elif how == "remove":
        del copy[step]
    elif how == "rename" and isinstance(copy, dict):
        copy[str(junk)[:40]] = copy.pop(step)
    else:
        copy[step] = junk
    return copy


def verdict(tmp: Path, files: dict[str, str | bytes | None]) -> tuple[Fault, ...]:
    """Return the faults of the changed city; every one has a known code, a line and a message."""
    checked = check(write_city(tmp, {**CITIZENS, **files}), TODAY, suggest=True)
    assert (checked.catalogue is None) == bool(checked.faults)
    for fault in checked.faults:
        assert fault.code in set(FaultCode)
        assert fault.line >= 1
        assert fault.message
    return checked.faults


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_change_of_a_declaration_gets_a_verdict(tmp_path_factory: Any, data: st.DataObject) -> None:
    """Any part of any YAML file replaced, removed or renamed: a list of faults or a catalogue, never an exception."""
    file = data.draw(st.sampled_from(YAML_FILES))
    value = yaml.safe_load(FILES[file])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(places(value)))
        value = replaced(value, at, data.draw(JUNK), data.draw(st.sampled_from(["replace", "remove", "rename"])))
    text = yaml.safe_dump(value, allow_unicode=True)

    verdict(tmp_path_factory.mktemp("city"), {file: text})


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_change_of_a_schema_or_sample_gets_a_verdict(tmp_path_factory: Any, data: st.DataObject) -> None:
    """The same for the JSON files: schemas of any nonsense are refused, not met with an exception."""
    file = data.draw(st.sampled_from(JSON_FILES))
    value = json.loads(FILES[file])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(places(value)))
        value = replaced(value, at, data.draw(JUNK), data.draw(st.sampled_from(["replace", "remove", "rename"])))

    verdict(tmp_path_factory.mktemp("city"), {file: json.dumps(value)})


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    file=st.sampled_from(sorted(FILES)),
    start=st.floats(0, 1),
    length=st.integers(0, 30),
    inserted=st.binary(max_size=8)
    | st.sampled_from([b"- ", b": ", b"{", b"[", b"&a ", b"*a", b"!!x ", b"---\n", b"\t", b'"']),
)
def test_any_damage_of_a_file_gets_a_verdict(
    tmp_path_factory: Any, file: str, start: float, length: int, inserted: bytes
) -> None:
    """Bytes cut out of a file and others put in: still a verdict."""
    content = FILES[file].encode()
    cut = int(start * len(content))

    verdict(tmp_path_factory.mktemp("city"), {file: content[:cut] + inserted + content[cut + length :]})


@given(missing=st.sets(st.sampled_from(sorted(FILES)), min_size=1, max_size=4))
def test_any_missing_file_gets_a_verdict(tmp_path_factory: Any, missing: set[str]) -> None:
    """A city from which files were taken: a verdict on what is left."""
    verdict(tmp_path_factory.mktemp("city"), dict.fromkeys(missing))
