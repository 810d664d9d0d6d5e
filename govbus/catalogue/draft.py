"""The models of a city's documents, as far as they can be made: what the checks across files work on.

A draft may hold mended values (`govbus.catalogue.shape`), so it becomes a Catalogue only where no fault was found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from fastavro import parse_schema
from fastavro.schema import SchemaParseException

from govbus.catalogue.avro_fields import AvroField, SchemaFault, avro_fields, steps_to
from govbus.catalogue.avro_shape import shape_faults
from govbus.catalogue.delivery import FileDelivery, PostgresDelivery, TopicDelivery
from govbus.catalogue.document import Document
from govbus.catalogue.faults import FaultCode
from govbus.catalogue.model import (
    GRADES,
    Ask,
    Catalogue,
    City,
    Dataset,
    Declared,
    Department,
    FieldEntry,
    Subscriber,
    Vocabulary,
)
from govbus.catalogue.reader import Declarations
from govbus.catalogue.shape import MENDED, NEUTRAL, modelled, suggestion
from govbus.catalogue.source import FileSource, OutboxSource, PostgresSource, PythonSource
from govbus.errors import Fault

SOURCE_MODELS: tuple[type[Declared], ...] = (FileSource, PostgresSource, OutboxSource, PythonSource)
DELIVERY_MODELS: tuple[type[Declared], ...] = (PostgresDelivery, FileDelivery, TopicDelivery)
_PLACED = frozenset({"department", "subscriber", "avro"})
"""What a dataset's or ask's model has from the place of its file."""


_NEUTRAL_ELEMENT = {
    "id": MENDED,
    "format": MENDED,
    "definition": "?",
    "type": "text",
    "comparator": MENDED,
    "severity": "info",
    "codes": {MENDED: MENDED},
}
"""What stands in for required values of entities, elements and code maps."""


@dataclass
class DatasetDraft:
    """A dataset with its documents. `fields` is empty where the schema is missing or invalid."""

    id: str
    model: Dataset
    document: Document
    schema: Document | None
    fields: Mapping[str, AvroField]
    _grades: dict[str, int] = field(default_factory=dict)

    @property
    def entries(self) -> Mapping[str, FieldEntry]:
        return self.model.fields

    @cached_property
    def nested(self) -> Mapping[str, tuple[str, ...]]:
        """Per record field everything inside it."""
        inside: dict[str, list[str]] = {}
        for path in self.fields:
            while "." in path:
                path, leaf = path.rpartition(".")[0], path
                inside.setdefault(path, []).append(leaf)
        return {path: tuple(sorted(self._all_inside(path, inside))) for path in inside}

    def _all_inside(self, path: str, inside: Mapping[str, list[str]]) -> set[str]:
        found: set[str] = set()
        pending = list(inside.get(path, ()))
        while pending:
            each = pending.pop()
            if each not in found:
                found.add(each)
                pending.extend(inside.get(each, ()))
        return found

    def grade(self, path: str) -> int:
        """Return the grade of a field as a number from 1; a record's is the highest of itself and all inside it."""
        known = self._grades.get(path)
        if known is None:
            parts = (path, *self.nested.get(path, ()))
            grades = [GRADES.index(self.entries[part].grade) + 1 for part in parts if part in self.entries]
            known = self._grades[path] = max(grades, default=1)
        return known

    def unshared(self, path: str) -> str | None:
        """Return the field that keeps *path* from being shared: itself, a record around it or a part of it."""
        around = [path]
        while "." in around[-1]:
            around.append(around[-1].rpartition(".")[0])
        parts = (*around, *self.nested.get(path, ()))
        return next((p for p in parts if p in self.entries and self.entries[p].share == "not_shared"), None)

    def entry_as_written(self, path: str) -> Mapping[str, Any]:
        """Return the entry of a field as its file has it, what its model refused included."""
        fields = self.document.value.get("fields")
        entry = fields.get(path) if isinstance(fields, Mapping) else None
        return entry if isinstance(entry, Mapping) else {}

    def schema_line(self, path: str) -> int:
        """Return the line of the .avsc on which the field at *path* stands."""
        return self.schema.line(*steps_to(self.schema.value, path)) if self.schema is not None else 1


@dataclass
class AskDraft:
    """An ask with its document."""

    id: str
    model: Ask
    document: Document


@dataclass
class Draft:
    """What could be modelled of a city."""

    declarations: Declarations
    city: City | None = None
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    departments: dict[str, Department] = field(default_factory=dict)
    datasets: dict[str, DatasetDraft] = field(default_factory=dict)
    subscribers: dict[str, Subscriber] = field(default_factory=dict)
    asks: dict[str, AskDraft] = field(default_factory=dict)

    def catalogue(self) -> Catalogue:
        """Return the catalogue; only right where no fault was found."""
        assert self.city is not None
        return Catalogue(
            city=self.city,
            vocabulary=self.vocabulary,
            departments={name: self.departments[name] for name in sorted(self.departments)},
            datasets={name: self.datasets[name].model for name in sorted(self.datasets)},
            subscribers={name: self.subscribers[name] for name in sorted(self.subscribers)},
            asks={name: self.asks[name].model for name in sorted(self.asks)},
        )


def drafted(declarations: Declarations, faults: list[Fault]) -> Draft:
    """Return the models of *declarations*; what a file's own model refuses goes to *faults*."""
    draft = Draft(declarations)
    if declarations.city is not None and declarations.city.value is not None:
        draft.city = modelled(declarations.city, declarations.city.value, City.model_validate, [City], faults)
    if declarations.vocabulary is not None and declarations.vocabulary.value is not None:
        document = declarations.vocabulary
        neutral = {**NEUTRAL, **_NEUTRAL_ELEMENT}
        words = modelled(document, document.value, Vocabulary.model_validate, [Vocabulary], faults, neutral=neutral)
        draft.vocabulary = words or Vocabulary()
    for name, document in declarations.departments.items():
        department = _body(document, "department", name, Department, faults)
        if department is not None:
            draft.departments[name] = department
    for name, document in declarations.subscribers.items():
        subscriber = _body(document, "subscriber", name, Subscriber, faults)
        if subscriber is not None:
            draft.subscribers[name] = subscriber
    siblings: dict[str, set[str]] = {}
    for dataset_id in declarations.datasets:
        siblings.setdefault(dataset_id.partition(".")[0], set()).add(dataset_id.partition(".")[2])
    for dataset_id in declarations.datasets:
        dataset = _dataset(declarations, dataset_id, siblings[dataset_id.partition(".")[0]], faults)
        if dataset is not None:
            draft.datasets[dataset_id] = dataset
    for ask_id, document in declarations.asks.items():
        ask = _ask(declarations, ask_id, document, faults)
        if ask is not None:
            draft.asks[ask_id] = AskDraft(ask_id, ask, document)
    return draft


B = TypeVar("B", Department, Subscriber)


def _body(document: Document, key: str, name: str, model: type[B], faults: list[Fault]) -> B | None:
    if document.value is None:
        return None
    value = _named(document, key, name, faults, ())
    return modelled(document, value, model.model_validate, [model], faults, neutral={**NEUTRAL, key: name})


def _named(document: Document, key: str, name: str, faults: list[Fault], siblings: Collection[str]) -> dict[str, Any]:
    """Return the document's value under the name of its file; a different name inside is a fault."""
    value: dict[str, Any] = dict(document.value)
    inside = value.get(key)
    if isinstance(inside, str) and inside != name:
        if inside in siblings:
            message = f"{key} {inside} is declared twice: this file and {inside}.yaml beside it; remove one of them"
            faults.append(document.fault(FaultCode.DUPLICATE_DATASET, message, key))
        else:
            message = f"{key} is {inside} here, but the file's place says {name}: make them equal"
            faults.append(document.fault(FaultCode.NAME_MISMATCH, message, key))
        value[key] = name
    return value


def _dataset(
    declarations: Declarations, dataset_id: str, siblings: set[str], faults: list[Fault]
) -> DatasetDraft | None:
    document = declarations.datasets[dataset_id]
    department, _, name = dataset_id.partition(".")
    if document.value is None:
        return None
    value = _named(document, "dataset", name, faults, siblings)
    for key in ("department", "avro"):
        if value.pop(key, None) is not None:
            message = f"unknown key {key}: it follows from the file's place"
            faults.append(document.fault(FaultCode.UNKNOWN_KEY, message, key))
    schema = declarations.schemas.get(dataset_id)
    fields = _fields(schema, name, faults) if schema is not None and schema.value is not None else {}
    entries = value.get("fields")
    if isinstance(entries, dict) and fields:
        in_order = [path for path in fields if path in entries]
        value["fields"] = {path: entries[path] for path in (*in_order, *(p for p in entries if p not in fields))}
    value |= {"department": department, "avro": (schema.value if schema is not None else None) or {}}
    neutral = {**NEUTRAL, "dataset": name}
    model = modelled(document, value, Dataset.model_validate, [Dataset], faults, neutral=neutral, filled=_PLACED)
    return None if model is None else DatasetDraft(dataset_id, model, document, schema, fields)


def _fields(schema: Document, name: str, faults: list[Fault]) -> Mapping[str, AvroField]:
    """Return the fields of a schema; of one that is no valid Avro a fault and none."""
    misshapen = list(shape_faults(schema.value))
    if misshapen:
        faults.extend(schema.fault(FaultCode.INVALID_SCHEMA, message, *steps) for steps, message in misshapen)
        return {}
    try:
        parse_schema(schema.value, _write_hint=False)
    except (SchemaParseException, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | TypeError) else str(error)
        faults.append(schema.fault(FaultCode.INVALID_SCHEMA, f"not a valid Avro schema: {reason[:200]}"))
        return {}
    if str(schema.value["name"]).rpartition(".")[2] != name:
        message = f"the record is named {schema.value['name']}, but the file's place says {name}: make them equal"
        faults.append(schema.fault(FaultCode.NAME_MISMATCH, message, "name"))
    wrong: list[SchemaFault] = []
    fields = avro_fields(schema.value, wrong)
    for each in wrong:
        code = FaultCode.OPTIONAL_WITHOUT_DEFAULT if each.lacks_default else FaultCode.INVALID_SCHEMA
        faults.append(schema.fault(code, str(each), *steps_to(schema.value, each.path)))
    return fields


def _ask(declarations: Declarations, ask_id: str, document: Document, faults: list[Fault]) -> Ask | None:
    subscriber, _, name = ask_id.partition(".")
    if document.value is None:
        return None
    value = _named(document, "ask", name, faults, ())
    if value.pop("subscriber", None) is not None:
        message = "unknown key subscriber: it follows from the file's folder"
        faults.append(document.fault(FaultCode.UNKNOWN_KEY, message, "subscriber"))
    value["subscriber"] = subscriber
    return modelled(
        document, value, Ask.model_validate, [Ask], faults, neutral={**NEUTRAL, "ask": name}, filled=_PLACED
    )


def unknown(word: str, what: str, known: Mapping[str, object], where: str) -> str:
    """Return the message for a reference to something that is not declared."""
    return f"unknown {what} {word}{suggestion(word, known)}: declare it in {where}, or correct the name"
