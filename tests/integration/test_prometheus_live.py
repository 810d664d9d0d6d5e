"""A real Prometheus scrapes the running reference city for a minute: every panel shows figures, and faults show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import promql
import psycopg
import pytest
import yaml
from confluent_kafka import Producer
from prometheus_server import Prometheus, eventually, prometheus
from stack_fixture import CACHE, REPOSITORY, RunningStack

pytestmark = [pytest.mark.debian("prometheus"), pytest.mark.timeout(600)]

WATCHED_SECONDS = 42.0
DAYS_WATCHED = 14
"""Days of changes that come to the departments while Prometheus watches, one every three seconds."""

WAVES = DAYS_WATCHED + 2
RATE_INTERVAL = "30s"
PROCESSES = {
    "exchange-w1": ("exchange", "--worker-id", "w1"),
    "produce-public_security": ("produce", "public_security"),
    "produce-education": ("produce", "education"),
    "produce-human_resources": ("produce", "human_resources"),
    "deliver-education.school_place": ("deliver", "education", "school_place"),
}
QUERIES = [(panel["title"], target["expr"]) for panel in promql.panels() for target in panel["targets"]]


@dataclass
class Bus:
    """The reference city on the session's servers: its processes, and what brings its days."""

    city: Path
    home: Path
    environment: dict[str, str]
    prefix: str
    data: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    wave: int = 0

    def run(self, *words: str) -> None:
        """Run a command to its end; it must succeed."""
        done = subprocess.run(
            self._command(words), env=self.environment, capture_output=True, check=False, timeout=300, cwd=self.city
        )
        assert done.returncode == 0, f"{words}: {done.stdout.decode()[-2000:]} {done.stderr.decode()[-2000:]}"

    def start(self, name: str) -> None:
        """Start a process of `PROCESSES` in the background."""
        self.home.mkdir(exist_ok=True)
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                self._command(PROCESSES[name]), env=self.environment, stdout=log, stderr=log, cwd=self.city
            )

    def next_wave(self) -> None:
        """Let the next day's changes come to the departments."""
        assert self.wave <= WAVES, "the city has no further days"
        self.run("city", "--out", str(self.data), "--bring", str(self.wave))
        self.wave += 1

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text()[-3000:]

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "govbus", "--city", str(self.city), *words]


@pytest.fixture(scope="module")
def bus(
    stack: RunningStack, shared_prefix: str, shared_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bus]:
    """The reference city, applied, with a few of its processes running and its first export brought in."""
    folder = tmp_path_factory.mktemp("live")
    city, prefix = folder / "city", shared_prefix
    for part in ("schemas", "producers", "consumers"):
        shutil.copytree(REPOSITORY / part, city / part)
    declared = yaml.safe_load((REPOSITORY / "city.yaml").read_text()) | {"topic_prefix": prefix, "partitions": 2}
    (city / "city.yaml").write_text(yaml.safe_dump(declared, allow_unicode=True))
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GOVBUS_")},
        "GOVBUS_HOME": str(folder / "home"),
        "GOVBUS_CACHE": str(CACHE),
        "GOVBUS_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "GOVBUS_REGISTRY_URL": stack.registry_url,
        "GOVBUS_POSTGRES_URL": shared_database,
    }
    made = Bus(city, folder / "home", environment, prefix, folder / "data")
    try:
        made.run("city", "--out", str(made.data), "--people", "500", "--waves", str(WAVES), "--changes", "1500")
        made.run("apply")
        made.next_wave()
        for process in PROCESSES:
            made.start(process)
        yield made
    finally:
        for process in made.running.values():
            process.terminate()
        for process in made.running.values():
            process.wait(60)


@pytest.fixture(scope="module")
def server(bus: Bus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real Prometheus that has watched the bus live, for longer than any rate of the dashboard looks back."""
    with prometheus(tmp_path_factory.mktemp("prometheus"), bus.home / "run") as running:
        eventually(lambda: ready(running), lambda names: names == set(PROCESSES), 120.0)
        since = time.monotonic()
        for day in range(1, DAYS_WATCHED + 1):
            bus.next_wave()
            time.sleep(max(0.0, since + day * WATCHED_SECONDS / DAYS_WATCHED - time.monotonic()))
        yield running


def ready(server: Prometheus) -> set[str]:
    return {sample.labels["instance"] for sample in server.query("govbus_loop_ready == 1")}


def value(server: Prometheus, expression: str) -> float:
    """Return the one value of an expression, 0 where it has none."""
    samples = server.query(expression)
    assert len(samples) <= 1
    return samples[0].value if samples else 0.0


def panel(title: str, target: int = 0) -> str:
    """Return a panel's query with its variables set."""
    (found,) = [each for each in promql.panels() if each["title"] == title]
    return promql.resolved(found["targets"][target]["expr"], RATE_INTERVAL)


@pytest.mark.parametrize(("title", "expression"), QUERIES)
def test_panel_shows_figures(server: Prometheus, bus: Bus, title: str, expression: str) -> None:
    """Every query of the dashboard, put to Prometheus over HTTP, answers with numbers only."""
    samples = server.query(promql.resolved(expression, RATE_INTERVAL))
    assert samples, title
    assert all(sample.is_number for sample in samples), samples


def test_variables_have_values(server: Prometheus) -> None:
    """Each of the dashboard's lists offers what runs."""
    datasets = server.get("/api/v1/label/dataset/values", **{"match[]": "govbus_exchange_records_total"})
    asks = server.get("/api/v1/label/ask/values", **{"match[]": "govbus_exchange_deliveries_total"})
    assert "public_security.population" in datasets
    assert "education.school_place" in asks
    assert set(server.get("/api/v1/label/instance/values")) == set(PROCESSES)


def test_a_bus_that_works_alarms_nobody(server: Prometheus) -> None:
    """After two weeks' work no alert of the processes, the exchange or the deliveries even begins to hold."""
    dirt = {"GovbusRejectsHigh", "GovbusGrantEnding", "GovbusGrantWithheld", "GovbusDatasetStale"}
    assert server.alerts() - dirt == set()


def test_rejects_show(server: Prometheus, bus: Bus) -> None:
    """Records without the wire format, put into a raw topic, are on the panel of rejects and raise its alert."""
    bad = 'sum(dataset_reason:govbus_exchange_rejected:increase15m{reason="not_framed"})'
    before = value(server, bad)
    producer = Producer({"bootstrap.servers": bus.environment["GOVBUS_BOOTSTRAP_SERVERS"]})
    for number in range(40):
        producer.produce(f"{bus.prefix}raw.public_security.household", b"no frame", f"{number}", partition=0)
    assert producer.flush(30) == 0
    eventually(lambda: value(server, bad), lambda now: now >= before + 40)
    assert any(sample.labels.get("reason") == "not_framed" for sample in server.query(panel("拒收")))
    eventually(server.alerts, lambda alerts: "GovbusRejectsHigh" in alerts)


def test_a_killed_sink_shows(server: Prometheus, bus: Bus) -> None:
    """A sink that is killed counts as stopped, and no longer once it runs again; its rows go on being counted."""
    name = "deliver-education.school_place"
    stopped = panel("停止的进程")
    assert value(server, stopped) == 0
    bus.running[name].kill()
    bus.running[name].wait(30)
    eventually(lambda: value(server, stopped), lambda count: count == 1)
    eventually(server.alerts, lambda alerts: "GovbusProcessDown" in alerts)
    bus.start(name)
    eventually(lambda: value(server, stopped), lambda count: count == 0)
    eventually(lambda: ready(server), lambda names: name in names)


def test_a_backlog_shows(server: Prometheus, bus: Bus, stack: RunningStack) -> None:
    """While the worker is stopped its target is down; started again it works off what came, and is level in the end."""
    lag = "sum(govbus_exchange_lag_records)"
    records = "sum(govbus_exchange_records_total)"
    worker = bus.running["exchange-w1"]
    worker.kill()
    worker.wait(30)
    eventually(lambda: value(server, 'up{instance="exchange-w1"}'), lambda up: up == 0)
    bus.next_wave()
    bus.start("exchange-w1")
    eventually(lambda: value(server, 'up{instance="exchange-w1"}'), lambda up: up == 1)
    eventually(lambda: value(server, records), lambda count: count > 0, 120.0)
    eventually(lambda: (value(server, lag), ready(server)), lambda now: now[0] == 0 and "exchange-w1" in now[1])


def test_no_metric_holds_a_value(server: Prometheus, bus: Bus) -> None:
    """No label of any series holds a citizen's id, a credit code or a name of the city's people."""
    with psycopg.connect(bus.environment["GOVBUS_POSTGRES_URL"]) as connection:
        people = connection.execute("SELECT gmsfhm, xm FROM public_security.population").fetchall()
    assert len(people) > 400
    texts = {
        text for labels in server.get("/api/v1/series", **{"match[]": '{job="govbus"}'}) for text in labels.values()
    }
    assert len(texts) > 50
    everything = "\n".join(texts)
    assert not [True for person in people for text in person if text in everything]
