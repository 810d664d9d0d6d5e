"""The small city with a second register of people, facts that both tell, and an ask for the golden view."""

from __future__ import annotations

from typing import Any

from integration.tiny_city import citizen_id

PUPIL = "school.pupil"
GOLDEN = "golden.citizen"
KNOWN = "care.known"
KNOWN_VIEW = f"{KNOWN}/{GOLDEN}"
_LAW = "数据共享条例第十九条"


def with_pupils(documents: Any) -> None:
    """Add the schools' register, which tells name, sex and birth date of people whom the police are the source of.

    No copy may lag behind: what differs is a discrepancy at once.
    """
    documents["schemas/elements.yaml"] |= {
        "entities": {"citizen": {"title": "自然人", "id": "citizen_id", "format": "citizen_id"}},
        "elements": {
            "citizen.name": _element("姓名", "text", "major"),
            "citizen.sex": _element("性别", "code", "critical", codes="sex"),
            "citizen.birth_date": _element("出生日期", "date", "minor"),
        },
    }
    fields = documents["producers/police/person.yaml"]["fields"]
    for name in ("name", "sex", "birth_date"):
        fields[name] |= {"element": f"citizen.{name}", "authoritative": True}
    documents["producers/police/person.yaml"]["entity"] = "citizen"
    documents["producers/police/person.yaml"]["grants"][2]["standing"] = ["name", "sex"]
    documents["producers/school/department.yaml"] = documents["producers/police/department.yaml"] | {
        "department": "school",
        "title": "教育局",
        "code": "11890000008904143F",
    }
    documents["producers/school/pupil.yaml"] = documents["producers/weather/reading.yaml"] | {
        "dataset": "pupil",
        "title": "学籍信息",
        "resource_code": "302008/000001",
        "entity": "citizen",
        "share": "conditional",
        "openness": "closed",
        "subject": "pupil_id",
        "key": ["pupil_id"],
        "fields": {
            "pupil_id": {"title": "公民身份号码", "grade": "L3", "format": "citizen_id"},
            "name": {"title": "姓名", "grade": "L3", "element": "citizen.name"},
            "sex": {"title": "性别", "grade": "L2", "codes": "sex", "element": "citizen.sex"},
            "born": {"title": "生日", "grade": "L3", "element": "citizen.birth_date"},
        },
    }
    documents["schemas/school/pupil.avsc"] = {
        "type": "record",
        "name": "pupil",
        "fields": [
            {"name": "pupil_id", "type": "string"},
            {"name": "name", "type": "string"},
            {"name": "sex", "type": ["null", "string"], "default": None},
            {"name": "born", "type": ["null", {"type": "int", "logicalType": "date"}], "default": None},
        ],
    }
    documents["schemas/school/pupil.usual.pass.json"] = {
        "pupil_id": "890201197806301238",
        "name": "欧阳建国",
        "sex": "1",
        "born": "1978-06-30",
    }
    documents["schemas/school/pupil.no_name.fail.json"] = {"pupil_id": "890201197806301238"}
    documents["consumers/care/known.yaml"] = documents["consumers/care/aid.yaml"] | {
        "ask": "known",
        "datasets": {
            GOLDEN: {
                "fields": dict.fromkeys(
                    ("citizen_id", "name.value", "name.standing", "sex.value", "sex.standing", "birth_date.value"),
                    "pass",
                )
            }
        },
    }


def _element(title: str, kind: str, severity: str, **more: str) -> dict[str, str]:
    return {
        "title": title,
        "definition": title,
        "type": kind,
        "comparator": "exact",
        "severity": severity,
        "grace": "0s",
    } | more


def pupil(number: int, **changed: Any) -> dict[str, Any]:
    """Return what the schools say of the *number*-th person: what the police say, unless *changed*."""
    return {"pupil_id": citizen_id(number), "name": f"欧阳{number}", "sex": "1", "born": None, **changed}
