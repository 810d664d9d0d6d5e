"""The journal: what was published last, what is unsure after a crash, and who may hold it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from govbus.adapters.journal import Journal, JournalBusy, JournalFormatError, digest_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "d.people.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as opened:
        yield opened


A, B = digest_of(b"a"), digest_of(b"b")


def test_what_is_intended_and_settled_is_known_after_a_restart(path: Path) -> None:
    """Version, order and digest of a settled batch, and the source's position, survive the process."""
    with Journal(path) as first:
        batch = first.intend([(b"k1", 10, 3, A), (b"k2", 11, None, None)], [])
        first.settle(batch, {"file": "7"})
    with Journal(path) as again:
        held = again.lookup([b"k1", b"k2", b"k3"])
        assert (held[b"k1"].version, held[b"k1"].source_order, held[b"k1"].digest, held[b"k1"].unsure) == (
            10,
            3,
            A,
            False,
        )
        assert (held[b"k2"].version, held[b"k2"].digest, held[b"k2"].unsure) == (11, None, False)
        assert b"k3" not in held
        assert again.position("file") == "7"
        assert again.live() == 1
        assert again.size() == 2


def test_what_was_intended_and_not_settled_is_unsure_after_a_restart(path: Path) -> None:
    """After a crash between intend and settle, exactly that batch's keys are unsure, with the version intended."""
    with Journal(path) as first:
        first.settle(first.intend([(b"k1", 10, None, A), (b"k2", 10, None, A)], []), {"file": "1"})
        first.intend([(b"k3", 12, None, A)], [(first.lookup([b"k1"])[b"k1"].id, 12, None, B)])
    for _ in range(2):  # a second restart does not make them sure
        with Journal(path) as again:
            held = again.lookup([b"k1", b"k2", b"k3"])
            assert {key for key, each in held.items() if each.unsure} == {b"k1", b"k3"}
            assert held[b"k1"].version == 12
            assert again.position("file") == "1"


def test_settling_a_later_batch_does_not_make_an_unsure_key_sure(path: Path) -> None:
    """An unsure key stays so until it is itself published again."""
    with Journal(path) as first:
        first.intend([(b"k1", 10, None, A)], [])
    with Journal(path) as second:
        second.settle(second.intend([(b"k2", 10, None, A)], []), {})
    with Journal(path) as third:
        assert third.lookup([b"k1"])[b"k1"].unsure
        third.settle(third.intend([], [(third.lookup([b"k1"])[b"k1"].id, 10, None, A)]), {})
        assert not third.lookup([b"k1"])[b"k1"].unsure


def test_unseen_are_the_live_and_the_unsurely_deleted(path: Path) -> None:
    """A key that a snapshot lacks is found; a deleted one only while its deletion is unsure."""
    with Journal(path) as first:
        first.settle(first.intend([(b"seen", 1, None, A), (b"gone", 1, None, A), (b"dead", 1, None, None)], []), {})
        first.intend([(b"half", 1, None, None)], [])
    with Journal(path) as again:
        seen = bytearray(again.last_id + 1)
        seen[again.lookup([b"seen"])[b"seen"].id] = 1
        assert {key for key, _ in again.unseen(seen)} == {b"gone", b"half"}


def test_of_what_is_read_back_the_highest_version_stays(journal: Journal) -> None:
    """Rebuilding takes the highest version of a key, in whatever order the topic gives them."""
    journal.fill([(b"k", 5, B), (b"k", 9, A), (b"k", 7, None), (b"d", 3, A), (b"d", 4, None)])
    held = journal.lookup([b"k", b"d"])
    assert (held[b"k"].version, held[b"k"].digest) == (9, A)
    assert (held[b"d"].version, held[b"d"].digest) == (4, None)


def test_a_new_epoch_keeps_the_keys_and_forgets_versions(journal: Journal) -> None:
    """Everything is published again under the source's versions, and rows that vanished are still noticed."""
    journal.settle(journal.intend([(b"k", 2**61, 1, A), (b"d", 2**61, 1, None)], []), {"file": "1"})
    journal.restart_versions()
    held = journal.lookup([b"k", b"d"])
    assert (held[b"k"].version, held[b"k"].digest) == (0, b"")
    assert (held[b"d"].version, held[b"d"].digest) == (0, None)
    assert journal.position("file") is None


def test_a_journal_is_held_by_one_process_at_a_time(journal: Journal) -> None:
    """A second publisher of the same dataset is refused instead of making versions twice."""
    with pytest.raises(JournalBusy, match="another process"):
        Journal(journal.path)


def test_a_file_that_is_no_journal_any_more_counts_as_lost(path: Path) -> None:
    """A damaged file gives an empty, unbound journal, which the publisher then rebuilds."""
    with Journal(path) as first:
        first.bind("topic")
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(b"this is not a database, it is a text of more than a hundred bytes " * 100)
    with Journal(path) as again:
        assert again.identity is None
        assert again.size() == 0


def test_a_journal_of_another_format_is_refused_with_what_to_do(path: Path) -> None:
    """An older or newer journal is never guessed at."""
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = 99 WHERE name = 'format'")
    db.close()
    with pytest.raises(JournalFormatError, match="delete it"):
        Journal(path)


def test_lookup_takes_more_keys_than_one_query(journal: Journal) -> None:
    """A batch of any size is looked up whole, and ids follow each other."""
    keys = [b"%05d" % number for number in range(2345)]
    journal.settle(journal.intend([(key, 1, None, A) for key in keys], []), {})
    held = journal.lookup(keys)
    assert [held[key].id for key in keys] == list(range(1, 2346))
