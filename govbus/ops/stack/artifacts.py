"""The stack's programs from Maven Central, through jgo: pinned by sha256, fetched once, kept in the cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from govbus.ops.stack.errors import StackError

Report = Callable[[str], None]
"""Takes one line for the person who waits."""

MIRROR = "GOVBUS_MAVEN_REPOSITORY"
"""The variable that names a mirror of Maven Central, for networks that reach no other."""

_DOWNLOAD_TIMEOUT_SECONDS = 60
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file on Maven Central and the sha256 that it must have."""

    group: str
    name: str
    version: str
    packaging: str
    classifier: str
    sha256: str

    @property
    def filename(self) -> str:
        """The file's name, as Maven's repository layout has it."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{classifier}.{self.packaging}"

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.name}:{self.version}"


def locked(server: str) -> list[Artifact]:
    """Return the artifacts that artifacts.lock lists for *server*."""
    found: list[Artifact] = []
    section = ""
    for line in resources.files(__package__).joinpath("artifacts.lock").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#") and section == server:
            sha256, _, coordinate = line.partition(" ")
            group, name, version, *rest = coordinate.split(":")
            packaging, classifier = rest or ("jar", "")
            found.append(Artifact(group, name, version, packaging, classifier, sha256))
    return found


@dataclass(frozen=True, slots=True)
class Downloads:
    """The programs under *cache*; what is missing is fetched from *mirror*, or where that is "", from Maven Central."""

    cache: Path
    mirror: str
    report: Report

    def kafka_jars(self) -> Path:
        """Return the folder with Kafka's jars."""
        folder = kafka_folder(self.cache)
        self._fetch(locked("kafka"), folder, "Apache Kafka 4.3.1")
        return folder

    def registry_app(self) -> Path:
        """Return the folder of the unpacked Apicurio Registry."""
        folder = registry_folder(self.cache)
        # The folder appears by one rename when it is complete, so its presence is proof enough.
        if folder.is_dir():
            return folder
        (archive,) = locked("registry")
        with _workspace(self.cache) as work:
            self._fetch([archive], work, "Apicurio Registry 3.3.3")
            self.report("unpacking Apicurio Registry")
            unpacked = work / "unpacked"
            with tarfile.open(work / archive.filename) as tar:
                tar.extractall(unpacked, filter="data")
            _settle(unpacked, folder)
        return folder

    def _fetch(self, artifacts: Sequence[Artifact], folder: Path, what: str) -> None:
        missing = [artifact for artifact in artifacts if not (folder / artifact.filename).is_file()]
        if not missing:
            return
        self.report(f"downloading {what} ({len(missing)} {'file' if len(missing) == 1 else 'files'})")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for _ in pool.map(lambda artifact: self._download(artifact, folder), missing):
                    pass
        except OSError as error:
            # requests' errors are OSErrors too: no network, a time-out, a full disk, a folder that is not ours.
            raise StackError(
                f"cannot download {what} into {self.cache}: {type(error).__name__}: {error}. Check the network "
                f"({self._source} must be reachable; HTTPS_PROXY is honoured), the disk and the folder's permissions, "
                f"then repeat the command: what has arrived is kept. A mirror of Maven Central is used where {MIRROR} "
                "names its URL. Or use servers of your own: set GOVBUS_BOOTSTRAP_SERVERS, GOVBUS_REGISTRY_URL and "
                "GOVBUS_POSTGRES_URL"
            ) from error

    def _download(self, artifact: Artifact, folder: Path) -> None:
        from jgo.maven import MavenContext

        # jgo writes straight to a file's final name, so a download cut short would pass for a whole one: it gets a
        # folder of its own, and only a file with the right sum is moved out of it.
        with _workspace(folder) as work:
            context = MavenContext(
                repo_cache=work,
                remote_repos={"mirror": self.mirror} if self.mirror else None,
                timeout=_DOWNLOAD_TIMEOUT_SECONDS,
            )
            component = context.project(artifact.group, artifact.name).at_version(artifact.version)
            try:
                file = Path(component.artifact(artifact.classifier, artifact.packaging).resolve())
            except RuntimeError as error:
                raise StackError(
                    f"{self._source} does not serve {artifact.coordinate} ({error}). A mirror may lack the file: see "
                    f"{MIRROR}; otherwise repeat the command later"
                ) from error
            with file.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            if sha256 != artifact.sha256:
                raise StackError(
                    f"{artifact.filename} came with sha256 {sha256} instead of {artifact.sha256}: the download was cut "
                    "short or altered on its way. It was thrown away; repeat the command, and if this stays so, ask "
                    f"who runs {self._source}"
                )
            file.replace(folder / artifact.filename)

    @property
    def _source(self) -> str:
        return self.mirror or "Maven Central"


def kafka_folder(cache: Path) -> Path:
    """Return where Kafka's jars are or will be."""
    return cache / "kafka-4.3.1"


def registry_folder(cache: Path) -> Path:
    """Return where the unpacked registry is or will be."""
    return cache / "apicurio-registry-3.3.3"


def _settle(made: Path, final: Path) -> None:
    try:
        os.rename(made, final)
    except OSError:
        # Another process was faster; its folder is as good.
        if not final.is_dir():
            raise


class _workspace:
    """A folder inside *parent* that is gone afterwards; on the same disk, so that renaming out of it is atomic."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent

    def __enter__(self) -> Path:
        self._parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=".part-", dir=self._parent))
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
