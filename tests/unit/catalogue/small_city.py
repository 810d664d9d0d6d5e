"""A tiny valid city as texts, and how to write it with a few changes: what the tests of declarations start from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

TODAY = date(2026, 6, 1)

CITY = "city.yaml"
ELEMENTS = "schemas/elements.yaml"
DEPARTMENT = "producers/police/department.yaml"
PERSON = "producers/police/person.yaml"
PERSON_SCHEMA = "schemas/police/person.avsc"
PERSON_PASS = "schemas/police/person.usual.pass.json"
PERSON_FAIL = "schemas/police/person.no_name.fail.json"
WEATHER = "producers/weather/reading.yaml"
WEATHER_SCHEMA = "schemas/weather/reading.avsc"
SUBSCRIBER = "consumers/school/subscriber.yaml"
ASK = "consumers/school/places.yaml"
WEATHER_ASK = "consumers/school/heat.yaml"

FILES: Mapping[str, str] = {
    CITY: """\
city: tiny
title: 小城
division: "890000"
replication_factor: 1
min_insync_replicas: 1
""",
    ELEMENTS: """\
purposes:
  places: 学位申请核验
  care: 残疾人补贴
code_lists:
  sex: {"1": 男, "2": 女}
  state: {ALIVE: 正常, GONE: 注销}
entities:
  citizen: {title: 自然人, id: citizen_id, format: citizen_id}
elements:
  citizen.name: {title: 姓名, definition: 户口登记的姓名, type: text, comparator: name_zh, severity: major}
""",
    DEPARTMENT: """\
department: police
title: 公安局
code: 11890000008900038B
region: "890000"
contact: {role: 数据岗}
""",
    PERSON: """\
dataset: person
title: 人口基本信息
resource_code: 101001/000001
entity: citizen
subject: citizen_id
key: [citizen_id, register_no]
share: conditional
update: {cycle: daily, max_age: 26h}
region: "890000"
legal_basis: 户口登记条例第四条
contact: {role: 数据岗}
fields:
  citizen_id: {title: 公民身份号码, grade: L3, format: citizen_id}
  register_no: {title: 册号, grade: L1}
  name: {title: 姓名, grade: L3, element: citizen.name, authoritative: true}
  sex: {title: 性别, grade: L2, codes: sex}
  state: {title: 状态, grade: L2, codes: state}
  birth_date: {title: 出生日期, grade: L3}
  income: {title: 收入, grade: L2, unit: 分}
  weight: {title: 体重, grade: L2}
  illness: {title: 疾病, grade: L4}
  phone: {title: 电话, grade: L3, share: not_shared, basis: 个人信息保护法第六条}
  address: {title: 住址, grade: L2}
  address.division: {title: 区划, grade: L2, format: division}
  address.street: {title: 街道, grade: L3}
  spouse: {title: 配偶, grade: L2}
  spouse.name: {title: 配偶姓名, grade: L2}
  tags: {title: 标签, grade: L1}
source:
  kind: file
  format: csv
  path: person/*.csv
  columns: {citizen_id: 身份证号}
checks:
  - {rule: birth_date_of_id, id: citizen_id, date: birth_date, on_failure: reject}
  - {rule: sex_of_id, id: citizen_id, sex: sex, on_failure: flag}
  - {rule: value_set, field: register_no, values: [7, 8], on_failure: flag}
grants:
  - to: school
    purpose: places
    legal_basis: 义务教育法第十二条
    until: 2027-12-31
    fields:
      citizen_id: pass
      register_no: pass
      name: {mask: {first: 1}}
      birth_date: {generalise: month}
      sex: pass
      state: pass
      income: {generalise: {band: 1000}}
      weight: pass
      address.division: {generalise: {division: 4}}
    rows: {birth_date: {range: {from: 2008-01-01, to: 2020-12-31}}, phone: {is_null: false}}
""",
    PERSON_SCHEMA: """\
{
  "type": "record",
  "name": "person",
  "fields": [
    {"name": "citizen_id", "type": "string"},
    {"name": "register_no", "type": "long"},
    {"name": "name", "type": "string"},
    {"name": "sex", "type": "string"},
    {"name": "state", "type": {"type": "enum", "name": "state_code", "symbols": ["ALIVE", "GONE"]}},
    {"name": "birth_date", "type": {"type": "int", "logicalType": "date"}},
    {"name": "income", "type": ["null", "long"], "default": null},
    {"name": "weight", "type": "double"},
    {"name": "illness", "type": ["null", "string"], "default": null},
    {"name": "phone", "type": ["null", "string"], "default": null},
    {"name": "address", "type": {"type": "record", "name": "address_record", "fields": [
      {"name": "division", "type": "string"},
      {"name": "street", "type": ["null", "string"], "default": null}
    ]}},
    {"name": "spouse", "default": null, "type": ["null", {"type": "record", "name": "spouse_record", "fields": [
      {"name": "name", "type": "string"}
    ]}]},
    {"name": "tags", "type": {"type": "array", "items": "string"}}
  ]
}
""",
    PERSON_PASS: """\
{
  "citizen_id": "890201197806301238",
  "register_no": 7,
  "name": "欧阳建国",
  "sex": "1",
  "state": "ALIVE",
  "birth_date": "1978-06-30",
  "weight": 70.5,
  "phone": null,
  "address": {"division": "890301"},
  "spouse": {"name": "李小云"},
  "tags": []
}
""",
    PERSON_FAIL: """\
{
  "citizen_id": "890201197806301238",
  "register_no": 7,
  "sex": "1",
  "state": "ALIVE",
  "birth_date": "1978-06-30",
  "weight": 70.5,
  "address": {"division": "890301"},
  "tags": []
}
""",
    "producers/weather/department.yaml": """\
department: weather
title: 气象局
code: 11890000000009048L
region: "890000"
contact: {role: 观测岗}
""",
    WEATHER: """\
dataset: reading
title: 气象观测
resource_code: 302022/000001
subject: station
key: [station]
share: unconditional
openness: open
update: {cycle: realtime}
region: "890000"
legal_basis: 气象法第二十二条
contact: {role: 观测岗}
fields:
  station: {title: 站号, grade: L1}
  heat: {title: 气温, grade: L1}
""",
    WEATHER_SCHEMA: """\
{"type": "record", "name": "reading", "fields": [
  {"name": "station", "type": "string"},
  {"name": "heat", "type": "int"}
]}
""",
    "schemas/weather/reading.usual.pass.json": '{"station": "89001", "heat": 215}\n',
    "schemas/weather/reading.text_heat.fail.json": '{"station": "89001", "heat": "hot"}\n',
    SUBSCRIBER: """\
subscriber: school
title: 教育局
code: 11890000008904143F
clearance: L3
region: "890000"
contact: {role: 学位岗}
""",
    ASK: """\
ask: places
purpose: places
legal_basis: 义务教育法第十二条
scenario: 学位申请时核对户籍
until: 2027-12-31
datasets:
  police.person:
    fields:
      citizen_id: pass
      register_no: pass
      name: {mask: {first: 1}}
      birth_date: {generalise: year}
      sex: pass
      weight: pass
      address.division: {generalise: {division: 4}}
    rows: {sex: {equals: "1"}}
delivery: {kind: postgres, schema: places}
""",
    WEATHER_ASK: """\
ask: heat
purpose: care
legal_basis: 气象法第二十二条
scenario: 高温停课
until: 2027-12-31
datasets:
  weather.reading: {fields: {station: pass, heat: pass}}
delivery: {kind: file, format: csv, folder: heat}
""",
    "producers/README.md": "notes are read by people only\n",
}


def write_city(root: Path, files: Mapping[str, str | bytes | None] | None = None) -> Path:
    """Write the tiny city under *root*, with *files* in place of its own (None: without that file); return *root*."""
    for file, content in {**FILES, **(files or {})}.items():
        path = root / file
        if content is None:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def edited(file: str, old: str, new: str) -> dict[str, str]:
    """Return *file* with its only occurrence of *old* replaced by *new*."""
    assert FILES[file].count(old) == 1, f"{old!r} stands {FILES[file].count(old)} times in {file}"
    return {file: FILES[file].replace(old, new)}
