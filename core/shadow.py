"""Whether a challenger forecasts better than the champion: one score a block of minutes, and evidence that may be looked
at as often as one likes.

**The score** of one minute compares two forecasts of the same returns by the CRPS (continuous ranked probability score)
of a normal distribution, in basis points, which rewards a right mean and an honest spread; closed form: Gneiting & Raftery
(2007), *Strictly proper scoring rules, prediction, and estimation*, JASA 102, section 4.2. It moves by at most 1 with the mean
and by at most 1/sqrt(pi) with the standard deviation, so the difference of two is divided by the most it could have been,
which is known when the forecasts are made, and lies in [-1, 1].

**Overlap.** A forecast of h minutes is known to be right or wrong h minutes later, so scores of neighbouring minutes are
not independent. A block is 3 h minutes of forecasts and h minutes of waiting: when the next one begins, all of this one is
known. A block's score is the mean of its minutes'; a minute that is not known counts as zero.

**The evidence** is a bet on each block's score, at a stake fixed before: capital that starts at 1 and can only grow beyond
1/alpha with a probability of alpha at most, whenever one looks, as long as the challenger is no better (Ville's
inequality; Waudby-Smith & Ramdas (2024), *Estimating means of bounded random variables by betting*, JRSS B 86; for
comparing forecasters so: Henzi & Ziegel (2022), Biometrika 109, Choe & Ramdas (2023), Operations Research). Five stakes
run beside each other, and the capital is their mean.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from core.messages import BoolArray, FloatArray
from core.units import BPS, MINUTE_MS

STAKES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Shares of the capital that are bet on a block."""
FORECAST_PART, WAIT_PART = 3, 1
"""Of a block, in horizons."""


def crps(mean: FloatArray, stdev: FloatArray, outcome: FloatArray) -> FloatArray:
    """CRPS of N(mean, stdev²) at ``outcome``, all (S,) in one unit; less is better. A stdev of 0 gives |mean - outcome|."""
    error = np.abs(outcome - mean)
    z = np.divide(error, stdev, out=np.zeros_like(error), where=stdev > 0.0)
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    within = np.array([math.erf(x / math.sqrt(2.0)) for x in z])
    return np.where(stdev > 0.0, stdev * (z * within + 2.0 * density - 1.0 / math.sqrt(math.pi)), error)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spoken:
    """One version's forecast of a minute: (S,) bps each, NaN where it was not asked. Both None: it was silent."""

    mean_bps: FloatArray | None = None
    stdev_bps: FloatArray | None = None


def paired_score(champion: Spoken, challenger: Spoken, outcome_bps: FloatArray) -> float:
    """How much better the challenger forecast, in [-1, 1]; 0 where nothing can be told. Who was silent while the other
    spoke has the worst score there is."""
    if champion.mean_bps is None or champion.stdev_bps is None:
        return 0.0 if challenger.mean_bps is None else 1.0
    if challenger.mean_bps is None or challenger.stdev_bps is None:
        return -1.0
    far = np.abs(champion.mean_bps - challenger.mean_bps)
    far = far + np.abs(champion.stdev_bps - challenger.stdev_bps) / math.sqrt(math.pi)
    known = np.isfinite(far) & np.isfinite(outcome_bps)
    most = float(far[known].sum())
    if most <= 0.0:
        return 0.0
    lost = crps(champion.mean_bps[known], champion.stdev_bps[known], outcome_bps[known])
    lost -= crps(challenger.mean_bps[known], challenger.stdev_bps[known], outcome_bps[known])
    return float(np.clip(lost.sum() / most, -1.0, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockScore:
    """How a challenger did against the champion in one block of minutes."""

    member: str
    champion: str
    challenger: str
    begins_ms: int
    score: float
    """In [-1, 1]; above 0 the challenger forecast better."""
    minutes: int
    """Minutes that could be scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the blocks so far say for the challenger."""

    blocks: int = 0
    minutes: int = 0
    total: float = 0.0
    wealth: tuple[float, ...] = (0.0,) * len(STAKES)
    """Logarithm of each stake's capital."""

    @property
    def score(self) -> float:
        """Mean score of a block."""
        return self.total / self.blocks if self.blocks else 0.0

    @property
    def capital(self) -> float:
        """1 at first. Above 1/alpha the challenger is better, with confidence 1 - alpha."""
        return float(np.mean(np.exp(np.minimum(self.wealth, 700.0))))

    def after(self, block: BlockScore) -> "Evidence":
        return Evidence(
            blocks=self.blocks + 1,
            minutes=self.minutes + block.minutes,
            total=self.total + block.score,
            wealth=tuple(w + math.log1p(s * block.score) for w, s in zip(self.wealth, STAKES, strict=True)),
        )

    def needed(self, confidence: float, challengers: int = 1) -> float:
        """Capital that means "better" with this confidence where so many challengers were tried (Bonferroni)."""
        return max(1, challengers) / (1.0 - confidence)


def block_minutes(horizon: int) -> int:
    """Length of a block, forecasts and waiting."""
    return (FORECAST_PART + WAIT_PART) * horizon


Pair = tuple[str, str, str]
"""Member, champion, challenger."""


@dataclass(slots=True)
class _Sum:
    begins_ms: int
    total: float = 0.0
    minutes: int = 0


@dataclass(slots=True)
class ShadowBook:
    """Forecasts that wait for their outcome. Give it every decided minute once, in order; one that is left out is not
    known. What waits is lost with the process: those minutes count as zero."""

    horizon: int
    """Minutes."""
    _close: dict[int, FloatArray] = field(default_factory=dict)
    _waiting: dict[int, list[tuple[Pair, Spoken, Spoken]]] = field(default_factory=dict)
    _sums: dict[Pair, _Sum] = field(default_factory=dict)

    def closed(self, minute: int, close: FloatArray, fresh: BoolArray) -> tuple[BlockScore, ...]:
        """Minute (epoch ms) ``minute`` closed at ``close`` (S,), quote units. Gives the blocks that are whole now."""
        h = self.horizon * MINUTE_MS
        now = np.where(fresh, close, np.nan)
        self._close[minute] = now
        then = self._close.get(minute - h)
        for pair, champion, challenger in self._waiting.pop(minute - h, ()):
            if then is not None:
                self._count(pair, minute - h, paired_score(champion, challenger, BPS * np.log(now / then)))
        for table in (self._close, self._waiting):
            for old in [m for m in table if m < minute - h]:
                del table[old]
        ended = [p for p, s in self._sums.items() if minute >= s.begins_ms + self._length - MINUTE_MS]
        return tuple(self._whole(pair) for pair in ended)

    def spoke(self, minute: int, pair: Pair, champion: Spoken, challenger: Spoken) -> None:
        """Both versions' forecasts of ``minute``, after ``closed`` was told of it."""
        if (minute - self._begins(minute)) // MINUTE_MS < FORECAST_PART * self.horizon:
            self._waiting.setdefault(minute, []).append((pair, champion, challenger))
            self._sums.setdefault(pair, _Sum(self._begins(minute)))

    @property
    def _length(self) -> int:
        return block_minutes(self.horizon) * MINUTE_MS

    def _begins(self, minute: int) -> int:
        return minute // self._length * self._length

    def _count(self, pair: Pair, minute: int, score: float) -> None:
        kept = self._sums.get(pair)
        if kept is not None and kept.begins_ms == self._begins(minute):
            kept.total += score
            kept.minutes += 1

    def _whole(self, pair: Pair) -> BlockScore:
        kept, (member, champion, challenger) = self._sums.pop(pair), pair
        return BlockScore(
            member=member,
            champion=champion,
            challenger=challenger,
            begins_ms=kept.begins_ms,
            score=kept.total / (FORECAST_PART * self.horizon),
            minutes=kept.minutes,
        )


def gathered(blocks: Mapping[Pair, Evidence], block: BlockScore) -> dict[Pair, Evidence]:
    """``blocks`` with one more in it."""
    pair = (block.member, block.champion, block.challenger)
    return {**blocks, pair: blocks.get(pair, Evidence()).after(block)}
