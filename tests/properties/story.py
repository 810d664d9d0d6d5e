"""A random city's life on the simulated bus: what departments say, in which order, and what must then be true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any
from zlib import crc32

from oracle import avro, cities, generate, policies, structure, views
from oracle.views import Declared, Event, Latest
from properties.simulated_bus import Died, SimulatedBus

from govbus.codec.framing import header
from govbus.codec.schemas import record_schema

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR_MS = 3_600_000
AHEAD_MICROS = 3_600_000_000
BAD_REASONS = (
    *("null_key", "not_framed", "unknown_schema", "malformed", "oversize", "key_mismatch", "wrong_partition"),
    *("invalid_value", "structural_check", "version_missing", "version_range", "version_ahead", "version_conflict"),
)


@dataclass(frozen=True)
class Said:
    """A change as the oracle knows it: under which schema its record was written, and the record (None: deleted).

    `misformatted` names the field, if any, whose text is not in the form that the field's format asks for.
    """

    version: int
    kind: avro.Record | None
    record: Any
    misformatted: str = ""
    changed_at: int = 0
    """When its source changed it, in microseconds."""


@dataclass
class Story:
    """One random case: a city in its revisions, what was published, and what the oracle knows about it."""

    rng: Random
    bus: SimulatedBus
    revisions: list[Declared] = field(default_factory=list)
    keys: dict[str, bytes] = field(default_factory=dict)
    said: dict[tuple[str, int, int], Said] = field(default_factory=dict)
    """Per (raw topic, partition, offset) of every valid change."""
    bad: Counter[str] = field(default_factory=Counter)
    """What was published to be rejected, by reason."""
    tally: Counter[str] = field(default_factory=Counter)
    versions: Counter[tuple[str, str]] = field(default_factory=Counter)
    restarted: set[str] = field(default_factory=set)
    """Datasets whose epoch was raised."""
    now_ms: int = int(START.timestamp() * 1000)
    views_seen: set[str] = field(default_factory=set)
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Failures of structural checks, by rule and consequence, as the oracle last counted them."""

    @property
    def declared(self) -> Declared:
        return self.revisions[-1]

    @property
    def partitions(self) -> int:
        return int(self.declared.city["partitions"])

    # --- revisions ----------------------------------------------------------------------------------------------------

    def draw_city(self) -> Declared:
        """Return the declarations to begin with, or what they are changed to."""
        start = START.date()
        return cities.revised(self.rng, self.declared, start) if self.revisions else cities.city(self.rng, start)

    def revise(self) -> None:
        """Declare something, or something else, and apply it."""
        self.revisions.append(self.draw_city())
        for name, ask in self.declared.asks.items():
            pair = f"{name.split('.')[0]}.{ask['purpose']}"
            if pair not in self.keys or self.rng.random() < 0.1:
                self.keys[pair] = self.rng.randbytes(32)
        for name, document in self.declared.datasets.items() if len(self.revisions) > 1 else ():
            if document["epoch"] > self.revisions[-2].datasets[name]["epoch"]:
                # The way out when bad versions froze keys: numbering starts anew, below what was said before.
                self.versions = Counter({key: at for key, at in self.versions.items() if key[0] != name})
                self.restarted.add(name)
        self.bus.apply(self.declared, self.keys)
        self.views_seen |= {
            f"{name}/{dataset}" for name, ask in self.declared.asks.items() for dataset in ask["datasets"]
        }

    # --- what departments say -----------------------------------------------------------------------------------------

    def publish(self, changes: int) -> None:
        """Publish some changes of some keys of one dataset, late ones, repeats and bad ones among them."""
        dataset = self.rng.choice(list(self.declared.datasets))
        document = self.declared.datasets[dataset]
        written = self.rng.choice(self.revisions[-2:])
        kind = avro.parse(record_schema(written.schemas[dataset]))
        assert isinstance(kind, avro.Record)
        schema_id = self.bus.registry.id_of(record_schema(written.schemas[dataset]))
        business = written.business(dataset)
        keys = [self.draw_key(dataset, business, document["key"]) for _ in range(self.rng.randint(1, 4))]
        drawn: list[tuple[str, tuple[Any, ...], int, Any]] = []
        for parts in (self.rng.choice(keys) for _ in range(changes)):
            value = self.draw_record(written, dataset, parts)
            key = views.key_of(business, value, document["key"])
            record = None if self.rng.random() < 0.2 else value
            drawn.append((key, parts, self._next_version(dataset, key, document), record))
        for key, parts, version, record in policies.disordered(self.rng, drawn):
            self.now_ms += self.rng.choice([0, 0, 1, 1000])
            changed_at = self.draw_changed_at()
            message = self._message(kind, schema_id, version, record, changed_at)
            if self.rng.random() < 0.12:
                self._publish_bad(dataset, document, kind, schema_id, key, record, message)
            elif self.rng.random() < 0.04 and record is not None:
                other = self.draw_record(written, dataset, parts)
                another = self._message(kind, schema_id, version, other, changed_at)
                self._publish_good(dataset, key, Said(version, kind, other, changed_at=changed_at), another)
            else:
                self._publish_good(dataset, key, Said(version, kind, record, changed_at=changed_at), message)

    def draw_key(self, _dataset: str, business: avro.Record, key: list[str]) -> tuple[Any, ...]:
        """Return the key fields of one of a few records of a dataset."""
        small = Random(self.rng.randint(0, 5))
        return tuple(generate.key_value(small, business.field(path).type) for path in key)  # type: ignore[union-attr]

    def draw_record(self, written: Declared, dataset: str, key: tuple[Any, ...]) -> Any:
        """Return a record under *key* as the declarations *written* have it."""
        return cities.record_of(self.rng, written, dataset, key)

    def draw_changed_at(self) -> int:
        """Return when a source changed what it publishes now, in microseconds."""
        return self.now_ms * 1000 - self.rng.choice([0, 10**6])

    def wait(self) -> None:
        """Let some time pass."""
        self.now_ms += self.rng.choice([1, 20, 40]) * HOUR_MS

    def _next_version(self, dataset: str, key: str, document: Mapping[str, Any]) -> int:
        least = self.now_ms * 1000 if document["versions"] == "time" else 0
        if self.rng.random() < 0.05 and document["versions"] == "time":
            least = self.now_ms * 1000 + AHEAD_MICROS - 50
        if dataset in self.restarted:
            least -= self.rng.choice([0, 10**11]) if least else 0
        version = max(self.versions[dataset, key] + self.rng.choice([1, 1, 2, 70]), least)
        self.versions[dataset, key] = version
        return version

    def _message(
        self, kind: avro.Record, schema_id: int, version: int, record: Any, changed_at: int
    ) -> tuple[bytes | None, list[tuple[str, bytes]]]:
        if record is None:
            headers = [("version", str(version).encode()), ("changed_at", str(self.now_ms * 1000).encode())]
            return None, headers[: self.rng.randint(1, 2)]
        whole = {"_version": version, "_changed_at": changed_at} | record
        blocks = self.rng if self.rng.random() < 0.2 else None
        return header(schema_id) + generate.joined(list(generate.tokens(kind, whole, blocks))), []

    def _partition(self, key: str) -> int:
        return crc32(key.split("\x1f")[0].encode()) % self.partitions

    def _publish_good(
        self,
        dataset: str,
        key: str,
        said: Said,
        message: tuple[bytes | None, list[tuple[str, bytes]]],
    ) -> None:
        partition = self._partition(key)
        at = self.bus.publish(f"raw.{dataset}", partition, key.encode(), message[0], self.now_ms, message[1])
        if self.declared.datasets[dataset]["versions"] == "time" and said.version > self.now_ms * 1000 + AHEAD_MICROS:
            self.bad["version_ahead"] += 1
            return
        self.said[f"raw.{dataset}", partition, at] = said

    def _publish_bad(
        self,
        dataset: str,
        document: Mapping[str, Any],
        kind: avro.Record,
        schema_id: int,
        key: str,
        record: Any,
        message: tuple[bytes | None, list[tuple[str, bytes]]],
    ) -> None:
        value, headers = message
        place, raw_key = self._partition(key), key.encode()
        reasons = ["null_key", "version_range", "version_ahead", *(["wrong_partition"] if self.partitions > 1 else [])]
        if value is None:
            reasons += ["version_missing", "version_missing"]
        else:
            reasons += ["not_framed", "unknown_schema", "foreign_schema", "malformed", "oversize", "key_mismatch"]
            if any(entry.get("format") for entry in document["fields"].values()):
                reasons += ["invalid_value"] * 3
        reason = self.rng.choice(reasons)
        match reason:
            case "null_key":
                sent_key = self.rng.choice([None, b""])
                self.bus.publish(f"raw.{dataset}", place, sent_key, value, self.now_ms, headers)
                self.bad[reason] += 1
                return
            case "wrong_partition":
                place = (place + 1) % self.partitions
            case "version_missing":
                headers = self.rng.choice([[], [("version", b"x")], [("version", b"")], [("version", b"-3")]])
            case "version_range" | "version_ahead":
                bad = self.rng.choice([0, 2**62 + 1]) if reason == "version_range" else self._too_late(document)
                if bad is None:
                    return
                value, headers = self._message(kind, schema_id, bad, record, self.draw_changed_at())
                if value is None:
                    headers = [("version", str(bad).encode())]
            case "not_framed":
                value = self.rng.choice([b"", b"\x00", b"\x00\x00\x00\x01", b"\x01" + value[1:], b'{"a": 1}'])
            case "unknown_schema":
                value = header(4_000_000_000) + value[5:]
            case "foreign_schema":
                value, reason = header(self.bus.deleted_id) + value[5:], "unknown_schema"
            case "oversize":
                value += bytes(8192)
            case "key_mismatch":
                raw_key = self.rng.choice([raw_key + b"x", raw_key + b"\x1fx", b"x" + raw_key, b"\xff"])
                place = crc32(raw_key.split(b"\x1f")[0]) % self.partitions
            case "malformed":
                value = self._malformed(kind, value)
            case "invalid_value":
                path = self._formatted(document, record)
                if path is None:
                    return
                spoilt = record | {path: self.rng.choice(["", "89", "八九", "８９０３０１", "1" * 70])}
                value, headers = self._message(kind, schema_id, 1, spoilt, self.draw_changed_at())
                at = self.bus.publish(f"raw.{dataset}", place, raw_key, value, self.now_ms, headers)
                self.said[f"raw.{dataset}", place, at] = Said(1, kind, spoilt, path)
                return
        self.bus.publish(f"raw.{dataset}", place, raw_key, value, self.now_ms, headers)
        self.bad[reason] += 1

    def _too_late(self, document: Mapping[str, Any]) -> int | None:
        return self.now_ms * 1000 + AHEAD_MICROS + 1 if document["versions"] == "time" else None

    def _malformed(self, kind: avro.Record, value: bytes) -> bytes:
        while True:
            spoilt = generate.anyhow_spoilt(value[5:], self.rng)
            try:
                avro.decode(kind, spoilt)
            except avro.Malformed:
                return value[:5] + spoilt

    def _formatted(self, document: Mapping[str, Any], record: Any) -> str | None:
        """A field of the record that has a format and a text, if there is one."""
        formatted = [path for path, entry in document["fields"].items() if "format" in entry and "." not in path]
        return next((path for path in formatted if isinstance(record.get(path), str)), None)

    # --- what must be true --------------------------------------------------------------------------------------------

    @property
    def running(self) -> Declared:
        return self.revisions[self.bus.revision.number - 1]

    @property
    def pseudonym_keys(self) -> dict[str, bytes]:
        marks = self.bus.revisions[self.bus.revision.number].pseudonym_keys
        return {name: self.bus.keys[name, mark] for name, mark in marks.items()}

    def taken_in(self) -> tuple[dict[str, Latest], Counter[str]]:
        """What the oracle holds of everything that was published, each record under the revision that took it in."""
        self.failed = Counter()
        held: dict[str, Latest] = {}
        rejects = Counter(self.bad)
        for topic, partition in [place for place in self.bus.logs if place[0].startswith("raw.")]:
            dataset = topic.removeprefix("raw.")
            for entry in self.bus.logs[topic, partition]:
                said = self.said.get((topic, partition, entry.at))
                if said is None:
                    continue
                under = self.revisions[self.bus.processed_under[topic, partition, entry.at] - 1]
                if said.misformatted in under.datasets[dataset]["fields"]:
                    rejects["invalid_value"] += 1
                    continue
                failing = contradictions(under, dataset, said)
                refused = next((each for each in failing if each["on_failure"] == "reject"), None)
                if refused is not None:
                    rejects["structural_check"] += 1
                    self.failed[refused["rule"], "reject"] += 1
                    continue
                assert entry.key is not None
                event = Event(
                    dataset,
                    entry.key.decode(),
                    said.version,
                    None if said.record is None else said,
                    under.datasets[dataset]["epoch"],
                )
                verdict = held.setdefault(dataset, Latest()).add(event, partial(same, under, dataset))
                rejects["version_conflict"] += verdict == "conflict"
                if verdict == "accepted":
                    self.failed.update((each["rule"], "flag") for each in failing)
        return held, rejects

    def check(self) -> None:
        """At rest: share topics are the oracle's views, `current` the latest records, every record is accounted for."""
        held, rejects = self.taken_in()
        assert +self.bus.rejected == +rejects
        assert self.bus.failed == self.failed
        verdicts = sum((latest.verdicts for latest in held.values()), Counter[str]())
        del verdicts["conflict"]
        assert +self.bus.verdicts == +verdicts
        for dataset, latest in held.items():
            assert {key.decode() for key in self.bus.compacted(f"current.{dataset}")} == set(latest.held)
        now = datetime.fromtimestamp(self.now_ms / 1000, UTC)
        for view in sorted(self.views_seen):
            self.check_view(view, held, now)

    def check_view(self, view: str, held: Mapping[str, Latest], now: datetime) -> None:
        ask, dataset = view.split("/")
        found = self.bus.compacted(f"share.{ask}.{dataset}")
        wanted: dict[bytes, bytes] = {}
        if dataset in self.running.asks.get(ask, {"datasets": {}})["datasets"]:
            latest = held[dataset].records() if dataset in held else {}
            records = {key: resolved(self.running, dataset, said) for key, said in latest.items()}
            table = views.share_rows(self.running, ask, dataset, records, now, self.pseudonym_keys)
            if table.reason is None:
                frame = header(self.bus.revisions[self.bus.revision.number].view_schema_ids[view])
                wanted = {key: frame + data for key, data in table.encoded().items()}
        assert {key: entry.value for key, (_, entry) in found.items()} == wanted, view
        self.tally["rows"] += len(wanted)
        for key, (partition, entry) in found.items():
            assert partition == crc32(key.split(b"\x1f")[0]) % self.partitions
            assert not entry.sent_headers
            for path in self.hidden(ask, dataset):
                assert cities.canary(dataset, path).encode() not in key + (entry.value or b""), (view, path)

    def hidden(self, ask: str, dataset: str) -> list[str]:
        """The fields that an ask is shown nothing of."""
        allowed = views.permission(self.running, ask, dataset)
        shown = () if isinstance(allowed, str) else tuple(allowed.fields)
        every = policies.paths(self.running.business(dataset))
        return [path for path in every if not any(f"{path}.".startswith(f"{each}.") for each in shown)]


def resolved(under: Declared, dataset: str, said: Said) -> Any:
    """The business fields of a record as the newest schema of a revision has them."""
    assert said.kind is not None
    written = avro.Record(said.kind.name, [each for each in said.kind.fields if not each.name.startswith("_")])
    return avro.resolve(written, under.business(dataset), said.record)


def contradictions(under: Declared, dataset: str, said: Said) -> list[Mapping[str, Any]]:
    """The structural checks of a revision that a record fails, as it was written."""
    if said.kind is None or said.record is None:
        return []
    return structure.failing(under.datasets[dataset].get("checks", ()), said.kind, said.record)


def same(under: Declared, dataset: str, one: Said | None, other: Said | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(resolved(under, dataset, one) == resolved(under, dataset, other))


# A story, told at random ----------------------------------------------------------------------------------------------


def rest(story: Story) -> None:
    """Let the bus take in all there is, however often it dies on the way."""
    bus = story.bus
    while True:
        try:
            if not bus.partitions:
                bus.start()
            # A worker that starts again first hears a tick that was on its way when the last one died.
            known_ms = max(bus.ticked.values(), default=0)
            bus.tick(story.now_ms - story.rng.choice([0, 1, 1000]) if story.now_ms - known_ms > 1000 else story.now_ms)
            while any(bus.step(number, story.rng.choice([1, 3, 20])) for number in bus.partitions):
                pass
            bus.tick(story.now_ms)
            return
        except Died:
            story.tally["deaths"] += 1
            bus.kill(lose_state=story.rng.random() < 0.3)
            if story.rng.random() < 0.2:
                # The next revision finds views in the middle of their change to the one before.
                story.revise()


def tell(story: Story, acts: int, *, deadly: bool) -> None:
    bus, rng = story.bus, story.rng
    bus.deadly = deadly
    story.revise()
    for _ in range(acts):
        act = rng.choice(["publish"] * 5 + ["rest"] * 2 + ["revise", "wait", "compact", "kill"])
        story.tally[act] += 1
        match act:
            case "publish":
                story.publish(rng.randint(1, 12))
            case "rest":
                rest(story)
                story.check()
            case "wait":
                story.wait()
            case "revise":
                bus.kill()
                story.revise()
            case "compact":
                bus.compact()
            case "kill":
                bus.kill(lose_state=rng.random() < 0.5)
    rest(story)
    story.check()
    bus.kill()
