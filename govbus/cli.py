"""The command `govbus`: reads the environment once, wires the rooms together, and says errors in one clear message.

To add a command: write a function below, decorated with `@app.command()`, that imports its room inside (so that
`govbus --help` stays quick), takes its settings from `settings_of(context)` and calls one plain function of that room.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from govbus.errors import DeclarationError, GovbusError
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics

if TYPE_CHECKING:
    from rich.console import Console

    from govbus.catalogue.check import Checked
    from govbus.ops.stack import Stack

app = typer.Typer(
    name="govbus",
    help="An event-driven exchange bus between government departments, on Apache Kafka.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with the values of local variables would show records.
    pretty_exceptions_enable=False,
)
stack_app = typer.Typer(
    help="Kafka, schema registry and Postgres on this machine, without Docker.", no_args_is_help=True
)
app.add_typer(stack_app, name="stack")


@app.callback()
def _city(
    context: typer.Context,
    city: Annotated[
        Path, typer.Option(envvar="GOVBUS_CITY", help="The folder with city.yaml, producers, consumers and schemas.")
    ] = Path(),
) -> None:
    _configure_logs()
    context.obj = Settings.load(city)


def settings_of(context: typer.Context) -> Settings:
    """Return where we are: the settings of the city that the command line names."""
    settings = context.obj
    assert isinstance(settings, Settings)
    return settings


def topics_of(context: typer.Context) -> Topics:
    """Return the topics of the city that the command line names."""
    from govbus.catalogue.city_file import read_city

    return Topics(read_city(settings_of(context).city_dir).topic_prefix)


# --- the local stack -------------------------------------------------------------------------------------------------

_Port = Annotated[int | None, typer.Option(help="Listen here instead of on a free port.", min=1024, max=65535)]


@stack_app.command("up")
def stack_up(
    context: typer.Context, kafka_port: _Port = None, registry_port: _Port = None, postgres_port: _Port = None
) -> None:
    """Start what does not run yet, wait until all of it serves clients, and show where."""
    from rich.console import Console

    from govbus.ops.stack.console import show_up

    wanted = {"kafka": kafka_port, "registry": registry_port, "postgres": postgres_port}
    show_up(_stack(context, {name: port for name, port in wanted.items() if port}), Console())


@stack_app.command("status")
def stack_status(context: typer.Context) -> None:
    """Show each server's state, address and process; exit code 1 unless all of them serve clients."""
    from rich.console import Console

    from govbus.ops.stack.console import show_status

    if not show_status(_stack(context), Console()):
        raise typer.Exit(1)


@stack_app.command("down")
def stack_down(
    context: typer.Context,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove all data of the stack as well: nothing is kept.")
    ] = False,
) -> None:
    """End the stack's own processes and no others; the data stays."""
    from rich.console import Console

    from govbus.ops.stack.console import show_down

    show_down(_stack(context), purge, Console())


def _stack(context: typer.Context, ports: dict[str, int] | None = None) -> Stack:
    from govbus.ops.stack import Stack

    settings = settings_of(context)
    return Stack(settings.home, cache=settings.cache, ports=ports or {})


# --- producing -------------------------------------------------------------------------------------------------------


@app.command("produce")
def produce_command(
    context: typer.Context,
    department: Annotated[str, typer.Argument(help="Whose data: a folder of producers/.")],
    datasets: Annotated[list[str] | None, typer.Argument(help="Only these datasets of it; default: all.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when all there is has been published.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be sent and rejected; change nothing.")
    ] = False,
    accept_deletions: Annotated[
        int | None, typer.Option(min=0, help="Let the next snapshot of a dataset delete up to so many records.")
    ] = None,
    drop: Annotated[
        Path | None,
        typer.Option(envvar="GOVBUS_DROP", help="The folder with a drop folder per department; default HOME/drop."),
    ] = None,
) -> None:
    """Publish what a department's files, tables and outboxes say; exit code 1 if something waits for a person."""
    from rich.console import Console

    from govbus.adapters.process import run_produce

    settings, topics = settings_of(context), topics_of(context)
    if not run_produce(
        settings,
        topics,
        department,
        datasets or [],
        Console(),
        once=once,
        dry_run=dry_run,
        accept_deletions=accept_deletions,
        drop=(drop or settings.home / "drop") / department,
    ):
        raise typer.Exit(1)


# --- declarations ----------------------------------------------------------------------------------------------------


@app.command("init")
def init_command(
    folder: Annotated[Path, typer.Argument(help="The new city's folder; made if it does not exist.")],
    title: Annotated[str, typer.Option(help="The city's name.")] = "新城市",
    division: Annotated[str, typer.Option(help="Its division code, six digits (GB/T 2260).")] = "890000",
) -> None:
    """Start an empty city: its folders, city.yaml and a word on what belongs where."""
    from govbus.ops.init import init

    for file in init(folder, title, division):
        typer.echo(folder / file)
    typer.echo(f"Next: declare departments and datasets, then `govbus --city {folder} check`.")


@app.command("check")
def check_command(
    context: typer.Context,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="List also fields that look like one fact and are not compared.")
    ] = False,
) -> None:
    """List every fault of the city's declarations with file, line and remedy, and every ask that gets nothing."""
    from rich.console import Console

    from govbus.catalogue.check import check
    from govbus.ops.declarations_console import show_checked, show_suggestions

    checked = check(settings_of(context).city_dir, _today(), suggest=suggest)
    show_checked(checked, Console())
    if suggest:
        show_suggestions(checked.suggestions, Console())
    if checked.faults:
        raise DeclarationError(checked.faults)


@app.command("plan")
def plan_command(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Show what `apply` would change: who gains and loses which fields and rows, topics, subjects. Changes nothing."""
    from govbus.ops.apply import located, planned
    from govbus.ops.declarations_console import show_plan

    settings = settings_of(context)
    catalogue = _checked(settings).catalogue
    assert catalogue is not None
    found, revision = planned(settings, catalogue, _today())
    document = {"revision": None if revision is None else revision.number, **found.as_json()}
    _show(lambda console: show_plan(found, revision, console), document, as_json)
    if found.refusals:
        raise DeclarationError(located(settings, found.refusals))


@app.command("apply")
def apply_command(context: typer.Context) -> None:
    """Make the declarations the ones in force: topics, registry subjects, keys, a catalogue revision. Repeatable."""
    from rich.console import Console

    from govbus.ops.apply import apply
    from govbus.ops.declarations_console import Doing, show_applied, show_warnings

    settings, console = settings_of(context), Console()
    checked = _checked(settings)
    show_warnings(checked.warnings, console)
    assert checked.catalogue is not None
    with Doing(console) as doing:
        applied = apply(settings, checked.catalogue, today=_today(), doing=doing)
    show_applied(applied, console)


def _checked(settings: Settings) -> Checked:
    """Return the verdict on the city's declarations; raises DeclarationError with every fault where there is one."""
    from govbus.catalogue.check import check

    checked = check(settings.city_dir, _today())
    if checked.faults:
        raise DeclarationError(checked.faults)
    return checked


def _today() -> date:
    from govbus.rules.share import CHINA_STANDARD_TIME

    return datetime.now(CHINA_STANDARD_TIME).date()


# --- the exchange ----------------------------------------------------------------------------------------------------


@app.command("exchange")
def exchange_command(
    context: typer.Context,
    worker_id: Annotated[
        str, typer.Option("--worker-id", help="This worker's lasting name: its state folder and transactional id.")
    ] = "w1",
    supervise: Annotated[
        bool, typer.Option("--supervise", help="Start the worker again under the same id whenever it ends by an error.")
    ] = False,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End once everything published so far is exchanged.")
    ] = False,
) -> None:
    """Exchange: from what departments published to what each subscriber may see, exactly once."""
    from govbus.exchange.run import Supervisor, exchange

    if supervise:
        command = [sys.executable, "-m", "govbus", *(word for word in sys.argv[1:] if word != "--supervise")]
        raise typer.Exit(Supervisor(command).run())
    exchange(settings_of(context), topics_of(context), worker_id, until_caught_up=until_caught_up)


# --- delivery --------------------------------------------------------------------------------------------------------


@app.command("deliver")
def deliver_command(
    context: typer.Context,
    subscriber: Annotated[str, typer.Argument(help="The subscriber, a folder of consumers/.")],
    ask: Annotated[str, typer.Argument(help="One of its asks; `delivery:` says where to.")],
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End once everything shared so far is delivered.")
    ] = False,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="Write everything there is as files once more, then end.")
    ] = False,
) -> None:
    """Deliver an ask into its subscriber's Postgres or files, each change once; for topics, show how to read them."""
    from rich.console import Console

    from govbus.delivery.process import run_delivery

    settings, topics = settings_of(context), topics_of(context)
    run_delivery(settings, topics, subscriber, ask, Console(), until_caught_up=until_caught_up, snapshot=snapshot)


# --- the reference city ----------------------------------------------------------------------------------------------


@app.command("city")
def city_command(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder for it, by default city in the data folder.")
    ] = None,
    people: Annotated[int, typer.Option("--people", min=1, max=20_000_000, help="How many citizens.")] = 20_000,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same bytes.")] = 1,
    waves: Annotated[int, typer.Option("--waves", min=0, max=99, help="Days of later changes.")] = 4,
    changes: Annotated[int | None, typer.Option("--changes", help="Changed rows in all, about.", min=0)] = None,
    bring: Annotated[
        int | None, typer.Option("--bring", min=0, help="Write nothing: bring this wave (0: the first export) in.")
    ] = None,
    drop: Annotated[Path | None, typer.Option("--drop", envvar="GOVBUS_DROP", help="The drop folders' folder.")] = None,
) -> None:
    """Write what the reference city's departments hold: exports, tables, later changes, a ledger of planted faults."""
    from rich.console import Console

    from govbus.ops.city.console import show_bringing, show_writing
    from govbus.ops.city.generator import City

    settings = settings_of(context)
    out = out or settings.home / "city"
    if bring is not None:
        show_bringing(out, bring, drop or settings.home / "drop", settings.need_postgres_url(), Console())
        return
    show_writing(settings.city_dir, out, City(people, seed, waves, changes), Console())


# --- for the people at both ends -------------------------------------------------------------------------------------

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program instead of text for a person.")]


@app.command("status")
def status_command(
    context: typer.Context,
    department: Annotated[str, typer.Option(help="Only what this department publishes.")] = "",
    subscriber: Annotated[str, typer.Option(help="Only what this subscriber receives.")] = "",
    as_json: _AsJson = False,
) -> None:
    """Say whether data flows, since when and how far behind: every dataset, every ask, and the processes here."""
    from govbus.ops.status import status_of
    from govbus.ops.status_console import selected, show_status, status_document
    from govbus.ops.status_read import read_facts

    found = selected(status_of(read_facts(settings_of(context), topics_of(context))), department, subscriber)
    _show(lambda console: show_status(found, console), status_document(found), as_json)


@app.command("trace")
def trace_command(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="DEPARTMENT.DATASET")],
    key: Annotated[
        list[str], typer.Argument(help="One text per key field; a lone - reads them from standard input, one a line.")
    ],
    ask: Annotated[str, typer.Option("--ask", help="SUBSCRIBER.ASK")],
    as_json: _AsJson = False,
) -> None:
    """Say why a record reached an ask, or why not: reasons only, no value of it. The look is logged."""
    from govbus.ops.trace import show_trace, trace, trace_document

    # A key is often a citizen's id: through standard input it stays out of the shell's history.
    texts = sys.stdin.read().splitlines() if key == ["-"] else key
    found = trace(settings_of(context), topics_of(context), dataset, texts, ask)
    _show(lambda console: show_trace(found, dataset, ask, console), trace_document(found, dataset, ask), as_json)


@app.command("explain")
def explain_command(
    context: typer.Context,
    entity: Annotated[str, typer.Argument(help="What kind: citizen, enterprise, house; see schemas/elements.yaml.")],
    entity_id: Annotated[str, typer.Argument(metavar="ID", help="Its id; a lone - reads it from standard input.")],
    as_json: _AsJson = False,
) -> None:
    """Show each element of one entity: its value and source, every report, and why they agree. The look is noted."""
    from govbus.ops.explain import explain
    from govbus.ops.explain_console import explanation_document, show_explanation

    # As with `trace`: through standard input the id stays out of the shell's history.
    text = sys.stdin.readline().strip() if entity_id == "-" else entity_id
    found = explain(settings_of(context), topics_of(context), entity, text)
    _show(lambda console: show_explanation(found, console), explanation_document(found), as_json)


@app.command("discrepancies")
def discrepancies_command(
    context: typer.Context,
    department: Annotated[str, typer.Argument(help="Whose list: a folder of producers/.")],
    limit: Annotated[int, typer.Option(help="How many to list, the worst first; 0: all.", min=0)] = 50,
    as_json: _AsJson = False,
) -> None:
    """List where a department's data and another's disagree, as it may hear of it. The look is noted."""
    from govbus.ops.discrepancies import discrepancies
    from govbus.ops.discrepancies_console import discrepancies_document, show_discrepancies

    found = discrepancies(settings_of(context), topics_of(context), department, limit)
    _show(lambda console: show_discrepancies(found, console), discrepancies_document(found), as_json)


@app.command("rejects")
def rejects_command(
    context: typer.Context,
    department: Annotated[str, typer.Argument(help="Whose rejects: a folder of producers/.")],
    dataset: Annotated[str, typer.Option(help="Only this one: DEPARTMENT.DATASET.")] = "",
    reason: Annotated[str, typer.Option(help="Only these, e.g. invalid_value.")] = "",
    limit: Annotated[int, typer.Option(help="How many of the newest to list.", min=0)] = 20,
    show: Annotated[str, typer.Option(help="Show this one with its record: a number of the list.")] = "",
    export: Annotated[Path | None, typer.Option(help="Write them all, records included, to this new file.")] = None,
    resend: Annotated[Path | None, typer.Option(help="Publish the corrected lines of an exported file.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --resend: also where a newer state was taken since.")
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """List what a department sent and the bus could not accept: why, what to do, and a way to send it again.

    1. `govbus rejects D` counts them by reason and says what to do about each.

    2. `govbus rejects D --export FILE` writes one JSON document a line; correct the values under `record`.

    3. `govbus rejects D --resend FILE` checks and publishes them. Lines that are still wrong are listed.
    """
    from rich.console import Console

    from govbus.ops.rejects import Filter, RejectTopic
    from govbus.ops.rejects_console import export_rejects, list_rejects, resend_rejects, show_reject

    topic, console = RejectTopic(settings_of(context), topics_of(context), department), Console()
    wanted = Filter(dataset, reason)
    if show:
        show_reject(topic, show, console, as_json)
    elif export is not None:
        export_rejects(topic, export, wanted, console)
    elif resend is not None:
        if not resend_rejects(topic, resend, overwrite, console):
            raise typer.Exit(1)
    else:
        list_rejects(topic, wanted, limit, console, as_json)


@app.command("demo")
def demo_command(
    context: typer.Context,
    people: Annotated[int, typer.Option(min=100, max=2_000_000, help="How many citizens the city has.")] = 20_000,
    changes: Annotated[int, typer.Option(min=0, help="About how many rows change afterwards.")] = 2_000,
    keep: Annotated[
        bool, typer.Option("--keep", envvar="KEEP", help="Leave everything running at the end, to look at.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop what a demo with --keep left running.")] = False,
) -> None:
    """Run the whole bus on this machine with the city in this folder: publish, exchange, deliver, change, count."""
    from rich.console import Console

    from govbus.ops.demo.run import Demo, run_demo, stop_demo

    if stop:
        stop_demo(settings_of(context), Console())
    else:
        run_demo(settings_of(context), Demo(people, changes, keep), Console())


def _show(show: Callable[[Console], None], document: object, as_json: bool) -> None:
    from rich.console import Console

    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        show(Console())


# --- the process -----------------------------------------------------------------------------------------------------


def main() -> None:
    """Run the command line; errors that govbus raises on purpose become one message on stderr and an exit code.

    Exit code 2: a declaration must be edited, every fault is listed. 1: any other error, whose text says what to do.
    """
    try:
        app()
    except DeclarationError as error:
        sys.stderr.write(f"{error}\n")
        count = len(error.faults)
        sys.stderr.write(f"{count} {'fault' if count == 1 else 'faults'}: nothing was done.\n")
        sys.exit(2)
    except GovbusError as error:
        sys.stderr.write(f"govbus: {error}\n")
        sys.exit(1)


def _configure_logs() -> None:
    """Logs go to stderr: lines for a person at a terminal, JSON for everything else; GOVBUS_LOG_LEVEL, default info."""
    import logging

    import structlog

    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            # Local variables hold records: a traceback's text only.
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(os.environ.get("GOVBUS_LOG_LEVEL", "").upper(), logging.INFO)
        ),
        # Looked up anew for each line: whoever embeds the command may have put another stderr in place since.
        logger_factory=lambda *_arguments: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
