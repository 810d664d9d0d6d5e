"""Delivery into files, on the real servers: parts that appear whole, and lead a receiver to the right rows."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from integration.part_reader import csv_rows, lines, manifests, parts, received
from integration.postgres_delivery import eventually
from integration.share_bus import ASK, SUBSCRIBER, ShareBus, Table, people, person_schema
from integration.sink_process import SinkProcess

from govbus.delivery import run
from govbus.delivery.file_part import FolderTaken, Manifest, PartFolder, want_snapshot
from govbus.delivery.run import Report, deliver
from govbus.kafka.clients import Fenced
from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack

POPULATION = "police.population"


def file_bus(settings: Settings, prefix: str, file_format: str = "jsonl") -> ShareBus:
    return ShareBus(settings, prefix, {"kind": "file", "format": file_format, "folder": "schools"})


@pytest.fixture
def bus(settings: Settings, topic_prefix: str) -> ShareBus:
    return file_bus(settings, topic_prefix)


def folder(bus: ShareBus) -> Path:
    return bus.settings.home / "delivered" / "schools"


def delivered(bus: ShareBus, **options: Any) -> Report:
    return deliver(bus.settings, bus.topics, SUBSCRIBER, ASK, until_caught_up=True, **options)


def expected(bus: ShareBus, dataset: str = POPULATION) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What a receiver of JSON Lines must hold."""
    found = {}
    for row in bus.rows[dataset].values():
        plain = {name: cell.isoformat() if isinstance(cell, date) else cell for name, cell in row.items()}
        found[tuple(plain[name] for name in bus.tables[dataset].key)] = plain
    return found


@contextmanager
def delivering(bus: ShareBus) -> Iterator[None]:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        delivery = pool.submit(deliver, bus.settings, bus.topics, SUBSCRIBER, ASK, stop=stop)
        try:
            yield
        finally:
            stop.set()
            delivery.result(60)


def test_change_files_lead_to_the_last_record_of_every_key(bus: ShareBus) -> None:
    """A receiver that applies the parts in order holds what was shared; offsets join without gap or overlap."""
    bus.apply()
    bus.send(people(0, 100))
    bus.send_aborted(people(900, 3))
    delivered(bus)
    bus.send(people(50, 60, name="改名"), deletes=people(0, 20))
    report = delivered(bus)
    assert received(folder(bus))[POPULATION] == expected(bus)
    entry = manifests(folder(bus))[1]["datasets"][POPULATION]["changes"]
    assert (entry["upserts"], entry["deletes"], entry["rows"]) == (60, 20, 80)
    assert report.written[POPULATION].upserts == 60
    assert delivered(bus).written == {}
    assert len(parts(folder(bus))) == 2, "nothing new makes no part"


def test_csv_keeps_identity_codes_text_for_spreadsheets_and_programs(settings: Settings, topic_prefix: str) -> None:
    """Texts that a spreadsheet would spoil carry a TAB, null differs from the empty text, and all of it reads back."""
    bus = file_bus(settings, topic_prefix, "csv")
    bus.tables = {POPULATION: Table(avro=person_schema(paid="long", yes="boolean"))}
    bus.apply()
    rows = people(0, 3, paid=5, yes=True)
    rows[0] |= {"name": '=cmd|"/c calc"!A1', "address": None}
    rows[1] |= {"name": "", "address": "1990-03"}
    rows[2] |= {"name": "\t\n王", "address": "王"}
    bus.send(rows)
    delivered(bus)
    bus.send(deletes=rows[2:])
    delivered(bus)
    first, second = (part / "police_population.csv" for part in parts(folder(bus)))
    text = first.read_bytes()
    assert text.startswith(b"\xef\xbb\xbf_operation,citizen_id,name,birth_date,address,paid,yes\r\n")
    assert f'upsert,"\t{rows[0]["citizen_id"]}","\t=cmd|""/c calc""!A1",1990-01-01,,5,true\r\n'.encode() in text
    assert f'upsert,"\t{rows[1]["citizen_id"]}","",1990-01-02,"\t1990-03",5,true\r\n'.encode() in text
    by_id = {row["citizen_id"]: row for row in csv_rows(first)}
    assert [by_id[row["citizen_id"]]["name"] for row in rows] == [row["name"] for row in rows]
    assert [(row["_operation"], row["citizen_id"], row["name"]) for row in csv_rows(second)] == [
        ("delete", rows[2]["citizen_id"], "")
    ]


def test_parquet_has_typed_columns(settings: Settings, topic_prefix: str) -> None:
    """Dates, times and money are such in Parquet, and nested values are JSON text."""
    bus = file_bus(settings, topic_prefix, "parquet")
    money = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
    at = {"type": "long", "logicalType": "timestamp-micros"}
    avro = person_schema(month="int", money=["null", money], at=at, tags={"type": "array", "items": "string"})
    bus.tables = {POPULATION: Table(avro=avro, key=("citizen_id", "birth_date"))}
    bus.apply()
    more = {"month": 7, "money": Decimal("-3.50"), "at": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "tags": ["甲"]}
    rows = people(0, 4, **more)
    rows[1]["money"] = None
    bus.send(rows, deletes=people(9, 1, **more))
    delivered(bus, snapshot=True)
    (part,) = parts(folder(bus))
    table = pyarrow.parquet.read_table(part / "police_population.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "_operation": "string", "citizen_id": "string", "name": "string", "birth_date": "date32[day]",
        "address": "string", "month": "int32", "money": "decimal128(12, 2)", "at": "timestamp[us, tz=UTC]",
        "tags": "string",
    }  # fmt: skip
    found = sorted(table.to_pylist(), key=lambda row: row["citizen_id"])
    operations = [row.pop("_operation") for row in found]
    assert operations == ["upsert"] * 4 + ["delete"]
    assert found[:4] == [{**row, "tags": '["甲"]'} for row in rows]
    assert {name for name, cell in found[4].items() if cell is not None} == {"citizen_id", "birth_date"}
    snapshot = pyarrow.parquet.read_table(part / "police_population.snapshot.parquet")
    assert snapshot.sort_by("citizen_id").to_pylist() == found[:4]


def test_a_snapshot_on_demand_is_everything_and_disturbs_no_reader_of_changes(bus: ShareBus) -> None:
    """With --snapshot a part holds the changes and everything; receivers of either end at the same rows."""
    bus.apply()
    bus.send(people(0, 30))
    delivered(bus)
    bus.send(people(10, 30, name="改名"), deletes=people(0, 5))
    delivered(bus, snapshot=True)
    bus.send(people(38, 5), deletes=people(12, 1))
    delivered(bus)
    second = manifests(folder(bus))[1]["datasets"][POPULATION]
    assert (second["snapshot"]["rows"], second["replace"], second["reason"]) == (35, False, "asked")
    assert second["changes"]["rows"] == 35
    assert received(folder(bus), "changes")[POPULATION] == expected(bus)
    assert received(folder(bus), "snapshot")[POPULATION] == expected(bus)
    ids = [row["citizen_id"] for row in lines(parts(folder(bus))[1] / second["snapshot"]["file"])]
    assert ids == sorted(ids)


def test_a_running_delivery_gives_a_snapshot_when_it_is_asked(bus: ShareBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wish reaches the sink that runs, and a second sink for the same folder does not start."""
    monkeypatch.setattr(run, "LOOK_SECONDS", 0.2)
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    with delivering(bus):
        eventually(lambda: taken(bus))
        with pytest.raises(FolderTaken, match="another sink"):
            delivered(bus, snapshot=True)
        eventually(lambda: len(parts(folder(bus))) == 2)
    assert manifests(folder(bus))[1]["datasets"][POPULATION]["snapshot"]["rows"] == 10
    assert received(folder(bus), "snapshot")[POPULATION] == expected(bus)


def taken(bus: ShareBus) -> bool:
    try:
        PartFolder(folder(bus)).close()
    except FolderTaken:
        return True
    return False


def test_lost_records_are_made_good_by_a_snapshot_that_replaces(bus: ShareBus) -> None:
    """After DeleteRecords beyond the position the next part says: replace what you hold by this."""
    bus.apply()
    bus.send(people(0, 60))
    delivered(bus)
    bus.send(deletes=people(0, 20))
    bus.delete_records()
    bus.send(people(20, 40, name="再发"))
    report = delivered(bus)
    entry = manifests(folder(bus))[1]["datasets"][POPULATION]
    assert (entry["replace"], entry["reason"], entry["changes"]) == (True, "below_log_start", None)
    assert report.reloads == {POPULATION: 1}
    assert received(folder(bus))[POPULATION] == expected(bus)
    bus.send(people(0, 3))
    delivered(bus)
    assert received(folder(bus))[POPULATION] == expected(bus)


def test_a_topic_made_again_and_a_long_absence_are_snapshots_too(bus: ShareBus) -> None:
    """Another topic of the same name, and deletions that may be gone, both replace what is held."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    bus.make_topic_again()
    bus.send(people(5, 50))
    delivered(bus)
    assert received(folder(bus))[POPULATION] == expected(bus)
    level = PartFolder(folder(bus))
    assert level.head is not None
    level.note_level({place: at - timedelta(days=16) for place, at in level.head.level_at.items()})
    level.close()
    bus.send(deletes=people(5, 5))
    delivered(bus)
    reasons = [each["datasets"][POPULATION]["reason"] for each in manifests(folder(bus))]
    assert reasons == ["", "other_topic", "older_than_deletions"]
    assert received(folder(bus))[POPULATION] == expected(bus)


def test_a_withdrawn_dataset_is_replaced_by_nothing_and_comes_back_whole(bus: ShareBus) -> None:
    """The part says which dataset goes and why; when the grant returns everything is sent again."""
    bus.tables["police.household"] = Table(avro=person_schema())
    bus.apply()
    bus.send(people(0, 10))
    bus.send(people(0, 4), dataset="police.household")
    delivered(bus)
    bus.tables[POPULATION].state = "suspended"
    bus.apply()
    delivered(bus)
    delivered(bus)
    told = manifests(folder(bus))
    assert len(told) == 2, "it is told once"
    assert told[1]["datasets"][POPULATION]["reason"] == "grant_suspended"
    assert received(folder(bus)) == {"police.household": expected(bus, "police.household")}
    bus.send(people(0, 6), dataset="police.household")
    delivered(bus)
    bus.tables[POPULATION].state = "active"
    bus.apply()
    delivered(bus)
    assert received(folder(bus)) == {name: expected(bus, name) for name in bus.tables}


def test_a_withdrawn_field_is_named_at_once_and_never_written_again(bus: ShareBus) -> None:
    """Receivers learn of it without waiting for a record, and unread records of the old schema no longer carry it."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    bus.send(people(10, 5))
    bus.tables[POPULATION].fields = {"citizen_id": "pass", "name": "pass", "birth_date": {"generalise": "year"}}
    bus.apply()
    delivered(bus)
    told = manifests(folder(bus))
    assert told[1]["datasets"][POPULATION]["withdrawn_columns"] == ["address", "birth_date"]
    assert told[2]["datasets"][POPULATION]["withdrawn_columns"] == []
    rows = received(folder(bus))[POPULATION].values()
    assert {name for row in rows for name, cell in row.items() if cell is not None} == {"citizen_id", "name"}


def test_a_pseudonymised_key_names_its_deletions(bus: ShareBus) -> None:
    """Where the key is not in clear, `_key` tells a receiver which row goes."""
    bus.tables = {POPULATION: Table(fields={"name": "pass"})}
    bus.apply()
    clear = people(0, 5)
    bus.send([{"name": row["name"]} for row in clear], deletes=people(3, 1), keyed_as=clear)
    delivered(bus)
    rows = received(folder(bus))[POPULATION]
    assert set(rows) == {(bus.key_of(row).decode(),) for row in clear if row["name"] != "王3"}


def test_a_newest_part_taken_away_by_its_reader_is_not_delivered_twice(bus: ShareBus) -> None:
    """Readers may move parts away, even the newest: the sink has kept what it needs."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    shutil.rmtree(parts(folder(bus))[0])
    bus.send(people(10, 1))
    delivered(bus)
    (part,) = parts(folder(bus))
    assert part.name == "00000002"
    assert [row["citizen_id"] for row in lines(part / "police_population.jsonl")] == [people(10, 1)[0]["citizen_id"]]


class PowerCut(BaseException):
    """Nothing after it happens."""


def test_a_crash_between_any_two_steps_leaves_no_half_part_and_no_double(
    settings: Settings, topic_prefix: str, bus: ShareBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off before each single step of publishing, the folder holds whole parts only, and the next sink goes on."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    steps = 0
    real = {name: getattr(owner, name) for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "replace"))}
    survived = False
    while not survived:
        bus.send(people(steps, 3, name=f"第{steps}步"), deletes=people(500 + steps, 1))
        left = [steps]

        def cutting(name: str, left: list[int] = left) -> Any:
            def step(*arguments: Any) -> Any:
                if not left[0]:
                    raise PowerCut
                left[0] -= 1
                return real[name](*arguments)

            return step

        with monkeypatch.context() as cut:
            cut.setattr(os, "fsync", cutting("fsync"))
            cut.setattr(Path, "rename", cutting("rename"))
            cut.setattr(Path, "replace", cutting("replace"))
            try:
                delivered(bus)
                survived = True
            except PowerCut:
                pass
        manifests(folder(bus))
        steps += 1
    assert steps > 5, "every step of publishing was cut once"
    delivered(bus)
    assert received(folder(bus))[POPULATION] == expected(bus)


@pytest.mark.timeout(600)
def test_a_sink_killed_while_it_writes_loses_and_doubles_nothing(bus: ShareBus, seed: int, tmp_path: Path) -> None:
    """kill -9 while a part is being written: readers see whole parts only, and in the end the right rows."""
    chance = random.Random(seed)
    bus.apply()
    bus.send(people(0, 50))
    delivered(bus)
    killed = 0
    for turn in range(4):
        many = people(0, 9_999, name=f"第{turn}次", address="云海市" * 500)
        bus.send(many, deletes=people(chance.randrange(9_000), 500))
        before = manifests(folder(bus))[-1]
        with SinkProcess(bus, tmp_path / "city", "--until-caught-up") as sink:
            eventually(lambda: list(folder(bus).glob(".part-*/*")) or not sink.running, 60, pause_seconds=0.0005)
            time.sleep(chance.uniform(0, 0.05))
            if sink.running:
                sink.kill()
                killed += 1
        if manifests(folder(bus))[-1] == before:
            assert unread(bus, before) > 0
    assert killed > 1
    delivered(bus)
    assert received(folder(bus))[POPULATION] == expected(bus)
    assert not list(folder(bus).glob(".part-*"))


def unread(bus: ShareBus, manifest: dict[str, Any]) -> int:
    read = manifest["datasets"][POPULATION]["partitions"]
    return sum(end - read[str(partition)]["next"] for (_, partition), end in bus.ends().items())


def test_a_sink_that_comes_late_is_fenced_by_the_part_that_is_there(bus: ShareBus, tmp_path: Path) -> None:
    """Where locks do not reach (a folder shared by machines), the second part of the same number is refused."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    late = PartFolder(folder(bus))
    (folder(bus) / ".lock").unlink()
    bus.send(people(10, 10))
    delivered(bus)
    assert late.head is not None
    following: Manifest = late.head.manifest.model_copy(update={"number": 2})
    with pytest.raises(Fenced, match="part 00000002 is there"):
        late.publish(late.draft(), following, {})
    late.close()
    assert received(folder(bus))[POPULATION] == expected(bus)


def test_a_wish_for_a_snapshot_survives_a_crash(bus: ShareBus) -> None:
    """What was asked for is made by whichever sink comes next."""
    bus.apply()
    bus.send(people(0, 10))
    want_snapshot(folder(bus))
    delivered(bus)
    assert manifests(folder(bus))[0]["datasets"][POPULATION]["snapshot"]["rows"] == 10
    assert delivered(bus).written == {}
    assert len(parts(folder(bus))) == 1
