"""The demo, small, on real servers: its tables tell what the servers hold, and nothing of it runs on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from integration.committed import read_committed
from stack_fixture import REPOSITORY, RunningStack

from govbus.health import processes
from govbus.kafka.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

DECLARATIONS = ("city.yaml", "schemas", "producers", "consumers")


@pytest.fixture
def city(tmp_path: Path, topic_prefix: str) -> Path:
    """The reference city in a folder of its own, under topics of the test's own."""
    folder = tmp_path / "city"
    folder.mkdir()
    for name in DECLARATIONS:
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    with (folder / "city.yaml").open("a") as declared:
        declared.write(f'topic_prefix: "{topic_prefix}"\n')
    (folder / ".cache").symlink_to(REPOSITORY / ".cache")
    return folder


def demo(city: Path, stack: RunningStack, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GOVBUS_", "KEEP"))} | {
        "GOVBUS_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "GOVBUS_REGISTRY_URL": stack.registry_url,
        "GOVBUS_POSTGRES_URL": stack.postgres_url,
        "GOVBUS_CACHE": str(REPOSITORY / ".cache"),
    }
    argv = [sys.executable, "-m", "govbus", "demo", *words]
    return subprocess.run(argv, cwd=city, env=env, capture_output=True, text=True, timeout=500)


def numbers(output: str, dataset: str) -> list[tuple[int, ...]]:
    """Return the figures of every line that begins with *dataset*."""
    lines = [line for line in output.splitlines() if line.split()[:1] == [dataset]]
    return [tuple(int(each.replace(",", "")) for each in re.findall(r"(?<=\s)[\d,]+(?=\s|$)", line)) for line in lines]


def shown_discrepancies(output: str) -> Counter[tuple[str, str]]:
    """Return how many discrepancies the table of agreement shows, per element and dataset."""
    table = output.partition("How copies of one fact agree")[2].partition("\n\n")[0].partition("Most in dispute")[0]
    found: Counter[tuple[str, str]] = Counter()
    dataset = ""
    for line in table.splitlines()[2:]:
        words = line.split()
        if len(words) == 1:
            dataset = words[0]
        else:
            found[words[0], dataset] += int(words[-1].replace(",", ""))
    assert found, "nothing is compared"
    return +found


def open_discrepancies(stack: RunningStack, topic: str) -> Counter[tuple[str, str]]:
    """Return how many stand in the topic, per element and dataset."""
    last = {seen.key: seen.value for seen in read_committed(Settings(Path(), Path(), stack.bootstrap_servers), topic)}
    keys = [key.decode().split("\x1f") for key, value in last.items() if key is not None and value is not None]
    return Counter((element, dataset) for _, element, dataset in keys)


def test_the_demos_tables_say_what_the_servers_hold(city: Path, stack: RunningStack, topic_prefix: str) -> None:
    """Published and accepted agree with the topics, rows held with the subscriber's tables; then all is stopped."""
    done = demo(city, stack, "--people", "400", "--changes", "80")
    assert done.returncode == 0, done.stdout + done.stderr

    for title in (
        "What departments published",
        "What subscribers received",
        "How copies of one fact agree",
        "Delay from publish",
        "Three people",
    ):
        assert title in done.stdout
    assert re.search(r"^changes +[\d,]+ ms +[\d,]+ ms$", done.stdout, re.MULTILINE)
    published, *shared = numbers(done.stdout, "public_security.population")
    assert published[0] == published[1] > 400
    held, upserts, retractions = shared[1][:3]
    assert upserts >= held + retractions
    with psycopg.connect(stack.postgres_url) as database:
        count = database.execute("SELECT count(*) FROM school_place.public_security_population").fetchone()
    assert count == (held,)
    assert 0 < held < 400
    assert shown_discrepancies(done.stdout) == open_discrepancies(stack, f"{topic_prefix}discrepancy")
    files = sorted((city / ".govbus" / "delivered").glob("*/*/manifest.json"))
    assert len({file.parent.parent for file in files}) == 5

    assert [each.name for each in processes(city / ".govbus") if each.running] == []
    assert (
        f"{topic_prefix}raw.public_security.population"
        in AdminClient({"bootstrap.servers": stack.bootstrap_servers}).list_topics(timeout=30).topics
    )

    again = demo(city, stack, "--people", "400", "--changes", "80")
    assert again.returncode == 1
    assert "holds" in again.stderr
    assert "topic_prefix" in again.stderr


def test_the_demo_touches_no_data_but_its_own(city: Path, stack: RunningStack) -> None:
    """A data folder that no demo made is left as it is, with a word on how to go on."""
    kept = city / ".govbus" / "secrets" / "pseudonym" / "a.b.key"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"k" * 32)
    done = demo(city, stack)
    assert done.returncode == 1
    assert "holds data that no demo made: set GOVBUS_HOME" in done.stderr
    assert kept.read_bytes() == b"k" * 32
