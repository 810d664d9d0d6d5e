"""The metrics: their names, their labels, their document, and the histogram that takes a batch."""

from __future__ import annotations

import math
import random
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client import Histogram as ClientHistogram
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from govbus import metrics

REPOSITORY = Path(__file__).parents[2]
DECLARED: dict[str, Collector] = {
    name: value
    for name, value in vars(metrics).items()
    if name.isupper() and isinstance(value, Counter | Gauge | metrics.Histogram)
}
LABELS = {
    *("dataset", "ask", "reason", "rule", "verdict", "outcome", "operation", "version"),
    *("element", "result", "severity"),
}
ROW = re.compile(r"^\| `(govbus_\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", re.MULTILINE)


def described(metric: Collector) -> tuple[str, str, str]:
    """Return name, kind and documentation of a metric as Prometheus sees them."""
    (family,) = metric.describe()  # type: ignore[attr-defined]
    return family.name + ("_total" if family.type == "counter" else ""), family.type, family.documentation


def label_names(metric: Collector) -> tuple[str, ...]:
    """Return the labels of a metric in their order."""
    return metric.label_names if isinstance(metric, metrics.Histogram) else metric._labelnames  # type: ignore[attr-defined]


def buckets_of(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Return every sample of a registry's exposition by name and bucket."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@pytest.mark.parametrize("constant", sorted(DECLARED))
def test_name_follows_the_convention(constant: str) -> None:
    """A metric is named govbus_PART_THING, its unit last, a counter ends in _total, and its constant says the same."""
    name, kind, documentation = described(DECLARED[constant])
    assert re.fullmatch(r"govbus_[a-z]+(_[a-z]+)+", name)
    assert (kind == "counter") == name.endswith("_total")
    assert not re.search(r"(milli|micro|minutes|hours|days|_ms)", name)
    assert documentation.endswith(".")
    shortened = name.removeprefix("govbus_").removesuffix("_total").upper()
    assert shortened in (constant, f"{constant}_SECONDS"), "the constant is the name without its prefix and suffix"


@pytest.mark.parametrize("constant", sorted(DECLARED))
def test_labels_come_from_a_closed_list(constant: str) -> None:
    """A label holds a word of the catalogue or of a closed list: none is for a key, an id, an offset or a value."""
    assert set(label_names(DECLARED[constant])) <= LABELS


def test_document_lists_exactly_the_metrics() -> None:
    """docs/metrics.md has one row for each metric, with its kind, labels and documentation, and no row for another."""
    text = (REPOSITORY / "docs/metrics.md").read_text()
    written = {name: (kind, labels, meaning) for name, kind, labels, meaning in ROW.findall(text)}
    expected = {}
    for metric in DECLARED.values():
        name, kind, documentation = described(metric)
        labels = ", ".join(f"`{label}`" for label in label_names(metric))
        expected[name] = (kind, labels, documentation)
    assert written == expected


def test_document_keeps_the_order_of_the_code() -> None:
    """The rows stand in the order in which the metrics are declared, so that a reader finds one by the other."""
    rows = [name for name, *_ in ROW.findall((REPOSITORY / "docs/metrics.md").read_text())]
    assert rows == [described(metric)[0] for _, declared in metrics.parts() for metric in declared]


def test_document_words_of_waiting() -> None:
    """The documentation of the waiting gauge names every reason of the closed list."""
    _, _, documentation = described(metrics.LOOP_WAITING)
    assert all(reason.value in documentation for reason in metrics.Waiting)


def test_every_metric_belongs_to_one_part() -> None:
    """Each declared metric stands in exactly one part, and each part's metrics are declared as constants."""
    in_parts = [metric for _, declared in metrics.parts() for metric in declared]
    assert len(in_parts) == len(DECLARED)
    assert {id(metric) for metric in in_parts} == {id(metric) for metric in DECLARED.values()}


def test_process_shows_only_its_parts() -> None:
    """A process shows what every process has and its own parts, so that no gauge of another one stands at 0."""
    names = {family.name for family in metrics.registry_of("delivery").collect()}
    assert "govbus_loop_ready" in names
    assert "govbus_delivery_rows" in names
    assert not [name for name in names if name.startswith(("govbus_exchange_", "govbus_adapter_"))]


def test_every_metric_is_counted_somewhere() -> None:
    """Each metric is used by some other module: a figure that nobody counts would be a lie on a dashboard."""
    code = "".join(
        file.read_text() for file in (REPOSITORY / "govbus").rglob("*.py") if file.name not in ("metrics.py",)
    )
    used = set(re.findall(r"\bmetrics\.([A-Z][A-Z_]+)\b", code))
    assert DECLARED.keys() - used == set()


def test_unknown_part_is_refused() -> None:
    """A part that is not declared is an error, not an empty registry."""
    with pytest.raises(KeyError):
        metrics.registry_of("exchanges")


def test_leaf() -> None:
    """The module imports nothing from govbus, so every room may import it."""
    assert not re.search(r"^\s*(from|import) govbus", Path(metrics.__file__).read_text(), re.MULTILINE)


@pytest.mark.debian("prometheus", program="promtool")
def test_prometheus_finds_no_fault_in_the_names() -> None:
    """`promtool check metrics` has nothing to say about the exposition."""
    registry = CollectorRegistry()
    for metric in DECLARED.values():
        registry.register(metric)
    exposition = generate_latest(registry)
    promtool = shutil.which("promtool") or "/usr/bin/promtool"
    result = subprocess.run([promtool, "check", "metrics"], input=exposition, capture_output=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


# --- the histogram ---------------------------------------------------------------------------------------------------


def test_batch_counts_as_its_values_one_by_one(seed: int) -> None:
    """For any values, bounds included, a batch counts exactly what the client library counts value by value."""
    chance = random.Random(seed)
    for _ in range(50):
        bounds = sorted({chance.choice((0.005, 0.1, 0.25, 1.0, 5.0, 60.0, chance.uniform(0, 100))) for _ in range(6)})
        ours = metrics.Histogram("govbus_test_seconds", "Test.", buckets=bounds)
        theirs = ClientHistogram("govbus_test_seconds", "Test.", buckets=bounds, registry=None)
        for _ in range(chance.randrange(4)):
            batch = [chance.choice((*bounds, 0.0, -0.5, chance.uniform(0, 120))) for _ in range(chance.randrange(40))]
            metrics.observe_many(ours, batch)
            for value in batch:
                theirs.observe(value)
        registries = CollectorRegistry(), CollectorRegistry()
        registries[0].register(ours)
        registries[1].register(theirs)
        counted, expected = map(buckets_of, registries)
        assert counted.pop(("govbus_test_seconds_sum", "")) == pytest.approx(
            expected.pop(("govbus_test_seconds_sum", "")), abs=1e-9
        )
        assert counted == expected


def test_value_counts_as_often_as_said() -> None:
    """observe(value, times) is the same as the value that often."""
    histogram = metrics.Histogram("govbus_test_seconds", "Test.", buckets=(1.0, 2.0))
    histogram.observe(1.5, times=3)
    assert histogram.unlabelled.snapshot() == ([0, 3, 3], 4.5)


def test_labelled_histogram_has_one_child_per_labels() -> None:
    """The same labels give the same child, other labels another, and the exposition names each."""
    histogram = metrics.Histogram("govbus_test_seconds", "Test.", ("dataset",), buckets=(1.0,))
    metrics.observe_many(histogram.labels(dataset="a.b"), [0.5, 2.0])
    metrics.observe_many(histogram.labels(dataset="a.b"), [0.5])
    metrics.observe_many(histogram.labels(dataset="a.c"), [])
    (family,) = histogram.collect()
    counts = {(s.labels["dataset"], s.labels["le"]): s.value for s in family.samples if s.name.endswith("_bucket")}
    assert counts == {("a.b", "1.0"): 2, ("a.b", "+Inf"): 3, ("a.c", "1.0"): 0, ("a.c", "+Inf"): 0}


def test_wrong_use_of_labels_is_refused() -> None:
    """Missing, unknown and forgotten labels are errors: a series without its labels would be nobody's."""
    labelled = metrics.Histogram("govbus_test_seconds", "Test.", ("dataset",))
    for wrong in ({}, {"ask": "a.b"}, {"dataset": "a.b", "ask": "c.d"}):
        with pytest.raises(ValueError, match="has the labels"):
            labelled.labels(**wrong)
    with pytest.raises(ValueError, match="has the labels"):
        labelled.observe(1.0)
    with pytest.raises(ValueError, match="has the labels"):
        metrics.Histogram("govbus_test_seconds", "Test.").labels()


def test_buckets_must_rise() -> None:
    """Buckets out of order or twice are refused: Prometheus would compute nonsense from them."""
    for wrong in ((2.0, 1.0), (1.0, 1.0)):
        with pytest.raises(ValueError, match="must rise"):
            metrics.Histogram("govbus_test_seconds", "Test.", buckets=wrong)


def test_threads_lose_nothing() -> None:
    """Batches counted by several threads at once all arrive, and a scrape between them never sees half a batch."""
    histogram = metrics.Histogram("govbus_test_seconds", "Test.", buckets=(0.5,))
    halves: list[int] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            counts, _ = histogram.unlabelled.snapshot()
            halves.append(counts[1] - 2 * counts[0])

    def count() -> None:
        for _ in range(500):
            metrics.observe_many(histogram, [0.1, 1.0] * 5)

    scraper = threading.Thread(target=scrape)
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in (scraper, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    scraper.join()
    assert halves
    assert set(halves) == {0}
    counts, total = histogram.unlabelled.snapshot()
    assert counts == [10_000, 20_000]
    assert math.isclose(total, 11_000)
