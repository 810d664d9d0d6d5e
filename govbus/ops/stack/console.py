"""What `govbus stack` shows a person: each step with its time, and one table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from govbus.ops.stack.local_stack import OWN_SERVICES, Stack

_COLOURS = {"running": "green", "your own": "cyan", "not answering": "yellow", "down": "red"}


def show_up(stack: Stack, console: Console) -> None:
    """Start the stack and show each step; StackError as `Stack.up`."""
    done = stack.up(_steps(console))
    if done.already_running and not done.started and not done.repaired:
        console.print("The stack already runs.")
    elif done.repaired:
        console.print(f"Repaired: {', '.join(done.repaired)}.")
    for name in done.not_ours:
        console.print(f"{OWN_SERVICES[name]} is set: no {name} is started here.")
    show_status(stack, console)


def show_status(stack: Stack, console: Console) -> bool:
    """Show how each server is; return whether all of them serve clients or are the user's own."""
    found = stack.status()
    rows = [(server.title, server.state, server.address, str(server.pid or ""), server.started_at) for server in found]
    rows.insert(0, ("server", "state", "address", "pid", "since"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = Text("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        line.highlight_words([row[1]], _COLOURS.get(row[1], "dim"))
        # Lines of any length stay whole: addresses are there to be copied.
        console.print(line, soft_wrap=True)
    if stack.record.exists:
        console.print(f"Data, logs and addresses (stack.json): {stack.folder}", soft_wrap=True)
    return all(server.state in ("running", "your own") for server in found)


def show_down(stack: Stack, purge: bool, console: Console) -> None:
    """End the stack's own processes and show which; with *purge* its data goes as well."""
    existed = stack.record.exists
    ended = stack.down(purge=purge, report=_steps(console))
    if not ended:
        console.print(f"No stack runs under {stack.folder}.", soft_wrap=True)
    if purge and existed:
        console.print("Its data is removed.")
    elif ended:
        console.print("The stack is down; its data is kept (`--purge` removes it).")


def _steps(console: Console) -> Callable[[str], None]:
    started = time.monotonic()

    def step(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.1f} s[/]  {line}", soft_wrap=True, highlight=False)

    return step
