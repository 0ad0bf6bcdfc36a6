"""What each step of each trial came to, one line of JSON, on disk before the search hears of it.

The leaderboard is made from these lines alone, so it needs no state of Ray's; a step that is here is not done again.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from core.errors import DataError
from tune.auto.judging import objective
from tune.auto.space import Value
from tune.auto.task import NINTHS

FILE = "steps.jsonl"
FAILED_SCORE = -1.0
"""Nats. What the search is told of a trial that failed: far worse than any forecast, so that it looks elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One trial on one rung."""

    key: str
    family: str
    hyper: dict[str, Value]
    ninths: int
    status: str
    """``ok``, ``memory``, ``time``, ``error``, ``died``."""
    reason: str = ""
    gain: float = 0.0
    """Nats a forecast; see ``tune.auto.judging``."""
    stdev_gain: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    folds: tuple[float, ...] = ()
    """Gain of each fold."""
    seconds: float = 0.0
    peak: int = 0
    """Most resident memory, bytes."""

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def whole(self) -> bool:
        """Judged after learning from all samples."""
        return self.ok and self.ninths == NINTHS[-1]

    @property
    def score(self) -> float:
        """What the search makes large."""
        return objective(self.gain, self.stdev_gain) if self.ok else FAILED_SCORE

    @classmethod
    def of(cls, key: str, family: str, hyper: Mapping[str, Value], ninths: int, told: Mapping[str, Any]) -> Self:
        """From a process's answer."""
        names = ("status", "reason", "gain", "stdev_gain", "figures", "seconds", "peak")
        taken = {name: told[name] for name in names if name in told}
        return cls(
            key=key, family=family, hyper=dict(hyper), ninths=ninths, folds=tuple(told.get("folds", ())), **taken
        )


def key_of(family: str, hyper: Mapping[str, Value]) -> str:
    """Twelve digits: equal settings, equal digits."""
    return hashlib.sha256(json.dumps([family, dict(hyper)], sort_keys=True).encode()).hexdigest()[:12]


def append(folder: Path, step: Step) -> None:
    """On disk when this returns. A line is written at once, so processes do not mix theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(step), sort_keys=True).encode() + b"\n"
    path = folder / FILE
    # What a crash left of a line must not swallow this one.
    torn = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("ab", buffering=0) as file:
        file.write(b"\n" * torn + line)
        os.fsync(file.fileno())


def read(folder: Path) -> dict[tuple[str, int], Step]:
    """(key, ninths) → the last word on it, in the order of first writing. A line that a crash cut off counts as nothing;
    what is no step at all is a DataError."""
    path = folder / FILE
    found: dict[tuple[str, int], Step] = {}
    if not path.exists():
        return found
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            stored = json.loads(line)
        except ValueError:
            continue  # cut off: the step was not told to anybody, and is done again
        try:
            step = Step(**{**stored, "folds": tuple(stored["folds"])})
        except (TypeError, KeyError) as error:
            raise DataError(f"{path}: line {number} is no step of a search ({error}); move the file away") from None
        found[step.key, step.ninths] = step
    return found


def last_of_each(steps: Iterable[Step]) -> list[Step]:
    """Where each trial got to: its step with most samples."""
    best: dict[str, Step] = {}
    for step in steps:
        if step.key not in best or step.ninths >= best[step.key].ninths:
            best[step.key] = step
    return list(best.values())


def cost_of(steps: Iterable[Step], key: str) -> tuple[float, int]:
    """Seconds of all of a trial's steps, and their largest peak in bytes."""
    own = [step for step in steps if step.key == key]
    return sum(step.seconds for step in own), max((step.peak for step in own), default=0)


def read_series(path: Path) -> np.ndarray:
    """(2, H): hours and gains; DataError when it cannot be read."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the hours of a trial cannot be read ({error}); begin the search again") from None
