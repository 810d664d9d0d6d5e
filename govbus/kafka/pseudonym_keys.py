"""Pseudonym keys: 32-byte secret files, one per subscriber and purpose. Back them up; nothing can make them again.

``SUBSCRIBER.PURPOSE.key`` is the key in force. When a new one replaces it, the old file stays beside it under its
fingerprint (``SUBSCRIBER.PURPOSE.FINGERPRINT.key``), so that what was sent under it can still be withdrawn.
"""

from __future__ import annotations

from pathlib import Path

from govbus.errors import SettingsError
from govbus.kafka.revisions import fingerprint
from govbus.kafka.settings import Settings

KEY_BYTES = 32


def key_file(settings: Settings, name: str) -> Path:
    """Return where the key in force of *name* (``SUBSCRIBER.PURPOSE``) lies."""
    return settings.secrets / "pseudonym" / f"{name}.key"


def read_key(settings: Settings, name: str, expected: str) -> bytes:
    """Return the key of *name* whose fingerprint is *expected*.

    Raises SettingsError where neither the key in force nor a kept one has it: sending under another key would give one
    person two pseudonyms.
    """
    file = key_file(settings, name)
    for candidate in (file, file.with_name(f"{name}.{expected}.key")):
        if candidate.is_file():
            key = candidate.read_bytes()
            if len(key) == KEY_BYTES and fingerprint(key) == expected:
                return key
    raise SettingsError(
        f"the pseudonym key {name} with fingerprint {expected} is not in {file.parent}: restore it from the backup"
    )
