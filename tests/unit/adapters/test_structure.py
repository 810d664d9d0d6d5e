"""Structural checks at the publisher: what the bus would reject is refused at home, what it would flag is not."""

from __future__ import annotations

from typing import Any

import pytest
from unit.adapters.test_values import DATE, PERSON_ENTRIES, VOCABULARY, dataset, field

from govbus.adapters.values import InvalidRecord, RecordShape
from govbus.codec.schemas import record_schema
from govbus.rules.reject import RejectReason

MAN, FOREIGNER = "890101200503140018", "911034198401010011"
FIELDS = [
    field("citizen_id", "string"),
    field("birth_date", ["null", DATE], default=None),
    field("sex", "string"),
    field("parent", {"type": "record", "name": "parent", "fields": [field("citizen_id", ["null", "string"])]}),
]
ENTRIES = {
    "citizen_id": PERSON_ENTRIES["citizen_id"],
    "birth_date": {},
    "sex": {},
    "parent": {},
    "parent__citizen_id": {"format": "citizen_id"},
}
BIRTH = {"rule": "birth_date_of_id", "id": "citizen_id", "date": "birth_date"}
SEX = {"rule": "value_set", "field": "sex", "values": ["1", "2"]}
MOTHER = {"rule": "id_of_sex", "id": "parent.citizen_id", "is": "female"}
NAMES = ("citizen_id", "birth_date", "sex", "parent.citizen_id")
SOUND = (MAN, "2005-03-14", "1", "890101200503140026")


def shape(on_failure: str, *, texts: bool) -> RecordShape:
    """Return the records of a register with three checks."""
    checks = tuple({**each, "on_failure": on_failure} for each in (BIRTH, SEX, MOTHER))
    declared = dataset(FIELDS, ["citizen_id"], **ENTRIES).model_copy(update={"checks": checks})
    return RecordShape(declared, record_schema(declared.avro), VOCABULARY, nulls=[""], texts=texts)


def encoded(on_failure: str, row: tuple[str, ...], *, texts: bool) -> tuple[bytes, bytes]:
    found = shape(on_failure, texts=texts)
    if texts:
        assert [path for path, _ in found.texts_columns] == list(NAMES)
        return found.encode_texts(row)
    return found.encode(dict(zip(NAMES, row, strict=True)))


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize(
    ("place", "value", "rules"),
    [
        (1, "2005-03-15", ("birth_date_of_id",)),
        (2, "3", ("value_set",)),
        (3, MAN, ("id_of_sex",)),
        (slice(1, 3), ("2005-03-15", "3"), ("birth_date_of_id", "value_set")),
    ],
)
def test_a_contradiction_is_refused_with_every_rule_it_breaks(
    place: Any, value: Any, rules: tuple[str, ...], texts: bool
) -> None:
    """The refusal names rules and fields in the order of declaration, and no value."""
    row = list(SOUND)
    row[place] = value
    with pytest.raises(InvalidRecord) as refused:
        encoded("reject", tuple(row), texts=texts)
    assert refused.value.reason == RejectReason.STRUCTURAL_CHECK
    assert refused.value.rules == rules
    assert [reason.rpartition(" ")[2] for _, reason in refused.value.faults] == [f"({rule})" for rule in rules]
    assert not any(each in str(refused.value) for each in row if len(each) > 1)


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize(
    "row",
    [SOUND, (MAN, "", "2", ""), (FOREIGNER, "2005-03-15", "1", FOREIGNER)],
    ids=["sound", "absent", "foreigner"],
)
def test_what_fails_nothing_is_encoded_as_without_checks(row: tuple[str, ...], texts: bool) -> None:
    """Checks change no byte of a record that they let through, absent operands and foreigners' ids included."""
    assert encoded("reject", row, texts=texts) == encoded("flag", row, texts=texts)


@pytest.mark.parametrize("texts", [True, False])
def test_what_is_only_flagged_is_published(texts: bool) -> None:
    """A flag is the bus's to count: the publisher sends the record."""
    key, _ = encoded("flag", (MAN, "2005-03-15", "3", MAN), texts=texts)
    assert key == MAN.encode()
