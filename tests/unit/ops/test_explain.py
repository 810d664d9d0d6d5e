"""How an entity's elements are explained: source, reports, reasons, and what is said where something is missing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import pytest
from rich.console import Console
from unit.catalogue.elements_city import CITIZENS, SPLIT_PERSON, SPLIT_PUPIL
from unit.catalogue.elements_city import PUPIL as PUPIL_FILE
from unit.catalogue.small_city import PERSON as PERSON_FILE
from unit.catalogue.small_city import write_city
from unit.exchange.test_entity import citizen_id, person, pupil

from govbus.catalogue.check import load
from govbus.catalogue.golden import golden_datasets
from govbus.codec.schemas import record_schema
from govbus.exchange.golden import CompiledGolden
from govbus.kafka.revisions import Revision
from govbus.ops.crosscheck_words import RESULT_WORDS, SEVERITIES, SEVERITY_WORDS, STANDING_WORDS
from govbus.ops.entity_held import HeldReport, UnknownName, compiled_golden, entity_id
from govbus.ops.explain import ElementLine, Explanation, explained
from govbus.ops.explain_console import show_explanation
from govbus.rules.comparison import Result
from govbus.rules.crosscheck import Standing

NOW = 1_800_000_000_000_000
DAY = 86_400_000_000
PERSON, PUPIL = "police.person", "school.pupil"


class Explained:
    """A city and what its two registers hold of one person."""

    def __init__(self, folder: Path, changes: Mapping[str, str] | None = None) -> None:
        files = {name: text for name, text in {**CITIZENS, **(changes or {})}.items() if "consumers" not in name}
        catalogue = load(write_city(folder, files))
        self.catalogue = catalogue.model_copy(update={"asks": {}})
        schemas = {name: record_schema(each.avro) for name, each in catalogue.datasets.items()}
        self.revision = Revision(
            number=4,
            applied_at="",
            catalogue=self.catalogue,
            schema_ids={name: ((number, schemas[name]),) for number, name in enumerate(schemas, 1)},
            view_schema_ids={},
            golden_schema_ids=dict.fromkeys(golden_datasets(catalogue), 100),
            discrepancy_schema_id=101,
            deleted_schema_id=103,
            pseudonym_keys={},
        )
        self.golden: CompiledGolden = compiled_golden(self.revision, "citizen")
        self._schemas = schemas

    def held(self, dataset: str, row: dict[str, Any] | None, changed_at: int = NOW - 300 * DAY) -> HeldReport:
        if row is None:
            return HeldReport(None, None, 0, False, 0)
        bound = self.golden.datasets[self.golden.number_of[dataset]]
        out = io.BytesIO()
        whole = {"_version": 7, "_changed_at": changed_at, **row}
        fastavro.schemaless_writer(out, self._schemas[dataset], whole)
        key = row.get("pupil_id") or f"{row['citizen_id']}\x1f1"
        return HeldReport(bound.said(0, bound.dataset.newest_frame + out.getvalue(), key.encode()), None, 1, False, 0)

    def of(
        self,
        police: dict[str, Any] | None = None,
        school: dict[str, Any] | None = None,
        changed: tuple[int, int] = (NOW - 300 * DAY, NOW - 300 * DAY),
    ) -> Explanation:
        held = [self.held(PERSON, police, changed[0]), self.held(PUPIL, school, changed[1])]
        return explained(self.catalogue, 4, self.golden, citizen_id(1).encode(), held, NOW)


@pytest.fixture
def city(tmp_path: Path) -> Explained:
    return Explained(tmp_path)


def element(found: Explanation, name: str) -> ElementLine:
    return next(each for each in found.elements if each.element == f"citizen.{name}")


def shown(found: Explanation) -> str:
    out = io.StringIO()
    show_explanation(found, Console(file=out, width=300))
    return out.getvalue()


def test_agreement_and_its_source(city: Explained) -> None:
    """Each report stands with its value, version and time; codes with what they mean in the dataset's own list."""
    found = city.of(person(1), pupil(1))
    sex = element(found, "sex")
    assert (sex.value, sex.standing, sex.source) == ("1 男", Standing.AGREED, PERSON)
    source, report = sex.reports
    assert (source.is_source, source.result, source.version) == (True, None, 7)
    assert (report.value, report.result, report.field) == ("M 男", Result.EQUAL, "gender")
    assert found.discrepancies == ()
    assert "没有未结的差异" in shown(found)


def test_discrepancy_is_listed_with_its_beginning(city: Explained) -> None:
    """A report that differs is listed with severity, reason, and the time from which on it counts."""
    found = city.of(person(1), pupil(1, name="李四"), changed=(NOW - 300 * DAY, NOW - 310 * DAY))
    assert element(found, "name").standing is Standing.DISPUTED
    (one,) = found.discrepancies
    assert (one.element, one.dataset, one.severity, one.result) == ("citizen.name", PUPIL, "major", Result.DIFFERENT)
    assert int(one.since.timestamp() * 1_000_000) == NOW - 300 * DAY + 10.5 * DAY
    assert "未结的差异 1 条" in shown(found)


def test_late_report_is_told_until_when(city: Explained) -> None:
    """What lags within its update cycle is no discrepancy, and the answer says until when."""
    found = city.of(person(1), pupil(1, name="李四"), changed=(NOW - DAY, NOW - 9 * DAY))
    report = element(found, "name").reports[1]
    assert report.result is Result.STALE_B
    assert report.until is not None
    assert report.until.timestamp() * 1_000_000 == NOW - DAY + 10.5 * DAY
    assert found.discrepancies == ()
    assert "之前按更新滞后处理" in shown(found)


def test_late_source_is_told_until_when(city: Explained) -> None:
    """Where the source lags behind, its own update cycle counts."""
    found = city.of(person(1), pupil(1, name="李四"), changed=(NOW - 9 * DAY, NOW - DAY))
    report = element(found, "name").reports[1]
    assert (element(found, "name").standing, report.result) == (Standing.STALE, Result.STALE_A)
    assert report.until is not None
    assert report.until.timestamp() * 1_000_000 == NOW - DAY + 1.5 * DAY


def test_source_without_a_record_is_named(city: Explained) -> None:
    """Where the source has no record the value is open, and the answer names the source that is missing."""
    found = city.of(None, pupil(1))
    name = element(found, "name")
    assert (name.value, name.standing, name.source) == (None, Standing.PROVISIONAL, "")
    assert name.note == f"权威来源（{PERSON}）没有该对象的记录"
    assert name.reports[0].reason == "权威来源没有此项的值，无从比对"
    assert "police.person 人口基本信息：没有记录" in shown(found)


def test_empty_field_is_told(city: Explained) -> None:
    """A null is shown as empty, and why it is not compared."""
    found = city.of(person(1), pupil(1, born=None))
    report = element(found, "born").reports[1]
    assert (report.value, report.result, report.reason) == (None, Result.MISSING_B, "该数据集未填此项")
    assert "（空）" in shown(found)


def test_nobody_holds_anything(city: Explained) -> None:
    """Nothing held is an answer of its own, with every dataset that was looked at."""
    found = city.of()
    assert found.elements == ()
    assert "没有任何数据集持有该对象的记录" in shown(found)
    deleted = replace(found, held=tuple(replace(each, deleted=True, waiting=2) for each in found.held))
    assert "记录已删除" in shown(deleted)
    assert "有 2 条已发布的记录尚未交换" in shown(deleted)


def test_split_authority_says_whose_divisions(tmp_path: Path) -> None:
    """Of a split authority it is told that nobody's divisions hold the person, or that two claim him."""
    city = Explained(tmp_path, {PERSON_FILE: SPLIT_PERSON, PUPIL_FILE: SPLIT_PUPIL})
    elsewhere = {"division": "890401", "street": None}
    nobody = element(city.of(person(1, address=elsewhere), pupil(1, division="890401")), "name")
    assert nobody.note.endswith("都不负责该对象所在的区划")
    two = element(city.of(person(1, address={"division": "890101", "street": None}), pupil(1)), "name")
    assert two.standing is Standing.DISPUTED
    assert two.note.startswith("不止一个权威来源")


def test_ids_are_brought_into_their_form(city: Explained) -> None:
    """An id is taken as people write it; what is none is refused without being repeated."""
    text = citizen_id(1)
    assert entity_id(city.revision, "citizen", f" {text[:6]} {text[6:]} ".replace(" ", "")) == text.encode()
    with pytest.raises(UnknownName) as error:
        entity_id(city.revision, "citizen", "12345")
    assert "12345" not in str(error.value)


def test_entity_without_a_source_is_told(city: Explained) -> None:
    """An entity of which nothing is cross-checked cannot be explained, and the message says what is missing."""
    with pytest.raises(UnknownName, match="nothing of enterprise is cross-checked"):
        compiled_golden(city.revision, "enterprise")


def test_every_word_is_said_in_chinese() -> None:
    """No result, standing or severity reaches a clerk as a code word."""
    assert RESULT_WORDS.keys() == set(Result)
    assert STANDING_WORDS.keys() == set(Standing)
    assert set(SEVERITIES) == SEVERITY_WORDS.keys()
