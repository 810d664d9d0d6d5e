"""Someone who reads only the README can declare a dataset and a subscriber and see it flow: done here from its text.

Files are the fenced blocks under a path in bold; commands are the ``sh`` blocks; what they must print are the ``text``
blocks after them, line by line and in order, where … stands for anything. Nothing is added but a prefix for the topics,
so that other tests on the same servers are left alone.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import check_words, shown_commands
from stack_fixture import REPOSITORY, RunningStack

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BEGIN, END = "## 3. A dataset and a subscriber of your own", "## 4. "
_BLOCK = re.compile(
    r"^(?:\*\*`(?P<path>[^`\n]+)`\*\*\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block: a file where it has a path, else commands (sh) or what they print (text)."""

    path: str | None
    kind: str
    text: str


def blocks() -> list[Block]:
    section = README[README.index(BEGIN) : README.index(END)]
    return [Block(each["path"], each["kind"], each["text"]) for each in _BLOCK.finditer(section)]


def script(worked: list[Block], prefix: str) -> str:
    """Return one shell script that does what the section says, block after block; each is announced by its number."""
    lines = ["set -eu"]
    for number, block in enumerate(worked):
        if block.path is not None:
            folder, text = shlex.quote(str(Path(block.path).parent)), shlex.quote(block.text)
            lines += [f"mkdir -p {folder}", f"printf %s {text} > {shlex.quote(block.path)}"]
        elif block.kind == "sh":
            lines += [f"echo '=== block {number}'", block.text]
            if "govbus init" in block.text:
                lines.append(f"echo 'topic_prefix: \"{prefix}\"' >> city.yaml")
    return "\n".join(lines)


def printed_by_block(output: str) -> dict[int, str]:
    parts = re.split(r"^=== block (\d+)$", output, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def missing(promised: str, printed: str) -> str | None:
    """Return the first line of *promised* that does not follow in *printed* after those before it, or None."""
    rest = iter(printed.splitlines())
    for line in promised.splitlines():
        pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
        if line != "…" and not any(pattern.fullmatch(each.rstrip()) for each in rest):
            return line
    return None


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that is to the README what a clone is after `make demo`: with its .venv and .cache."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".cache").symlink_to(REPOSITORY / ".cache")
    return tmp_path


@pytest.mark.stack
def test_the_worked_example_does_what_the_readme_says(clone: Path, stack: RunningStack, topic_prefix: str) -> None:
    """The files and commands of the README, taken from its text, print what it promises."""
    worked = blocks()
    env = {name: value for name, value in os.environ.items() if not name.startswith("GOVBUS_")} | {
        "GOVBUS_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "GOVBUS_REGISTRY_URL": stack.registry_url,
        "GOVBUS_POSTGRES_URL": stack.postgres_url,
    }
    done = subprocess.run(
        ["bash", "-c", script(worked, topic_prefix)], cwd=clone, env=env, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = printed_by_block(done.stdout)

    commands = {number for number, block in enumerate(worked) if block.kind == "sh"}
    assert printed.keys() == commands
    promises = [number for number, block in enumerate(worked) if block.kind == "text"]
    assert len(promises) >= 4
    for number in promises:
        before = max(each for each in commands if each < number)
        line = missing(worked[number].text, printed[before])
        assert line is None, f"the README promises\n{line}\nand it prints\n{printed[before]}"


def test_the_section_says_how_much_it_asks_for() -> None:
    """The README names the number of files it takes, and it is right."""
    files = [block.path for block in blocks() if block.path is not None]
    declarations = [path for path in files if not path.startswith(".govbus/")]
    assert len(set(files)) == len(files)
    assert f"{_WORDS[len(declarations)]} small files" in README


def test_every_command_that_the_readme_names_exists() -> None:
    """What the README shows as a command is one, with the arguments and options it has."""
    shown = shown_commands(README)
    assert len(shown) > 15
    for words in shown:
        check_words(words)


def test_every_file_that_the_readme_links_to_is_there() -> None:
    """No link of the README leads nowhere."""
    linked = re.findall(r"\]\(([^)#]+)\)", README)
    assert linked
    for target in linked:
        assert (REPOSITORY / target).is_file(), target


def test_a_promise_that_is_not_kept_is_noticed() -> None:
    """The comparison finds a line that is not printed, or printed too early."""
    assert missing("a\n…\nb 1…\n", "a\nx\nb 12\n") is None
    assert missing("a\nb\n", "b\na\n") == "b"
    assert missing("c\n", "a\n") == "c"


_WORDS = {7: "Seven", 8: "Eight", 9: "Nine", 10: "Ten", 11: "Eleven", 12: "Twelve"}
