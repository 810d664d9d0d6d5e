"""What `govbus rejects` shows a person: the reasons with what to do, the newest rejects, one record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from govbus.ops.columns import Cell, show_columns
from govbus.ops.rejects import Filter, Reject, Rejects, RejectTopic, Report
from govbus.ops.rejects_resend import Resent, export, resend
from govbus.rules.reject import remedy, why


def list_rejects(topic: RejectTopic, wanted: Filter, limit: int, console: Console, as_json: bool) -> None:
    """Count and list what *wanted* takes."""
    with _progress(console, "reading rejects") as report:
        found = topic.overview(wanted, limit, report)
    if as_json:
        _print_json(overview_document(found), console)
    else:
        show_overview(found, console)


def show_reject(topic: RejectTopic, number: str, console: Console, as_json: bool) -> None:
    """Show the reject with this number, its record included."""
    reject = topic.one(number)
    if as_json:
        _print_json(topic.document(reject), console)
    else:
        show_one(reject, topic.document(reject), console)


def export_rejects(topic: RejectTopic, file: Path, wanted: Filter, console: Console) -> None:
    """Write the rejects that *wanted* takes to *file* and say how to go on."""
    with _progress(console, "reading rejects") as report:
        written, superseded = export(topic, file, wanted, report)
    console.print(f"{written} rejects in {file}, readable for you alone: it holds records.", highlight=False)
    if superseded:
        console.print(f'{superseded} of them have a newer state since ("superseded": true): nothing to do about these.')
    console.print(
        "Correct the values under `record`, delete the lines that need nothing, then: "
        f"govbus rejects {topic.department} --resend {file}",
        highlight=False,
        soft_wrap=True,
    )


def resend_rejects(topic: RejectTopic, file: Path, overwrite: bool, console: Console) -> bool:
    """Publish the lines of *file*; return whether every line could be sent."""
    with _progress(console, "checking and sending") as report:
        found = resend(topic, file, overwrite=overwrite, report=report)
    show_resent(found, console)
    return not found.faults


@contextmanager
def _progress(console: Console, doing: str) -> Iterator[Report]:
    """Yield what shows a bar while *doing* takes long enough to be seen; it leaves nothing behind."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _print_json(document: object, console: Console) -> None:
    console.print(json.dumps(document, ensure_ascii=False, indent=2), highlight=False, markup=False, soft_wrap=True)


def show_overview(found: Rejects, console: Console) -> None:
    """Show counts by reason, what to do about each reason, and the newest rejects."""
    if not found.total:
        console.print(f"{found.department} has no rejects.", highlight=False)
        return
    console.print(f"Rejects of {found.department}: {found.total:,}", style="bold", highlight=False)
    counts: list[list[Cell]] = [
        [
            group.dataset,
            Text(why(group.reason, group.rule), style="red"),
            group.field,
            f"{group.times:,}",
            _local(group.last_at),
        ]
        for group in found.groups
    ]
    show_columns(console, ["dataset", "reason", "field", "rejects", "last one"], counts, right=(3,))
    console.print()
    for each in dict.fromkeys((group.reason, group.rule) for group in found.groups):
        console.print(f"{why(*each)}: {remedy(*each)}", highlight=False, markup=False, soft_wrap=True)
    if found.newest:
        console.print()
        console.print(f"The newest {len(found.newest)}", style="bold", highlight=False)
        _newest(found, console)
    console.print()
    command = f"govbus rejects {found.department}"
    steps = [
        ["look at one, with its record", f"{command} --show NO"],
        ["take them out to correct them", f"{command} --export FILE"],
        ["publish what was corrected", f"{command} --resend FILE"],
    ]
    show_columns(console, ["how to go on", ""], steps)


def _newest(found: Rejects, console: Console) -> None:
    rows: list[list[Cell]] = []
    for each in found.newest:
        place = f"{each.place[0]}/{each.place[1]}"
        taken = "a newer state was taken: nothing to do" if each.superseded else ""
        reason = why(each.reason, each.rule)
        rows.append([each.number, _local(each.at), each.dataset, reason, each.field, place, taken])
    head = ["no", "when", "dataset", "reason", "field", "published as partition/offset", "since then"]
    show_columns(console, head, rows)


def overview_document(found: Rejects) -> dict[str, Any]:
    """Return the same for a program, ready for JSON; no record is in it."""
    return {
        "department": found.department,
        "total": found.total,
        "reasons": [
            {
                "dataset": group.dataset,
                "reason": group.reason,
                "field": group.field,
                "rule": group.rule,
                "times": group.times,
                "last_at": group.last_at.isoformat(),
                "what_to_do": remedy(group.reason, group.rule),
            }
            for group in found.groups
        ],
        "newest": [
            {
                "no": each.number,
                "at": each.at.isoformat(),
                "dataset": each.dataset,
                "reason": each.reason,
                "field": each.field,
                "rule": each.rule,
                "published": {"partition": each.place[0], "offset": each.place[1]},
                "superseded": each.superseded,
            }
            for each in found.newest
        ],
    }


def show_one(reject: Reject, document: dict[str, Any], console: Console) -> None:
    """Show one reject with its record: to the terminal of the department whose record it is."""
    field = f", field [bold]{reject.field}[/]" if reject.field else ""
    reason = why(reject.reason, reject.rule)
    console.print(f"{reject.number}  {reject.dataset}  {_local(reject.at)}  [red]{reason}[/]{field}", highlight=False)
    console.print(f"What to do: {reject.what_to_do}", highlight=False, markup=False, soft_wrap=True)
    if reject.superseded:
        console.print("A newer state of this key was published and taken since: nothing needs to be done.")
    match document["operation"]:
        case "delete":
            console.print(f"A deletion of the key {document['key']}.", highlight=False, markup=False)
        case "unreadable" if "bytes" in document:
            console.print("The value is not readable; its bytes in Base64:", highlight=False)
            console.print(document["bytes"], highlight=False, markup=False, soft_wrap=True)
        case "unreadable":
            console.print(f"The value was too large to keep: {document['size_bytes']} bytes.", highlight=False)
        case _:
            text = json.dumps(document["record"], ensure_ascii=False, indent=2)
            console.print(text, highlight=False, markup=False, soft_wrap=True)


def show_resent(found: Resent, console: Console) -> None:
    """Show what became of the lines of a file."""
    console.print(f"{found.sent} {'line' if found.sent == 1 else 'lines'} sent.", highlight=False)
    if found.superseded:
        lines = ", ".join(map(str, found.superseded))
        console.print(
            f"Not sent, because a newer state of the same key was taken since (--overwrite sends them): line {lines}",
            highlight=False,
            soft_wrap=True,
        )
    for fault in found.faults:
        console.print(f"Not sent, line {fault.line}: {fault.reason}", highlight=False, markup=False, soft_wrap=True)
    if found.faults:
        console.print(
            "Correct these lines and send the file again: what was sent does no harm a second time.", soft_wrap=True
        )


def _local(at: Any) -> str:
    return str(at.astimezone().strftime("%Y-%m-%d %H:%M:%S"))
