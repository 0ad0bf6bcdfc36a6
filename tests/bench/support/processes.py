"""Measuring in a process of its own: start it, wait, and read the one line it reports."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.peers.protocol import MARK

ROOT = Path(__file__).resolve().parents[3]
PEERS = ROOT / "tests" / "bench" / "peers"
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR")}
"""No library may start threads that pinning would only make wait for each other."""


class Failed(Exception):
    """A measured process that gave no answer; the text is the end of what it said."""


@dataclass(frozen=True, slots=True)
class Timing:
    """(wall, processor) seconds of the repetitions of one thing, and how much was done in each."""

    seconds: tuple[tuple[float, float], ...]
    done: int
    """Bars, rows or symbol-minutes a repetition."""

    @classmethod
    def of(cls, told: Sequence[Sequence[float]], done: int) -> "Timing":
        """From what a process reported."""
        return cls(tuple((wall, used) for wall, used in told), done)

    def split(self, calls: int) -> list["Timing"]:
        """In the turns of so many calls that it was joined of."""
        return [Timing(self.seconds[k : k + calls], self.done) for k in range(0, len(self.seconds), calls)]

    @property
    def wall(self) -> float:
        """Median seconds by the clock."""
        return statistics.median(wall for wall, _ in self.seconds)

    @property
    def used(self) -> float:
        """Median seconds of the processor."""
        return statistics.median(used for _, used in self.seconds)

    @property
    def best(self) -> float:
        """Fewest seconds of the processor."""
        return min(used for _, used in self.seconds)

    @property
    def rate(self) -> float:
        """Done a second of the clock, by the median."""
        return self.done / self.wall

    @property
    def rate_used(self) -> float:
        """Done a second of the processor, by the median."""
        return self.done / self.used

    @property
    def spread(self) -> float:
        """Most less fewest processor seconds, in per cent of the median."""
        used = [one for _, one in self.seconds]
        return (max(used) - min(used)) / self.used * 100.0


def measure(command: list[str], timeout: float, env: dict[str, str] | None = None) -> dict[str, Any]:
    """What a process reported by ``protocol.report``; Failed with its last words when it did not."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(env or {}), capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {timeout:.0f} s") from None
    except OSError as error:
        raise Failed(str(error)) from None
    return answer_of(done.stdout, done.stderr, done.returncode)


def answer_of(out: str, err: str, code: int) -> dict[str, Any]:
    """The last reported line of a process's output."""
    lines = [line for line in out.splitlines() if line.startswith(MARK)]
    if code or not lines:
        said = [line for line in (err or out).splitlines() if line.strip()]
        raise Failed(said[-1].strip()[:160] if said else f"it ended with code {code} and no word")
    return json.loads(lines[-1].removeprefix(MARK))


def environment(more: dict[str, str]) -> dict[str, str]:
    """This process's environment and some more."""
    return {**os.environ, **more}


def peer_command(python: Path, script: str, *words: object) -> list[str]:
    return [str(python), str(PEERS / f"{script}.py"), *map(str, words)]


def own_command(module: str, *words: object) -> list[str]:
    return [sys.executable, "-m", f"tests.bench.support.{module}", *map(str, words)]


def a_core() -> int | None:
    """A core that measured processes are kept to: the last this process may use; None where there is no choosing."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return max(os.sched_getaffinity(0))
