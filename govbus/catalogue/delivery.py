"""How an ask is delivered: its ``delivery:``, as closed as every other declaration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, TypeAdapter

from govbus.catalogue.model import Declared
from govbus.catalogue.source import RelativePath

MAX_IDENTIFIER_BYTES = 63
"""Postgres cuts longer names off, silently (NAMEDATALEN)."""


def _own_schema(name: str) -> str:
    if name.startswith("pg_") or name == "information_schema":
        raise ValueError("this schema belongs to Postgres itself: choose another name")
    return name


SchemaName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=MAX_IDENTIFIER_BYTES), AfterValidator(_own_schema)
]


class PostgresDelivery(Declared):
    """Tables in the subscriber's database, one per dataset, named as `table_name` says."""

    model_config = ConfigDict(populate_by_name=False)

    kind: Literal["postgres"]
    schema_: Annotated[SchemaName, Field(alias="schema")]


class FileDelivery(Declared):
    """Files with a manifest, in a folder under the data folder's ``delivered``."""

    kind: Literal["file"]
    format: Literal["jsonl", "csv", "parquet"]
    folder: RelativePath


class TopicDelivery(Declared):
    """The subscriber reads its share topics itself."""

    kind: Literal["topic"]


Delivery = PostgresDelivery | FileDelivery | TopicDelivery

_DELIVERY: TypeAdapter[Delivery] = TypeAdapter(Annotated[Delivery, Field(discriminator="kind")])


def parse_delivery(declared: Mapping[str, Any]) -> Delivery:
    """Return the delivery that an ask declares. Raises pydantic's ValidationError for anything outside the models."""
    return _DELIVERY.validate_python(declared)


def table_name(dataset: str) -> str:
    """Return the table of a dataset (``department.dataset``) in its ask's schema."""
    return dataset.replace(".", "_")
