"""Structural checks on real servers: put aside with the rule that was broken, or accepted, counted and sent on."""

from __future__ import annotations

import csv
import os
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, PERSON, citizen_id, person
from typer.testing import CliRunner

from govbus import metrics
from govbus.adapters import InvalidRecord, Publisher
from govbus.adapters.run import produce
from govbus.cli import app
from govbus.kafka.settings import Settings
from govbus.ops.trace import trace
from govbus.ops.trace_verdict import Verdict

pytestmark = pytest.mark.stack

CERTIFICATE = "police.certificate"
FAULT = "残疾人证号所含公民身份号码与公民身份号码不一致"
FILE = {
    "kind": "file",
    "format": "csv",
    "path": "certificate/*.csv",
    "columns": {"citizen_id": "身份证号", "number": "证号", "grade": "等级"},
}


def declare_checks(documents: Any) -> None:
    """Give police a register of certificates, and checks to both its registers of persons."""
    person_file = documents["producers/police/person.yaml"]
    person_file["checks"] = [
        {"rule": "birth_date_of_id", "id": "citizen_id", "date": "birth_date", "on_failure": "flag"},
        {"rule": "sex_of_id", "id": "citizen_id", "sex": "sex", "on_failure": "flag"},
    ]
    documents["producers/police/certificate.yaml"] = {
        **{key: value for key, value in person_file.items() if key not in ("dataset", "fields", "grants", "checks")},
        "dataset": "certificate",
        "title": "certificate",
        "resource_code": "101001/000003",
        "fields": {
            "citizen_id": {"title": "公民身份号码", "grade": "L3", "format": "citizen_id"},
            "number": {"title": "残疾人证号", "grade": "L3", "format": "disability_certificate"},
            "grade": {"title": "等级", "grade": "L3"},
        },
        "source": FILE,
        "checks": [
            {"rule": "certificate_of_id", "certificate": "number", "id": "citizen_id", "on_failure": "reject"},
            {"rule": "certificate_grade", "certificate": "number", "grade": "grade", "on_failure": "flag"},
        ],
        "grants": [
            {
                "to": "care",
                "purpose": "aid",
                "legal_basis": "数据共享条例第三条",
                "until": "2099-12-31",
                "fields": ["citizen_id", "grade"],
            }
        ],
    }
    documents["consumers/care/aid.yaml"]["datasets"][CERTIFICATE] = {"fields": ["citizen_id", "grade"]}
    texts = [{"name": name, "type": "string"} for name in ("citizen_id", "number", "grade")]
    documents["schemas/police/certificate.avsc"] = {"type": "record", "name": "certificate", "fields": texts}
    documents["schemas/police/certificate.third.pass.json"] = certificate(1)
    documents["schemas/police/certificate.of_another.fail.json"] = certificate(1, of=2)


def certificate(number: int, of: int | None = None, grade: str = "3") -> dict[str, str]:
    """Return the certificate of the *number*-th citizen; its number is made of the id of the citizen *of*."""
    holder = citizen_id(number if of is None else of)
    return {"citizen_id": citizen_id(number), "number": f"{holder}23", "grade": grade}


def citizen(number: int, **changed: Any) -> dict[str, Any]:
    """Return the *number*-th person as his id has him: born on its day, of its sex."""
    number_of = citizen_id(number)
    born = date(int(number_of[6:10]), int(number_of[10:12]), int(number_of[12:14]))
    sex = "1" if int(number_of[16]) % 2 else "2"
    days = (born - date(1970, 1, 1)).days
    return {**person(number), "birth_date": days, "sex": sex, **changed}


def counted(dataset: str, rule: str, outcome: str) -> float:
    """Return how often the worker of this process has counted a failure so far."""
    labels = {"dataset": dataset, "rule": rule, "outcome": outcome}
    return metrics.REGISTRY.get_sample_value("govbus_exchange_check_failures_total", labels) or 0.0


def refused_at_home(rule: str) -> float:
    labels = {"dataset": CERTIFICATE, "rule": rule}
    return metrics.REGISTRY.get_sample_value("govbus_adapter_check_failures_total", labels) or 0.0


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    """The tiny city with structural checks."""
    return ExchangeBus(settings, topic_prefix, tmp_path / "city", declare_checks)


def test_a_certificate_of_somebody_else_is_rejected_with_its_rule(bus: ExchangeBus) -> None:
    """The reject names reason, rule and field and is counted by rule; what was accepted before stays."""
    before = counted(CERTIFICATE, "certificate_of_id", "rejected")
    bus.upsert(certificate(1), dataset=CERTIFICATE)
    bus.upsert(certificate(2), dataset=CERTIFICATE)
    wrong = certificate(1, of=2)
    bus.send_bad(bus.key(CERTIFICATE, wrong), bus.value(CERTIFICATE, wrong, bus.version()), dataset=CERTIFICATE)
    bus.exchange()

    (reject,) = bus.rejects()
    headers = dict(reject.headers)
    assert (headers["reason"], headers["rule"], headers["field"]) == (
        b"structural_check",
        b"certificate_of_id",
        b"number",
    )
    assert not any(citizen_id(2).encode() in value for _, value in reject.headers)
    assert counted(CERTIFICATE, "certificate_of_id", "rejected") - before == 1
    bus.check()
    assert len(bus.shared(f"care.aid/{CERTIFICATE}")) == 2


def test_a_birth_date_that_contradicts_the_id_is_accepted_flagged_and_counted(bus: ExchangeBus) -> None:
    """A flagged record is delivered like any other; each check it fails counts once, however often it is sent again."""
    rules = ("birth_date_of_id", "sex_of_id")
    before = {rule: counted(PERSON, rule, "flagged") for rule in rules}
    sound = [citizen(number) for number in range(1, 6)]
    late = citizen(6, birth_date=citizen(6)["birth_date"] + 31)
    other_sex = citizen(7, sex="21"[int(citizen(7)["sex"]) - 1])
    for each in (*sound, late, other_sex):
        bus.upsert(each)
    again = bus.upsert(late)
    bus.exchange()
    # A duplicate and a stale state change nothing, so they count nothing.
    bus.upsert(late, again)
    bus.upsert(citizen(7, birth_date=0), version=again - 5_000_000)
    bus.exchange()

    assert bus.rejects() == []
    assert {rule: counted(PERSON, rule, "flagged") - before[rule] for rule in rules} == {
        "birth_date_of_id": 2,
        "sex_of_id": 1,
    }
    bus.check()
    assert len(bus.shared(AID)) == 7


def test_a_department_learns_at_home_what_the_bus_would_reject(bus: ExchangeBus) -> None:
    """Its program is told rule and reason, its file's list of rejected rows says the same; a flag stops no row."""
    before = refused_at_home("certificate_of_id")
    with Publisher(bus.settings, CERTIFICATE, bus.topics) as publisher:
        publisher.upsert(certificate(1, grade="4"))
        with pytest.raises(InvalidRecord) as refused:
            publisher.upsert(certificate(2, of=3))
    assert refused.value.reason == "structural_check"
    assert refused.value.rules == ("certificate_of_id",)
    assert str(refused.value) == f"number: {FAULT} (certificate_of_id)"

    drop = bus.settings.home / "drop" / "police"
    path = drop / "certificate" / "all.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FILE["columns"].values())  # type: ignore[attr-defined]
        writer.writerows([certificate(1, grade="4").values(), certificate(2, of=3).values(), certificate(4).values()])
    hour_ago = time.time() - 3_600
    os.utime(path, (hour_ago, hour_ago))
    produced = produce(bus.settings, bus.topics, "police", once=True, drop=drop)
    look = produced.looks[CERTIFICATE]
    assert look.rejected == {"structural_check": 1}
    (rejected,) = (drop / "certificate" / "done").glob("*.rejected.csv")
    _, row = csv.reader(rejected.read_text("utf-8-sig").splitlines())
    assert row == ["3", f"number: {FAULT} (certificate_of_id)", *certificate(2, of=3).values()]
    assert refused_at_home("certificate_of_id") - before == 2

    bus.exchange()
    assert bus.rejects() == []
    assert len(bus.shared(f"care.aid/{CERTIFICATE}")) == 2


def test_operators_and_departments_read_the_rule(bus: ExchangeBus) -> None:
    """`rejects` and `trace` name the check, say in words what is wrong, and show no value of the record."""
    wrong = certificate(1, of=2)
    bus.send_bad(bus.key(CERTIFICATE, wrong), bus.value(CERTIFICATE, wrong, bus.version()), dataset=CERTIFICATE)
    bus.exchange()

    found = trace(bus.settings, bus.topics, CERTIFICATE, [citizen_id(1)], "care.aid")
    assert found.verdict is Verdict.REJECTED
    assert found.reasons[0].startswith("rejected once: structural_check (certificate_of_id), field number; last at ")
    assert found.what_to_do.startswith(f"{FAULT}: ")
    assert citizen_id(2) not in str(found)

    command = ["--city", str(bus.settings.city_dir), "rejects", "police"]
    shown = CliRunner().invoke(app, command, env=bus.environment())
    assert shown.exit_code == 0, shown.output
    assert "structural_check (certificate_of_id)" in shown.output
    assert FAULT in shown.output
    assert citizen_id(2) not in shown.output
