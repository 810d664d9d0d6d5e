"""The image and the containers, as far as they can be known without an engine; and what the operating guide shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promql
import pytest
import yaml
from commands import check_words, shown_commands

from govbus.catalogue.check import load
from govbus.health import Listen
from govbus.kafka.settings import Settings
from govbus.ops.stack.kafka_server import PROPERTIES

DEPLOY = promql.REPOSITORY / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "govbus")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
GUIDE = (promql.REPOSITORY / "docs/operating.md").read_text()
IMAGE_ENVIRONMENT = dict(re.findall(r"\b([A-Z_]+)=(\S+)", re.search(r"ENV (?:.*\\\n)*.*", DOCKERFILE)[0]))


def environment(service: str) -> dict[str, str]:
    """Return what a govbus container sees: the image's environment and the service's."""
    own: dict[str, str] = SERVICES[service]["environment"]
    return {**IMAGE_ENVIRONMENT, **{name: re.sub(r"\$\{[^}]*\}", "secret", value) for name, value in own.items()}}


def test_all_the_parts_are_there() -> None:
    """Servers, a worker, an adapter, a sink, and what watches them."""
    assert set(SERVICES) == {
        "kafka", "registry", "postgres", "apply", "exchange", "adapter", "sink", "prometheus", "grafana",
    }  # fmt: skip
    assert OURS == ["adapter", "apply", "exchange", "sink"]


@pytest.mark.parametrize("service", OURS)
def test_command_is_one_that_govbus_has(service: str) -> None:
    """Each of our containers runs a real command with real arguments."""
    check_words(SERVICES[service]["command"])


def test_commands_name_what_the_city_declares() -> None:
    """The adapter's department publishes files, and the sink's ask goes into Postgres."""
    catalogue = load(promql.REPOSITORY)
    _, department = SERVICES["adapter"]["command"]
    _, subscriber, ask = SERVICES["sink"]["command"]
    sources = [each.source for each in catalogue.datasets.values() if each.department == department]
    assert {source["kind"] for source in sources if source} == {"file"}
    assert catalogue.asks[f"{subscriber}.{ask}"].delivery["kind"] == "postgres"


@pytest.mark.parametrize("service", OURS)
def test_environment_is_complete_and_known(service: str) -> None:
    """Our containers are given every address, and no setting that govbus does not read."""
    settings = Settings.load(Path("/city"), environment(service))
    for address, host in (
        (settings.need_bootstrap_servers(), "kafka:9092"),
        (settings.need_registry_url(), "//registry:8080/"),
        (settings.need_postgres_url(), "@postgres:5432/"),
    ):
        assert host in address
    read = "".join(file.read_text() for file in (promql.REPOSITORY / "govbus").rglob("*.py"))
    assert not [name for name in environment(service) if name.startswith("GOVBUS_") and name not in read]


def test_endpoint_listens_where_others_look() -> None:
    """The image's endpoint listens for the container's network, where Prometheus and the health check ask."""
    listen = Listen.load(IMAGE_ENVIRONMENT)
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.compose.yml").read_text())["scrape_configs"][0]
    targets = {
        target: group["labels"]["component"] for group in scraped["static_configs"] for target in group["targets"]
    }
    assert listen.host == "0.0.0.0"
    assert targets == {
        f"exchange:{listen.port}": "exchange",
        f"adapter:{listen.port}": "adapter",
        f"sink:{listen.port}": "delivery",
    }
    assert f"http://127.0.0.1:{listen.port}/healthz" in DOCKERFILE
    assert f"EXPOSE {listen.port}\n" in DOCKERFILE


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_service_is_watched(service: str) -> None:
    """Every service that stays has a health check, its own or the image's, and starts again when it ends."""
    if service == "apply":
        assert SERVICES[service]["healthcheck"] == {"disable": True}
        assert SERVICES[service]["restart"] == "on-failure:3"
        return
    assert SERVICES[service]["restart"] == "unless-stopped"
    if service in OURS:
        assert "HEALTHCHECK" in DOCKERFILE
    else:
        assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"


def test_nobody_starts_before_what_it_needs() -> None:
    """Dependencies are services of this file; ours wait for the catalogue, which waits for healthy servers."""
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= SERVICES.keys()
    assert SERVICES["apply"]["depends_on"] == {name: {"condition": "service_healthy"} for name in ("kafka", "registry")}
    for name in ("exchange", "adapter", "sink"):
        assert SERVICES[name]["depends_on"]["apply"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_what_is_mounted_is_there(service: str) -> None:
    """A mounted file lies in the repository and is read-only; a volume is declared and has no second writer."""
    for volume in SERVICES[service].get("volumes", ()):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]
            users = {
                name
                for name, each in SERVICES.items()
                if any(v.startswith(f"{source}:") for v in each.get("volumes", ()))
            }
            assert users in ({service}, {"apply", "exchange"}), "apply makes the pseudonym keys that the worker reads"


def test_every_volume_is_used() -> None:
    """No volume is declared for nobody."""
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert COMPOSE["volumes"].keys() <= used


def test_city_lies_where_the_image_looks() -> None:
    """Our containers see the city's four parts in the folder that the image names."""
    for service in OURS:
        targets = {volume.split(":")[1] for volume in SERVICES[service]["volumes"]}
        city = IMAGE_ENVIRONMENT["GOVBUS_CITY"]
        assert {f"{city}/{part}" for part in ("city.yaml", "schemas", "producers", "consumers")} <= targets
        assert IMAGE_ENVIRONMENT["GOVBUS_HOME"] in targets


def test_doors_are_open_on_this_machine_only() -> None:
    """Every published port is bound to the loopback address, and none twice."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_passwords_are_asked_for() -> None:
    """No password stands in the files: each is required from the environment file, which is never committed."""
    text = (DEPLOY / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert set(re.findall(r"\$\{(\w+)", text)) == asked
    assert {
        line.partition("=")[0] for line in (DEPLOY / "example.env").read_text().splitlines() if "=" in line
    } == asked
    assert not re.search(r"PASSWORD: (?!\$)", text)
    assert ".env\n" in (DEPLOY / ".gitignore").read_text()


def test_broker_is_the_one_that_is_tested() -> None:
    """The broker has the release and the settings of the local stack, but for waiting times and memory."""
    assert SERVICES["kafka"]["image"] == "apache/kafka:4.3.1"
    given = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in SERVICES["kafka"]["environment"].items()
    }
    shared = (
        "auto.create.topics.enable",
        "default.replication.factor",
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
        "transaction.state.log.min.isr",
        "share.coordinator.state.topic.replication.factor",
        "share.coordinator.state.topic.min.isr",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "message.max.bytes",
        "replica.fetch.max.bytes",
    )
    assert {name: given[name] for name in shared} == {name: PROPERTIES[name] for name in shared}
    listeners = dict(each.split("://") for each in given["advertised.listeners"].split(","))
    assert listeners["PLAINTEXT"] == environment("exchange")["GOVBUS_BOOTSTRAP_SERVERS"]
    published = SERVICES["kafka"]["ports"][0].rpartition(":")[0]
    assert listeners["HOST"] == published


def test_registry_refuses_what_the_tested_one_refuses() -> None:
    """The registry has the tested release, its compatibility, and a database that Postgres makes at its start."""
    registry = SERVICES["registry"]
    assert registry["image"] == "apicurio/apicurio-registry:3.3.3"
    assert registry["environment"]["APICURIO_RULES_GLOBAL_COMPATIBILITY"] == "FULL_TRANSITIVE"
    database = registry["environment"]["APICURIO_DATASOURCE_URL"].rpartition("/")[2]
    assert f"CREATE DATABASE {database};" in (DEPLOY / "postgres/registry.sql").read_text()
    assert f"--dbname={database}" in SERVICES["postgres"]["healthcheck"]["test"]


def test_image_is_built_of_what_is_there() -> None:
    """The build copies files that exist and are let through, installs the project's own console script, not as root."""
    project = (promql.REPOSITORY / "pyproject.toml").read_text()
    let_through = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    copied = [word for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()]
    assert sorted(copied) == sorted(let_through)
    assert all((promql.REPOSITORY / each).exists() for each in copied)
    python = {tuple(map(int, each.split("."))) for each in re.findall(r"FROM python:([\d.]+)-slim", DOCKERFILE)}
    assert python == {(3, 12)}
    assert "Python :: 3.12" in project
    assert '[project.scripts]\ngovbus = "govbus.cli:main"' in project
    assert json.loads(re.search(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)[1]) == ["govbus"]
    assert re.search(r"^USER govbus$", DOCKERFILE, re.MULTILINE)
    for extra in re.findall(r"\[(\w+)\]'", DOCKERFILE):
        assert f"\n{extra} = [" in project


# --- the guide -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", shown_commands(GUIDE), ids=" ".join)
def test_guide_shows_commands_that_govbus_has(words: list[str]) -> None:
    """Every govbus command of docs/operating.md parses."""
    check_words(words)


def test_guide_names_settings_that_are_read() -> None:
    """Every GOVBUS_ variable of the guide is one that the code reads."""
    read = "".join(file.read_text() for file in (promql.REPOSITORY / "govbus").rglob("*.py"))
    named = set(re.findall(r"GOVBUS_[A-Z_]+", GUIDE))
    assert named
    assert not [name for name in named if name not in read]


def test_guide_links_to_what_is_there() -> None:
    """Every link of the guide and of metrics.md leads to a file or a heading that exists."""
    for name in ("operating.md", "metrics.md"):
        text = (promql.REPOSITORY / "docs" / name).read_text()
        for target in re.findall(r"\]\(([^)]+)\)", text):
            path, _, anchor = target.partition("#")
            file = (promql.REPOSITORY / "docs" / path) if path else promql.REPOSITORY / "docs" / name
            assert file.exists(), target
            if anchor:
                headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
                anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
                assert anchor in anchors, target


def test_guide_names_panels_that_are_there() -> None:
    """A panel that the guide sends an operator to is on the dashboard."""
    titles = {panel["title"] for panel in promql.panels()}
    named = {text for text in re.findall(r"\*([^*\n]+)\*", GUIDE) if re.search(r"[\u4e00-\u9fff]", text)}
    assert named
    assert named <= titles
