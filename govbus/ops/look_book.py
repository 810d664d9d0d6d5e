"""Who looked at what concerns people: one line per look, under the data folder and in the log; never at whom.

A look that cannot be written down does not take place.
"""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime

import structlog

from govbus.errors import GovbusError
from govbus.kafka.settings import Settings

log = structlog.get_logger()

LOOK_BOOK = "looks.jsonl"
"""Under the data folder: one JSON document per line, appended and never rewritten here."""


class LookNotNoted(GovbusError):
    """The look could not be written down, so nothing is shown; the text says why."""


def note_look(settings: Settings, what: str, **facts: str | int) -> None:
    """Write down that the present user looks at *what*, with *facts* that name no person and hold no value.

    Raises `LookNotNoted`.
    """
    who = operator()
    line = {"at": datetime.now(UTC).isoformat(), "who": who, "what": what, **facts}
    book = settings.home / LOOK_BOOK
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        handle = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
    except OSError as error:
        raise LookNotNoted(f"nothing is shown: the look cannot be written to {book}: {error.strerror}") from error
    log.info("look noted", what=what, who=who, **facts)


def operator() -> str:
    """Return the account that runs this command; with sudo, the one behind it as well."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):
        account = f"uid {os.getuid()}"  # a container without a name for its user
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind} as {account}" if behind and behind != account else account
