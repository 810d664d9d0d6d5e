"""What all tests share: the real servers, the seed, unique names, and the rule of what may be skipped."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest
from stack_fixture import REPOSITORY, RunningStack, new_prefix, own_database, own_stack, own_topics, running_stack

from govbus.kafka.settings import Settings
from govbus.ops.stack import OWN_SERVICES, Stack, StackError

T = TypeVar("T")

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
"""One number decides everything random in a run; a fresh one each time, SEED=n repeats a run."""

_PROFILE = {"print_blob": True, "deadline": None}
hypothesis.settings.register_profile("quick", max_examples=25, **_PROFILE)
hypothesis.settings.register_profile("full", max_examples=200, **_PROFILE)
hypothesis.settings.load_profile("quick")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(SEED)


def pytest_report_header() -> str:
    return f"govbus: SEED={SEED}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"repeat the random parts of this run with SEED={SEED}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever uses the servers is marked so, also where the mark was forgotten."""
    for item in items:
        if {"stack", "killable_stack"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("stack")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.debian("prometheus")`: the only reason for a skip, and none where CI=true."""
    for mark in item.iter_markers("debian"):
        package = mark.args[0]
        program = mark.kwargs.get("program", package)
        if shutil.which(program) or shutil.which(program, path="/usr/bin:/usr/sbin:/bin"):
            continue
        if os.environ.get("CI") == "true":
            pytest.fail(f"the Debian package {package} is missing: CI has to install it", pytrace=False)
        pytest.skip(f"needs the Debian package {package}: apt-get install {package}")


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """Real Kafka, registry and Postgres for the whole session; where they cannot be had, tests fail."""
    with _or_fail(running_stack()) as running:
        yield running


@pytest.fixture(scope="session")
def killable_stack(stack: RunningStack) -> Iterator[Stack]:
    """A stack whose servers a test may kill: the session's own, or one more where the session's are not ours.

    A test that kills or stops a server leaves it running again.
    """
    if len(stack.local.servers) == len(OWN_SERVICES):
        yield stack.local
    else:
        with _or_fail(own_stack({})) as own:
            yield own


@contextmanager
def _or_fail(context: AbstractContextManager[T]) -> Iterator[T]:
    with ExitStack() as at_end:
        try:
            value = at_end.enter_context(context)
        except StackError as error:
            pytest.fail(f"no servers to test against: {error}", pytrace=False)
        yield value


@pytest.fixture
def seed() -> int:
    """The number to seed every random generator of a test with: `random.Random(seed)`."""
    return SEED


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """A prefix for topic names that no other test has, like "t3f9a1c."; such topics are deleted after the test."""
    if "stack" in request.fixturenames:
        with own_topics(request.getfixturevalue("stack").bootstrap_servers) as prefix:
            yield prefix
    else:
        yield new_prefix()


@pytest.fixture(scope="module")
def shared_prefix(stack: RunningStack) -> Iterator[str]:
    """As `topic_prefix`, for what all tests of a module share."""
    with own_topics(stack.bootstrap_servers) as prefix:
        yield prefix


@pytest.fixture(scope="module")
def shared_database(stack: RunningStack) -> Iterator[str]:
    """The address of a database that the tests of this module have to themselves."""
    with own_database(stack.postgres_url) as url:
        yield url


@pytest.fixture
def city_dir() -> Path:
    """The reference city: this repository's own declarations."""
    return REPOSITORY


@pytest.fixture
def settings(stack: RunningStack, tmp_path: Path, city_dir: Path) -> Settings:
    """Settings against the session's servers, with a data folder of the test's own."""
    return replace(stack.settings(tmp_path), city_dir=city_dir)
