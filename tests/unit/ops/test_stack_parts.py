"""The parts of the local stack that need no server: downloads, ports, process marks, what is written down."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from govbus.ops.stack import StackError
from govbus.ops.stack.artifacts import Artifact, Downloads, locked
from govbus.ops.stack.ports import free_port, holder, is_free
from govbus.ops.stack.process import ProcessMark, plain_environment, spawn
from govbus.ops.stack.record import StackRecord

CONTENT = b"the bytes of a jar"
JAR = Artifact("org.example", "tool", "1.0", "jar", "", hashlib.sha256(CONTENT).hexdigest())


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on stderr."""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A real Maven repository over HTTP: the file of `JAR`, and the URL."""
    file = tmp_path / "repository" / "org" / "example" / "tool" / "1.0" / "tool-1.0.jar"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(tmp_path / "repository"))) as server:
        threading.Thread(target=partial(server.serve_forever, poll_interval=0.02)).start()
        yield file, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback address is reached directly, whatever the environment's proxies are."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def fetch(artifact: Artifact, cache: Path, url: str) -> list[str]:
    said: list[str] = []
    Downloads(cache, url, said.append)._fetch(
        [artifact],
        cache,
        "the tool",
    )
    return said


def test_a_file_is_fetched_once(tmp_path: Path, repository: tuple[Path, str]) -> None:
    """What is in the cache is not asked for again: the second call says nothing and needs no server."""
    file, url = repository
    assert fetch(JAR, tmp_path / "cache", url) == ["downloading the tool (1 file)"]
    file.unlink()
    assert fetch(JAR, tmp_path / "cache", url) == []
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["tool-1.0.jar"]


def test_a_file_with_another_sum_is_thrown_away(tmp_path: Path, repository: tuple[Path, str]) -> None:
    """A download that was cut short is refused and leaves nothing; the next try succeeds."""
    file, url = repository
    file.write_bytes(CONTENT[:-1])
    with pytest.raises(StackError, match="cut short or altered"):
        fetch(JAR, tmp_path / "cache", url)
    assert list((tmp_path / "cache").iterdir()) == []
    file.write_bytes(CONTENT)
    fetch(JAR, tmp_path / "cache", url)
    assert (tmp_path / "cache" / "tool-1.0.jar").read_bytes() == CONTENT


def test_a_file_that_is_not_served_is_named(tmp_path: Path, repository: tuple[Path, str]) -> None:
    """A mirror that lacks a file is told by the file's coordinate and the variable that chose the mirror."""
    with pytest.raises(StackError, match=r"does not serve org\.example:tool:2\.0.*GOVBUS_MAVEN_REPOSITORY"):
        fetch(replace(JAR, version="2.0"), tmp_path / "cache", repository[1])


def test_every_program_is_pinned_by_a_sum() -> None:
    """The list of downloads names Kafka, its tools and the registry, each file once and with a whole sha256."""
    kafka, registry = locked("kafka"), locked("registry")
    assert {"org.apache.kafka:kafka_2.13:4.3.1", "org.apache.kafka:kafka-tools:4.3.1"} <= {a.coordinate for a in kafka}
    assert [artifact.filename for artifact in registry] == ["apicurio-registry-app-3.3.3-all.tar.gz"]
    assert len({artifact.filename for artifact in kafka}) == len(kafka)
    assert all(len(bytes.fromhex(artifact.sha256)) == 32 for artifact in kafka + registry)


def test_a_taken_port_is_seen_and_its_holder_named() -> None:
    """A port on which somebody listens is not free, and whoever may look is told the process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_free(port)
        assert f"process {os.getpid()} " in holder(port)
    assert is_free(port)


def test_free_ports_differ_and_are_none_of_the_kernel_s_own() -> None:
    """Chosen ports are distinct, and below those that outgoing connections get."""
    taken: set[int] = set()
    ports = [free_port(taken) for _ in range(20)]
    assert len(set(ports)) == 20 == len(taken)
    assert max(ports) < 32_768


def test_a_mark_is_of_one_process_only(tmp_path: Path) -> None:
    """A mark outlives neither its process nor fits another with the same pid."""
    mark = spawn(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        cwd=tmp_path,
        output=tmp_path / "out",
        env=plain_environment(tmp_path),
    )
    assert mark.alive()
    other = replace(mark, start_ticks=mark.start_ticks - 1)
    assert not other.alive()
    assert not other.send(signal.SIGKILL)
    assert mark.alive()
    mark.end(signal.SIGKILL)
    assert not mark.alive()
    assert ProcessMark.of(mark.pid) is None


def test_a_spawned_process_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    """What ends the starter's session (a closed terminal, Ctrl-C) does not reach it."""
    mark = spawn(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        cwd=tmp_path,
        output=tmp_path / "out",
        env=plain_environment(tmp_path),
    )
    assert os.getsid(mark.pid) == mark.pid
    mark.end(signal.SIGKILL)


def test_output_of_a_process_is_kept_for_two_starts(tmp_path: Path) -> None:
    """The former output stays beside the present one, and never more than that."""
    for word in ("first", "second", "third"):
        mark = spawn(
            [sys.executable, "-c", f"print('{word}')"],
            cwd=tmp_path,
            output=tmp_path / "out",
            env=plain_environment(tmp_path),
        )
        assert mark.wait_gone(30)
    assert (tmp_path / "out").read_text() == "third\n"
    assert (tmp_path / "out.1").read_text() == "second\n"


def test_notes_of_another_version_are_refused(tmp_path: Path) -> None:
    """A folder made by a version with other notes is left alone, with the way out."""
    record = StackRecord(tmp_path / "stack")
    record.create()
    file = tmp_path / "stack" / "identity.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(StackError, match="another version of govbus"):
        record.create()


def test_damaged_notes_are_named(tmp_path: Path) -> None:
    """Notes that cannot be read are an error that names the file, never an empty stack."""
    record = StackRecord(tmp_path / "stack")
    record.create()
    (tmp_path / "stack" / "identity.json").write_text("{")
    with pytest.raises(StackError, match=r"identity\.json is damaged"):
        record.create()


def test_help_is_quick_because_no_room_is_imported() -> None:
    """`govbus --help` imports neither a client nor a server's room."""
    program = (
        "import sys; from govbus import cli\n"
        "print([name for name in ('confluent_kafka', 'psycopg', 'rich.console', 'fastavro') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
