"""`govbus apply`: what is declared becomes topics, subjects, keys and a catalogue revision.

Every step can be repeated: what is already so is left alone, and a second `apply` of the same declarations writes
nothing. The revision is written last, so that whoever reads it finds everything it speaks of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from govbus.catalogue.document import Document
from govbus.catalogue.golden import golden_datasets
from govbus.catalogue.model import Catalogue
from govbus.catalogue.plan import Plan, plan
from govbus.catalogue.topics import Topics
from govbus.catalogue.views import share_views
from govbus.codec.schemas import DELETED, DISCREPANCY, INCIDENT, record_schema
from govbus.codec.view_schema import view_schema
from govbus.errors import DeclarationError, Fault, GovbusError
from govbus.kafka.registry import IncompatibleSchema, Registry
from govbus.kafka.revisions import Revision, read_revisions, write_revision
from govbus.kafka.settings import Settings
from govbus.ops.cluster import Altered, Cluster
from govbus.ops.pseudonym_key_files import keys_in_force, make_keys
from govbus.ops.topic_policies import topic_policies
from govbus.rules.share import ShareView

BROKER_SECONDS = 60
"""How long `apply` and `plan` wait for brokers that do not answer yet."""

REGISTRY_THREADS = 8

META_FIELDS = 2
"""`_version` and `_changed_at` stand before the business fields of a record schema."""

DELETED_SUBJECT = "bus.deleted-value"

Doing = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""


def _quietly(_what: str, _done: int, _of: int) -> None:
    return


@dataclass(frozen=True)
class Applied:
    """What `apply` did. `written`: whether the catalogue became a new revision; otherwise it was in force already."""

    revision: Revision
    written: bool
    topics_created: tuple[str, ...]
    altered: tuple[Altered, ...]
    keys_made: tuple[str, ...]


def planned(
    settings: Settings, catalogue: Catalogue, today: date, *, broker_seconds: float = BROKER_SECONDS
) -> tuple[Plan, Revision | None]:
    """Return the difference between *catalogue* and what is applied, and the revision in force. Changes nothing."""
    Cluster(settings).wait(broker_seconds)
    revisions = read_revisions(settings, Topics(catalogue.city.topic_prefix))
    return _planned(settings, catalogue, revisions, today), revisions[-1] if revisions else None


def apply(
    settings: Settings,
    catalogue: Catalogue,
    *,
    today: date | None = None,
    broker_seconds: float = BROKER_SECONDS,
    doing: Doing = _quietly,
) -> Applied:
    """Make *catalogue* the one in force; return what that took.

    Raises DeclarationError for what cannot follow the applied catalogue, `ClusterUnfit` where the brokers cannot carry
    the city, SettingsError for a lost pseudonym key, `Unavailable` where waiting may help. All of these come before
    anything is changed, except a registry or broker that fails in the middle; then `apply` is simply run again.
    """
    cluster, registry = Cluster(settings), Registry(settings)
    topics, policies = Topics(catalogue.city.topic_prefix), topic_policies(catalogue)
    cluster.wait(broker_seconds)
    revisions = read_revisions(settings, topics)
    refusals = _planned(settings, catalogue, revisions, today).refusals
    if refusals:
        raise DeclarationError(located(settings, refusals))
    cluster.check(policies)
    keys = keys_in_force(settings, catalogue, revisions)
    registry.register(DELETED_SUBJECT, DELETED)  # the registry answers before anything is made

    old = cluster.existing(tuple(policies))
    doing("topics", 0, len(policies))
    created = cluster.create(policies)
    altered = cluster.align(old, policies)
    doing("topics", len(policies), len(policies))
    made = make_keys(settings, keys.missing)
    revision = _registered(registry, catalogue, revisions, {**keys.fingerprints, **made}, doing)
    written = not revisions or revisions[-1].sha256 != revision.sha256
    if written:
        write_revision(settings, revision)
        _demand_alone(settings, topics, revision.number)
    return Applied(revision if written else revisions[-1], written, created, altered, tuple(sorted(made)))


def located(settings: Settings, refusals: Iterable[Any]) -> list[Fault]:
    """Return *refusals* of a plan as faults on the lines of the city's files."""
    return [Document(settings.city_dir, each.file, None).fault(each.code, each.message, *each.at) for each in refusals]


def _planned(settings: Settings, catalogue: Catalogue, revisions: Sequence[Revision], today: date | None) -> Plan:
    last = revisions[-1] if revisions else None
    schemas: dict[str, list[Mapping[str, Any]]] = {}
    keys: dict[str, tuple[str, str]] = {}
    if last is not None:
        for dataset, versions in last.schema_ids.items():
            schemas[dataset] = [business_schema(schema) for _, schema in versions]
        present = keys_in_force(settings, catalogue, revisions).fingerprints
        keys = {
            name: (last.pseudonym_keys[name], mark) for name, mark in present.items() if name in last.pseudonym_keys
        }
    return plan(None if last is None else last.catalogue, catalogue, schemas=schemas, keys=keys, today=today)


def business_schema(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a dataset's own fields from the record schema of its topics."""
    return {**record, "fields": record["fields"][META_FIELDS:]}


def _registered(
    registry: Registry,
    catalogue: Catalogue,
    revisions: Sequence[Revision],
    pseudonym_keys: Mapping[str, str],
    doing: Doing,
) -> Revision:
    """Register every schema of *catalogue* and return the revision that names their ids."""
    topics = Topics(catalogue.city.topic_prefix)
    last = revisions[-1] if revisions else None
    views = [view for view in share_views(catalogue) if isinstance(view, ShareView)]
    goldens = golden_datasets(catalogue)
    done, total = 0, len(catalogue.datasets) + len(views)

    def dataset_ids(name: str) -> tuple[tuple[int, dict[str, Any]], ...]:
        schema = record_schema(catalogue.datasets[name].avro)
        raw = topics.subject(topics.raw(name))
        schema_id = _register(registry, raw, schema, "FULL_TRANSITIVE")
        _register(registry, topics.subject(topics.current(name)), schema, "FULL_TRANSITIVE")
        before = last.schema_ids.get(name, ()) if last is not None else ()
        if before and before[-1] == (schema_id, schema):
            return before
        known = dict(registry.versions(raw))
        for each, held in before:
            if known.setdefault(each, held) != held or (held == schema and each != schema_id):
                raise GovbusError(
                    f"{raw}: the registry does not hold under id {each} the schema that was applied, so it is not the "
                    "registry of this city: restore its data, or name the right one in GOVBUS_REGISTRY_URL"
                )
        known.pop(schema_id, None)
        return (*known.items(), (schema_id, schema))

    def view_id(view: ShareView) -> int:
        source = goldens.get(view.dataset) or catalogue.datasets[view.dataset]
        schema = view_schema(source.avro, view)
        return _register(registry, topics.subject(topics.share(view.id)), schema, "NONE")

    schema_ids: dict[str, tuple[tuple[int, dict[str, Any]], ...]] = {}
    view_schema_ids: dict[str, int] = {}
    with ThreadPoolExecutor(REGISTRY_THREADS) as threads:
        for name, versions in zip(catalogue.datasets, threads.map(dataset_ids, catalogue.datasets), strict=True):
            schema_ids[name] = versions
            done += 1
            doing("schemas", done, total)
        for view, schema_id in zip(views, threads.map(view_id, views), strict=True):
            view_schema_ids[view.id] = schema_id
            done += 1
            doing("schemas", done, total)
    golden_ids = {
        name: _register(registry, topics.subject(topics.golden(name)), record_schema(golden.avro), "NONE")
        for name, golden in goldens.items()
    }
    return Revision(
        golden_schema_ids=golden_ids,
        discrepancy_schema_id=(
            _register(registry, topics.subject(topics.discrepancy), DISCREPANCY, "NONE") if goldens else None
        ),
        incident_schema_id=_register(registry, topics.subject(topics.incident), INCIDENT, "NONE") if goldens else None,
        number=1 if last is None else last.number + 1,
        applied_at=datetime.now(UTC).isoformat(timespec="seconds"),
        catalogue=catalogue,
        schema_ids=schema_ids,
        view_schema_ids=view_schema_ids,
        deleted_schema_id=registry.register(DELETED_SUBJECT, DELETED),
        pseudonym_keys=dict(sorted(pseudonym_keys.items())),
    )


def _register(registry: Registry, subject: str, schema: dict[str, Any], compatibility: str) -> int:
    """Return the id of *schema* under *subject*, whose compatibility is set as well.

    A subject can only be given its compatibility once it exists, and share subjects must take any schema: so where the
    registry refuses one of those, the rule is set first and the schema sent again.
    """
    try:
        schema_id = registry.register(subject, schema)
    except IncompatibleSchema:
        if compatibility != "NONE":
            raise
        registry.set_compatibility(subject, compatibility)
        schema_id = registry.register(subject, schema)
    registry.set_compatibility(subject, compatibility)
    return schema_id


def _demand_alone(settings: Settings, topics: Topics, number: int) -> None:
    if [revision.number for revision in read_revisions(settings, topics)].count(number) != 1:
        raise GovbusError("two `govbus apply` ran at one moment and both wrote a revision: run it once more, alone")
