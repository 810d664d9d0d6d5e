"""The servers that tests run against: chosen once per session, real in every case, never replaced by a skip."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from govbus.kafka.settings import Settings
from govbus.ops.stack import OWN_SERVICES, Stack
from govbus.ops.stack.kafka_server import PROPERTIES
from govbus.ops.stack.ports import LOOPBACK, free_port

REPOSITORY = Path(__file__).parent.parent
CACHE = REPOSITORY / ".cache"
_SESSIONS = CACHE / "test-stacks"

# Where the broker listens is the container's own business, and it has no door with passwords.
_CONTAINER_OWN = ("process.roles", "node.id", "controller.", "listener.", "sasl.")


@dataclass(frozen=True)
class RunningStack:
    """The servers of this test session.

    `local` is the stack of our own that runs those servers which the environment did not name; its servers may be
    killed and started again by a test that leaves them running.
    """

    kind: str
    bootstrap_servers: str
    registry_url: str
    postgres_url: str
    local: Stack

    def settings(self, folder: Path) -> Settings:
        """Return settings against these servers, with a city and a data folder inside *folder*."""
        return Settings(
            city_dir=folder / "city",
            home=folder / "home",
            bootstrap_servers=self.bootstrap_servers,
            registry_url=self.registry_url,
            postgres_url=self.postgres_url,
            cache_dir=CACHE,
        )


@contextmanager
def running_stack(env: Mapping[str, str] = os.environ) -> Iterator[RunningStack]:
    """Yield the servers, in this order: GOVBUS_* variables, containers where asked for, the local stack.

    Raises StackError (or Docker's own error) where they cannot be had.
    """
    with ExitStack() as at_end:
        named = dict(env)
        kind = "local stack"
        if env.get("GOVBUS_TEST_STACK") == "containers" and _docker_answers():
            kind = "containers"
            named |= at_end.enter_context(_containers())
        elif all(env.get(variable) for variable in OWN_SERVICES.values()):
            kind = "servers of the environment"
        local = at_end.enter_context(own_stack(named))
        yield RunningStack(
            kind=kind,
            bootstrap_servers=local.bootstrap_servers,
            registry_url=local.registry_url,
            postgres_url=local.postgres_url,
            local=local,
        )


@contextmanager
def own_stack(env: Mapping[str, str], kafka_properties: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Yield a stack in a folder of its own that is gone afterwards; *env* may name servers that it need not start.

    A session that was killed leaves its servers behind: the next session ends those of every session that no longer
    holds its lock, and nobody else's.
    """
    _SESSIONS.mkdir(parents=True, exist_ok=True)
    with ExitStack() as at_end:
        with (_SESSIONS / "sweep.lock").open("w") as sweep:
            # No session sweeps while another is between making its folder and locking it.
            fcntl.flock(sweep, fcntl.LOCK_EX)
            _sweep()
            home = Path(tempfile.mkdtemp(dir=_SESSIONS))
            lock = at_end.enter_context((home / "session.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        stack = Stack(home, cache=CACHE, env=env, kafka_properties=kafka_properties or {})
        try:
            stack.up()
            yield stack
        finally:
            stack.down(purge=True)
            shutil.rmtree(home)


def new_prefix() -> str:
    """Return a prefix for topic names that nobody else has, like "t3f9a1c."."""
    return f"t{secrets.token_hex(3)}."


@contextmanager
def own_topics(bootstrap_servers: str) -> Iterator[str]:
    """Yield a prefix for topic names that nobody else has; topics whose names begin with it are deleted afterwards."""
    from confluent_kafka.admin import AdminClient

    prefix = new_prefix()
    try:
        yield prefix
    finally:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        ours = [name for name in admin.list_topics(timeout=30).topics if name.startswith(prefix)]
        if ours:
            for deleted in admin.delete_topics(ours).values():
                deleted.result(timeout=30)


@contextmanager
def own_database(postgres_url: str) -> Iterator[str]:
    """Yield the address of a new database beside the one of *postgres_url*; it is dropped afterwards."""
    import psycopg
    from psycopg.conninfo import make_conninfo

    name = f"t{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield make_conninfo(postgres_url, dbname=name)
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _sweep() -> None:
    for home in _SESSIONS.iterdir():
        lock_file = home / "session.lock"
        if not lock_file.is_file():
            continue
        with lock_file.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            Stack(home, cache=CACHE).down(purge=True)
            shutil.rmtree(home)


def _docker_answers() -> bool:
    import docker
    from docker.errors import DockerException

    try:
        return bool(docker.from_env().ping())
    except DockerException:
        return False


@contextmanager
def _containers() -> Iterator[dict[str, str]]:
    """Yield the variables that name a Kafka and a Postgres in containers, of the local stack's versions."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy
    from testcontainers.postgres import PostgresContainer

    port = free_port(set())
    properties = {key: value for key, value in PROPERTIES.items() if not key.startswith(_CONTAINER_OWN)} | {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        # Clients are told the port on this machine, which therefore has to be known before the container starts.
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": "1@localhost:9093",
    }
    kafka = DockerContainer("apache/kafka:4.3.1").waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    kafka.ports = {9092: (LOOPBACK, port)}
    for key, value in properties.items():
        kafka.with_env("KAFKA_" + key.upper().replace(".", "_"), value)
    with kafka, PostgresContainer("postgres:18", driver=None) as postgres:
        yield {
            "GOVBUS_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{port}",
            "GOVBUS_POSTGRES_URL": postgres.get_connection_url(),
        }
