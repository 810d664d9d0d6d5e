"""A share view's bytes, spliced from slices of the record, are those the oracle makes by decoding and encoding."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import fastavro
from oracle import avro, generate, policies, views

from govbus.codec.framing import header
from govbus.codec.projection import Projection, Unmaskable, compile_view
from govbus.codec.reader import RecordReader
from govbus.codec.schemas import record_schema
from govbus.codec.view_schema import view_schema
from govbus.rules.condition import parse_condition
from govbus.rules.mask import Drop, parse_mask
from govbus.rules.share import ShareView

ROOT = Path(__file__).parents[2]
KEY = bytes(range(32))
FRAME = header(7)
SHARE_FRAME = header(70_000)
VALUES_PER_POLICY = 5


@dataclass
class Drawn:
    """One schema with its oracle type, its generated reader, and values under it."""

    business: dict[str, Any]
    kind: avro.Record
    reader: RecordReader
    values: list[Any]


def drawn(rng: Random, schema: dict[str, Any] | None = None, *, wild: bool = True) -> Drawn:
    business = schema or generate.Schemas(rng).record()[0]
    full = record_schema(business)
    kind = avro.parse(full)
    assert isinstance(kind, avro.Record)
    draw = generate.Values(rng, wild=wild)
    return Drawn(business, kind, RecordReader(full), [draw.of(kind) for _ in range(VALUES_PER_POLICY)])


def business_type(kind: avro.Record) -> avro.Record:
    """The type without the bus's own two fields, which no view may name."""
    return avro.Record(kind.name, [each for each in kind.fields if not each.name.startswith("_")])


def permission(rng: Random, one: Drawn) -> views.Permission:
    """A random policy: masks, and conditions of grant and ask in some of the cases."""
    business = business_type(one.kind)
    fields = policies.shown_fields(rng, business)
    shown = {path: mask for path, mask in fields.items() if mask != "drop"}
    grant_rows = policies.rows(rng, business, one.values) if rng.random() < 0.4 else None
    ask_rows = None
    if rng.random() < 0.4:
        ask_rows = rows_of_view(rng, one, shown)
    return views.Permission(shown, grant_rows, ask_rows, datetime.max.replace(tzinfo=UTC))


def rows_of_view(rng: Random, one: Drawn, shown: Mapping[str, Any]) -> dict[str, Any] | None:
    """A condition on what the masks leave; fields that are nulled or pseudonymised cannot be asked about."""
    testable = {path: mask for path, mask in shown.items() if mask not in ("null", "pseudonym")}
    kind = views.view_type(one.kind, testable)
    assert isinstance(kind, avro.Record)
    samples = []
    for value in one.values:
        try:
            samples.append(views.view_value(one.kind, value, testable, KEY))
        except views.masks.Unmaskable:
            continue
    seen = [path for path in policies.paths(kind) if any(f"{path}.".startswith(f"{each}.") for each in testable)]
    return policies.rows(rng, kind, samples, seen)


def share_view(allowed: views.Permission) -> ShareView:
    fields = tuple((path, parse_mask(mask)) for path, mask in allowed.fields.items())
    assert not any(mask == Drop() for _, mask in fields)
    return ShareView(
        subscriber="education",
        ask="school_place",
        dataset="public_security.dataset",
        purpose="school_place",
        fields=fields,
        key=("key0",),
        grant_rows=None if allowed.grant_rows is None else parse_condition(allowed.grant_rows),
        ask_rows=None if allowed.ask_rows is None else parse_condition(allowed.ask_rows),
        until=None,
    )


def expected(kind: avro.Record, value: Any, allowed: views.Permission) -> bytes | None:
    shown = views.released(kind, value, allowed, KEY)
    return None if shown is None else SHARE_FRAME + avro.encode(views.view_type(kind, allowed.fields), shown)


def spliced(projection: Projection, reader: RecordReader, value: bytes) -> bytes | None:
    try:
        return projection.project(*reader.read(value))
    except Unmaskable:
        return None


def compiled(allowed: views.Permission, writer: RecordReader, newest: RecordReader) -> Projection:
    return compile_view(share_view(allowed), writer, newest, schema_id=70_000, pseudonym_key=KEY)


def check_case(rng: Random, one: Drawn, tally: Counter[str]) -> None:
    """Compare every value of *one* under a random policy; count what was covered."""
    allowed = permission(rng, one)
    projection = compiled(allowed, one.reader, one.reader)
    for value in one.values:
        record = FRAME + avro.encode(one.kind, value)
        wanted = expected(one.kind, value, allowed)
        got = spliced(projection, one.reader, record)
        assert got == wanted, explained(one.business, allowed, record, wanted, got)
        tally["cases"] += 1
        tally["sliced"] += projection.sliced
        tally["released"] += wanted is not None
        tally["withheld"] += wanted is None
    written = json.dumps(one.business)
    for what in ('"array"', '"map"', '"enum"', '"fixed"', '"logicalType"', '["null"'):
        tally[what] += what in written
    tally["nested"] += any("." in path for path in allowed.fields)


def explained(schema: Any, allowed: views.Permission, record: bytes, wanted: object, got: object) -> str:
    return (
        f"\nschema: {json.dumps(schema, ensure_ascii=False)}\nfields: {allowed.fields!r}\n"
        f"grant rows: {allowed.grant_rows!r}\nask rows: {allowed.ask_rows!r}\n"
        f"record: {record!r}\nwanted: {wanted!r}\ngot:    {got!r}"
    )


def test_spliced_bytes_are_the_oracles(seed: int, cases: Callable[[int], int]) -> None:
    """For random schemas, values and policies the view's bytes equal the oracle's, nine in ten by slicing alone."""
    tally: Counter[str] = Counter()
    wanted = cases(12_000)
    number = 0
    while tally["cases"] < wanted:
        rng = Random(f"{seed}/splice/{number}")
        one = drawn(rng)
        for _ in range(2):
            check_case(rng, one, tally)
        number += 1
    assert tally["sliced"] >= 0.9 * tally["cases"]
    assert min(tally["released"], tally["withheld"]) > 0.1 * tally["cases"]
    assert all(tally[what] for what in ('"array"', '"map"', '"enum"', '"fixed"', '"logicalType"', '["null"', "nested"))


def test_population_always_takes_the_generated_slicer(seed: int, cases: Callable[[int], int]) -> None:
    """The population register is spliced under every policy, and its bytes equal the oracle's."""
    schema = json.loads((ROOT / "schemas/public_security/population.avsc").read_text(encoding="utf-8"))
    tally: Counter[str] = Counter()
    for number in range(cases(400)):
        rng = Random(f"{seed}/population/{number}")
        check_case(rng, drawn(rng, schema), tally)
    assert tally["sliced"] == tally["cases"]


def test_records_of_an_older_schema_give_the_bytes_of_the_newest(seed: int, cases: Callable[[int], int]) -> None:
    """A record held under an older schema gives the view of what it resolves to in the newest one."""
    tally: Counter[str] = Counter()
    for number in range(cases(1_500)):
        rng = Random(f"{seed}/evolution/{number}")
        older = drawn(rng)
        business = generate.evolved(older.business, rng, keep=("key0",))
        newest = record_schema(business)
        kind = avro.parse(newest)
        assert isinstance(kind, avro.Record)
        resolved = [avro.resolve(older.kind, kind, value) for value in older.values]
        reader = RecordReader(newest)
        allowed = permission(rng, Drawn(business, kind, reader, resolved))
        projection = compiled(allowed, older.reader, reader)
        for value, as_newest in zip(older.values, resolved, strict=True):
            record = FRAME + avro.encode(older.kind, value)
            wanted = expected(kind, as_newest, allowed)
            got = spliced(projection, older.reader, record)
            context = f"\nolder: {json.dumps(older.business)}" + explained(business, allowed, record, wanted, got)
            assert got == wanted, context
            tally["sliced" if projection.sliced else "brought over"] += 1
    assert min(tally["sliced"], tally["brought over"]) > 0


def test_a_views_schema_reads_its_bytes(seed: int, cases: Callable[[int], int]) -> None:
    """Any Avro reader that has only the view's schema reads the view's bytes as the values the oracle released."""
    for number in range(cases(1_000)):
        rng = Random(f"{seed}/schema/{number}")
        one = drawn(rng, wild=False)
        allowed = permission(rng, one)
        schema = view_schema(one.business, share_view(allowed))
        fastavro.parse_schema(json.loads(json.dumps(schema)), _force=True)
        kind = avro.parse(schema)
        for value in one.values:
            shown = views.released(one.kind, value, allowed, KEY)
            if shown is not None:
                data = avro.encode(views.view_type(one.kind, allowed.fields), shown)
                assert avro.decode(kind, data) == (shown, True), json.dumps(schema)
