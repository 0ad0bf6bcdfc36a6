"""Most anonymous memory that a process holds: ``python anonymous.py PID`` watches until its input ends, then tells.

Pages of mapped files are left out: the system takes them back whenever it needs room. The watched process is not
disturbed, and compiled code that holds the interpreter is seen too. Standard library only; Linux only (elsewhere NaN).
"""

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

EVERY_S = 0.005
FIELD = "RssAnon:"


class Watched:
    """``with Watched(pid) as seen: ...``, then ``seen.peak_mb``."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peak_mb = float("nan")

    def __enter__(self) -> "Watched":
        command = [sys.executable, __file__, str(self._pid)]
        self._watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._watcher.stdout is not None
        self._watcher.stdout.readline()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._watcher.stdin is not None and self._watcher.stdout is not None
        # Its input ends, so it tells and ends within its next look.
        self._watcher.stdin.close()
        self.peak_mb = float(self._watcher.stdout.read())
        self._watcher.stdout.close()
        self._watcher.wait()


def anonymous_mb(pid: int) -> float:
    """Anonymous memory of a process now, MB; NaN where the system does not tell."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(FIELD):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return float("nan")


def main(pid: int) -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print("watching", flush=True)
    most = anonymous_mb(pid)
    while not ended.wait(EVERY_S):
        most = max(most, anonymous_mb(pid))
    print(most, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
