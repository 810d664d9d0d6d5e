"""How the departments of this city keep their data: read from the city's own declarations.

The files that are written follow each dataset's ``source:`` (encoding, delimiter, headers, dates, tables), so whoever
changes a source finds the next city written the new way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from govbus.catalogue.source import Source, parse_source
from govbus.errors import DeclarationError, Fault

DATASETS = (
    "public_security.population",
    "public_security.household",
    "civil_affairs.marriage",
    "civil_affairs.minimum_living",
    "health.birth_certificate",
    "education.student_enrolment",
    "education.school_place_application",
    "human_resources.social_insurance_month",
    "natural_resources.property_ownership",
    "housing.lease",
    "market_regulation.enterprise",
    "disabled_federation.disability_certificate",
    "taxation.taxpayer",
    "meteorology.observation",
)
"""The datasets whose records the generator knows how to make."""


@dataclass(frozen=True)
class Column:
    """One leaf of a dataset's record: dotted path, Avro type (without null), whether it may be null, source column."""

    path: str
    type: str
    optional: bool
    name: str
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True)
class Declared:
    """One dataset as its department keeps it."""

    id: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    source: Source

    @property
    def department(self) -> str:
        return self.id.partition(".")[0]

    @property
    def dataset(self) -> str:
        return self.id.partition(".")[2]


def read_declared(city: Path) -> dict[str, Declared]:
    """Return the reference city's datasets under their ids, as declared in the folder *city*.

    Raises DeclarationError, with every fault, where a dataset that the generator writes is missing or unreadable.
    """
    found: dict[str, Declared] = {}
    faults: list[Fault] = []
    for dataset_id in DATASETS:
        department, _, dataset = dataset_id.partition(".")
        file = f"producers/{department}/{dataset}.yaml"
        try:
            entry = yaml.safe_load((city / file).read_text(encoding="utf-8"))
            schema = json.loads((city / f"schemas/{department}/{dataset}.avsc").read_text(encoding="utf-8"))
            source = parse_source(entry["source"])
            names: Mapping[str, str] = getattr(source, "columns", {})
            found[dataset_id] = Declared(
                dataset_id, tuple(entry["key"]), tuple(_columns(schema["fields"], "", names)), source
            )
        except FileNotFoundError:
            message = f"the reference city has a dataset {dataset_id}: run govbus city where it is declared"
            faults.append(Fault(file, 1, "dangling_file", message))
        except (yaml.YAMLError, ValueError, ValidationError, KeyError, TypeError, AttributeError):
            message = f"{dataset_id} cannot be read: govbus check says what is wrong"
            faults.append(Fault(file, 1, "malformed", message))
    if faults:
        raise DeclarationError(faults)
    return found


def _columns(fields: list[dict[str, Any]], above: str, names: Mapping[str, str]) -> Iterator[Column]:
    for field in fields:
        path, avro = f"{above}{field['name']}", field["type"]
        optional = isinstance(avro, list)
        if optional:
            avro = next(branch for branch in avro if branch != "null")
        if isinstance(avro, dict) and avro["type"] == "record":
            yield from _columns(avro["fields"], f"{path}.", names)
            continue
        kind, schema = (avro, {}) if isinstance(avro, str) else (avro.get("logicalType", avro["type"]), avro)
        yield Column(
            path, kind, optional, names.get(path, path), int(schema.get("precision", 0)), int(schema.get("scale", 0))
        )
