"""What `govbus status` shows: tables for a person, one document for a program."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

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
    """Show everything: processes, datasets, asks, what ends soon, and one closing line."""
    facts = status.facts
    city = facts.catalogue.city
    console.print(
        f"{city.title} ({city.city}), catalogue revision {facts.revision} applied at {_local_text(facts.applied_at)}",
        highlight=False,
    )
    if facts.processes:
        console.print(_processes(status))
    else:
        console.print("No process of the bus has noted itself here (other machines are not seen).", highlight=False)
    console.print(_datasets(status))
    console.print(_asks(status))
    _ends_soon(status, console)
    for department, number in status.rejects.items():
        console.print(f"{department}: {number:,} rejects are kept; see `govbus rejects {department}`", highlight=False)
    console.print(_closing(status), highlight=False)


def _processes(status: Status) -> Table:
    table = Table(title="Processes on this machine", title_justify="left")
    for column in ("process", "part", "metrics at", "says"):
        table.add_column(column, overflow="fold")
    for each in status.facts.processes:
        says = Text(each.says, style="green" if each.says == "ready" else "yellow")
        table.add_row(each.name, each.component, each.address, says)
    return table


def _datasets(status: Status) -> Table:
    table = Table(title="What departments publish", title_justify="left")
    table.add_column("dataset", overflow="fold")
    table.add_column("state")
    for column in ("last change", "last look"):
        table.add_column(column)
    for column in ("waiting", "behind s", "delay s p50/p99", "rejects"):
        table.add_column(column, justify="right")
    for each in status.datasets:
        facts, delay = each.facts, each.facts.delay
        table.add_row(
            facts.dataset,
            _state(each.state),
            _ago(facts.newest_at, status.facts.now),
            _ago(max((poll.at for poll in facts.polls), default=None), status.facts.now),
            f"{facts.unread:,}",
            f"{each.behind_seconds:.1f}",
            "" if delay is None else f"{delay.p50_seconds:.2f} / {delay.p99_seconds:.2f}",
            f"{facts.rejects:,}" if facts.rejects else "",
        )
    return table


def _asks(status: Status) -> Table:
    table = Table(title="What subscribers receive", title_justify="left")
    for column in ("ask", "dataset", "state", "delivered by"):
        table.add_column(column, overflow="fold")
    table.add_column("not delivered yet", justify="right")
    table.add_column("last day")
    for each in status.asks:
        undelivered = None if each.facts is None else each.facts.undelivered
        last_day = "" if each.ends_at is None else _last_day(each.ends_at)
        table.add_row(
            each.ask,
            each.dataset,
            _state(each.state),
            each.delivery,
            "" if each.delivery == "topic" or each.facts is None else _count(undelivered),
            Text(last_day, style="yellow" if each.ends_soon else ""),
        )
    return table


def _count(number: int | None) -> str:
    return "never delivered" if number is None else f"{number:,}"


def _ends_soon(status: Status, console: Console) -> None:
    for each in status.asks:
        if each.ends_soon and each.ends_at is not None:
            days = (each.ends_at - status.facts.now).days
            console.print(
                f"[yellow]{each.ask} receives {each.dataset} for {days} more days: "
                f"the last day is {_last_day(each.ends_at)}[/]",
                highlight=False,
                soft_wrap=True,
            )


def _closing(status: Status) -> Text:
    late = [each for each in status.datasets if each.state != FLOWING]
    closed = [each for each in status.asks if each.state != FLOWING]
    if not late and not closed:
        return Text("All data flows.", style="bold green")
    lines = [_line(each) for each in late] + [_ask_line(each) for each in closed]
    return Text("\n".join(["Not flowing:", *lines]), style="yellow")


def _line(each: DatasetStatus) -> str:
    since = "" if each.since is None else f" since {_local(each.since)}"
    return f"  {each.facts.dataset}: {each.state}{since}" + (f" ({each.why})" if each.why else "")


def _ask_line(each: AskStatus) -> str:
    return f"  {each.ask} of {each.dataset}: {each.state}" + (f" ({each.why})" if each.why else "")


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
