"""The endpoint of a process: what it answers, where it listens, and the note it leaves for those who look for it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from govbus import metrics
from govbus.errors import SettingsError
from govbus.health import STALL_SECONDS, Endpoint, Health, Listen, processes


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Iterator[Health]:
    made = Health("exchange", "exchange-1", monotonic=clock)
    yield made
    made.wait_for(None)
    made.set_ready(False)


def get(endpoint: Endpoint, path: str, method: str = "GET") -> tuple[int, str]:
    """Return status and text of an answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{endpoint.port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def sample(text: str, series: str) -> float:
    """Return the value of a series in an exposition."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"{series} ")]
    return float(line.rpartition(" ")[2])


def test_healthz_follows_the_loop(tmp_path: Path, health: Health, clock: Clock) -> None:
    """/healthz is 200 while the loop comes round, 503 with the silent seconds when it does not, and 200 again after."""
    with Endpoint(health, tmp_path) as endpoint:
        assert get(endpoint, "/healthz") == (200, "alive\n")
        clock.seconds += STALL_SECONDS + 15
        assert get(endpoint, "/healthz") == (503, "no progress for 75 s\n")
        health.beat()
        assert get(endpoint, "/healthz") == (200, "alive\n")


def test_readyz_says_what_is_waited_for(tmp_path: Path, health: Health) -> None:
    """/readyz is 503 while it starts and while it waits, with what for, and 200 only while it works."""
    with Endpoint(health, tmp_path) as endpoint:
        assert get(endpoint, "/readyz") == (503, "starting\n")
        health.set_ready(True)
        assert get(endpoint, "/readyz") == (200, "ready\n")
        health.wait_for(metrics.Waiting.BROKER)
        assert get(endpoint, "/readyz") == (503, "waiting for broker\n")
        health.wait_for(metrics.Waiting.REGISTRY)
        assert get(endpoint, "/readyz") == (503, "waiting for registry\n")
        text = get(endpoint, "/metrics")[1]
        assert sample(text, 'govbus_loop_waiting{reason="broker"}') == 0
        assert sample(text, 'govbus_loop_waiting{reason="registry"}') == 1
        assert sample(text, "govbus_loop_ready") == 0
        health.wait_for(None)
        assert get(endpoint, "/readyz") == (200, "ready\n")
        assert sample(get(endpoint, "/metrics")[1], "govbus_loop_ready") == 1


def test_dead_loop_is_not_ready(tmp_path: Path, health: Health, clock: Clock) -> None:
    """A loop that stands still is not ready, whatever it said when it last came round."""
    health.set_ready(True)
    with Endpoint(health, tmp_path) as endpoint:
        clock.seconds += STALL_SECONDS + 1
        assert get(endpoint, "/readyz")[0] == 503


def test_metrics_show_this_part_and_the_process(tmp_path: Path, health: Health) -> None:
    """/metrics shows the process's own parts, its memory and version, no other part and no times of creation."""
    metrics.EXCHANGE_RECORDS.labels(dataset="civil_affairs.marriage", verdict="accepted").inc(7)
    with Endpoint(health, tmp_path) as endpoint:
        status, text = get(endpoint, "/metrics")
    assert status == 200
    assert sample(text, 'govbus_exchange_records_total{dataset="civil_affairs.marriage",verdict="accepted"}') >= 7
    assert sample(text, "process_resident_memory_bytes") > 0
    assert 'govbus_build_info{version="' in text
    assert "govbus_delivery_" not in text
    assert "_created" not in text


def test_other_paths_are_not_found(tmp_path: Path, health: Health) -> None:
    """What is not one of the three paths is 404, and the answer names the three."""
    with Endpoint(health, tmp_path) as endpoint:
        for path in ("/", "/metrics/", "/../etc/passwd"):
            assert get(endpoint, path) == (404, "there are /metrics, /healthz and /readyz\n")


def test_only_reading_is_answered(tmp_path: Path, health: Health) -> None:
    """HEAD gets the head alone; a method that would change something is not implemented."""
    with Endpoint(health, tmp_path) as endpoint:
        assert get(endpoint, "/healthz", "HEAD") == (200, "")
        for method in ("POST", "PUT", "DELETE"):
            assert get(endpoint, "/healthz", method)[0] == 501


def test_listens_on_loopback_alone_by_default(tmp_path: Path, health: Health) -> None:
    """Without settings the endpoint is on 127.0.0.1 and any free port."""
    with Endpoint(health, tmp_path, Listen.load({})) as endpoint:
        (process,) = processes(tmp_path)
        assert process.address == f"127.0.0.1:{endpoint.port}"
        listening = Path("/proc/net/tcp").read_text()
        assert f"0100007F:{endpoint.port:04X} 00000000:0000 0A" in listening
        assert f"00000000:{endpoint.port:04X} 00000000:0000 0A" not in listening


def test_settings_choose_address_and_port() -> None:
    """The environment chooses host and port."""
    assert Listen.load({"GOVBUS_METRICS_HOST": "::", "GOVBUS_METRICS_PORT": "9464"}) == Listen("::", 9464)


@pytest.mark.parametrize("port", ["-1", "65536", "http", "80 80", "²"])
def test_port_that_is_none_is_refused(port: str) -> None:
    """A port that is not one is refused with the name of the setting."""
    with pytest.raises(SettingsError, match="GOVBUS_METRICS_PORT"):
        Listen.load({"GOVBUS_METRICS_PORT": port})


def test_taken_port_is_refused(tmp_path: Path, health: Health) -> None:
    """A port that another process holds is refused with what to do, and no note of it is written."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(SettingsError, match=f"port {port}.*GOVBUS_METRICS_PORT"),
            Endpoint(health, tmp_path, Listen(port=port)),
        ):
            pass
    assert processes(tmp_path) == []


def test_note_is_a_target_list_for_prometheus(tmp_path: Path, health: Health) -> None:
    """The run file is a file_sd target list whose instance is the process's name, and is gone after a graceful end."""
    file = tmp_path / "run/exchange-1.json"
    with Endpoint(health, tmp_path) as endpoint:
        assert json.loads(file.read_text()) == [
            {
                "targets": [f"127.0.0.1:{endpoint.port}"],
                "labels": {"instance": "exchange-1", "component": "exchange", "__govbus_pid": str(os.getpid())},
            }
        ]
        assert [entry.name for entry in file.parent.iterdir()] == ["exchange-1.json"]
    assert not file.exists()


def test_killed_process_leaves_its_note(tmp_path: Path) -> None:
    """A process that is killed leaves its note and is seen to be dead; the next one of its name overwrites it."""
    program = (
        "import sys, time; from pathlib import Path; from govbus.health import *\n"
        "with Endpoint(Health('delivery', 'sink-1'), Path(sys.argv[1])): print('up', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "up\n"
        (process,) = processes(tmp_path)
        assert (process.name, process.component, process.pid, process.running) == (
            "sink-1",
            "delivery",
            child.pid,
            True,
        )
        child.kill()
        child.wait()
    (process,) = processes(tmp_path)
    assert not process.running
    with Endpoint(Health("delivery", "sink-1"), tmp_path):
        (process,) = processes(tmp_path)
        assert process.running
    assert processes(tmp_path) == []


def test_note_of_a_successor_stays(tmp_path: Path, health: Health) -> None:
    """A process that ends removes only its own note, not that of another one that took its name meanwhile."""
    file = tmp_path / "run/exchange-1.json"
    with Endpoint(health, tmp_path):
        content = file.read_text().replace(f'"{os.getpid()}"', '"1"')
        file.write_text(content)
    assert file.read_text() == content


def test_note_cut_short_names_nobody(tmp_path: Path, health: Health) -> None:
    """A run file without content, as a power failure leaves it, hides no other process."""
    with Endpoint(health, tmp_path):
        (tmp_path / "run/broken.json").write_text("")
        assert [process.name for process in processes(tmp_path)] == ["exchange-1"]


@pytest.mark.parametrize("name", ["", "../exchange", "a/b", ".hidden", "名"])
def test_name_that_is_no_file_name_is_refused(name: str) -> None:
    """A process's name becomes a file's name, so it can lead nowhere else."""
    with pytest.raises(ValueError, match="a process's name"):
        Health("exchange", name)


def test_scrapes_do_not_wait_for_each_other(tmp_path: Path, health: Health) -> None:
    """A caller that connects and says nothing holds up nobody else."""
    with Endpoint(health, tmp_path) as endpoint, socket.create_connection(("127.0.0.1", endpoint.port)):
        assert get(endpoint, "/healthz") == (200, "alive\n")
