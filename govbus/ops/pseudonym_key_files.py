"""Pseudonym keys as `govbus apply` meets them: made where a view first needs one, and never silently made again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from govbus.catalogue.model import Catalogue
from govbus.catalogue.views import share_views
from govbus.errors import SettingsError
from govbus.kafka.pseudonym_keys import KEY_BYTES, key_file
from govbus.kafka.revisions import Revision, fingerprint
from govbus.kafka.settings import Settings
from govbus.rules.mask import Pseudonym
from govbus.rules.share import ShareView


@dataclass(frozen=True)
class Keys:
    """The keys in force: fingerprints by ``SUBSCRIBER.PURPOSE``, and the names of those that do not exist yet."""

    fingerprints: Mapping[str, str]
    missing: tuple[str, ...]


def needed_keys(catalogue: Catalogue) -> tuple[str, ...]:
    """Return the names of the keys that the views of *catalogue* need, sorted."""
    names = set()
    for view in share_views(catalogue):
        if isinstance(view, ShareView) and not (
            view.key_in_clear and not any(isinstance(mask, Pseudonym) for _, mask in view.fields)
        ):
            names.add(f"{view.subscriber}.{view.purpose}")
    return tuple(sorted(names))


def keys_in_force(settings: Settings, catalogue: Catalogue, revisions: Sequence[Revision]) -> Keys:
    """Return the keys that lie under the data folder for the views of *catalogue*. Makes nothing.

    Raises SettingsError for a key that was applied in one of *revisions* and is gone or replaced without its old file
    beside it: what was sent under it could neither be continued nor withdrawn.
    """
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in needed_keys(catalogue):
        file = key_file(settings, name)
        applied = [each.pseudonym_keys[name] for each in revisions if name in each.pseudonym_keys]
        if not file.is_file():
            if applied:
                raise SettingsError(
                    f"the pseudonym key {name} ({applied[-1]}) was applied and {file} is missing: restore it from the "
                    "backup; a new key would give everyone a second pseudonym"
                )
            missing.append(name)
            continue
        found[name] = fingerprint(_read(file))
        if applied and found[name] != applied[-1]:
            _demand_old_key(file, name, applied[-1])
    return Keys(found, tuple(missing))


def make_keys(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """Make the keys *names*, each 32 random bytes in a file that only its owner can read; return their fingerprints."""
    made: dict[str, str] = {}
    for name in names:
        file = key_file(settings, name)
        settings.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        key = secrets.token_bytes(KEY_BYTES)
        # Exclusive: of two `apply` at one moment the second fails here rather than replacing a key.
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise SettingsError(f"{file} appeared while it was being made: run `govbus apply` again") from None
        with os.fdopen(handle, "wb") as opened:
            opened.write(key)
            opened.flush()
            os.fsync(opened.fileno())
        made[name] = fingerprint(key)
    return made


def _read(file: Path) -> bytes:
    key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise SettingsError(f"{file} holds {len(key)} bytes, and a pseudonym key has {KEY_BYTES}: restore the backup")
    if file.stat().st_mode & 0o077:
        raise SettingsError(f"{file} can be read by others: chmod 600 it, and think about who has read it")
    return key


def _demand_old_key(file: Path, name: str, applied: str) -> None:
    old = file.with_name(f"{name}.{applied}.key")
    if not (old.is_file() and fingerprint(_read(old)) == applied):
        raise SettingsError(
            f"the pseudonym key {name} was replaced, and the applied one ({applied}) is not beside it: put it at "
            f"{old}, so that what was sent under it can be withdrawn, or restore it as the key in force"
        )
