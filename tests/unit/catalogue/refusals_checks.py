"""Structural checks that are no rule, or whose fields cannot carry the rule."""

from __future__ import annotations

from unit.catalogue.refusal import Refusal, change
from unit.catalogue.small_city import FILES, PERSON, PERSON_FAIL, PERSON_PASS, PERSON_SCHEMA

from govbus.catalogue.faults import FaultCode as C

BIRTH = "{rule: birth_date_of_id, id: citizen_id, date: birth_date, on_failure: reject}"
SEX = "{rule: sex_of_id, id: citizen_id, sex: sex, on_failure: flag}"
SET = "{rule: value_set, field: register_no, values: [7, 8], on_failure: flag}"


def instead(name: str, code: C, old: str, new: str, says: str, at: str = "") -> Refusal:
    """Return the refusal of a check written as *new*; the fault stands on its line."""
    return change(name, code, PERSON, old, new, at or new, says)


CHECK_REFUSALS = [
    instead("check_rule", C.UNKNOWN_RULE, BIRTH, BIRTH.replace("date_of", "day_of"), "did you mean birth_date_of_id?"),
    instead("check_rule_number", C.UNKNOWN_RULE, SEX, "{rule: 7, id: citizen_id, on_failure: flag}", "unknown rule 7"),
    instead("check_no_rule", C.MISSING_KEY, SEX, "{id: citizen_id, sex: sex, on_failure: flag}", "has no rule"),
    instead("check_no_mapping", C.WRONG_VALUE, SEX, "sex_of_id", "mapping of keys to values", "- sex_of_id"),
    instead("check_extra", C.UNKNOWN_KEY, SEX, SEX.replace("sex: sex", "sex: sex, mail: M"), "did you mean male?"),
    instead("check_no_operand", C.MISSING_KEY, SEX, SEX.replace("sex: sex, ", ""), "sex_of_id has no sex"),
    instead("check_no_failure", C.MISSING_KEY, SEX, SEX.replace(", on_failure: flag", ""), "on_failure: reject, or"),
    instead("check_failure", C.UNKNOWN_WORD, SEX, SEX.replace("flag", "warn"), "write one of: reject, flag"),
    instead("check_no_is", C.MISSING_KEY, SEX, "{rule: id_of_sex, id: citizen_id, on_failure: flag}", "add is:"),
    instead(
        "check_is",
        C.UNKNOWN_WORD,
        SEX,
        "{rule: id_of_sex, id: citizen_id, is: woman, on_failure: flag}",
        "male, female",
    ),
    instead(
        "check_field", C.UNKNOWN_FIELD, BIRTH, BIRTH.replace("date: birth", "date: brith"), "did you mean birth_date?"
    ),
    instead("check_field_number", C.UNKNOWN_FIELD, BIRTH, BIRTH.replace("birth_date,", "7,"), "names 7"),
    instead(
        "check_kind", C.CHECK_MISFIT, BIRTH, BIRTH.replace("date: birth_date", "date: name"), "name is a string; it has"
    ),
    instead(
        "check_format", C.CHECK_MISFIT, BIRTH, BIRTH.replace("id: citizen_id", "id: name"), "needs format: citizen_id"
    ),
    instead(
        "check_inside_optional",
        C.CHECK_MISFIT,
        SET,
        '{rule: value_set, field: spouse.name, values: ["a"], on_failure: flag}',
        "inside a record that may be null",
    ),
    instead(
        "check_with_itself",
        C.CHECK_MISFIT,
        SET,
        "{rule: date_order, first: birth_date, then: birth_date, on_failure: flag}",
        "with itself",
    ),
    instead("check_codes", C.CHECK_MISFIT, SEX, SEX.replace("sex: sex", 'sex: sex, male: "3"'), "code list of sex"),
    instead("check_same_codes", C.CHECK_MISFIT, SEX, SEX.replace("sex: sex", 'sex: sex, male: "2"'), "for both sexes"),
    instead("check_no_codes", C.CHECK_MISFIT, SEX, SEX.replace("sex: sex", "sex: state, male: ALIVE"), "add female:"),
    instead("check_no_values", C.MISSING_KEY, SET, SET.replace("values: [7, 8], ", ""), "the field no code list"),
    instead("check_empty_values", C.WRONG_VALUE, SET, SET.replace("[7, 8]", "[]"), "at least one value"),
    instead("check_text_values", C.CHECK_MISFIT, SET, SET.replace("7, 8", '7, "8"'), "compared with whole numbers"),
    instead("check_value_twice", C.CHECK_MISFIT, SET, SET.replace("7, 8", "7, 7"), "7 stands twice"),
    instead(
        "check_value_outside",
        C.CHECK_MISFIT,
        SET,
        '{rule: value_set, field: sex, values: ["1", "5"], on_failure: flag}',
        "not in the code list",
    ),
    instead(
        "check_symbol",
        C.CHECK_MISFIT,
        SET,
        "{rule: value_set, field: state, values: [LEFT], on_failure: flag}",
        "no symbol of state",
    ),
    instead("check_number_of_text", C.CHECK_MISFIT, SET, SET.replace("register_no", "name"), "write it in quotes"),
    instead("check_twice", C.CHECK_MISFIT, SET, SEX.replace("flag", "reject"), "stands twice"),
    Refusal(
        "check_types_of_time",
        C.CHECK_MISFIT,
        {
            PERSON: FILES[PERSON]
            .replace(SET, "{rule: date_order, first: birth_date, then: moved_at, on_failure: flag}")
            .replace("  income: {title", "  moved_at: {title: 迁入时间, grade: L2}\n  income: {title"),
            PERSON_SCHEMA: FILES[PERSON_SCHEMA].replace(
                '{"name": "income"',
                '{"name": "moved_at", "default": null, "type": ["null", '
                '{"type": "long", "logicalType": "timestamp-micros"}]},\n    {"name": "income"',
            ),
        },
        PERSON,
        "date_order",
        "compares a date with a timestamp-micros",
    ),
    change("sample_contradicts", C.SAMPLE_REFUSED, PERSON_PASS, "1978-06-30", "1978-06-29", "birth_date", "不一致"),
    Refusal(
        "sample_only_flagged",
        C.SAMPLE_ACCEPTED,
        {PERSON_FAIL: FILES[PERSON_PASS].replace('"sex": "1"', '"sex": "2"')},
        PERSON_FAIL,
        "",
        "accepts it",
    ),
]
