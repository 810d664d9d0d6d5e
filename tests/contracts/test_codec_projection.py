"""A share view's bytes and its schema by example."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import fastavro
import pytest
from oracle import avro, masks

from govbus.codec.fields import format_check, key_function
from govbus.codec.framing import header
from govbus.codec.projection import Unmaskable, compile_view
from govbus.codec.reader import RecordReader
from govbus.codec.schemas import record_schema
from govbus.codec.view_schema import view_schema
from govbus.rules.condition import parse_condition
from govbus.rules.mask import parse_mask
from govbus.rules.share import ShareView

KEY = bytes(range(32))
DATE = {"type": "int", "logicalType": "date"}
PERSON: dict[str, Any] = {
    "type": "record",
    "name": "population",
    "namespace": "of.the.source",
    "doc": "a register",
    "aliases": ["residents"],
    "fields": [
        {"name": "citizen_id", "type": "string", "doc": "the id"},
        {"name": "name", "type": "string"},
        {"name": "birth_date", "type": ["null", DATE], "default": None},
        {
            "name": "home",
            "type": {
                "type": "record",
                "name": "Home",
                "fields": [{"name": "division", "type": "string"}, {"name": "street", "type": ["null", "string"]}],
            },
        },
        {"name": "sex", "type": {"type": "enum", "name": "Sex", "symbols": ["F", "M"]}},
        {"name": "income", "type": "long", "aliases": ["salary"]},
        {"name": "phones", "type": {"type": "array", "items": "string"}},
        {"name": "birth_sex", "type": ["null", "Sex"], "default": None},
    ],
}
RECORD: dict[str, Any] = {
    "_version": 1_700_000_000_000_000,
    "_changed_at": 1_700_000_000_000_000,
    "citizen_id": "890301199003071238",
    "name": "张伟",
    "birth_date": avro.Branch(1, 7370),
    "home": {"division": "890301", "street": avro.Branch(0, None)},
    "sex": "M",
    "income": -1,
    "phones": ["13812345678"],
    "birth_sex": avro.Branch(1, "M"),
}


def view(fields: Mapping[str, Any], *, grant: Any = None, ask: Any = None) -> ShareView:
    return ShareView(
        subscriber="education",
        ask="school_place",
        dataset="public_security.population",
        purpose="school_place",
        fields=tuple((path, parse_mask(mask)) for path, mask in fields.items()),
        key=("citizen_id",),
        grant_rows=None if grant is None else parse_condition(grant),
        ask_rows=None if ask is None else parse_condition(ask),
        until=None,
    )


def shown(
    fields: Mapping[str, Any], *, grant: Any = None, ask: Any = None, key: bytes | None = KEY, **other: Any
) -> Any:
    """What the view shows of the person, as a plain dictionary, or None where the row is withheld."""
    full = record_schema(PERSON)
    kind = avro.parse(full)
    reader = RecordReader(full)
    projection = compile_view(view(fields, grant=grant, ask=ask), reader, reader, schema_id=9, pseudonym_key=key)
    assert projection.sliced
    value = projection.project(*reader.read(header(7) + avro.encode(kind, RECORD | other)))
    if value is None:
        return None
    assert value[:5] == header(9)
    seen = avro.parse(view_schema(PERSON, view(fields)))
    return avro.plain(seen, avro.decode(seen, value[5:])[0])


@pytest.mark.parametrize(
    ("path", "mask", "left"),
    [
        ("citizen_id", "pass", "890301199003071238"),
        ("citizen_id", {"mask": {"first": 6, "last": 4}}, "890301********1238"),
        ("citizen_id", "pseudonym", masks.pseudonym(KEY, b"890301199003071238")),
        ("name", {"mask": {"first": 1}}, "张*"),
        ("name", "null", None),
        ("birth_date", {"generalise": "year"}, "1990"),
        ("birth_date", {"generalise": "month"}, "1990-03"),
        ("sex", "pass", "M"),
        ("income", {"generalise": {"band": 1000}}, "-1000--1"),
        ("phones", "pass", ["13812345678"]),
        ("birth_sex", "pass", "M"),
    ],
)
def test_what_a_mask_leaves_in_a_view(path: str, mask: Any, left: Any) -> None:
    """Every kind of mask, laid over a field of a record."""
    assert shown({path: mask}) == {path: left}


def test_fields_stand_in_the_order_of_the_schema() -> None:
    """However the ask orders its fields, the view has the source's order, parts of nested records included."""
    fields = {"income": "pass", "home.street": "pass", "home.division": {"generalise": {"division": 2}}, "name": "pass"}
    assert list(shown(fields)) == ["name", "home", "income"]
    assert shown(fields)["home"] == {"division": "89", "street": None}


@pytest.mark.parametrize(
    ("grant", "ask", "released"),
    [
        (None, None, True),
        ({"home.division": {"prefix": "8903"}}, None, True),
        ({"home.division": {"prefix": "8904"}}, None, False),
        ({"sex": {"in": ["M"]}}, None, True),
        ({"birth_sex": {"equals": "M"}}, None, True),
        ({"not": {"birth_sex": {"equals": "F"}}}, None, True),
        ({"birth_date": {"range": {"to": "1990-03-07"}}}, None, True),
        ({"home.street": {"equals": "x"}}, None, False),
        ({"not": {"home.street": {"equals": "x"}}}, None, False),
        ({"phones": {"is_null": False}}, None, True),
        (None, {"birth_date": {"equals": "1990"}}, True),
        (None, {"birth_date": {"equals": "1990-03-07"}}, False),
        (None, {"name": {"prefix": "张"}}, True),
        (None, {"name": {"equals": "张伟"}}, False),
        (None, {"name": {"equals": "张*"}}, True),
        ({"income": {"range": {"from": 0}}}, {"name": {"prefix": "张"}}, False),
    ],
)
def test_a_grant_sees_the_record_and_an_ask_what_is_left_of_it(grant: Any, ask: Any, released: bool) -> None:
    """The grant's condition holds of raw values, the ask's of what its masks leave."""
    fields = {"name": {"mask": {"first": 1}}, "birth_date": {"generalise": "year"}}
    assert (shown(fields, grant=grant, ask=ask) is not None) is released


def test_a_date_that_no_calendar_holds_cannot_be_generalised() -> None:
    """Such a row is withheld: the mask cannot express it, and nothing unmasked may leave."""
    for days in (2_932_897, -719_163, 2**31 - 1):
        with pytest.raises(Unmaskable):
            shown({"birth_date": {"generalise": "year"}}, birth_date=avro.Branch(1, days))
    assert shown({"birth_date": "pass"}, birth_date=avro.Branch(1, 2_932_897)) == {"birth_date": 2_932_897}


def test_a_hidden_change_changes_no_byte() -> None:
    """A change in a field that the view does not show leaves the view's bytes as they were."""
    fields = {"name": {"mask": {"first": 1}}, "birth_date": {"generalise": "year"}}
    before = shown(fields)
    assert shown(fields, name="张三", income=5, birth_date=avro.Branch(1, 7400), _version=2) == before
    assert shown(fields, name="李四") != before


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"shoe_size": "pass"}, KeyError),
        ({"home.colour": "pass"}, KeyError),
        ({"name.first": "pass"}, KeyError),
        ({"sex": {"mask": {"first": 1}}}, ValueError),
        ({"name": {"generalise": "year"}}, ValueError),
        ({"birth_date": {"generalise": {"division": 2}}}, ValueError),
        ({"phones": {"mask": {"first": 1}}}, ValueError),
        ({"income": "pseudonym"}, ValueError),
    ],
)
def test_what_cannot_be_shown_stops_before_any_record(fields: Mapping[str, Any], error: type[Exception]) -> None:
    """An unknown path and a mask that does not fit the type fail when the view is made, not when a record comes."""
    with pytest.raises(error):
        shown(fields)


def test_no_pseudonym_without_a_key() -> None:
    """A view that needs a pseudonym key cannot be made without it."""
    with pytest.raises(ValueError, match="pseudonym"):
        shown({"name": "pseudonym"}, key=None)


def test_a_views_schema_tells_of_its_own_fields_only() -> None:
    """No doc, alias, default or namespace of the source, no other field, no name of a type that the source gave."""
    schema = view_schema(PERSON, view({"name": "pass", "home.division": "pass", "sex": "pass"}))
    assert (schema["name"], schema["namespace"]) == ("population", "share.education.school_place.public_security")
    told = json.dumps(schema)
    for secret in (
        "of.the.source",
        "register",
        "residents",
        "salary",
        "income",
        "street",
        "citizen",
        "Home",
        "Sex",
        "doc",
    ):
        assert secret not in told
    assert "default" not in told


def test_a_views_schema_does_not_depend_on_what_it_does_not_show() -> None:
    """A source that gains, loses or changes other fields leaves the view's schema as it was."""
    shows = view({"name": "pass", "birth_sex": "pass"})
    changed = json.loads(json.dumps(PERSON))
    changed["fields"] = [field for field in changed["fields"] if field["name"] not in ("income", "phones", "home")]
    changed["fields"].insert(0, {"name": "new", "type": "long", "default": 0})
    assert view_schema(changed, shows) == view_schema(PERSON, shows)


def test_type_names_of_a_view_never_collide() -> None:
    """Paths that look alike, and a field named like its dataset, get types of different names."""
    sex = [{"type": "enum", "name": f"Sex{number}", "symbols": ["F"]} for number in range(3)]
    source = {
        "type": "record",
        "name": "population",
        "fields": [
            {"name": "a", "type": {"type": "record", "name": "A", "fields": [{"name": "b", "type": sex[0]}]}},
            {"name": "a_b", "type": sex[1]},
            {"name": "population", "type": sex[2]},
        ],
    }
    schema = view_schema(source, view({"a.b": "pass", "a_b": "pass", "population": "pass"}))
    fastavro.parse_schema(schema, _force=True)


@pytest.mark.parametrize(
    ("paths", "key"),
    [
        (["citizen_id"], b"890301199003071238"),
        (["citizen_id", "sex"], b"890301199003071238\x1fM"),
        (["home.division", "income"], b"890301\x1f-1"),
        (["_version"], b"1700000000000000"),
    ],
)
def test_a_records_key_is_the_text_of_its_key_fields(paths: list[str], key: bytes) -> None:
    """Texts as they are, numbers in decimal, enums as their symbol, joined by U+001F."""
    reader = RecordReader(record_schema(PERSON))
    value = header(7) + avro.encode(avro.parse(record_schema(PERSON)), RECORD)
    assert key_function(reader, paths)(*reader.read(value)) == key


@pytest.mark.parametrize("path", ["birth_date", "phones", "home", "nothing"])
def test_what_cannot_be_a_key_is_refused(path: str) -> None:
    """Optional fields, lists, records and unknown paths make no key."""
    with pytest.raises((KeyError, ValueError)):
        key_function(RecordReader(record_schema(PERSON)), [path])


def test_formats_are_checked_in_nested_and_optional_fields() -> None:
    """The first field whose text is not in canonical form is named; an absent optional one passes."""
    reader = RecordReader(record_schema(PERSON))
    kind = avro.parse(record_schema(PERSON))

    def digits(text: bytes) -> bool:
        return text.isdigit()

    check = format_check(reader, {"citizen_id": digits, "home.division": digits, "home.street": digits})
    assert check(*reader.read(header(7) + avro.encode(kind, RECORD))) is None
    for path, other in {
        "citizen_id": {"citizen_id": "8903x"},
        "home.division": {"home": {"division": "", "street": avro.Branch(0, None)}},
        "home.street": {"home": {"division": "1" * 100, "street": avro.Branch(1, "x" * 100)}},
    }.items():
        assert check(*reader.read(header(7) + avro.encode(kind, RECORD | other))) == path
