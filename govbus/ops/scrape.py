"""Figures that running processes show on ``/metrics``, read once: counters, gauges, and quantiles of histograms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

from govbus.health import Process

ANSWER_SECONDS = 2.0

Labels = frozenset[tuple[str, str]]


@dataclass(slots=True)
class Figures:
    """Samples of one or several processes, added up: by name of the sample, then by its labels."""

    samples: dict[str, dict[Labels, float]] = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Add everything that *text*, the answer of ``/metrics``, holds."""
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                of_name = self.samples.setdefault(sample.name, {})
                labels = frozenset(sample.labels.items())
                of_name[labels] = of_name.get(labels, 0.0) + sample.value

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples *name* whose labels include *labels*; 0 where there is none."""
        wanted = labels.items()
        return sum(value for found, value in self.samples.get(name, {}).items() if wanted <= set(found))

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Return the same sums for each value of *label*."""
        sums: dict[str, float] = {}
        for found, value in self.samples.get(name, {}).items():
            texts = dict(found)
            if labels.items() <= texts.items() and label in texts:
                sums[texts[label]] = sums.get(texts[label], 0.0) + value
        return sums

    def quantile(self, share: float, histogram: str, **labels: str) -> float | None:
        """Return the *share* quantile of *histogram* in its unit, straight lines between bounds; None without samples.

        The same figure as PromQL's histogram_quantile over the whole life of the processes.
        """
        counts = {float(bound): count for bound, count in self.by("le", f"{histogram}_bucket", **labels).items()}
        return quantile(share, counts)

    def minus(self, earlier: Figures) -> Figures:
        """Return what was counted since *earlier*, figures of the same processes."""
        return Figures(
            {
                name: {
                    labels: value - earlier.samples.get(name, {}).get(labels, 0.0) for labels, value in found.items()
                }
                for name, found in self.samples.items()
            }
        )


def quantile(share: float, counts: Mapping[float, float]) -> float | None:
    """Return the *share* quantile of cumulative *counts* by upper bound (the last one infinite); None if all are 0."""
    bounds = sorted(counts)
    if not bounds or not counts[bounds[-1]]:
        return None
    rank = share * counts[bounds[-1]]
    below, lower = 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= rank and counts[bound] > below:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (rank - below) / (counts[bound] - below)
        below, lower = counts[bound], bound
    return lower


def figures(processes: Iterable[Process]) -> Figures:
    """Return the figures of those *processes* that answer, added up."""
    found = Figures()
    with httpx.Client(timeout=ANSWER_SECONDS, trust_env=False) as client:
        for process in processes:
            try:
                answer = client.get(f"http://{process.address}/metrics")
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                found.add(answer.text)
    return found


def readiness(process: Process) -> str:
    """Return what *process* says of itself: ``ready``, what it waits for, ``not answering``, or ``ended``."""
    if not process.running:
        return "ended"
    try:
        answer = httpx.get(f"http://{process.address}/readyz", timeout=ANSWER_SECONDS, trust_env=False)
    except httpx.HTTPError:
        return "not answering"
    return answer.text.strip()
