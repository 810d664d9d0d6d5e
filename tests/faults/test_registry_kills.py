"""A schema registry that is killed, or answers no more: who needs it waits and says so, and nothing is put aside."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from integration.bus_process import BusProcess, eventually, running
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, PERSON, person

from govbus.codec.schemas import record_schema
from govbus.exchange.transaction import OPEN_TRANSACTION_MS
from govbus.kafka.registry import Registry
from govbus.kafka.settings import Settings
from govbus.ops.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

WAITING = 'govbus_loop_waiting{reason="registry"} 1.0'
SAID = "waiting for the schema registry"


@pytest.fixture
def bus(settings: Settings, killable_stack: Stack, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    return ExchangeBus(replace(settings, registry_url=killable_stack.registry_url), topic_prefix, tmp_path / "city")


@contextmanager
def registry_down(stack: Stack) -> Iterator[None]:
    """Kill the registry as a power cut would; after the context it serves again, with the same data."""
    stack.registry.kill()
    try:
        yield
    finally:
        stack.registry.start()
        stack.registry.wait_ready()


@contextmanager
def registry_asleep(stack: Stack) -> Iterator[None]:
    """Within the context the registry still takes connections, and answers nothing."""
    asleep = stack.registry.pid
    assert asleep is not None
    os.kill(asleep, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(asleep, signal.SIGCONT)


def grown(bus: ExchangeBus) -> int:
    """Register, as a department does that is ahead of `apply`, persons with one optional field more."""
    schema = dict(bus.documents["schemas/police/person.avsc"])
    more = {"name": f"extra_{secrets.token_hex(3)}", "type": ["null", "int"], "default": None}
    later = record_schema({**schema, "fields": [*schema["fields"], more]})
    number = Registry(bus.settings).register(bus.topics.subject(bus.topics.raw(PERSON)), later)
    bus.also_known[PERSON] = [(number, later)]
    return number


def send_grown(bus: ExchangeBus, number: int, record: dict[str, Any]) -> None:
    """Say that *record* is so, under the schema that `grown` registered."""
    value = bus.value(PERSON, record, bus.version())
    bus.send(bus.key(PERSON, record), b"\x00" + number.to_bytes(4, "big") + value[5:] + b"\x02\x04")


def answer(bus: ExchangeBus, path: str) -> str:
    """Return what the worker answers on its own port; empty while it does not answer."""
    try:
        target = json.loads((bus.settings.home / "run" / "exchange-w1.json").read_text())[0]["targets"][0]
        with urllib.request.urlopen(f"http://{target}{path}", timeout=5) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except (OSError, ValueError):
        return ""


def waits(bus: ExchangeBus, worker: BusProcess) -> None:
    """Return once the worker says, in log, metric and readiness, that it waits for the registry."""
    worker.wait_until_says(SAID)
    eventually(lambda: WAITING in answer(bus, "/metrics"))
    assert answer(bus, "/readyz") == "waiting for registry\n"
    assert answer(bus, "/healthz") == "alive\n"


@pytest.mark.parametrize("away", [registry_down, registry_asleep])
def test_a_record_of_a_later_schema_waits_for_the_registry(
    bus: ExchangeBus, killable_stack: Stack, away: Callable[[Stack], AbstractContextManager[None]]
) -> None:
    """What needs the registry waits with everything behind it, longer than a transaction may last; then all arrives."""
    later = grown(bus)
    with running(bus, "exchange", "--worker-id", "w1", "--supervise") as worker:
        for number in range(100):
            bus.upsert(person(number))
        bus.flush()
        eventually(lambda: len(bus.shared(AID)) == 100)
        with away(killable_stack):
            began = time.monotonic()
            for number in range(100, 200):
                bus.upsert(person(number))
                send_grown(bus, later, person(number, income=1))
            bus.flush()
            waits(bus, worker)
            eventually(lambda: time.monotonic() - began > OPEN_TRANSACTION_MS / 1000 + 2)
            assert bus.reasons() == []
        eventually(lambda: len(bus.shared(AID)) == 200)
        eventually(lambda: answer(bus, "/readyz") == "ready\n")
        assert WAITING not in answer(bus, "/metrics")
        assert "is started again" not in worker.said
        worker.process.terminate()
        assert worker.wait() == 0, worker.said
    bus.exchange()
    bus.check()
    assert bus.reasons() == []


def test_views_that_change_wait_for_the_registry(bus: ExchangeBus, killable_stack: Stack) -> None:
    """A new revision over records of a schema it does not list: the start waits, then the change is made whole."""
    later = grown(bus)
    for number in range(20):
        send_grown(bus, later, person(number))
    bus.exchange()
    assert len(bus.check()[AID]) == 20
    grant = bus.documents["producers/police/person.yaml"]["grants"][2]
    grant["fields"] = bus.documents["consumers/care/aid.yaml"]["datasets"][PERSON]["fields"] = {
        name: mask for name, mask in grant["fields"].items() if name != "income"
    }
    bus.apply()
    assert later not in [number for number, _ in bus.revision.schema_ids[PERSON]]
    with registry_down(killable_stack), running(bus, "exchange", "--worker-id", "w1", "--supervise") as worker:
        waits(bus, worker)
        # One that is asked to stop while it waits ends well, and has changed nothing.
        worker.process.terminate()
        assert worker.wait() == 0, worker.said
    with running(bus, "exchange", "--worker-id", "w1", "--supervise") as worker:
        with registry_down(killable_stack):
            waits(bus, worker)
        eventually(lambda: answer(bus, "/readyz") == "ready\n")
        assert "is started again" not in worker.said
    assert len(bus.check()[AID]) == 20
