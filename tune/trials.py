"""The tuning log of a market: every variant that was judged on it, so that the best one's luck can be told from skill.

One line of JSON a trial in ``<market>/tune/trials.jsonl``, appended only. A trial is known by its key, which says what
was tried and not when: the same variant judged again, on the same or on more bars, is no new trial.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from core.errors import DataError, TimedOut

FILE = Path("tune") / "trials.jsonl"
WAIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One variant that was judged."""

    kind: str
    """``weights``, ``model`` or ``walk-forward``."""
    what: str
    """In words."""
    key: str
    annual_sharpe: float | None = None
    """Of its net returns; None where it was judged by something else, or held nothing."""
    instruments: tuple[str, ...] = ()
    first: int = 0
    end: int = 0
    """Open time of the first judged minute and close of the last, epoch ms."""
    when_ms: int = 0
    """When it was written down (0 until it is)."""


def key_of(*parts: Any) -> str:
    """Sixteen digits that equal parts share."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


class TrialLog:
    """The log under one market's root folder."""

    def __init__(self, root: Path) -> None:
        self.path = Path(root) / FILE

    def append(self, trials: Iterable[Trial]) -> int:
        """Write down those that are not there yet, at once; gives how many were new."""
        trials = list(trials)
        if not trials:
            return 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_suffix(".lock")
        try:
            with FileLock(lock, timeout=WAIT_S):
                known = {trial.key for trial in self.read()}
                fresh: dict[str, Trial] = {}
                for trial in trials:
                    if trial.key not in known:
                        fresh.setdefault(trial.key, trial)
                if not fresh:
                    return 0
                # The time of writing is the file system's: nothing but the actors' clock asks the wall.
                os.utime(lock)
                when = lock.stat().st_mtime_ns // 1_000_000
                lines = [json.dumps(asdict(t) | {"when_ms": when}, sort_keys=True) + "\n" for t in fresh.values()]
                torn = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
                with self.path.open("a", encoding="utf-8") as file:
                    file.write("\n" * torn + "".join(lines))
                    file.flush()
                    os.fsync(file.fileno())
                return len(fresh)
        except Timeout as error:
            raise TimedOut(f"{self.path}: another process is writing to the tuning log since {WAIT_S:.0f} s") from error

    def read(self) -> tuple[Trial, ...]:
        """All trials, in the order of writing, each key once.

        A last line that a crash cut off counts as nothing; any other that cannot be read is a DataError: a log that
        forgets trials would make luck look like skill.
        """
        if not self.path.exists():
            return ()
        lines = self.path.read_text(encoding="utf-8").split("\n")
        found: dict[str, Trial] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                stored = json.loads(line)
                stored["instruments"] = tuple(stored["instruments"])
                trial = Trial(**stored)
            except (ValueError, TypeError, KeyError) as error:
                if number >= len(lines) - 1 or self._cut_off(line):
                    continue
                raise DataError(
                    f"{self.path}: line {number} is no trial ({error}); mend or remove that line, the log counts how much "
                    "was tried"
                ) from None
            found.setdefault(trial.key, trial)
        return tuple(found.values())

    def sharpes(self, instruments: Sequence[str] = ()) -> tuple[float | None, ...]:
        """Annual Sharpe ratio (None where unknown) of every trial that judged any of these instruments (all: none)."""
        wanted = set(instruments)
        chosen = [t for t in self.read() if not wanted or wanted & set(t.instruments)]
        return tuple(
            t.annual_sharpe if t.annual_sharpe is not None and math.isfinite(t.annual_sharpe) else None for t in chosen
        )

    @staticmethod
    def _cut_off(line: str) -> bool:
        return line.startswith("{") and not line.rstrip().endswith("}")
