"""The wheel: what others install holds the engine and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from stack_fixture import REPOSITORY


def run(*argv: object) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this clone without asking the package index for anything."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        "-w",
        folder,
        REPOSITORY,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_only_top_level_name_is_govbus(wheel: Path) -> None:
    """The wheel brings the package govbus and its own metadata; no tests, no city, no second package."""
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"govbus"}


def test_the_data_files_of_the_package_are_in_the_wheel(wheel: Path) -> None:
    """Every file of govbus/ that is not Python source is delivered too: the list of downloads, the mark for types."""
    files = (path for path in (REPOSITORY / "govbus").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    wanted = {str(path.relative_to(REPOSITORY)) for path in files if path.suffix != ".py"}
    assert wanted >= {"govbus/py.typed", "govbus/ops/stack/artifacts.lock"}
    with zipfile.ZipFile(wheel) as archive:
        assert wanted <= set(archive.namelist())


def test_the_wheel_installs_and_imports_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """In an environment without anything else, the wheel installs, imports and declares its command."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(*(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"), wheel)
    # -I: neither this clone nor the environment's variables are on the path.
    where = run(python, "-I", "-c", "import govbus, govbus.errors; print(govbus.__file__)")
    assert Path(where).is_relative_to(tmp_path)
    packages = {path.name for path in Path(where).parent.parent.iterdir() if path.suffix != ".dist-info"}
    assert packages == {"govbus"}
    assert (tmp_path / "venv" / "bin" / "govbus").is_file()
