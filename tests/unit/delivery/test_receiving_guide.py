"""docs/receiving.md is held to the code: columns, manifests, reasons, options and programs are those there are."""

from __future__ import annotations

import json
import re

from stack_fixture import REPOSITORY
from typer.main import get_command

from govbus.catalogue.delivery import parse_delivery
from govbus.cli import app
from govbus.delivery import topic
from govbus.delivery.file import LIMITS
from govbus.delivery.file_part import DatasetPart, Manifest, OffsetRange, WrittenFile
from govbus.delivery.position import ReloadReason
from govbus.delivery.postgres import MAX_KEY_BYTES
from govbus.delivery.postgres_copy import COLUMN_TYPES
from govbus.delivery.shape import column_of

GUIDE = (REPOSITORY / "docs/receiving.md").read_text(encoding="utf-8")
AVRO = {
    "date": {"type": "int", "logicalType": "date"},
    "timestamp-micros": {"type": "long", "logicalType": "timestamp-micros"},
    "timestamp-millis": {"type": "long", "logicalType": "timestamp-millis"},
    "decimal": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    "enum": {"type": "enum", "name": "e", "symbols": ["A"]},
    "fixed": {"type": "fixed", "name": "f", "size": 3},
    "array": {"type": "array", "items": "string"},
    "map": {"type": "map", "values": "string"},
    "record": {"type": "record", "name": "r", "fields": []},
    "other unions": ["string", "int"],
}


def column(header: str) -> list[str]:
    """The first cells of the table whose first head is *header*."""
    table = re.search(rf"^\| {header} \|.*\n\|---.*\n((?:\|.*\n)+)", GUIDE, re.MULTILINE)
    assert table is not None, header
    return [row.split("|")[1].strip() for row in table[1].splitlines()]


def words(header: str) -> list[str]:
    return [word for cell in column(header) for word in re.findall(r"`(\w+)`", cell)]


def test_the_table_of_column_types_is_that_of_the_code() -> None:
    """Every Avro type of the guide gets the Postgres type that stands beside it, and no type is left out."""
    rows = re.findall(r"^\| ([a-z, -]+) \| `([a-z ]+)` \|$", GUIDE, re.MULTILINE)
    told = {name: sql for names, sql in rows for name in names.split(", ")}
    for name, sql in told.items():
        assert COLUMN_TYPES[column_of("x", AVRO.get(name, name)).kind] == sql, name
    assert set(told.values()) == set(COLUMN_TYPES.values())


def test_every_reload_reason_is_explained() -> None:
    """The first table of reasons is the closed list of the code."""
    assert set(words("reason")) == {reason.value for reason in ReloadReason}


def test_every_key_of_a_manifest_is_explained() -> None:
    """What a manifest holds, the guide says, and nothing else."""
    assert set(words("key")) == set(Manifest.model_fields)
    assert set(words("key of a dataset")) == set(DatasetPart.model_fields)
    for name in (*WrittenFile.model_fields, *OffsetRange.model_fields):
        assert f"`{name}`" in GUIDE


def test_every_option_of_the_command_is_explained() -> None:
    """`govbus deliver` has no option that the guide does not name, and the guide names no other."""
    options = {name for each in get_command(app).commands["deliver"].params for name in each.opts if name[:2] == "--"}  # type: ignore[attr-defined]
    assert set(re.findall(r"`(--[a-z-]+)", GUIDE)) == options - {"--help"}


def test_every_declaration_shown_is_a_delivery() -> None:
    """Each `delivery:` of the guide is read by the models."""
    shown = re.findall(r"delivery: \{(.*)\}", GUIDE)
    kinds = [parse_delivery(dict(pair.split(": ") for pair in each.split(", "))).kind for each in shown]
    assert kinds == ["postgres", "file", "topic"]


def test_the_figures_of_the_text_are_those_of_the_code() -> None:
    """Limits that the guide names in numbers."""
    assert f"{MAX_KEY_BYTES:,} bytes" in GUIDE
    assert f"every {LIMITS.linger_seconds:.0f} seconds, or every {LIMITS.records:,} records" in GUIDE


def test_the_programs_are_those_that_the_command_shows() -> None:
    """kcat's options, the Python program and Connect's configuration are the ones that tests run or hold."""
    kcat = GUIDE[GUIDE.index("    kcat -C") : GUIDE.index("Python:")]
    command = topic.kcat_command("share.education.school_place.public_security.population", "BROKERS")
    assert (
        re.sub(r"[\\\n]| {4,}", "", kcat.replace("\\n", "\n")).split()
        == re.sub(r"\n", "", " ".join([*command[:-1], f"'{command[-1]}'"]).replace("\\n", "")).split()
    )
    program = topic._PYTHON.format(topic="TOPIC", b="BROKERS", r="REGISTRY")
    assert program in GUIDE
    (shown,) = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    names = {"TOPIC", "public_security_population", "REGISTRY"}
    kept = {key: value for key, value in json.loads(shown).items() if value not in names}
    assert kept.items() <= topic.connect_sink("TOPIC", "public_security_population", "REGISTRY").items()
    assert set(json.loads(shown)) == set(topic.connect_sink("TOPIC", "public_security_population", "REGISTRY"))
