"""From a source's values to a record's key and bytes: canonical, equal to fastavro's, and every fault by its field."""

from __future__ import annotations

import io
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from govbus.adapters.avro_values import varint
from govbus.adapters.values import InvalidRecord, RecordShape
from govbus.catalogue.model import Dataset, Vocabulary
from govbus.codec.schemas import record_schema
from govbus.rules.identity import is_canonical_citizen_id
from govbus.rules.reject import RejectReason

DATE = {"type": "int", "logicalType": "date"}
VOCABULARY = Vocabulary(code_lists={"sex": {"1": "男", "2": "女"}})


def dataset(avro_fields: list[dict[str, Any]], key: list[str], **entries: dict[str, Any]) -> Dataset:
    """Return a dataset with these Avro fields; *entries* add format or codes to a field (``__`` stands for a dot)."""
    return Dataset.model_validate(
        {
            "department": "d",
            "dataset": "people",
            "title": "t",
            "resource_code": "101001/000001",
            "subject": key[0],
            "key": key,
            "share": "conditional",
            "update": {"cycle": "daily"},
            "region": "890000",
            "legal_basis": "x",
            "contact": {"role": "r"},
            "fields": {
                name.replace("__", "."): {"title": "t", "grade": "L1", **entry} for name, entry in entries.items()
            },
            "avro": {"type": "record", "name": "people", "fields": avro_fields},
        }
    )


def shape(
    avro_fields: list[dict[str, Any]], key: list[str], entries: dict[str, Any] | None = None, **more: Any
) -> RecordShape:
    declared = dataset(avro_fields, key, **(entries or {}))
    return RecordShape(declared, record_schema(declared.avro), VOCABULARY, **more)


def field(name: str, type: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type, **more}


PERSON = [
    field("citizen_id", "string"),
    field("name", "string"),
    field("sex", "string"),
    field("birth_date", DATE),
    field("division", ["null", "string"], default=None),
]
PERSON_ENTRIES = {
    "citizen_id": {"format": "citizen_id"},
    "name": {},
    "sex": {"codes": "sex"},
    "birth_date": {},
    "division": {"format": "division"},
}


def person(**more: Any) -> RecordShape:
    return shape(PERSON, ["citizen_id"], PERSON_ENTRIES, nulls=["", "无"], **more)


def written(avro_fields: list[dict[str, Any]], record: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, {"type": "record", "name": "people", "fields": avro_fields}, record)
    return out.getvalue()


def test_a_row_of_texts_becomes_what_fastavro_writes() -> None:
    """Texts of a CSV row become canonical values, encoded exactly as fastavro encodes them."""
    key, body = person(texts=True, dates=["%Y%m%d"]).encode_texts(
        ["89010119910101008x ", " 买买提·吐尔逊\u3000", "１", "19910101", "无"]
    )
    assert key == b"89010119910101008X"
    expected = {
        "citizen_id": "89010119910101008X",
        "name": "买买提·吐尔逊",
        "sex": "1",
        "birth_date": date(1991, 1, 1),
        "division": None,
    }
    assert body == written(PERSON, expected)


def test_the_same_record_has_the_same_bytes_from_every_kind_of_source() -> None:
    """A CSV row, a JSON object and a program's values of the same meaning give the same key and bytes."""
    from_csv = person(texts=True).encode_texts(["890101910101019", "张三", "2", "1991-01-01", "890101"])
    from_json = person().encode(
        {"citizen_id": "890101910101019", "name": "张三", "sex": 2, "birth_date": "1991-01-01", "division": 890101}
    )
    from_program = person().encode(
        {
            "citizen_id": "890101199101010194",
            "name": "张三",
            "sex": "2",
            "birth_date": date(1991, 1, 1),
            "division": "890101",
        }
    )
    assert from_csv == from_json == from_program


def test_every_fault_of_a_row_is_named_and_no_value_shown() -> None:
    """All bad fields of a row come back at once, with reasons in which no value stands."""
    row = ["890101199101010195", "", "男性的", "1991-02-30", "云海市"]
    with pytest.raises(InvalidRecord) as refused:
        person(texts=True).encode_texts(row)
    assert [path for path, _ in refused.value.faults] == ["citizen_id", "name", "sex", "birth_date", "division"]
    assert refused.value.reason == RejectReason.INVALID_VALUE
    assert refused.value.field == "citizen_id"
    assert not any(value in str(refused.value) for value in row if value)


def test_a_closed_record_refuses_fields_the_schema_does_not_know() -> None:
    """A program that misspells a field hears of it; without that, an optional field would silently be null."""
    record = {"citizen_id": "890101910101019", "name": "张三", "sex": "1", "birth_date": "1991-01-01", "divison": "1"}
    with pytest.raises(InvalidRecord) as refused:
        person().encode(record, closed=True)
    assert refused.value.faults == (("divison", "this dataset has no such field"),)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("张\0三", r"U\+0000"),
        ("张\ufffd", r"U\+FFFD"),
        ("张\ud842", "not text"),
        (3.5, "text is needed"),
        (None, "required"),
    ],
)
def test_what_is_no_text_is_refused(name: object, reason: str) -> None:
    """U+0000, the replacement character, half a character and numbers do not become names."""
    with pytest.raises(InvalidRecord, match=reason) as refused:
        person().encode({"citizen_id": "890101910101019", "name": name, "sex": "1", "birth_date": "1991-01-01"})
    assert refused.value.field == "name"


def test_text_is_nfc_and_keeps_rare_characters() -> None:
    """Composed and decomposed spellings are one text; characters outside the first plane survive."""
    plain = shape([field("id", "string")], ["id"])
    assert plain.encode({"id": "e\u0301"}) == plain.encode({"id": "\u00e9"})
    assert plain.encode({"id": "𠮷"})[0] == "𠮷".encode()


def test_ids_that_a_spreadsheet_may_have_cut_are_refused_when_told() -> None:
    """With `lost_digits`, an id ending in 000 is refused although its check digit happens to be right."""
    first17 = "89010119910101"
    cut = next(
        candidate for hundred in range(890101, 890999) if _is_valid(candidate := f"{hundred}{first17[6:]}1000"[:18])
    )
    row = [cut, "张三", "1", "1991-01-01", None]
    assert person(texts=True).encode_texts(row)[0] == cut.encode()
    with pytest.raises(InvalidRecord, match="spreadsheet"):
        person(texts=True, lost_digits=True).encode_texts(row)


def _is_valid(candidate: str) -> bool:
    return is_canonical_citizen_id(candidate.encode())


def test_a_key_of_several_fields_joins_their_canonical_texts() -> None:
    """Text, number, date, enumeration and boolean of a key stand in it as their canonical texts, joined by U+001F."""
    fields = [
        field("text", "string"),
        field("number", "long"),
        field("day", DATE),
        field("kind", {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}),
        field("flag", "boolean"),
        field("maybe", ["null", "string"]),
    ]
    key = shape(fields, ["text", "number", "day", "kind", "flag", "maybe"]).key(
        {"text": "x" * 100, "number": "-300", "day": "1949-10-01", "kind": "B", "flag": "是", "maybe": "y"}
    )
    assert key == b"\x1f".join([b"x" * 100, b"-300", b"1949-10-01", b"B", b"true", b"y"])


@pytest.mark.parametrize(("value", "reason"), [("", "empty"), ("a\x1fb", "U\\+001F")])
def test_a_key_field_that_cannot_stand_in_a_key_is_refused(value: str, reason: str) -> None:
    """An empty key field, or one that holds the separator, would make two keys look like one."""
    with pytest.raises(InvalidRecord, match=reason):
        shape([field("id", "string")], ["id"]).encode({"id": value})
    with pytest.raises(InvalidRecord, match=reason):
        shape([field("id", "string")], ["id"], texts=True).encode_texts([value])


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufffd"))
EVERYTHING = [
    field("id", "string"),
    field("count", "int"),
    field("total", "long"),
    field("ratio", "double"),
    field("half", "float"),
    field("open", "boolean"),
    field("day", DATE),
    field("at", {"type": "long", "logicalType": "timestamp-micros"}),
    field("at_ms", {"type": "long", "logicalType": "timestamp-millis"}),
    field("money", {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}),
    field(
        "fixed_money", {"type": "fixed", "name": "F", "size": 9, "logicalType": "decimal", "precision": 18, "scale": 2}
    ),
    field("kind", {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}),
    field("photo", "bytes"),
    field(
        "place", {"type": "record", "name": "Place", "fields": [field("road", "string"), field("no", ["null", "int"])]}
    ),
    field("tags", {"type": "array", "items": "string"}),
    field("marks", {"type": "map", "values": ["null", "long"]}),
    field("former", ["null", "Place"], default=None),
    field("choice", ["null", "long", "string"], default=None),
]


@given(
    st.fixed_dictionaries(
        {
            "id": TEXT.filter(lambda text: text.strip() and "\x1f" not in text.strip()),
            "count": st.integers(-(2**31), 2**31 - 1),
            "total": st.integers(-(2**63), 2**63 - 1),
            "ratio": st.floats(allow_nan=False, allow_infinity=False),
            "half": st.floats(allow_nan=False, allow_infinity=False, width=32),
            "open": st.booleans(),
            "day": st.dates(),
            "at": st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)),
            "at_ms": st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)),
            "money": st.decimals(
                allow_nan=False, allow_infinity=False, places=2, min_value=-(10**15), max_value=10**15
            ),
            "fixed_money": st.decimals(
                allow_nan=False, allow_infinity=False, places=2, min_value=-(10**15), max_value=10**15
            ),
            "kind": st.sampled_from("AB"),
            "photo": st.binary(),
            "place": st.fixed_dictionaries({"road": TEXT, "no": st.none() | st.integers(-(2**31), 2**31 - 1)}),
            "tags": st.lists(TEXT, max_size=5),
            "marks": st.dictionaries(TEXT, st.none() | st.integers(-(2**63), 2**63 - 1), max_size=5),
            "former": st.none() | st.fixed_dictionaries({"road": TEXT, "no": st.none()}),
            "choice": st.none() | st.integers(-(2**63), 2**63 - 1),
        }
    )
)
def test_every_type_is_encoded_as_fastavro_does(record: dict[str, Any]) -> None:
    """For any values of every type, the bytes are those that fastavro writes of the canonical values."""
    _, body = shape(EVERYTHING, ["id"]).encode(record)
    assert body == written(EVERYTHING, _canonical(record))


def _canonical(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value.strip())
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    if isinstance(value, dict):
        return {unicodedata.normalize("NFC", name): _canonical(value[name]) for name in sorted(value)}
    return value


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("count", "2147483648", "outside"),
        ("count", "12.0", "whole number"),
        ("count", True, "whole number"),
        ("count", Decimal("1E+999999999"), "whole number"),
        ("total", "9223372036854775808", "outside"),
        ("ratio", "NaN", "finite"),
        ("ratio", float("inf"), "finite"),
        ("half", 1e39, "too large"),
        ("open", "maybe", "yes or no"),
        ("day", datetime(2020, 1, 1, 8), "time of day"),
        ("day", 20200101, "date"),
        ("at", "2020-13-01 00:00:00", "does not exist"),
        ("money", "1.005", "decimal places"),
        ("money", "12345678901234567.00", "digits"),
        ("money", "1E+999999999", "digits"),
        ("money", "1E-999999999", "decimal places"),
        ("money", "1,000.00", "decimal number"),
        ("money", 1.5, "decimal is needed"),
        ("money", "NaN", "finite"),
        ("kind", "C", "symbols"),
        ("photo", "%%%", "base64"),
        ("tags", "a", "array"),
        ("marks", [], "map"),
        ("place", "x", "nested|required"),
        ("former", 5, "nested record"),
        ("choice", "\0", "U\\+0000"),
    ],
)
def test_a_value_outside_its_type_is_refused(name: str, value: object, reason: str) -> None:
    """Numbers out of range, fractions cut off, non-finite numbers and wrong kinds are refused with a reason."""
    record = {
        "id": "1",
        "count": 1,
        "total": 1,
        "ratio": 1.0,
        "half": 0.5,
        "open": True,
        "day": "2020-01-01",
        "at": "2020-01-01 08:00:00",
        "at_ms": "2020-01-01T00:00:00Z",
        "money": "1.50",
        "fixed_money": "-1.50",
        "kind": "A",
        "photo": "AAEC",
        "place": {"road": "r", "no": None},
        "tags": [],
        "marks": {},
    }
    everything = shape(EVERYTHING, ["id"])
    everything.encode(record)
    with pytest.raises(InvalidRecord, match=reason) as refused:
        everything.encode({**record, name: value})
    assert refused.value.field.split(".")[0] == name


def test_nested_fields_stand_in_dotted_columns() -> None:
    """A flat source names nested fields by dots; an optional record is absent where all its columns are empty."""
    place = {"type": "record", "name": "Place", "fields": [field("road", "string"), field("no", ["null", "int"])]}
    fields = [field("id", "string"), field("home", place), field("work", ["null", "Place"], default=None)]
    flat = shape(fields, ["id"], texts=True, nulls=[""], columns={"home.road": "路", "work.no": "单位号"})
    assert flat.texts_columns == (
        ("id", "id"),
        ("home.road", "路"),
        ("home.no", "home.no"),
        ("work.road", "work.road"),
        ("work.no", "单位号"),
    )
    assert flat.encode_texts(["1", "人民路", "5", "", ""])[1] == written(
        fields, {"id": "1", "home": {"road": "人民路", "no": 5}, "work": None}
    )
    assert flat.encode_texts(["1", "人民路", "", "建设路", "7"])[1] == written(
        fields, {"id": "1", "home": {"road": "人民路", "no": None}, "work": {"road": "建设路", "no": 7}}
    )
    with pytest.raises(InvalidRecord) as refused:
        flat.encode_texts(["1", "人民路", "", "", "7"])
    assert refused.value.field == "work"


def test_arrays_stand_in_a_column_as_json() -> None:
    """A flat source writes arrays and maps as JSON; anything else in that column is refused."""
    fields = [field("id", "string"), field("tags", {"type": "array", "items": "string"})]
    flat = shape(fields, ["id"], texts=True)
    assert flat.encode_texts(["1", '["a", "b"]'])[1] == written(fields, {"id": "1", "tags": ["a", "b"]})
    with pytest.raises(InvalidRecord, match="JSON"):
        flat.encode_texts(["1", "{a,b}"])


def test_an_absent_field_takes_its_default() -> None:
    """A field that a record does not name has the schema's default; one without a default is required."""
    fields = [
        field("id", "string"),
        field("state", "string", default="1"),
        field("note", ["null", "string"], default=None),
    ]
    assert shape(fields, ["id"]).encode({"id": "1"})[1] == written(fields, {"id": "1", "state": "1", "note": None})
    with pytest.raises(InvalidRecord, match="required"):
        shape(fields, ["id"]).encode({"state": "2"})


@given(st.integers(-(2**63), 2**63 - 1))
def test_varints_are_the_shortest(number: int) -> None:
    """Every long is written in its shortest form, as fastavro writes it."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    assert varint(number) == out.getvalue()
