"""What `govbus explain` shows: lines for a person, in Chinese, and one document for a program."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from govbus.ops.columns import Cell, show_columns
from govbus.ops.crosscheck_words import RESULT_WORDS, SEVERITY_WORDS, STANDING_WORDS
from govbus.ops.explain import Explanation, ReportLine
from govbus.rules.comparison import Result
from govbus.rules.crosscheck import AGREEING, OPENING, Standing
from govbus.rules.share import CHINA_STANDARD_TIME

NULL = "（空）"


def show_explanation(found: Explanation, console: Console) -> None:
    """Show a person what is known: per element the source's value and standing, every report, and the discrepancies."""
    say = f"{found.title} {found.id}（{found.entity}，目录版本 {found.revision}，{_local(found.now)}）"
    _say(console, say, "bold")
    if not found.elements:
        _say(console, "总线上没有任何数据集持有该对象的记录。")
        _others(found, console)
        return
    rows: list[list[Cell]] = []
    for element in found.elements:
        standing = STANDING_WORDS[element.standing]
        head = Text(f"{element.title} {element.element}  ", style="cyan")
        head.append(standing, style="red" if element.standing is Standing.DISPUTED else "")
        if element.note:
            head.append(f"：{element.note}")
        rows.append([head])
        for report in sorted(element.reports, key=lambda each: not each.is_source):
            rows.append(
                [
                    f"  {report.dataset}",
                    NULL if report.value is None else report.value,
                    str(report.version),
                    _local(report.changed_at),
                    _verdict(report),
                ]
            )
    console.print()
    show_columns(console, ["数据集", "值", "版本", "变更时间", "比对"], rows)
    console.print()
    _discrepancies(found, console)
    _others(found, console)


def _verdict(report: ReportLine) -> Text:
    if report.is_source or report.result is None:
        return Text("权威来源", style="bold")
    word = RESULT_WORDS[report.result]
    text = word if not report.reason or report.reason == word else f"{word}：{report.reason}"
    if report.until is not None:
        text += f"；{_local(report.until)} 之前按更新滞后处理"
    return Text(text, style=_colour(report.result))


def _colour(result: Result) -> str:
    return "green" if result in AGREEING else "red" if result in OPENING else "yellow"


def _discrepancies(found: Explanation, console: Console) -> None:
    if not found.discrepancies:
        _say(console, "没有未结的差异。", "green")
        return
    _say(console, f"未结的差异 {len(found.discrepancies)} 条：", "bold")
    rows: list[list[Cell]] = [
        [f"{each.title} {each.element}", each.dataset, SEVERITY_WORDS[each.severity], each.reason, _local(each.since)]
        for each in found.discrepancies
    ]
    show_columns(console, ["数据元", "报送的数据集", "严重程度", "原因", "自"], rows, indent=2)


def _others(found: Explanation, console: Console) -> None:
    """Name the datasets that say nothing, and what has not been looked at yet."""
    for each in found.held:
        if each.waiting:
            _say(console, f"{each.dataset}：有 {each.waiting} 条已发布的记录尚未交换", "yellow")
        if each.deleted:
            _say(console, f"{each.dataset} {each.title}：记录已删除", "dim")
        elif not each.live:
            _say(console, f"{each.dataset} {each.title}：没有记录", "dim")
        elif each.live > 1:
            _say(console, f"{each.dataset} {each.title}：有 {each.live} 条记录，以最新的一条为准", "dim")


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(Text(line, style=style), soft_wrap=True, highlight=False)


def _local(at: datetime) -> str:
    return at.astimezone(CHINA_STANDARD_TIME).strftime("%Y-%m-%d %H:%M:%S")


def explanation_document(found: Explanation) -> dict[str, Any]:
    """Return the same for a program, ready for JSON. Times are ISO 8601 in UTC."""
    return {
        "entity": found.entity,
        "id": found.id,
        "now": found.now.isoformat(),
        "revision": found.revision,
        "held": [
            {"dataset": each.dataset, "records": each.live, "deleted": each.deleted, "waiting": each.waiting}
            for each in found.held
        ],
        "elements": [
            {
                "element": each.element,
                "title": each.title,
                "severity": each.severity,
                "standing": each.standing.value,
                "source": each.source,
                "value": each.value,
                "note": each.note,
                "reports": [_report_document(report) for report in each.reports],
            }
            for each in found.elements
        ],
        "discrepancies": [
            {
                "element": each.element,
                "dataset": each.dataset,
                "severity": each.severity,
                "result": each.result.value,
                "reason": each.reason,
                "since": each.since.isoformat(),
            }
            for each in found.discrepancies
        ],
    }


def _report_document(report: ReportLine) -> dict[str, Any]:
    return {
        "dataset": report.dataset,
        "field": report.field,
        "value": report.value,
        "version": report.version,
        "changed_at": report.changed_at.isoformat(),
        "is_source": report.is_source,
        "result": None if report.result is None else report.result.value,
        "reason": report.reason,
        "late_until": None if report.until is None else report.until.isoformat(),
    }
