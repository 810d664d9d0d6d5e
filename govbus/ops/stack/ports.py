"""Ports on the loopback address: which are free, and who holds the others."""

from __future__ import annotations

import errno
import os
import random
import socket
from pathlib import Path

from govbus.ops.stack.errors import StackError

LOOPBACK = "127.0.0.1"
_LOWEST = 18_000
_HIGHEST = 31_000
"""Below the ports that the kernel gives to outgoing connections (32768 and above by default): a client that keeps
connecting to a dead server's port from that range can meet itself there, and then holds the port."""


def is_free(port: int) -> bool:
    """Return whether a server could listen on *port* of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_port(taken: set[int]) -> int:
    """Return a free port that is not in *taken*, and add it there."""
    chance = random.SystemRandom()
    for _ in range(1000):
        port = chance.randrange(_LOWEST, _HIGHEST)
        if port not in taken and is_free(port):
            taken.add(port)
            return port
    raise StackError(f"no free port found between {_LOWEST} and {_HIGHEST}: see what listens there with `ss -ltn`")


def require_free(port: int, server: str) -> None:
    """Raise StackError, naming the holder where it can be seen, if *server* cannot have *port*."""
    if not is_free(port):
        raise StackError(
            f"{server} cannot start: port {port} is taken by {holder(port)}. "
            "End that process, or give the server another port (`govbus stack up --help`)"
        )


def holder(port: int) -> str:
    """Return who listens on *port*, as far as this user may see: "process 123 (java)" or "another process"."""
    inodes = _listening_inodes(port)
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if any(_points_to(link, inodes) for link in (folder / "fd").iterdir()):
                return f"process {folder.name} ({(folder / 'comm').read_text().strip()})"
        except OSError:
            # Another user's process, or one that has just ended.
            continue
    return "another process"


def _points_to(link: Path, inodes: set[str]) -> bool:
    try:
        return os.readlink(link) in inodes
    except FileNotFoundError:
        # Closed meanwhile; in our own process the listing's own.
        return False


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            # proc_net_tcp(5): local address:port in hex, state 0A is LISTEN, the tenth field is the inode.
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found
