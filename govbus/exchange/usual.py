"""The loop for usual records, generated per dataset and views: nearly all there are, at a fraction of the cost.

A usual record is framed under the newest schema, canonical, with its right key on its right partition, valid, with a
version in microseconds, and new or newer than what is held under the same schema. For such a record the generated loop
does exactly what `PartitionExchange.accept_each` does, without calls between the steps: the walk over its bytes, the
checks and every view's projection stand in one function. Whatever is not usual, for whatever reason, is handed to
`accept_each`, which alone decides about rejects, stale versions, duplicates, deletions and older schemas. A property
test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

from govbus.codec.projection import Unmaskable, splice
from govbus.codec.structure import RecordSlices, slots_of, suspicions
from govbus.codec.walk import Malformed, NonCanonical, read_time, write_long
from govbus.exchange.compiled import CompiledDataset, CompiledView
from govbus.rules.mask import pseudonymiser
from govbus.rules.version import MAX_AHEAD_MICROSECONDS

Loop = Callable[..., None]
"""``(exchange, arrivals, partition, held, pending, outputs, accept_each)``; see `PartitionExchange.accept`."""

HOUR_MS = 3_600_000


def usual_loop(dataset: CompiledDataset, views: tuple[CompiledView, ...], limits: tuple[int, int]) -> Loop | None:
    """Return the loop of *dataset* for exactly these *views*, made once; None where its key is not made of texts.

    *limits* are the number of partitions and the most bytes a record may have.
    """
    known = (tuple(id(view) for view in views), limits)
    if known not in dataset.loops:
        dataset.loops[known] = _Loop(dataset, views, *limits).function()
    return dataset.loops[known]


class _Loop:
    def __init__(
        self, dataset: CompiledDataset, views: tuple[CompiledView, ...], partitions: int, max_record_bytes: int
    ) -> None:
        self.dataset, self.views = dataset, views
        self.partitions, self.max_record_bytes = partitions, max_record_bytes
        walk, names = dataset.newest.source()
        self.walk = walk
        self.names: dict[str, Any] = {
            **names,
            "Malformed": Malformed,
            "NonCanonical": NonCanonical,
            "Unmaskable": Unmaskable,
            "crc32": crc32,
            "read_time": read_time,
            "write_long": write_long,
            "FRAME": dataset.newest_frame,
            "CURRENT": dataset.current_topic,
            "bounds": dataset.newest.bounds,
        }

    def function(self) -> Loop | None:
        key = self._key()
        if key is None or self.dataset.epoch:
            return None
        subject = key[0]
        lines = [
            "def loop(exchange, arrivals, partition, held, pending, outputs, accept_each):",
            "    prefix = exchange.state_prefix",
            "    append, pending_get = outputs.append, pending.get",
            *(
                [
                    "    touch = exchange.touched.append",
                    "    unsettled = () if exchange.checks is None else exchange.checks.unsettled",
                    "    untaken = set()",
                ]
                if self.dataset.watched is not None
                else []
            ),
            "    sent_at, sent_changed = exchange.sent_at.append, exchange.sent_changed.append",
            "    limit_for, latest, accepted = -1, b'', 0",
            "    changed_raw, changed_at = b'', 0",
            *(f"    up{n} = re{n} = un{n} = wi{n} = 0" for n in range(len(self.views))),
            "    for arrival in arrivals:",
            "        _, key, v, arrived_ms, _ = arrival",
            f"        if v is None or v[:5] != FRAME or len(v) > {self.max_record_bytes}:",
            "            accept_each((arrival,)); continue",
            "        try:",
            *(f"        {line}" for line in self.walk),
            "        except (Malformed, NonCanonical, IndexError, UnicodeDecodeError):",
            "            accept_each((arrival,)); continue",
            *self._version_limit(),
            f"        if ({' or '.join(self._unusual(key, subject))}):",
            "            accept_each((arrival,)); continue",
            "        state_key = prefix + key",
            "        stored = pending_get(state_key)",
            "        if stored is None: stored = held(state_key)",
            "        if stored is not None:",
            "            if stored[:5] != FRAME:",
            "                accept_each((arrival,)); continue",
            "            o = bounds(stored)",
            "            if o[1] != 13 or stored[12:4:-1] >= v[12:4:-1]:",
            "                accept_each((arrival,)); continue",
            *self._views(),
            "        accepted += 1",
            "        pending[state_key] = v",
            "        append((CURRENT, v, key, partition, None, None, arrived_ms, None))",
            *self._touched(),
            *self._differences(),
            "    exchange.accepted += accepted",
        ]
        for n in range(len(self.views)):
            lines += [
                f"    active = exchange.views[{n}]",
                f"    active.upserted += up{n}; active.retracted += re{n}",
                f"    active.unchanged += un{n}; active.withheld += wi{n}",
            ]
        scope = dict(self.names)
        exec(compile("\n".join(lines), f"<usual records of {self.dataset.id}>", "exec"), scope)
        function: Loop = scope["loop"]
        return function

    def _key(self) -> list[int] | None:
        """Return the slots of the key fields, or None where one is not a plain text."""
        newest = self.dataset.newest
        slots = [newest.slot_of(path) for path in self.dataset.key_paths]
        return slots if all(newest.slots[slot].type == "string" for slot in slots) else None

    def _unusual(self, key: list[int], subject: int) -> list[str]:
        """Return the expressions any of which makes a record one for `accept_each`."""
        texts = [f"v[b{slot} + 1:b{slot + 1}]" for slot in key]
        joined = " + b'\\x1f' + ".join(texts)
        subject_text = "key" if len(key) == 1 else texts[0]
        found = [*(f"v[b{slot}] > 127" for slot in key), *(f"b{slot + 1} - b{slot} < 2" for slot in key)]
        found += [f"{joined} != key"]
        found += ["b'\\x1f' in key" if len(key) == 1 else f"key.count(b'\\x1f') != {len(key) - 1}"]
        found += [f"crc32({subject_text}) % {self.partitions} != partition"]
        found += ["b1 != 13", "v[5] & 1"]
        if self.dataset.time_based:
            found += ["len(latest) != 8 or v[12:4:-1] > latest"]
        for number, (path, test) in enumerate(self.dataset.formats.items()):
            slot = self.dataset.newest.slot_of(path)
            self.names[f"is_canonical{number}"] = test
            if self.dataset.newest.slots[slot].type == "string":
                text = "key" if [slot] == key else f"v[b{slot} + 1:b{slot + 1}]"
                found += [f"v[b{slot}] > 127", f"not is_canonical{number}({text})"]
            else:
                # Optional: one byte for the branch; null is always in order, and takes no more than that byte.
                text = f"v[b{slot} + 2:b{slot + 1}]"
                found.append(
                    f"(b{slot + 1} - b{slot} > 1 and (v[b{slot} + 1] > 127 or not is_canonical{number}({text})))"
                )
        # After the formats: ids and numbers now have their lengths.
        return found + suspicions(self.dataset.checks, slots_of(self.dataset.newest), RecordSlices(), self.names)

    def _version_limit(self) -> list[str]:
        if not self.dataset.time_based:
            return []
        return [
            "        if arrived_ms != limit_for:",
            "            limit_for = arrived_ms",
            f"            latest = write_long(arrived_ms * 1000 + {MAX_AHEAD_MICROSECONDS})[::-1]",
        ]

    def _views(self) -> list[str]:
        """Return the lines that leave each view's value in ``n0``, ``n1`` and so on: None where it is withheld."""
        lines: list[str] = []
        for n, view in enumerate(self.views):
            spliced = splice(
                view.view,
                self.dataset.newest,
                self.dataset.newest,
                schema_id=view.schema_id,
                pseudonym_key=view.pseudonym_key,
                names=self.names,
                bound="b{}".format,
                variable=f"m{n}_",
            )
            assert spliced is not None
            indent = "            "
            lines.append(f"{indent}n{n} = None")
            if spliced.grant_rows is not None:
                lines.append(f"{indent}if {spliced.grant_rows}:")
                indent += "    "
            lines += [f"{indent}{name} = {expression}" for name, expression in spliced.masked]
            if spliced.ask_rows is not None:
                lines.append(f"{indent}if {spliced.ask_rows}:")
                indent += "    "
            lines.append(f"{indent}n{n} = {spliced.result}")
        if not lines:
            return []
        return ["        try:", *lines, "        except Unmaskable:", "            accept_each((arrival,)); continue"]

    def _touched(self) -> list[str]:
        """Return the lines that hand a record to the cross-checks where it may change what its dataset reports."""
        if self.dataset.watched is None:
            return []
        if len(self.dataset.key_paths) > 1:
            # Which of a subject's records speaks for its dataset follows from their versions.
            return ["        touch((key, stored, v, arrived_ms))"]
        spans: list[list[int]] = []
        for slot in self.dataset.watched:
            if spans and spans[-1][1] == slot:
                spans[-1][1] = slot + 1
            else:
                spans.append([slot, slot + 1])
        differs = [f"v[b{first}:b{end}] != stored[o[{first}]:o[{end}]]" for first, end in spans]
        # Whether a key touched before in this loop becomes unsettled shows only when the checks have taken it.
        test = " or ".join(["stored is None", *differs, "key in unsettled", "key in untaken"])
        return [f"        if {test}:", "            touch((key, stored, v, arrived_ms)); untaken.add(key)"]

    def _differences(self) -> list[str]:
        if not self.views:
            return []
        lines = ["        changed_ms = 0", "        if stored is None:"]
        for n, view in enumerate(self.views):
            lines += [f"            if n{n} is None:", f"                un{n} += 1; wi{n} += 1", "            else:"]
            lines += [f"                {line}" for line in (f"up{n} += 1", *self._sent(n, view))]
        lines.append("        else:")
        for n, view in enumerate(self.views):
            self.names[f"project{n}"] = _total(view.project[self.dataset.newest_frame])
            lines += [
                f"            if n{n} is None: wi{n} += 1",
                f"            if n{n} == project{n}(stored, o): un{n} += 1",
                "            else:",
                f"                if n{n} is None: re{n} += 1",
                f"                else: up{n} += 1",
                *(f"                {line}" for line in self._sent(n, view)),
            ]
        return lines

    def _sent(self, n: int, view: CompiledView) -> list[str]:
        self.names[f"TOPIC{n}"] = view.topic
        lines = [
            "if not changed_ms:",
            # Whole files and tables change at one time: read it again only where it differs from the last one.
            "    if v[b1:b2] != changed_raw:",
            "        changed_raw = v[b1:b2]",
            "        changed_at = read_time(v, b1) // 1000",
            "    changed_ms = max(1, min(arrived_ms, changed_at))",
            "    sent_at(arrived_ms); sent_changed(changed_ms)",
        ]
        if view.clear_key:
            return [*lines, f"append((TOPIC{n}, n{n}, key, partition, None, None, changed_ms, None))"]
        assert view.pseudonym_key is not None
        self.names[f"shown{n}"] = pseudonymiser(view.pseudonym_key)
        hour = f"arrived_ms - arrived_ms % {HOUR_MS}"
        return [
            *lines,
            f"k = shown{n}(key)",
            f"append((TOPIC{n}, n{n}, k, crc32(k) % {self.partitions}, None, None, {hour}, None))",
        ]


def _total(project: Callable[[bytes, Any], bytes | None]) -> Callable[[bytes, Any], bytes | None]:
    """Return *project* with what it cannot mask withheld, as it was when it came."""

    def shown(value: bytes, bounds: Any) -> bytes | None:
        try:
            return project(value, bounds)
        except Unmaskable:
            return None

    return shown
