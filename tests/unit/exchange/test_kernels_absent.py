"""Without compiled kernels the exchange goes on by the generated loop."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numba
import pytest
from structlog.testing import capture_logs

from govbus.exchange.bulk import loading


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_make_loop", None)
    monkeypatch.setattr(loading, "_to_load", None)


def test_without_numba_there_is_no_loop_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numba is not installed nothing is loaded, and nobody is troubled by it."""
    monkeypatch.setitem(sys.modules, "numba", None)
    with capture_logs() as logs:
        assert not loading.load(tmp_path)
    assert not logs
    assert loading._make_loop is None


def test_kernels_that_cannot_be_compiled_are_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the compiler gives up, a warning says so and the worker goes on."""
    for module in [each for each in sys.modules if each.startswith("govbus.exchange.bulk.")]:
        if module != loading.__name__:
            monkeypatch.delitem(sys.modules, module)

    def refuses(*_args: object, **_options: object) -> None:
        raise numba.core.errors.TypingError("no")

    monkeypatch.setattr(numba, "njit", refuses)
    with capture_logs() as logs:
        assert not loading.load(tmp_path)
    assert [(each["log_level"], each["error"]) for each in logs] == [("warning", "TypingError")]


def test_kernels_are_compiled_once_and_by_a_process_of_their_own() -> None:
    """What was made is found by the next one who asks, and no process loads what it makes."""
    folder = Path(__file__).parents[3] / ".cache" / "kernels"
    assert loading.make(folder)
    kept = {each: each.stat().st_mtime_ns for each in folder.rglob("*") if each.is_file()}
    assert any(each.suffix == ".nbc" for each in kept)
    assert loading.make(folder)
    assert {each: each.stat().st_mtime_ns for each in folder.rglob("*") if each.is_file()} == kept
    assert loading._make_loop is None


def test_a_folder_that_cannot_be_written_means_no_kernels(tmp_path: Path) -> None:
    """A worker without a place for kernels goes on without them."""
    place = tmp_path / "kernels"
    place.write_text("a file")
    assert not loading.make(place)


def test_nothing_is_made_before_many_records_come(tmp_path: Path) -> None:
    """A worker that has only ever met single records neither compiles nor loads."""
    loading.load_when_worth_it(tmp_path)
    nothing: Any = None
    assert loading.bulk_loop(nothing, (), (1, 1), records=loading.WORTH_LOADING - 1) is None
    assert loading._to_load is not None
    assert not [each for each in threading.enumerate() if each.name == "govbus-kernels"]


def test_kernels_that_were_made_before_are_loaded_at_once() -> None:
    """A city whose workers once met many records at once has them from the start."""
    folder = Path(__file__).parents[3] / ".cache" / "kernels"
    assert loading.make(folder)
    loading.load_when_worth_it(folder)
    for each in threading.enumerate():
        if each.name == "govbus-kernels":
            each.join()
    assert loading._make_loop is not None
