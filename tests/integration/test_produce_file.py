"""The file adapter against real servers: snapshots, change files, broken exports, a process killed in the middle."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from integration.produce_bus import ProduceBus, wait_for

from govbus.adapters.drop_folder import SETTLE_SECONDS
from govbus.adapters.feed import journal_path
from govbus.adapters.run import Produced, produce
from govbus.kafka.settings import Settings
from govbus.rules.identity import citizen_id_check

pytestmark = pytest.mark.stack

COLUMNS = {
    "citizen_id": "身份证号",
    "name": "姓名",
    "sex": "性别",
    "birth_date": "出生日期",
    "division": "区划",
}
CSV: dict[str, Any] = {
    "kind": "file",
    "format": "csv",
    "encoding": "gb18030",
    "path": "population/*.csv",
    "columns": COLUMNS,
    "dates": "%Y%m%d",
    "nulls": ["", "/"],
}
Person = tuple[str, str, str, str, str]


def citizen(number: int) -> str:
    first17 = f"890101{date(1950, 1, 1) + timedelta(days=number // 900):%Y%m%d}{number % 900 + 1:03}"
    return first17 + citizen_id_check(first17)


def people(numbers: Iterable[int], name: str = "张三𠮷") -> list[Person]:
    return [(citizen(number), name, "1", "19500101", "890101" if number % 2 else "/") for number in numbers]


def held(rows: Iterable[Person]) -> dict[bytes, dict[str, Any]]:
    """What the bus holds once it has taken *rows*."""
    return {
        row[0].encode(): {
            "citizen_id": row[0],
            "name": row[1],
            "sex": row[2],
            "birth_date": date(1950, 1, 1),
            "division": None if row[4] == "/" else row[4],
        }
        for row in rows
    }


class Police:
    """The department's drop folder, and its adapter run in this process or another."""

    def __init__(self, bus: ProduceBus) -> None:
        self.bus = bus
        self.drop = bus.settings.home / "drop" / "police"
        self.folder = self.drop / "population"
        self.folder.mkdir(parents=True)
        self._minute = 0

    def export(
        self,
        rows: Iterable[Person],
        name: str = "population.csv",
        encoding: str = "gb18030",
        header: Iterable[str] = COLUMNS.values(),
    ) -> Path:
        """Write an export, as old as the clock allows and each later than the one before."""
        path = self.folder / name
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)
        return self.aged(path)

    def aged(self, path: Path) -> Path:
        """Date a file an hour back (and a minute on from the last one), so that no look has to wait for it."""
        self._minute += 1
        at = time.time() - 3600 + 60 * self._minute
        os.utime(path, (at, at))
        return path

    def once(self, **options: Any) -> Produced:
        return produce(self.bus.settings, self.bus.topics, "police", once=True, drop=self.drop, **options)

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "govbus", "--city", str(self.bus.settings.home), "produce", "police", *options]

    @property
    def environment(self) -> Mapping[str, str]:
        (self.bus.settings.home / "city.yaml").write_text(
            f'{{city: test, title: t, division: "890000", partitions: 3, topic_prefix: "{self.bus.topics.prefix}"}}'
        )
        return {
            **os.environ,
            "GOVBUS_HOME": str(self.bus.settings.home),
            "GOVBUS_BOOTSTRAP_SERVERS": self.bus.settings.need_bootstrap_servers(),
            "GOVBUS_REGISTRY_URL": self.bus.settings.need_registry_url(),
            "GOVBUS_POSTGRES_URL": self.bus.settings.need_postgres_url(),
        }

    def rejected(self, name: str = "population.csv") -> list[list[str]]:
        """Return the rows of a finished file's rejects, without their header."""
        with (self.folder / "done" / f"{name}.rejected.csv").open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file))[1:]


def police_with(settings: Settings, prefix: str, source: Mapping[str, Any], **more: Any) -> Police:
    bus = ProduceBus(settings, prefix)
    bus.declare(source=source, **more)
    bus.apply()
    return Police(bus)


@pytest.fixture
def police(settings: Settings, topic_prefix: str) -> Police:
    return police_with(settings, topic_prefix, CSV)


def test_only_changes_of_a_snapshot_travel_and_vanished_rows_are_deleted(police: Police) -> None:
    """Of a second snapshot, what differs is sent, what vanished becomes a deletion, and the rest stays quiet."""
    police.export(people(range(100)))
    first = police.once().looks["police.population"]
    assert (first.rows, first.counts.upserted, first.counts.deleted) == (100, 100, 0)
    second_rows = [*people(range(5, 50)), *people(range(50, 100), "李四"), *people([200])]
    police.export(second_rows)
    counts = police.once().looks["police.population"].counts
    assert (counts.upserted, counts.deleted, counts.unchanged) == (51, 5, 45)
    assert police.bus.newest() == held(second_rows)
    assert sorted(path.name for path in (police.folder / "done").iterdir()) == ["population.2.csv", "population.csv"]
    assert not list(police.folder.glob("*.csv"))


def test_a_look_is_noted_although_nothing_changed(police: Police) -> None:
    """A snapshot without any news still says on bus.progress that the register was looked at."""
    police.export(people(range(3)))
    police.once()
    police.export(people(range(3)))
    police.once()
    notes = [(key, json.loads(value)) for key, value in police.bus.polls()]
    assert [key for key, _ in notes] == ["poll|police.population|file"] * 2
    assert (notes[0][1]["sent"], notes[1][1]["sent"], notes[1][1]["rows"]) == (3, 0, 3)
    assert notes[1][1]["dataset"] == "police.population"


def test_bad_rows_stand_beside_the_file_with_line_and_reason(police: Police) -> None:
    """Rows that cannot be published are set aside, the others travel, a refused row is not taken for a vanished one."""
    police.export(people(range(20)))
    police.once()
    rows: list[Any] = people(range(20))
    rows[3] = (rows[3][0], "", "1", "19500101", "/")
    rows[5] = (rows[5][0], "张三", "1", "19500230", "北京市")
    rows[7] = ("8.90101E+17", "张三", "1", "19500101", "/")
    rows[9] = (*rows[9], "多一列")
    rows.append((citizen(2), "另一人", "1", "19500101", "/"))
    rows.append(rows[4])
    police.export(rows, "second.csv")
    look = police.once().looks["police.population"]
    assert [(line, reason) for line, reason, *_ in police.rejected("second.csv")] == [
        ("5", "name: a value is required"),
        ("7", "birth_date: this day does not exist; division: a division is a code of six digits, never a name"),
        ("9", "citizen_id: a rounded number from a spreadsheet: its last digits are lost, export the column as text"),
        ("11", "the row has 6 columns, the header 5"),
        ("22", "another row of this file has the same key and other values"),
    ]
    assert dict(look.rejected) == {"invalid_value": 4, "version_conflict": 1}
    assert look.counts.repeated == 1
    # Line 9 (the person of number 7) tells nobody's id: whoever it was is no longer in the register.
    assert police.bus.newest() == held(people(set(range(20)) - {7}))


def test_a_truncated_export_stops_and_says_so(police: Police) -> None:
    """A snapshot that would delete more than a tenth is held until a person lets it."""
    police.export(people(range(100)))
    police.once()
    police.export(people(range(80), "李四"), "short.csv")
    produced = police.once()
    look = produced.looks["police.population"]
    assert (look.held, look.counts.deleted, look.completed) == (20, 0, False)
    assert not produced.clean
    assert "20 of 100 records would be deleted" in look.said[0]
    assert "--accept-deletions 20" in (police.folder / "held" / "short.csv.why.txt").read_text(encoding="utf-8")
    assert police.bus.newest() == held([*people(range(80), "李四"), *people(range(80, 100))])
    too_few = police.once(accept_deletions=19).looks["police.population"]
    assert too_few.held == 20
    accepted = police.once(accept_deletions=20).looks["police.population"]
    assert (accepted.held, accepted.counts.deleted) == (0, 20)
    assert police.bus.newest() == held(people(range(80), "李四"))
    assert not list((police.folder / "held").iterdir())


def test_a_whole_snapshot_replaces_a_held_one(police: Police) -> None:
    """Once a later export was taken in whole, nobody can let the held one undo it."""
    police.export(people(range(100)))
    police.once()
    police.export(people(range(10)), "short.csv")
    police.once()
    police.export(people(range(99)), "whole.csv")
    police.once()
    police.once(accept_deletions=1000)
    assert police.bus.newest() == held(people(range(99)))
    assert (police.folder / "done" / "short.csv.superseded").exists()


def test_an_export_cut_in_the_middle_of_a_row_deletes_nothing(police: Police) -> None:
    """A file whose last line breaks off is not the whole register, even where few rows are missing."""
    police.export(people(range(100)))
    police.once()
    path = police.export(people(range(100)), "cut.csv")
    data = path.read_bytes()
    police.aged(path).write_bytes(data[:-30])
    police.aged(path)
    look = police.once().looks["police.population"]
    assert (look.held, look.counts.deleted) == (1, 0)
    assert "rows may be hidden" in look.said[0]
    assert police.bus.newest() == held(people(range(100)))


def test_a_quote_that_never_ends_deletes_nothing(police: Police) -> None:
    """A quotation mark that swallows the rest of a file is told, and what it swallowed is not taken for vanished."""
    police.export(people(range(100)))
    police.once()
    path = police.export(people(range(100)), "quote.csv")
    lines = path.read_bytes().split(b"\r\n")
    lines[96] = b'"' + lines[96]
    path.write_bytes(b"\r\n".join(lines))
    police.aged(path)
    look = police.once().looks["police.population"]
    assert (look.rejections, look.counts.deleted, look.held) == (1, 0, 5)
    assert police.bus.newest() == held(people(range(100)))


@pytest.mark.parametrize(
    ("header", "encoding", "says"),
    [
        (["身份证号", "姓名", "性别", "出生日期"], "gb18030", "these columns are missing: 区划"),
        (list(COLUMNS.values()), "utf-8", "check the export, the delimiter and the encoding"),
        (["身份证号", "姓名", "姓名", "出生日期", "区划"], "gb18030", "names a column twice"),
        ([], "gb18030", "the file is empty"),
    ],
)
def test_a_file_that_is_not_what_was_declared_is_refused_whole(
    police: Police, header: list[str], encoding: str, says: str
) -> None:
    """A lost column, another encoding, a doubled or absent header: the file is set aside with the reason."""
    police.export(people(range(3)), encoding=encoding, header=header)
    produced = police.once()
    assert not produced.clean
    assert says in (police.folder / "failed" / "population.csv.why.txt").read_text(encoding="utf-8")
    assert police.bus.raw() == []


def test_bytes_that_are_no_text_reject_their_row_alone(police: Police) -> None:
    """A row with bytes outside the declared encoding is set aside; the rows around it travel."""
    path = police.export(people(range(10)))
    path.write_bytes(path.read_bytes().replace("张三𠮷".encode("gb18030"), b"\xff\xffx", 1))
    police.aged(path)
    police.once()
    assert [(line, reason) for line, reason, *_ in police.rejected()] == [
        ("2", "name: not text in the declared encoding")
    ]
    assert police.bus.newest() == held(people(range(1, 10)))


def test_an_id_column_that_a_spreadsheet_cut_is_refused_whole(police: Police) -> None:
    """Where a spreadsheet zeroed the last digits, no id ending in 000 is believed, right check digit or not."""
    cut = [(row[0][:15] + "000", *row[1:]) for row in people(range(900))]
    right = [row for row in cut if row[0].endswith(citizen_id_check(row[0][:17]))]
    assert right, "one in eleven has a right check digit by chance"
    police.export(cut)
    look = police.once().looks["police.population"]
    assert look.rejections == 900
    assert police.bus.raw() == []


def test_half_written_files_are_not_read(police: Police) -> None:
    """A file that a process still has open, and one named .part, are left alone until they are complete."""
    rows = people(range(50))
    whole = police.export(rows)
    data = whole.read_bytes()
    whole.unlink()
    (police.folder / "late.csv.part").write_bytes(data)
    (police.folder / ".hidden.csv").write_bytes(data)
    growing = police.folder / "growing.csv"
    with growing.open("wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        police.aged(growing)  # old by its date, yet open
        with subprocess.Popen(police.command(), env=police.environment) as adapter:
            time.sleep(SETTLE_SECONDS * 3)
            assert growing.exists()
            assert police.bus.raw() == []
            file.write(data[len(data) // 2 :])
            file.close()
            wait_for(lambda: (police.folder / "done" / "growing.csv").exists())
            adapter.send_signal(signal.SIGTERM)
            assert adapter.wait(20) == 0
    assert police.bus.newest() == held(rows)
    assert (police.folder / "late.csv.part").exists()


def test_an_adapter_watches_its_folder_and_ends_on_sigterm(police: Police) -> None:
    """A running adapter takes each file that arrives, and SIGTERM ends it with what was done."""
    with subprocess.Popen(police.command(), env=police.environment, stdout=subprocess.PIPE, text=True) as adapter:
        police.export(people(range(10)), "a.csv")
        wait_for(lambda: (police.folder / "done" / "a.csv").exists())
        police.export(people(range(1, 11)), "b.csv")
        wait_for(lambda: (police.folder / "done" / "b.csv").exists())
        adapter.send_signal(signal.SIGTERM)
        out, _ = adapter.communicate(timeout=20)
    assert adapter.returncode == 0
    assert "population" in out
    assert police.bus.newest() == held(people(range(1, 11)))


def test_dry_run_counts_and_changes_nothing(police: Police) -> None:
    """A dry run says what would be sent and rejected; topic, journal, notes and files stay as they are."""
    rows: list[Any] = people(range(10))
    rows[3] = (rows[3][0], "", "1", "19500101", "/")
    police.export(rows)
    look = police.once(dry_run=True).looks["police.population"]
    assert (look.rows, look.counts.upserted, look.rejections) == (10, 9, 1)
    assert police.bus.raw() == []
    assert police.bus.polls() == []
    assert [path.name for path in police.folder.iterdir()] == ["population.csv"]
    assert police.once().looks["police.population"].counts.upserted == 9


CHANGES = {**CSV, "mode": "changes", "operation": "操作", "version": "更新时间"}
CHANGES_HEADER = ["操作", *COLUMNS.values(), "更新时间"]


def changed(operation: str, row: Person, at: str) -> tuple[str, ...]:
    return (operation, *row, at)


def test_change_files_upsert_delete_and_keep_the_sources_order(settings: Settings, topic_prefix: str) -> None:
    """A change file's own times decide: a late file with older rows changes nothing, deletions need only their key."""
    police = police_with(settings, topic_prefix, CHANGES)
    one, two, three = people(range(3))
    renamed = (one[0], "李四", *one[2:])
    police.export(
        [
            changed("U", one, "2026-05-01 08:00:00"),
            changed("U", two, "2026-05-01 08:00:00"),
            changed("新增", three, "2026-05-01 08:00:00"),
            changed("U", renamed, "2026-05-02 08:00:00"),
        ],
        "1.csv",
        header=CHANGES_HEADER,
    )
    police.export(
        [
            changed("U", one, "2026-05-01 09:00:00"),
            changed("d", (two[0], "", "", "", ""), "2026-05-02 08:00:00"),
            changed("X", three, "2026-05-02 08:00:00"),
            changed("U", three, "2026-05-0208:00"),
        ],
        "2.csv",
        header=CHANGES_HEADER,
    )
    look = police.once().looks["police.population"]
    assert look.counts.stale == 2
    assert look.rejections == 2
    assert police.bus.newest() == held([renamed, three])
    micros = round(datetime(2026, 5, 2, tzinfo=UTC).timestamp() * 1_000_000)
    assert {sent.version for sent in police.bus.raw() if sent.key == renamed[0].encode()} == {micros}


def test_a_clock_eight_hours_ahead_is_refused(settings: Settings, topic_prefix: str) -> None:
    """A row changed in the future is set aside: under its version, nothing could correct it for hours."""
    police = police_with(settings, topic_prefix, CHANGES)
    ahead = datetime.now(UTC) + timedelta(hours=16)  # 8 h ahead of what the same clock face says in China
    police.export([changed("U", people([1])[0], f"{ahead:%Y-%m-%d %H:%M:%S}")], header=CHANGES_HEADER)
    look = police.once().looks["police.population"]
    assert dict(look.rejected) == {"version_ahead": 1}
    assert police.bus.raw() == []


def test_json_lines_of_nested_records(settings: Settings, topic_prefix: str) -> None:
    """JSON Lines keep nested records and exact decimals; a line that is no JSON is set aside."""
    fields = [
        {"name": "no", "type": "string"},
        {
            "name": "home",
            "type": {
                "type": "record",
                "name": "Home",
                "fields": [{"name": "road", "type": "string"}, {"name": "house", "type": ["null", "int"]}],
            },
        },
        {"name": "rent", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    ]
    police = police_with(
        settings,
        topic_prefix,
        {"kind": "file", "format": "jsonl", "path": "population/*.jsonl", "columns": {"home.road": "address.street"}},
        fields=fields,
        entries={},
        key=("no",),
    )
    path = police.folder / "a.jsonl"
    path.write_text(
        '\ufeff{"no": "1", "address": {"street": "人民路"}, "home": {"house": 5}, "rent": 12345678.10, "tags": ["a"]}\n'
        '{"no": "2", "address": {"street": "b"}, "rent": "0.015"}\n'
        '{"no": "3", "address": {"str\n',
        encoding="utf-8",
    )
    police.aged(path)
    look = police.once().looks["police.population"]
    assert look.rejections == 2
    (record,) = police.bus.newest().values()
    assert record["home"] == {"road": "人民路", "house": 5}
    assert str(record["rent"]) == "12345678.10"
    assert [(line, reason.split(":")[0]) for line, reason, *_ in police.rejected("a.jsonl")] == [
        ("2", "rent"),
        ("3", "the line is not JSON"),
    ]


def test_a_lost_journal_changes_nothing_that_the_bus_holds(police: Police) -> None:
    """Without its journal the adapter reads back what it had published: only differences travel, deletions are seen."""
    police.export(people(range(100)))
    police.once()
    journal_path(police.bus.settings.home, "police.population").unlink()
    rows = [*people(range(3, 50)), *people(range(50, 100), "李四")]
    police.export(rows)
    counts = police.once().looks["police.population"].counts
    assert (counts.upserted, counts.deleted, counts.unchanged) == (50, 3, 47)
    assert police.bus.newest() == held(rows)


def test_a_lost_journal_after_retention_publishes_again_without_harm(police: Police) -> None:
    """Where retention has cut the raw topic, records go out once more under versions that are not lower than before."""
    police.export(people(range(20)))
    police.once()
    before = {sent.key: sent.version for sent in police.bus.raw()}
    police.bus.cut_raw()
    journal_path(police.bus.settings.home, "police.population").unlink()
    police.export(people(range(20)))
    police.once()
    assert len(police.bus.raw()) == 20
    assert all(sent.version > before[sent.key] for sent in police.bus.raw())


def test_a_lost_journal_after_retention_is_completed_from_what_the_bus_accepted(police: Police) -> None:
    """What retention has cut from raw stands in current: vanished rows are still noticed, deleted ones stay known."""
    police.export(people(range(40)))
    police.once()
    police.export(people(range(2, 40)))
    police.once()
    police.bus.accept()
    police.bus.cut_raw()
    police.export([*people(range(2, 39)), *people([39], "李四")])
    police.once()
    journal_path(police.bus.settings.home, "police.population").unlink()
    police.export([*people(range(2)), *people(range(5, 39)), *people([39], "李四")])
    counts = police.once().looks["police.population"].counts
    assert (counts.upserted, counts.deleted, counts.unchanged) == (2, 3, 35)


@pytest.mark.parametrize("mode", ["snapshot", "changes"])
def test_kill_9_in_the_middle_of_a_file_loses_and_doubles_nothing(
    settings: Settings, topic_prefix: str, seed: int, mode: str
) -> None:
    """Killed again and again in the middle of a file, the adapter ends with raw's newest per key equal to the file."""
    random = Random(seed)
    police = police_with(settings, topic_prefix, CSV if mode == "snapshot" else CHANGES)
    rows = people(range(60_000))
    if mode == "snapshot":
        police.export(people(range(0, 60_000, 2), "旧"), "0.csv")
        police.once()
        police.export(rows, "1.csv")
    else:
        lines = [changed("U", row, "2026-05-01 08:00:00") for row in rows]
        # Two changes of one record within the same second, far apart: the later line counts.
        lines += [changed("U", (row[0], "新", *row[2:]), "2026-05-01 08:00:00") for row in rows[:10_000]]
        lines += [changed("D", row, "2026-05-01 08:00:00") for row in rows[:100]]
        police.export(lines, "1.csv", header=CHANGES_HEADER)  # type: ignore[arg-type]
        rows = [*((row[0], "新", *row[2:]) for row in rows[100:10_000]), *rows[10_000:]]
    kills = in_flight = 0
    with police.bus.end_of_raw() as end:
        while kills < 8:
            reached = end() + random.randrange(1, 6_000)
            with subprocess.Popen(
                police.command("--once"), env=police.environment, stdout=subprocess.DEVNULL
            ) as adapter:
                while adapter.poll() is None and end() < reached:
                    pass
                if adapter.poll() is not None:
                    break
                adapter.send_signal(signal.SIGKILL)
                adapter.wait()
                kills += 1
                in_flight += _has_unsettled(police)
    assert in_flight, "no kill hit the adapter while records were in flight"
    look = police.once().looks.get("police.population")
    assert look is None or look.rejections == 0
    assert police.bus.newest() == held(rows)
    assert (police.folder / "done" / "1.csv").exists()


def _has_unsettled(police: Police) -> bool:
    """Whether the killed adapter had written down a batch that it had not heard of."""
    with closing(sqlite3.connect(journal_path(police.bus.settings.home, "police.population"))) as journal:
        meta = dict(journal.execute("SELECT name, value FROM meta WHERE name IN ('intended', 'settled')"))
    return bool(meta["intended"] > meta["settled"])
