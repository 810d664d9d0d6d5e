"""The dirt of real registers: every kind of fault that is planted, at which rate, and what the bus makes of it.

The kinds are those that Chinese register data shows every day: ids that a spreadsheet or an old register has mangled,
names that a code page has mangled, dates that mean "nothing", units mixed up, rows sent twice, people dead but active.
`FAULTS` is the table; docs/city.md shows it. Rates are shares of the rows that could carry the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Literal

from govbus.ops.city.codes import CitizenIds, old_citizen_id, registration_number, wrong_check
from govbus.ops.city.economy import Enterprise
from govbus.ops.city.names import RARE_CHARACTERS
from govbus.ops.city.places import BY_CODE, SCHOOLS, retired_code
from govbus.ops.city.row import FeignedDate, Record, value_at
from govbus.rules.identity import citizen_id_check

Effect = Literal["rejected", "accepted"]
Holds = Literal["right", "wrong", "none"]
"""What the bus holds in the faulty field once it has read the row: the right value, a wrong one, or nothing."""

Nature = Literal["fact", "subject", "writing", "loss", "silence", "row"]
"""What is wrong about what a row says: another fact than the true one; true of somebody else; the true fact written
otherwise; part of it lost; a word for nothing; or the row itself (repeated, late, missing, one too many).
"""

DUPLICATES_DIVISION = "890199"
"""Division of second ids of persons who were registered twice; nobody's first id begins with it."""


@dataclass(slots=True)
class Planted:
    """What a fault does to a row: fields written otherwise, or the row moved, repeated, or joined by another."""

    values: dict[str, Any] = field(default_factory=dict)
    extra: Record | None = None
    copies: int = 1
    shifted: bool = False
    later: timedelta | None = None

    def __bool__(self) -> bool:
        return bool(self.values or self.extra or self.copies > 1 or self.shifted or self.later)


@dataclass(frozen=True, slots=True)
class Dice:
    """What planting may draw on."""

    random: Random
    ids: CitizenIds
    idle_firms: list[Enterprise]
    """Firms without a tax file, whose code another firm's file may carry by mistake."""


Change = Callable[[Dice, Record], Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault in one field of one dataset."""

    kind: str
    dataset: str
    field: str
    rate: float
    effect: Effect
    holds: Holds
    eligible: Callable[[Record], bool]
    plant: Callable[[Dice, Record], Planted]


FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x30, 0x5B)})


def _old(record: Record, field: str) -> str | None:
    value = str(value_at(record, field) or "")
    return old_citizen_id(value) if len(value) == 18 else None


def _spreadsheet(dice: Dice, value: str) -> str:
    """Return the id as a spreadsheet shows it: rounded, or with its last three digits gone (and then not valid)."""
    if dice.random.random() < 0.5 or citizen_id_check(value[:15] + "00") == "0":
        return f"{value[0]}.{value[1:6]}E+17"
    return value[:15] + "000"


def _rare(record: Record) -> bool:
    return any(character in RARE_CHARACTERS for character in record["name"])


def _without_rare(record: Record, stand_in: str) -> str:
    return "".join(stand_in if character in RARE_CHARACTERS else character for character in record["name"])


def _mojibake(text: str) -> str:
    """Return UTF-8 bytes of *text* read as GBK; where they cannot be, the well-known 锟斤拷."""
    try:
        return text.encode().decode("gbk")
    except UnicodeDecodeError:
        return "锟斤拷" * len(text)


def _other_school(record: Record) -> Record:
    schools = SCHOOLS[record["school_division"], record["stage"]]
    other = next(school for school in schools if school.code != record["school_code"])
    return {**record, "school_code": other.code, "school_name": other.name}


def _second_person(dice: Dice, record: Record) -> Planted:
    birth = record["birth_date"].toordinal()
    second = dice.ids.issue(DUPLICATES_DIVISION, birth, record["sex"] == "1")
    return Planted(extra={**record, "citizen_id": second})


def _fault(
    kind: str,
    where: str,
    rate: float,
    effect: Effect,
    holds: Holds,
    change: Change,
    eligible: Callable[[Record], bool] | None = None,
) -> Fault:
    """Return the fault that puts what *change* returns into the field *where* (``department.dataset:field``)."""
    dataset, _, path = where.partition(":")

    def plant(dice: Dice, record: Record) -> Planted:
        made = change(dice, record)
        return made if isinstance(made, Planted) else Planted({path: made})

    present = eligible or (lambda record: value_at(record, path) is not None)
    return Fault(kind, dataset, path, rate, effect, holds, present, plant)


_POPULATION = "public_security.population"
_MARRIAGE = "civil_affairs.marriage"
_BENEFIT = "civil_affairs.minimum_living"
_BIRTH = "health.birth_certificate"
_PUPIL = "education.student_enrolment"
_APPLICATION = "education.school_place_application"
_INSURANCE = "human_resources.social_insurance_month"
_OWNERSHIP = "natural_resources.property_ownership"
_LEASE = "housing.lease"
_FIRM = "market_regulation.enterprise"
_DISABILITY = "disabled_federation.disability_certificate"
_TAX = "taxation.taxpayer"
_WEATHER = "meteorology.observation"


def _always(record: Record) -> bool:
    return True


def _ends_in_x(path: str) -> Callable[[Record], bool]:
    return lambda record: str(value_at(record, path)).endswith("X")


def _is_person(path: str) -> Callable[[Record], bool]:
    return lambda record: _old(record, path) is not None


FAULTS: tuple[Fault, ...] = (
    # ids written loosely: the bus brings them into their one form
    _fault("id_lower_case_x", f"{_MARRIAGE}:husband_id", 0.20, "accepted", "right",
           lambda _, r: r["husband_id"].lower(), _ends_in_x("husband_id")),
    _fault("id_lower_case_x", f"{_PUPIL}:citizen_id", 0.20, "accepted", "right",
           lambda _, r: r["citizen_id"].lower(), _ends_in_x("citizen_id")),
    _fault("id_full_width", f"{_PUPIL}:citizen_id", 0.002, "accepted", "right",
           lambda _, r: r["citizen_id"].translate(FULL_WIDTH)),
    _fault("id_full_width", f"{_APPLICATION}:guardian1_id", 0.005, "accepted", "right",
           lambda _, r: r["guardian1_id"].translate(FULL_WIDTH)),
    _fault("id_trailing_space", f"{_PUPIL}:citizen_id", 0.002, "accepted", "right",
           lambda _, r: r["citizen_id"] + " "),
    _fault("id_trailing_space", f"{_BENEFIT}:citizen_id", 0.005, "accepted", "right",
           lambda _, r: r["citizen_id"] + "　"),
    _fault("id_leading_apostrophe", f"{_PUPIL}:guardian_id", 0.002, "accepted", "right",
           lambda _, r: "'" + r["guardian_id"]),
    _fault("id_15_digits", f"{_BENEFIT}:citizen_id", 0.01, "accepted", "right",
           lambda _, r: _old(r, "citizen_id"), _is_person("citizen_id")),
    _fault("id_15_digits", f"{_DISABILITY}:citizen_id", 0.01, "accepted", "right",
           lambda _, r: _old(r, "citizen_id"), _is_person("citizen_id")),
    _fault("id_15_digits", f"{_OWNERSHIP}:owner_id", 0.005, "accepted", "right",
           lambda _, r: _old(r, "owner_id"), _is_person("owner_id")),
    _fault("id_15_digits", f"{_INSURANCE}:citizen_id", 0.002, "accepted", "right",
           lambda _, r: _old(r, "citizen_id"), _is_person("citizen_id")),
    _fault("uscc_lower_case", f"{_INSURANCE}:employer", 0.001, "accepted", "right",
           lambda _, r: r["employer"].lower()),
    # ids that are lost or wrong
    _fault("id_spreadsheet", f"{_MARRIAGE}:wife_id", 0.001, "rejected", "none",
           lambda dice, r: _spreadsheet(dice, r["wife_id"])),
    _fault("id_spreadsheet", f"{_INSURANCE}:citizen_id", 0.0005, "rejected", "none",
           lambda dice, r: _spreadsheet(dice, r["citizen_id"])),
    _fault("id_check_digit", f"{_PUPIL}:citizen_id", 0.001, "rejected", "none",
           lambda _, r: wrong_check(r["citizen_id"])),
    _fault("id_check_digit", f"{_BIRTH}:mother.citizen_id", 0.001, "rejected", "none",
           lambda _, r: wrong_check(r["mother"]["citizen_id"])),
    _fault("id_check_digit", f"{_LEASE}:landlord_id", 0.002, "rejected", "none",
           lambda _, r: wrong_check(r["landlord_id"])),
    _fault("id_of_parent", f"{_PUPIL}:citizen_id", 0.001, "accepted", "wrong",
           lambda _, r: r["guardian_id"], lambda r: r["guardian_id"] is not None),
    _fault("person_twice", f"{_POPULATION}:citizen_id", 0.002, "accepted", "wrong", _second_person,
           lambda r: r["alive_status"] == "1"),
    _fault("uscc_check", f"{_FIRM}:uscc", 0.002, "rejected", "none", lambda _, r: wrong_check(r["uscc"])),
    _fault("registration_no_for_uscc", f"{_INSURANCE}:employer", 0.0005, "rejected", "none",
           lambda _, r: registration_number(r["employer"][2:8], int(r["employer"][10:15], 36))),
    _fault("uscc_of_other_body", f"{_TAX}:taxpayer_id", 0.004, "accepted", "wrong",
           lambda dice, _: dice.idle_firms.pop().uscc if dice.idle_firms else Planted(),
           lambda r: r["taxpayer_type"] == "1"),
    _fault("certificate_truncated", f"{_DISABILITY}:certificate_no", 0.003, "rejected", "none",
           lambda _, r: r["certificate_no"][:18]),
    _fault("certificate_grade_differs", f"{_DISABILITY}:certificate_no", 0.005, "accepted", "wrong",
           lambda _, r: r["certificate_no"][:-1] + str(int(r["grade"]) % 4 + 1)),
    # names
    _fault("name_placeholder", f"{_PUPIL}:name", 0.25, "accepted", "wrong",
           lambda _, r: _without_rare(r, "?"), _rare),
    _fault("name_pinyin", f"{_INSURANCE}:name", 0.10, "accepted", "wrong",
           lambda _, r: _without_rare(r, "YING"), _rare),
    _fault("name_middle_dot", f"{_PUPIL}:name", 0.30, "accepted", "wrong",
           lambda dice, r: r["name"].replace("·", dice.random.choice(".•．・")), lambda r: "·" in r["name"]),
    _fault("name_middle_dot", f"{_INSURANCE}:name", 0.10, "accepted", "wrong",
           lambda dice, r: r["name"].replace("·", dice.random.choice(".•．・")), lambda r: "·" in r["name"]),
    _fault("name_spaced", f"{_BENEFIT}:name", 0.005, "accepted", "wrong",
           lambda _, r: r["name"][0] + "　" + r["name"][1:]),
    _fault("name_mojibake", f"{_INSURANCE}:name", 0.001, "accepted", "wrong", lambda _, r: _mojibake(r["name"])),
    _fault("name_nbsp", f"{_DISABILITY}:name", 0.005, "accepted", "wrong", lambda _, r: r["name"] + "&nbsp;"),
    _fault("name_brackets", f"{_FIRM}:name", 0.10, "accepted", "wrong",
           lambda _, r: r["name"].replace("（", "(").replace("）", ")"), lambda r: "（" in r["name"]),
    _fault("legal_rep_former", f"{_TAX}:legal_rep_name", 0.005, "accepted", "wrong",
           lambda dice, r: dice.random.choice("赵钱孙李周吴郑王") + dice.random.choice("建国华强军伟")),
    # dates
    _fault("birth_date_differs", f"{_POPULATION}:birth_date", 0.002, "accepted", "wrong",
           lambda dice, r: r["birth_date"] - timedelta(days=dice.random.choice((1, 10, 31, 365)))),
    _fault("birth_date_differs", f"{_PUPIL}:birth_date", 0.004, "accepted", "wrong",
           lambda dice, r: r["birth_date"] + timedelta(days=dice.random.choice((1, 9, 30, 365)))),
    _fault("birth_date_lunar", f"{_PUPIL}:birth_date", 0.002, "accepted", "wrong",
           lambda dice, r: r["birth_date"] - timedelta(days=dice.random.randrange(19, 50))),
    _fault("date_sentinel", f"{_BENEFIT}:valid_to", 0.01, "accepted", "wrong",
           lambda _, r: date(9999, 12, 31), lambda r: r["valid_to"] is None),
    _fault("date_sentinel", f"{_DISABILITY}:issue_date", 0.003, "accepted", "wrong", lambda _, r: date(1900, 1, 1)),
    _fault("date_impossible", f"{_MARRIAGE}:registration_date", 0.0005, "rejected", "none",
           lambda _, r: FeignedDate(r["registration_date"].year, 2, 30)),
    _fault("date_impossible", f"{_PUPIL}:enrol_date", 0.001, "rejected", "none",
           lambda _, r: FeignedDate(r["enrol_date"].year, 9, 31)),
    _fault("clock_ahead", f"{_MARRIAGE}:_changed_at", 0.005, "accepted", "right",
           lambda _, r: Planted(later=timedelta(hours=8)), _always),
    # codes, units, addresses, empties
    _fault("sex_differs", f"{_POPULATION}:sex", 0.0005, "accepted", "wrong", lambda _, r: "21"[int(r["sex"]) - 1]),
    _fault("sex_differs", f"{_PUPIL}:sex", 0.001, "accepted", "wrong", lambda _, r: "21"[int(r["sex"]) - 1]),
    _fault("division_retired", f"{_POPULATION}:household_division", 0.02, "accepted", "wrong",
           lambda _, r: retired_code(r["household_division"]),
           lambda r: retired_code(r["household_division"]) is not None),
    _fault("division_by_name", f"{_TAX}:division", 0.002, "rejected", "none", lambda _, r: BY_CODE[r["division"]].name),
    _fault("code_drift", f"{_POPULATION}:ethnicity", 0.0005, "rejected", "none", lambda _, r: "99"),
    _fault("marital_status_stale", f"{_POPULATION}:marital_status", 0.01, "accepted", "wrong",
           lambda _, r: "10", lambda r: r["marital_status"] == "20"),
    _fault("unit_wan", f"{_FIRM}:registered_capital", 0.005, "accepted", "wrong",
           lambda _, r: (r["registered_capital"] / 10_000).quantize(Decimal("0.01"))),
    _fault("unit_yuan", f"{_BENEFIT}:monthly_amount", 0.005, "accepted", "wrong",
           lambda _, r: r["monthly_amount"] // 100),
    _fault("address_free_text", f"{_OWNERSHIP}:address", 0.005, "accepted", "wrong",
           lambda _, r: r["address"][3:9] + "老供销社对面白色楼房二楼左手边"),
    _fault("address_free_text", f"{_LEASE}:address", 0.01, "accepted", "wrong",
           lambda _, r: r["address"][3:9] + "菜市场楼上"),
    _fault("null_word", f"{_PUPIL}:guardian_id", 0.001, "rejected", "none", lambda _, r: "/"),
    _fault("sensor_sentinel", f"{_WEATHER}:temperature", 0.002, "accepted", "wrong", lambda _, r: Decimal("999.9")),
    # whole rows
    _fault("columns_shifted", f"{_PUPIL}:", 0.0005, "rejected", "none", lambda _, r: Planted(shifted=True), _always),
    _fault("row_twice", f"{_PUPIL}:", 0.003, "accepted", "right", lambda _, r: Planted(copies=2), _always),
    _fault("row_twice", f"{_INSURANCE}:", 0.002, "accepted", "right", lambda _, r: Planted(copies=2), _always),
    _fault("row_twice", f"{_MARRIAGE}:", 0.003, "accepted", "right", lambda _, r: Planted(copies=2), _always),
    # facts that contradict another register
    _fault("enrolled_twice", f"{_PUPIL}:school_code", 0.001, "accepted", "wrong",
           lambda _, r: Planted(extra=_other_school(r)), lambda r: r["status"] == "1"),
    _fault("dead_but_active", f"{_POPULATION}:alive_status", 0.10, "accepted", "wrong",
           lambda _, r: Planted({"alive_status": "1", "death_date": None}), lambda r: r["alive_status"] == "2"),
    _fault("cancelled_but_active", f"{_TAX}:status", 0.15, "accepted", "wrong",
           lambda _, r: "1", lambda r: r["status"] == "4"),
)  # fmt: skip

_KINDS: Mapping[Nature, str] = {
    "fact": "id_check_digit uscc_check certificate_grade_differs legal_rep_former birth_date_differs birth_date_lunar "
    "date_impossible sex_differs code_drift marital_status_stale unit_wan unit_yuan dead_but_active "
    "cancelled_but_active dead_still_receiving",
    "subject": "id_of_parent person_twice uscc_of_other_body",
    "writing": "id_lower_case_x id_full_width id_trailing_space id_leading_apostrophe id_15_digits uscc_lower_case "
    "registration_no_for_uscc name_middle_dot name_spaced name_nbsp name_brackets division_retired division_by_name",
    "loss": "id_spreadsheet certificate_truncated name_placeholder name_pinyin name_mojibake address_free_text",
    "silence": "date_sentinel null_word sensor_sentinel",
    "row": "columns_shifted row_twice enrolled_twice clock_ahead row_vanished resent_unchanged",
}
NATURES: Mapping[str, Nature] = {kind: nature for nature, kinds in _KINDS.items() for kind in kinds.split()}
"""The nature of every kind of fault, those of later waves included."""
