"""The demo's story, step by step, with the real commands on the real servers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from govbus.catalogue.city_file import read_city
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
from govbus.ops.demo.show import show_asks, show_datasets, show_delays, show_examples
from govbus.ops.demo.steps import Step, Steps
from govbus.ops.demo.waiting import Rest
from govbus.ops.scrape import Figures
from govbus.ops.stack import CACHE_FOLDER, OWN_SERVICES, Stack
from govbus.ops.topic_scan import TopicScan

WAVES = 2
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
    stack = Stack(settings.home, cache=settings.city_dir / CACHE_FOLDER)
    folder = DemoFolder(settings.home, stack)
    steps = Steps(console)
    folder.begin(lambda line: console.print(line, highlight=False))
    commands = Commands(settings, folder.logs)
    finished = False
    try:
        with steps.step("Kafka, schema registry and Postgres start (the first time they are downloaded)") as step:
            started = stack.up(step.say)
            step.result = ", ".join(started.started) or "your own are used"
        _Story(Settings.load(settings.city_dir), demo, commands, steps, console).tell()
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
    stack = Stack(settings.home, cache=settings.city_dir / CACHE_FOLDER)
    ended = DemoFolder(settings.home, stack).end()
    servers = stack.down()
    console.print(f"{ended} processes of the bus and {len(servers)} servers ended.", highlight=False)


class _Story:
    def __init__(self, settings: Settings, demo: Demo, commands: Commands, steps: Steps, console: Console) -> None:
        self.settings, self.demo = settings, demo
        self.commands, self.steps, self.console = commands, steps, console
        self.topics = Topics(read_city(settings.city_dir).topic_prefix)
        self.city = settings.home / CITY_FOLDER
        self.scan = TopicScan(settings, f"{self.topics.prefix}govbus.look")
        if self.topics.catalogue in self.scan.topics():
            raise NotEmpty(
                f"{settings.bootstrap_servers} holds {self.topics.catalogue} already, and the demo begins with nothing: "
                f"unset {', '.join(OWN_SERVICES.values())}, or give city.yaml a topic_prefix of its own"
            )

    def tell(self) -> None:
        """Do everything, then show the tables."""
        self._write_city()
        revision = self._declare()
        # Topics were made in the meantime.
        self.scan = TopicScan(self.settings, f"{self.topics.prefix}govbus.look")
        self.rest = Rest(self.scan, self.topics, revision.catalogue, self.commands)
        readings = Readings(self.settings, self.topics, revision.catalogue, self.scan)
        with self.steps.step("the exchange worker and a sink for every ask start") as step:
            self._start(revision, step)
        self._publish(0, "the first export", revision)
        first = readings.worker()
        examples = Examples.of(self.settings, revision, self.scan)
        before = {} if examples is None else examples.held_by_first()
        for wave in range(1, WAVES + 1):
            self._publish(wave, f"day {wave} of later changes", revision)
        worker = readings.worker()
        with self.steps.step("every figure is read back: topics, Postgres, metrics"):
            datasets, asks = readings.datasets(worker), readings.asks(worker)
            told = [] if examples is None else examples.told(before)
        show_datasets(datasets, self.console)
        show_asks(asks, self.console)
        show_delays(_phases(first, worker), self.console)
        if examples is not None:
            show_examples(examples, told, self.console)
        self._remember(told)

    def _write_city(self) -> None:
        demo = self.demo
        with self.steps.step(f"{demo.people:,} citizens, and what fifteen registers hold of them") as step:
            wanted = City(demo.people, demo.seed, WAVES, demo.changes)
            summary = write_city(
                self.settings.city_dir, self.city, wanted, lambda done, of: step.progress(done, of, f"{done:,} people")
            )
            rows, faults = sum(summary["rows"].values()), summary["ledger"]["faults"]
            step.result = f"{rows:,} rows, {faults:,} faults planted among them"

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
        self.commands.start("exchange", "--worker-id", "demo", "--supervise")
        sinks = [ask for ask in revision.catalogue.asks.values() if ask.delivery["kind"] != "topic"]
        for ask in sinks:
            self.commands.start("deliver", ask.subscriber, ask.ask)
        step.result = f"1 worker, {len(sinks)} sinks"

    def _publish(self, wave: int, what: str, revision: Revision) -> None:
        """Bring a wave to the departments' systems, let all of them publish, and wait until it is delivered."""
        departments = sorted({dataset.department for dataset in revision.catalogue.datasets.values()})
        with self.steps.step(f"{len(departments)} departments publish {what}") as step:
            bring(self.city, wave, self.settings.home / "drop", self.settings.need_postgres_url())
            done: list[str] = []
            step.progress(0, len(departments))

            def ended(words: object) -> None:
                assert isinstance(words, tuple)
                done.append(words[1])
                step.progress(len(done), len(departments), words[1])

            self.commands.run_all([("produce", each, "--once") for each in departments], ended)
        with self.steps.step(f"{what}: exchanged") as step:
            step.result = f"{self.rest.exchanged(step):,} records so far"
        with self.steps.step(f"{what}: delivered to every subscriber") as step:
            self.rest.delivered(step)

    def _remember(self, told: list[Example]) -> None:
        """Keep one person's key for the closing hint: someone whose way is worth tracing."""
        (self.city / "traced.json").write_text(json.dumps([each.key for each in told]))


def _phases(first: Figures, worker: Figures) -> dict[str, tuple[float, float] | None]:
    return {
        "first export, all at once": delays(first),
        f"{WAVES} days of later changes": delays(worker.minus(first)),
    }


def _further(settings: Settings, demo: Demo, stack: Stack, console: Console) -> None:
    remembered = settings.home / CITY_FOLDER / "traced.json"
    keys = json.loads(remembered.read_text()) if remembered.is_file() else []
    key = keys[0] if keys else "CITIZEN_ID"
    logs = _relative(settings.home)
    rows: list[list[Cell]] = [
        ["is data flowing, and how far behind", "govbus status"],
        ["why does this person not reach that ask", f"govbus trace public_security.population {key} --ask {FIRST}"],
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
