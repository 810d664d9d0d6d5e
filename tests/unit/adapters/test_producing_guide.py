"""docs/producing.md is held to the code: its formats, its declarations and its options are those that there are."""

from __future__ import annotations

import re

import yaml
from stack_fixture import REPOSITORY
from typer.main import get_command

from govbus.adapters.drop_folder import DONE, FAILED, HELD, TAKEN
from govbus.adapters.file import DELETIONS, UPSERTS
from govbus.catalogue.source import parse_source
from govbus.cli import app
from govbus.rules.formats import FORMATS

GUIDE = (REPOSITORY / "docs/producing.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the code blocks of the guide in this language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_table_of_formats_is_the_table_of_the_code() -> None:
    """One row per format, with its title."""
    assert re.findall(r"^\| `(\w+)` \| ([^|]+) \|", GUIDE, re.MULTILINE) == [
        (name, format.title) for name, format in FORMATS.items()
    ]


def test_every_declaration_shown_is_a_source() -> None:
    """Each `source:` of the guide is read by the models."""
    kinds = [parse_source(yaml.safe_load(block)["source"]).kind for block in blocks("yaml")]
    assert kinds == ["file", "file", "postgres", "outbox"]


def test_every_option_of_the_command_is_explained() -> None:
    """`govbus produce` has no option that the guide does not name, and the guide names no other."""
    options = {name for each in get_command(app).commands["produce"].params for name in each.opts if name[:2] == "--"}  # type: ignore[attr-defined]
    assert set(re.findall(r"`(--[a-z-]+)", GUIDE)) == options - {"--help"}


def test_every_operation_and_folder_is_named() -> None:
    """What a change file may say and where files go stands in the guide."""
    for word in (*UPSERTS, *DELETIONS):
        assert re.search(rf"\b{word}\b", GUIDE, re.IGNORECASE), word
    for folder in (DONE, HELD, FAILED, TAKEN):
        assert f"`{folder}/`" in GUIDE
