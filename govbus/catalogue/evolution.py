"""Whether declarations may follow the applied ones: schemas, keys and what else lasts.

Every reader of either schema reads what the other wrote. The registry holds the same rule (FULL_TRANSITIVE); it is
looked at here first, so that the answer comes with the field and the remedy before anything is touched. Stricter than
Avro in two points: a rename by alias is a removal and an addition, and a logical type may not change, because records
and rules of both schemas live side by side.
Source: Apache Avro 1.11 specification, "Schema Resolution".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from govbus.catalogue.avro_fields import named_types, steps_to
from govbus.catalogue.faults import FaultCode
from govbus.catalogue.model import Catalogue, Dataset
from govbus.catalogue.reader import CITY

Incompatibility = tuple[str, str]
"""Dotted path (empty: the record itself) and what is wrong, with the remedy."""


@dataclass(frozen=True)
class Refusal:
    """A change that cannot be applied; `at` is where it stands in `file` (keys and indexes)."""

    file: str
    at: tuple[str | int, ...]
    code: FaultCode
    message: str


def change_refusals(
    applied: Catalogue | None, wanted: Catalogue, schemas: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[Refusal]:
    """Yield what of *wanted* cannot follow *applied* and the *schemas* ever applied, by dataset."""
    if applied is not None and applied.city.partitions != wanted.city.partitions:
        message = (
            f"the city was made with {applied.city.partitions} partitions, which decide where each subject lives: "
            f"write partitions: {applied.city.partitions}"
        )
        yield Refusal(CITY, ("partitions",), FaultCode.FIXED_ONCE_APPLIED, message)
    for name, dataset in wanted.datasets.items():
        old = applied.datasets.get(name) if applied is not None else None
        known = list(schemas.get(name, ())) or ([old.avro] if old is not None else [])
        found = dict.fromkeys(each for schema in known for each in incompatibilities(schema, dataset.avro))
        for path, message in found:
            file = f"schemas/{dataset.department}/{dataset.dataset}.avsc"
            yield Refusal(file, steps_to(dataset.avro, path), FaultCode.INCOMPATIBLE_SCHEMA, message)
        if old is not None:
            yield from _lasting(old, dataset)


def _lasting(old: Dataset, new: Dataset) -> Iterator[Refusal]:
    file = f"producers/{new.department}/{new.dataset}.yaml"
    if old.key != new.key:
        message = (
            f"the key of {new.id} was applied as [{', '.join(old.key)}], under which its records lie: keep it, or "
            "declare a new dataset beside it"
        )
        yield Refusal(file, ("key",), FaultCode.FIXED_ONCE_APPLIED, message)
    if new.epoch < old.epoch:
        message = f"the epoch of {new.id} was applied as {old.epoch} and only rises: write epoch: {old.epoch} or more"
        yield Refusal(file, ("epoch",), FaultCode.FIXED_ONCE_APPLIED, message)


def incompatibilities(applied: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Incompatibility]:
    """Return why the business schema *wanted* cannot follow *applied*; empty if it can. It accepts symmetrically."""
    return list(dict.fromkeys(_Comparison(applied, wanted).records(applied, wanted, "")))


class _Comparison:
    def __init__(self, applied: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        self._applied_types = named_types(applied)
        self._wanted_types = named_types(wanted)

    def records(self, applied: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str) -> Iterator[Incompatibility]:
        before = {field["name"]: field for field in applied["fields"]}
        after = {field["name"]: field for field in wanted["fields"]}
        here = prefix.rstrip(".")
        if _simple_name(applied) != _simple_name(wanted):
            yield here, f"the record {_simple_name(applied)} is now named {_simple_name(wanted)}: keep its name"
        for name in before.keys() - after.keys():
            if "default" not in before[name]:
                message = (
                    f"{prefix}{name} was removed, but it was applied without default, so readers of the applied "
                    "schema need it: keep the field"
                )
                yield here, message
        for name, field in after.items():
            if name not in before:
                if "default" not in field:
                    message = (
                        f"{prefix}{name} is new and has no default, which records written before need: make it "
                        'optional, ["null", T] with "default": null'
                    )
                    yield f"{prefix}{name}", message
            else:
                yield from self._types(before[name]["type"], field["type"], f"{prefix}{name}")

    def _types(self, applied: Any, wanted: Any, path: str) -> Iterator[Incompatibility]:
        before, after = _resolved(applied, self._applied_types), _resolved(wanted, self._wanted_types)
        if isinstance(before, list) or isinstance(after, list):
            yield from self._unions(_branches(before), _branches(after), path)
            return
        kind, other = _kind(before), _kind(after)
        if kind != other:
            yield path, f"{path} changes its type from {kind} to {other}: keep the type, and add a new optional field"
            return
        match kind:
            case "record":
                yield from self.records(before, after, f"{path}.")
            case "enum":
                yield from _symbols(before, after, path)
            case "array":
                yield from self._types(before["items"], after["items"], path)
            case "map":
                yield from self._types(before["values"], after["values"], path)
            case _ if kind.startswith("fixed") and _simple_name(before) != _simple_name(after):
                yield path, f"{path}: the fixed type {_simple_name(before)} may not be renamed"

    def _unions(self, before: list[Any], after: list[Any], path: str) -> Iterator[Incompatibility]:
        """Branch for branch by kind and name: a branch more or less is something that one side cannot read."""
        applied = {self._label(branch, self._applied_types): branch for branch in before}
        wanted = {self._label(branch, self._wanted_types): branch for branch in after}
        for label in sorted(applied.keys() ^ wanted.keys()):
            if label == "null":
                words = "may now be null, which applied" if label in wanted else "may no longer be null, which new"
                yield path, f"{path} {words} readers cannot read: keep it as it was, and add a new optional field"
            else:
                words = "no longer takes" if label in applied else "now takes"
                yield path, f"{path} {words} {label}: keep its types, and add a new optional field"
        for label in applied.keys() & wanted.keys():
            yield from self._types(applied[label], wanted[label], path)

    def _label(self, branch: Any, types: Mapping[str, Any]) -> str:
        resolved = _resolved(branch, types)
        named = isinstance(resolved, Mapping) and "name" in resolved
        return f"{_kind(resolved)} {_simple_name(resolved)}" if named else _kind(resolved)


def _symbols(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[Incompatibility]:
    if _simple_name(before) != _simple_name(after):
        yield path, f"{path}: the enum {_simple_name(before)} is now named {_simple_name(after)}: keep its name"
    added = [symbol for symbol in after["symbols"] if symbol not in before["symbols"]]
    removed = [symbol for symbol in before["symbols"] if symbol not in after["symbols"]]
    remedy = "an enum's symbols are fixed once applied; a string with a code list can grow"
    if added and "default" not in before:
        yield path, f"{path} has the new symbols {', '.join(added)}: {remedy}"
    if removed and "default" not in after:
        yield path, f"{path} lacks the symbols {', '.join(removed)}: {remedy}"


def _resolved(declared: Any, types: Mapping[str, Any]) -> Any:
    if isinstance(declared, str):
        return types.get(declared.rpartition(".")[2], declared)
    return declared


def _branches(resolved: Any) -> list[Any]:
    return resolved if isinstance(resolved, list) else [resolved]


def _kind(resolved: Any) -> str:
    """Return a type's kind with all that two equal types share: logical type, precision and scale, size."""
    if isinstance(resolved, str):
        return resolved
    parts = [str(resolved["type"])]
    if resolved["type"] == "fixed":
        parts.append(f"of {resolved['size']} bytes")
    logical = resolved.get("logicalType")
    if logical == "decimal":
        parts.append(f"decimal({resolved.get('precision')}, {resolved.get('scale', 0)})")
    elif logical is not None:
        parts.append(str(logical))
    return " ".join(parts)


def _simple_name(schema: Any) -> str:
    return str(schema["name"]).rpartition(".")[2]
