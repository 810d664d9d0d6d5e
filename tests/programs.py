"""Programs of Debian packages that tests run, wherever the package put them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_FOLDERS = "/usr/bin:/usr/sbin:/bin"


def program(name: str) -> str:
    """Return the path of *name*; a test that is marked `debian` only runs where there is one."""
    path = shutil.which(name) or shutil.which(name, path=_FOLDERS)
    assert path is not None, f"{name} is not installed"
    return path


def run(name: str, *arguments: str, folder: Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run *name* in *folder* and return what it said; stdout and stderr together."""
    done = subprocess.run(
        [program(name), *arguments],
        cwd=folder,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=120,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), "")
