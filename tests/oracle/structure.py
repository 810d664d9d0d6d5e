"""Structural checks as declarations write them, asked of values of the oracle's Avro reader; and random ones.

A check is what YAML gives: ``{"rule": "birth_date_of_id", "id": ..., "date": ..., "on_failure": "flag"}``. A record
fails one only where all its operands are there and contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from random import Random
from typing import Any

from oracle import masks
from oracle.avro import EPOCH_DAY, Branch, Enum, Primitive, Record

MAIN_LAND = "12345678"
"""What the ids of citizens and of residents from Hong Kong, Macau and Taiwan begin with; those of foreigners with 9."""


def failing(
    checks: Iterable[Mapping[str, Any]],
    record: Record,
    value: Any,
    codes: Mapping[str, Iterable[str]] | None = None,
) -> list[Mapping[str, Any]]:
    """Return the checks that a record fails, in order; *codes* are the code lists of fields, by path."""
    return [each for each in checks if fails(each, record, value, codes or {})]


def fails(check: Mapping[str, Any], record: Record, value: Any, codes: Mapping[str, Iterable[str]]) -> bool:
    """Return whether a record fails *check*. A field that its schema does not have is an absent one."""
    rule = check["rule"]
    found = {name: masks.value_at(record, value, str(check[name]))[1] for name in OPERANDS[rule]}
    if any(each is None for each in found.values()):
        return False
    a, b = [*found.values(), None][:2]
    match rule:
        case "birth_date_of_id":
            birth = date(int(a[6:10]), int(a[10:12]), int(a[12:14]))
            return a[0] in MAIN_LAND and (birth - EPOCH_DAY).days != b
        case "sex_of_id":
            man = int(a[16]) % 2 == 1
            said_man, said_woman = str(b) == str(check.get("male", "1")), str(b) == str(check.get("female", "2"))
            return a[0] in MAIN_LAND and ((man and said_woman) or (not man and said_man))
        case "id_of_sex":
            return a[0] in MAIN_LAND and int(a[16]) % 2 != {"male": 1, "female": 0}[check["is"]]
        case "certificate_of_id":
            return not a.startswith(b)
        case "certificate_category":
            return a[18] != str(b)
        case "certificate_grade":
            return a[19] != str(b)
        case "student_no_of_id":
            return a.startswith("G") and a != f"G{b}"
        case "organisation_code_of_uscc":
            return a[8:17] != b
        case "organisation_code_check":
            return a[16] != organisation_check(a[8:16])
        case "date_order":
            return a > b
        case "value_set":
            allowed = check.get("values") or codes[check["field"]]
            return str(a) not in {str(each) for each in allowed}
    raise AssertionError(rule)


OPERANDS: dict[str, tuple[str, ...]] = {
    "birth_date_of_id": ("id", "date"),
    "sex_of_id": ("id", "sex"),
    "id_of_sex": ("id",),
    "certificate_of_id": ("certificate", "id"),
    "certificate_category": ("certificate", "category"),
    "certificate_grade": ("certificate", "grade"),
    "student_no_of_id": ("student_no", "id"),
    "organisation_code_of_uscc": ("uscc", "organisation_code"),
    "organisation_code_check": ("uscc",),
    "date_order": ("first", "then"),
    "value_set": ("field",),
}


# Numbers with their check characters ----------------------------------------------------------------------------------


def citizen_id(first17: str) -> str:
    """Return the id that *first17* make (GB 11643, ISO 7064 MOD 11-2: position *n* from the right weighs 2^n)."""
    return first17 + "10X98765432"[sum(int(each) * pow(2, 17 - n, 11) for n, each in enumerate(first17)) % 11]


def organisation_check(first8: str) -> str:
    """Return the check character of an organisation code (GB 11714)."""
    rest = 11 - sum(w * int(c, 36) for w, c in zip((3, 7, 9, 10, 5, 8, 4, 2), first8, strict=True)) % 11
    return "X" if rest == 10 else "0" if rest == 11 else str(rest)


def uscc(first17: str) -> str:
    """Return the USCC that *first17* make (GB 32100)."""
    letters = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    return first17 + letters[-sum(pow(3, n, 31) * letters.index(each) for n, each in enumerate(first17)) % 31]


# Random fields, checks and records ------------------------------------------------------------------------------------

DAY = {"type": "int", "logicalType": "date"}
MOMENT = {"type": "long", "logicalType": "timestamp-micros"}
FIELDS: dict[str, tuple[list[Any], str | None]] = {
    "st_id": (["string"], "citizen_id"),
    "st_born": ([DAY], None),
    "st_sex": (["string", "int", "long", {"type": "enum", "name": "st_sexes", "symbols": ["F", "N", "M"]}], None),
    "st_certificate": (["string"], "disability_certificate"),
    "st_category": (["string", "int"], None),
    "st_level": (["string", "long"], None),
    "st_student": (["string"], None),
    "st_uscc": (["string"], "uscc"),
    "st_body": (["string"], "organisation_code"),
    "st_since": ([DAY, MOMENT], None),
    "st_until": ([DAY, MOMENT], None),
    "st_code": (
        ["string", "int", "long", {"type": "enum", "name": "st_codes", "symbols": ["A", "B", "C", "D"]}],
        None,
    ),
}
"""Fields that checks can look at: by the beginning of their name the types they may have, and their format."""

PLACES = {
    "id": "st_id",
    "date": "st_born",
    "sex": "st_sex",
    "certificate": "st_certificate",
    "category": "st_category",
    "grade": "st_level",
    "student_no": "st_student",
    "uscc": "st_uscc",
    "organisation_code": "st_body",
    "first": "st_since",
    "then": "st_until",
    "field": "st_code",
}


def add_fields(rng: Random, schema: dict[str, Any], document: dict[str, Any], *, optional: bool = False) -> None:
    """Put fields that checks can look at among those of *schema*, and what is said of them into *document*.

    With *optional* each may be null and is where it is not said, so that the schema follows the one before.
    """
    times = rng.choice(FIELDS["st_since"][0])
    for stem, (kinds, form) in FIELDS.items():
        if rng.random() < 0.25:
            continue
        kind = times if stem in ("st_since", "st_until") and rng.random() < 0.9 else rng.choice(kinds)
        name = f"{stem}_{rng.getrandbits(40)}"
        if isinstance(kind, dict) and "name" in kind:
            kind = {**kind, "name": f"{kind['name']}_{rng.getrandbits(40)}"}
        field: dict[str, Any] = {"name": name, "type": kind}
        if optional or rng.random() < 0.4:
            field |= {"type": ["null", kind], "default": None}
        schema["fields"].insert(rng.randint(0, len(schema["fields"])), field)
        document["fields"][name] = {"title": "项", "grade": "L2"} | ({} if form is None else {"format": form})


def draw_checks(rng: Random, record: Record, document: dict[str, Any]) -> None:
    """Declare anew which checks the records of a dataset are to hold."""
    document["checks"] = []
    for rule, operands in OPERANDS.items():
        places = {name: _one(rng, record, PLACES[name]) for name in operands}
        if None in places.values() or rng.random() < 0.4:
            continue
        check: dict[str, Any] = {"rule": rule, **places}
        kinds = [_inner(record, path) for path in places.values() if path is not None]
        if rule == "date_order" and kinds[0] != kinds[1]:
            continue
        if rule == "sex_of_id" and isinstance(kinds[1], Enum):
            if not {"M", "F"} <= set(kinds[1].symbols):
                continue
            check |= {"male": "M", "female": "F"}
        elif rule == "sex_of_id" and rng.random() < 0.3:
            one, two = ("7", "22") if kinds[1] == Primitive("string") else (7, 22)
            check |= {"male": one, "female": two}
        if rule == "id_of_sex":
            check["is"] = rng.choice(["male", "female"])
        if rule == "value_set":
            codes = _codes(kinds[0])
            check["values"] = rng.sample(codes, min(3, len(codes)))
        document["checks"].append({**check, "on_failure": rng.choice(["flag", "flag", "flag", "reject"])})
    rng.shuffle(document["checks"])


def prune(record: Record, document: dict[str, Any]) -> None:
    """Take back the checks of fields that *record* no longer has."""
    known = {each.name for each in record.fields}
    document["checks"] = [
        check
        for check in document.get("checks", [])
        if all(check[operand] in known for operand in OPERANDS[check["rule"]])
    ]


def fill(rng: Random, record: Record, value: Any) -> None:
    """Give the fields of a record that checks can look at values that mostly agree with each other."""
    birth = date.fromordinal(rng.randint(date(1890, 1, 1).toordinal(), date(2030, 1, 1).toordinal()))
    division = rng.choice(["110105", "890301", "890301", "810000", "830000", "911034"])
    number = citizen_id(f"{division}{birth:%Y%m%d}{rng.randint(0, 999):03}")
    category, level = rng.randint(1, 7), rng.randint(1, 4)
    body8 = "".join(rng.choices("0123456789ABCDEFGHJKLMNPQRTUWXY", k=8))
    body = body8 + organisation_check(body8)
    if body[8] == "X" or rng.random() < 0.85:
        firm = uscc("91890100" + body)
    else:
        firm = uscc("91890100" + body8 + str((int(body[8]) + 1) % 10))
    other = citizen_id(number[:14] + f"{rng.randint(0, 999):03}")
    since = rng.randint(-30_000, 60_000)
    sexes = {"M": ("1", 1), "F": ("2", 2), "m": ("7", 7), "f": ("22", 22)}
    sex = rng.choice(("M", "m") if int(number[16]) % 2 else ("F", "f"))
    if rng.random() < 0.15:
        sex = rng.choice(list(sexes))
    for each in record.fields:
        kind = _inner(record, each.name)
        numeric = isinstance(kind, Primitive) and kind.name != "string"
        match each.name.rpartition("_")[0]:
            case "st_id":
                _put(value, each.name, number)
            case "st_born":
                _put(
                    value, each.name, (birth - EPOCH_DAY).days + (rng.choice([1, -1, 31]) if rng.random() < 0.1 else 0)
                )
            case "st_sex" if isinstance(kind, Enum):
                known = sex.upper() in kind.symbols and rng.random() < 0.9
                _put(value, each.name, sex.upper() if known else rng.choice(kind.symbols))
            case "st_sex":
                neither: list[Any] = [0, 9] if numeric else ["", "0", "9", "男" * 30]
                _put(value, each.name, rng.choice(neither) if rng.random() < 0.1 else sexes[sex][numeric])
            case "st_certificate":
                holder = other if rng.random() < 0.1 else number
                again = rng.choice(["", "", "B1", "B12"])
                _put(value, each.name, f"{holder}{category}{level}{again}")
            case "st_category" | "st_level" as stem:
                right = category if stem == "st_category" else level
                digit = right + 1 if rng.random() < 0.1 else right
                _put(value, each.name, digit if numeric else str(digit))
            case "st_student":
                letter, holder = rng.choice("GGGGL"), other if rng.random() < 0.1 else number
                _put(
                    value, each.name, rng.choice(["", "G", f"G{'8' * 70}"]) if rng.random() < 0.05 else letter + holder
                )
            case "st_uscc":
                _put(value, each.name, firm)
            case "st_body":
                another = "12345678" + organisation_check("12345678")
                _put(value, each.name, another if rng.random() < 0.1 else body)
            case "st_since":
                _put(value, each.name, since)
            case "st_until":
                _put(
                    value,
                    each.name,
                    since + rng.choice([0, 0, 1, 64, 8_192, 10**6 * (not _is_day(kind)), -1 * (rng.random() < 0.3)]),
                )
            case "st_code":
                _put(value, each.name, rng.choice(_codes(kind)))


def _one(rng: Random, record: Record, stem: str) -> str | None:
    names = [each.name for each in record.fields if each.name.rpartition("_")[0] == stem]
    return rng.choice(names) if names else None


def _inner(record: Record, path: str) -> Any:
    kind = masks.field_at(record, path)
    assert kind is not None
    return masks.optional(kind) or kind


def _is_day(kind: Any) -> bool:
    return bool(kind == Primitive("int", "date"))


def _codes(kind: Any) -> list[Any]:
    if isinstance(kind, Enum):
        return list(kind.symbols)
    return ["A", "B", "é", "x" * 64] if kind.name == "string" else [0, 1, -70, 2**20]


def _put(value: Any, name: str, leaf: Any) -> None:
    if isinstance(value[name], Branch):
        if value[name].value is not None:
            value[name] = value[name]._replace(value=leaf)
    else:
        value[name] = leaf
