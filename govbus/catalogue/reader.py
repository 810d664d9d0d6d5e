"""The folders of a city, read whole: every declaration file with its place, and every file that has none.

    city.yaml
    schemas/elements.yaml                       schemas/DEPARTMENT/DATASET.avsc
    schemas/DEPARTMENT/DATASET.NAME.pass.json   schemas/DEPARTMENT/DATASET.NAME.fail.json
    producers/DEPARTMENT/department.yaml        producers/DEPARTMENT/DATASET.yaml
    consumers/SUBSCRIBER/subscriber.yaml        consumers/SUBSCRIBER/ASK.yaml

Notes (``*.md``) and files whose name starts with a dot may stand anywhere; anything else is a fault, so that a misspelt
file name is seen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from govbus.catalogue.document import Document, read_json, read_yaml
from govbus.catalogue.faults import FaultCode
from govbus.errors import Fault

CITY = "city.yaml"
ELEMENTS = "schemas/elements.yaml"
ROOMS = ("schemas", "producers", "consumers")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_SAMPLE = re.compile(r"(?P<dataset>[a-z][a-z0-9_]*)\.(?P<name>[A-Za-z0-9_-]+)\.(?P<verdict>pass|fail)\.json\Z")


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A sample beside a schema: what its name claims. It is read when it is checked."""

    file: str
    passes: bool


@dataclass
class Declarations:
    """Every document of a city by what it declares. Datasets and asks stand under ``folder.name``."""

    root: Path
    city: Document | None = None
    vocabulary: Document | None = None
    departments: dict[str, Document] = field(default_factory=dict)
    datasets: dict[str, Document] = field(default_factory=dict)
    schemas: dict[str, Document] = field(default_factory=dict)
    samples: dict[str, list[SampleFile]] = field(default_factory=dict)
    subscribers: dict[str, Document] = field(default_factory=dict)
    asks: dict[str, Document] = field(default_factory=dict)


def read(city_dir: Path, faults: list[Fault]) -> Declarations:
    """Return the declarations under *city_dir*; what is wrong with files and their places goes to *faults*."""
    found = Declarations(city_dir)
    if (city_dir / CITY).is_file():
        found.city = read_yaml(city_dir, CITY, faults)
    else:
        faults.append(no_city(city_dir))
    _read_schemas(found, faults)
    _read_folders(found, "producers", "department.yaml", found.departments, found.datasets, faults)
    _read_folders(found, "consumers", "subscriber.yaml", found.subscribers, found.asks, faults)
    _match(found, faults)
    return found


def no_city(city_dir: Path) -> Fault:
    """Return the fault of a folder that holds no city."""
    message = (
        f"{CITY} is missing in {city_dir}: name the city's folder with --city, or start one with `govbus init DIR`"
    )
    return Fault(CITY, 1, FaultCode.DANGLING_FILE, message)


def _read_schemas(found: Declarations, faults: list[Fault]) -> None:
    for entry in _entries(found.root, "schemas", faults):
        if entry.is_dir():
            if _is_name(entry, "a department", faults):
                _read_schema_folder(found, f"schemas/{entry.name}", faults)
        elif entry.name == "elements.yaml":
            found.vocabulary = read_yaml(found.root, ELEMENTS, faults)
        else:
            faults.append(_unexpected(f"schemas/{entry.name}", "elements.yaml and one folder per department"))


def _read_schema_folder(found: Declarations, folder: str, faults: list[Fault]) -> None:
    department = folder.rpartition("/")[2]
    for entry in _entries(found.root, folder, faults):
        file = f"{folder}/{entry.name}"
        sample = _SAMPLE.match(entry.name)
        if sample and entry.is_file():
            samples = found.samples.setdefault(f"{department}.{sample['dataset']}", [])
            samples.append(SampleFile(file, sample["verdict"] == "pass"))
        elif entry.name.endswith(".avsc") and entry.is_file():
            name = entry.name.removesuffix(".avsc")
            if _NAME.match(name):
                found.schemas[f"{department}.{name}"] = read_json(found.root, file, faults)
            else:
                faults.append(_not_a_name(file, name, "a dataset"))
        else:
            faults.append(_unexpected(file, "DATASET.avsc, DATASET.NAME.pass.json and DATASET.NAME.fail.json"))


def _read_folders(
    found: Declarations,
    room: str,
    head: str,
    heads: dict[str, Document],
    members: dict[str, Document],
    faults: list[Fault],
) -> None:
    """Read producers/ or consumers/: in each folder one *head* file for the body and one file per dataset or ask."""
    what = "a department" if room == "producers" else "a subscriber"
    member = "a dataset" if room == "producers" else "an ask"
    for body in _entries(found.root, room, faults):
        if not body.is_dir():
            faults.append(_unexpected(f"{room}/{body.name}", f"one folder for each {what.partition(' ')[2]}"))
            continue
        if not _is_name(body, what, faults):
            continue
        names: set[str] = set()
        for entry in _entries(found.root, f"{room}/{body.name}", faults):
            file = f"{room}/{body.name}/{entry.name}"
            name = entry.name.removesuffix(".yaml")
            names.add(entry.name)
            if not entry.name.endswith(".yaml") or not entry.is_file():
                faults.append(_unexpected(file, f"{head} and one .yaml file for each {member.partition(' ')[2]}"))
            elif entry.name == head:
                heads[body.name] = read_yaml(found.root, file, faults)
            elif _NAME.match(name):
                members[f"{body.name}.{name}"] = read_yaml(found.root, file, faults)
            else:
                faults.append(_not_a_name(file, name, member))
        if head not in names:
            message = f"{head} is missing: it says who {body.name} is"
            faults.append(Fault(f"{room}/{body.name}/{head}", 1, FaultCode.DANGLING_FILE, message))


def _match(found: Declarations, faults: list[Fault]) -> None:
    """Refuse schemas, datasets and samples whose counterpart is missing."""
    for dataset in sorted(found.schemas.keys() - found.datasets.keys()):
        path = dataset.replace(".", "/")
        message = f"no dataset describes this schema: add producers/{path}.yaml, or remove the schema"
        faults.append(Fault(f"schemas/{path}.avsc", 1, FaultCode.DANGLING_FILE, message))
    for dataset in sorted(found.datasets.keys() - found.schemas.keys()):
        path = dataset.replace(".", "/")
        message = f"this dataset has no schema: add schemas/{path}.avsc, or remove the dataset"
        faults.append(Fault(f"producers/{path}.yaml", 1, FaultCode.DANGLING_FILE, message))
    for dataset in sorted(found.samples.keys() - found.schemas.keys()):
        path = dataset.replace(".", "/")
        for sample in found.samples[dataset]:
            message = f"this sample has no schema: add schemas/{path}.avsc, or remove the sample"
            faults.append(Fault(sample.file, 1, FaultCode.DANGLING_FILE, message))


def _entries(root: Path, folder: str, faults: list[Fault]) -> Iterator[os.DirEntry[str]]:
    """Yield what stands in *folder* by name, without notes and hidden files; nothing where there is no such folder."""
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        faults.append(Fault(folder, 1, FaultCode.MALFORMED_FILE, f"cannot be read: {error.strerror}"))
        return
    for entry in entries:
        if not entry.name.startswith(".") and not (entry.name.endswith(".md") and entry.is_file()):
            yield entry


def _is_name(entry: os.DirEntry[str], what: str, faults: list[Fault]) -> bool:
    if _NAME.match(entry.name):
        return True
    folder = Path(entry.path)
    faults.append(_not_a_name(f"{folder.parent.name}/{entry.name}", entry.name, what))
    return False


def _not_a_name(file: str, name: str, what: str) -> Fault:
    message = f"{name} is no name for {what}: use lower-case letters, digits and _, at most 63, starting with a letter"
    return Fault(file, 1, FaultCode.UNEXPECTED_FILE, message)


def _unexpected(file: str, expected: str) -> Fault:
    return Fault(
        file, 1, FaultCode.UNEXPECTED_FILE, f"nothing reads this file; here belong {expected} (notes end in .md)"
    )
