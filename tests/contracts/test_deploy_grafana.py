"""The Grafana dashboard: what can be known of it without Grafana, which no test runs."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import promql
import pytest
import yaml
from programs import run

DASHBOARD = promql.dashboard()
PANELS = promql.panels()
TITLES = [panel["title"] for panel in PANELS]
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
RULES = promql.rules()
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_panel_explains_itself(panel: dict[str, Any]) -> None:
    """A panel has a Chinese title and description, a unit, and at least one query."""
    assert CHINESE.search(panel["title"])
    assert CHINESE.search(panel["description"])
    assert panel["description"].endswith("。")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_panel_takes_its_data_from_the_variable(panel: dict[str, Any]) -> None:
    """No panel or query is tied to one data source."""
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == wanted
    assert all(target["datasource"] == wanted for target in panel["targets"])
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH")[: len(panel["targets"])]


def test_ids_and_titles_are_unique() -> None:
    """No panel id and no title stands twice."""
    ids = Counter(panel["id"] for panel in DASHBOARD["panels"])
    titles = Counter(panel["title"] for panel in DASHBOARD["panels"])
    assert not [each for counts in (ids, titles) for each, count in counts.items() if count > 1]


def test_panels_do_not_lie_on_each_other() -> None:
    """Every place of the grid belongs to one panel, and none reaches beyond the 24 columns."""
    places = Counter(
        (x, y)
        for panel in DASHBOARD["panels"]
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    )
    assert max(places.values()) == 1
    assert max(x for x, _ in places) < 24


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_query_reads_only_what_is_there(title: str, expression: str) -> None:
    """A query names only series that the processes show or a rule records, and labels that they have."""
    labels = promql.labels_of_series()
    known = labels.keys() | {rule["record"] for rule in RULES if "record" in rule} | promql.FOREIGN
    read = promql.series_in(expression)
    assert read, title
    assert read <= known
    for series, label in promql.matched_labels(expression):
        if series in labels:
            assert label in labels[series] | {"job", "instance", "component"}, series


@pytest.mark.debian("prometheus", program="promtool")
def test_every_query_parses(tmp_path: Path) -> None:
    """Prometheus' own parser accepts every query, with the variables set."""
    recorded = [
        {"record": f"test:query:{number}", "expr": promql.resolved(expression)}
        for number, (_, expression) in enumerate(EXPRESSIONS)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    done = run("promtool", "check", "rules", "rules.yml", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"SUCCESS: {len(EXPRESSIONS)} rules found" in done.stdout


def test_every_metric_is_on_a_panel() -> None:
    """Each metric that the code declares is on some panel, so none is counted for nobody."""
    shown = {re.sub(r"_(bucket|sum|count)$", "", each) for _, expr in EXPRESSIONS for each in _all_series(expr)}
    declared = {re.sub(r"_(bucket|sum|count)$", "", series) for series in promql.labels_of_series()}
    assert declared - shown == set()


@pytest.mark.parametrize("rule", [rule for rule in RULES if "alert" in rule], ids=lambda rule: rule["alert"])
def test_alert_is_to_be_seen(rule: dict[str, Any]) -> None:
    """What an alert reads is on a panel, and some panel's description names the alert."""
    shown = {series for _, expression in EXPRESSIONS for series in _all_series(expression)}
    assert _all_series(rule["expr"]) <= shown
    assert [title for title, panel in zip(TITLES, PANELS, strict=True) if rule["alert"] in panel["description"]]


def test_descriptions_name_no_other_alert() -> None:
    """A panel's description names no alert that is gone."""
    named = {name for panel in PANELS for name in re.findall(r"Govbus\w+", panel["description"])}
    assert named == {rule["alert"] for rule in RULES if "alert" in rule}


def test_variables() -> None:
    """The dashboard asks for its data source and can be narrowed to datasets, asks and processes."""
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "dataset", "ask", "instance"]
    assert variables["datasource"]["type"] == "datasource"
    known = promql.labels_of_series() | {"up": {"job", "instance", "component"}}
    for name in ("dataset", "ask", "instance"):
        found = re.fullmatch(r"label_values\((\w+)(?:\{[^}]*\})?, (\w+)\)", variables[name]["definition"])
        assert found
        assert found[2] == name
        assert name in known[found[1]]
        assert variables[name]["allValue"] == ".*", "a series without the label is shown too"


def test_provisioning_loads_the_dashboard() -> None:
    """The provisioning files are well formed and name the folder that compose.yaml mounts."""
    folder = promql.REPOSITORY / "deploy/grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())
    providers = yaml.safe_load((folder / "dashboards/govbus.yaml").read_text())
    compose = yaml.safe_load((promql.REPOSITORY / "deploy/compose.yaml").read_text())
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    assert sources["apiVersion"] == providers["apiVersion"] == 1
    assert sources["datasources"][0]["type"] == "prometheus"
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    scrape = yaml.safe_load((promql.PROMETHEUS / "prometheus.compose.yml").read_text())["global"]["scrape_interval"]
    assert sources["datasources"][0]["jsonData"]["timeInterval"] == scrape
    assert providers["providers"][0]["options"]["path"] == mounts["./grafana/dashboards"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"


def _all_series(expression: str) -> set[str]:
    """Return the series an expression reads, those behind a recorded name included."""
    recorded = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
    read = promql.series_in(expression)
    behind = {series for name in read & recorded.keys() for series in promql.series_in(recorded[name])}
    return (read - recorded.keys()) | behind
