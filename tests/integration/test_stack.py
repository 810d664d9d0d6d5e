"""The local stack itself: it starts once, repairs itself, says what is wrong and ends only what it started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from stack_fixture import CACHE, own_stack

from govbus.ops.stack import Stack, StackError
from govbus.ops.stack.ports import free_port
from govbus.ops.stack.process import ProcessMark

pytestmark = pytest.mark.stack

ALL = ("kafka", "registry", "postgres")
ELSEWHERE = {
    "GOVBUS_BOOTSTRAP_SERVERS": "kafka.example:9092",
    "GOVBUS_REGISTRY_URL": "http://registry.example",
}
"""An environment in which only the database is ours to start: it is the quickest of the three."""


@pytest.fixture(scope="module")
def whole() -> Iterator[Stack]:
    """A stack of this module's own, which its tests may hurt."""
    with own_stack({}) as stack:
        yield stack


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stack]:
    """A stack that consists of a database only."""
    stack = Stack(tmp_path, cache=CACHE, env=ELSEWHERE)
    yield stack
    stack.down(purge=True)


def pids(stack: Stack) -> dict[str, int | None]:
    return {server.name: server.pid for server in stack.servers}


def govbus(home: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "govbus", "--city", CACHE.parent, "stack", *arguments],
        env={"PATH": os.defpath, "HOME": str(home), "GOVBUS_HOME": str(home), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_up_of_a_running_stack_starts_nothing(whole: Stack) -> None:
    """`up` is idempotent: a running stack keeps its processes and is reported as running."""
    before = pids(whole)
    report = whole.up()
    assert report.already_running == ALL
    assert report.started == report.repaired == ()
    assert pids(whole) == before
    assert None not in before.values()


def test_notes_hold_the_addresses_that_other_commands_read(whole: Stack) -> None:
    """stack.json carries the three addresses and who runs, and only its owner may read the password in it."""
    file = whole.folder / "stack.json"
    note = json.loads(file.read_text())
    assert (note["bootstrap_servers"], note["registry_url"], note["postgres_url"]) == (
        whole.bootstrap_servers,
        whole.registry_url,
        whole.postgres_url,
    )
    assert {name: noted["pid"] for name, noted in note["servers"].items()} == pids(whole)
    assert file.stat().st_mode & 0o077 == 0


def test_everything_listens_on_the_loopback_address_only(whole: Stack) -> None:
    """No server of the stack can be reached from another machine."""
    ours = {whole.record.port(name) for server in whole.servers for name in server.port_names()}
    seen = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, _, port = line.split()[1].rpartition(":")
            if line.split()[3] == "0A" and int(port, 16) in ours:
                seen[int(port, 16)] = address
    assert set(seen) == ours
    # 127.0.0.1 as the kernel prints it, by itself or inside an IPv6 address.
    assert all(address.endswith("0100007F") for address in seen.values())


def test_the_broker_makes_no_topic_by_itself(whole: Stack) -> None:
    """A misspelt topic is an error, never a new topic."""
    admin = AdminClient({"bootstrap.servers": whole.bootstrap_servers})
    asked = admin.list_topics("no.such.topic", timeout=10).topics["no.such.topic"]
    assert asked.error is not None
    assert "no.such.topic" not in admin.list_topics(timeout=10).topics


def test_up_repairs_a_broker_that_was_killed(whole: Stack) -> None:
    """After kill -9 of the broker, `up` starts it again at the same address with what it had acknowledged."""
    topic = "kept.over.a.kill"
    admin = AdminClient({"bootstrap.servers": whole.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(timeout=30)
    producer = Producer({"bootstrap.servers": whole.bootstrap_servers, "acks": "all"})
    producer.produce(topic, b"value", b"key")
    assert producer.flush(30) == 0
    before, address = pids(whole), whole.bootstrap_servers

    whole.kafka.kill()
    assert {server.name: server.state for server in whole.status()}["kafka"] == "down"
    report = whole.up()

    assert report.repaired == ("kafka",)
    assert report.already_running == ("registry", "postgres")
    assert whole.bootstrap_servers == address
    after = pids(whole)
    assert after["kafka"] not in (None, before["kafka"])
    assert (after["registry"], after["postgres"]) == (before["registry"], before["postgres"])
    assert end_offset(address, topic) == 1


def end_offset(bootstrap_servers: str, topic: str) -> int:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "reader"})
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
    consumer.close()
    return int(end)


def test_up_repairs_a_server_that_hangs(whole: Stack) -> None:
    """A process that runs but does not answer is ended and started again."""
    before = whole.registry.mark
    assert before is not None
    before.send(signal.SIGSTOP)
    report = whole.up()
    assert report.repaired == ("registry",)
    assert not before.alive()
    assert whole.registry.answers()


def test_registry_keeps_its_subjects_over_a_kill(whole: Stack) -> None:
    """A schema that was registered a moment before kill -9 is there afterwards, under the same id."""
    schema = Schema('{"type": "record", "name": "kept", "fields": [{"name": "a", "type": "string"}]}', "AVRO")
    registered = SchemaRegistryClient({"url": whole.registry_url}).register_schema("kept-value", schema)
    whole.registry.kill()
    whole.registry.start()
    whole.registry.wait_ready()
    found = SchemaRegistryClient({"url": whole.registry_url}).get_latest_version("kept-value")
    assert found.schema_id == registered


def test_registry_refuses_an_incompatible_schema(whole: Stack) -> None:
    """A subject is FULL_TRANSITIVE unless said otherwise: a new field without a default is refused."""
    client = SchemaRegistryClient({"url": whole.registry_url})
    first = '{"type": "record", "name": "r", "fields": [{"name": "a", "type": "string"}]}'
    second = first.replace("]}", ', {"name": "b", "type": "string"}]}')
    client.register_schema("strict-value", Schema(first, "AVRO"))
    with pytest.raises(SchemaRegistryError) as refused:
        client.register_schema("strict-value", Schema(second, "AVRO"))
    assert refused.value.http_status_code == 409


def test_the_door_with_passwords_gives_a_user_only_what_access_rules_say(whole: Stack) -> None:
    """A user of the SASL listener sees no topic until a rule lets it; without a name one is the operator."""
    operator = AdminClient({"bootstrap.servers": whole.bootstrap_servers})
    operator.create_topics([NewTopic("guarded", 1, 1)])["guarded"].result(timeout=30)
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    change = UserScramCredentialUpsertion("tax", credential, b"secret-of-tax")
    operator.alter_user_scram_credentials([change])["tax"].result(timeout=30)
    user = AdminClient(
        {
            "bootstrap.servers": whole.kafka.sasl_address(),
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": "tax",
            "sasl.password": "secret-of-tax",
        }
    )
    assert "guarded" not in user.list_topics(timeout=30).topics
    rule = AclBinding(
        *(ResourceType.TOPIC, "guarded", ResourcePatternType.LITERAL),
        *("User:tax", "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW),
    )
    operator.create_acls([rule])[rule].result(timeout=30)
    deadline = time.monotonic() + 30
    while "guarded" not in user.list_topics(timeout=30).topics:
        assert time.monotonic() < deadline


def test_postgres_runs_unprivileged_and_opens_no_folder(small: Stack) -> None:
    """The database server is never root, and no folder above its own gets other permissions for it."""
    above = [small.home, *small.home.parents]
    before = [folder.stat().st_mode for folder in above]
    small.up()
    status = Path(f"/proc/{small.postgres.pid}/status").read_text()
    (uids,) = (line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
    assert "0" not in uids
    assert [folder.stat().st_mode for folder in above] == before


def test_postgres_restarts_at_once_after_a_kill_and_keeps_what_was_committed(whole: Stack) -> None:
    """kill -9 of the database server loses no committed row, and `start` waits for the killed one's children."""
    with psycopg.connect(whole.postgres_url) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    whole.postgres.kill()
    whole.postgres.start()
    whole.postgres.wait_ready()
    with psycopg.connect(whole.postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_postgres_logs_no_value_of_a_refused_statement(small: Stack) -> None:
    """Neither the text nor the detail of a failing statement reaches the database server's log."""
    small.up()
    with psycopg.connect(small.postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE unique_ids (id text PRIMARY KEY)")
        connection.execute("INSERT INTO unique_ids VALUES ('canary-value')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO unique_ids VALUES ('canary-value')")
    small.down()
    logs = [file.read_text() for file in small.postgres.folder.rglob("*.log*")]
    assert any("unique_ids_pkey" in log for log in logs)
    assert not any("canary-value" in log for log in logs)


def test_servers_that_the_environment_names_are_not_started(small: Stack) -> None:
    """With GOVBUS_BOOTSTRAP_SERVERS and GOVBUS_REGISTRY_URL set, only the database is started."""
    report = small.up()
    assert report.started == ("postgres",)
    assert report.not_ours == ("kafka", "registry")
    assert small.bootstrap_servers == ELSEWHERE["GOVBUS_BOOTSTRAP_SERVERS"]
    assert {server.name: server.state for server in small.status()} == {
        "kafka": "your own",
        "registry": "your own",
        "postgres": "running",
    }


def test_down_ends_what_up_started_and_keeps_ports_and_data(small: Stack) -> None:
    """After `down` nothing runs and no address is published; the next `up` has the same port and the same rows."""
    small.up()
    mark, url = small.postgres.mark, small.postgres_url
    assert mark is not None
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    assert small.down() == ("postgres",)
    assert not mark.alive()
    assert not (small.folder / "stack.json").exists()
    small.up()
    assert small.postgres_url == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_down_spares_a_process_that_merely_has_a_noted_pid(small: Stack) -> None:
    """A pid that the kernel has given to another process since is not ours: that process survives `down`."""
    small.up()
    mark = small.postgres.mark
    assert mark is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as decoy:
        noted = ProcessMark(decoy.pid, mark.start_ticks, mark.boot_id)
        small.record.set_mark("postgres", noted)
        assert small.down() == ()
        assert decoy.poll() is None
        # The record was falsified above, so the real process is ended here.
        mark.end(signal.SIGINT)


def test_purge_removes_the_folder(small: Stack) -> None:
    """`down --purge` leaves nothing behind."""
    small.up()
    small.down(purge=True)
    assert not small.folder.exists()


def test_a_wanted_port_that_is_taken_is_named_with_its_holder(tmp_path: Path) -> None:
    """Asking for a taken port fails with one message that names port and holder, and exit code 1."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = govbus(tmp_path, "up", f"--postgres-port={port}", env=ELSEWHERE)
    assert done.returncode == 1
    assert f"port {port} is taken by process {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr
    assert govbus(tmp_path, "down", "--purge").returncode == 0


def test_a_former_port_that_is_taken_is_replaced_and_said(small: Stack) -> None:
    """When the whole stack was down and somebody took its port meanwhile, `up` takes another and reports it."""
    small.up()
    port = small.postgres.port
    small.down()
    lines: list[str] = []
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        small.up(lines.append)
    assert small.postgres.port != port
    assert any("the former port of postgres is taken" in line for line in lines)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    """A folder that no stack made is refused by name, and nothing in it changes."""
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "thesis.txt").write_text("mine")
    with pytest.raises(StackError, match=r"is taken: it holds thesis\.txt"):
        Stack(tmp_path, cache=CACHE, env=ELSEWHERE).up()
    assert (tmp_path / "stack" / "thesis.txt").read_text() == "mine"
    assert Stack(tmp_path, cache=CACHE, env=ELSEWHERE).down(purge=True) == ()
    assert (tmp_path / "stack" / "thesis.txt").exists()


def test_a_download_that_fails_says_what_to_do(tmp_path: Path) -> None:
    """Without a network the message names what could not be had, and servers of one's own as the way out."""
    proxy = f"http://127.0.0.1:{free_port(set())}"
    env = ELSEWHERE | {"GOVBUS_POSTGRES_URL": "postgresql://elsewhere/db"}
    del env["GOVBUS_REGISTRY_URL"]
    done = subprocess.run(
        [Path(sys.executable).parent / "govbus", "--city", tmp_path, "stack", "up"],
        env={"PATH": os.defpath, "HOME": str(tmp_path), "HTTPS_PROXY": proxy, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot download Apicurio Registry" in done.stderr
    assert "GOVBUS_REGISTRY_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_servers_outlive_the_command_that_started_them(tmp_path: Path) -> None:
    """`govbus stack up` ends and its servers stay; `status` finds them from a new process, `down` ends them."""
    up = govbus(tmp_path, "up", env=ELSEWHERE)
    assert up.returncode == 0, up.stderr
    mark = Stack(tmp_path, cache=CACHE, env=ELSEWHERE).postgres.mark
    assert mark is not None
    assert govbus(tmp_path, "status", env=ELSEWHERE).returncode == 0
    password = json.loads((tmp_path / "stack" / "identity.json").read_text())["postgres_password"]
    assert password not in up.stdout + up.stderr
    down = govbus(tmp_path, "down", "--purge", env=ELSEWHERE)
    assert down.returncode == 0, down.stderr
    assert not mark.alive()
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def test_the_documented_commands_run(tmp_path: Path) -> None:
    """Every `govbus stack` line of docs/stack.md works as shown, one after the other."""
    text = (CACHE.parent / "docs" / "stack.md").read_text()
    shell = text.partition("```sh\n")[2].partition("```")[0]
    lines = [line.partition("#")[0].split() for line in shell.splitlines()]
    assert [line[:3] for line in lines] == [
        ["govbus", "stack", "up"],
        ["govbus", "stack", "status"],
        ["govbus", "stack", "down"],
        ["govbus", "stack", "down"],
    ]
    for line in lines:
        done = govbus(tmp_path, *line[2:], env=ELSEWHERE)
        assert done.returncode == 0, done.stderr


def test_the_documented_python_runs(tmp_path: Path) -> None:
    """The Python example of docs/stack.md runs as it stands, and leaves nothing running."""
    text = (CACHE.parent / "docs" / "stack.md").read_text()
    program = text.partition("```python\n")[2].partition("```")[0]
    # As in a clone whose downloads are there already.
    (tmp_path / ".cache").symlink_to(CACHE)
    env = {key: value for key, value in os.environ.items() if not key.startswith("GOVBUS_")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "work").iterdir()) == []


def test_two_commands_at_once_are_told_of_each_other(small: Stack) -> None:
    """While one command changes the stack, another is refused at once instead of doing half of the same."""
    import fcntl

    small.up()
    with (small.folder / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StackError, match="another `govbus stack` command"):
            small.down()
    assert small.postgres.mark is not None
