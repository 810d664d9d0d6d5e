"""The Catalogue: everything declared in a city, as one frozen value.

These models are both the shape of the declaration files (`govbus.catalogue.reader` reads them, with line numbers) and
of a revision on ``bus.catalogue`` (`Catalogue.model_dump_json`). Unknown words are refused everywhere. What one file
cannot tell (a grant for an ask, a clearance for a grade) is checked in `govbus.catalogue.check`.

Vocabulary: the catalogue entry follows the 政务信息资源目录编制指南 core metadata and 政务数据共享条例 Art. 13.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A department, dataset, subscriber, ask or purpose: part of topic names, so lower-case letters, digits, underscore."""

FieldPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*$")]
"""A field of a record; dots lead through nested records."""

Division = Annotated[str, StringConstraints(pattern=r"^\d{6}$")]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
LegalBasis = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Grade = Literal["L1", "L2", "L3", "L4"]
GRADES: tuple[Grade, ...] = ("L1", "L2", "L3", "L4")

_DURATION = re.compile(r"^(\d+)(s|m|h|d)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """Return the length of a declared duration such as ``26h`` or ``30d``. Raises ValueError for any other text."""
    found = _DURATION.match(duration)
    if not found:
        raise ValueError("a duration is a number and a unit: s, m, h or d, e.g. 26h")
    return int(found[1]) * _SECONDS[found[2]]


def _checked_duration(duration: str) -> str:
    seconds(duration)
    return duration


Duration = Annotated[str, AfterValidator(_checked_duration)]


def _day(declared: Any) -> Any:
    if isinstance(declared, date) or (isinstance(declared, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", declared)):
        return declared
    raise ValueError("a day is written YYYY-MM-DD, e.g. 2027-12-31")


Day = Annotated[date, BeforeValidator(_day)]
"""A day of the calendar. Numbers are refused: pydantic would take them for seconds since 1970."""


class Declared(BaseModel):
    """Frozen, and closed to words it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Contact(Declared):
    """Who answers: a role and how to reach it, never a person's name."""

    role: Title
    phone: str = ""
    email: str = ""


class City(Declared):
    """``city.yaml``: what holds for the whole bus."""

    city: Name
    title: Title
    division: Division
    partitions: Annotated[int, Field(strict=True, ge=1, le=1000)] = 12
    replication_factor: Annotated[int, Field(strict=True, ge=1, le=9)] = 3
    min_insync_replicas: Annotated[int, Field(strict=True, ge=1, le=9)] = 2
    raw_retention: Duration = "30d"
    reject_retention: Duration = "30d"
    delete_retention: Duration = "30d"
    max_record_bytes: Annotated[int, Field(strict=True, ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    topic_prefix: Annotated[str, StringConstraints(pattern=r"^([a-z0-9_]+\.)?$")] = ""


class Department(Declared):
    """``producers/DEPARTMENT/department.yaml``."""

    department: Name
    title: Title
    code: str
    region: Division
    contact: Contact


DEFAULT_MAX_AGE = {
    "realtime": "5m",
    "daily": "26h",
    "weekly": "8d",
    "monthly": "33d",
    "quarterly": "100d",
    "yearly": "380d",
}
"""Age from which data is stale where the catalogue entry states none; an irregular dataset must state one."""


class Update(Declared):
    """How often a dataset changes, and from which age on it is stale (更新周期)."""

    cycle: Literal["realtime", "daily", "weekly", "monthly", "quarterly", "yearly", "irregular"]
    max_age: Duration | None = None

    @property
    def max_age_seconds(self) -> int:
        return seconds(self.max_age or DEFAULT_MAX_AGE.get(self.cycle, "380d"))


def _at_least_one(declared: tuple[str, ...]) -> tuple[str, ...]:
    """Return *declared* unless it is empty. (`min_length` would call a list empty of which the only entry is wrong.)"""
    if not declared:
        raise ValueError("at least one entry is expected")
    return declared


class Authority(Declared):
    """Where authority over an element is split: this dataset has it for records whose field *by* begins with one of
    *divisions* (prefixes of a division code, 2 to 6 digits).
    """

    by: FieldPath
    divisions: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^\d{2,6}$")], ...], AfterValidator(_at_least_one)
    ]


def _share_of_authority(declared: Any) -> str:
    """Return whether an ``authoritative:`` is meant as a yes or no or as a part, which its faults are then told of."""
    return "whole" if not isinstance(declared, dict | Authority) else "part"


Authoritative = Annotated[
    Annotated[bool, Field(strict=True), Tag("whole")] | Annotated[Authority, Tag("part")],
    Discriminator(_share_of_authority),
]


class FieldEntry(Declared):
    """One information item (信息项) of a dataset.

    `element`: the data element it is a copy of; `authoritative`: that it is the element's source, wholly or for some
    divisions.
    """

    title: Title
    definition: str = ""
    grade: Grade
    format: str | None = None
    codes: Name | None = None
    unit: str | None = None
    owner: Name | None = None
    element: FieldPath | None = None
    authoritative: Authoritative = False
    share: Literal["not_shared"] | None = None
    basis: LegalBasis | None = None


def _by_path(declared: Any) -> Any:
    """Return grants or wishes as a mapping of path to mask; a plain list entry is ``pass``."""
    if not isinstance(declared, list):
        return declared
    masks: dict[str, Any] = {}
    for entry in declared:
        found = {entry: "pass"} if isinstance(entry, str) else entry
        if not isinstance(found, dict) or len(found) != 1:
            raise ValueError("a list of fields holds names, or a name with its mask: [a, {b: {generalise: year}}]")
        twice = masks.keys() & found.keys()
        if twice:
            raise ValueError(f"{twice.pop()} stands twice in this list: keep one of them")
        masks |= found
    return masks


def _texts_for_dates(declared: Any) -> Any:
    """Return a condition with its dates written YYYY-MM-DD, so that it survives JSON unchanged."""
    match declared:
        case dict():
            return {key: _texts_for_dates(value) for key, value in declared.items()}
        case list():
            return [_texts_for_dates(value) for value in declared]
        case date():
            return declared.isoformat()
    return declared


Masks = Annotated[dict[FieldPath, Any], BeforeValidator(_by_path)]
"""Mask by path, as declared (`govbus.rules.mask.parse_mask`). A list is read too: its plain entries are ``pass``."""

Rows = Annotated[dict[str, Any], BeforeValidator(_texts_for_dates)]
"""A row condition, as declared (`govbus.catalogue.conditions`). Dates are YYYY-MM-DD texts."""


DeclaredCheck = Annotated[dict[str, Any], BeforeValidator(_texts_for_dates)]
"""A structural check, as declared (`govbus.rules.structural.parse_check`)."""


class Grant(Declared):
    """The owner's key: who may see which fields and rows of this dataset, for which purpose, until when.

    `fields` maps paths to the least mask; a plain list grants in clear. `rows` is tested on the records themselves.
    `standing` names granted fields of which the grantee may also see, in the golden view, whether they are disputed.
    """

    to: Name
    purpose: Name
    legal_basis: LegalBasis
    until: Day
    state: Literal["active", "suspended", "ended"] = "active"
    fields: Masks
    rows: Rows | None = None
    standing: tuple[FieldPath, ...] = ()


class Dataset(Declared):
    """``producers/DEPARTMENT/DATASET.yaml`` with ``schemas/DEPARTMENT/DATASET.avsc``: one catalogue entry."""

    department: Name
    dataset: Name
    title: Title
    summary: Annotated[str, StringConstraints(max_length=500)] = ""
    resource_code: Annotated[str, StringConstraints(pattern=r"^[123]\d{2}\d{3}\d*/\d{1,12}$")]
    entity: Name | None = None
    subject: FieldPath
    key: Annotated[tuple[FieldPath, ...], Field(min_length=1)]
    share: Literal["unconditional", "conditional", "not_shared"]
    share_condition: str | None = None
    basis: LegalBasis | None = None
    openness: Literal["open", "conditional", "closed"] = "closed"
    update: Update
    region: Division
    legal_basis: LegalBasis
    contact: Contact
    versions: Literal["time", "sequence"] = "time"
    epoch: Annotated[int, Field(strict=True, ge=0, le=2**31)] = 0
    retention: Duration | None = None
    fields: dict[FieldPath, FieldEntry]
    source: dict[str, Any] | None = None
    checks: tuple[DeclaredCheck, ...] = ()
    grants: tuple[Grant, ...] = ()
    avro: dict[str, Any]
    """The record schema of the .avsc: business fields only; the bus puts `_version` and `_changed_at` before them."""

    @property
    def id(self) -> str:
        """``department.dataset``, unique in the city."""
        return f"{self.department}.{self.dataset}"


class Subscriber(Declared):
    """``consumers/SUBSCRIBER/subscriber.yaml``."""

    subscriber: Name
    title: Title
    code: str
    clearance: Grade
    region: Division
    contact: Contact


class AskedDataset(Declared):
    """What an ask wants of one dataset: masks by path, and which rows of what the masks leave."""

    fields: Masks
    rows: Rows | None = None


class Ask(Declared):
    """``consumers/SUBSCRIBER/ASK.yaml``: what, why, until when, delivered where (the five elements of D809 Art. 20)."""

    subscriber: Name
    ask: Name
    title: str = ""
    purpose: Name
    legal_basis: LegalBasis
    scenario: Title
    until: Day
    datasets: Annotated[dict[str, AskedDataset], Field(min_length=1)]
    delivery: dict[str, Any]

    @property
    def id(self) -> str:
        """``subscriber.ask``, unique in the city."""
        return f"{self.subscriber}.{self.ask}"


class Entity(Declared):
    """What elements are about: a person, an enterprise, a house. `id` names its identifier, `format` says how that is
    written; a record whose subject is not of that format is not about such an entity.
    """

    title: Title
    id: Name
    format: str


Severity = Literal["critical", "major", "minor", "info"]


class Element(Declared):
    """A data element (数据元): one fact about an entity, whichever datasets carry it.

    `comparator` is a name, or a name with its parameters (`govbus.rules.comparators`). `grace`: for how long after a
    change the other side may lag; where it is absent, one and a half of the laggard's update cycle.
    """

    title: Title
    definition: Title
    type: Literal["text", "code", "date", "number", "boolean", "set"]
    comparator: str | dict[str, dict[str, Any]]
    severity: Severity
    grace: Duration | None = None
    codes: Name | None = None


class CodeMap(Declared):
    """How the codes of one list are said in another, for fields that keep a list of their own."""

    to: Name
    codes: Annotated[dict[str, str], Field(min_length=1)]


class Vocabulary(Declared):
    """``schemas/elements.yaml``: the purposes, code lists, entities and data elements of a city.

    Elements stand under ``ENTITY.NAME``, code maps under the list they translate from.
    """

    purposes: dict[Name, Title] = {}
    code_lists: dict[Name, dict[str, str]] = {}
    code_maps: dict[Name, CodeMap] = {}
    entities: dict[Name, Entity] = {}
    elements: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")], Element] = {}


class Catalogue(Declared):
    """Everything declared, in one value. Datasets and asks stand under their ids, sorted."""

    city: City
    vocabulary: Vocabulary = Vocabulary()
    departments: dict[str, Department] = {}
    datasets: dict[str, Dataset] = {}
    subscribers: dict[str, Subscriber] = {}
    asks: dict[str, Ask] = {}
