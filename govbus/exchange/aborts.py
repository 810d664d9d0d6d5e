"""What failed last, remembered across restarts: a batch that fails twice is halved, down to the one record at fault.

The worker is crash-only, so the memory is a small file beside the state. It exists only while something is failing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from govbus import metrics

log = structlog.get_logger()

TRIES_BEFORE_HALVING = 2

Place = tuple[str, int, int]
"""Topic, partition and offset of the first record of a batch."""


@dataclass(slots=True)
class _Failure:
    place: Place
    tries: int
    batch_records: int
    own: bool


class AbortMemory:
    """How large the next batch may be, learnt from the batches that failed."""

    def __init__(self, folder: Path, full_batch_records: int) -> None:
        self._file = folder / "failing.json"
        self._full = full_batch_records
        self._failure = self._read()
        self.batch_records = full_batch_records
        if self._failure is not None:
            # The process whose transaction was aborted ended before anyone could read its metrics: its heir counts it.
            metrics.EXCHANGE_TRANSACTIONS.labels(outcome="aborted").inc()
            self.batch_records = min(full_batch_records, self._failure.batch_records)
            if self._failure.tries >= TRIES_BEFORE_HALVING and self.batch_records > 1:
                self.batch_records //= 2
                self._failure.tries = 0

    def is_at_fault(self, place: Place) -> bool:
        """Return whether the record at *place*, alone in its batch, failed twice by a fault of its own."""
        failure = self._failure
        return (
            failure is not None
            and failure.own
            and failure.batch_records == 1
            and failure.tries >= TRIES_BEFORE_HALVING
            and failure.place == place
        )

    def failed(self, place: Place, *, own: bool) -> None:
        """Note that the batch that began at *place* failed; *own*: not for want of brokers, but by what it held."""
        tries = 1 if self._failure is None else self._failure.tries + 1
        self._failure = _Failure(place, tries, self.batch_records, own)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(asdict(self._failure)))
        except OSError as error:
            # The process is about to end by a fault that says more: it must not be hidden by this one.
            log.warning("a failed batch could not be remembered", reason=error.strerror)

    def succeeded(self) -> None:
        """Forget, and let batches grow to their full size again."""
        if self._failure is not None:
            self._failure = None
            self._file.unlink(missing_ok=True)
        if self.batch_records < self._full:
            self.batch_records = min(self._full, self.batch_records * 2)

    def _read(self) -> _Failure | None:
        try:
            document = json.loads(self._file.read_text())
            topic, partition, offset = document["place"]
            return _Failure(
                (str(topic), int(partition), int(offset)),
                int(document["tries"]),
                int(document["batch_records"]),
                bool(document["own"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
