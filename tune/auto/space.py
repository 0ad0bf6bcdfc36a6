"""What the search may choose from: model families and their hyper-parameters, each with its range, unit and reason.

One table, ``FAMILIES``. A family joins the search by its line here; its names are those of the keyword arguments that
``serve.models.registry.new_member`` takes. What every family has stands in ``COMMON`` and is about the data, not the model.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import ConfigError

MB = 1_000_000
FAMILY = "family"
WINDOW = "window_days"
ALL_DAYS = 0
Value = float | int | str | bool


class Suggests(Protocol):
    """What is needed of an Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """Any number between two, both allowed; ``log``: even over its logarithm."""

    name: str
    low: float
    high: float
    unit: str
    why: str
    log: bool = False

    def suggest(self, trial: Suggests, prefix: str) -> Value:
        return trial.suggest_float(prefix + self.name, self.low, self.high, log=self.log)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number between two, both allowed."""

    name: str
    low: int
    high: int
    unit: str
    why: str
    log: bool = False

    def suggest(self, trial: Suggests, prefix: str) -> Value:
        return trial.suggest_int(prefix + self.name, self.low, self.high, log=self.log)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf:
    """One of a few."""

    name: str
    choices: tuple[Value, ...]
    unit: str
    why: str

    def suggest(self, trial: Suggests, prefix: str) -> Value:
        return trial.suggest_categorical(prefix + self.name, self.choices)

    def __contains__(self, value: object) -> bool:
        return value in self.choices


Range = Real | Whole | OneOf


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family's line of the table."""

    ranges: tuple[Range, ...]
    needs_mb: int
    """Resident memory of a trial's process that learns from the largest sample, with headroom; measured."""
    why: str


COMMON: tuple[Range, ...] = (
    OneOf(
        name=WINDOW,
        choices=(ALL_DAYS, 28, 14, 7),
        unit="days before each test part that are learned from; 0: all",
        why="markets change: what held two months ago may hurt, and less of it learns faster",
    ),
)


def _schooling(steps: tuple[int, int], rate: tuple[float, float]) -> tuple[Range, ...]:
    """What all networks have."""
    return (
        Whole(
            name="steps",
            low=steps[0],
            high=steps[1],
            log=True,
            unit="batches of 256 windows at most",
            why="too few learn nothing; it ends by itself where more do not help",
        ),
        Real(
            name="learning_rate",
            low=rate[0],
            high=rate[1],
            log=True,
            unit="per step, at its highest",
            why="decides how far so few steps get, and whether they diverge",
        ),
        Real(
            name="weight_decay",
            low=1e-3,
            high=3e-1,
            log=True,
            unit="per step, times the rate",
            why="returns are nearly all noise: small weights follow less of it",
        ),
        Real(
            name="dropout", low=0.0, high=0.5, unit="share of units", why="against following single paths of the past"
        ),
    )


FAMILIES: dict[str, Family] = {
    "ridge": Family(
        ranges=(
            Real(
                name="penalty",
                low=1e-3,
                high=30.0,
                log=True,
                unit="per sample, on standardised coefficients",
                why="from nearly free to nearly silent",
            ),
            Real(
                name="outlier",
                low=2.0,
                high=8.0,
                unit="standard deviations at which returns are cut",
                why="how much a few wild minutes may teach",
            ),
        ),
        needs_mb=800,
        why="the linear yardstick",
    ),
    "lightgbm": Family(
        ranges=(
            Whole(name="trees", low=50, high=600, log=True, unit="at most", why="with the rate, how far it follows"),
            Whole(name="leaves", low=3, high=63, log=True, unit="a tree", why="how many features may act together"),
            Real(name="learning_rate", low=0.01, high=0.1, log=True, unit="a tree", why="small steps overfit later"),
            Real(
                name="least_leaf",
                low=0.002,
                high=0.05,
                log=True,
                unit="share of the samples in a leaf",
                why="a leaf of few minutes is an anecdote",
            ),
            Real(name="features", low=0.2, high=1.0, unit="share a tree looks at", why="trees that differ err apart"),
            Real(name="l2", low=0.1, high=100.0, log=True, unit="LightGBM's lambda_l2", why="pulls leaves to zero"),
        ),
        needs_mb=900,
        why="finds thresholds and features that act together",
    ),
    "tcn": Family(
        ranges=(
            OneOf(name="channels", choices=(8, 16, 32), unit="a layer", why="how many patterns it keeps apart"),
            *_schooling((75, 600), (5e-4, 1e-2)),
        ),
        needs_mb=1_100,
        why="sees an hour of bars as a sequence, the same way at every place",
    ),
    "gru": Family(
        ranges=(
            Whole(name="hidden", low=8, high=64, log=True, unit="state", why="how much it remembers"),
            OneOf(
                name="stride", choices=(2, 4, 8), unit="minutes in one step", why="longer steps are faster and blunter"
            ),
            *_schooling((75, 600), (5e-4, 1e-2)),
        ),
        needs_mb=1_100,
        why="walks through the hour and forgets by itself",
    ),
    "patch": Family(
        ranges=(
            OneOf(name="width", choices=(16, 32, 64), unit="of a patch", why="how much is kept of each patch"),
            Whole(name="layers", low=1, high=3, unit="of attention", why="how many steps of comparing"),
            OneOf(name="minutes", choices=(4, 8, 16), unit="in a patch", why="what is looked at as one thing"),
            *_schooling((75, 600), (3e-4, 6e-3)),
        ),
        needs_mb=1_100,
        why="compares parts of the hour with each other",
    ),
    "rules": Family(
        ranges=(
            Real(
                name="penalty",
                low=1e-3,
                high=1.0,
                log=True,
                unit="per sample, on the coefficients",
                why="what a signal must show before it has a price",
            ),
            Real(
                name="outlier",
                low=2.0,
                high=8.0,
                unit="usual moves at which returns are cut",
                why="how much a few wild minutes may teach",
            ),
        ),
        needs_mb=800,
        why="chart rules with a price: few numbers, hard to overfit",
    ),
}
"""Family → what may be searched. ``rl`` learns by another way (``train --rl``); ``sentiment`` has nothing to choose."""


@dataclass(frozen=True, slots=True)
class Space:
    """The chosen families' part of the table, as Optuna asks for it. ``days``: shortest past that a fold learns from; a
    window as long as that is no window."""

    families: tuple[str, ...]
    days: float

    def __call__(self, trial: Suggests) -> dict[str, Any]:
        family = str(trial.suggest_categorical(FAMILY, self.families))
        for one in self.ranges(family):
            one.suggest(trial, prefix_of(family))
        return {}

    def ranges(self, family: str) -> tuple[Range, ...]:
        """What is searched of a family here; empty choices fall away."""
        return tuple(r for one in (*COMMON, *FAMILIES[family].ranges) if (r := self._fitted(one)) is not None)

    def _fitted(self, one: Range) -> Range | None:
        if one.name != WINDOW or not isinstance(one, OneOf):
            return one
        choices = tuple(c for c in one.choices if c == ALL_DAYS or float(c) < self.days)
        return OneOf(name=one.name, choices=choices, unit=one.unit, why=one.why) if len(choices) > 1 else None

    @property
    def needs_mb(self) -> int:
        """Memory that the hungriest of the families needs."""
        return max(FAMILIES[name].needs_mb for name in self.families)

    def starts(self) -> list[dict[str, Any]]:
        """One proposal a family to begin with, so that none is missed by chance; the rest of it is drawn."""
        return [{FAMILY: name} for name in self.families]


def prefix_of(family: str) -> str:
    return f"{family}."


def settings_of(config: Mapping[str, Any]) -> tuple[str, dict[str, Value]]:
    """A trial's parameters → family, and its hyper-parameters with the common ones, sorted by name."""
    family = str(config[FAMILY])
    prefix = prefix_of(family)
    own = {name.removeprefix(prefix): value for name, value in config.items() if name.startswith(prefix)}
    return family, {name: own[name] for name in sorted(own)}


def split(hyper: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """(what is about the data, keyword arguments of the member)."""
    common = {one.name for one in COMMON}
    return {k: v for k, v in hyper.items() if k in common}, {k: v for k, v in hyper.items() if k not in common}


def in_words(hyper: Mapping[str, Value]) -> str:
    """``window_days 14, steps 300``; numbers short."""
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in hyper.items()) or "-"


def chosen(text: str | None) -> tuple[str, ...]:
    """The families that ``--families`` names, in the table's order; all of the table without it. ConfigError names one
    that is not there and the near one."""
    if text is None:
        return tuple(FAMILIES)
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    if not wanted:
        raise ConfigError(f"--families {text!r} names none; there are {', '.join(FAMILIES)}")
    for name in sorted(wanted - FAMILIES.keys()):
        if name == "rl":
            raise ConfigError("--families rl: the agent is not part of the search; train it with: train --rl")
        close = difflib.get_close_matches(name, FAMILIES, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"--families {name}: cannot be searched; there are {', '.join(FAMILIES)}{hint}")
    return tuple(name for name in FAMILIES if name in wanted)
