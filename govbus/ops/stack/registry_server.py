"""Apicurio Registry 3.3.3 with its data in an H2 file; speaks the Confluent registry's protocol."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from govbus.ops.stack.ports import LOOPBACK
from govbus.ops.stack.process import plain_environment
from govbus.ops.stack.record import StackRecord
from govbus.ops.stack.server import Server

_PATH = "/apis/ccompat/v7"


class RegistryServer(Server):
    """The schema registry."""

    name = "registry"
    title = "Apicurio Registry"

    def __init__(self, record: StackRecord, java: Path, app: Path) -> None:
        super().__init__(record)
        self._java = java
        self._app = app

    def address(self) -> str:
        """Return the URL for clients of the Confluent registry."""
        return f"http://{LOOPBACK}:{self.port}{_PATH}"

    def port_names(self) -> Sequence[str]:
        return ("registry", "registry_management")

    def prepare(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        argv = [
            str(self._java),
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:ErrorFile={self.folder}/crash.log",
            f"-Djava.io.tmpdir={self._record.folder / 'tmp'}",
            "-jar",
            str(self._app / "quarkus-run.jar"),
        ]
        env = plain_environment(self._record.folder) | {
            "QUARKUS_HTTP_HOST": LOOPBACK,
            "QUARKUS_HTTP_PORT": str(self.port),
            # Metrics and health would listen on every address otherwise.
            "QUARKUS_MANAGEMENT_HOST": LOOPBACK,
            "QUARKUS_MANAGEMENT_PORT": str(self._record.port("registry_management")),
            # Apicurio's own default is NONE: it would take any schema.
            "APICURIO_RULES_GLOBAL_COMPATIBILITY": "FULL_TRANSITIVE",
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            # H2 writes a commit to its file half a second late unless told otherwise.
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{self.folder / 'data' / 'registry'};WRITE_DELAY=0",
            # Lists of subjects end at 1000 otherwise, without saying so.
            "APICURIO_CCOMPAT_MAX_SUBJECTS": "1000000",
            "QUARKUS_LOG_CONSOLE_LEVEL": "ERROR",
            "QUARKUS_LOG_FILE_ENABLE": "true",
            "QUARKUS_LOG_FILE_PATH": str(self.folder / "registry.log"),
            "QUARKUS_LOG_FILE_ROTATION_MAX_FILE_SIZE": "5M",
            "QUARKUS_LOG_FILE_ROTATION_MAX_BACKUP_INDEX": "3",
        }
        return argv, env

    def answers(self) -> bool:
        # No proxy of the environment's: this is the loopback address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.address()}/subjects", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
