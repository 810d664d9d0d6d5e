"""A real Prometheus finds processes by the notes they write, over death and restart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_server import Prometheus, Sample, eventually, prometheus

from govbus.health import processes

pytestmark = pytest.mark.debian("prometheus")

PROCESS = """
import signal, sys, time
from pathlib import Path
from govbus import metrics
from govbus.health import Endpoint, Health
health = Health("exchange", "exchange-w1")
records = metrics.EXCHANGE_RECORDS.labels(dataset="civil_affairs.marriage", verdict="accepted")
metrics.EXCHANGE_REJECTED.labels(dataset="civil_affairs.marriage", reason="invalid_value").inc(40)
delay = metrics.EXCHANGE_DELAY_SECONDS.labels(dataset="civil_affairs.marriage")
with Endpoint(health, Path(sys.argv[1])):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    health.set_ready(True)
    print("up", flush=True)
    while True:
        health.beat()
        records.inc(10)
        metrics.observe_many(delay, [0.02, 0.03, 0.04])
        time.sleep(0.05)
"""

MEDIAN = "histogram_quantile(0.5, sum by (le) (rate(govbus_exchange_delay_seconds_bucket[10s])))"


@contextmanager
def worker(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process with the real endpoint and the real metrics."""
    child = subprocess.Popen([sys.executable, "-c", PROCESS, str(home)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "up\n"
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def values(samples: list[Sample]) -> list[float]:
    return [sample.value for sample in samples]


def up(server: Prometheus) -> list[Sample]:
    return server.query('up{job="govbus"}')


def test_series_goes_on_over_death_and_restart(tmp_path: Path) -> None:
    """A killed process is down and alarms; under its name again, on another port, the same series goes on."""
    home = tmp_path / "home"
    with prometheus(tmp_path / "prometheus", home / "run") as server:
        with worker(home):
            (sample,) = eventually(lambda: up(server), lambda samples: values(samples) == [1])
            assert sample.labels == {
                "__name__": "up",
                "job": "govbus",
                "instance": "exchange-w1",
                "component": "exchange",
            }, "the pid is a note for govbus and no label"
            eventually(lambda: server.query("rate(govbus_exchange_records_total[10s])"), lambda s: values(s) > [0])
            first = processes(home)[0].address
        eventually(lambda: up(server), lambda samples: values(samples) == [0])
        eventually(server.alerts, lambda alerts: "GovbusProcessDown" in alerts)
        with worker(home):
            assert processes(home)[0].address != first
            eventually(lambda: up(server), lambda samples: values(samples) == [1])
            eventually(lambda: server.query("changes(process_start_time_seconds[1m])"), lambda s: values(s) == [1])
            eventually(server.alerts, lambda alerts: "GovbusProcessDown" not in alerts)
            (series,) = server.get("/api/v1/series", **{"match[]": "govbus_exchange_records_total"})
            assert series["instance"] == "exchange-w1"


def test_a_process_that_ended_well_is_forgotten(tmp_path: Path) -> None:
    """A process that ends in good order takes its target with it: there is nothing to alarm about."""
    home = tmp_path / "home"
    with prometheus(tmp_path / "prometheus", home / "run") as server, worker(home) as child:
        eventually(lambda: up(server), lambda samples: values(samples) == [1])
        child.terminate()
        assert child.wait(30) == 0
        eventually(lambda: up(server), lambda samples: samples == [])


def test_histogram_and_burst_read_as_they_were_counted(tmp_path: Path) -> None:
    """Quantiles come out of the batch histogram, and rejects that were there at the first scrape count as new ones."""
    home = tmp_path / "home"
    with prometheus(tmp_path / "prometheus", home / "run") as server, worker(home):
        (delay,) = eventually(
            lambda: server.query(
                "histogram_quantile(0.5, sum by (le) (rate(govbus_exchange_delay_seconds_bucket[10s])))"
            ),
            lambda samples: bool(samples) and samples[0].is_number,
        )
        assert 0.025 <= delay.value <= 0.05
        (rejected,) = eventually(lambda: server.query("dataset_reason:govbus_exchange_rejected:increase15m"), bool)
        assert (rejected.labels["reason"], rejected.value) == ("invalid_value", 40)
