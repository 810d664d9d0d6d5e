"""A share view as a function from a record's bytes to the subscriber's bytes, generated once per writer schema.

The generated function tests the row conditions on slices, lays masks over the slices that need one, and joins the rest
as they are. A record written under an older schema is spliced too where the types it shares with the newest one are
structurally the same; otherwise it is first brought into the newest schema (`govbus.codec.upgrade`): slower, the same
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

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
"""From a canonical framed record and its bounds to the framed share value, or None where the row is withheld."""

MEMO_ENTRIES = 65_536
"""How many results a mask remembers: enough for every day of a century, every division, every usual band."""


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
    names: dict[str, Any] = {}
    spliced = splice(view, writer, newest, schema_id=schema_id, pseudonym_key=pseudonym_key, names=names)
    if spliced is not None:
        return Projection(_compiled(spliced, names, view.id), sliced=True)
    through = splice(view, newest, newest, schema_id=schema_id, pseudonym_key=pseudonym_key, names=names)
    assert through is not None
    brought, project = upgrade(writer.schema, newest.schema), _compiled(through, names, view.id)

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


@dataclass(frozen=True, slots=True)
class Spliced:
    """One projection as Python expressions over ``v``, the record, and its bounds; evaluated in this order.

    Where `grant_rows` is given and false, or `ask_rows` after the variables in `masked` are set, the row is withheld.
    """

    grant_rows: str | None
    masked: tuple[tuple[str, str], ...]
    ask_rows: str | None
    result: str


def splice(
    view: ShareView,
    writer: RecordReader,
    newest: RecordReader,
    *,
    schema_id: int,
    pseudonym_key: bytes | None,
    names: dict[str, Any],
    bound: Callable[[int], str] = "b[{}]".format,
    variable: str = "m",
) -> Spliced | None:
    """Return *view* as expressions, or None where it cannot be spliced from records of *writer*.

    Constants go into *names*; *bound* spells the boundary of a slot, *variable* begins the names of variables.
    """
    if writer is not newest and not _can_splice(view, writer, newest):
        return None
    return _Splicing(view, writer, newest, pseudonym_key, names, bound).spliced(header(schema_id), variable)


class _Splicing:
    def __init__(
        self,
        view: ShareView,
        writer: RecordReader,
        newest: RecordReader,
        key: bytes | None,
        names: dict[str, Any],
        bound: Callable[[int], str],
    ) -> None:
        self.view, self.writer, self.newest, self.key = view, writer, newest, key
        self.names, self.bound = names, bound
        self.defaults = _defaults(newest)
        self.computed: dict[str, str] = {}
        """Masked fields that the ask's condition looks at: each already in a variable."""

    def spliced(self, frame: bytes, variable: str) -> Spliced:
        masks = self.view.masks
        grant_rows = ask_rows = None
        if self.view.grant_rows is not None:
            grant_rows = RowTest(self.names, self._span).is_true(self.view.grant_rows)
        variables: list[tuple[str, str]] = []
        if self.view.ask_rows is not None:
            for path in dict.fromkeys(test.path for test in condition_rules.tests(self.view.ask_rows)):
                if not isinstance(masks[shown_as(path, masks)], Pass):
                    name = f"{variable}{len(variables)}"
                    variables.append((name, self._part(path, masks[path])))
                    self.computed[path] = name
            ask_rows = RowTest(self.names, self._as_shown).is_true(self.view.ask_rows)
        in_order = sorted(masks, key=lambda path: self.newest.spans[path][0])
        parts = [self._name(frame), *(self._part(path, masks[path]) for path in in_order)]
        return Spliced(grant_rows, tuple(variables), ask_rows, self._joined(parts))

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
        avro_type: AvroType = self.newest.slots[first].type if end == first + 1 else "record"
        if path not in self.writer.spans:
            return self._name(self.defaults[path]), avro_type
        first, end = self.writer.spans[path]
        return f"v[{self.bound(first)}:{self.bound(end)}]", avro_type

    def _as_shown(self, path: str) -> tuple[str, AvroType]:
        whole, avro_type = self._span(path)
        if path in self.computed:
            return self.computed[path], masked_type(avro_type, self.view.masks[path], "", path)
        return whole, avro_type

    def _name(self, value: object) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    @staticmethod
    def _joined(parts: list[str]) -> str:
        """Return the parts' concatenation, slices that touch made one."""
        merged: list[str] = []
        for part in filter(None, parts):
            begin = part.removeprefix("v[").partition(":")[0]
            if part.startswith("v[") and merged and merged[-1].endswith(f":{begin}]"):
                merged[-1] = merged[-1].removesuffix(f"{begin}]") + part.partition(":")[2]
            else:
                merged.append(part)
        return " + ".join(merged)


def shown_as(path: str, masks: Mapping[str, Mask]) -> str:
    """Return the path under which the view shows *path*: itself, or the record around it that is given as a whole."""
    around = path
    while around not in masks and "." in around:
        around = around.rpartition(".")[0]
    if around not in masks:
        raise KeyError(f"a row condition looks at {path}, which the view does not show")
    return around


def _compiled(spliced: Spliced, names: dict[str, Any], view_id: str) -> Project:
    lines = ["def project(v, b):"]
    if spliced.grant_rows is not None:
        lines.append(f"    if not {spliced.grant_rows}: return None")
    lines += [f"    {name} = {expression}" for name, expression in spliced.masked]
    if spliced.ask_rows is not None:
        lines.append(f"    if not {spliced.ask_rows}: return None")
    lines.append(f"    return {spliced.result}")
    scope = dict(names)
    exec(compile("\n".join(lines), f"<view {view_id}>", "exec"), scope)
    function: Project = scope["project"]
    return function


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
            # Not remembered: names and numbers differ from record to record.
            return lambda slot: _text_slot(mask_rules.kept(mask, _text(slot)))
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


T = TypeVar("T")


class Memo(dict[bytes, T]):
    """Remembers a mask's results for the values met last: names, years and divisions recur a great deal.

    A dictionary that computes what it lacks: a value met before costs one look-up and no call.
    """

    def __init__(self, function: Callable[[bytes], T]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, slot: bytes) -> T:
        if len(self) >= MEMO_ENTRIES:
            self.clear()
        found = self[slot] = self._function(slot)
        return found


def _memo(function: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return Memo(function).__getitem__


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
