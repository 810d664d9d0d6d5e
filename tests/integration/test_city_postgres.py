"""The reference city's tables in a real Postgres: loaded whole, changed wave by wave."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from city_files import Written, declarations, rows
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from stack_fixture import REPOSITORY, RunningStack

from govbus.errors import SettingsError, Unavailable
from govbus.ops.city import City, apply_wave_to_postgres, bring, load_into_postgres, write_city

TABLES = {each.id: each.source["table"] for each in declarations().values() if each.source["kind"] != "file"}
POPULATION = "public_security.population"


@pytest.fixture(scope="module")
def database(stack: RunningStack) -> Iterator[str]:
    """A database of the module's own."""
    name = f"city_{secrets.token_hex(4)}"
    with psycopg.connect(stack.postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield make_conninfo(stack.postgres_url, dbname=name)
    with psycopg.connect(stack.postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def city(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A city of 3,000 people with two waves."""
    asked = City(3_000, int(request.config.getoption("hypothesis_seed")), waves=2)
    path = tmp_path_factory.mktemp("city") / "written"
    return Written(path, asked, write_city(REPOSITORY, path, asked))


def counted(database: str) -> dict[str, int]:
    """Return how many rows each dataset's table has."""
    with psycopg.connect(database) as connection:
        found = {}
        for dataset, table in TABLES.items():
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert row is not None
            found[dataset] = row[0]
        return found


def test_tables_hold_what_the_city_wrote(city: Written, database: str) -> None:
    """Loading fills each table with its dataset's rows, and says how many; loading again makes them anew."""
    expected = {dataset: city.summary["rows"][dataset] for dataset in TABLES}
    for _ in range(2):
        assert dict(load_into_postgres(database, city.path)) == expected
        assert counted(database) == expected
    with psycopg.connect(database, row_factory=dict_row) as connection:
        people = connection.execute("SELECT gmsfhm, xm, csrq::text, hjdz, swrq::text FROM public_security.population")
        loaded = {tuple(row.values()) for row in people}
    columns = ("citizen_id", "name", "birth_date", "household_address", "death_date")
    assert loaded == {tuple(row[column] for column in columns) for row in rows(city.path, POPULATION)}


def test_waves_change_the_tables_as_the_summary_says(city: Written, database: str) -> None:
    """Each wave puts the present time on what it changes, deletes what it says, and adds one outbox row per change."""
    load_into_postgres(database, city.path)
    for number, wave in enumerate(city.summary["waves"], 1):
        before = counted(database)
        apply_wave_to_postgres(database, city.path, number)
        after = counted(database)
        for dataset in TABLES:
            written, deleted = wave["upserts"].get(dataset, 0), wave["deletions"].get(dataset, 0)
            if declarations()[dataset].source["kind"] == "outbox":
                assert after[dataset] == before[dataset] + written + deleted
            else:
                assert -deleted <= after[dataset] - before[dataset] <= written - deleted
        with psycopg.connect(database) as connection:
            changed = connection.execute(
                "SELECT count(*) FROM public_security.population WHERE gxsj = (SELECT max(gxsj) FROM"
                " public_security.population) AND gxsj > now() - interval '10 minutes'"
            ).fetchone()
        assert changed is not None
        assert 0 < changed[0] <= wave["upserts"][POPULATION]


def test_members_of_households_are_alive_in_the_population_table(city: Written, database: str) -> None:
    """After all waves the last household export and the population table still agree."""
    load_into_postgres(database, city.path)
    for number in range(1, city.asked.waves + 1):
        apply_wave_to_postgres(database, city.path, number)
    with psycopg.connect(database) as connection:
        homes = dict(
            connection.execute("SELECT gmsfhm, hh FROM public_security.population WHERE ryzt = '1'").fetchall()
        )
    for row in rows(city.path, "public_security.household", city.asked.waves):
        for number in row["member_ids"]:
            assert homes[number] == row["household_no"]


def test_bringing_the_first_export_fills_tables_and_drop_folders(city: Written, database: str, tmp_path: Path) -> None:
    """One call puts the first export before all departments."""
    put = bring(city.path, 0, tmp_path, database)
    assert all(path.is_file() for path in put)
    assert {path.relative_to(tmp_path).parts[0] for path in put} == {
        each.department for each in declarations().values() if each.source["kind"] == "file"
    }
    assert counted(database)[POPULATION] == city.summary["rows"][POPULATION]


def test_a_server_that_does_not_answer_is_unavailable(city: Written) -> None:
    """Nobody at the address is said as such, and may be tried again."""
    with pytest.raises(Unavailable, match="does not answer"):
        load_into_postgres("postgresql://127.0.0.1:1/nobody", city.path)


def test_a_folder_without_a_city_is_refused(tmp_path: Path, database: str) -> None:
    """A folder in which no city was written is named, with what to do."""
    with pytest.raises(SettingsError, match="govbus city"):
        load_into_postgres(database, tmp_path)
    with pytest.raises(SettingsError, match="govbus city"):
        apply_wave_to_postgres(database, tmp_path, 1)
