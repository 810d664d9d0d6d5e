"""Elements without a source or with too many, fields that cannot carry them, and golden views that nobody granted."""

from __future__ import annotations

from unit.catalogue.elements_city import CITIZENS, GOLDEN_ASK, PUPIL, SPLIT_PERSON, SPLIT_PUPIL, replaced
from unit.catalogue.refusal import Refusal
from unit.catalogue.small_city import ELEMENTS, FILES, PERSON, WEATHER

from govbus.catalogue.faults import FaultCode as C

TEXTS = {**FILES, **CITIZENS}


def change(name: str, code: C, file: str, old: str, new: str, at: str, says: str) -> Refusal:
    """Return a refusal that one replaced text brings about, in the file where its fault stands."""
    return Refusal(name, code, {**CITIZENS, file: replaced(TEXTS[file], (old, new))}, file, at, says)


def changes(name: str, code: C, files: dict[str, str], file: str, at: str, says: str) -> Refusal:
    """Return a refusal that several changed *files* bring about in *file*."""
    return Refusal(name, code, {**CITIZENS, **files}, file, at, says)


def declared(name: str, code: C, entry: str, says: str, under: str = "elements:") -> Refusal:
    """Return a refusal of one more *entry* of elements.yaml, *under* a key of it."""
    text = replaced(CITIZENS[ELEMENTS], (f"{under}\n", f"{under}\n  {entry}\n"))
    return Refusal(name, code, {**CITIZENS, ELEMENTS: text}, ELEMENTS, entry, says)


def split(name: str, code: C, file: str, old: str, new: str, at: str, says: str) -> Refusal:
    """Return a refusal of two sources that share the authority over names, which nobody asks for."""
    sources = {PERSON: SPLIT_PERSON, PUPIL: SPLIT_PUPIL, GOLDEN_ASK: UNNAMED}
    return Refusal(name, code, {**CITIZENS, **sources, file: replaced(sources[file], (old, new))}, file, at, says)


UNNAMED = replaced(
    CITIZENS[GOLDEN_ASK],
    ("      name.value: {mask: {first: 1}}\n      name.standing: pass\n", ""),
    ("    rows: {name.standing: {in: [agreed, stale]}}\n", ""),
)
SCHOOL_ASKED = "      school.value: {mask: {first: 1}}\n      school.standing: pass\n"
SCHOOL_UNASKED = replaced(CITIZENS[GOLDEN_ASK], (SCHOOL_ASKED, ""))
SCHOOL_SHOWN = replaced(CITIZENS[GOLDEN_ASK], ("      school.standing: pass\n", ""))
SCHOOL_UNGRANTED = replaced(CITIZENS[PUPIL], (", school: {mask: {first: 2}}}", "}"), ("    standing: [school]\n", ""))

AGE = "{title: 年龄, definition: 年龄, type: number, comparator: numeric, severity: info}"
NAME = "姓名, grade: L3, element: citizen.name"

ELEMENT_REFUSALS = [
    # elements.yaml
    declared("element_entity", C.UNKNOWN_ENTITY, f"citizn.age: {AGE}", "did you mean citizen?"),
    declared("element_name", C.WRONG_VALUE, f"age: {AGE}", "its entity, a dot and its own name"),
    declared("element_id", C.RESERVED_NAME, f"citizen.citizen_id: {AGE}", "is there in any case"),
    change(
        "severity", C.MISSING_KEY, ELEMENTS, "severity: major, grace", "grace", "citizen.born", "severity is missing"
    ),
    change("type", C.UNKNOWN_WORD, ELEMENTS, "type: date", "type: dates", "citizen.born", "did you mean date?"),
    change(
        "comparator",
        C.INVALID_COMPARATOR,
        ELEMENTS,
        "type: date, comparator: date",
        "type: date, comparator: dates",
        "citizen.born",
        "did you mean date?",
    ),
    change(
        "comparator_parameter",
        C.INVALID_COMPARATOR,
        ELEMENTS,
        "type: date, comparator: date",
        "type: date, comparator: {date: {days: 3}}",
        "citizen.born",
        "tolerance_days",
    ),
    change(
        "comparator_type",
        C.INVALID_COMPARATOR,
        ELEMENTS,
        "type: date, comparator: date",
        "type: date, comparator: name_zh",
        "citizen.born",
        "these do: exact, date",
    ),
    change(
        "entity_format",
        C.UNKNOWN_FORMAT,
        ELEMENTS,
        "id: citizen_id, format: citizen_id",
        "id: citizen_id, format: citizenid",
        "citizen:",
        "did you mean citizen_id?",
    ),
    change("entity_id", C.MISSING_KEY, ELEMENTS, "id: uscc, ", "", "enterprise:", "id is missing"),
    change("element_codes", C.UNKNOWN_CODE_LIST, ELEMENTS, "codes: sex", "codes: sexes", "citizen.sex", "sexes"),
    change(
        "codes_of_text",
        C.TYPE_MISFIT,
        ELEMENTS,
        "就读学校, type: text",
        "就读学校, type: text, codes: sex",
        "citizen.school",
        "only an element of type code",
    ),
    declared(
        "map_from", C.UNKNOWN_CODE_LIST, 'gendre: {to: sex, codes: {M: "1"}}', "did you mean gender?", "code_maps:"
    ),
    declared("map_to", C.UNKNOWN_CODE_LIST, 'state: {to: sexes, codes: {GONE: "1"}}', "sexes", "code_maps:"),
    change("map_empty", C.WRONG_VALUE, ELEMENTS, '{M: "1", F: "2"}', "{}", "gender: {to", "at least one entry"),
    change(
        "code_from",
        C.CODES_MISFIT,
        ELEMENTS,
        '{M: "1", F: "2"}',
        '{M: "1", W: "2"}',
        "gender: {to",
        "gender has no code W",
    ),
    change(
        "code_to", C.CODES_MISFIT, ELEMENTS, '{M: "1", F: "2"}', '{M: "1", F: "3"}', "gender: {to", "sex has no code 3"
    ),
    # sources
    declared("no_field", C.NO_AUTHORITY, f"citizen.age: {AGE}", "no field carries it"),
    changes(
        "no_source",
        C.NO_AUTHORITY,
        {
            PUPIL: replaced(
                SCHOOL_UNGRANTED, ("element: citizen.school, authoritative: true", "element: citizen.school")
            ),
            GOLDEN_ASK: SCHOOL_UNASKED,
        },
        ELEMENTS,
        "citizen.school",
        "school.pupil school",
    ),
    change(
        "two_sources", C.SECOND_AUTHORITY, PUPIL, NAME, f"{NAME}, authoritative: true", "姓名", "police.person name"
    ),
    change(
        "whole_and_part",
        C.SECOND_AUTHORITY,
        PUPIL,
        NAME,
        f'{NAME}, authoritative: {{by: division, divisions: ["8903"]}}',
        "姓名",
        "police.person name",
    ),
    change("word_of_authority", C.WRONG_VALUE, PUPIL, NAME, f'{NAME}, authoritative: "true"', "姓名", "true or false"),
    split(
        "overlap_between", C.OVERLAPPING_AUTHORITY, PUPIL, '["8903"]', '["890201"]', "姓名", "with police.person name"
    ),
    split(
        "overlap_here", C.OVERLAPPING_AUTHORITY, PUPIL, '["8903"]', '["8903", "890301"]', "姓名", "lies here already"
    ),
    split("prefix", C.WRONG_VALUE, PUPIL, '["8903"]', '["890 3"]', "姓名", "first 2 to 6 digits"),
    split("no_prefix", C.WRONG_VALUE, PUPIL, '["8903"]', "[]", "姓名", "at least one entry"),
    split("by_key", C.UNKNOWN_KEY, PUPIL, "by: division", "bye: 1, by: division", "姓名", "did you mean by?"),
    split("split_by", C.UNKNOWN_FIELD, PUPIL, "by: division", "by: divisoin", "姓名", "did you mean division?"),
    split("by_number", C.ELEMENT_MISFIT, PUPIL, "by: division", "by: grade_no", "姓名", "by a division code"),
    split("by_absent", C.ELEMENT_MISFIT, PUPIL, "by: division", "by: home.street", "姓名", "always there"),
    split(
        "other_unit", C.ELEMENT_MISFIT, PUPIL, "姓名, grade: L3", "姓名, grade: L3, unit: 字", "姓名", "different unit"
    ),
    # fields
    change(
        "unknown_element",
        C.UNKNOWN_ELEMENT,
        PUPIL,
        "citizen.born",
        "citizen.bron",
        "生日",
        "did you mean citizen.born?",
    ),
    change(
        "element_word",
        C.WRONG_VALUE,
        PERSON,
        "element: citizen.name",
        "element: 姓名",
        "姓名, grade",
        "a name of letters",
    ),
    change(
        "other_entity",
        C.ELEMENT_MISFIT,
        WEATHER,
        "站号, grade: L1",
        "站号, grade: L1, element: citizen.school",
        "站号",
        "no declared entity",
    ),
    change(
        "other_type",
        C.ELEMENT_MISFIT,
        PERSON,
        "体重, grade: L2",
        "体重, grade: L2, element: citizen.school",
        "体重",
        "is a double",
    ),
    change(
        "inside",
        C.ELEMENT_MISFIT,
        PERSON,
        "配偶姓名, grade: L2",
        "配偶姓名, grade: L2, element: citizen.school",
        "配偶姓名",
        "may be null",
    ),
    changes(
        "subject_number",
        C.ELEMENT_MISFIT,
        {
            WEATHER: replaced(
                FILES[WEATHER],
                ("subject: station\nkey: [station]", "entity: citizen\nsubject: heat\nkey: [heat]"),
                ("站号, grade: L1", "站号, grade: L1, element: citizen.school"),
            )
        },
        WEATHER,
        "subject",
        "heat is a int",
    ),
    change(
        "bound_twice",
        C.BOUND_TWICE,
        PUPIL,
        "学区, grade: L2",
        "学区, grade: L2, element: citizen.school",
        "学区",
        "school of the same record",
    ),
    changes(
        "no_map",
        C.CODES_MISFIT,
        {ELEMENTS: replaced(CITIZENS[ELEMENTS], ('code_maps:\n  gender: {to: sex, codes: {M: "1", F: "2"}}\n', ""))},
        PUPIL,
        "gender: {title",
        "code_maps: {gender: {to: sex",
    ),
    changes(
        "other_map",
        C.CODES_MISFIT,
        {
            ELEMENTS: replaced(
                CITIZENS[ELEMENTS], ('{to: sex, codes: {M: "1", F: "2"}}', "{to: state, codes: {M: GONE}}")
            )
        },
        PUPIL,
        "gender: {title",
        "leads to state",
    ),
    change("no_codes", C.CODES_MISFIT, PERSON, "codes: sex, ", "", "性别", "add codes: sex"),
    change(
        "codes_too_many",
        C.CODES_MISFIT,
        PERSON,
        "codes: state",
        "codes: state, element: citizen.school",
        "状态",
        "names no list",
    ),
    # standing
    change("standing_field", C.UNKNOWN_FIELD, PERSON, "[name, sex]", "[name, sx]", "standing", "did you mean sex?"),
    change(
        "standing_no_source", C.INVALID_STANDING, PERSON, "[name, sex]", "[name, weight]", "standing", "not the source"
    ),
    changes(
        "standing_ungranted",
        C.INVALID_STANDING,
        {PUPIL: replaced(CITIZENS[PUPIL], (", school: {mask: {first: 2}}}", "}")), GOLDEN_ASK: SCHOOL_UNASKED},
        PUPIL,
        "standing",
        "does not give",
    ),
    # golden views
    change(
        "golden",
        C.UNKNOWN_DATASET,
        GOLDEN_ASK,
        "golden.citizen:",
        "golden.citizn:",
        "golden.citizn",
        "did you mean golden.citizen?",
    ),
    change(
        "golden_empty",
        C.UNKNOWN_DATASET,
        GOLDEN_ASK,
        "datasets:\n",
        "datasets:\n  golden.enterprise: {fields: [uscc]}\n",
        "golden.enterprise",
        "no element of enterprise has a source",
    ),
    change(
        "golden_part", C.UNKNOWN_FIELD, GOLDEN_ASK, "born.value", "born.valu", "born.valu", "did you mean born.value?"
    ),
    change(
        "golden_whole",
        C.NOT_SHARED,
        GOLDEN_ASK,
        "born.value: {generalise: year}",
        "born: pass",
        "born",
        "ask for born.value",
    ),
    change(
        "golden_source",
        C.NOT_SHARED,
        GOLDEN_ASK,
        "born.value: {generalise: year}",
        "born.source: pass",
        "born.source",
        "不对外共享",
    ),
    changes(
        "golden_id_alone",
        C.NOTHING_ASKED,
        {GOLDEN_ASK: replaced(UNNAMED, (SCHOOL_ASKED, ""), ("      born.value: {generalise: year}\n", ""))},
        GOLDEN_ASK,
        "fields",
        "names no element",
    ),
    changes(
        "golden_ungranted",
        C.FIELD_NOT_GRANTED,
        {PUPIL: SCHOOL_UNGRANTED, GOLDEN_ASK: SCHOOL_SHOWN},
        GOLDEN_ASK,
        "school.value",
        "school.pupil is the source",
    ),
    change(
        "golden_too_weak",
        C.MASK_TOO_WEAK,
        GOLDEN_ASK,
        "born.value: {generalise: year}",
        "born.value: pass",
        "born.value",
        "reveals more",
    ),
    change(
        "golden_misfit",
        C.MASK_MISFIT,
        GOLDEN_ASK,
        "born.value: {generalise: year}",
        "born.value: pseudonym",
        "born.value",
        "is a date",
    ),
    changes(
        "golden_id",
        C.MASK_TOO_WEAK,
        {PUPIL: replaced(CITIZENS[PUPIL], ("{pupil_id: pass", "{pupil_id: pseudonym"))},
        GOLDEN_ASK,
        "citizen_id",
        "school.pupil pupil_id",
    ),
    change(
        "golden_standing",
        C.STANDING_NOT_GRANTED,
        GOLDEN_ASK,
        "    rows:",
        "      born.standing: pass\n    rows:",
        "born.standing",
        "does not list birth_date",
    ),
    changes(
        "golden_nobodys",
        C.STANDING_NOT_GRANTED,
        {
            PUPIL: replaced(
                CITIZENS[PUPIL][: CITIZENS[PUPIL].index("grants:")], ("share: conditional", "share: unconditional")
            )
        },
        GOLDEN_ASK,
        "school.standing",
        "nobody's to grant",
    ),
    changes(
        "golden_purpose",
        C.PURPOSE_NOT_GRANTED,
        {PUPIL: replaced(CITIZENS[PUPIL], ("purpose: places", "purpose: care"))},
        GOLDEN_ASK,
        "golden.citizen",
        "for care, not for places",
    ),
    changes(
        "golden_clearance",
        C.ABOVE_CLEARANCE,
        {PUPIL: replaced(CITIZENS[PUPIL], ("姓名, grade: L3", "姓名, grade: L4"))},
        GOLDEN_ASK,
        "name.standing",
        "graded L4",
    ),
    change(
        "golden_rows",
        C.CONDITION_MISFIT,
        GOLDEN_ASK,
        "[agreed, stale]",
        "[agreed, old]",
        "rows",
        "not in its code list",
    ),
    change(
        "golden_rows_unasked",
        C.CONDITION_NOT_GRANTED,
        GOLDEN_ASK,
        "rows: {name.standing",
        "rows: {born.standing",
        "rows",
        "not delivered",
    ),
]
