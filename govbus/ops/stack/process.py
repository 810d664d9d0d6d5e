"""Processes of our own: started detached, recognised again later, and never mistaken for another's.

A pid alone proves nothing, since the kernel gives it to somebody else once its process has ended. A process is
recognised by pid, the boot it runs in and its start in clock ticks since that boot (proc(5), field 22 of stat).
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from govbus.ops.stack.errors import StackError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """What identifies one process for as long as this machine is up, and across its restarts."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> ProcessMark | None:
        """Return the mark of the process that has *pid* now, or None where none runs (a zombie does not run)."""
        _reap(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command's name stands in parentheses and may hold spaces and parentheses itself.
        fields = stat.rpartition(")")[2].split()
        if fields[0] in ("Z", "X") and not _has_threads(pid):
            return None
        return cls(pid=pid, start_ticks=int(fields[19]), boot_id=_BOOT_ID.read_text().strip())

    def alive(self) -> bool:
        """Return whether this very process still runs."""
        return ProcessMark.of(self.pid) == self

    def send(self, number: int) -> bool:
        """Send signal *number* to this very process; return False, having sent nothing, where it is gone."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait_gone(self, timeout_seconds: float) -> bool:
        """Return True as soon as the process is gone, False after *timeout_seconds*."""
        deadline = time.monotonic() + timeout_seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def end(self, number: int = signal.SIGTERM, grace_seconds: float = 30.0) -> None:
        """End the process: signal *number*, and SIGKILL after *grace_seconds*; a process that is gone is fine."""
        if self.send(number) and not self.wait_gone(grace_seconds):
            self.send(signal.SIGKILL)
            if not self.wait_gone(10.0):
                raise StackError(
                    f"process {self.pid} does not end even when killed: look at `ps -p {self.pid} -o stat`"
                )


def spawn(argv: Sequence[str], *, cwd: Path, output: Path, env: Mapping[str, str]) -> ProcessMark:
    """Start *argv* in a session of its own, so that it outlives us; what it prints goes to *output*, made anew.

    The former *output* is kept once, as `*.1`: with the servers' own rotating logs that bounds what is written.
    """
    if output.exists():
        output.replace(output.with_name(output.name + ".1"))
    with output.open("wb") as stream:
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[process.pid] = process
    mark = ProcessMark.of(process.pid)
    # A process that failed at once is a mark that is not alive: its output says why.
    return mark or ProcessMark(pid=process.pid, start_ticks=0, boot_id="")


def allow_many_files() -> None:
    """Raise this process's soft limit of open files to its hard limit: a broker keeps three per log segment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def plain_environment(home: Path) -> dict[str, str]:
    """Return an environment that holds nothing of the user's: no JVM option, QUARKUS_ or PG variable leaks in."""
    return {"PATH": os.defpath, "HOME": str(home), "TMPDIR": str(home / "tmp"), "LANG": "C.UTF-8"}


_children: dict[int, subprocess.Popen[bytes]] = {}


def _has_threads(pid: int) -> bool:
    # A killed JVM's first thread is a zombie while others still hold its ports and files.
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except FileNotFoundError:
        return False


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
