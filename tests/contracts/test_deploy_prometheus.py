"""The Prometheus configuration, its alerts, and the cases that prove them."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import promql
import pytest
import yaml
from programs import run

from govbus.health import RUN_FOLDER

PROMTOOL = pytest.mark.debian("prometheus", program="promtool")
ALERTS = {rule["alert"]: rule for rule in promql.rules() if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in promql.rules() if "record" in rule}
OPERATING = (promql.REPOSITORY / "docs/operating.md").read_text()


@PROMTOOL
@pytest.mark.parametrize(
    "arguments", [("rules", "rules.yml"), ("config", "prometheus.yml"), ("config", "prometheus.compose.yml")]
)
def test_promtool_accepts(arguments: tuple[str, str]) -> None:
    """Prometheus' own checker accepts the rules and both configurations."""
    done = run("promtool", "check", *arguments, folder=promql.PROMETHEUS)
    assert done.returncode == 0, done.stdout
    assert "SUCCESS" in done.stdout


@PROMTOOL
def test_alerts_fire_as_their_cases_say() -> None:
    """Every case of rules.test.yml holds."""
    done = run("promtool", "test", "rules", "rules.test.yml", folder=promql.PROMETHEUS)
    assert done.returncode == 0, done.stdout


@PROMTOOL
def test_a_wrong_case_is_noticed(tmp_path: Path) -> None:
    """A case that expects another value fails, so the cases do prove something."""
    (tmp_path / "rules.yml").write_text((promql.PROMETHEUS / "rules.yml").read_text().replace("> 60", "> 6000000"))
    (tmp_path / "rules.test.yml").write_text((promql.PROMETHEUS / "rules.test.yml").read_text())
    done = run("promtool", "test", "rules", "rules.test.yml", folder=tmp_path)
    assert done.returncode != 0
    assert "GovbusLagHigh" in done.stdout


def test_each_alert_is_proved_both_ways() -> None:
    """Each alert has a case in which it fires and one in which nothing of its kind does."""
    cases: dict[str, set[bool]] = defaultdict(set)
    document = yaml.safe_load((promql.PROMETHEUS / "rules.test.yml").read_text())
    for test in document["tests"]:
        for case in test.get("alert_rule_test", ()):
            cases[case["alertname"]].add(bool(case["exp_alerts"]))
    assert cases == {alert: {True, False} for alert in ALERTS}


@pytest.mark.parametrize("name", sorted(ALERTS | RECORDED))
def test_rule_reads_only_what_is_there(name: str) -> None:
    """A rule names only series that the processes show or that another rule records."""
    known = promql.labels_of_series().keys() | RECORDED.keys() | promql.FOREIGN
    read = promql.series_in((ALERTS | RECORDED)[name]["expr"])
    assert read
    assert read <= known


@pytest.mark.parametrize("name", sorted(ALERTS | RECORDED))
def test_rule_matches_only_labels_that_are_there(name: str) -> None:
    """A rule selects by labels that the series has, or that Prometheus adds to every series."""
    labels = promql.labels_of_series()
    for series, label in promql.matched_labels((ALERTS | RECORDED)[name]["expr"]):
        assert label in labels.get(series, set()) | {"job", "instance", "component"}, series


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_alert_says_how_bad_it_is_and_what_to_do(alert: str) -> None:
    """An alert has a severity of the closed list, a summary, a description, and its own heading in operating.md."""
    rule = ALERTS[alert]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operating.md#{alert.lower()}"
    assert f"\n### {alert}\n" in OPERATING


def test_operating_explains_no_other_alert() -> None:
    """operating.md has no heading for an alert that is gone."""
    assert set(re.findall(r"^### (Govbus\w+)$", OPERATING, re.MULTILINE)) == set(ALERTS)


def test_local_configuration_finds_the_run_folder() -> None:
    """The target files are those that the processes of a city in the repository write by default."""
    config = yaml.safe_load((promql.PROMETHEUS / "prometheus.yml").read_text())
    ((pattern,),) = [each["files"] for each in config["scrape_configs"][0]["file_sd_configs"]]
    assert (promql.PROMETHEUS / pattern).parent.resolve() == (promql.REPOSITORY / ".govbus" / RUN_FOLDER).resolve()
    assert Path(pattern).name == "*.json"


def test_both_configurations_make_the_same_series() -> None:
    """Locally and in containers the job, the rules and the intervals are the same, so the rules mean the same."""
    local, compose = (
        yaml.safe_load((promql.PROMETHEUS / name).read_text()) for name in ("prometheus.yml", "prometheus.compose.yml")
    )
    assert local["global"] == compose["global"]
    assert local["rule_files"] == compose["rule_files"]
    assert [each["job_name"] for each in local["scrape_configs"]] == ["govbus"]
    assert [each["job_name"] for each in compose["scrape_configs"]] == ["govbus"]
