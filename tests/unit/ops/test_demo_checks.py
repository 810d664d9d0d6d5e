"""The demo's table of agreement: rates per dataset and element, and the three elements that are most in dispute."""

from __future__ import annotations

import io

from rich.console import Console

from govbus.ops.demo.figures import CheckRow
from govbus.ops.demo.show import most_disputed, show_checks

NAME, SEX, BORN, SCHOOL = (
    ("citizen.name", "姓名"),
    ("citizen.sex", "性别"),
    ("citizen.born", "出生日期"),
    ("citizen.school", "学校"),
)


def row(of: tuple[str, str], dataset: str, agreeing: int, compared: int, discrepancies: int) -> CheckRow:
    return CheckRow(*of, dataset, agreeing, compared, discrepancies)


ROWS = [
    row(NAME, "school.pupil", 990, 1_000, 8),
    row(NAME, "tax.payer", 1_999, 2_000, 1),
    row(SEX, "school.pupil", 1_000, 1_000, 0),
    row(BORN, "school.pupil", 800, 1_000, 200),
    row(SCHOOL, "tax.payer", 0, 7, 7),
]


def shown(rows: list[CheckRow]) -> str:
    out = io.StringIO()
    show_checks(rows, Console(file=out, width=200))
    return out.getvalue()


def test_three_elements_with_most_discrepancies_stand_last() -> None:
    """Elements are ranked by open discrepancies over all datasets; one without any is never among them."""
    assert [element for element, _, _ in most_disputed(ROWS)] == ["citizen.born", "citizen.name", "citizen.school"]
    assert [element for element, _, _ in most_disputed(ROWS[:3])] == ["citizen.name"]
    lines = shown(ROWS).splitlines()
    assert lines[-3] == "  1. citizen.born 出生日期: 200 open discrepancies, 80.0 % agree"
    assert lines[-2] == "  2. citizen.name 姓名: 9 open discrepancies, 99.6 % agree"


def test_rates_stand_per_dataset_and_element() -> None:
    """Each dataset heads its elements; a rate is rounded down, so that 100 % means all of them."""
    text = shown(ROWS)
    assert [line.split() for line in text.splitlines() if "citizen.name 姓名" in line][:2] == [
        ["citizen.name", "姓名", "1,000", "99.0", "%", "8"],
        ["citizen.name", "姓名", "2,000", "99.9", "%", "1"],
    ]
    assert "100.0 %" in text
    assert text.index("school.pupil") < text.index("tax.payer")


def test_city_without_elements_has_no_table() -> None:
    """Where nothing is compared, nothing is shown."""
    assert shown([]) == ""
