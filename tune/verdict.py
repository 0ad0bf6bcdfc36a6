"""One word on a backtest, ``edge``, ``unproven`` or ``none``, with every reason for it as a sentence.

``none`` says there is no sign of an edge; ``edge`` that every test made was passed; all else is ``unproven``, and a test
that could not be made is not passed. The tests are chosen to fail separately: a lucky day, a lucky choice among
trials, a lucky drift of the market and a lucky fold each look fine to most of them.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from core.errors import DataError
from tune.result import Result
from tune.stats.bootstrap import Bands, bootstrap
from tune.stats.random_entry import Closes, RandomEntry, random_entry
from tune.stats.sampling import days_of, observed, sampled
from tune.stats.sharpe import (
    Moments,
    Trials,
    deflated_sharpe,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)
from tune.stats.trades import trips_of

WORDS = ("edge", "unproven", "none")
Figures = dict[str, float | int | str | None]
LEAST_RETURNS = 10
"""Sampled returns below which their moments say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What each test asks for, and why that much."""

    days: float = 14.0
    """Two weeks: every hour of the week is seen twice, so no single weekend or Monday decides."""
    trades: int = 30
    """Below thirty chances a mean says little; the usual rule for the central limit to be of use."""
    deflated: float = 0.95
    """Probability that the true Sharpe ratio beats the luck of the trials; the level of the paper."""
    mean_quantile: float = 0.05
    """The lower end of the bootstrapped mean return that has to be above 0."""
    random_p: float = 0.05
    """Chance at which random entries may do as well."""
    pbo: float = 0.25
    """Halves of the time in which the best trial may turn out below the median; luck alone gives one half."""
    folds: float = 0.5
    """Share of the folds that have to earn."""
    hopeless_deflated: float = 0.5
    """Below it ``none``: the best of as many trials without any skill would be expected to look at least as good."""
    hopeless_random_p: float = 0.5
    """Above it ``none``: more than half of the random entries did better, so what was earned came from the market."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The word, its reasons (the failed tests first) and the numbers in them."""

    word: str
    reasons: tuple[str, ...]
    figures: Figures

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote; DataError says what is wrong with it."""
        try:
            found: dict[str, Any] = json.loads(text)
            word, reasons, figures = found["word"], found["reasons"], found["figures"]
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"this is no verdict of a backtest ({error}); run the backtest again") from None
        if word not in WORDS or not isinstance(reasons, list) or not isinstance(figures, dict):
            raise DataError(f"this is no verdict of a backtest (its word is {word!r}); run the backtest again")
        return cls(word=word, reasons=tuple(str(r) for r in reasons), figures=figures)


class _Tests:
    """Sentences by how the test went."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.passed: list[str] = []

    def test(self, passed: bool | None, sentence: str) -> None:
        """``passed`` None: the test could not be made."""
        if passed is None:
            self.failed.append(f"Not tested: {sentence}")
        else:
            (self.passed if passed else self.failed).append(f"{'Passed' if passed else 'Failed'}: {sentence}")


def judge(
    result: Result,
    *,
    trials: Trials | None = None,
    pbo: float | None = None,
    folds: Sequence[float] = (),
    prices: tuple[np.ndarray, Closes] | None = None,
    thresholds: Thresholds | None = None,
    seed: int = 0,
    resamples: int = 2_000,
) -> Verdict:
    """Judge a run; equal inputs and seed give an equal verdict.

    ``trials`` are all variants tried before this one was shown (default: this is the only one), ``pbo`` their
    probability of overfitting, ``folds`` the net USDT of each fold of a walk-forward, ``prices`` (minute (P,) epoch
    ms, close (P, S), or what gives one instrument's) of the market where ``result.grid`` is too coarse for the random-entry test.
    """
    trials = trials or Trials()
    wanted = thresholds or Thresholds()
    minute, equity = observed(result.minute, result.equity)
    days = days_of(minute)
    figures: Figures = {"days": days, "trials": trials.count}
    if not len(result.fills) or not len(minute):
        return Verdict(word="none", reasons=(f"Nothing was traded in {_days(days)}.",), figures=figures)
    trips = trips_of(result)
    closed = sum(not trip.open for trip in trips)
    net = float(equity[-1] - equity[0])
    sample = sampled(result.minute, result.equity)
    moments = Moments.of(sample.returns) if len(sample.returns) >= LEAST_RETURNS else None
    figures |= {"fills": len(result.fills), "trades": closed, "net_usdt": net, "period": sample.period}
    tests = _Tests()
    hopeless: list[str] = []
    if net <= 0.0:
        gross = result.costs.gross
        hopeless.append(
            f"After all costs it made {net:+,.2f} USDT in {_days(days)}; before costs {gross:+,.2f}: "
            + ("the costs are larger than what it finds." if gross > 0.0 else "there is nothing for costs to eat.")
        )
    tests.test(days >= wanted.days, f"{_days(days)} were run, at least {wanted.days:g} are needed.")
    tests.test(closed >= wanted.trades, f"{closed} trades were closed, at least {wanted.trades} are needed.")
    tests.test(net > 0.0, f"the net result after all costs is {net:+,.2f} USDT, it has to be above 0.")
    hopeless += _sharpe(tests, figures, moments, trials, sample.period, sample.per_year, wanted)
    _bands(
        tests, figures, bootstrap(sample, np.random.default_rng([seed, 1]), resamples, fan=False), wanted, sample.period
    )
    _best_day(tests, figures, result, net)
    hopeless += _entries(
        tests, figures, random_entry(result, np.random.default_rng([seed, 2]), prices, resamples, trips=trips), wanted
    )
    _selection(tests, figures, trials, pbo, wanted)
    _folds(tests, figures, folds, wanted)
    word = "none" if hopeless else "unproven" if tests.failed else "edge"
    return Verdict(word=word, reasons=(*hopeless, *tests.failed, *tests.passed), figures=_plain(figures))


def _sharpe(
    tests: _Tests,
    figures: Figures,
    moments: Moments | None,
    trials: Trials,
    period: str,
    per_year: float,
    wanted: Thresholds,
) -> list[str]:
    """The deflated Sharpe ratio; what it says against any edge at all."""
    if moments is None:
        tests.test(
            None, f"the Sharpe ratio needs {LEAST_RETURNS} {period}s or more in which the account changed differently."
        )
        return []
    variance = trials.period_variance(moments.observations, per_year)
    year = math.sqrt(per_year)
    luck = expected_maximum_sharpe(trials.count, variance) * year
    deflated = deflated_sharpe(moments, trials.count, variance)
    record = minimum_track_record(moments, luck / year, wanted.deflated)
    figures |= {
        "sharpe": moments.sharpe * year,
        "sharpe_by_luck": luck,
        "probabilistic_sharpe": probabilistic_sharpe(moments),
        "deflated_sharpe": deflated,
        "skewness": moments.skewness,
        "kurtosis": moments.kurtosis,
        "observations": moments.observations,
        "minimum_track_days": record / per_year * 365.0 if record is not None else None,
    }
    tried = "one variant was tried" if trials.count == 1 else f"{trials.count:,} variants were tried"
    tests.test(
        deflated >= wanted.deflated,
        f"the probability that the true Sharpe ratio is above {luck:.2f} a year, what luck alone shows when {tried}, "
        f"is {deflated:.1%} (measured {moments.sharpe * year:.2f} over {moments.observations:,} {period}s); "
        f"at least {wanted.deflated:.0%} is needed.",
    )
    if deflated < wanted.hopeless_deflated:
        return [
            f"Its Sharpe ratio of {moments.sharpe * year:.2f} a year is not above the {luck:.2f} that luck alone shows "
            f"when {tried}."
        ]
    return []


def _bands(tests: _Tests, figures: Figures, bands: Bands | None, wanted: Thresholds, period: str) -> None:
    level = f"the {wanted.mean_quantile:.0%} quantile of the mean net return of {_one(period)}"
    low = float(np.quantile(bands.means, wanted.mean_quantile)) if bands is not None else None
    if bands is None or low is None:
        tests.test(None, f"{level} needs two returns or more.")
        return
    figures |= {
        "mean_low": low,
        "block": bands.block,
        "sharpe_low": bands.sharpe[0.05],
        "sharpe_high": bands.sharpe[0.95],
    }
    tests.test(
        low > 0.0,
        f"{level} is {low * 10_000:+.2f} bps over {bands.resamples:,} resampled runs (blocks of {bands.block:.1f} "
        f"{period}s), it has to be above 0.",
    )


def _best_day(tests: _Tests, figures: Figures, result: Result, net: float) -> None:
    best = float(np.max(np.diff(sampled(result.minute, result.equity, "day").equity), initial=0.0))
    figures["net_without_best_day"] = net - best
    tests.test(net - best > 0.0, f"without its best day it made {net - best:+,.2f} USDT, it has to be above 0.")


def _entries(tests: _Tests, figures: Figures, found: RandomEntry | None, wanted: Thresholds) -> list[str]:
    if found is None:
        tests.test(
            None, "random entries could not be tried, as prices are known too rarely for so short trades: pass prices."
        )
        return []
    figures |= {"random_p": found.p, "random_median": found.median, "realised_usdt": found.realised}
    what = (
        f"{found.p:.2%} of {found.resamples:,} runs with the same trades at random times did at least as well "
        f"({found.realised:+,.2f} USDT against {found.median:+,.2f} in the middle)"
    )
    tests.test(found.p <= wanted.random_p, f"{what}, at most {wanted.random_p:.0%} may.")
    if found.p > wanted.hopeless_random_p:
        return [f"Entering at random does as well: {what}."]
    return []


def _selection(tests: _Tests, figures: Figures, trials: Trials, pbo: float | None, wanted: Thresholds) -> None:
    pbo = pbo if pbo is not None and math.isfinite(pbo) else None
    figures["pbo"] = pbo
    if trials.count == 1:
        return
    if pbo is None:
        tests.test(None, f"{trials.count:,} variants were tried, but their probability of overfitting is not known.")
        return
    tests.test(
        pbo <= wanted.pbo,
        f"the probability of overfitting, that the best of {trials.count:,} variants in one half of the time is below "
        f"the median in the other, is {pbo:.0%}, at most {wanted.pbo:.0%} may be.",
    )


def _folds(tests: _Tests, figures: Figures, folds: Sequence[float], wanted: Thresholds) -> None:
    if not len(folds):
        return
    earning = sum(1 for fold in folds if fold > 0.0)
    figures |= {"folds": len(folds), "folds_positive": earning}
    tests.test(
        earning >= wanted.folds * len(folds),
        f"{earning} of {len(folds)} folds made a net profit, at least {wanted.folds:.0%} have to.",
    )


def _one(period: str) -> str:
    return "an hour" if period == "hour" else f"a {period}"


def _days(days: float) -> str:
    return f"{days:.1f} days" if days < 100 else f"{days:,.0f} days"


def _plain(figures: Figures) -> Figures:
    """Figures as JSON holds them: what is not finite is None."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}
