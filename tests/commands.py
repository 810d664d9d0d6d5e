"""The govbus commands that documents and deployment files show, held to those that there are."""

from __future__ import annotations

import re
import shlex

import typer.main

from govbus.cli import app

_PLACEHOLDERS = {"N": "1", "--accept-deletions": "--accept-deletions"}
_COMMENT = re.compile(r"\s+#.*$")


def check_words(words: list[str]) -> None:
    """Parse *words* (without ``govbus``) as the command line would, and run nothing.

    Raises AssertionError where there is no such command, and typer's own error where an argument or option is wrong.
    """
    command = typer.main.get_command(app)
    path: list[str] = []
    while hasattr(command, "commands"):
        name = words[0] if words else ""
        assert name in command.commands, f"there is no command govbus {' '.join([*path, name])}"
        command, words = command.commands[name], words[1:]
        path.append(name)
    command.make_context(path[-1], [_PLACEHOLDERS.get(word, word) for word in words])


def shown_commands(markdown: str) -> list[list[str]]:
    """Return the words of every govbus command in a document: lines of code blocks, and code in the text."""
    unwrapped = re.sub(r"(`[^`\n]*)\n\s*([^`\n]*`)", r"\1 \2", markdown)
    texts = re.findall(r"`(govbus [^`]+)`", unwrapped)
    texts += re.findall(r"^ {4,}(?:ExecStart=/\S+/)?(govbus .+)$", markdown, re.MULTILINE)
    return [shlex.split(_COMMENT.sub("", text))[1:] for text in texts]
