"""Grants and asks that are contradictory or go too far."""

from __future__ import annotations

from unit.catalogue.refusal import Refusal, change
from unit.catalogue.small_city import ASK, FILES, PERSON, WEATHER, WEATHER_ASK, edited

from govbus.catalogue.faults import FaultCode as C

GRANT = "      weight: pass\n      address.division"
"""Where one more field of the grant goes."""

SECOND_GRANT = """\
  - to: school
    purpose: places
    legal_basis: 义务教育法
    until: 2027-01-01
    fields: [citizen_id, register_no, {name: {mask: {first: 1}}}, {birth_date: {generalise: year}}, sex, weight,
             {address.division: {generalise: {division: 4}}}]
"""

SHARING_REFUSALS = [
    change(
        "purpose_grant",
        C.UNKNOWN_PURPOSE,
        PERSON,
        "purpose: places",
        "purpose: plaices",
        "purpose",
        "did you mean places?",
    ),
    change(
        "purpose_ask",
        C.UNKNOWN_PURPOSE,
        WEATHER_ASK,
        "purpose: care",
        "purpose: cares",
        "purpose",
        "did you mean care?",
    ),
    change("to", C.UNKNOWN_SUBSCRIBER, PERSON, "to: school", "to: schools", "to:", "did you mean school?"),
    change(
        "dataset",
        C.UNKNOWN_DATASET,
        WEATHER_ASK,
        "weather.reading:",
        "weather.readings:",
        "weather.readings",
        "did you mean weather.reading?",
    ),
    change("field_ask", C.UNKNOWN_FIELD, ASK, "      weight: pass", "      wait: pass", "wait", "no field wait"),
    change(
        "field_grant", C.UNKNOWN_FIELD, PERSON, GRANT, "      wieght: pass\n" + GRANT, "wieght", "did you mean weight?"
    ),
    change(
        "field_source",
        C.UNKNOWN_FIELD,
        PERSON,
        "{citizen_id: 身份证号}",
        "{citizenid: 身份证号}",
        "columns",
        "did you mean citizen_id?",
    ),
    change("field_rows", C.UNKNOWN_FIELD, PERSON, "phone: {is_null", "fone: {is_null", "rows", "did you mean phone?"),
    change("mask", C.UNKNOWN_MASK, ASK, "weight: pass", "weight: hash", "weight", "unknown mask"),
    change("mask_word", C.UNKNOWN_MASK, ASK, "{mask: {first: 1}}", "{mask: {head: 1}}", "name", "first and last"),
    change("misfit", C.MASK_MISFIT, ASK, "weight: pass", "weight: pseudonym", "weight", "does not apply"),
    change(
        "misfit_grant",
        C.MASK_MISFIT,
        PERSON,
        "weight: pass",
        "weight: {generalise: year}",
        "weight: {g",
        "does not apply",
    ),
    change(
        "optional_part",
        C.MASK_MISFIT,
        PERSON,
        GRANT,
        "      spouse.name: pass\n" + GRANT,
        "spouse.name: pass",
        "may be null",
    ),
    change(
        "clearance",
        C.ABOVE_CLEARANCE,
        PERSON,
        GRANT,
        "      illness: {mask: {last: 1}}\n" + GRANT,
        "illness: {mask",
        "graded L4",
    ),
    Refusal(
        "clearance_record",
        C.ABOVE_CLEARANCE,
        {
            PERSON: FILES[PERSON]
            .replace("街道, grade: L3", "街道, grade: L4")
            .replace("address.division: {generalise: {division: 4}}", "address: pass"),
            ASK: FILES[ASK].replace("      address.division: {generalise: {division: 4}}\n", ""),
        },
        PERSON,
        "address: pass",
        "address is graded L4",
    ),
    Refusal(
        "clearance_ask",
        C.ABOVE_CLEARANCE,
        edited(WEATHER, "气温, grade: L1", "气温, grade: L4"),
        WEATHER_ASK,
        "weather.reading",
        "cleared for L3",
    ),
    change(
        "not_shared", C.NOT_SHARED, PERSON, GRANT, "      phone: pass\n" + GRANT, "phone: pass", "个人信息保护法第六条"
    ),
    Refusal(
        "not_shared_ask",
        C.NOT_SHARED,
        edited(WEATHER, "气温, grade: L1", "气温, grade: L1, share: not_shared, basis: 气象法"),
        WEATHER_ASK,
        "weather.reading",
        "not shared",
    ),
    change(
        "two_grants",
        C.DUPLICATE_GRANT,
        PERSON,
        "grants:\n",
        "grants:\n" + SECOND_GRANT,
        "- to: school",
        "second grant",
    ),
    change(
        "needless",
        C.NEEDLESS_GRANT,
        WEATHER,
        "fields:\n",
        "grants: [{to: school, purpose: care, legal_basis: 法, until: 2027-01-01, fields: [heat]}]\nfields:\n",
        "grants",
        "unconditionally",
    ),
    change(
        "other_purpose",
        C.PURPOSE_NOT_GRANTED,
        ASK,
        "purpose: places",
        "purpose: care",
        "police.person",
        "for places, not for care",
    ),
    change(
        "not_granted", C.FIELD_NOT_GRANTED, ASK, "      weight: pass", "      spouse: pass", "spouse", "is not granted"
    ),
    change("too_weak", C.MASK_TOO_WEAK, ASK, "{mask: {first: 1}}", "pass", "name", "reveals more"),
    change(
        "too_fine",
        C.MASK_TOO_WEAK,
        ASK,
        "{generalise: {division: 4}}",
        "{generalise: {division: 6}}",
        "address.division",
        "reveals more",
    ),
    change(
        "incomparable", C.MASKS_INCOMPARABLE, ASK, "{mask: {first: 1}}", "{mask: {last: 1}}", "name", "neither covers"
    ),
    change(
        "overlap",
        C.OVERLAPPING_FIELDS,
        PERSON,
        GRANT,
        "      address: pass\n" + GRANT,
        "address.division: {gen",
        "as a whole",
    ),
    change(
        "nothing",
        C.NOTHING_ASKED,
        WEATHER_ASK,
        "{station: pass, heat: pass}",
        "{}",
        "weather.reading",
        "names no field",
    ),
    change(
        "all_dropped",
        C.NOTHING_ASKED,
        WEATHER_ASK,
        "{station: pass, heat: pass}",
        "{heat: drop}",
        "weather.reading",
        "dropped",
    ),
    change(
        "nothing_granted",
        C.NOTHING_ASKED,
        PERSON,
        "grants:\n",
        "grants:\n  - {to: school, purpose: care, legal_basis: 法, until: 2027-01-01, fields: []}\n",
        "fields: []",
        "names no field",
    ),
    change("condition_word", C.INVALID_CONDITION, ASK, '{equals: "1"}', '{equal: "1"}', "rows", "unknown word equal"),
    change(
        "condition_empty",
        C.INVALID_CONDITION,
        ASK,
        'rows: {sex: {equals: "1"}}',
        "rows: {all: []}",
        "rows",
        "at least one entry",
    ),
    change("condition_none", C.INVALID_CONDITION, ASK, 'rows: {sex: {equals: "1"}}', "rows: {}", "rows", "all rows"),
    change(
        "condition_ungranted",
        C.CONDITION_NOT_GRANTED,
        ASK,
        '{sex: {equals: "1"}}',
        "{state: {equals: ALIVE}}",
        "rows",
        "not delivered",
    ),
    Refusal(
        "condition_pseudonym",
        C.CONDITION_NOT_GRANTED,
        {
            ASK: FILES[ASK]
            .replace("citizen_id: pass", "citizen_id: pseudonym")
            .replace('sex: {equals: "1"}', "citizen_id: {is_null: false}")
        },
        ASK,
        "rows",
        "not shown",
    ),
    change(
        "condition_kind",
        C.CONDITION_MISFIT,
        ASK,
        '{sex: {equals: "1"}}',
        "{weight: {range: {from: 50}}}",
        "rows",
        "a double cannot be compared",
    ),
    change("condition_text", C.CONDITION_MISFIT, ASK, '{equals: "1"}', "{equals: 1}", "rows", "in quotes"),
    change(
        "condition_code", C.CONDITION_MISFIT, ASK, '{equals: "1"}', '{in: ["1", "7"]}', "rows", "not in its code list"
    ),
    change("condition_day", C.CONDITION_MISFIT, PERSON, "from: 2008-01-01", "from: 2008", "rows", "YYYY-MM-DD"),
    change(
        "condition_masked",
        C.CONDITION_MISFIT,
        ASK,
        '{sex: {equals: "1"}}',
        "{birth_date: {equals: 2010}}",
        "rows",
        "in quotes",
    ),
    change(
        "condition_prefix",
        C.CONDITION_MISFIT,
        PERSON,
        "phone: {is_null: false}",
        'register_no: {prefix: "1"}',
        "rows",
        "test of texts",
    ),
    change(
        "condition_range", C.CONDITION_MISFIT, PERSON, "to: 2020-12-31", "to: 2000-12-31", "rows", "the range is empty"
    ),
    change(
        "condition_symbol",
        C.CONDITION_MISFIT,
        PERSON,
        "phone: {is_null: false}",
        "state: {equals: DEAD}",
        "rows",
        "code list",
    ),
    change(
        "condition_format",
        C.CONDITION_MISFIT,
        PERSON,
        "phone: {is_null: false}",
        'citizen_id: {equals: "89010119910101008x"}',
        "rows",
        "canonical",
    ),
    change(
        "condition_inside",
        C.CONDITION_MISFIT,
        PERSON,
        "phone: {is_null: false}",
        "spouse.name: {is_null: false}",
        "rows",
        "may be null",
    ),
]
