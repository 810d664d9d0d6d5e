"""What the local stack writes down about itself: ports, secrets and processes, in one folder.

`stack.json` is there exactly while the stack is meant to run, and is what other commands read their addresses from.
`identity.json` stays from the first start to `down --purge`: ports, the database password and the cluster's id, so
that a restarted stack is the same one. Both are readable by their owner only.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import uuid
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from govbus.ops.stack.errors import StackError
from govbus.ops.stack.ports import free_port, is_free
from govbus.ops.stack.process import ProcessMark

_FORMAT = 1


class StackRecord:
    """The stack's notes under *folder*; every change is on disk when the call returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._identity_file = folder / "identity.json"
        self._stack_file = folder / "stack.json"

    @property
    def exists(self) -> bool:
        """Whether a stack was ever started in this folder (and not purged)."""
        return self._identity_file.is_file()

    def create(self) -> None:
        """Make the folder ours; StackError where it holds something else or cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            strangers = sorted(entry.name for entry in self.folder.iterdir() if entry.name != "lock")
        except OSError as error:
            raise StackError(
                f"the stack's folder {self.folder} cannot be used ({error.strerror}): make it writable for you, or set "
                "GOVBUS_HOME to another folder"
            ) from error
        if self.exists:
            if self._read(self._identity_file).get("format") != _FORMAT:
                raise StackError(
                    f"{self.folder} was made by another version of govbus: end and remove that stack with its own "
                    "version (`govbus stack down --purge`), or set GOVBUS_HOME to another folder"
                )
            return
        if strangers:
            raise StackError(
                f"the stack's folder {self.folder} is taken: it holds {strangers[0]}, which no stack put there. "
                "Move that away, or set GOVBUS_HOME to another folder"
            )
        identity = {
            "format": _FORMAT,
            "ports": {},
            "postgres_password": secrets.token_hex(16),
            "cluster_id": base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="),
        }
        self._write(self._identity_file, identity)

    def empty_temporary_folder(self) -> None:
        """Leave an empty tmp folder; nothing of the stack may run."""
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        (self.folder / "tmp").mkdir(exist_ok=True)

    def choose_ports(self, names: Iterable[str], wanted: dict[str, int], keep: bool) -> list[str]:
        """Give every port in *names* a number: the wanted, else the former, else a free one.

        Returns the names of the ports that had to move because somebody else holds their former number; nothing
        moves where *keep* is set (a part of the stack runs, and its clients know the addresses).
        """
        identity = self._read(self._identity_file)
        ports: dict[str, int] = identity["ports"]
        moved = []
        for name in names:
            if name in wanted:
                ports[name] = wanted[name]
            elif name not in ports:
                ports[name] = free_port(set(ports.values()) | set(wanted.values()))
            elif not keep and not is_free(ports[name]):
                moved.append(name)
                ports[name] = free_port(set(ports.values()) | set(wanted.values()))
        self._write(self._identity_file, identity)
        return moved

    def port(self, name: str) -> int:
        """Return the number of the port called *name*."""
        ports: dict[str, int] = self._read(self._identity_file).get("ports", {})
        if name not in ports:
            raise StackError(f"the local stack under {self.folder} was never started: `govbus stack up`")
        return ports[name]

    def secret(self, name: str) -> str:
        """Return the identity's text called *name*."""
        return str(self._read(self._identity_file)[name])

    def mark(self, server: str) -> ProcessMark | None:
        """Return the process that *server* was last started as, dead or alive."""
        noted = self._read(self._stack_file).get("servers", {}).get(server)
        return ProcessMark(noted["pid"], noted["start_ticks"], noted["boot_id"]) if noted else None

    def started_at(self, server: str) -> str:
        """Return when *server* was last started, local time in ISO 8601, or "" where it never was."""
        return str(self._read(self._stack_file).get("servers", {}).get(server, {}).get("started_at", ""))

    def set_mark(self, server: str, mark: ProcessMark) -> None:
        """Note the process that *server* was started as."""
        note = self._read(self._stack_file)
        note.setdefault("servers", {})[server] = {
            "pid": mark.pid,
            "start_ticks": mark.start_ticks,
            "boot_id": mark.boot_id,
            "started_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        self._write(self._stack_file, note)

    def forget_mark(self, server: str) -> None:
        """Forget the process of *server*, which has ended."""
        note = self._read(self._stack_file)
        if note.get("servers", {}).pop(server, None) is not None:
            self._write(self._stack_file, note)

    def publish(self, addresses: dict[str, str]) -> None:
        """Write down the *addresses* that other commands connect to."""
        note = self._read(self._stack_file)
        self._write(self._stack_file, addresses | {"servers": note.get("servers", {})})

    def withdraw(self) -> None:
        """Take the addresses away: the stack no longer runs."""
        self._stack_file.unlink(missing_ok=True)

    def _read(self, file: Path) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StackError(
                f"{file} is damaged ({error}): restore it, or end the stack's processes yourself (`ps -ef | grep "
                f"{self.folder}`) and remove {self.folder}"
            ) from error
        return found

    def _write(self, file: Path, content: dict[str, Any]) -> None:
        part = file.with_name(file.name + ".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump(content, stream, indent=2)
        part.replace(file)
