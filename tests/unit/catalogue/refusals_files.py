"""Files that cannot be read, or stand where nothing reads them."""

from __future__ import annotations

from unit.catalogue.refusal import Refusal, change
from unit.catalogue.small_city import ASK, CITY, ELEMENTS, FILES, PERSON_PASS, PERSON_SCHEMA, WEATHER, edited

from govbus.catalogue.faults import FaultCode as C

FILE_REFUSALS = [
    change("not_yaml", C.MALFORMED_FILE, ASK, "scenario: ", "scenario: [", "until", "not readable as YAML"),
    Refusal("not_utf8", C.MALFORMED_FILE, {ASK: "title: 人口".encode("gb18030")}, ASK, "", "not UTF-8"),
    Refusal("a_list", C.MALFORMED_FILE, {ASK: "- ask\n"}, ASK, "- ask", "must hold a mapping"),
    Refusal("empty", C.MALFORMED_FILE, {ASK: ""}, ASK, "", "must hold a mapping"),
    change("anchor", C.MALFORMED_FILE, ASK, "legal_basis: ", "legal_basis: &law ", "&law", "anchors"),
    change("alias", C.MALFORMED_FILE, ASK, "scenario: 学位申请时核对户籍", "scenario: *law", "*law", "alias"),
    change("tag", C.MALFORMED_FILE, ASK, "scenario: ", "scenario: !!python/name:os.system ", "!!python", "tags"),
    change("two_documents", C.MALFORMED_FILE, ASK, "until:", "---\nuntil:", "---", "one document per file"),
    Refusal("deep", C.MALFORMED_FILE, {ASK: f"a: {'[' * 1000}{']' * 1000}"}, ASK, "a: [", "nested deeper"),
    Refusal(
        "json",
        C.MALFORMED_FILE,
        edited(PERSON_SCHEMA, '"name": "person",', '"name": "person"'),
        PERSON_SCHEMA,
        '  "fields"',
        "JSON",
    ),
    change("twice", C.DUPLICATE_KEY, ASK, "until: ", "scenario: 又一次\nuntil: ", "又一次", "scenario stands twice"),
    change("twice_json", C.DUPLICATE_KEY, PERSON_PASS, '"sex": "1"', '"sex": "1", "sex": "2"', "{", "sex stands twice"),
    change("truth_word", C.AMBIGUOUS_VALUE, ASK, "scenario: 学位申请时核对户籍", "scenario: yes", "yes", "in quotes"),
    change("octal", C.AMBIGUOUS_VALUE, CITY, '"890000"', "012345", "division", '"012345"'),
    change(
        "no_day", C.AMBIGUOUS_VALUE, ASK, "until: 2027-12-31", "until: 2027-02-30", "until", "no day of the calendar"
    ),
    change("number_key", C.AMBIGUOUS_VALUE, ELEMENTS, '{"1": 男', "{1: 男", "sex", 'in quotes, "1"'),
    Refusal(
        "stray",
        C.UNEXPECTED_FILE,
        {"producers/police/person.yml": ""},
        "producers/police/person.yml",
        "",
        "nothing reads",
    ),
    Refusal(
        "stray_schema", C.UNEXPECTED_FILE, {"schemas/police/person.json": ""}, "schemas/police/person.json", "", "avsc"
    ),
    Refusal("stray_top", C.UNEXPECTED_FILE, {"consumers/x.yaml": ""}, "consumers/x.yaml", "", "one folder for each"),
    Refusal(
        "bad_name",
        C.UNEXPECTED_FILE,
        {"consumers/school/My-Ask.yaml": ""},
        "consumers/school/My-Ask.yaml",
        "",
        "no name",
    ),
    Refusal("no_city", C.DANGLING_FILE, {CITY: None}, CITY, "", "govbus init"),
    Refusal(
        "no_department",
        C.DANGLING_FILE,
        {"producers/tax/n.md": "", "producers/tax/department.yaml": None},
        "producers/tax/department.yaml",
        "",
        "who tax is",
    ),
    Refusal(
        "no_subscriber", C.DANGLING_FILE, {"consumers/tax/n.md": ""}, "consumers/tax/subscriber.yaml", "", "who tax is"
    ),
    Refusal("lone_schema", C.DANGLING_FILE, {"schemas/police/x.avsc": "{}"}, "schemas/police/x.avsc", "", "no dataset"),
    Refusal(
        "lone_sample",
        C.DANGLING_FILE,
        {"schemas/police/x.y.pass.json": "{}"},
        "schemas/police/x.y.pass.json",
        "",
        "no schema",
    ),
    Refusal(
        "lone_dataset",
        C.DANGLING_FILE,
        {
            "producers/police/twin.yaml": FILES[WEATHER]
            .replace("dataset: reading", "dataset: twin")
            .replace("302022", "302023")
        },
        "producers/police/twin.yaml",
        "",
        "no schema",
    ),
    change(
        "other_name", C.NAME_MISMATCH, ASK, "ask: places", "ask: place", "ask: place", "the file's place says places"
    ),
    change("other_record", C.NAME_MISMATCH, PERSON_SCHEMA, '"person"', '"people"', '"people"', "named people"),
]
