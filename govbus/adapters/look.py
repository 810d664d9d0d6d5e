"""What one look at a source brought: counts for people, progress and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from govbus import metrics
from govbus.adapters.feed import Submitted
from govbus.adapters.values import InvalidRecord

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how far, of how much) on long work."""


@dataclass(slots=True)
class Look:
    """One look at the source of one dataset.

    `completed`: everything the source had to say was taken in (a drop folder without a new file says nothing).
    `held`: deletions that wait for a person's decision. `said`: what a person should read, no values in it.
    """

    dataset: str
    source: str
    rows: int = 0
    counts: Submitted = field(default_factory=Submitted)
    rejected: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    """Rejected rows by the structural check that they fail."""
    held: int = 0
    completed: bool = False
    pending: bool = False
    said: list[str] = field(default_factory=list)

    @property
    def rejections(self) -> int:
        return self.rejected.total()

    def reject(self, invalid: InvalidRecord) -> None:
        """Count a row that cannot be published."""
        self.rejected[invalid.reason] += 1
        self.failed.update(invalid.rules)

    def note(self, at: str) -> dict[str, Any]:
        """Return what ``bus.progress`` keeps of this look."""
        return {
            "at": at,
            "rows": self.rows,
            "sent": self.counts.upserted,
            "deleted": self.counts.deleted,
            "unchanged": self.counts.unchanged,
            "rejected": self.rejections,
            "reasons": dict(self.rejected),
            "held": self.held,
        }

    def add(self, other: Look) -> None:
        """Add what a later look at the same source brought."""
        self.rows += other.rows
        self.counts.add(other.counts)
        self.rejected.update(other.rejected)
        self.failed.update(other.failed)
        self.held = other.held if other.completed or other.held else self.held
        self.completed = self.completed or other.completed
        self.said.extend(other.said)

    def show(self) -> None:
        """Set the metrics of this look. Published records are counted where the brokers acknowledge them."""
        metrics.ADAPTER_LOOK_TIMESTAMP.labels(dataset=self.dataset).set_to_current_time()
        metrics.ADAPTER_ROWS_READ.labels(dataset=self.dataset).inc(self.rows)
        for reason, rows in self.rejected.items():
            metrics.ADAPTER_REJECTED.labels(dataset=self.dataset, reason=reason).inc(rows)
        for rule, rows in self.failed.items():
            metrics.ADAPTER_CHECK_FAILURES.labels(dataset=self.dataset, rule=rule).inc(rows)
        if self.completed:
            metrics.ADAPTER_POLLS.labels(dataset=self.dataset).inc()
            metrics.DATASET_POLL_TIMESTAMP.labels(dataset=self.dataset).set_to_current_time()


class Adapter(Protocol):
    """One dataset's source. `look` takes in what is new; after an error `let_go`, and look again later."""

    dataset: str
    kind: str
    every_seconds: float

    def look(self) -> Look: ...

    def let_go(self) -> None: ...
