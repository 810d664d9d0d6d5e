"""A dataset's records, from a source's values to their key and bytes.

`RecordShape` belongs to one dataset, one registered schema and one source declaration. It canonicalises and checks
every value (`govbus.adapters.avro_bytes`), names every field at fault, and makes the record key. The version and the
time of change are put before the bytes when the record is published, so equal bytes mean equal records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import fastavro

from govbus.adapters.avro_bytes import Encoding
from govbus.adapters.avro_values import Converter
from govbus.catalogue.model import Dataset, Vocabulary
from govbus.catalogue.structure import checks_of
from govbus.codec.reader import RecordReader
from govbus.codec.structure import PartSlices, Structure, slots_of, suspicions
from govbus.errors import Rejected, SettingsError
from govbus.rules.dates import EPOCH_DAY
from govbus.rules.record_key import SEPARATOR_BYTE
from govbus.rules.reject import RejectReason

_SMALL_MEMO = 20_000
_META_FIELDS = 2
"""`_version` and `_changed_at` stand before the business fields of a record schema."""


class InvalidRecord(Rejected):
    """A record that cannot be published. `faults` holds every (field, reason), no value in any of them.

    `rules` are the structural checks that it fails, where it is refused for these.
    """

    def __init__(
        self,
        faults: Sequence[tuple[str, str]],
        reason: RejectReason = RejectReason.INVALID_VALUE,
        rules: Sequence[str] = (),
    ) -> None:
        self.faults = tuple(faults)
        self.rules = tuple(rules)
        super().__init__(reason, self.faults[0][0])

    def __str__(self) -> str:
        return "; ".join(f"{field}: {reason}" if field else reason for field, reason in self.faults)


class _Memo(dict[Any, bytes]):
    """Encodings of texts that repeat. Bounded: when it is full, further texts are encoded each time."""

    __slots__ = ("convert",)

    def __init__(self, convert: Converter) -> None:
        super().__init__()
        self.convert = convert

    def __missing__(self, text: Any) -> bytes:
        encoding = self.convert(text)
        if len(self) < _SMALL_MEMO:
            self[text] = encoding
        return encoding


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One field as sources know it: plain, or an array, map or optional record as a whole."""

    path: str
    convert: Converter
    default: Any
    has_default: bool
    repeats: bool
    """Whether its texts are few, so that their encodings are worth keeping."""
    inner: tuple[str, ...]
    """Of an optional record the paths below it, for sources that have a column for each."""


class RecordShape:
    """The records of one dataset as a source gives them.

    *schema* is the registered record schema (`govbus.codec.schemas.record_schema`). *columns* maps field paths to the
    source's names; a path that is not in it is looked for under its own name. *texts*: every value is text or None, and
    rows are sequences in the order of `texts_columns`.
    """

    def __init__(
        self,
        dataset: Dataset,
        schema: Mapping[str, Any],
        vocabulary: Vocabulary,
        *,
        columns: Mapping[str, str] | None = None,
        dates: Sequence[str] = (),
        nulls: Sequence[str] = (),
        texts: bool = False,
        lost_digits: bool = False,
    ) -> None:
        self.dataset = dataset
        self._columns = dict(columns or {})
        self._texts = texts
        encoding = Encoding(
            entries=dataset.fields,
            code_lists=vocabulary.code_lists,
            dates=dates,
            nulls=frozenset(nulls),
            texts=texts,
            lost_digits=lost_digits,
        )
        named: dict[str, Any] = {}
        parsed: Any = fastavro.parse_schema(dict(schema), named_schemas=named)
        fields = parsed["fields"][_META_FIELDS:]
        self._leaves: tuple[_Leaf, ...] = tuple(_leaves(encoding, fields, "", dataset, named))
        self._tops = frozenset(each["name"] for each in fields)
        places = {leaf.path: place for place, leaf in enumerate(self._leaves)}
        if missing := [path for path in dataset.key if path not in places]:
            raise SettingsError(f"{dataset.id}: the key field {missing[0]} is not a plain field of the schema")
        types = dict(_leaf_types(fields, "", named))
        self._key = tuple((places[path], path, _key_text(types[path], path)) for path in dataset.key)
        self._composite = frozenset(path for path, schema in types.items() if _is_composite(schema))
        self._prepare_checks(schema, vocabulary)
        if texts:
            self._prepare_texts()

    def _prepare_checks(self, schema: Mapping[str, Any], vocabulary: Vocabulary) -> None:
        """Make ready the structural checks that reject: a flag is the bus's to count."""
        checks = [each for each in checks_of(self.dataset, vocabulary.code_lists) if each.on_failure == "reject"]
        types = slots_of(RecordReader(dict(schema))) if checks else {}
        slots = {leaf.path: (place, types[leaf.path][1]) for place, leaf in enumerate(self._leaves) if checks}
        self._structure = Structure(checks, slots)
        self._scope: dict[str, Any] = {}
        self._suspicion = " or ".join(suspicions(checks, slots, PartSlices(), self._scope))

    def _refuse_contradictions(self, parts: Sequence[bytes]) -> None:
        """Raise InvalidRecord with every structural check that the record made of *parts* fails."""
        if failures := [each.decision for each in self._structure.failing_parts(parts)]:
            faults = [(each.field, f"{each.reason} ({each.rule})") for each in failures]
            raise InvalidRecord(faults, RejectReason.STRUCTURAL_CHECK, [each.rule for each in failures])

    @property
    def nullable(self) -> frozenset[str]:
        """The paths that may be null and are, where a source does not know them."""
        return frozenset(
            path
            for leaf in self._leaves
            if leaf.has_default and leaf.default is None
            for path in (leaf.inner or (leaf.path,))
        )

    @property
    def composite(self) -> frozenset[str]:
        """The paths of arrays and maps, which stand in a column of texts as JSON."""
        return self._composite

    # --- records as mappings -------------------------------------------------------------------------------------

    def encode(self, record: Mapping[str, Any], *, closed: bool = False) -> tuple[bytes, bytes]:
        """Return (key, bytes of the business fields) of *record*.

        Fields stand under their (source) name, nested ones inside a mapping or under their dotted name. With *closed* a
        name that the schema does not know is a fault. Raises InvalidRecord with every fault.
        """
        parts: list[bytes] = []
        faults: list[tuple[str, str]] = []
        for leaf in self._leaves:
            try:
                parts.append(leaf.convert(self._value(record, leaf)))
            except ValueError as error:
                parts.append(b"")
                faults.append((leaf.path, str(error)))
        if closed:
            known = self._tops | {leaf.path for leaf in self._leaves}
            faults.extend((str(name), "this dataset has no such field") for name in record if name not in known)
        if faults:
            raise InvalidRecord(faults)
        key = self._key_of(parts)
        if self._structure:
            self._refuse_contradictions(parts)
        return key, b"".join(parts)

    def key(self, record: Mapping[str, Any]) -> bytes:
        """Return the key of *record*, of which only the key fields are looked at. Raises InvalidRecord."""
        parts = [b""] * len(self._leaves)
        faults: list[tuple[str, str]] = []
        for place, path, _ in self._key:
            try:
                parts[place] = self._leaves[place].convert(self._value(record, self._leaves[place]))
            except ValueError as error:
                faults.append((path, str(error)))
        if faults:
            raise InvalidRecord(faults)
        return self._key_of(parts)

    def _value(self, record: Mapping[str, Any], leaf: _Leaf) -> Any:
        name = self._columns.get(leaf.path, leaf.path)
        if name in record:
            return record[name]
        value: Any = record
        for step in name.split("."):
            if not isinstance(value, Mapping) or step not in value:
                return leaf.default if leaf.has_default else None
            value = value[step]
        return value

    # --- rows of texts -------------------------------------------------------------------------------------------

    def _prepare_texts(self) -> None:
        """Generate `encode_texts`: one expression per row, lookups for what repeats, calls for the rest."""
        columns: list[tuple[str, str]] = []
        scope: dict[str, Any] = {
            **self._scope,
            "join": b"".join,
            "key_of": self._key_of,
            "refuse_contradictions": self._refuse_contradictions,
        }
        terms: list[str] = []
        for leaf in self._leaves:
            paths = leaf.inner or (leaf.path,)
            first = len(columns)
            columns.extend((path, self._columns.get(path, path)) for path in paths)
            name = f"leaf{len(terms)}"
            if leaf.inner:
                scope[name] = _gathered(leaf)
                terms.append(f"{name}(row[{first}:{len(columns)}])")
            elif leaf.repeats:
                scope[name] = _Memo(leaf.convert)
                terms.append(f"{name}[row[{first}]]")
            else:
                scope[name] = leaf.convert
                terms.append(f"{name}(row[{first}])")
        source = ["def encode(row):", f"    parts = ({', '.join(terms)},)", "    key = key_of(parts)"]
        if self._suspicion:
            source.append(f"    if {self._suspicion}: refuse_contradictions(parts)")
        exec("\n".join([*source, "    return key, join(parts)", ""]), scope)
        self.texts_columns: tuple[tuple[str, str], ...] = tuple(columns)
        """(field path, source column) of every value of a row, in the order of the row."""
        self._encode_texts: Callable[[Sequence[str | None]], tuple[bytes, bytes]] = scope["encode"]
        places = {path: place for place, (path, _) in enumerate(columns)}
        self._key_places = tuple((places[path], place, path) for place, path, _ in self._key)

    def encode_texts(self, row: Sequence[str | None]) -> tuple[bytes, bytes]:
        """Return (key, bytes of the business fields) of a row in the order of `texts_columns`.

        Raises InvalidRecord with every fault.
        """
        try:
            return self._encode_texts(row)
        except ValueError:
            raise InvalidRecord(self._faults(row)) from None

    def key_texts(self, row: Sequence[str | None]) -> bytes:
        """Return the key of a row in the order of `texts_columns`; only its key columns are looked at."""
        parts = [b""] * len(self._leaves)
        faults: list[tuple[str, str]] = []
        for column, place, path in self._key_places:
            try:
                parts[place] = self._leaves[place].convert(row[column])
            except ValueError as error:
                faults.append((path, str(error)))
        if faults:
            raise InvalidRecord(faults)
        return self._key_of(parts)

    def _faults(self, row: Sequence[str | None]) -> list[tuple[str, str]]:
        faults: list[tuple[str, str]] = []
        column = 0
        for leaf in self._leaves:
            try:
                if leaf.inner:
                    _gathered(leaf)(row[column : column + len(leaf.inner)])
                else:
                    leaf.convert(row[column])
            except ValueError as error:
                faults.append((leaf.path, str(error)))
            column += len(leaf.inner) or 1
        if not faults:
            try:
                self.key_texts(row)
            except InvalidRecord as invalid:
                faults.extend(invalid.faults)
        return faults

    # --- keys ----------------------------------------------------------------------------------------------------

    def _key_of(self, parts: Sequence[bytes]) -> bytes:
        texts = []
        for place, path, text_of in self._key:
            text = text_of(parts[place])
            if not text:
                raise _KeyFault([(path, "a key field is empty")])
            if SEPARATOR_BYTE in text:
                raise _KeyFault([(path, "a key field contains U+001F")])
            texts.append(text)
        return texts[0] if len(texts) == 1 else SEPARATOR_BYTE.join(texts)


class _KeyFault(InvalidRecord, ValueError):
    """A key that cannot be one; a ValueError too, so that generated code need not know the difference."""


def _leaves(
    encoding: Encoding, fields: Sequence[Mapping[str, Any]], above: str, dataset: Dataset, named: Mapping[str, Any]
) -> list[_Leaf]:
    """Return the leaves of *fields*: nested records that are always there are their fields, in order."""
    found: list[_Leaf] = []
    for each in fields:
        path, schema = f"{above}{each['name']}", each["type"]
        converter = encoding.converter(schema, path)
        if (record := _record(schema, named)) is not None:
            found.extend(_leaves(encoding, record["fields"], f"{path}.", dataset, named))
            continue
        optional = _optional_record(schema, named)
        inner = tuple(path for path, _ in _leaf_types(optional["fields"], f"{path}.", named)) if optional else ()
        found.append(
            _Leaf(
                path=path,
                convert=converter,
                default=each.get("default"),
                has_default="default" in each,
                repeats=_repeats(schema, path, dataset),
                inner=inner,
            )
        )
    return found


def _leaf_types(fields: Sequence[Mapping[str, Any]], above: str, named: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return (path, Avro type) of every leaf, nested records that are always there taken apart."""
    found: list[tuple[str, Any]] = []
    for each in fields:
        if (record := _record(each["type"], named)) is not None:
            found.extend(_leaf_types(record["fields"], f"{above}{each['name']}.", named))
        else:
            found.append((f"{above}{each['name']}", each["type"]))
    return found


def _record(schema: Any, named: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the record type that *schema* is or names, or None for any other type."""
    found = named.get(schema) if isinstance(schema, str) else schema
    return found if isinstance(found, Mapping) and found["type"] == "record" else None


def _optional_record(schema: Any, named: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if isinstance(schema, list) and len(schema) == 2 and "null" in schema:
        return _record(next(branch for branch in schema if branch != "null"), named)
    return None


def _is_composite(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(_is_composite(branch) for branch in schema)
    return isinstance(schema, Mapping) and schema["type"] in ("array", "map")


def _repeats(schema: Any, path: str, dataset: Dataset) -> bool:
    if isinstance(schema, list):
        return all(branch == "null" or _repeats(branch, path, dataset) for branch in schema)
    kind = schema if isinstance(schema, str) else schema["type"]
    entry = dataset.fields.get(path)
    if kind == "string":
        return entry is not None and (entry.codes is not None or entry.format in ("division", "month", "year"))
    logical = None if isinstance(schema, str) else schema.get("logicalType")
    return kind in ("enum", "boolean") or logical == "date"


def _gathered(leaf: _Leaf) -> Callable[[Sequence[str | None]], bytes]:
    """Return the converter of an optional record whose fields stand in columns: all of them empty means none."""
    steps = [path[len(leaf.path) + 1 :].split(".") for path in leaf.inner]

    def convert(values: Sequence[str | None]) -> bytes:
        if all(value is None or not value.strip() for value in values):
            return leaf.convert(None)
        record: dict[str, Any] = {}
        for path, value in zip(steps, values, strict=True):
            target = record
            for step in path[:-1]:
                target = target.setdefault(step, {})
            target[path[-1]] = value
        return leaf.convert(record)

    return convert


def _key_text(schema: Any, path: str) -> Callable[[bytes], bytes]:
    """Return the function from a key field's encoding to its canonical text. Raises SettingsError for other types."""
    if isinstance(schema, list):
        branches = [branch for branch in schema if branch != "null"]
        if len(branches) == 1 and len(schema) == 2:
            inner = _key_text(branches[0], path)
            null = schema.index("null") * 2
            return lambda part: b"" if part[0] == null else inner(part[1:])
        raise SettingsError(f"the key field {path} must not be a union")
    kind = schema if isinstance(schema, str) else schema["type"]
    logical = None if isinstance(schema, str) else schema.get("logicalType")
    if kind == "string":
        return _after_length
    if kind == "int" and logical == "date":
        return lambda part: date.fromordinal(_number(part) + EPOCH_DAY).isoformat().encode()
    if kind in ("int", "long"):
        return lambda part: b"%d" % _number(part)
    if kind == "boolean":
        return lambda part: b"true" if part == b"\x01" else b"false"
    if kind == "enum":
        symbols = [symbol.encode() for symbol in schema["symbols"]]
        return lambda part: symbols[_number(part)]
    raise SettingsError(f"the key field {path} must be a text, a whole number, a date, an enumeration or a boolean")


def _after_length(part: bytes) -> bytes:
    if part[0] < 0x80:
        return part[1:]
    end = 1
    while part[end] >= 0x80:
        end += 1
    return part[end + 1 :]


def _number(part: bytes) -> int:
    number = shift = 0
    for byte in part:
        number |= (byte & 0x7F) << shift
        shift += 7
    return number >> 1 ^ -(number & 1)
