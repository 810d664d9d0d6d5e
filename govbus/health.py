"""What a process tells its surroundings: ``/metrics``, ``/healthz``, ``/readyz``, and a note of where it listens.

A main loop makes one `Health`, calls `beat` each time it comes round (with or without work) and says what it waits for;
an `Endpoint` serves that from a daemon thread::

    health = Health("exchange", "exchange-1")
    with Endpoint(health, settings.home, Listen.load(os.environ)):
        while ...:
            health.beat()

While it runs, ``HOME/run/NAME.json`` says where. The file is at once a target list for Prometheus (``file_sd_configs``)
and what `processes` reads for ``govbus status``. It stays behind when a process is killed: the target is then down,
which is what the operators should see. The next start under the same name overwrites it, a graceful end removes it.

Environment::

    GOVBUS_METRICS_HOST   address to listen on; default 127.0.0.1, because the figures are for the operators alone
    GOVBUS_METRICS_PORT   port to listen on; default 0, any free one
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Literal, Self

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from govbus import metrics
from govbus.errors import SettingsError

Component = Literal["exchange", "adapter", "delivery"]

STALL_SECONDS = 60.0
"""A loop that has not come round for so long is taken for dead."""

RUN_FOLDER = "run"
"""Under the data folder: one file per process that runs."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_REQUEST_SECONDS = 10.0
_CLOSE_SECONDS = 0.1
log = structlog.get_logger()


class Health:
    """Whether a main loop lives and does its work. Safe between threads; a beat costs about a microsecond."""

    def __init__(
        self,
        component: Component,
        name: str,
        *,
        stall_seconds: float = STALL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError("a process's name is made of letters, digits, dot, dash and underscore")
        self.component = component
        self.name = name
        self.stall_seconds = stall_seconds
        self._monotonic = monotonic
        self._lock = Lock()
        self._waiting: metrics.Waiting | None = None
        self._ready = False
        self._beaten_at = monotonic()
        self.beat()

    def beat(self) -> None:
        """Say that the loop came round."""
        self._beaten_at = self._monotonic()
        metrics.LOOP_PROGRESS_TIMESTAMP.set_to_current_time()

    def set_ready(self, ready: bool) -> None:
        """Say whether the process does its work: connected, assigned and caught up. Being ready ends all waiting."""
        with self._lock:
            self._ready = ready
            if ready:
                self._wait_for(None)
            metrics.LOOP_READY.set(self._is_ready())

    def wait_for(self, reason: metrics.Waiting | None) -> None:
        """Say what the loop cannot go on without, or None when it can go on. A process that waits is not ready."""
        with self._lock:
            self._wait_for(reason)
            metrics.LOOP_READY.set(self._is_ready())

    def _wait_for(self, reason: metrics.Waiting | None) -> None:
        if self._waiting is not None and self._waiting != reason:
            metrics.LOOP_WAITING.labels(reason=self._waiting.value).set(0)
        if reason is not None:
            metrics.LOOP_WAITING.labels(reason=reason.value).set(1)
        self._waiting = reason

    def _is_ready(self) -> bool:
        return self._ready and self._waiting is None

    @property
    def seconds_since_beat(self) -> float:
        return self._monotonic() - self._beaten_at

    def alive(self) -> tuple[bool, str]:
        """Return whether the loop came round lately, and a line that says so."""
        silent_seconds = self.seconds_since_beat
        if silent_seconds > self.stall_seconds:
            return False, f"no progress for {silent_seconds:.0f} s"
        return True, "alive"

    def ready(self) -> tuple[bool, str]:
        """Return whether the process does its work, and a line that says what it waits for if not."""
        alive, line = self.alive()
        if not alive:
            return False, line
        with self._lock:
            if self._waiting is not None:
                return False, f"waiting for {self._waiting.value}"
            return self._ready, "ready" if self._ready else "starting"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen; port 0 is any free one."""

    host: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def load(cls, env: Mapping[str, str]) -> Listen:
        """Return what *env* says. Raises SettingsError when it is not an address."""
        text = env.get("GOVBUS_METRICS_PORT") or "0"
        if not text.isascii() or not text.isdigit() or int(text) > 65_535:
            raise SettingsError("GOVBUS_METRICS_PORT is not a port: set it to 0 (any free one) or to 1 .. 65535")
        return cls(env.get("GOVBUS_METRICS_HOST") or "127.0.0.1", int(text))


class Endpoint:
    """The HTTP side of a `Health`, while the context lasts. Answers GET and HEAD of three paths, nothing else."""

    def __init__(self, health: Health, home: Path, listen: Listen = Listen()) -> None:
        self._health = health
        self._listen = listen
        self._file = home / RUN_FOLDER / f"{health.name}.json"
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on. Raises RuntimeError outside the context."""
        if self._server is None:
            raise RuntimeError("the endpoint is not open")
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        # The client library would add a `_created` series to every counter: twice the series for no question of ours.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        metrics.BUILD_INFO.labels(version=version("govbus")).set(1)
        registry = metrics.registry_of(self._health.component)
        ProcessCollector(registry=registry)
        try:
            self._server = _Server(self._listen, self._health, registry)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {self._listen.host} port {self._listen.port} ({error.strerror}): set "
                "GOVBUS_METRICS_HOST and GOVBUS_METRICS_PORT to an address that is free; port 0 is any free one"
            ) from error
        Thread(target=self._server.serve_forever, args=(_CLOSE_SECONDS,), name="govbus-endpoint", daemon=True).start()
        self._write_file()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        process = _read(self._file)
        if process is not None and process.pid == os.getpid():
            self._file.unlink(missing_ok=True)

    def _write_file(self) -> None:
        process = Process(self._health.name, self._health.component, self._advertised(), os.getpid())
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_name(f".{self._file.name}.{process.pid}")
        draft.write_text(json.dumps(process.target_list()))
        draft.replace(self._file)

    def _advertised(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._listen.host, self._listen.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that wrote down where it listens; it may have died since (`running`)."""

    name: str
    component: str
    address: str
    pid: int

    @property
    def running(self) -> bool:
        """Whether a process of this id lives on this machine."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def target_list(self) -> list[dict[str, object]]:
        """Return the content of its file. Prometheus drops labels with two underscores once it has read them."""
        labels = {"instance": self.name, "component": self.component, "__govbus_pid": str(self.pid)}
        return [{"targets": [self.address], "labels": labels}]


def processes(home: Path) -> list[Process]:
    """Return what the processes under *home* wrote down, by name; dead ones too."""
    read = (_read(file) for file in sorted((home / RUN_FOLDER).glob("*.json")))
    return [process for process in read if process is not None]


def _read(file: Path) -> Process | None:
    try:
        content = json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        # Gone in the meantime, or cut short by a power failure: either way it names no process.
        return None
    labels = content[0]["labels"]
    return Process(labels["instance"], labels["component"], content[0]["targets"][0], int(labels["__govbus_pid"]))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listen: Listen, health: Health, registry: CollectorRegistry) -> None:
        self.health = health
        self.registry = registry
        self.address_family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        super().__init__((listen.host, listen.port), _Handler)

    def server_bind(self) -> None:
        # The parent's also asks DNS for its own name, which can take many seconds on an isolated network.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong in an answer; a caller that went away in the middle of one is no news."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            log.error("endpoint_failed", error=type(error).__name__)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _REQUEST_SECONDS

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, generate_latest(self.server.registry), CONTENT_TYPE_LATEST)
        elif path == "/healthz":
            self._judge(*self.server.health.alive())
        elif path == "/readyz":
            self._judge(*self.server.health.ready())
        else:
            self._answer(404, b"there are /metrics, /healthz and /readyz\n")

    do_HEAD = do_GET

    def _judge(self, good: bool, line: str) -> None:
        self._answer(200 if good else 503, f"{line}\n".encode())

    def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return "govbus"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a scrape every few seconds is no news."""
