"""Whether this process has the compiled kernels, and how it comes by them.

They are compiled once per machine (some seconds) and kept on disk; a process that finds them there has them within half
a second. Until it has, and where numba is not installed (the extra ``fast``), the generated loop of
`govbus.exchange.usual` does the same work. Nothing else of this package is imported before numba is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from govbus.exchange.compiled import CompiledDataset, CompiledView

log = structlog.get_logger()

Loop = Callable[..., None]
"""``(exchange, arrivals, partition, held, pending, outputs, accept_each)``, as `govbus.exchange.usual.Loop`."""

_make_loop: Callable[..., Loop | None] | None = None
_to_load: Path | None = None

WORTH_LOADING = 500
"""Kernels are made and loaded once so many records come at once."""


def bulk_loop(
    dataset: CompiledDataset, views: tuple[CompiledView, ...], limits: tuple[int, int], records: int = 0
) -> Loop | None:
    """Return the loop for many records of *dataset* and exactly these *views*, made once; *records* are to be taken in.

    None where it must be done without: no kernels (yet), or declarations they cannot follow. *limits* are the number of
    partitions and the most bytes a record may have.
    """
    if _make_loop is None:
        if records >= WORTH_LOADING:
            _begin_loading()
        return None
    known = ("bulk", tuple(id(view) for view in views), limits)
    if known not in dataset.loops:
        dataset.loops[known] = _make_loop(dataset, views, *limits)
    return dataset.loops[known]


def load(folder: Path) -> bool:
    """Load the kernels, compiling them where *folder* does not hold them; return whether they are there."""
    global _make_loop
    try:
        numba: Any = importlib.import_module("numba")
    except ImportError:
        return False
    try:
        numba.config.CACHE_DIR = str(_edition(folder))
        _make_loop = importlib.import_module("govbus.exchange.bulk.loop").made_loop
    except (numba.core.errors.NumbaError, RuntimeError, OSError) as error:
        # A numba that cannot compile them, or no place to keep them: slower, and as right.
        log.warning("records are taken in without compiled kernels", error=type(error).__name__)
        return False
    return True


def make(folder: Path) -> bool:
    """Compile the kernels into *folder*, in a process of their own; return whether they are there.

    Compiling takes the interpreter for seconds: in a worker's own process every call that gives it free would wait.
    """
    if importlib.util.find_spec("numba") is None:
        return False
    try:
        made = _made(folder)
    except OSError as error:
        log.warning("compiled kernels have no place to be kept", error=type(error).__name__)
        return False
    if not made.exists():
        subprocess.run([sys.executable, "-m", __spec__.name, str(folder)], stdin=subprocess.DEVNULL, check=False)
    return made.exists()


def load_when_worth_it(folder: Path) -> None:
    """Load the kernels from *folder* in a thread, at once where they were made before, else at the first large slice.

    Where records come one by one there is nothing to gain, and nothing is made.
    """
    global _to_load
    try:
        made_before = importlib.util.find_spec("numba") is not None and _made(folder).exists()
    except OSError as error:
        log.warning("compiled kernels have no place to be kept", error=type(error).__name__)
        return
    _to_load = folder
    if made_before:
        _begin_loading()


def _begin_loading() -> None:
    """Load in a thread what is still to be loaded: no worker waits for it, and none does it twice."""
    global _to_load
    if _to_load is not None:
        threading.Thread(target=_make_and_load, args=(_to_load,), name="govbus-kernels", daemon=True).start()
        _to_load = None


def _make_and_load(folder: Path) -> None:
    if make(folder):
        load(folder)


def _edition(folder: Path) -> Path:
    """Return where these sources' kernels are kept.

    numba itself does not see that what it keeps is old where only a function that it calls has changed.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in sources)).hexdigest()[:16]
    edition = folder / digest
    edition.mkdir(parents=True, exist_ok=True)
    return edition


def _made(folder: Path) -> Path:
    """Return the file that is there once these sources' kernels are."""
    return _edition(folder) / "made"


def _make_here(folder: Path) -> int:
    """Compile the kernels in this process and return its exit code; one process at a time, the others wait for it."""
    os.nice(10)
    made = _made(folder)
    with made.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            if not load(folder):
                return 1
            made.touch()
    return 0


if __name__ == "__main__":
    sys.exit(_make_here(Path(sys.argv[1])))
