"""Run a program that never outlives us: ``python with_parent.py PARENT_PID PROGRAM ARGS...``.

A guard beside the program instead of a ``preexec_fn``, which may deadlock in a process with threads (Ray's have
dozens). On Linux the kernel is asked for a SIGTERM at the parent's death and this process becomes the program;
elsewhere this process stays and watches. Standard library only, nothing of the project: it must start in
milliseconds.

Note for Linux: the kernel's "parent" is the THREAD that started us, so start it from one that lives on.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.5


def become(parent: int, command: list[str]) -> None:
    """Linux: turn into ``command``, to be told to stop when ``parent`` dies."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() == parent:  # else it died before we asked
        os.execv(command[0], command)  # noqa: S606


def watch(parent: int, command: list[str]) -> int:
    """Anywhere: start ``command`` and stop it when ``parent`` dies or we are told to; its exit code."""
    program = subprocess.Popen(command)  # noqa: S603
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    while program.poll() is None and os.getppid() == parent:
        time.sleep(_POLL_S)
    program.terminate()
    return program.wait(10)


if __name__ == "__main__":
    if sys.platform == "linux":
        become(int(sys.argv[1]), sys.argv[2:])
    else:
        sys.exit(watch(int(sys.argv[1]), sys.argv[2:]))
