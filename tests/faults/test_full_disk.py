"""No room for the state: the worker ends with a message, is started again with growing pauses, and goes on by itself.

The shortage is real. A limit on the size of files (RLIMIT_FSIZE) can be had everywhere; where this machine lets us
mount, a small disk of its own is filled as well.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import pytest
from faults.share_records import nothing_doubled
from integration.bus_process import BusProcess, eventually, running
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, person

from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack

FILE_BYTES = 100_000
DISK_BYTES = 2 * 1024 * 1024
NAME_BYTES = 10_000
RECORDS = 50
RESTARTED = "the worker ended and is started again"


class Shortage(ABC):
    """Little room for the state of a worker under *supervisor*, whose states lie in *folder*, until `relieve`."""

    def __init__(self, folder: Path, supervisor: BusProcess) -> None:
        self.folder = folder
        self.supervisor = supervisor

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def relieve(self) -> None: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...


class FileLimit(Shortage):
    """No file may grow beyond some bytes. Workers inherit that from their supervisor, which writes none itself."""

    def __enter__(self) -> Self:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.prlimit(self.supervisor.process.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, most))
        return self

    def relieve(self) -> None:
        resource.prlimit(self.supervisor.process.pid, resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE))

    def __exit__(self, *_: object) -> None:
        """The limit ends with its processes."""


class SmallDisk(Shortage):
    """A file system in memory that takes a few bytes, and later more."""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", self.folder], check=True)
        return self

    def relieve(self) -> None:
        subprocess.run(["mount", "-o", f"remount,size={50 * DISK_BYTES}", self.folder], check=True)

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True)


def _may_mount() -> bool:
    """Whether this process may mount: the kernel lets it make a mount namespace, and it is root in its own."""
    try:
        return subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    return ExchangeBus(settings, topic_prefix, tmp_path / "city")


def pauses(supervisor: BusProcess) -> list[float]:
    """Return how long the supervisor waited before each start after the first."""
    lines = [line for line in supervisor.said.splitlines() if RESTARTED in line]
    return [json.loads(line)["pause_seconds"] for line in lines]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", [FileLimit, *([SmallDisk] if _may_mount() else [])])
def test_no_room_for_the_state(bus: ExchangeBus, kind: type[Shortage], seed: int) -> None:
    """What the disk cannot hold is said and waited for; with room again nothing is missing and nothing sent twice."""
    chance = random.Random(seed)
    sent = 0

    def publish() -> None:
        nonlocal sent
        for number in range(RECORDS):
            sent += 1
            bus.upsert(person(number, name=chance.randbytes(NAME_BYTES // 2).hex(), income=sent))
        bus.flush()

    def shared(records: int) -> bool:
        return len(bus.read(bus.topics.share(AID))) >= records

    with (
        running(bus, "exchange", "--worker-id", "w1", "--supervise") as supervisor,
        kind(bus.state_folder().parent, supervisor) as shortage,
    ):
        for _ in range(100):
            publish()
            eventually(lambda: pauses(supervisor) or shared(sent))
            if pauses(supervisor):
                break
        eventually(lambda: len(pauses(supervisor)) >= 4)
        publish()
        assert "free the disk if it is full" in supervisor.said
        assert "Traceback" not in supervisor.said
        assert pauses(supervisor)[:4] == sorted(set(pauses(supervisor)[:4])), "the pauses do not grow"
        shortage.relieve()
        eventually(lambda: shared(sent), pause_seconds=0.5)
        nothing_doubled(bus, sent)
        for number in range(RECORDS):
            bus.delete(person(number))
        bus.flush()
        eventually(lambda: shared(sent + RECORDS), pause_seconds=0.5)
        nothing_doubled(bus, sent + RECORDS)
        supervisor.signal(signal.SIGTERM)
        assert supervisor.wait() == 0, supervisor.said
