"""The drop folder: which files are complete, and where they go."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from govbus.adapters import drop_folder
from govbus.adapters.drop_folder import DONE, FAILED, HELD, DropFolder, is_open_for_writing, rejected_rows_of


@pytest.fixture
def folder(tmp_path: Path) -> DropFolder:
    (tmp_path / "population").mkdir()
    return DropFolder(tmp_path, "population/*.csv")


def old(path: Path, text: str = "x") -> Path:
    path.write_text(text, encoding="utf-8")
    at = time.time() - 3600
    os.utime(path, (at, at))
    return path


def test_files_are_complete_in_the_order_of_their_names(folder: DropFolder, tmp_path: Path) -> None:
    """Old files are complete at the first look, by name; other patterns and other folders are not looked at."""
    for name in ("b.csv", "a.csv", "c.txt"):
        old(tmp_path / "population" / name)
    old(tmp_path / "d.csv")
    ready, waiting = folder.complete()
    assert [path.name for path in ready] == ["a.csv", "b.csv"]
    assert not waiting


def test_a_new_file_is_complete_once_it_no_longer_changes(
    folder: DropFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes between two looks waits for another; size and time count."""
    path = tmp_path / "population" / "a.csv"
    path.write_text("x", encoding="utf-8")
    monkeypatch.setattr(drop_folder, "SETTLE_SECONDS", 3600.0)
    assert folder.complete() == ([], True)
    monkeypatch.setattr(drop_folder, "SETTLE_SECONDS", 0.0)
    assert folder.complete() == ([path], False)
    monkeypatch.setattr(drop_folder, "SETTLE_SECONDS", 3600.0)
    path.write_text("xy", encoding="utf-8")
    assert folder.complete() == ([], True)


@pytest.mark.parametrize("name", [".a.csv", "a.csv.part", "a.csv.tmp", "A.CSV.PART", "a.csv.rejected.csv"])
def test_unfinished_names_are_never_read(tmp_path: Path, name: str) -> None:
    """Names of files under way, hidden ones, and our own reports are left alone under any pattern."""
    old(tmp_path / name)
    assert DropFolder(tmp_path, "*").complete() == ([], False)


def test_rooms_of_finished_files_are_not_searched(tmp_path: Path) -> None:
    """A pattern that goes deep does not find what is done, held or refused."""
    for room in (DONE, HELD, FAILED, ".taken"):
        (tmp_path / "population" / room).mkdir(parents=True)
        old(tmp_path / "population" / room / "a.csv")
    assert DropFolder(tmp_path, "**/*.csv").complete() == ([], False)


def test_a_file_open_for_writing_is_not_complete(folder: DropFolder, tmp_path: Path) -> None:
    """However old it looks, a file that a process still writes is waited for; one that is read is not."""
    path = old(tmp_path / "population" / "a.csv")
    with path.open("a", encoding="utf-8"):
        assert is_open_for_writing(path)
        assert folder.complete() == ([], True)
    with path.open(encoding="utf-8"):
        assert not is_open_for_writing(path)
    assert folder.complete() == ([path], False)


def test_a_taken_file_survives_a_restart_and_a_new_one_of_its_name(folder: DropFolder, tmp_path: Path) -> None:
    """A file is moved before it is read: the next of its name is another, and after a crash the taken one is found."""
    path = old(tmp_path / "population" / "a.csv", "first")
    taken = folder.take(path)
    assert taken is not None
    old(path, "second")
    again = DropFolder(tmp_path, "population/*.csv")
    assert again.taken() == [taken]
    assert again.complete() == ([path], False)
    assert again.finish(taken, DONE).read_text(encoding="utf-8") == "first"
    second = again.take(path)
    assert second is not None
    assert again.finish(second, DONE).name == "a.2.csv"
    assert again.taken() == []


def test_a_file_that_has_gone_is_not_taken(folder: DropFolder, tmp_path: Path) -> None:
    """Somebody may take a file back before it is read."""
    path = old(tmp_path / "population" / "a.csv")
    path.unlink()
    assert folder.take(path) is None


def test_reports_go_with_their_file(folder: DropFolder, tmp_path: Path) -> None:
    """Rejected rows and the reason stand beside the file, wherever it goes; taking it again takes them away."""
    taken = folder.take(old(tmp_path / "population" / "a.csv"))
    assert taken is not None
    rejected_rows_of(taken).write_text("rows", encoding="utf-8")
    held = folder.finish(taken, HELD, "because")
    assert held.with_name("a.csv.why.txt").read_text(encoding="utf-8") == "because\n"
    assert rejected_rows_of(held).read_text(encoding="utf-8") == "rows"
    assert folder.held() == [held]
    assert folder.supersede() == 1
    assert folder.held() == []
    assert [path.name for path in (tmp_path / "population" / DONE).iterdir()] == ["a.csv.superseded"]
    assert list((tmp_path / "population" / HELD).iterdir()) == []
