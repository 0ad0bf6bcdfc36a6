"""Asks a trial's process for work, and holds it to its share of memory and time while it waits for the answer.

The process serves one question after the other, so that its start is paid once; after it was ended, or has grown, the next
question gets a new one.
"""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from config.load import ROOT
from tune.auto.budget import size
from tune.auto.watch import WORKER, note_path

TICK_S = 0.05
GROWN = 0.4
"""Share of its limit that a process may keep when it is idle; above it the next question gets a new one."""
WITH_PARENT = ROOT / "data" / "with_parent.py"


class Worker:
    """One process. ``limit``: resident memory in bytes; ``folder``: the search's."""

    def __init__(
        self, folder: Path, limit: int, threads: int, niceness: int, program: Sequence[str] = ("-m", WORKER)
    ) -> None:
        self._folder, self._limit, self._threads, self._niceness = folder, limit, threads, niceness
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def ask(
        self,
        question: dict[str, Any],
        *,
        deadline: float,
        seconds: float,
        say: Callable[[float], None] = lambda share: None,
    ) -> dict[str, Any]:
        """The answer, which has ``status`` (``ok``, ``memory``, ``time``, ``error``, ``died``), ``reason``, ``seconds`` and
        ``peak`` (bytes); what was asked for only where it is ``ok``.

        ``deadline``: when all time is over, on ``time.monotonic``; ``seconds``: the longest that this may take.
        """
        began = time.monotonic()
        process = self._started()
        assert process.stdin is not None and process.stdout is not None, "both are pipes"
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._gone(began, 0)
        peak, text = 0, b""
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            while True:
                if ready.select(TICK_S):
                    read = os.read(process.stdout.fileno(), 1 << 16)
                    if not read:
                        return self._gone(began, peak)
                    *lines, text = (text + read).split(b"\n")
                    for line in lines:
                        told = json.loads(line)
                        if "done" in told:
                            self._tidy()
                            return told["done"] | {"peak": max(peak, told["done"]["peak"])}
                        say(float(told["share"]))
                now = self._rss()
                peak = max(peak, now)
                ended = self._too_much(now, began, deadline, seconds)
                if ended is not None:
                    self.close()
                    return {"status": ended[0], "reason": ended[1], "seconds": time.monotonic() - began, "peak": peak}

    def _too_much(self, now: int, began: float, deadline: float, seconds: float) -> tuple[str, str] | None:
        if now > self._limit:
            return "memory", f"it took {size(now)} of memory, a trial may have {size(self._limit)}"
        if time.monotonic() > deadline:
            return "time", "the time of the search was over"
        if time.monotonic() - began > seconds:
            return "time", f"one step took longer than {seconds:.0f} s"
        return None

    def _gone(self, began: float, peak: int) -> dict[str, Any]:
        """The answer for a process that ended by itself, or by another's hand."""
        process = self._process
        assert process is not None, "it was asked"
        code = process.wait()
        note = note_path(self._folder, process.pid)
        status, reason = "died", f"its process ended {f'by signal {-code}' if code < 0 else f'with exit code {code}'}"
        if note.exists():
            status, reason = "memory", note.read_text(encoding="utf-8")
        self.close()
        return {"status": status, "reason": reason, "seconds": time.monotonic() - began, "peak": peak}

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        threads = str(self._threads)
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        # One arena: memory that is free again goes back, and the sum stays what it looks like.
        environment = os.environ | dict.fromkeys(names, threads) | {"MALLOC_ARENA_MAX": "1", "PYTHONPATH": str(ROOT)}
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *self._program, str(self._folder), str(self._limit), str(self._niceness)]
        with (self._folder / "trials.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, str(WITH_PARENT), str(os.getpid()), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=environment,
            )
        return self._process

    def _rss(self) -> int:
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss) if self._process else 0
        except psutil.Error:
            return 0

    def _tidy(self) -> None:
        if self._rss() > GROWN * self._limit:
            self.close()

    def close(self) -> None:
        """End the process; the next question starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
