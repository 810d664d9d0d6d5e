"""A share view as a function from a record's bytes to the subscriber's bytes, generated once per writer schema.

The generated function tests the row conditions on slices, lays masks over the slices that need one, and joins the rest
as they are. A record written under an older schema is spliced too where the types it shares with the newest one are
structurally the same; otherwise it is first brought into the newest schema (`govbus.codec.upgrade`): slower, same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from govbus.codec.framing import header
from govbus.codec.reader import Bounds, RecordReader
from govbus.codec.row_test import EPOCH, RowTest
from govbus.codec.schemas import AvroType, plain
from govbus.codec.upgrade import encoded_default, upgrade
from govbus.codec.view_schema import masked_type
from govbus.codec.walk import read_long, text_start, write_long
from govbus.rules import condition as condition_rules
from govbus.rules import mask as mask_rules
from govbus.rules.mask import GeneraliseBand, GeneraliseDate, GeneraliseDivision, Keep, Mask, Null, Pass, Pseudonym
from govbus.rules.share import ShareView

Project = Callable[[bytes, Bounds], bytes | None]
"""From a canonical framed record and its bounds to the framed share value, or None where a row condition withholds it."""

MEMO_ENTRIES = 30_000


class Unmaskable(ValueError):
    """A value that its mask cannot express (a date outside the years 1 to 9999): the row is withheld."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What one view does to records of one writer schema. `sliced` tells whether it takes the generated way."""

    project: Project
    sliced: bool


def compile_view(
    view: ShareView, writer: RecordReader, newest: RecordReader, *, schema_id: int, pseudonym_key: bytes | None
) -> Projection:
    """Return the projection of *view* for records that *writer* reads.

    *newest* reads the dataset's newest schema, from which the view's own schema (registered as *schema_id*) is made.
    *pseudonym_key* (32 bytes) is needed where a field's mask is a pseudonym. Raises KeyError for unknown paths and
    ValueError for masks that do not apply: declarations that `govbus check` refuses.
    """
    frame = header(schema_id)
    if writer is newest or _can_splice(view, writer, newest):
        return Projection(_Sliced(view, writer, newest, frame, pseudonym_key).projection(), sliced=True)
    brought = upgrade(writer.schema, newest.schema)
    project = _Sliced(view, newest, newest, frame, pseudonym_key).projection()

    def through_the_newest(value: bytes, _bounds: Bounds) -> bytes | None:
        value = brought(value)
        return project(value, newest.bounds(value))

    return Projection(through_the_newest, sliced=False)


def _can_splice(view: ShareView, writer: RecordReader, newest: RecordReader) -> bool:
    """Whether every field the view looks at has the newest type in *writer*, or a default that stands for it."""
    conditions = [each for each in (view.grant_rows, view.ask_rows) if each is not None]
    tested = {test.path for each in conditions for test in condition_rules.tests(each)}
    defaults = _defaults(newest)
    return all(
        _shape(writer, path) == _shape(newest, path) if path in writer.spans else path in defaults
        for path in tested | set(view.masks)
    )


class _Sliced:
    """Writes the source of one projection: ``v`` is the record, ``b`` its bounds."""

    def __init__(
        self, view: ShareView, writer: RecordReader, newest: RecordReader, frame: bytes, key: bytes | None
    ) -> None:
        self.view, self.writer, self.newest, self.frame, self.key = view, writer, newest, frame, key
        self.defaults = _defaults(newest)
        self.names: dict[str, Any] = {}
        self.computed: dict[str, str] = {}
        """Masked fields that the ask's condition looks at, already in a variable."""

    def projection(self) -> Project:
        lines: list[str] = []
        masks = self.view.masks
        if self.view.grant_rows is not None:
            lines.append(f"    if not {RowTest(self.names, self._as_it_is).is_true(self.view.grant_rows)}: return None")
        if self.view.ask_rows is not None:
            for path in dict.fromkeys(test.path for test in condition_rules.tests(self.view.ask_rows)):
                if not isinstance(masks[path], Pass):
                    lines.append(f"    m{len(self.computed)} = {self._part(path, masks[path])}")
                    self.computed[path] = f"m{len(self.computed)}"
            lines.append(f"    if not {RowTest(self.names, self._as_shown).is_true(self.view.ask_rows)}: return None")
        in_order = sorted(masks, key=lambda path: self.newest.spans[path][0])
        parts = [self._name(self.frame), *(self._part(path, masks[path]) for path in in_order)]
        source = "\n".join(["def project(v, b):", *lines, f"    return {self._joined(parts)}"])
        scope = dict(self.names)
        exec(compile(source, f"<view {self.view.id}>", "exec"), scope)
        function: Project = scope["project"]
        return function

    def _part(self, path: str, mask: Mask) -> str:
        """Return the expression of the bytes that stand for *path* in the view; empty where it takes none."""
        if isinstance(mask, Null):
            return ""
        if path in self.computed:
            return self.computed[path]
        whole, _ = self._span(path)
        if isinstance(mask, Pass):
            return whole
        slot = self.newest.slots[self.newest.slot_of(path)]
        return f"{self._name(masker(mask, slot.type, self.key))}({whole})"

    def _span(self, path: str) -> tuple[str, AvroType]:
        first, end = self.newest.spans[path]
        avro_type: AvroType = "record"
        if end == first + 1:
            avro_type = self.newest.slots[first].type
        if path not in self.writer.spans:
            return self._name(self.defaults[path]), avro_type
        first, end = self.writer.spans[path]
        return f"v[b[{first}]:b[{end}]]", avro_type

    def _as_it_is(self, path: str) -> tuple[str, AvroType]:
        return self._span(path)

    def _as_shown(self, path: str) -> tuple[str, AvroType]:
        whole, avro_type = self._span(path)
        if path in self.computed:
            return self.computed[path], masked_type(avro_type, self.view.masks[path], "", path)
        return whole, avro_type

    def _name(self, value: object) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def _joined(self, parts: list[str]) -> str:
        """Return the parts' concatenation, slices that touch made one."""
        merged: list[str] = []
        for part in filter(None, parts):
            begin = part.removeprefix("v[").partition(":")[0]
            if part.startswith("v[") and merged and merged[-1].endswith(f":{begin}]"):
                merged[-1] = merged[-1].removesuffix(f"{begin}]") + part.partition(":")[2]
            else:
                merged.append(part)
        return " + ".join(merged)


def _defaults(newest: RecordReader) -> dict[str, bytes]:
    """Return, per top-level field of the newest schema that has a default, the bytes that stand for its absence."""
    found: dict[str, bytes] = {}
    for field in newest.schema["fields"]:
        if "default" in field and field["name"] in newest.spans:
            first, end = newest.spans[field["name"]]
            if end == first + 1:
                found[field["name"]] = encoded_default(field)
    return found


def _shape(reader: RecordReader, path: str) -> object:
    """Return what two types must share for their bytes to mean the same: everything but names, docs and defaults."""
    first, end = reader.spans[path]
    return tuple(_bare(slot.type, ()) for slot in reader.slots[first:end])


def _bare(avro_type: AvroType, inside: tuple[int, ...]) -> object:
    resolved = plain(avro_type)
    if isinstance(resolved, str):
        return resolved
    if isinstance(resolved, list):
        return ("union", *(_bare(branch, inside) for branch in resolved))
    if id(resolved) in inside:
        return ("again", inside.index(id(resolved)))
    inside = (*inside, id(resolved))
    kind = resolved["type"]
    logical = tuple(resolved.get(word) for word in ("logicalType", "precision", "scale", "size"))
    match kind:
        case "record":
            return ("record", *((field["name"], _bare(field["type"], inside)) for field in resolved["fields"]))
        case "array":
            return ("array", _bare(resolved["items"], inside))
        case "map":
            return ("map", _bare(resolved["values"], inside))
        case "enum":
            return ("enum", *resolved["symbols"])
    return (kind, *logical) if any(part is not None for part in logical) else kind


def masker(mask: Mask, avro_type: AvroType, key: bytes | None) -> Callable[[bytes], bytes]:
    """Return *mask* as a function from a field's bytes to the masked field's bytes.

    Raises ValueError where the mask does not apply to the type (the catalogue's check refuses such declarations).
    """
    resolved = plain(avro_type)
    if isinstance(resolved, list):
        inner = {index: _plain_masker(mask, branch, key) for index, branch in enumerate(resolved) if branch != "null"}

        def masked(slot: bytes) -> bytes:
            index, start = read_long(slot, 0)
            return slot if index not in inner else slot[:start] + inner[index](slot[start:])

        return masked
    return _plain_masker(mask, resolved, key)


def _plain_masker(mask: Mask, avro_type: AvroType, key: bytes | None) -> Callable[[bytes], bytes]:
    resolved = plain(avro_type)
    kind = resolved if isinstance(resolved, str) else resolved["type"]
    logical = None if isinstance(resolved, str) else resolved.get("logicalType")
    match mask:
        case Keep() if kind == "string":
            return _memo(lambda slot: _text_slot(mask_rules.kept(mask, _text(slot))))
        case GeneraliseDivision(digits) if kind == "string":
            return _memo(lambda slot: _text_slot(_text(slot)[:digits]))
        case GeneraliseDate(unit) if kind == "int" and logical == "date":
            return _memo(lambda slot: _text_slot(_date_text(read_long(slot, 0)[0], unit)))
        case GeneraliseBand() if kind in ("int", "long"):
            return _memo(lambda slot: _text_slot(mask_rules.band(mask, read_long(slot, 0)[0])))
        case Pseudonym() if kind == "string" and key is not None:
            pseudonymised = mask_rules.pseudonymiser(key)
            length = write_long(mask_rules.PSEUDONYM_HEX_DIGITS)
            return lambda slot: length + pseudonymised(slot[1:] if slot[0] < 0x80 else slot[text_start(slot, 0) :])
    raise ValueError(f"{mask_rules.declared(mask)} does not apply to a field of type {kind}")


class _Memo(dict[bytes, bytes]):
    """Remembers a mask's results for the values met last: names, years and divisions recur a great deal.

    A dictionary that computes what it lacks: a value met before costs one look-up and no call.
    """

    def __init__(self, function: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, slot: bytes) -> bytes:
        if len(self) >= MEMO_ENTRIES:
            self.clear()
        found = self[slot] = self._function(slot)
        return found


def _memo(function: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return _Memo(function).__getitem__


def _text(slot: bytes) -> str:
    return (slot[1:] if slot[0] < 0x80 else slot[text_start(slot, 0) :]).decode()


def _text_slot(text: str) -> bytes:
    encoded = text.encode()
    length = len(encoded)
    return _SHORT_LENGTHS[length] + encoded if length < 64 else write_long(length) + encoded


_SHORT_LENGTHS = [write_long(length) for length in range(64)]


def _date_text(days: int, unit: str) -> str:
    try:
        day = EPOCH + timedelta(days=days)
    except OverflowError as error:
        raise Unmaskable("a date lies outside the years 1 to 9999") from error
    return f"{day.year:04d}" if unit == "year" else f"{day.year:04d}-{day.month:02d}"
