"""What a search may use of this machine: time, cores and memory, and how that is shared out.

Time is cut in two: the search, and what its end needs. Cores are held by the processes' affinity, memory by a limit of
each trial's process and a watch over the sum (``tune.auto.watch``). The figures of what Ray and the processes beside the
trials take are measured; the sum is of resident memory, so pages that processes share count once for each: it errs to
the safe side.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import ConfigError
from tune.auto.space import FAMILIES, MB, Space

UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
DEFAULT_MEMORY = "8GB"
DEFAULT_MINUTES = 20.0
OBJECT_STORE_BYTES = 100 * MB
"""Nothing large goes through it: trials read the prepared table from files. Ray takes no less than 75 MB."""
DRIVER_BYTES = 600 * MB
RAY_BYTES = 900 * MB
ACTOR_BYTES = 350 * MB
"""Ray's process beside each trial: it asks for the work and watches it."""
END_SHARE = 0.2
"""Share of the time that is kept for the finalists and their backtest: three of them over 18 days of two instruments took
90 s on two busy cores."""
LONGEST_END_S = 300.0
LEAST_SEARCH_S = 15.0
"""Less is no time for one trial: a process starts, reads, learns four times and is judged."""
SLOWEST = 0.4
"""Share of the search's time that one step of one trial may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The whole, and a trial's part of it."""

    seconds: float
    cores: int
    memory: int
    """Bytes, of all processes together."""
    at_once: int
    """Trials that run at the same time."""
    threads: int
    """Of one trial."""
    trial_bytes: int
    """Resident memory that one trial's process may have."""

    @property
    def end_seconds(self) -> float:
        """Kept for the finalists."""
        return min(LONGEST_END_S, END_SHARE * self.seconds)

    @property
    def step_seconds(self) -> float:
        """Longest that one step of a trial may take."""
        return SLOWEST * (self.seconds - self.end_seconds)

    def in_words(self) -> str:
        at_once = f"{self.at_once} trials at once, each" if self.at_once != 1 else "one trial at a time,"
        return (
            f"{self.seconds / 60:g} minutes, {self.cores} core{'s' * (self.cores != 1)}, {size(self.memory)}: {at_once} "
            f"with {self.threads} thread{'s' * (self.threads != 1)} and {size(self.trial_bytes)}"
        )


def share(*, minutes: float, cores: int, there: int, memory: int, physical: int, space: Space) -> Budget:
    """How many trials run at once and what each may use.

    ``there``: cores of this machine, ``physical``: its memory in bytes. Raises ConfigError when the machine has not as
    much, or the hungriest family would not fit.
    """
    if cores > there:
        raise ConfigError(f"--cores {cores}: this machine lets us use {there}")
    if memory > physical:
        raise ConfigError(f"--memory {size(memory)}: this machine has {size(physical)}")
    hungriest = max(space.families, key=lambda name: FAMILIES[name].needs_mb)
    one = space.needs_mb * MB
    fixed = DRIVER_BYTES + RAY_BYTES + OBJECT_STORE_BYTES
    at_once = min(cores, (memory - fixed) // (one + ACTOR_BYTES))
    if at_once < 1:
        raise ConfigError(
            f"--memory {size(memory)} is too little: one trial of {hungriest} needs {size(one)}, Ray and this process "
            f"{size(fixed + ACTOR_BYTES)} more; give {size(fixed + ACTOR_BYTES + one)} or leave {hungriest} out (--families)"
        )
    return Budget(
        seconds=minutes * 60.0,
        cores=cores,
        memory=memory,
        at_once=int(at_once),
        threads=max(1, cores // int(at_once)),
        trial_bytes=int((memory - fixed) // at_once - ACTOR_BYTES),
    )


def read_size(text: str) -> int:
    """``8GB``, ``1.5 GiB``, ``900MB`` → bytes; ValueError says what is allowed."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*", text)
    unit = UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None or float(found[1]) <= 0.0:
        raise ValueError(f"{text!r} is not an amount of memory like 8GB, 1.5GiB or 900MB")
    return int(float(found[1]) * unit)


def size(amount: float) -> str:
    """Bytes for people: ``8.0 GB``, ``640 MB``."""
    return f"{amount / 1e9:.1f} GB" if amount >= 1e9 else f"{amount / 1e6:.0f} MB"


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of one start: when it began, how much earlier starts had spent, all in seconds of ``now``."""

    now: Callable[[], float]
    """Monotonic, equal in all processes of the machine."""
    began: float
    spent_before: float
    budget: Budget

    @property
    def spent(self) -> float:
        return self.spent_before + self.now() - self.began

    @property
    def left(self) -> float:
        """Of everything; never below 0."""
        return max(0.0, self.budget.seconds - self.spent)

    @property
    def search_left(self) -> float:
        return max(0.0, self.left - self.budget.end_seconds)

    @property
    def search_ends(self) -> float:
        """On the clock ``now``."""
        return self.now() + self.search_left
