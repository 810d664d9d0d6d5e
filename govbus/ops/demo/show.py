"""The demo's closing tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from govbus.ops.columns import Cell, show_columns
from govbus.ops.demo.examples import FIRST, SECOND, Example, Examples
from govbus.ops.demo.figures import AskRow, CheckRow, DatasetRow, reasons
from govbus.rules.mask import Drop, Pass

NOT_DELIVERED = "·"


def show_datasets(rows: list[DatasetRow], console: Console) -> None:
    """Show what departments published and what was refused of it, by reason."""
    _title(console, "What departments published")
    table: list[list[Cell]] = []
    for row in rows:
        by_bus = f"{reasons(row.rejected_by_bus)} (by the bus)" if row.rejected_by_bus else ""
        by_adapter = f"{reasons(row.refused_by_adapter)} (before publishing)" if row.refused_by_adapter else ""
        table.append(
            [
                row.dataset,
                f"{row.published:,}",
                f"{row.accepted:,}",
                f"{row.duplicate:,}",
                f"{row.stale:,}",
                "; ".join(filter(None, (by_adapter, by_bus))) or "0",
            ]
        )
    totals = [sum(getattr(row, name) for row in rows) for name in ("published", "accepted", "duplicate", "stale")]
    refused = sum(row.refused_by_adapter.total() + row.rejected_by_bus.total() for row in rows)
    table.append([_bold("all"), *(_bold(f"{each:,}") for each in totals), _bold(f"{refused:,}")])
    head = ["dataset", "events in", "accepted", "duplicate", "stale", "rejected"]
    show_columns(console, head, table, right=(1, 2, 3, 4))


def show_asks(rows: list[AskRow], console: Console) -> None:
    """Show what subscribers hold and what was sent to them."""
    _title(console, "What subscribers received")
    table: list[list[Cell]] = []
    before = ""
    for row in rows:
        if row.ask != before:
            table.append([Text(row.ask, style="cyan")])
            before = row.ask
        figures = (row.held, row.upserted, row.retracted, row.unchanged, row.withheld)
        table.append([f"  {row.dataset}", *(f"{each:,}" for each in figures), row.held_in])
    head = ["ask and dataset", "rows held", "upserts", "retractions", "nothing to send", "withheld", "held, counted in"]
    show_columns(console, head, table, right=(1, 2, 3, 4, 5))
    console.print(
        "Withheld: accepted records that a row condition kept back. Nothing to send: the change touched no granted "
        "field.",
        style="dim",
        soft_wrap=True,
    )


def show_checks(rows: list[CheckRow], console: Console) -> None:
    """Show how copies of one fact agree with its source, and the three elements that are most in dispute."""
    if not rows:
        return
    _title(console, "How copies of one fact agree with its source (一数一源)")
    table: list[list[Cell]] = []
    before = ""
    for row in sorted(rows, key=lambda each: each.dataset):
        if row.dataset != before:
            table.append([Text(row.dataset, style="cyan")])
            before = row.dataset
        agreeing = _percent(row.agreeing, row.compared)
        table.append([f"  {row.element} {row.title}", f"{row.compared:,}", agreeing, f"{row.open:,}"])
    show_columns(console, ["dataset and element", "compared", "agree", "discrepancies"], table, right=(1, 2, 3))
    worst = most_disputed(rows)
    if worst:
        console.print("Most in dispute", style="bold")
    for number, (element, title, of_element) in enumerate(worst, start=1):
        total, share = sum(each.open for each in of_element), _percent(*_agreement(of_element))
        what = "discrepancy" if total == 1 else "discrepancies"
        line = f"  {number}. {element} {title}: {total:,} open {what}, {share} agree"
        console.print(line, highlight=False, soft_wrap=True)


def most_disputed(rows: Iterable[CheckRow]) -> list[tuple[str, str, list[CheckRow]]]:
    """Return the up to three elements with the most open discrepancies over all datasets, the worst first."""
    by_element: dict[tuple[str, str], list[CheckRow]] = {}
    for row in rows:
        by_element.setdefault((row.element, row.title), []).append(row)
    ranked = sorted(by_element.items(), key=lambda each: (-sum(row.open for row in each[1]), each[0]))
    return [(*of, found) for of, found in ranked if any(row.open for row in found)][:3]


def _agreement(rows: list[CheckRow]) -> tuple[int, int]:
    return sum(each.agreeing for each in rows), sum(each.compared for each in rows)


def _percent(part: int, whole: int) -> str:
    # Rounded down: 100 % is said only where everything agrees.
    return f"{part * 1000 // whole / 10:.1f} %"


def show_delays(delays: Mapping[str, tuple[float, float] | None], console: Console) -> None:
    """Show p50 and p99 per phase of the demo."""
    _title(console, "Delay from publish to the subscribers' topics")
    rows: list[list[Cell]] = [
        [phase, f"{found[0] * 1000:,.0f} ms", f"{found[1] * 1000:,.0f} ms"]
        for phase, found in delays.items()
        if found is not None
    ]
    show_columns(console, ["", "p50", "p99"], rows, right=(1, 2))


def show_examples(examples: Examples, told: list[Example], console: Console) -> None:
    """Show each person field by field: at the source, and as both subscribers see it."""
    _title(console, "Three people, at the source and as two subscribers see them (a fictional city: nobody is meant)")
    shown = [
        path
        for path in examples.dataset.fields
        if path in examples.first.masks or path in examples.second.masks or path in ("household_address", "phone")
    ]
    rows: list[list[Cell]] = []
    for number, example in enumerate(told, start=1):
        rows.append([Text(f"{number}. {example.story}", style="cyan")])
        for path in shown:
            rows.append(
                [
                    f"  {path} {examples.dataset.fields[path].title}",
                    _value(example.source, path, delivered=True),
                    _masked(example.first, path, examples.first.masks),
                    _masked(example.second, path, examples.second.masks),
                ]
            )
    show_columns(console, ["field", "at the source", FIRST, SECOND], rows)


def _masked(row: Mapping[str, Any] | None, path: str, masks: Mapping[str, object]) -> Text:
    mask = masks.get(path, Drop())
    text = _value(row, path, delivered=not isinstance(mask, Drop))
    return Text(text, style="" if isinstance(mask, Pass) else "dim" if isinstance(mask, Drop) else "yellow")


def _value(row: Mapping[str, Any] | None, path: str, *, delivered: bool) -> str:
    if row is None:
        return "no row"
    if not delivered:
        return NOT_DELIVERED
    value = row.get(path)
    return "" if value is None else str(value)


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"), soft_wrap=True)


def _bold(text: str) -> Text:
    return Text(text, style="bold")
