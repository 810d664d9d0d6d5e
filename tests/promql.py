"""What the tests read out of PromQL: the dashboard's and rules' expressions, and the series they name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Counter, Gauge

from govbus import metrics

REPOSITORY = Path(__file__).parents[1]
PROMETHEUS = REPOSITORY / "deploy/prometheus"
DASHBOARD = REPOSITORY / "deploy/grafana/dashboards/govbus.json"

FOREIGN = {"up", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"}
"""Series that Prometheus itself or its client library makes."""

_NAME = re.compile(r"\b(?:[a-z_]+:)?govbus_\w+(?::\w+)?|\b(?:up|process_\w+)\b")
_DYNAMIC = re.compile(r'__name__=~"([^"]+)"')
_STRING = re.compile(r'"[^"]*"')
_SELECTOR = re.compile(r"((?:[a-z_]+:)?(?:govbus_|process_)\w+(?::\w+)?|\bup)\s*\{([^}]*)\}")
_LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')


def labels_of_series() -> dict[str, set[str]]:
    """Return every series that the processes can show, with its own labels."""
    series: dict[str, set[str]] = {}
    for _, declared in metrics.parts():
        for metric in declared:
            if isinstance(metric, metrics.Histogram):
                names = set(metric.label_names)
                series[f"{metric.name}_bucket"] = names | {"le"}
                series[f"{metric.name}_sum"] = series[f"{metric.name}_count"] = names
            elif isinstance(metric, Counter):
                series[f"{metric._name}_total"] = set(metric._labelnames)
            else:
                assert isinstance(metric, Gauge)
                series[metric._name] = set(metric._labelnames)
    return series


def series_in(expression: str) -> set[str]:
    """Return the names of the series that an expression reads; a pattern of names stands for all it matches."""
    names = set(_NAME.findall(_STRING.sub('""', expression)))
    for pattern in _DYNAMIC.findall(expression):
        names |= {name for name in labels_of_series() if re.fullmatch(pattern, name)}
    return names


def matched_labels(expression: str) -> list[tuple[str, str]]:
    """Return each (series, label) that an expression's selectors match on."""
    return [
        (series, label) for series, inside in _SELECTOR.findall(expression) for label in _LABEL.findall(f"{inside},")
    ]


def rules() -> list[dict[str, Any]]:
    """Return every rule of rules.yml in order."""
    document = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels without the rows that only divide it."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard() -> dict[str, Any]:
    """Return the dashboard as it lies there."""
    document = json.loads(DASHBOARD.read_text())
    assert isinstance(document, dict)
    return document


def resolved(expression: str, rate_interval: str = "5m") -> str:
    """Return a panel's expression with its variables set as the dashboard opens: all of everything."""
    text = expression.replace("$__rate_interval", rate_interval)
    for variable in ("dataset", "ask", "instance"):
        text = text.replace(f"${variable}", ".*")
    assert "$" not in text, "a variable that the dashboard does not have"
    return text
