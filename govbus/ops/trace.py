"""`govbus trace`: reads from Kafka what became of one record on its way to one ask.

The key's partition is known (`partition_of`), so one partition of each topic is read and no more. Nothing here decides
anything about a record by rules of its own: the worker's compiled revision says what a view shows of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from rich.console import Console

from govbus.catalogue.golden import GOLDEN, dataset_of, golden_datasets
from govbus.catalogue.model import Dataset
from govbus.kafka.revisions import latest_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.entity_held import UnknownName
from govbus.ops.topic_scan import TopicScan
from govbus.ops.trace_look import GoldenLook, RecordLook
from govbus.ops.trace_verdict import Trace, Verdict, verdict_on
from govbus.rules.formats import FORMATS
from govbus.rules.record_key import record_key

log = structlog.get_logger()


def trace(settings: Settings, topics: Topics, dataset: str, key_texts: Sequence[str], ask: str) -> Trace:
    """Return what became of the record under *key_texts* (one text per key field) on its way to *ask*.

    Of a golden view (``golden.ENTITY``) the key is an entity's id.

    The look is logged, without the key. Raises `UnknownName` for names that the applied catalogue does not have,
    `Unavailable` where the servers do not answer.
    """
    revision = latest_revision(settings, topics)
    if revision is None:
        raise UnknownName(f"nothing is applied: {topics.catalogue} holds no revision; run `govbus apply` first")
    catalogue = revision.catalogue
    described = dataset_of(catalogue, dataset)
    if described is None:
        there = ", ".join([*catalogue.datasets, *golden_datasets(catalogue)])
        raise UnknownName(f"there is no dataset {dataset}; there are: {there}")
    if ask not in catalogue.asks:
        raise UnknownName(f"there is no ask {ask}; there are: {', '.join(catalogue.asks)}")
    key = key_of_texts(described, key_texts)
    with TopicScan(settings, f"{topics.prefix}govbus.look") as scan:
        look = GoldenLook if described.department == GOLDEN else RecordLook
        facts = look(settings, scan, revision, dataset, key, ask).facts()
    found = verdict_on(facts)
    log.info("record traced", dataset=dataset, ask=ask, verdict=found.verdict.value)
    return found


def key_of_texts(dataset: Dataset, texts: Sequence[str]) -> bytes:
    """Return the record key made of one text per key field, each brought into its field's canonical form.

    Raises `UnknownName`, with the key's fields and never with a text, where they cannot be a key of *dataset*.
    """
    if len(texts) != len(dataset.key):
        titles = ", ".join(f"{path} ({dataset.fields[path].title})" for path in dataset.key)
        raise UnknownName(f"a key of {dataset.id} is {len(dataset.key)} texts: {titles}; {len(texts)} were given")
    parts = []
    for path, text in zip(dataset.key, texts, strict=True):
        declared = dataset.fields[path].format
        try:
            parts.append(FORMATS[declared].canonical(text) if declared else text)
        except ValueError as error:
            raise UnknownName(f"the text given for {path} is no {declared}: {error}") from None
    try:
        return record_key(parts)
    except ValueError as error:
        raise UnknownName(f"this is no key of {dataset.id}: {error}") from None


_COLOURS = {Verdict.DELIVERED: "green", Verdict.SHARED: "yellow", Verdict.NOT_YET: "yellow"}


def show_trace(found: Trace, dataset: str, ask: str, console: Console) -> None:
    """Show a person what was found."""
    colour = _COLOURS.get(found.verdict, "red")
    verdict = found.verdict.value.replace("_", " ")
    console.print(f"{dataset} → {ask}: [bold {colour}]{verdict}[/]", soft_wrap=True, highlight=False)
    for reason in found.reasons:
        console.print(f"  - {reason}", soft_wrap=True, highlight=False, markup=False)
    if found.what_to_do:
        console.print(f"What to do: {found.what_to_do}", soft_wrap=True, highlight=False, markup=False)


def trace_document(found: Trace, dataset: str, ask: str) -> dict[str, object]:
    """Return the same for a program, ready for JSON."""
    return {
        "dataset": dataset,
        "ask": ask,
        "verdict": found.verdict.value,
        "reasons": list(found.reasons),
        "what_to_do": found.what_to_do,
    }


__all__ = ["UnknownName", "key_of_texts", "show_trace", "trace", "trace_document"]
