"""Run a command as an unprivileged user: `python -I demote.py UID GID COMMAND...`. Only root needs it.

Postgres refuses to run as root, yet its programs and data may lie in folders that only root may enter (a clone under
/root). Opening those folders to others is not ours to do. So where the user cannot reach what the command names, the
command keeps one single right of root's, reading and passing through any folder (CAP_DAC_READ_SEARCH, as an ambient
capability, see capabilities(7)). It owns its data folder and can write nowhere else.

A script of its own, because between fork and exec nothing this involved is safe in a process with threads.
"""

import ctypes
import os
import sys

_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_READ_SEARCH = 2
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


def _reaches(uid: int, paths: list[str]) -> bool:
    os.seteuid(uid)
    try:
        return all(os.access(path, os.F_OK, effective_ids=True) for path in paths)
    finally:
        os.seteuid(0)


def _become(uid: int, libc: ctypes.CDLL) -> None:
    os.setuid(uid)
    if os.getresuid() != (uid, uid, uid):
        sys.exit(f"cannot become user {uid}")
    _keep_only(0, libc)


def _become_with_reading(uid: int, libc: ctypes.CDLL) -> bool:
    # Rights are then not given up by setuid, so that one can be kept; and access(2), by which Postgres' programs look
    # for each other, minds that right instead of answering as if it were not there.
    libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setuid(uid)
    if not _keep_only(1 << _CAP_DAC_READ_SEARCH, libc):
        return False
    return int(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0)) == 0


def _keep_only(rights: int, libc: ctypes.CDLL) -> bool:
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable for capabilities 0 to 31, then the same for 32 to 63.
    return int(libc.capset(header, (ctypes.c_uint32 * 6)(rights, rights, rights))) == 0


def main() -> None:
    """Become the user, with the one right where it needs it, and turn into the command."""
    uid, gid, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None)
    os.setgroups([])
    os.setgid(gid)
    if _reaches(uid, [word for word in command if os.path.isabs(word)]):
        _become(uid, libc)
    elif not _become_with_reading(uid, libc):
        sys.exit(
            f"user {uid} may not enter the folder of {command[0]}, and root cannot pass on its right to read here "
            "(CAP_DAC_READ_SEARCH). Put the project into a folder that others may enter, or run as another user"
        )
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
