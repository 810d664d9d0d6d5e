"""What `govbus trace` says of row conditions is what the projection does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from govbus.codec.projection import compile_view
from govbus.codec.reader import RecordReader
from govbus.codec.schemas import record_schema
from govbus.codec.walk import write_long
from govbus.ops.trace_rows import RowTests, Unmet
from govbus.rules.condition import parse_condition
from govbus.rules.mask import GeneraliseBand, Keep, Mask, Pass
from govbus.rules.share import ShareView

SCHEMA = record_schema(
    {
        "type": "record",
        "name": "person",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "name", "type": ["null", "string"]},
            {"name": "income", "type": ["null", "long"]},
        ],
    }
)
READER = RecordReader(SCHEMA)


def record(name: str | None, income: int | None) -> bytes:
    parts = [b"\x00\x00\x00\x00\x01", write_long(1), write_long(1), write_long(1) + b"7"]
    parts.append(b"\x00" if name is None else b"\x02" + write_long(len(name.encode())) + name.encode())
    parts.append(b"\x00" if income is None else b"\x02" + write_long(income))
    return b"".join(parts)


def view(grant: Any = None, ask: Any = None, **masks: Mask) -> ShareView:
    fields = {"id": Pass(), "name": Pass(), "income": Pass(), **masks}
    return ShareView(
        subscriber="s",
        ask="a",
        dataset="d.person",
        purpose="p",
        fields=tuple(fields.items()),
        key=("id",),
        grant_rows=None if grant is None else parse_condition(grant),
        ask_rows=None if ask is None else parse_condition(ask),
        until=None,
    )


def unmet(of: ShareView, value: bytes) -> tuple[Unmet, ...]:
    return RowTests(of, READER, READER).unmet(value, READER.bounds(value))


def is_shown(of: ShareView, value: bytes) -> bool:
    projection = compile_view(of, READER, READER, schema_id=2, pseudonym_key=None)
    return projection.project(value, READER.bounds(value)) is not None


@pytest.mark.parametrize(
    ("condition", "name", "blamed"),
    [
        ({"name": {"equals": "a"}}, "b", [Unmet("grant", "name", "equals", True, False)]),
        ({"name": {"equals": "a"}}, None, [Unmet("grant", "name", "equals", False, False)]),
        ({"not": {"name": {"prefix": "b"}}}, "b", [Unmet("grant", "name", "prefix", True, True)]),
        ({"not": {"name": {"prefix": "b"}}}, None, [Unmet("grant", "name", "prefix", False, False)]),
        ({"name": {"is_null": True}}, "b", [Unmet("grant", "name", "is_null", True, False)]),
        (
            {"name": {"in": ["b"]}, "income": {"range": {"from": 9}}},
            "b",
            [Unmet("grant", "income", "range", True, False)],
        ),
        (
            {"any": [{"name": {"equals": "c"}}, {"income": {"equals": 9}}]},
            "b",
            [Unmet("grant", "name", "equals", True, False), Unmet("grant", "income", "equals", True, False)],
        ),
    ],
)
def test_the_tests_that_stand_in_the_way_are_named(condition: Any, name: str | None, blamed: list[Unmet]) -> None:
    """Only what keeps the record out is blamed: of all, the parts that fail; of any, every part."""
    assert list(unmet(view(grant=condition), record(name, 5))) == blamed


def test_an_asks_condition_is_judged_on_what_its_masks_leave() -> None:
    """The band decides, not the number inside it."""
    masked = view(ask={"income": {"equals": "0-9"}}, income=GeneraliseBand(10))
    assert unmet(masked, record("b", 5)) == ()
    assert unmet(masked, record("b", 15)) == (Unmet("ask", "income", "equals", True, False),)


TESTS = st.one_of(
    st.sampled_from(["a", "b", ""]).map(lambda text: {"name": {"equals": text}}),
    st.just({"name": {"prefix": "a"}}),
    st.booleans().map(lambda expected: {"name": {"is_null": expected}}),
    st.integers(0, 3).map(lambda low: {"income": {"range": {"from": low}}}),
    st.just({"income": {"in": [0, 2]}}),
)
CONDITIONS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        inner.map(lambda each: {"not": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
    ),
    max_leaves=6,
)


@given(
    grant=st.none() | CONDITIONS,
    ask=st.none() | CONDITIONS,
    name=st.sampled_from([None, "a", "ab", "b"]),
    income=st.sampled_from([None, 0, 1, 2]),
    keep=st.booleans(),
)
def test_something_is_blamed_exactly_where_a_record_is_kept_out(
    grant: Any, ask: Any, name: str | None, income: int | None, keep: bool
) -> None:
    """No reason is given for a record that is shown, and at least one for every other."""
    of = view(grant, ask, **({"name": Keep(1, 0)} if keep else {}))
    value = record(name, income)
    assert bool(unmet(of, value)) is not is_shown(of, value)
