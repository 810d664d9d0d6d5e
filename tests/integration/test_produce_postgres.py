"""The Postgres and outbox adapters against real servers: late commits, deletions, restarts, and what is not skipped."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from integration.produce_bus import ProduceBus, wait_for
from psycopg import sql
from stack_fixture import REPOSITORY

from govbus.adapters.feed import journal_path
from govbus.adapters.look import Look
from govbus.adapters.run import produce
from govbus.errors import SettingsError
from govbus.kafka.settings import Settings
from govbus.rules.identity import citizen_id_check

pytestmark = pytest.mark.stack

NOW = datetime.now(UTC)


def citizen(number: int) -> str:
    first17 = f"890101{date(1950, 1, 1) + timedelta(days=number // 900):%Y%m%d}{number % 900 + 1:03}"
    return first17 + citizen_id_check(first17)


class Police:
    """The department's database, in a schema of the test's own, and its adapter."""

    def __init__(self, bus: ProduceBus, schema: str) -> None:
        self.bus = bus
        self.schema = schema
        self.url = bus.settings.need_postgres_url()
        self.database = psycopg.connect(self.url, autocommit=True)

    def execute(self, statement: str, *values: Any, on: psycopg.Connection[Any] | None = None) -> None:
        """Run a statement in which {t} is the test's schema."""
        query = sql.SQL(statement).format(t=sql.Identifier(self.schema))  # type: ignore[arg-type]
        (on or self.database).execute(query, values)

    def put(
        self, number: int, name: str = "张三", at: datetime = NOW, on: psycopg.Connection[Any] | None = None
    ) -> None:
        self.execute(
            "INSERT INTO {t}.population VALUES (%s, %s, '1', '1950-01-01', NULL, %s)"
            " ON CONFLICT (id_no) DO UPDATE SET xm = EXCLUDED.xm, gxsj = EXCLUDED.gxsj",
            citizen(number),
            name,
            at,
            on=on,
        )

    def look(self, dataset: str = "police.population", **options: Any) -> Look:
        return produce(self.bus.settings, self.bus.topics, "police", once=True, **options).looks[dataset]

    def names(self) -> dict[str, str]:
        return {key.decode(): record["name"] for key, record in self.bus.newest().items()}


TABLE = """
CREATE TABLE {t}.population (
    id_no text PRIMARY KEY, xm text NOT NULL, xb smallint, csrq date, xzqh text, gxsj timestamptz
);
"""
OUTBOX = """
CREATE TABLE {t}.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation text NOT NULL,
    record jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
"""
WITH_TRANSACTION = ", transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id())"


@pytest.fixture
def police(settings: Settings, topic_prefix: str) -> Iterator[Police]:
    made = Police(ProduceBus(settings, topic_prefix), f"police_{topic_prefix.strip('.')}")
    made.database.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(made.schema)))
    yield made
    made.database.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(made.schema)))
    made.database.close()


def with_table(police: Police, ddl: str = TABLE, **more: Any) -> Police:
    police.execute(ddl)
    columns = {"citizen_id": "id_no", "name": "xm", "sex": "xb", "birth_date": "csrq", "division": "xzqh"}
    source: Mapping[str, Any] = {
        "kind": "postgres",
        "table": f"{police.schema}.population",
        "watermark": "gxsj",
        "columns": columns,
        **more,
    }
    police.bus.declare(source=source)
    police.bus.apply()
    return police


def test_a_table_is_read_whole_once_and_then_by_its_watermark(police: Police) -> None:
    """The first look sends every row, the next ones what changed since; values come canonical, bad rows are counted."""
    with_table(police)
    for number in range(50):
        police.put(number, at=NOW - timedelta(days=2))
    police.execute("INSERT INTO {t}.population VALUES ('890101199101010195', 'x', '1', '1950-01-01', NULL, now())")
    first = police.look()
    assert (first.rows, first.counts.upserted, dict(first.rejected)) == (51, 50, {"invalid_value": 1})
    police.put(7, "李四", at=datetime.now(UTC))
    police.put(60, at=datetime.now(UTC))
    second = police.look()
    assert (second.counts.upserted, second.counts.deleted) == (2, 0)
    # Rows of the last five minutes are read again, the others are not.
    assert second.rows == 3
    names = police.names()
    assert len(names) == 51
    assert names[citizen(7)] == "李四"
    rejected = (police.bus.settings.home / "rejected" / "police.population.csv").read_text(encoding="utf-8-sig")
    assert "citizen_id: the check character of the citizen id is wrong" in rejected


def test_versions_are_the_watermarks_microseconds(police: Police) -> None:
    """A record's version and time of change are its watermark, read as China Standard Time where it has no offset."""
    with_table(police, TABLE.replace("gxsj timestamptz", "gxsj timestamp"))
    police.execute(
        "INSERT INTO {t}.population VALUES (%s, 'x', '1', '1950-01-01', NULL, '1988-07-01 08:00:00.123456')", citizen(1)
    )
    police.look()
    (sent,) = police.bus.raw()
    assert sent.version == sent.changed_at == round(datetime(1988, 7, 1, tzinfo=UTC).timestamp()) * 1_000_000 + 123_456


def test_a_row_committed_late_is_not_skipped(police: Police) -> None:
    """A row stamped at the start of a long transaction is read once it commits, although later rows were read."""
    with_table(police, overlap="1s")
    police.put(1)
    police.look()
    with psycopg.connect(police.url) as late:
        police.put(2, at=NOW, on=late)  # opens the transaction
        late.execute("SELECT 1")
        police.execute(
            "INSERT INTO {t}.population VALUES (%s, '晚', '1', '1950-01-01', NULL, now())", citizen(3), on=late
        )
        _pass_seconds(police, 2)
        police.put(4, at=datetime.now(UTC))
        assert police.look().counts.upserted == 1
        _pass_seconds(police, 2)
        police.look()
        late.commit()
    police.execute("DELETE FROM {t}.population WHERE id_no = %s", citizen(2))
    look = police.look()
    assert look.counts.upserted == 1
    assert set(police.names()) == {citizen(1), citizen(3), citizen(4)}


def _pass_seconds(police: Police, seconds: int) -> None:
    """Let the database's clock go on."""
    police.database.execute("SELECT pg_sleep(%s)", [seconds])


def test_an_update_within_a_late_transaction_is_not_skipped_without_a_sweep(police: Police) -> None:
    """What protects late commits is the watermark below the oldest transaction, not the sweep over keys."""
    with_table(police, overlap="1s", sweep="1d")
    for number in range(5):
        police.put(number, at=NOW - timedelta(hours=1))
    police.look()
    with psycopg.connect(police.url) as late:
        police.execute("UPDATE {t}.population SET xm = '晚', gxsj = now() WHERE id_no = %s", citizen(2), on=late)
        _pass_seconds(police, 2)
        police.look()
        _pass_seconds(police, 2)
        police.look()
        late.commit()
    police.look()
    assert police.names()[citizen(2)] == "晚"


def test_deletions_are_found_by_the_sweep_and_held_when_too_many(police: Police) -> None:
    """Deleted rows become deletions; an emptied table is held until a person lets it."""
    with_table(police)
    for number in range(50):
        police.put(number)
    police.look()
    police.execute("DELETE FROM {t}.population WHERE id_no IN (%s, %s)", citizen(3), citizen(4))
    assert police.look().counts.deleted == 2
    police.execute("DELETE FROM {t}.population")
    look = police.look()
    assert (look.held, look.counts.deleted) == (48, 0)
    assert "48 of 48 records would be deleted" in look.said[0]
    assert len(police.names()) == 48
    assert police.look(accept_deletions=48).counts.deleted == 48
    assert police.names() == {}


def test_a_lost_journal_is_rebuilt_and_deletions_since_are_seen(police: Police) -> None:
    """Without journal and position the table is read whole again: only differences travel, vanished rows go."""
    with_table(police)
    for number in range(50):
        police.put(number)
    police.look()
    journal_path(police.bus.settings.home, "police.population").unlink()
    police.execute("DELETE FROM {t}.population WHERE id_no = %s", citizen(3))
    police.put(4, "李四", at=datetime.now(UTC))
    counts = police.look().counts
    assert (counts.upserted, counts.deleted, counts.unchanged) == (1, 1, 48)


def test_arrays_come_from_columns_as_json(police: Police) -> None:
    """Arrays, booleans, exact decimals and bytes keep their values on the way from Postgres."""
    police.execute(
        "CREATE TABLE {t}.population"
        " (id text, tags text[], ok boolean, rent numeric(12,2), photo bytea, gxsj timestamptz)"
    )
    police.execute("INSERT INTO {t}.population VALUES ('1', '{{a,\"b,c\"}}', true, 12.50, '\\x0001', now())")
    fields: list[dict[str, Any]] = [
        {"name": "id", "type": "string"},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "ok", "type": "boolean"},
        {"name": "rent", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "photo", "type": "bytes"},
    ]
    source = {"kind": "postgres", "table": f"{police.schema}.population", "watermark": "gxsj"}
    police.bus.declare(source=source, fields=fields, entries={}, key=("id",))
    police.bus.apply()
    police.look()
    (record,) = police.bus.newest().values()
    assert record["tags"] == ["a", "b,c"]
    assert (record["ok"], str(record["rent"]), record["photo"]) == (True, "12.50", b"\0\1")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"watermark": "xm"}, "must be a timestamp"),
        ({"watermark": "nothing"}, "has no column nothing"),
        ({"table": "nowhere.population"}, "has no table nowhere.population"),
        ({"columns": {"name": "mz"}}, "has no column"),
    ],
)
def test_a_table_that_is_not_as_declared_is_named(police: Police, change: Mapping[str, Any], says: str) -> None:
    """A missing table or column, and a watermark that is no time, end a run with what to do."""
    with_table(police, **change)
    with pytest.raises(SettingsError, match=says):
        police.look()


def with_outbox(police: Police, table: str = OUTBOX + WITH_TRANSACTION) -> Police:
    police.execute(table)
    police.bus.declare(source={"kind": "outbox", "table": f"{police.schema}.outbox"})
    police.bus.apply()
    return police


def note(
    police: Police,
    operation: str,
    number: int,
    name: str = "张三",
    on: psycopg.Connection[Any] | None = None,
    at: datetime | None = None,
) -> None:
    record = {"citizen_id": citizen(number), "name": name, "sex": "1", "birth_date": "1950-01-01"}
    moment = at or datetime.now(UTC)
    police.execute(
        "INSERT INTO {t}.outbox (operation, record, changed_at) VALUES (%s, %s, %s)",
        operation,
        json.dumps(record if operation != "delete" else {"citizen_id": citizen(number)}),
        moment,
        on=on,
    )


@pytest.fixture(params=["with xid8", "without xid8"])
def outbox(police: Police, request: pytest.FixtureRequest) -> Police:
    return with_outbox(police, OUTBOX + (WITH_TRANSACTION if request.param == "with xid8" else ")"))


def test_an_outbox_gives_every_change_and_deletion_once(outbox: Police) -> None:
    """Rows of an outbox arrive in their order, deletions too, and are not read again; bad rows are counted."""
    for number in range(20):
        note(outbox, "upsert", number)
    note(outbox, "delete", 3)
    assert outbox.look().counts.upserted == 19
    note(outbox, "U", 4, "李四")
    note(outbox, "delete", 5)
    note(outbox, "upsert", 5, "回来")
    note(outbox, "moved", 6)
    outbox.execute("INSERT INTO {t}.outbox (operation, record) VALUES ('upsert', '[]')")
    look = outbox.look()
    assert (look.rows, look.rejections) == (5, 2)
    assert outbox.look().rows == 0
    names = outbox.names()
    assert citizen(3) not in names
    assert (names[citizen(4)], names[citizen(5)]) == ("李四", "回来")


def test_a_lower_id_that_commits_late_is_not_skipped(outbox: Police) -> None:
    """A row whose transaction was open while higher ids were committed and read arrives afterwards."""
    note(outbox, "upsert", 1)
    outbox.look()
    with psycopg.connect(outbox.url) as late:
        note(outbox, "upsert", 2, "晚", on=late)
        note(outbox, "upsert", 3, "后")
        note(outbox, "upsert", 4)
        assert outbox.look().counts.upserted == 0
        late.commit()
    assert outbox.look().counts.upserted == 3
    assert set(outbox.names()) == {citizen(1), citizen(2), citizen(3), citizen(4)}


def test_two_changes_of_a_record_in_different_looks_keep_the_order_of_ids(outbox: Police) -> None:
    """Where an older transaction holds back the lower id of a record, its value does not replace the higher one's."""
    note(outbox, "upsert", 9)
    outbox.look()
    first = psycopg.connect(outbox.url)
    holder = psycopg.connect(outbox.url)
    # The transaction that will write the higher id is the oldest; the lower id's is younger and commits first.
    note(outbox, "upsert", 8, on=first)
    holder.execute("SELECT pg_current_xact_id()")
    at = datetime.now(UTC)
    note(outbox, "upsert", 1, "低", at=at + timedelta(seconds=1))
    note(outbox, "upsert", 1, "高", on=first, at=at)
    first.commit()
    outbox.look()
    holder.commit()
    holder.close()
    first.close()
    outbox.look()
    assert outbox.names()[citizen(1)] == "高"


def test_an_outbox_whose_journal_is_lost_sends_no_old_values(outbox: Police) -> None:
    """Read anew from its start, an outbox gives only the last change of each record, and only where it differs."""
    for name in ("甲", "乙", "丙"):
        note(outbox, "upsert", 1, name)
        outbox.look()
    note(outbox, "upsert", 2, "丁")
    outbox.look()
    sent = len(outbox.bus.raw())
    journal_path(outbox.bus.settings.home, "police.population").unlink()
    note(outbox, "upsert", 2, "戊")
    counts = outbox.look().counts
    assert (counts.upserted, counts.unchanged) == (1, 1)
    assert len(outbox.bus.raw()) == sent + 1
    assert outbox.names() == {citizen(1): "丙", citizen(2): "戊"}


def test_an_outbox_made_again_counts_from_the_start(outbox: Police) -> None:
    """A table dropped and made again gives lower ids for newer changes: they count."""
    note(outbox, "upsert", 1, "旧")
    note(outbox, "upsert", 1, "较旧")
    outbox.look()
    with_transaction = "transaction_id" in {
        row[0]
        for row in outbox.database.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s", [outbox.schema]
        )
    }
    outbox.execute("DROP TABLE {t}.outbox")
    outbox.execute(OUTBOX + (WITH_TRANSACTION if with_transaction else ")"))
    note(outbox, "upsert", 1, "新")
    outbox.look()
    assert outbox.names() == {citizen(1): "新"}


def test_an_outbox_restored_from_another_server_is_told(police: Police) -> None:
    """Transaction ids of another server would let rows wait for ever: the run says how to put them right."""
    with_outbox(police)
    note(police, "upsert", 1)
    police.execute("UPDATE {t}.outbox SET transaction_id = '9000000000000'::xid8")
    with pytest.raises(SettingsError, match="another server"):
        police.look()


def test_the_database_may_break_every_connection(outbox: Police) -> None:
    """A server that ends the adapter's sessions while it runs is connected to again, and nothing is missed."""
    stop = threading.Event()
    arguments = (outbox.bus.settings, outbox.bus.topics, "police")
    adapter = threading.Thread(target=produce, args=arguments, kwargs={"stop": stop})
    adapter.start()
    try:
        for number in range(3):
            note(outbox, "upsert", number)
            wait_for(lambda: len(outbox.bus.raw()) == number + 1)  # noqa: B023
            ended = outbox.database.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
                " AND datname = current_database()",
                ["govbus produce police.population"],
            ).fetchone()
            assert ended is not None
            assert ended[0] >= 1
    finally:
        stop.set()
        adapter.join(30)
    assert set(outbox.names()) == {citizen(0), citizen(1), citizen(2)}


GUIDE = (REPOSITORY / "docs/producing.md").read_text(encoding="utf-8")


def test_the_guides_outbox_and_trigger_note_every_change(police: Police) -> None:
    """The SQL of docs/producing.md makes an outbox that notes inserts, updates, changed keys and deletions."""
    table, trigger = re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)
    police.execute("CREATE TABLE {t}.lease (house_code text, contract_no text, rent int)")
    for statement in (table, trigger):
        police.database.execute(statement.replace("housing.", f"{police.schema}."))
    fields: list[dict[str, Any]] = [
        {"name": "house_code", "type": "string"},
        {"name": "contract_no", "type": "string"},
        {"name": "rent", "type": "int"},
    ]
    source = {"kind": "outbox", "table": f"{police.schema}.outbox"}
    police.bus.declare(source=source, fields=fields, entries={}, key=("house_code", "contract_no"))
    police.bus.apply()
    police.execute("INSERT INTO {t}.lease VALUES ('h1', 'c1', 100), ('h2', 'c2', 200), ('h3', 'c3', 300)")
    police.look()
    police.execute("UPDATE {t}.lease SET rent = 101 WHERE house_code = 'h1'")
    police.execute("UPDATE {t}.lease SET house_code = 'h4' WHERE house_code = 'h2'")
    police.execute("DELETE FROM {t}.lease WHERE house_code = 'h3'")
    police.look()
    assert {key.decode(): record["rent"] for key, record in police.bus.newest().items()} == {
        "h1\x1fc1": 101,
        "h4\x1fc2": 200,
    }


def test_the_guides_program_publishes(police: Police) -> None:
    """The program of docs/producing.md runs as it stands, on a register of ids and names."""
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    fields: list[dict[str, Any]] = [{"name": "citizen_id", "type": "string"}, {"name": "name", "type": "string"}]
    police.bus.declare(fields=fields, entries={"citizen_id": {"title": "t", "grade": "L3", "format": "citizen_id"}})
    police.bus.apply()
    program = program.replace('Settings.load(Path("city"))', "given")
    program = program.replace('"public_security.population"', '"police.population", topics')
    exec(program, {"given": police.bus.settings, "topics": police.bus.topics})
    assert police.names() == {"890101199101010194": "张三"}
