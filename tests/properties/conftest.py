"""How much the random tests draw (all of it, or a twentieth under the profile ``quick``), and where they keep state."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from govbus.exchange.bulk import loading


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Return a function from the number of cases a proof needs to the number to run now."""
    quick = request.config.getoption("--hypothesis-profile") == "quick"
    return lambda wanted: max(20, wanted // 20) if quick else wanted


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for states: in memory where the machine has one, because opening hundreds waits for the disk alone."""
    in_memory = Path("/dev/shm")
    if not in_memory.is_dir():
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(dir=in_memory))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def kernels() -> None:
    """The compiled kernels, kept where downloads are kept."""
    assert loading.load(Path(__file__).parents[2] / ".cache" / "kernels")
