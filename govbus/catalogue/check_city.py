"""Checks across the whole city: codes of bodies, resource codes, topics and deliveries."""

from __future__ import annotations

from collections.abc import Iterator

from govbus.catalogue.check_datasets import RESERVED_DEPARTMENTS
from govbus.catalogue.delivery import MAX_IDENTIFIER_BYTES, table_name
from govbus.catalogue.document import Document
from govbus.catalogue.draft import Draft
from govbus.catalogue.faults import FaultCode
from govbus.catalogue.topics import Topics
from govbus.errors import Fault
from govbus.rules.identity import uscc_canonical

MAX_TOPIC_CHARACTERS = 249
"""Kafka's limit (org.apache.kafka.common.internals.Topic)."""

DEPARTMENT_CLASSES = ("11", "12", "13", "19")
"""What the code of a body under 机构编制 starts with: organ, institution, mass organisation, other (GB 32100)."""


def city_faults(draft: Draft) -> Iterator[Fault]:
    """Yield what is wrong between the files of a city."""
    if draft.city is not None and draft.city.min_insync_replicas > draft.city.replication_factor:
        message = (
            f"min_insync_replicas is {draft.city.min_insync_replicas}, but there are only "
            f"{draft.city.replication_factor} replicas: nothing could be written"
        )
        assert draft.declarations.city is not None
        yield draft.declarations.city.fault(FaultCode.WRONG_VALUE, message, "min_insync_replicas")
    yield from _code_faults(draft)
    yield from _resource_faults(draft)
    yield from _topic_faults(draft)
    yield from _delivery_faults(draft)


def _code_faults(draft: Draft) -> Iterator[Fault]:
    """Every body has a valid code of its own, the same one as department and as subscriber."""
    holders: dict[str, tuple[str, str]] = {}
    bodies = [(n, d.code, draft.declarations.departments[n], True) for n, d in draft.departments.items()]
    bodies += [(n, s.code, draft.declarations.subscribers[n], False) for n, s in draft.subscribers.items()]
    codes: dict[str, tuple[str, str]] = {}
    for name, code, document, is_department in bodies:
        if name in RESERVED_DEPARTMENTS and is_department:
            message = f"{name} is what the bus's own topics are called: choose another name for this department"
            yield document.fault(FaultCode.RESERVED_NAME, message, "department")
        if code == "?":  # mended: its fault is noted
            continue
        reason = _unfit_code(code, is_department=is_department)
        if reason is not None:
            yield document.fault(FaultCode.INVALID_CODE, f"code {code}: {reason}", "code")
            continue
        other = holders.setdefault(code, (name, document.file))
        if other[0] != name:
            message = f"{other[0]} has this code already ({other[1]}): one body, one code"
            yield document.fault(FaultCode.DUPLICATE_CODE, message, "code")
        twin = codes.setdefault(name, (code, document.file))
        if twin[0] != code:
            message = f"{name} has the code {twin[0]} in {twin[1]}: one body, one code"
            yield document.fault(FaultCode.DUPLICATE_CODE, message, "code")


def _unfit_code(code: str, *, is_department: bool) -> str | None:
    try:
        canonical = uscc_canonical(code)
    except ValueError as error:
        return str(error)
    if canonical != code:
        return f"write it as {canonical}"
    if is_department and not code.startswith(DEPARTMENT_CLASSES):
        return f"a department's code starts with {', '.join(DEPARTMENT_CLASSES)} (GB 32100: 机构编制)"
    return None


def _resource_faults(draft: Draft) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for dataset in draft.datasets.values():
        code = dataset.model.resource_code
        if code != dataset.document.value.get("resource_code"):  # mended: its fault is noted
            continue
        other = seen.setdefault(code, dataset.id)
        if other != dataset.id:
            message = f"resource code {code} belongs to {other}: a code is given once and never again"
            yield dataset.document.fault(FaultCode.DUPLICATE_DATASET, message, "resource_code")


def _topics(draft: Draft) -> Iterator[tuple[str, str, Document, tuple[str, ...]]]:
    """Yield topic, what it is of, and where that is declared."""
    topics = Topics(draft.city.topic_prefix if draft.city is not None else "")
    for dataset in draft.datasets.values():
        for name in (topics.raw(dataset.id), topics.current(dataset.id)):
            yield name, dataset.id, dataset.document, ()
    for ask in draft.asks.values():
        for dataset_id in ask.model.datasets:
            view = f"{ask.id}/{dataset_id}"
            yield topics.share(view), view, ask.document, ("datasets", dataset_id)


def _topic_faults(draft: Draft) -> Iterator[Fault]:
    """No topic's name is too long, and no two differ only in dots and underscores (their metrics would collide)."""
    seen: dict[str, tuple[str, str]] = {}
    for topic, what, document, at in _topics(draft):
        if len(topic) > MAX_TOPIC_CHARACTERS:
            message = f"the topic {topic[:40]}... has {len(topic)} characters, Kafka allows {MAX_TOPIC_CHARACTERS}"
            yield document.fault(FaultCode.NAME_TOO_LONG, message, *at)
        other = seen.setdefault(topic.replace(".", "_"), (topic, what))
        if other[0] != topic:
            message = (
                f"the topics {topic} and {other[0]} (of {other[1]}) differ only in dots and underscores, which Kafka "
                "refuses: rename one"
            )
            yield document.fault(FaultCode.TOPIC_COLLISION, message, *at)


def _delivery_faults(draft: Draft) -> Iterator[Fault]:
    """No two asks write into one table or folder."""
    tables: dict[tuple[str, str], str] = {}
    folders: dict[str, str] = {}
    for ask in draft.asks.values():
        delivery, document = ask.model.delivery, ask.document
        if delivery.get("kind") == "postgres" and isinstance(delivery.get("schema"), str):
            for dataset_id in ask.model.datasets:
                table = table_name(dataset_id)
                here = f"{ask.id}/{dataset_id}"
                other = tables.setdefault((delivery["schema"], table), here)
                if other != here:
                    message = f"table {delivery['schema']}.{table} is written for {other}: choose another schema"
                    yield document.fault(FaultCode.DELIVERY_COLLISION, message, "delivery", "schema")
                if len(table) > MAX_IDENTIFIER_BYTES:
                    message = (
                        f"the table {table} has more than {MAX_IDENTIFIER_BYTES} characters, which Postgres cuts off"
                    )
                    yield document.fault(FaultCode.NAME_TOO_LONG, message, "datasets", dataset_id)
        elif delivery.get("kind") == "file" and isinstance(delivery.get("folder"), str):
            other = folders.setdefault(delivery["folder"].rstrip("/"), ask.id)
            if other != ask.id:
                message = f"folder {delivery['folder']} is written for {other}: choose another"
                yield document.fault(FaultCode.DELIVERY_COLLISION, message, "delivery", "folder")
