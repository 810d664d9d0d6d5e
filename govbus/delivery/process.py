"""The command `govbus deliver`: one delivery in one process, with signals, operators' figures, and a last word."""

from __future__ import annotations

import os
import signal
import threading

from rich.console import Console
from rich.table import Table

from govbus.delivery.file_part import FolderTaken
from govbus.delivery.run import DeliveredByTopic, Report, deliver
from govbus.delivery.topic import how_to_read
from govbus.health import Endpoint, Health, Listen
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics


def run_delivery(
    settings: Settings,
    topics: Topics,
    subscriber: str,
    ask: str,
    console: Console,
    *,
    until_caught_up: bool = False,
    snapshot: bool = False,
) -> None:
    """Deliver in the foreground until SIGTERM or SIGINT (or, asked so, until caught up), then show what was done.

    A batch that is being written is finished first. Of an ask that is delivered by topic it is shown how to read it.
    Raises what else `deliver` raises; end with a code other than 0 then.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    health = Health("delivery", f"deliver-{subscriber}.{ask}")
    try:
        with Endpoint(health, settings.home, Listen.load(os.environ)):
            report = deliver(
                settings,
                topics,
                subscriber,
                ask,
                until_caught_up=until_caught_up,
                snapshot=snapshot,
                stop=stop,
                health=health,
            )
    except DeliveredByTopic as found:
        guide = how_to_read(found.plan, settings.need_bootstrap_servers(), settings.need_registry_url())
        console.print(guide, markup=False, highlight=False, soft_wrap=True, end="")
    except FolderTaken as taken:
        if not snapshot:
            raise
        console.print(f"{taken}; it writes the snapshot within a minute")
    else:
        show_report(report, f"{subscriber} {ask}", console)


def show_report(report: Report, title: str, console: Console) -> None:
    """Show per dataset what was written, and what receives nothing, with the reason."""
    table = Table("dataset", "upserts", "deletions", "swept", "reloads", title=f"{title}, revision {report.revision}")
    for dataset, written in sorted(report.written.items()):
        counts = (written.upserts, written.deletes, written.swept, report.reloads.get(dataset, 0))
        table.add_row(dataset, *(f"{count:,}" for count in counts))
    if report.written:
        console.print(table)
    else:
        console.print(f"{title}, revision {report.revision}: nothing new")
    for dataset, reason in sorted(report.withheld.items()):
        console.print(f"{dataset}: nothing is delivered ({reason})")
    for dataset in report.denied:
        console.print(
            f"{dataset}: the brokers deny reading its share topic; ask the operators whether the grant stands"
        )
    for dataset in report.absent:
        console.print(f"{dataset}: its share topic does not exist; `govbus apply` makes it")
