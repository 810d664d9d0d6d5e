"""The tiny city with a second register of people, elements that both tell, and an ask for the golden view."""

from __future__ import annotations

from collections.abc import Mapping

from unit.catalogue.small_city import ELEMENTS, FILES, PERSON

PUPIL = "producers/school/pupil.yaml"
PUPIL_SCHEMA = "schemas/school/pupil.avsc"
SCHOOL = "producers/school/department.yaml"
GOLDEN_ASK = "consumers/school/golden.yaml"


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Return *text* with the only occurrence of each first text replaced by the second."""
    for old, new in pairs:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
        text = text.replace(old, new)
    return text


CITIZENS: Mapping[str, str] = {
    ELEMENTS: """\
purposes:
  places: 学位申请核验
  care: 残疾人补贴
code_lists:
  sex: {"1": 男, "2": 女}
  gender: {M: 男, F: 女}
  state: {ALIVE: 正常, GONE: 注销}
code_maps:
  gender: {to: sex, codes: {M: "1", F: "2"}}
entities:
  citizen: {title: 自然人, id: citizen_id, format: citizen_id}
  enterprise: {title: 企业, id: uscc, format: uscc}
elements:
  citizen.name: {title: 姓名, definition: 户口登记的姓名, type: text, comparator: name_zh, severity: major}
  citizen.sex: {title: 性别, definition: 户口登记的性别, type: code, codes: sex, comparator: exact, severity: major}
  citizen.born: {title: 出生日期, definition: 公历出生日期, type: date, comparator: date, severity: major, grace: 3d}
  citizen.school: {title: 学校, definition: 就读学校, type: text, comparator: exact, severity: info}
""",
    PERSON: replaced(
        FILES[PERSON],
        ("性别, grade: L2, codes: sex", "性别, grade: L2, codes: sex, element: citizen.sex, authoritative: true"),
        ("出生日期, grade: L3", "出生日期, grade: L3, element: citizen.born, authoritative: true"),
        ("    rows: {birth_date", "    standing: [name, sex]\n    rows: {birth_date"),
    ),
    SCHOOL: """\
department: school
title: 教育局
code: 11890000008904143F
region: "890000"
contact: {role: 学籍岗}
""",
    PUPIL: """\
dataset: pupil
title: 学籍信息
resource_code: 302008/000001
entity: citizen
subject: pupil_id
key: [pupil_id]
share: conditional
update: {cycle: weekly}
region: "890000"
legal_basis: 义务教育法第十四条
contact: {role: 学籍岗}
fields:
  pupil_id: {title: 公民身份号码, grade: L3, format: citizen_id}
  name: {title: 姓名, grade: L3, element: citizen.name}
  gender: {title: 性别, grade: L3, codes: gender, element: citizen.sex}
  born: {title: 生日, grade: L3, element: citizen.born}
  school: {title: 学校, grade: L2, element: citizen.school, authoritative: true}
  division: {title: 学区, grade: L2}
  home: {title: 家庭, grade: L2}
  home.street: {title: 街道, grade: L2}
  grade_no: {title: 年级, grade: L2}
grants:
  - to: school
    purpose: places
    legal_basis: 义务教育法第十二条
    until: 2027-06-30
    fields: {pupil_id: pass, school: {mask: {first: 2}}}
    standing: [school]
    rows: {division: {prefix: "8903"}}
""",
    PUPIL_SCHEMA: """\
{"type": "record", "name": "pupil", "fields": [
  {"name": "pupil_id", "type": "string"},
  {"name": "name", "type": "string"},
  {"name": "gender", "type": {"type": "enum", "name": "Gender", "symbols": ["M", "F"]}},
  {"name": "born", "type": ["null", {"type": "int", "logicalType": "date"}], "default": null},
  {"name": "school", "type": "string"},
  {"name": "division", "type": "string"},
  {"name": "home", "default": null, "type": ["null", {"type": "record", "name": "home_record", "fields": [
    {"name": "street", "type": "string"}
  ]}]},
  {"name": "grade_no", "type": "int"}
]}
""",
    "schemas/school/pupil.usual.pass.json": (
        '{"pupil_id": "890201197806301238", "name": "欧阳建国", "gender": "M", "born": "1978-06-30", '
        '"school": "一中", "division": "890301", "home": null, "grade_no": 1}\n'
    ),
    "schemas/school/pupil.no_name.fail.json": '{"pupil_id": "890201197806301238"}\n',
    GOLDEN_ASK: """\
ask: golden
purpose: places
legal_basis: 义务教育法第十二条
scenario: 学位申请时核对户籍
until: 2027-12-31
datasets:
  golden.citizen:
    fields:
      citizen_id: pass
      name.value: {mask: {first: 1}}
      name.standing: pass
      born.value: {generalise: year}
      school.value: {mask: {first: 1}}
      school.standing: pass
    rows: {name.standing: {in: [agreed, stale]}}
delivery: {kind: file, format: csv, folder: golden}
""",
}
"""What the tiny city has in place of its own files, and beside them."""

SPLIT_PERSON = replaced(
    CITIZENS[PERSON],
    (
        "姓名, grade: L3, element: citizen.name, authoritative: true",
        '姓名, grade: L3, element: citizen.name, authoritative: {by: address.division, divisions: ["8901", "8902"]}',
    ),
)
SPLIT_PUPIL = replaced(
    CITIZENS[PUPIL],
    (
        "姓名, grade: L3, element: citizen.name",
        '姓名, grade: L3, element: citizen.name, authoritative: {by: division, divisions: ["8903"]}',
    ),
)
