"""A real Prometheus (Debian's package) with the configuration of deploy/prometheus, for the length of a test."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from programs import program
from promql import PROMETHEUS

T = TypeVar("T")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Sample:
    """One series' value at the moment of the question."""

    labels: dict[str, str]
    value: float

    @property
    def is_number(self) -> bool:
        return not math.isnan(self.value)


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the HTTP API."""
        with _OPENER.open(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
            document = json.load(answer)
        assert document["status"] == "success"
        return document["data"]

    def query(self, expression: str) -> list[Sample]:
        """Return what an instant query answers now."""
        result = self.get("/api/v1/query", query=expression)["result"]
        return [Sample(each["metric"], float(each["value"][1])) for each in result]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return {
            alert["labels"]["alertname"] for alert in self.get("/api/v1/alerts")["alerts"] if alert["state"] == "firing"
        }

    def alerts(self) -> set[str]:
        """Return the names of the alerts whose condition holds now, whether or not for long enough to fire."""
        return {alert["labels"]["alertname"] for alert in self.get("/api/v1/alerts")["alerts"]}


def eventually(question: Callable[[], T], holds: Callable[[T], bool], seconds: float = 60.0) -> T:
    """Return the first answer that *holds*; fail with the last one where none does within *seconds*."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if holds(answer):
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s: {answer!r:.2000}"
        time.sleep(0.2)


@contextmanager
def prometheus(folder: Path, run_folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus in *folder* on the files of deploy/prometheus, with two changes.

    It looks for processes in *run_folder*, and every second, so that a test need not wait for minutes.
    """
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    job["file_sd_configs"] = [{"files": [f"{run_folder}/*.json"], "refresh_interval": "1s"}]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(PROMETHEUS / "rules.yml", folder / "rules.yml")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    server = Prometheus(f"http://{address}")
    try:
        eventually(lambda: _ready(server, process, log), bool)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _ready(server: Prometheus, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        with _OPENER.open(f"{server.url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
