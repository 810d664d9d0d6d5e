"""A department's sources, looked at in turn until told to stop: the loop behind `govbus produce`."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog
from pydantic import ValidationError

from govbus.adapters.feed import Feed
from govbus.adapters.file import FileAdapter
from govbus.adapters.journal import JournalBusy
from govbus.adapters.link import Link
from govbus.adapters.look import Adapter, Look, Progress
from govbus.adapters.outbox import OutboxAdapter
from govbus.adapters.postgres import PostgresAdapter
from govbus.adapters.postgres_source import SourceUnavailable
from govbus.catalogue.source import FileSource, OutboxSource, PostgresSource, PythonSource, parse_source
from govbus.errors import GovbusError, SettingsError, Unavailable
from govbus.health import Health
from govbus.kafka.clients import Fenced
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.metrics import Waiting

log = structlog.get_logger()

LOOK_FOR_REVISION_SECONDS = 15.0
"""How often to look whether a new catalogue was applied."""

NOTE_SECONDS = 10.0
"""How often a source without news is noted on ``bus.progress``; with news it is noted at once."""

ONCE_PATIENCE_SECONDS = 60.0
"""For how long a run of `once` waits for brokers, registry or database before it gives up."""

STOP_SECONDS = 5.0
"""For how long a process that is to end still waits for brokers to acknowledge what is under way."""

_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_TURN_SECONDS = 0.2


class Stopped(GovbusError):
    """The process was told to end; what was under way is taken up by the next run."""


@dataclass
class Produced:
    """What was done, by dataset: all looks of it together. `own_program`: datasets that a program publishes."""

    revision: int = 0
    looks: dict[str, Look] = field(default_factory=dict)
    own_program: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing waits for a person: no file refused, no deletions held."""
        return not any(look.said for look in self.looks.values())


@dataclass
class _Turn:
    """One adapter and when it is due."""

    adapter: Adapter
    due: float = 0.0
    wait_seconds: float = _FIRST_WAIT_SECONDS
    noted_at: float = float("-inf")
    finished: bool = False
    failed: GovbusError | None = None
    """Of a run of `once`: what a person has to put right for this dataset."""


class _NewRevision(GovbusError):
    """A catalogue was applied: everything is opened again under it."""


def produce(
    settings: Settings,
    topics: Topics,
    department: str,
    datasets: Sequence[str] | None = None,
    *,
    once: bool = False,
    dry_run: bool = False,
    accept_deletions: int | None = None,
    drop: Path | None = None,
    progress: Progress = lambda doing, done, of: None,
    stop: threading.Event | None = None,
    health: Health | None = None,
) -> Produced:
    """Publish what *department*'s sources have to say, until *stop* is set, or (*once*) until there is nothing more.

    *datasets* restricts to some of them, by name. *dry_run* counts what would be sent and rejected and changes nothing.
    *accept_deletions* lets a snapshot delete up to so many records whatever its limit says. *drop* is the drop folder
    (default ``HOME/drop/DEPARTMENT``).

    A fault of one dataset does not keep the others back: it is waited out with a log line. A run of *once* raises it
    when the others are done (a fault that may pass only after a minute of trying). Raises SettingsError for an unknown
    department or dataset, `JournalBusy` where another process publishes one, `Fenced` where the process must end.
    """
    loop = _Loop(
        settings=settings,
        topics=topics,
        department=department,
        datasets=datasets,
        once=once or dry_run,
        dry_run=dry_run,
        accept_deletions=accept_deletions,
        drop=drop or settings.home / "drop" / department,
        progress=progress,
        stop=stop or threading.Event(),
        health=health,
    )
    loop.run()
    return loop.produced


@dataclass
class _Loop:
    settings: Settings
    topics: Topics
    department: str
    datasets: Sequence[str] | None
    once: bool
    dry_run: bool
    accept_deletions: int | None
    drop: Path
    progress: Progress
    stop: threading.Event
    health: Health | None
    produced: Produced = field(default_factory=Produced)
    _stopped_at: float | None = None
    _started: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        wait_seconds = _FIRST_WAIT_SECONDS
        while not self.stop.is_set():
            try:
                self._under_one_revision()
            except _NewRevision:
                log.info("a new catalogue was applied", department=self.department)
            except Unavailable as unavailable:
                if self.once and self._out_of_patience():
                    raise
                self._say_waiting(unavailable, "catalogue", wait_seconds)
                self.stop.wait(wait_seconds)
                wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
            else:
                return

    def _under_one_revision(self) -> None:
        link = Link(self.settings, self.topics)
        turns: list[_Turn] = []
        try:
            self.produced.revision = link.revision.number
            turns = [_Turn(adapter) for adapter in self._adapters(link)]
            link.on_wait = self._on_wait
            end, looked_at = link.catalogue_end(), time.monotonic()
            if self.health is not None:
                self.health.set_ready(True)
            while not self.stop.is_set() and not all(turn.finished for turn in turns):
                for turn in turns:
                    if not self.stop.is_set() and not turn.finished and time.monotonic() >= turn.due:
                        self._take_turn(turn, link)
                self._beat()
                if not self.once and time.monotonic() - looked_at > LOOK_FOR_REVISION_SECONDS:
                    if link.catalogue_end() != end:
                        raise _NewRevision("a new catalogue was applied")
                    looked_at = time.monotonic()
                if not all(turn.finished for turn in turns):
                    self.stop.wait(_TURN_SECONDS)
            for turn in turns:
                if turn.failed is not None:
                    raise turn.failed
        finally:
            for turn in turns:
                turn.adapter.let_go()
            link.close()

    def _take_turn(self, turn: _Turn, link: Link) -> None:
        adapter = turn.adapter
        try:
            look = adapter.look()
        except Stopped:
            adapter.let_go()
            return
        except (Fenced, JournalBusy):
            raise
        except (GovbusError, OSError, sqlite3.Error) as failure:
            adapter.let_go()
            error = failure if isinstance(failure, GovbusError) else _local(failure)
            if self.once and (not isinstance(error, Unavailable) or self._out_of_patience()):
                turn.finished, turn.failed = True, error
                return
            self._say_waiting(error, adapter.dataset, turn.wait_seconds)
            turn.due = time.monotonic() + turn.wait_seconds
            turn.wait_seconds = min(2 * turn.wait_seconds, _LONGEST_WAIT_SECONDS)
            return
        turn.wait_seconds = _FIRST_WAIT_SECONDS
        turn.due = time.monotonic() + adapter.every_seconds
        if self.health is not None:
            self.health.set_ready(True)
        self._account(turn, look, link)
        # A file that is still being written is waited for; everything else was taken in whole.
        turn.finished = self.once and not look.pending

    def _account(self, turn: _Turn, look: Look, link: Link) -> None:
        dataset = turn.adapter.dataset
        if dataset in self.produced.looks:
            self.produced.looks[dataset].add(look)
        else:
            self.produced.looks[dataset] = look
        if self.dry_run:
            return
        look.show()
        news = bool(look.counts.upserted or look.counts.deleted or look.rejections or look.held)
        if look.completed and (news or self.once or time.monotonic() - turn.noted_at > NOTE_SECONDS):
            try:
                link.note_poll(dataset, turn.adapter.kind, look.note(datetime.now(UTC).isoformat(timespec="seconds")))
            except Fenced:
                raise
            except GovbusError as unnoted:
                # The records themselves have arrived; the next look is noted again.
                log.warning("look not noted", dataset=dataset, cause=str(unnoted))
            else:
                turn.noted_at = time.monotonic()
        if news:
            log.info(
                "published",
                dataset=dataset,
                rows=look.rows,
                upserted=look.counts.upserted,
                deleted=look.counts.deleted,
                unchanged=look.counts.unchanged,
                stale=look.counts.stale,
                rejected=look.rejections,
            )

    def _out_of_patience(self) -> bool:
        return time.monotonic() - self._started > ONCE_PATIENCE_SECONDS

    def _say_waiting(self, error: GovbusError, what: str, seconds: float) -> None:
        log.warning("producing waits", what=what, cause=str(error), retry_in_seconds=seconds)
        if self.health is not None:
            self.health.wait_for(_waiting(error))
        self._beat()

    def _beat(self) -> None:
        if self.health is not None:
            self.health.beat()

    def _on_wait(self) -> None:
        """Say that the process lives while brokers are waited for; give up soon where it is to end."""
        self._beat()
        if self.stop.is_set():
            self._stopped_at = self._stopped_at or time.monotonic()
            if time.monotonic() - self._stopped_at > STOP_SECONDS:
                raise Stopped("told to end while the brokers did not answer")

    def _report(self, doing: str, done: int, of: int) -> None:
        """Pass progress on, and leave long work where the process is to end."""
        self._beat()
        if self.stop.is_set():
            raise Stopped("told to end")
        self.progress(doing, done, of)

    def _adapters(self, link: Link) -> list[Adapter]:
        declared = {
            each.dataset: each
            for each in link.revision.catalogue.datasets.values()
            if each.department == self.department
        }
        if self.department not in link.revision.catalogue.departments:
            known = ", ".join(sorted(link.revision.catalogue.departments))
            raise SettingsError(f"the applied catalogue has no department {self.department}; it has {known}")
        if unknown := sorted(set(self.datasets or ()) - declared.keys()):
            raise SettingsError(f"{self.department} has no dataset {unknown[0]}; it has {', '.join(sorted(declared))}")
        found: list[Adapter] = []
        self.produced.own_program = []
        for name in sorted(self.datasets or declared):
            dataset = declared[name]
            if dataset.source is None:
                continue
            try:
                source = parse_source(dataset.source)
            except ValidationError as error:
                reason = f"its source has {error.error_count()} faults; was it applied by another govbus?"
                raise SettingsError(f"{dataset.id}: {reason}") from error
            open_feed = self._opener(link, dataset.id)
            match source:
                case FileSource():
                    found.append(
                        FileAdapter(
                            dataset,
                            source,
                            self.drop,
                            open_feed,
                            accept_deletions=self.accept_deletions,
                            progress=self._report,
                        )
                    )
                case PostgresSource():
                    found.append(
                        PostgresAdapter(
                            dataset,
                            source,
                            self.settings.need_postgres_url(),
                            open_feed,
                            accept_deletions=self.accept_deletions,
                            progress=self._report,
                        )
                    )
                case OutboxSource():
                    url = self.settings.need_postgres_url()
                    found.append(OutboxAdapter(dataset, source, url, open_feed, progress=self._report))
                case PythonSource():
                    self.produced.own_program.append(dataset.id)
        return found

    def _opener(self, link: Link, dataset: str) -> Callable[[], Feed]:
        def rebuilding(done: int, of: int) -> None:
            self._report(f"{dataset}: reading back what was published", done, of)

        return lambda: Feed(link, dataset, dry_run=self.dry_run, progress=rebuilding)


def _local(error: OSError | sqlite3.Error) -> Unavailable:
    """Return what a fault of this machine's own disk means; its text may name a file, never what stands in it."""
    if isinstance(error, OSError):
        return _DiskUnavailable(
            f"this machine's disk: {error.strerror or type(error).__name__} ({error.filename or ''})"
        )
    return _DiskUnavailable(f"the journal: {error}")


class _DiskUnavailable(Unavailable):
    """This machine's disk, not the brokers."""


def _waiting(error: GovbusError) -> Waiting:
    match error:
        case SourceUnavailable():
            return Waiting.SOURCE
        case _DiskUnavailable():
            return Waiting.DISK
        case Unavailable():
            return Waiting.BROKER
        case _:
            return Waiting.CATALOGUE
