"""Identity codes: the vectors of the standards, and what their canonical forms promise."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import uscc as other_uscc

from govbus.rules import identity

CITIZEN_IDS = [
    "11010519491231002X",
    "440524188001010014",
    "890101200503140018",
    "890101200503140026",
    "89010119910101008X",
    "890201197806301238",
    "890101188001019972",
    "810000199001010019",
    "830000198506150024",
    "911034198401010011",
]
USCCS = [
    "91350100M000100Y43",
    "91890100MA5TEXT03K",
    "92890100MA5TEXT11B",
    "51890100500123453D",
    "12890100400123456C",
    "918901000000004650",
]


@pytest.mark.parametrize("text", CITIZEN_IDS)
def test_citizen_id_of_the_standard_is_canonical(text: str) -> None:
    """A valid 18-character id is its own canonical form, also with divisions that no table knows."""
    assert identity.citizen_id_canonical(text) == text
    assert identity.is_canonical_citizen_id(text.encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [("890101910101019", "890101199101010194"), ("890101800101997", "890101188001019972")],
)
def test_citizen_id_of_15_digits_gets_its_century_and_check(old: str, new: str) -> None:
    """A 15-digit id becomes 18 digits: 19xx, or 18xx where the sequence is 996 to 999."""
    assert identity.citizen_id_canonical(old) == new


@pytest.mark.parametrize(
    "spelt",
    [
        "11010519491231002x",
        "１１０１０５１９４９１２３１００２Ｘ",
        "11010519491231002Ⅹ",
        "11010519491231002Х",  # Cyrillic
        "  11010519491231002X\u00a0",
        "\ufeff110105 19491231 002X",
        "110105-19491231-002X",
        "'11010519491231002X",
    ],
)
def test_citizen_id_spelt_otherwise_is_folded(spelt: str) -> None:
    """Full width, lower case, look-alikes of X, blanks and a spreadsheet's apostrophe do not make another person."""
    assert identity.citizen_id_canonical(spelt) == "11010519491231002X"
    assert not identity.is_canonical_citizen_id(spelt.encode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("110105194912310021", "check character"),
        ("890101200502300011", "birth date"),
        ("890101200513010011", "birth date"),
        ("890101170001010011", "birth date"),
        ("890101910230019", "birth date"),
        ("8.90101E+17", "spreadsheet"),
        ("8.90101200503140E+17", "spreadsheet"),
        ("890101200503140000", "check character"),
        ("89010120050314001", "18 characters"),
        ("8901012005031400180", "18 characters"),
        ("090101200503140018", "18 characters"),
        ("8901012005031400X8", "18 characters"),
        ("110105194912310০২X", "18 characters"),
        ("11010519491231002*", "18 characters"),
        ("", "18 characters"),
        ("无", "18 characters"),
    ],
)
def test_citizen_id_that_cannot_be_right_is_refused(text: str, reason: str) -> None:
    """A wrong form, day or check character is refused, and the reason does not show the id."""
    with pytest.raises(ValueError) as refused:
        identity.citizen_id_canonical(text)
    assert reason in str(refused.value)
    assert not text or text not in str(refused.value)
    assert not identity.is_canonical_citizen_id(text.encode())


@given(
    st.integers(100_000, 999_999),
    st.dates(min_value=date(1800, 1, 1), max_value=date(2199, 12, 31)),
    st.integers(0, 999),
)
def test_every_id_with_a_right_check_character_passes(division: int, birth: date, sequence: int) -> None:
    """Any division, day and sequence with the right check character is canonical; with any other it is not."""
    first17 = f"{division}{birth:%Y%m%d}{sequence:03}"
    right = identity.citizen_id_check(first17)
    assert [check for check in "0123456789X" if identity.is_canonical_citizen_id((first17 + check).encode())] == [right]


@given(st.one_of(st.binary(max_size=24), st.text("0123456789X", min_size=15, max_size=19).map(str.encode)))
def test_the_fast_test_of_citizen_ids_agrees_with_the_slow_one(value: bytes) -> None:
    """`is_canonical_citizen_id` says yes exactly where canonicalising changes nothing."""
    try:
        slow = identity.citizen_id_canonical(value.decode()) == value.decode()
    except ValueError:
        slow = False
    assert identity.is_canonical_citizen_id(value) == slow


def test_the_tables_of_the_fast_test_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many divisions are met, the memory of the fast test has a limit, and its answers stay right."""
    monkeypatch.setattr(identity, "_MOST_DIVISIONS", 50)
    monkeypatch.setattr(identity, "_division_sums", {})
    for division in range(200_000, 200_500):
        first17 = f"{division}20050314001"
        assert identity.is_canonical_citizen_id((first17 + identity.citizen_id_check(first17)).encode())
        assert len(identity._division_sums) <= 50


@pytest.mark.parametrize("text", USCCS)
def test_uscc_of_the_standard_is_canonical(text: str) -> None:
    """A valid USCC is its own canonical form, also where the weighted sum is divisible by 31."""
    assert identity.uscc_canonical(text) == text
    assert identity.uscc_canonical(f" {text.lower()} ") == text
    assert identity.is_canonical_uscc(text.encode())


@pytest.mark.parametrize(
    "text",
    ["91350100M000100Y44", "91350100MO00100Y43", "9135010OM000100Y43", "91350100M000100Y4", "", "918901000000004651"],
)
def test_uscc_that_cannot_be_right_is_refused(text: str) -> None:
    """A wrong check character, a letter outside the alphabet and a wrong length are refused without the value."""
    with pytest.raises(ValueError) as refused:
        identity.uscc_canonical(text)
    assert not text or text not in str(refused.value)
    assert not identity.is_canonical_uscc(text.encode())


_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@given(
    st.text(_ALPHABET, min_size=2, max_size=2),
    st.text("0123456789", min_size=6, max_size=6),
    st.text(_ALPHABET, min_size=9, max_size=9),
)
def test_uscc_check_character_is_that_of_another_library(authority: str, division: str, body: str) -> None:
    """The check character equals python-stdnum's, and only the code that carries it is canonical."""
    first17 = authority + division + body
    right = other_uscc.calc_check_digit(first17)
    assert identity.uscc_check(first17) == right
    assert [check for check in _ALPHABET if identity.is_canonical_uscc((first17 + check).encode())] == [right]


def test_organisation_code_inside_the_standards_uscc_is_valid() -> None:
    """The code embedded in the standard's example passes, with or without hyphen; another check character does not."""
    assert identity.organisation_code_canonical("M000100Y-4") == "M000100Y4"
    with pytest.raises(ValueError, match="check character"):
        identity.organisation_code_canonical("M000100Y5")


@pytest.mark.parametrize("text", ["110000013023494", "890100000000018"])
def test_registration_number_passes_and_its_neighbour_does_not(text: str) -> None:
    """MOD 11,10 holds the last digit of a 15-digit registration number."""
    assert identity.registration_number_canonical(text) == text
    with pytest.raises(ValueError, match="check digit"):
        identity.registration_number_canonical(text[:-1] + str((int(text[-1]) + 1) % 10))


def test_party_is_a_person_or_a_body() -> None:
    """A party id is canonical as a citizen id or as a USCC, and as nothing else."""
    assert identity.party_id_canonical("890101910101019") == "890101199101010194"
    assert identity.party_id_canonical("91350100m000100y43") == "91350100M000100Y43"
    with pytest.raises(ValueError, match="neither"):
        identity.party_id_canonical("110000013023494")
