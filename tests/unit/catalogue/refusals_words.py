"""Words and values that a file's own model refuses."""

from __future__ import annotations

from unit.catalogue.refusal import Refusal, change
from unit.catalogue.small_city import (
    ASK,
    CITY,
    DEPARTMENT,
    FILES,
    PERSON,
    PERSON_PASS,
    PERSON_SCHEMA,
    SUBSCRIBER,
    WEATHER,
    edited,
)

from govbus.catalogue.faults import FaultCode as C

WORD_REFUSALS = [
    change(
        "unknown_key",
        C.UNKNOWN_KEY,
        PERSON,
        "update: {cycle",
        "opennes: open\nupdate: {cycle",
        "opennes:",
        "did you mean openness?",
    ),
    change(
        "key_of_grant",
        C.UNKNOWN_KEY,
        PERSON,
        "    until: 2027",
        "    untill: x\n    until: 2027",
        "untill",
        "did you mean until?",
    ),
    change(
        "key_of_field",
        C.UNKNOWN_KEY,
        PERSON,
        "册号, grade: L1",
        "册号, grade: L1, formatt: x",
        "册号",
        "did you mean format?",
    ),
    change(
        "key_of_source",
        C.UNKNOWN_KEY,
        PERSON,
        "  format: csv\n",
        "  format: csv\n  delimeter: ;\n",
        "delimeter",
        "did you mean delimiter?",
    ),
    change(
        "key_of_delivery",
        C.UNKNOWN_KEY,
        ASK,
        "schema: places}",
        "schema: places, table: x}",
        "delivery",
        "unknown key table",
    ),
    change(
        "placed_key",
        C.UNKNOWN_KEY,
        ASK,
        "ask: places",
        "ask: places\nsubscriber: school",
        "subscriber",
        "file's folder",
    ),
    change("cycle", C.UNKNOWN_WORD, PERSON, "cycle: daily", "cycle: dayly", "cycle", "did you mean daily?"),
    change(
        "share",
        C.UNKNOWN_WORD,
        PERSON,
        "share: conditional",
        "share: conditionally",
        "share: conditionally",
        "conditional",
    ),
    change(
        "grade", C.UNKNOWN_WORD, PERSON, "册号, grade: L1", "册号, grade: L9", "册号", "write one of: L1, L2, L3, L4"
    ),
    change(
        "state_of_grant",
        C.UNKNOWN_WORD,
        PERSON,
        "    until: 2027",
        "    state: paused\n    until: 2027",
        "paused",
        "suspended",
    ),
    change("source_kind", C.UNKNOWN_WORD, PERSON, "kind: file", "kind: files", "source", "did you mean file?"),
    change(
        "delivery_kind", C.UNKNOWN_WORD, ASK, "kind: postgres", "kind: postgresql", "delivery", "did you mean postgres?"
    ),
    change("no_title", C.MISSING_KEY, PERSON, "title: 人口基本信息\n", "", "dataset: person", "title is missing"),
    change(
        "no_scenario", C.MISSING_KEY, ASK, "scenario: 学位申请时核对户籍\n", "", "ask: places", "scenario is missing"
    ),
    change(
        "no_delivery",
        C.MISSING_KEY,
        ASK,
        "delivery: {kind: postgres, schema: places}\n",
        "",
        "ask:",
        "delivery is missing",
    ),
    change(
        "no_kind", C.MISSING_KEY, ASK, "{kind: postgres, schema: places}", "{schema: places}", "delivery", "has no kind"
    ),
    change(
        "no_max_age", C.MISSING_KEY, PERSON, "{cycle: daily, max_age: 26h}", "{cycle: irregular}", "update", "max_age"
    ),
    change("a_number", C.WRONG_VALUE, CITY, '"890000"', "890000", "division", 'in quotes, "890000"'),
    change("a_time", C.WRONG_VALUE, ASK, "until: 2027-12-31", "until: 1767225600", "until", "YYYY-MM-DD"),
    change("a_duration", C.WRONG_VALUE, PERSON, "max_age: 26h", "max_age: 26 hours", "update", "26h"),
    change("resource_code", C.WRONG_VALUE, PERSON, "101001/000001", "4-1", "resource_code", "101001/000001"),
    change(
        "replicas",
        C.WRONG_VALUE,
        CITY,
        "min_insync_replicas: 1",
        "min_insync_replicas: 2",
        "min_insync",
        "nothing could",
    ),
    change("partitions", C.WRONG_VALUE, CITY, "title:", "partitions: 0\ntitle:", "partitions", "from 1"),
    change("outside", C.WRONG_VALUE, PERSON, "path: person/*.csv", "path: ../*.csv", "path", "without .."),
    change(
        "percent",
        C.WRONG_VALUE,
        PERSON,
        "  format: csv\n",
        "  format: csv\n  deletion_limit: 0.1\n",
        "deletion_limit",
        "quotes",
    ),
    change(
        "snapshot_operation",
        C.WRONG_VALUE,
        PERSON,
        "  format: csv\n",
        "  format: csv\n  operation: op\n",
        "source:",
        "mode changes",
    ),
    change(
        "no_element",
        C.WRONG_VALUE,
        PERSON,
        "册号, grade: L1",
        "册号, grade: L1, authoritative: true",
        "册号",
        "authoritative, but for nothing",
    ),
    change(
        "open_condition",
        C.WRONG_VALUE,
        WEATHER,
        "openness",
        "share_condition: 须申请\nopenness",
        "share_condition",
        "unconditional",
    ),
    change(
        "no_law",
        C.MISSING_LEGAL_BASIS,
        PERSON,
        "legal_basis: 户口登记条例第四条\n",
        "",
        "dataset: person",
        "name the law",
    ),
    change(
        "no_law_grant",
        C.MISSING_LEGAL_BASIS,
        PERSON,
        "    legal_basis: 义务教育法第十二条\n",
        "",
        "- to: school",
        "name the law",
    ),
    change("no_law_ask", C.MISSING_LEGAL_BASIS, ASK, "legal_basis: 义务教育法第十二条\n", "", "ask:", "name the law"),
    change(
        "empty_law",
        C.MISSING_LEGAL_BASIS,
        ASK,
        "legal_basis: 义务教育法第十二条",
        'legal_basis: " "',
        "legal_basis",
        "is empty",
    ),
    change("no_basis", C.MISSING_LEGAL_BASIS, PERSON, ", basis: 个人信息保护法第六条", "", "phone: {", "bars it"),
    change("no_purpose", C.MISSING_PURPOSE, ASK, "purpose: places\n", "", "ask: places", "purpose is missing"),
    change(
        "no_purpose_grant", C.MISSING_PURPOSE, PERSON, "    purpose: places\n", "", "- to: school", "purpose is missing"
    ),
    Refusal(
        "reserved_field",
        C.RESERVED_NAME,
        edited(PERSON, "  tags: {", "  not: {")
        | edited(PERSON_SCHEMA, '"name": "tags"', '"name": "not"')
        | edited(PERSON_PASS, '"tags"', '"not"'),
        PERSON_SCHEMA,
        '"not"',
        "keeps for itself",
    ),
    Refusal(
        "meta_field",
        C.RESERVED_NAME,
        edited(
            PERSON_SCHEMA, '{"name": "weight"', '{"name": "_version", "type": "long", "default": 0},\n{"name": "weight"'
        ),
        PERSON_SCHEMA,
        "_version",
        "keeps for itself",
    ),
    Refusal(
        "reserved_department",
        C.RESERVED_NAME,
        {
            "producers/bus/department.yaml": FILES[SUBSCRIBER]
            .replace("subscriber: school", "department: bus")
            .replace("clearance: L3\n", "")
            .replace("11890000008904143F", "11890000000009056F")
        },
        "producers/bus/department.yaml",
        "department: bus",
        "the bus's own topics",
    ),
    Refusal(
        "golden_department",
        C.RESERVED_NAME,
        {
            "producers/golden/department.yaml": FILES[SUBSCRIBER]
            .replace("subscriber: school", "department: golden")
            .replace("clearance: L3\n", "")
            .replace("11890000008904143F", "11890000000009056F")
        },
        "producers/golden/department.yaml",
        "department: golden",
        "the bus's own topics",
    ),
    change("code", C.INVALID_CODE, DEPARTMENT, "38B", "38C", "code", "check character"),
    change("enterprise", C.INVALID_CODE, DEPARTMENT, "11890000008900038B", "91890100MA5TEXT03K", "code", "starts with"),
    change(
        "one_code",
        C.DUPLICATE_CODE,
        SUBSCRIBER,
        "11890000008904143F",
        "11890000008900038B",
        "code",
        "one body, one code",
    ),
]
