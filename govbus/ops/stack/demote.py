"""Run a command as an unprivileged user: `python -I demote.py UID GID COMMAND...`. Only root needs it.

Postgres refuses to run as root, yet its programs and data may lie in folders that only root may enter (a clone under
/root). Opening those folders to others is not ours to do. So the command keeps one single right of root's, reading
and passing through any folder (CAP_DAC_READ_SEARCH, as an ambient capability, see capabilities(7)); it owns its data
folder and can write nowhere else.

A script of its own, because between fork and exec nothing this involved is safe in a process with threads.
"""

import ctypes
import os
import sys

_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_READ_SEARCH = 2
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


def _keep_reading_right(libc: ctypes.CDLL) -> bool:
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    right = 1 << _CAP_DAC_READ_SEARCH
    # effective, permitted, inheritable for capabilities 0 to 31, then the same for 32 to 63.
    data = (ctypes.c_uint32 * 6)(right, right, right, 0, 0, 0)
    if libc.capset(header, data) != 0:
        return False
    raised = libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0)
    return int(raised) == 0


def main() -> None:
    """Become the user, keep the one right where this machine lets us, and turn into the command."""
    uid, gid, *command = sys.argv[1:]
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
    if not _keep_reading_right(libc) and not os.access(command[0], os.X_OK):
        sys.exit(
            f"user {uid} may not enter the folder of {command[0]}, and root cannot pass on its right to read here "
            "(CAP_DAC_READ_SEARCH). Put the project into a folder that others may enter, or run as another user"
        )
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
