"""Writing the city: every department's first export, then waves of changes, a ledger of faults and a summary."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from govbus.catalogue.source import FileSource, OutboxSource, PostgresSource
from govbus.errors import GovbusError, SettingsError
from govbus.ops.city.casebook import Case, Casebook, Kept
from govbus.ops.city.declared import Declared, read_declared
from govbus.ops.city.economy import observations
from govbus.ops.city.exports import Export
from govbus.ops.city.families import AS_OF, TODAY, Families
from govbus.ops.city.ledger import Ledger, Planter
from govbus.ops.city.life import Life
from govbus.ops.city.registers import Registers
from govbus.ops.city.row import Row
from govbus.ops.city.tables import Outbox, Table, quoted
from govbus.rules.share import CHINA_STANDARD_TIME

WEATHER = "meteorology.observation"
FIRST_WEATHER_HOURS = 24
MOST_CASES = 20_000
"""Households held in memory for later waves, some 13 kB each; about 50,000 changed rows."""

_ROWS_PER_CASE = 2.6
_ENDS_AT = datetime.combine(AS_OF, time(18), CHINA_STANDARD_TIME)
_BEGINS_AT = _ENDS_AT - timedelta(days=300)
_OWN = ("drop", "postgres", "changes", "ledger.jsonl", "summary.json")

AnyOutput = Export | Table | Outbox
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class City:
    """What is asked for: *people* citizens, a seed, waves of changes with together about *changes* changed rows.

    *changes* is a tenth of the people unless stated, and never more than about 50,000.
    """

    people: int
    seed: int
    waves: int = 4
    changes: int | None = None

    @property
    def cases(self) -> int:
        """How many households something happens in."""
        changes = self.people // 10 if self.changes is None else self.changes
        return min(int(changes / _ROWS_PER_CASE), self.people // 8, MOST_CASES) if self.waves else 0


def write_city(declarations: Path, out: Path, city: City, progress: Progress = lambda done, of: None) -> dict[str, Any]:
    """Write the city into the folder *out* and return its summary (also in ``summary.json``).

        drop/DEPARTMENT/...             exports for the departments' drop folders
        postgres/schema.sql, *.copy     tables and outboxes; `govbus.ops.city.load_into_postgres` loads them
        changes/01/drop, postgres.sql   what the first wave brings, and so on
        ledger.jsonl                    every fault planted

    The same declarations and *city* give the same bytes. Memory does not grow with *people*, apart from the firms and
    the households that something happens in later. *progress* is told how many people are written, of how many.
    Raises DeclarationError where *declarations* lacks a dataset, SettingsError where *out* holds something else.
    """
    declared = read_declared(declarations)
    _make_room(out)
    outputs = {each.id: _output(each, out, city.seed) for each in declared.values()}
    ledger = Ledger(out / "ledger.jsonl", declared)
    families, registers = Families(city.seed), Registers(city.seed, city.people)
    idle = [firm for firm in registers.work.enterprises if not firm.pays_tax]
    planter = Planter(city.seed, idle, ledger)
    rows, cases = _first_exports(city, families, registers, planter, outputs, progress)
    book = Casebook(declared, outputs, ledger)
    life = Life(city.seed, families, registers, book, rows["civil_affairs.minimum_living"])
    waves = [
        _wave(number, cases[number - 1 :: city.waves], city, life, book, outputs, out)
        for number in range(1, city.waves + 1)
    ]
    ledger.close()
    summary = {
        "people": city.people,
        "seed": city.seed,
        "as_of": AS_OF.isoformat(),
        "rows": dict(sorted(rows.items())),
        "faults": {
            name: {"eligible": planter.eligible[name], "planted": planter.planted[name]}
            for name in sorted(planter.eligible)
        },
        "ledger": {"faults": ledger.count, "corrected": ledger.corrected},
        "waves": waves,
    }
    (out / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return summary


def _first_exports(
    city: City,
    families: Families,
    registers: Registers,
    planter: Planter,
    outputs: Mapping[str, AnyOutput],
    progress: Progress,
) -> tuple[Counter[str], list[Case]]:
    """Write everything as of the first day; return how many rows of each dataset, and the cases for later."""
    rows: Counter[str] = Counter()
    cases: list[Case] = []
    written, due = 0, 0.0
    per_person = city.cases / city.people
    for household in families.households(city.people):
        changed_at = _BEGINS_AT + (_ENDS_AT - _BEGINS_AT) * (written / city.people)
        changed_at = changed_at.replace(microsecond=0)
        written += len(household.members)
        due += per_person * len(household.members)
        case = Case(household) if due >= 1 else None
        for dataset, record in registers.entries(household):
            for each in planter.rows(dataset, record, changed_at):
                place = outputs[dataset].write(each.row)
                rows[dataset] += each.row.copies
                if case is not None:
                    case.kept.append(Kept(dataset, each.clean, each.row, place, each.fault))
        if case is not None:
            due -= 1
            cases.append(case)
        progress(written, city.people)
    first = _ENDS_AT.replace(minute=0) - timedelta(hours=FIRST_WEATHER_HOURS - 1)
    for record in observations(city.seed, first, FIRST_WEATHER_HOURS):
        for each in planter.rows(WEATHER, record, record["observed_at"]):
            outputs[WEATHER].write(each.row)
            rows[WEATHER] += each.row.copies
    for output in outputs.values():
        output.close()
    return rows, cases


def _wave(
    number: int,
    cases: Iterable[Case],
    city: City,
    life: Life,
    book: Casebook,
    outputs: Mapping[str, AnyOutput],
    out: Path,
) -> dict[str, Any]:
    """Make the *number*-th day after the first export happen and write what departments then send."""
    day = AS_OF + timedelta(days=number)
    morning = datetime.combine(day, time(9), CHINA_STANDARD_TIME)
    book.begin(number, morning)
    life.today = TODAY + number
    events = Counter(life.happen(case) for case in cases)
    for record in observations(city.seed, morning.replace(hour=8), 1):
        outputs[WEATHER].change(None, None, Row(record, record["observed_at"]))
        book.upserts[WEATHER] += 1
    folder = out / "changes" / f"{number:02}"
    folder.mkdir(parents=True)
    statements: list[str] = []
    for output in outputs.values():
        if isinstance(output, Export):
            output.end_wave(folder / "drop", day)
        else:
            statements += output.take_wave()
    sql = "\n".join(["BEGIN;", *statements, "COMMIT;", ""])
    (folder / "postgres.sql").write_text(sql, encoding="utf-8")
    return {
        "day": day.isoformat(),
        "events": dict(sorted(events.items())),
        "upserts": dict(sorted(book.upserts.items())),
        "deletions": dict(sorted(book.deletions.items())),
    }


def _output(declared: Declared, out: Path, seed: int) -> AnyOutput:
    match declared.source:
        case FileSource() as source:
            return Export(declared, source, out / "drop", seed, AS_OF)
        case PostgresSource() as source:
            return _with_ddl(Table(declared, source, out / "postgres"), out)
        case OutboxSource() as source:
            return _with_ddl(Outbox(declared, source, out / "postgres"), out)
        case _:
            raise SettingsError(f"{declared.id}: govbus city writes files, tables and outboxes, not a program's calls")


def _with_ddl(table: Table | Outbox, out: Path) -> Table | Outbox:
    """Add the table to ``schema.sql`` and to ``load.sql``, which psql runs in the folder after it."""
    folder = out / "postgres"
    with (folder / "schema.sql").open("a", encoding="utf-8") as schema:
        schema.write(table.ddl())
    columns = ", ".join(map(quoted, table.columns))
    with (folder / "load.sql").open("a", encoding="utf-8") as load:
        load.write(f"\\copy {quoted(table.table)} ({columns}) FROM '{table.declared.id}.copy'\n")
    return table


def _make_room(out: Path) -> None:
    """Make *out* an empty folder; an earlier city in it goes, anything else stays and is refused."""
    if out.exists() and not out.is_dir():
        raise SettingsError(f"{out} is a file: name a folder for the city's data")
    present = [each.name for each in out.iterdir()] if out.exists() else []
    if present and "summary.json" not in present:
        raise SettingsError(f"{out} is not empty and holds no earlier city: name another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in _OWN:
            path = out / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise GovbusError(f"{out} cannot be written: {error.strerror}") from error
