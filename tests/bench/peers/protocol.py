"""What every measured script shares: one core, warm calls, and one JSON line at the end. Standard library only.

A script runs in the environment of what it measures, so nothing of the project can be imported here.
"""

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MARK = "RESULT "
"""Begins the line that the bench reads; whatever else a library prints is passed over."""
FAST, SLOW, FEE = 20, 60, 0.001
"""The strategy of the peers' table: long while the mean of 20 closes is above that of 60; 0.1 % a side."""


def arguments(*first: str, words: list[str] | None = None) -> argparse.Namespace:
    """What is given in order (``bars``, a Parquet file of ts and the five values, by default), and the common options."""
    parser = argparse.ArgumentParser()
    for name in first or ("bars",):
        parser.add_argument(name)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--core", type=int, default=None, help="keep to this core")
    args = parser.parse_args(words)
    pin(args.core)
    return args


def pin(core: int | None) -> None:
    """Keep this process to one core, where the system lets us."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def timed(call: Callable[[], Any], repeat: int) -> tuple[list[list[float]], Any]:
    """[wall, processor] seconds of ``repeat`` calls and what the last gave. The caller has made the cold call already.

    On a quiet machine the two are equal for a program on one thread; elsewhere the processor's time tells what the
    program needed, and the wall's how long it waited for others.
    """
    seconds, answer = [], None
    for _ in range(repeat):
        answer = None
        gc.collect()
        began, used = time.perf_counter(), time.process_time()
        answer = call()
        seconds.append([time.perf_counter() - began, time.process_time() - used])
    return seconds, answer


def in_turns(calls: list[Callable[[], Any]], repeat: int) -> list[list[list[float]]]:
    """As ``timed`` for several calls, one after the other, ``repeat`` times, so that all meet the same machine."""
    seconds: list[list[list[float]]] = [[] for _ in calls]
    for _ in range(repeat):
        for number, call in enumerate(calls):
            seconds[number] += timed(call, 1)[0]
    return seconds


def peak_mb() -> float:
    """Most memory this process ever held, MB.

    ``VmHWM`` where there is one: what ``getrusage`` tells begins with the size of the parent at the fork.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    if resource is None:
        return float("nan")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 1024)


def report(**fields: Any) -> None:
    """Print the one line that the bench reads."""
    print(MARK + json.dumps({"peak_mb": peak_mb(), **fields}), flush=True)
