"""The demo's story, step by step, with the real commands on the real servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from govbus.catalogue.city_file import read_city
from govbus.delivery.run import deliver
from govbus.errors import GovbusError
from govbus.kafka.revisions import Revision, latest_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.city.arrival import bring
from govbus.ops.city.generator import City, write_city
from govbus.ops.columns import Cell, show_columns
from govbus.ops.demo.commands import Commands
from govbus.ops.demo.examples import FIRST, Example, Examples
from govbus.ops.demo.figures import Readings, delays
from govbus.ops.demo.folder import DemoFolder
from govbus.ops.demo.show import show_asks, show_checks, show_datasets, show_delays, show_examples
from govbus.ops.demo.steps import Step, Steps
from govbus.ops.demo.waiting import Rest
from govbus.ops.stack import OWN_SERVICES, Stack
from govbus.ops.topic_scan import TopicScan

WAVES = 1
"""Of later changes: one day."""
CITY_FOLDER = "city"
"""Under the data folder: what the departments' systems hold, and their later changes."""


class NotEmpty(GovbusError):
    """The brokers named by the environment hold this city's topics already; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What is asked for: *people* citizens, then about *changes* changed rows; *keep* leaves everything running."""

    people: int = 20_000
    changes: int = 2_000
    keep: bool = False
    seed: int = 1


def run_demo(settings: Settings, demo: Demo, console: Console) -> None:
    """Run the whole bus once and show what came of it; everything started is stopped at the end unless kept."""
    stack = Stack(settings.home, cache=settings.cache)
    folder = DemoFolder(settings.home, stack)
    steps = Steps(console)
    folder.begin(lambda line: console.print(line, highlight=False))
    commands = Commands(settings, folder.logs)
    finished = False
    try:
        # The servers mostly wait for disks while they start, so the city is written meanwhile.
        with ThreadPoolExecutor(1) as pool:
            city = pool.submit(_city_of(settings, demo))
            with steps.step("Kafka, schema registry and Postgres start (the first time they are downloaded)") as step:
                started = stack.up(step.say)
                step.result = ", ".join(started.started) or "your own are used"
            with steps.step(f"{demo.people:,} citizens, and what the registers hold of them, dirt included") as step:
                step.result = city.result()
        _Story(Settings.load(settings.city_dir), commands, steps, console).tell()
        finished = True
    finally:
        if finished and demo.keep:
            folder.note(list(commands.running.values()))
        else:
            with steps.step("everything is stopped"):
                commands.stop()
                stack.down()
    _further(settings, demo, stack, console)
    console.print(f"The demo took {steps.seconds:.0f} s.", highlight=False)


def stop_demo(settings: Settings, console: Console) -> None:
    """End what a demo with KEEP=1 left running; its data stays until the next demo."""
    stack = Stack(settings.home, cache=settings.cache)
    ended = DemoFolder(settings.home, stack).end()
    servers = stack.down()
    console.print(f"{ended} processes of the bus and {len(servers)} servers ended.", highlight=False)


class _Story:
    def __init__(self, settings: Settings, commands: Commands, steps: Steps, console: Console) -> None:
        self.settings = settings
        self.commands, self.steps, self.console = commands, steps, console
        self.topics = Topics(read_city(settings.city_dir).topic_prefix)
        self.city = settings.home / CITY_FOLDER
        self.scan = TopicScan(settings, f"{self.topics.prefix}govbus.look")
        if self.topics.catalogue in self.scan.topics():
            raise NotEmpty(
                f"{settings.bootstrap_servers} holds {self.topics.catalogue} already; the demo begins with nothing: "
                f"unset {', '.join(OWN_SERVICES.values())}, or give city.yaml a topic_prefix of its own"
            )

    def tell(self) -> None:
        """Do everything, then show the tables."""
        revision = self._declare()
        # Topics were made in the meantime.
        self.scan = TopicScan(self.settings, f"{self.topics.prefix}govbus.look")
        self.rest = Rest(self.scan, self.topics, revision.catalogue, self.commands)
        readings = Readings(self.settings, self.topics, revision.catalogue, self.scan)
        with self.steps.step("the exchange worker and the Postgres sinks start") as step:
            self._start(revision, step)
        self._publish(0, "the first export", revision)
        first = readings.worker()
        examples = Examples.of(self.settings, revision, self.scan)
        before = {} if examples is None else examples.held_by_first()
        self._publish(1, "a day of changes", revision)
        worker = readings.worker()
        with self.steps.step("every figure is read back: topics, Postgres, files, metrics"):
            datasets, asks, checks = readings.datasets(worker), readings.asks(worker), readings.crosschecks()
            told = [] if examples is None else examples.told(before)
        show_datasets(datasets, self.console)
        show_asks(asks, self.console)
        show_checks(checks, self.console)
        show_delays({"first export, all at once": delays(first), "changes": delays(worker.minus(first))}, self.console)
        if examples is not None:
            show_examples(examples, told, self.console)
        self._remember(told)

    def _declare(self) -> Revision:
        with self.steps.step("declarations: govbus check, plan, apply") as step:
            for command in ("check", "plan", "apply"):
                step.say(f"govbus {command}")
                self.commands.run(command)
            revision = latest_revision(self.settings, self.topics)
            assert revision is not None
            catalogue = revision.catalogue
            step.result = (
                f"revision {revision.number}: {len(catalogue.departments)} departments, "
                f"{len(catalogue.datasets)} datasets, {len(catalogue.asks)} asks"
            )
            return revision

    def _start(self, revision: Revision, step: Step) -> None:
        """Start what runs all the time, and wait until the worker is ready: delays are to be those of a running bus."""
        self.commands.start("exchange", "--worker-id", "demo", "--supervise")
        sinks = [ask for ask in revision.catalogue.asks.values() if ask.delivery["kind"] == "postgres"]
        for ask in sinks:
            self.commands.start("deliver", ask.subscriber, ask.ask)
        bring(self.city, 0, self.settings.home / "drop", self.settings.need_postgres_url())
        self.rest.worker_ready(step, self.settings.home)
        step.result = f"1 worker, {len(sinks)} sinks"

    def _files(self, revision: Revision, step: Step, *, snapshot: bool) -> None:
        """Deliver every ask that gets files once, as for a subscriber who fetches them daily; the last time in full."""
        asks = [ask for ask in revision.catalogue.asks.values() if ask.delivery["kind"] == "file"]
        for done, ask in enumerate(asks):
            step.progress(done, len(asks), f"files of {ask.id}")
            deliver(self.settings, self.topics, ask.subscriber, ask.ask, until_caught_up=True, snapshot=snapshot)

    def _publish(self, wave: int, what: str, revision: Revision) -> None:
        """Bring a wave to the departments' systems, let all of them publish, and wait until it is delivered."""
        departments = sorted({dataset.department for dataset in revision.catalogue.datasets.values()})
        with self.steps.step(f"{len(departments)} departments publish {what}") as step:
            if wave:
                bring(self.city, wave, self.settings.home / "drop", self.settings.need_postgres_url())
            self._run_all(step, [("produce", each, "--once") for each in departments])
        with self.steps.step(f"{what}: exchanged") as step:
            step.result = f"{self.rest.exchanged(step):,} records so far"
        with self.steps.step(f"{what}: delivered into Postgres and files") as step:
            self._files(revision, step, snapshot=wave > 0)
            self.rest.delivered(step)

    def _run_all(self, step: Step, lines: list[tuple[str, ...]]) -> None:
        ended: list[str] = []

        def heard(words: Sequence[str]) -> None:
            ended.append(words[1])
            step.progress(len(ended), len(lines), " ".join(words))

        step.progress(0, len(lines))
        self.commands.run_all(lines, heard)

    def _remember(self, told: list[Example]) -> None:
        """Keep one person's key for the closing hint: someone whose way is worth tracing."""
        (self.city / "traced.json").write_text(json.dumps([each.key for each in told]))


def _city_of(settings: Settings, demo: Demo) -> Callable[[], str]:
    def write() -> str:
        wanted = City(demo.people, demo.seed, WAVES, demo.changes)
        summary = write_city(settings.city_dir, settings.home / CITY_FOLDER, wanted)
        return f"{sum(summary['rows'].values()):,} rows, {summary['ledger']['faults']:,} faults planted among them"

    return write


def _further(settings: Settings, demo: Demo, stack: Stack, console: Console) -> None:
    remembered = settings.home / CITY_FOLDER / "traced.json"
    keys = json.loads(remembered.read_text()) if remembered.is_file() else []
    key = keys[0] if keys else "CITIZEN_ID"
    logs = _relative(settings.home)
    rows: list[list[Cell]] = [
        ["is data flowing, and how far behind", "govbus status"],
        ["why does this person not reach that ask", f"govbus trace public_security.population {key} --ask {FIRST}"],
        ["how this person's facts agree, and why not", f"govbus explain citizen {key}"],
        ["where a department and others disagree", "govbus discrepancies DEPARTMENT"],
        ["what was rejected, and what to do", "govbus rejects DEPARTMENT"],
        ["what departments refused before publishing", f"{logs}/drop/*/*/done/*.rejected.csv, {logs}/rejected/"],
        ["files as subscribers get them", f"{logs}/delivered/"],
        ["logs of every command", f"{logs}/demo-logs/"],
        ["declare a dataset and a subscriber of your own", "README.md"],
    ]
    if demo.keep:
        rows.append(["the subscriber's own tables", f'psql "{stack.postgres_url}" (schema school_place)'])
        rows.append(["stop everything", "govbus demo --stop"])
    else:
        rows.append(["all of it, left running to look at", "KEEP=1 make demo"])
    console.print()
    show_columns(console, ["To look further", "(govbus is .venv/bin/govbus here)"], rows)


def _relative(folder: Path) -> str:
    try:
        return str(folder.relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
