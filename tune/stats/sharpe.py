"""How sure a Sharpe ratio is: probabilistic, deflated by the number of trials, and how long a record must be.

All Sharpe ratios here are of one period (not a year) unless a name says annual. Sources:
[PSR] Bailey & López de Prado 2012, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2).
[DSR] Bailey & López de Prado 2014, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5).
[PMF] Bailey, Borwein, López de Prado & Zhu 2014, "Pseudo-Mathematics and Financial Charlatanism",
Notices of the AMS 61(5).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np

from core.messages import FloatArray

NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What the probability of a Sharpe ratio is made of."""

    sharpe: float
    """Mean over standard deviation of one period."""
    skewness: float
    kurtosis: float
    """Not in excess: 3 when normal."""
    observations: int

    @classmethod
    def of(cls, returns: FloatArray) -> Self | None:
        """The moments of (n,) returns (divided by n, as in [PSR]); None when they do not vary or are fewer than 2."""
        returns = np.asarray(returns, dtype=np.float64)
        if len(returns) < 2:
            return None
        mean = float(returns.mean())
        centred = returns - mean
        variance = float(np.mean(centred**2))
        # Beyond rounding: the returns of an account that grows by the same factor each period do not vary.
        if variance <= (1e-9 * mean) ** 2:
            return None
        deviation = math.sqrt(variance)
        return cls(
            sharpe=mean / deviation,
            skewness=float(np.mean((centred / deviation) ** 3)),
            kurtosis=float(np.mean((centred / deviation) ** 4)),
            observations=len(returns),
        )

    @property
    def spread(self) -> float:
        """sqrt(1 - skewness·SR + (kurtosis - 1)/4·SR²): the standard error of SR times sqrt(n - 1), [PSR] eq. 5 and 11.

        Not below 1e-6: sample moments obey kurtosis >= 1 + skewness², so what stands under the root is never
        negative, but it may be 0.
        """
        inner = 1.0 - self.skewness * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2
        return math.sqrt(max(inner, 1e-12))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """How many variants were tried before this one was shown, and how far their results lay apart."""

    count: int = 1
    variance: float | None = None
    """Variance of the trials' annual Sharpe ratios; None: unknown, then what trials without any skill would show."""

    def __post_init__(self) -> None:
        if self.count < 1 or (self.variance is not None and not 0.0 <= self.variance < math.inf):
            raise ValueError(f"trials: count {self.count} must be 1 or more, variance {self.variance} 0 or more")

    @classmethod
    def of(cls, annual_sharpes: Sequence[float | None]) -> Self:
        """From the trials' annual Sharpe ratios; the ones that are not finite (nothing traded) count as trials only."""
        known = np.array([s for s in annual_sharpes if s is not None and math.isfinite(s)], dtype=np.float64)
        return cls(count=max(1, len(annual_sharpes)), variance=float(known.var(ddof=1)) if len(known) >= 2 else None)

    def period_variance(self, observations: int, per_year: float) -> float:
        """Variance of the trials' Sharpe ratios of one period: the given one, or the sampling variance 1/(n - 1)."""
        if self.variance is None:
            return 1.0 / max(1, observations - 1)
        return self.variance / per_year


def probabilistic_sharpe(moments: Moments, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio is above ``benchmark``; [PSR] eq. 11."""
    z = (moments.sharpe - benchmark) * math.sqrt(moments.observations - 1) / moments.spread
    return NORMAL.cdf(z)


def expected_maximum(count: int) -> float:
    """Expected largest of ``count`` independent standard normals, as approximated in [PMF] prop. 1 and [DSR] eq. 1.

    (1 - γ)·Z⁻¹[1 - 1/N] + γ·Z⁻¹[1 - 1/(N·e)] with γ the Euler-Mascheroni constant. One trial is not a selection: 0.
    The approximation is 2 % above the true value at N = 10 and better beyond.
    """
    if count <= 1:
        return 0.0
    gamma = float(np.euler_gamma)
    return (1.0 - gamma) * NORMAL.inv_cdf(1.0 - 1.0 / count) + gamma * NORMAL.inv_cdf(1.0 - 1.0 / (count * math.e))


def expected_maximum_sharpe(count: int, variance: float) -> float:
    """Sharpe ratio that the best of ``count`` trials without skill is expected to show; [DSR] eq. 1 (SR0)."""
    return math.sqrt(variance) * expected_maximum(count)


def deflated_sharpe(moments: Moments, count: int, variance: float) -> float:
    """Probability that the true Sharpe ratio is above what the best of the trials shows by luck; [DSR] eq. 2.

    ``variance`` is that of the trials' Sharpe ratios of one period.
    """
    return probabilistic_sharpe(moments, expected_maximum_sharpe(count, variance))


def minimum_track_record(moments: Moments, benchmark: float = 0.0, confidence: float = 0.95) -> float | None:
    """Observations needed before the true Sharpe ratio may be said to be above ``benchmark``; [PSR] eq. 13.

    None when the measured one is not above it: no length would do.
    """
    if moments.sharpe <= benchmark:
        return None
    return 1.0 + (moments.spread * NORMAL.inv_cdf(confidence) / (moments.sharpe - benchmark)) ** 2


def minimum_backtest_years(count: int, annual_sharpe: float = 1.0) -> float:
    """Years below which the best of ``count`` trials without skill is expected to show ``annual_sharpe``; [PMF] eq. 6."""
    return (expected_maximum(count) / annual_sharpe) ** 2
