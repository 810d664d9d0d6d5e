"""What `govbus discrepancies` shows: a list for the department's clerks, in Chinese, and one document for a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from govbus.catalogue.disclosure import Side, Silence
from govbus.ops.columns import Cell, show_columns
from govbus.ops.crosscheck_words import SEVERITY_WORDS
from govbus.ops.discrepancies import Listed, Told

SIDE_WORDS: Mapping[Side, str] = {Side.SOURCE: "权威来源", Side.REPORTER: "报送方", Side.BOTH: "双方都是本部门"}

SILENCE_WORDS: Mapping[Silence, str] = {
    Silence.NO_CLEARANCE: "本部门不是使用部门，没有可接收的分级，只能获知以本部门为权威来源的差异",
    Silence.FEW_VALUES: "数据元的分级高于本部门可接收的分级，且取值很少，获知“不一致”就等于获知对方的值",
}

NOT_SHOWN = "·"


def show_discrepancies(found: Listed, console: Console) -> None:
    """Show a clerk the department's open discrepancies, what to look at first, and how much is withheld."""
    _say(console, f"{found.title}（{found.department}）未结的差异：{found.total:,} 条", "bold")
    for each in found.incidents:
        causes = "；".join(each.causes)
        line = f"{each.dataset} 的{each.title}有 {each.different:,} 条不一致（比对 {each.compared:,} 条）：{causes}"
        _say(console, f"请先检查最近一次报送。{line}", "yellow")
    if found.counts:
        console.print()
        counts: list[list[Cell]] = [
            [f"{title} {element}", SEVERITY_WORDS[severity], SIDE_WORDS[side], f"{number:,}"]
            for element, title, severity, side, number in found.counts
        ]
        show_columns(console, ["数据元", "严重程度", "本部门是", "条数"], counts, right=(3,))
    if found.rows:
        console.print()
        show_columns(console, _HEAD, [_row(each) for each in found.rows])
        if len(found.rows) < found.total:
            _say(console, f"以上是其中 {len(found.rows)} 条；--limit 0 列出全部。")
        _say(console, f"“{NOT_SHOWN}”：按授权和分级不予显示。对方的值从不显示。", "dim")
    if found.withheld:
        console.print()
    for reason, number in found.withheld.items():
        _say(console, f"另有 {number:,} 条未列出：{SILENCE_WORDS[reason]}。", "yellow")


_HEAD = ("标识", "数据元", "严重程度", "本部门是", "本部门的数据集", "本部门的值", "对方数据集", "原因", "自")


def _row(each: Told) -> list[Cell]:
    return [
        each.id,
        each.title,
        SEVERITY_WORDS[each.severity],
        SIDE_WORDS[each.side],
        "、".join(dataset for dataset, _ in each.own),
        " / ".join(value for _, value in each.own),
        each.other or ("" if each.side is Side.BOTH else NOT_SHOWN),
        each.reason or NOT_SHOWN,
        each.opened_on.isoformat(),
    ]


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(Text(line, style=style), soft_wrap=True, highlight=False)


def discrepancies_document(found: Listed) -> dict[str, Any]:
    """Return the same for a program, ready for JSON."""
    return {
        "department": found.department,
        "total": found.total,
        "elements": [
            {"element": element, "severity": severity, "side": side.value, "open": number}
            for element, _, severity, side, number in found.counts
        ],
        "incidents": [
            {
                "element": each.element,
                "dataset": each.dataset,
                "different": each.different,
                "compared": each.compared,
                "causes": list(each.causes),
            }
            for each in found.incidents
        ],
        "discrepancies": [
            {
                "entity": each.entity,
                "id": each.id,
                "element": each.element,
                "title": each.title,
                "severity": each.severity,
                "side": each.side.value,
                "own": [{"dataset": dataset, "value": value} for dataset, value in each.own],
                "other_dataset": each.other or None,
                "reason": each.reason or None,
                "opened_on": each.opened_on.isoformat(),
            }
            for each in found.rows
        ],
        "withheld": {reason.value: number for reason, number in found.withheld.items()},
    }
