"""What `govbus status` shows: tables for a person, one document for a program."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.text import Text

from govbus.catalogue.golden import bindings
from govbus.ops.columns import Cell, show_columns
from govbus.ops.status import FLOWING, AskStatus, DatasetStatus, Status
from govbus.rules.share import CHINA_STANDARD_TIME

_COLOURS = {
    FLOWING: "green",
    "waiting": "yellow",
    "being sent": "yellow",
    "nothing yet": "yellow",
    "not sent": "yellow",
}


def selected(status: Status, department: str, subscriber: str) -> Status:
    """Return *status* of one department's datasets and one subscriber's asks only; empty texts select all."""
    datasets = status.datasets
    asks = status.asks
    if department:
        datasets = tuple(each for each in datasets if each.facts.dataset.partition(".")[0] == department)
        asks = tuple(each for each in asks if each.dataset.partition(".")[0] == department)
    if subscriber:
        asks = tuple(each for each in asks if each.ask.partition(".")[0] == subscriber)
        wanted = {each.dataset for each in asks}
        datasets = tuple(each for each in datasets if each.facts.dataset in wanted)
    return Status(status.facts, datasets, asks)


def show_status(status: Status, console: Console) -> None:
    """Show everything: processes, datasets, asks, what ends soon, and what does not flow."""
    facts = status.facts
    city = facts.catalogue.city
    _say(console, f"{city.title} ({city.city}), catalogue revision {facts.revision} of {_local_text(facts.applied_at)}")
    _processes(status, console)
    _datasets(status, console)
    _asks(status, console)
    console.print()
    _ends_soon(status, console)
    for department, number in status.rejects.items():
        _say(console, f"{department}: {number:,} rejects are kept; see `govbus rejects {department}`")
    for department, number in status.discrepancies.items():
        what = "1 open discrepancy" if number == 1 else f"{number:,} open discrepancies"
        _say(console, f"{department}: {what} with the sources; see `govbus discrepancies {department}`")
    _closing(status, console)


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(Text(line, style=style), soft_wrap=True, highlight=False)


def _processes(status: Status, console: Console) -> None:
    if not status.facts.processes:
        _say(console, "No process of the bus has noted itself on this machine (others are not seen).")
        return
    rows: list[list[Cell]] = [
        [each.name, each.address, Text(each.says, style="green" if each.says == "ready" else "yellow")]
        for each in status.facts.processes
    ]
    console.print()
    show_columns(console, ["process", "metrics at", "says"], rows)


def _datasets(status: Status, console: Console) -> None:
    head = ["published by", "state", "changed", "looked at", "waiting", "delay p50/p99", "rejects", "differ"]
    rows: list[list[Cell]] = []
    before = ""
    catalogue = status.facts.catalogue
    compared = {each.dataset for entity in catalogue.vocabulary.entities for each in bindings(catalogue, entity)}
    for each in status.datasets:
        facts, delay, now = each.facts, each.facts.delay, status.facts.now
        department, _, dataset = facts.dataset.partition(".")
        if department != before:
            title = status.facts.catalogue.departments[department].title
            rows.append([Text(f"{department} {title}", style="cyan")])
            before = department
        waiting = f"{facts.unread:,} for {each.behind_seconds:.1f} s" if facts.unread else "0"
        rows.append(
            [
                f"  {dataset}",
                _state(each.state),
                _ago(facts.newest_at, now),
                _ago(max((poll.at for poll in facts.polls), default=None), now),
                waiting,
                "" if delay is None else f"{delay.p50_seconds:.2f} / {delay.p99_seconds:.2f} s",
                f"{facts.rejects:,}",
                f"{facts.discrepancies:,}" if facts.dataset in compared else "",
            ]
        )
    console.print()
    show_columns(console, head, rows, right=(4, 5, 6, 7))


def _asks(status: Status, console: Console) -> None:
    head = ["received by", "state", "not delivered yet", "last day"]
    rows: list[list[Cell]] = []
    before = ""
    for each in status.asks:
        if each.ask != before:
            title = status.facts.catalogue.asks[each.ask].title
            rows.append([Text(f"{each.ask} {title} ({each.delivery})", style="cyan")])
            before = each.ask
        last_day = "" if each.ends_at is None else _last_day(each.ends_at)
        rows.append(
            [
                f"  {each.dataset}",
                _state(each.state),
                _undelivered(each),
                Text(last_day, style="yellow" if each.ends_soon else ""),
            ]
        )
    console.print()
    show_columns(console, head, rows, right=(2,))


def _undelivered(each: AskStatus) -> str:
    if each.facts is None:
        return ""
    if each.delivery == "topic":
        return "reads Kafka itself"
    return "no sink yet" if each.facts.undelivered is None else f"{each.facts.undelivered:,}"


def _ends_soon(status: Status, console: Console) -> None:
    for each in status.asks:
        if each.ends_soon and each.ends_at is not None:
            days = (each.ends_at - status.facts.now).days
            _say(
                console,
                f"{each.ask} receives {each.dataset} for {days} more days; the last day is {_last_day(each.ends_at)}",
                "yellow",
            )


def _closing(status: Status, console: Console) -> None:
    """Name everything that does not flow, once per reason."""
    why: dict[str, list[str]] = {}
    for dataset in status.datasets:
        if dataset.state != FLOWING:
            since = "" if dataset.since is None else f" since {_local(dataset.since)}"
            why.setdefault(_reason(dataset.state + since, dataset.why), []).append(dataset.facts.dataset)
    for ask in status.asks:
        if ask.state != FLOWING:
            why.setdefault(_reason(ask.state, ask.why), []).append(f"{ask.ask} of {ask.dataset}")
    if not why:
        _say(console, "All data flows.", "bold green")
        return
    _say(console, "Not flowing:", "bold yellow")
    for reason, names in why.items():
        _say(console, f"  {reason}", "yellow")
        for name in names:
            _say(console, f"    {name}")


def _reason(state: str, why: str) -> str:
    return f"{state}: {why}" if why else state


def _state(state: str) -> Text:
    return Text(state, style=_COLOURS.get(state, "red"))


def _ago(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "never"
    seconds = max(0.0, (now - at).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _last_day(ends_at: datetime) -> str:
    return (ends_at.astimezone(CHINA_STANDARD_TIME) - timedelta(days=1)).date().isoformat()


def _local(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _local_text(iso: str) -> str:
    return _local(datetime.fromisoformat(iso))


def status_document(status: Status) -> dict[str, Any]:
    """Return the same for a program, ready for JSON. Times are ISO 8601 in UTC."""
    facts = status.facts
    return {
        "now": facts.now.isoformat(),
        "revision": facts.revision,
        "applied_at": facts.applied_at,
        "processes": [
            {"name": each.name, "part": each.component, "address": each.address, "says": each.says}
            for each in facts.processes
        ],
        "datasets": [_dataset_document(each) for each in status.datasets],
        "asks": [_ask_document(each) for each in status.asks],
        "rejects": status.rejects,
    }


def _dataset_document(each: DatasetStatus) -> dict[str, Any]:
    facts, delay = each.facts, each.facts.delay
    return {
        "dataset": facts.dataset,
        "title": facts.title,
        "state": each.state,
        "since": _iso(each.since),
        "why": each.why,
        "last_change_at": _iso(facts.newest_at),
        "polls": [
            {"source": poll.source, "at": _iso(poll.at), "held": poll.held, "rejected": poll.rejected}
            for poll in facts.polls
        ],
        "waiting_records": facts.unread,
        "behind_seconds": round(each.behind_seconds, 3),
        "delay_seconds": None if delay is None else {"p50": delay.p50_seconds, "p99": delay.p99_seconds},
        "rejects": facts.rejects,
        "open_discrepancies": facts.discrepancies,
    }


def _ask_document(each: AskStatus) -> dict[str, Any]:
    facts = each.facts
    return {
        "ask": each.ask,
        "dataset": each.dataset,
        "delivery": each.delivery,
        "state": each.state,
        "why": each.why,
        "undelivered_offsets": None if facts is None else facts.undelivered,
        "ends_at": _iso(each.ends_at),
        "ends_soon": each.ends_soon,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
