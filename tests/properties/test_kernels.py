"""The compiled kernels do what taking in each record alone does: for every type, mask and format, at their edges."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from random import Random
from typing import Any
from zlib import crc32

import fastavro
import pytest
from oracle import generate
from properties.simulated_bus import Entry, counts, place

from govbus.catalogue.model import Ask, AskedDataset, Catalogue, City, Contact, Dataset, FieldEntry, Grant, Update
from govbus.catalogue.views import share_views
from govbus.codec.framing import header
from govbus.codec.schemas import record_schema
from govbus.exchange import difference
from govbus.exchange.bulk.loading import bulk_loop
from govbus.exchange.compiled import CompiledDataset
from govbus.exchange.difference import ActiveView, DatasetExchange, PartitionExchange, Touched
from govbus.exchange.revision import CompiledRevision
from govbus.kafka.revisions import Revision, fingerprint
from govbus.rules.identity import citizen_id_check, uscc_check
from govbus.rules.share import ShareView

NOW_MS = 1_790_000_000_000
FRAME = header(7)
UNTIL = date(2099, 12, 31)

TEXTS = [
    "",
    "a",
    "张",
    "张三",
    "é€𝄞\U0010ffff\ud7ff\ue000",
    "阿依古丽",
    "x" * 63,
    "y" * 64,
    "长" * 90,
    "b" * 8200,
    "890301",
]
LONGS = [0, 1, -1, 63, 64, -64, -65, 999, -1000, 2**31 - 1, -(2**31), 2**61 - 1, 2**61, -(2**61), 2**63 - 1, -(2**63)]
INTS = [each for each in LONGS if -(2**31) <= each < 2**31]
DAYS = [0, -1, 59, 60, 11_016, 11_017, -719_162, -719_163, 2_932_896, 2_932_897, 2**31 - 1, 19_782, -25_509]

FIELDS: dict[str, tuple[Any, list[Any]]] = {
    "text": ("string", TEXTS),
    "maybe_text": (["null", "string"], [None, *TEXTS]),
    "text_maybe": (["string", "null"], [None, *TEXTS]),
    "whole": ("int", INTS),
    "maybe_long": (["null", "long"], [None, *LONGS]),
    "day": ({"type": "int", "logicalType": "date"}, DAYS),
    "maybe_day": (["null", {"type": "int", "logicalType": "date"}], [None, *DAYS]),
    "flag": ("boolean", [True, False]),
    "blob": ("bytes", [b"", b"\xff\xfe", bytes(100)]),
    "small": ("float", [0.0, 1.5]),
    "large": (["null", "double"], [None, 2.5]),
    "digest": ({"type": "fixed", "name": "Digest", "size": 4}, [b"abcd", b"\xff" * 4]),
    "state": ({"type": "enum", "name": "State", "symbols": [f"S{n}" for n in range(70)]}, ["S0", "S63", "S64", "S69"]),
    "nothing": ("null", [None]),
}
FORMATS = {"owner": "citizen_id", "holder": "party_id", "company": "uscc", "call": "phone"}
AVRO: dict[str, Any] = {
    "type": "record",
    "name": "thing",
    "fields": [
        {"name": "citizen_id", "type": "string"},
        {"name": "number", "type": "string"},
        *({"name": name, "type": avro_type} for name, (avro_type, _) in FIELDS.items()),
        {
            "name": "inside",
            "type": {"type": "record", "name": "Inside", "fields": [{"name": "code", "type": "string"}]},
        },
        *({"name": name, "type": ["null", "string"] if name != "owner" else "string"} for name in FORMATS),
    ],
}
PATHS = [*(field["name"] for field in AVRO["fields"] if field["name"] != "inside"), "inside.code"]
ASKS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "whole": (dict.fromkeys(PATHS, "pass"), None),
    "masked": (
        {
            "number": {"mask": {"last": 2}},
            "text": {"mask": {"first": 1, "last": 2}},
            "maybe_text": {"generalise": {"division": 4}},
            "whole": {"generalise": {"band": 1000}},
            "maybe_long": {"generalise": {"band": 2**60}},
            "day": {"generalise": "year"},
            "maybe_day": {"generalise": "month"},
            "text_maybe": "pseudonym",
            "blob": "null",
            "state": "pass",
            "flag": "pass",
        },
        {"any": [{"state": {"in": ["S0", "S69"]}}, {"flag": {"equals": True}}]},
    ),
    "hidden": ({"citizen_id": "pseudonym", "number": "pass", "text": "pass"}, {"text": {"prefix": "张"}}),
    "few": (
        {"citizen_id": "pass", "number": "pass", "inside.code": "pass"},
        {"inside.code": {"range": {"from": "a", "to": "z"}}},
    ),
}


def dataset(key: tuple[str, ...]) -> CompiledDataset:
    """A dataset with every type that a slot can have, and views with every mask."""
    contact = Contact(role="test")
    grants = tuple(
        Grant(to=name, purpose="test", legal_basis="test", until=UNTIL, fields=fields)
        for name, (fields, _) in ASKS.items()
    )
    fields = {path: FieldEntry(title=path, grade="L1", format=FORMATS.get(path)) for path in PATHS}
    declared = Dataset(
        department="police", dataset="thing", title="物", resource_code="101001/000001", subject="citizen_id", key=key,
        share="conditional", update=Update(cycle="daily"), region="890000", legal_basis="test", contact=contact,
        fields=fields, grants=grants, avro=AVRO,
        checks=({"rule": "id_of_sex", "id": "owner", "is": "female", "on_failure": "flag"},),
    )  # fmt: skip
    asks = {
        f"{name}.test": Ask(
            subscriber=name, ask="test", purpose="test", legal_basis="test", scenario="test", until=UNTIL,
            datasets={"police.thing": AskedDataset(fields=fields, rows=rows)}, delivery={"kind": "topic"},
        )
        for name, (fields, rows) in ASKS.items()
    }  # fmt: skip
    city = City(city="test", title="test", division="890000", partitions=2, replication_factor=1, min_insync_replicas=1)
    catalogue = Catalogue(city=city, datasets={"police.thing": declared}, asks=asks)
    views = [view for view in share_views(catalogue) if isinstance(view, ShareView)]
    assert len(views) == len(ASKS)
    secret = bytes(range(32))
    revision = Revision(
        number=1, applied_at="", catalogue=catalogue, schema_ids={"police.thing": ((7, record_schema(AVRO)),)},
        view_schema_ids={view.id: 100 + number for number, view in enumerate(views)}, deleted_schema_id=8,
        pseudonym_keys={f"{view.subscriber}.{view.purpose}": fingerprint(secret) for view in views},
    )  # fmt: skip
    return CompiledRevision(revision, lambda _name, _mark: secret).datasets["police.thing"]


def citizen_id(rng: Random) -> str:
    """A citizen id, now and then one that cannot be."""
    day = rng.choice(["19900228", "20000229", "19000228", "18000101", "21991231", "19691130"])
    # Few men, because a check of `dataset` fails them and what it fails is not usual.
    first17 = f"89{rng.randint(0, 9999):04}{day}{rng.randint(0, 499) * 2 + (rng.random() < 0.05):03}"
    return first17 + citizen_id_check(first17)


def spoilt_id(rng: Random) -> str:
    wrong = rng.choice(["19000229", "19900431", "17991231", "22000101", "19901301", "19900100", "1990x101"])
    first17 = f"89{rng.randint(0, 9999):04}{wrong}{rng.randint(0, 999):03}"
    if not first17.isdigit():
        return first17 + "1"
    return rng.choice(
        [
            first17 + citizen_id_check(first17),
            citizen_id(rng)[:-1] + rng.choice("0X5x"),
            "0" + citizen_id(rng)[1:],
            citizen_id(rng) + "0",
            "",
        ]
    )


def uscc(rng: Random) -> str:
    first17 = "91" + "890301" + "".join(rng.choice("0123456789ABCDEFGHJKLMNPQRTUWXY") for _ in range(9))
    return first17 + (uscc_check(first17) if rng.random() < 0.98 else rng.choice("I0"))


def formatted(rng: Random, name: str) -> str | None:
    good: dict[str, Callable[[], str]] = {
        "owner": lambda: citizen_id(rng),
        "holder": lambda: rng.choice([citizen_id(rng), uscc(rng)]),
        "company": lambda: uscc(rng),
        "call": lambda: rng.choice([*["13912345678", "0108765432"] * 20, "12"]),
    }
    if name != "owner" and rng.random() < 0.3:
        return None
    return spoilt_id(rng) if rng.random() < 0.03 else good[name]()


def message(
    rng: Random, key: tuple[str, ...], known: list[tuple[str, str]], schema: Any, at: int
) -> tuple[bytes, bytes]:
    """A key and a record of version *at*, most of them usual, with values from the edges of what there is."""
    subject, number = rng.choice(known)
    version = NOW_MS * 1000 + at
    if rng.random() < 0.1:
        ahead = NOW_MS * 1000 + 3_600_000_000
        version = rng.choice([version - 5, ahead, ahead + 1, 0, 1, -5, 2**55 - 1, 2**55, 2**62, 2**62 + 1])
    record: dict[str, Any] = {
        "_version": version,
        "_changed_at": rng.choice([0, NOW_MS * 1000, NOW_MS * 1000 - 1, -1, -(2**62)]),
        "citizen_id": subject,
        "number": number,
        "inside": {"code": rng.choice(TEXTS)},
        **{name: rng.choice(values) for name, (_, values) in FIELDS.items()},
        **{name: formatted(rng, name) for name in FORMATS},
    }
    for name, _ in FIELDS.items():
        # Edges at which a view is withheld are few, or hardly a record would be shown.
        if name.endswith("day") and rng.random() < 0.8:
            record[name] = rng.choice(DAYS[:6])
        if name == "maybe_long" and rng.random() < 0.8:
            record[name] = rng.choice(LONGS[:8])
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    value = out.getvalue()
    if rng.random() < 0.15:
        value = generate.anyhow_spoilt(value, rng)
    elif rng.random() < 0.1:
        at = rng.randrange(len(value))
        value = (
            value[:at]
            + rng.choice([b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\x00"])
            + value[at + 1 :]
        )
    sent_key = "\x1f".join(record[path] for path in key).encode()
    if rng.random() < 0.03:
        sent_key = rng.choice([sent_key + b"x", sent_key[:-1], b"", b"x\x1fy"])
    return sent_key, rng.choice([FRAME] * 30 + [header(9), b"\x01" + FRAME[1:]]) + value


def batches(rng: Random, key: tuple[str, ...], count: int) -> Iterator[list[tuple[bytes, bytes]]]:
    schema = fastavro.parse_schema(record_schema(AVRO))
    known = [
        (rng.choice([citizen_id(rng), "a", "张三", "k" * 70, ""]), rng.choice(["1", "22", "", "\x1f", "七" * 30]))
        for _ in range(20)
    ]
    known += [(citizen_id(rng), str(n)) for n in range(1_000)]
    numbers = itertools.count()
    for _ in range(count):
        yield [message(rng, key, known, schema, next(numbers)) for _ in range(rng.choice([1, 20, 100]))]


class Heard:
    """Cross-checks that only listen."""

    def __init__(self) -> None:
        self.unsettled: dict[bytes, int] = {}
        self.touched: list[Touched] = []

    def take(self, _number: int, touched: Iterable[Touched], _clock_ms: int) -> None:
        self.touched += touched

    def keep(self) -> None: ...
    def drop(self) -> None: ...


def matters(compiled: CompiledDataset, touched: Touched, unsettled: Mapping[bytes, int]) -> bool:
    """Whether a change may change a report: another record of many, or another value of a watched field."""
    key, before, after, _ = touched
    if before is None or after is None or compiled.separators or key in unsettled:
        return True
    was, now = compiled.newest.bounds(before), compiled.newest.bounds(after)
    assert compiled.watched is not None
    return any(before[was[n] : was[n + 1]] != after[now[n] : now[n + 1]] for n in compiled.watched)


@pytest.mark.parametrize("key", [("citizen_id",), ("citizen_id", "number")])
def test_many_at_once_are_taken_in_as_one_by_one(
    key: tuple[str, ...], seed: int, cases: Callable[[int], int], monkeypatch: pytest.MonkeyPatch, kernels: None
) -> None:
    """Outputs, state and counts are those of taking in each record alone, and most records come by the kernels."""
    monkeypatch.setattr(difference, "LEAST_IN_BULK", 1)
    rng = Random(f"{seed}/kernels/{key}")
    compiled = dataset(key)
    compiled.watched = tuple(compiled.newest.slot_of(path) for path in ("flag", "small", "large"))
    assert bulk_loop(compiled, tuple(compiled.views), (2, 1 << 14)) is not None
    state: dict[bytes, bytes] = {}
    ways = [PartitionExchange(0, 2, 1 << 14, state.get) for _ in range(2)]
    listeners = [Heard() for _ in ways]
    each = [
        DatasetExchange(compiled, b"\x01\x00\x00", [ActiveView(view) for view in compiled.views], checks=listener)
        for listener in listeners
    ]
    tally: Counter[str] = Counter()
    slow = ways[0].accept_each
    monkeypatch.setattr(ways[0], "accept_each", lambda arrivals: (tally.update(slow=len(arrivals)), slow(arrivals)))
    for batch in batches(rng, key, cases(1200)):
        batch = [each for each in batch if crc32(each[0].split(b"\x1f")[0]) % 2 == 0 or rng.random() < 0.02]
        arrived = [NOW_MS + rng.choice([0, 1, 5000]) for _ in batch]
        entries = [Entry(at, *pair, arrived[at]) for at, pair in enumerate(batch)]
        ways[0].accept([(each[0], e.key, e.value, e.timestamp_ms, e) for e in entries])
        ways[1].accept_each([(each[1], e.key, e.value, e.timestamp_ms, e) for e in entries])
        tally.update(all=len(batch))
        by_topic = [sorted(way.outputs, key=place) for way in ways]
        assert by_topic[0] == by_topic[1]
        assert ways[0].pending == ways[1].pending
        all_touched = set(listeners[1].touched)
        assert set(listeners[0].touched) <= all_touched
        missed = all_touched - set(listeners[0].touched)
        assert not [touched for touched in missed if matters(compiled, touched, listeners[0].unsettled)]
        tally.update(heard=len(all_touched), missed=len(missed))
        known = [stored[3:] for stored in rng.sample(sorted(state), min(len(state), 3))]
        for listener in listeners:
            listener.touched.clear()
            listener.unsettled = dict.fromkeys(known, 1)
        assert counts(each[0]) == counts(each[1])
        tally.update(output[0] for output in by_topic[0])
        tally.update(f"withdrawn {output[0]}" for output in by_topic[0] if output[1] is None)
        state.update(ways[0].pending)
        for way, one in zip(ways, each, strict=True):
            way.clear()
            one.forget_counts()
    assert tally["heard"]
    assert bool(tally["missed"]) is (len(key) == 1)
    assert tally["slow"] < tally["all"] * 0.98
    assert all(tally[view.topic] for view in compiled.views)
    assert any(tally[f"withdrawn {view.topic}"] for view in compiled.views)
