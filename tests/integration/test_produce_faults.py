"""The adapters when something is down, full or told to end: they wait and say so, and nothing is lost or doubled."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from integration.produce_bus import wait_for
from integration.test_produce_file import CSV, Police, held, people, police_with

from govbus.adapters.run import produce
from govbus.errors import SettingsError
from govbus.kafka.settings import Settings
from govbus.ops.stack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture
def police(settings: Settings, topic_prefix: str) -> Police:
    return police_with(settings, topic_prefix, CSV)


class Running:
    """An adapter in a thread of this process."""

    def __init__(self, police: Police) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._police = police
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            police = self._police
            produce(police.bus.settings, police.bus.topics, "police", drop=police.drop, stop=self.stop)
        except BaseException as error:
            self.error = error
            raise

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()
        assert self.error is None


@pytest.mark.timeout(600)
def test_a_broker_killed_under_the_adapter_loses_and_doubles_nothing(
    settings: Settings, topic_prefix: str, killable_stack: Stack
) -> None:
    """kill -9 of the broker while a file is being published: the adapter waits for it and goes on by itself."""
    settings = replace(
        settings,
        bootstrap_servers=killable_stack.bootstrap_servers,
        registry_url=killable_stack.registry_url,
    )
    police = police_with(settings, topic_prefix, CSV)
    rows = people(range(60_000))
    try:
        with Running(police):
            police.export(rows)
            with police.bus.end_of_raw() as end:
                wait_for(lambda: end() > 5_000)
            killable_stack.kafka.kill()
            assert not (police.folder / "done").exists(), "the file was through before the broker was killed"
            killable_stack.kafka.start()
            killable_stack.kafka.wait_ready()
            wait_for(lambda: (police.folder / "done" / "population.csv").exists(), 300)
    finally:
        killable_stack.kafka.start()
        killable_stack.kafka.wait_ready()
    assert police.bus.newest() == held(rows)


@pytest.mark.timeout(600)
def test_a_broker_that_is_down_at_the_start_is_waited_for(
    settings: Settings, topic_prefix: str, killable_stack: Stack
) -> None:
    """Started before its broker, the adapter waits and publishes once it is there."""
    settings = replace(
        settings,
        bootstrap_servers=killable_stack.bootstrap_servers,
        registry_url=killable_stack.registry_url,
    )
    police = police_with(settings, topic_prefix, CSV)
    police.export(people(range(10)))
    killable_stack.kafka.kill()
    try:
        with Running(police) as running:
            running.stop.wait(3)
            killable_stack.kafka.start()
            killable_stack.kafka.wait_ready()
            wait_for(lambda: (police.folder / "done" / "population.csv").exists(), 120)
    finally:
        killable_stack.kafka.start()
        killable_stack.kafka.wait_ready()
    assert police.bus.newest() == held(people(range(10)))


def _logged(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{"):
            yield json.loads(line)


def test_a_full_disk_is_waited_for_and_said(police: Police) -> None:
    """Where the journal can no longer be written nothing is sent past it; with room again all arrives once."""
    rows = people(range(20_000))
    police.export(rows)

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    with subprocess.Popen(
        police.command(), env=police.environment, stderr=subprocess.PIPE, text=True, preexec_fn=small_disk
    ) as adapter:
        cause = next(line["cause"] for line in _logged(adapter) if line["event"] == "producing waits")
        adapter.send_signal(signal.SIGTERM)
        adapter.communicate(timeout=60)
    assert "journal" in cause
    assert len(police.bus.raw()) < 20_000
    police.once()
    assert police.bus.newest() == held(rows)


def test_sigterm_in_the_middle_of_a_file_ends_soon_and_the_next_run_goes_on(police: Police) -> None:
    """A long file does not keep the process from ending; what was taken is taken up again."""
    rows = people(range(60_000))
    police.export(rows)
    with (
        police.bus.end_of_raw() as end,
        subprocess.Popen(police.command("--once"), env=police.environment, stdout=subprocess.DEVNULL) as adapter,
    ):
        wait_for(lambda: end() > 5_000)
        adapter.send_signal(signal.SIGTERM)
        assert adapter.wait(20) == 0
    assert (police.folder / ".taken" / "population.csv").exists()
    assert len(police.bus.newest()) < 60_000
    police.once()
    assert police.bus.newest() == held(rows)


def test_a_new_catalogue_is_taken_up_while_running(police: Police, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset applied later is published by the adapter that already runs."""
    monkeypatch.setattr("govbus.adapters.run.LOOK_FOR_REVISION_SECONDS", 0.5)
    police.export(people(range(3)))
    with Running(police):
        wait_for(lambda: (police.folder / "done" / "population.csv").exists())
        police.bus.declare("archive", source={**CSV, "path": "archive/*.csv"})
        police.bus.apply()
        (police.drop / "archive").mkdir()
        path = police.export(people(range(5)), "archive.csv")
        path.rename(police.drop / "archive" / "archive.csv")
        wait_for(lambda: (police.drop / "archive" / "done" / "archive.csv").exists())
    assert police.bus.newest("police.archive") == held(people(range(5)))


def test_a_command_that_leaves_something_to_decide_ends_with_1(police: Police) -> None:
    """`govbus produce --once` says by its exit code whether a file was refused or deletions wait."""
    path: Path = police.export(people(range(3)), header=["a", "b"])
    assert path.exists()
    ended = subprocess.run(
        police.command("--once"), env=police.environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "these columns are missing" in ended.stdout
    police.export(people(range(3)))
    ended = subprocess.run(
        police.command("--once"), env=police.environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_a_fault_of_one_dataset_does_not_keep_the_others_back(police: Police) -> None:
    """A table that is missing is said and waited for; the department's files go on meanwhile."""
    police.bus.declare("archive", source={"kind": "postgres", "table": "nowhere.archive", "watermark": "at"})
    police.bus.apply()
    police.export(people(range(3)))
    with pytest.raises(SettingsError, match=r"no table nowhere\.archive"):
        police.once()
    assert police.bus.newest() == held(people(range(3)))
    with Running(police):
        police.export(people(range(4)))
        wait_for(lambda: (police.folder / "done" / "population.2.csv").exists())
    assert police.bus.newest() == held(people(range(4)))
