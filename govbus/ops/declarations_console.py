"""What `govbus check`, `plan` and `apply` show, for a person at a terminal or in a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from govbus.catalogue.change import Change
from govbus.catalogue.check import Checked
from govbus.catalogue.plan import Plan
from govbus.catalogue.plan_views import RowChange, ViewChange
from govbus.catalogue.suggest import Suggestion
from govbus.errors import Fault
from govbus.kafka.revisions import Revision
from govbus.ops.apply import Applied

_SHOWN_NAMES = 12
"""Names written out in one line before the rest is only counted."""

_COLOURS = {"+": "green", "-": "red", "~": "yellow", "!": "magenta"}


def show_checked(checked: Checked, console: Console) -> None:
    """Show the warnings, and what the catalogue holds. Faults are the command's error, not its output."""
    show_warnings(checked.warnings, console)
    catalogue = checked.catalogue
    if catalogue is not None:
        fields = sum(len(dataset.fields) for dataset in catalogue.datasets.values())
        _say(
            console,
            f"{catalogue.city.title}: {_count(len(catalogue.departments), 'department')}, "
            f"{_count(len(catalogue.datasets), 'dataset')} with {_count(fields, 'field')}, "
            f"{_count(len(catalogue.subscribers), 'subscriber')}, {_count(len(catalogue.asks), 'ask')}: no fault"
            + (f", {_count(len(checked.warnings), 'warning')}" if checked.warnings else ""),
        )


def show_warnings(warnings: Sequence[Fault], console: Console) -> None:
    """Show each warning as file, line and message."""
    for warning in warnings:
        _say(console, f"warning: {warning}", "yellow")


def show_suggestions(suggestions: Sequence[Suggestion], console: Console) -> None:
    """Show which fields look like one fact and are not compared, and per file what to add. None of it is a fault."""
    for each in suggestions:
        words = "looks like" if len(each.fields) == 1 else "look like"
        what = each.element if each.is_declared else f"one fact, {each.element}, that is not declared"
        fields = [f"{field.name} ({field.document.file}:{field.line})" for field in each.fields[:_SHOWN_NAMES]]
        more = f" and {len(each.fields) - len(fields)} more" if len(each.fields) > len(fields) else ""
        _say(console, f"suggestion: {', '.join(fields)}{more} {words} {what}; if so, add:", "cyan")
        for file, part, entry in each.add[: _SHOWN_NAMES + 2]:
            _say(console, f"    {file}, {part}: {_shown(entry)[1:-1]}")
        if not each.is_declared:
            _say(console, "    and authoritative: true to the field of the department that is its source")
    _say(console, f"{_count(len(suggestions), 'suggestion')}; whether two fields mean the same is for people to say")


def show_plan(plan: Plan, revision: Revision | None, console: Console) -> None:
    """Show what `apply` would change, the subscribers first."""
    if revision is None:
        _say(console, "Nothing is applied yet: this is the first revision.")
    else:
        _say(console, f"Against revision {revision.number} of {revision.applied_at}:")
    if plan.is_empty:
        _say(console, "no difference; apply would change nothing")
    for mark, line in _lines(plan):
        _say(console, f"{mark} {line}", _COLOURS.get(mark, ""))
    for withheld in plan.withheld:
        _say(console, f"! {withheld.view}: nothing is delivered ({withheld.reason})", _COLOURS["!"])


def show_applied(applied: Applied, console: Console) -> None:
    """Show what `apply` did."""
    if applied.topics_created:
        _say(console, f"topics made: {_names(applied.topics_created)}")
    for each in applied.altered:
        _say(console, f"topic {each.topic}: {each.setting} was {each.before or 'unset'}, is {each.after}")
    for name in applied.keys_made:
        _say(console, f"pseudonym key made: {name}; back up the secrets folder, nothing can make it again")
    if applied.written:
        _say(console, f"revision {applied.revision.number} is in force ({applied.revision.sha256[:12]})", "green")
    else:
        _say(console, f"revision {applied.revision.number} was in force already; nothing changed", "green")


class Doing:
    """A progress bar per kind of work, for `apply`'s *doing*."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Doing:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, what: str, done: int, of: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=of)
        self._progress.update(self._tasks[what], completed=done, total=of)


def _lines(plan: Plan) -> Iterator[tuple[str, str]]:
    for setting, change in plan.city:
        yield "~", f"city.yaml {setting}: {_shown(change.before)} becomes {_shown(change.after)}"
    for mark, word, names in (
        ("+", "dataset", plan.datasets_added),
        ("-", "dataset", plan.datasets_removed),
        ("+", "ask", plan.asks_added),
        ("-", "ask", plan.asks_ended),
    ):
        if names:
            yield mark, f"{_count(len(names), word)}: {_names(names)}"
    for schema in plan.schemas:
        for mark, word, paths in (("+", "gains", schema.added), ("-", "loses", schema.removed)):
            if paths:
                yield mark, f"schema of {schema.dataset} {word} {', '.join(paths)}"
        yield from (("~", f"schema of {schema.dataset} changes {path}") for path in schema.changed)
    yield from _element_lines(plan)
    for view in plan.views:
        yield from _view_lines(view)
    for ask, change in plan.deliveries:
        yield "~", f"{ask} is delivered to {_shown(change.after)}, before to {_shown(change.before)}"
    for name in plan.pseudonym_keys:
        yield "~", f"pseudonym key {name} was replaced: everything sent under the old one is withdrawn and sent again"
    yield from (("~", each) for each in plan.other)
    rooms = Counter(_room(topic) for topic in plan.topics_created)
    if rooms:
        words = ", ".join(f"{count} {room}" for room, count in sorted(rooms.items()))
        yield "+", f"{_count(len(plan.topics_created), 'topic')}: {words}"
    if plan.subjects:
        yield "+", f"{_count(len(plan.subjects), 'registry subject')} with a new schema: {_names(plan.subjects)}"
    if plan.topics_left:
        yield "-", f"no longer used, and left to be emptied: {_names(plan.topics_left)}"


def _element_lines(plan: Plan) -> Iterator[tuple[str, str]]:
    for element in plan.elements:
        if element.kind != "changed":
            yield ("+", f"element {element.element}") if element.kind == "new" else ("-", f"element {element.element}")
        for word, change in element.changes:
            yield "~", f"element {element.element} {word}: {_shown(change.before)} becomes {_shown(change.after)}"
    for authority in plan.authorities:
        before, after = ", ".join(authority.before), ", ".join(authority.after)
        if not before or not after:
            mark, words = ("+", f"lies with {after}") if after else ("-", f"no longer lies with {before}")
            yield mark, f"一数一源: authority over {authority.element} {words}"
        else:
            yield "~", f"一数一源: authority over {authority.element} goes from {before} to {after}"
    for report in plan.reports:
        yield from (("+", f"{report.element} is compared with {field} too") for field in report.gained)
        yield from (("-", f"{report.element} is no longer compared with {field}") for field in report.lost)
    for golden in plan.golden:
        if golden.kind == "ended":
            yield "-", f"{golden.view} is no longer kept: {', '.join(golden.lost)}"
            continue
        if golden.gained:
            word = "is kept from now on" if golden.kind == "new" else "gains"
            yield "+", f"{golden.view} {word}{':' if golden.kind == 'new' else ''} {', '.join(golden.gained)}"
        if golden.lost:
            yield "-", f"{golden.view} loses {', '.join(golden.lost)}"
        if golden.changed:
            yield "~", f"{golden.view} has other types of {', '.join(golden.changed)}"


def _room(topic: str) -> str:
    return next((word for word in topic.split(".") if word in ("raw", "current", "share", "reject", "bus")), topic)


def _view_lines(view: ViewChange) -> Iterator[tuple[str, str]]:
    what = view.view
    match view.kind:
        case "new" | "released" if view.gained:
            word = "receives" if view.kind == "new" else "receives again"
            yield "+", f"{what} {word} {', '.join(_field(path, mask) for path, mask in view.gained)}"
        case "ended" | "withheld" if view.lost:
            why = f" ({view.reason})" if view.reason else " (the ask has ended)"
            yield "-", f"{what} loses everything{why}: {', '.join(view.lost)}"
        case "changed":
            if view.gained:
                yield "+", f"{what} gains {', '.join(_field(path, mask) for path, mask in view.gained)}"
            if view.lost:
                yield "-", f"{what} loses {', '.join(view.lost)}"
            for path, change in view.masks:
                yield "~", f"{what} {path}: {_shown(change.before)} becomes {_shown(change.after)}"
    of_sources = ((f"grant of {source}", rows) for source, rows in view.source_rows)
    for whose, rows in (("grant", view.grant_rows), ("ask", view.ask_rows), *of_sources):
        if rows is not None:
            yield _row_line(view, whose, rows)
    if view.until is not None and view.kind == "changed":
        yield "~", f"{what} until {view.until.after}, before {view.until.before}"
    if view.key_in_clear is not None:
        yield "~", f"{what} keys are {'in clear' if view.key_in_clear.after else 'pseudonyms'}"


def _row_line(view: ViewChange, whose: str, rows: RowChange) -> tuple[str, str]:
    if view.kind != "changed":
        return "+", f"{view.view} only rows where {_shown(rows.after)} ({whose})"
    mark, words = {
        "wider": ("+", "gains rows"),
        "narrower": ("-", "loses rows"),
        "different": ("~", "other rows"),
        "same": ("~", "keeps its rows"),
    }[rows.rows]
    before, after = (_shown(each) if each is not None else "all rows" for each in (rows.before, rows.after))
    return mark, f"{view.view} {words}: {before} becomes {after} ({whose})"


def _field(path: str, mask: Any) -> str:
    return path if mask == "pass" else f"{path} as {_shown(mask)}"


def _shown(declared: Any) -> str:
    """Return a declared value in one line, as YAML would have it."""
    if isinstance(declared, Change):
        return f"{_shown(declared.before)} -> {_shown(declared.after)}"
    if not isinstance(declared, dict | list):
        return str(declared)
    return str(
        yaml.safe_dump(declared, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False)
    ).strip()


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_NAMES])
    return shown if len(names) <= _SHOWN_NAMES else f"{shown} and {len(names) - _SHOWN_NAMES} more"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(Text(line, style=style), soft_wrap=True, highlight=False)
