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
from core.reasons import Reason, all_from_plain, to_plain
from tune.result import Result, stopped
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
        said = [to_plain(reason) for reason in self.reasons]
        return json.dumps(asdict(self) | {"said": said}, indent=1, allow_nan=False)

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
        return cls(word=word, reasons=all_from_plain(reasons, found.get("said")), figures=figures)


class _Tests:
    """Sentences by how the test went."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.passed: list[str] = []

    def test(self, passed: bool | None, code: str, **values: str) -> None:
        """``passed`` None: the test could not be made."""
        how = {None: "not_tested", True: "passed", False: "failed_test"}[passed]
        (self.passed if passed else self.failed).append(Reason(how, sentence=Reason(code, **values)))


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
    probability of overfitting, ``folds`` the net USDT of each fold of a walk-forward (NaN: nothing was held or traded in
    it), ``prices`` (minute (P,) epoch
    ms, close (P, S), or what gives one instrument's) of the market where ``result.grid`` is too coarse for the random-entry test.
    """
    trials = trials or Trials()
    wanted = thresholds or Thresholds()
    minute, equity = observed(result.minute, result.equity)
    days = days_of(minute)
    figures: Figures = {"days": days, "trials": trials.count}
    if not len(result.fills) or not len(minute):
        return Verdict(word="none", reasons=(Reason("nothing_traded", days=_days(days)),), figures=figures)
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
        code = "costs_too_large" if gross > 0.0 else "nothing_before_costs"
        hopeless.append(Reason(code, net=f"{net:+,.2f}", days=_days(days), gross=f"{gross:+,.2f}"))
    _time(tests, figures, result, days, wanted)
    tests.test(closed >= wanted.trades, "trades_closed", count=str(closed), wanted=str(wanted.trades))
    tests.test(net > 0.0, "net_result", net=f"{net:+,.2f}")
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


def _time(tests: _Tests, figures: Figures, result: Result, days: float, wanted: Thresholds) -> None:
    """How long it ran: a limit or a halt that stops buying stops the evidence, too."""
    share = stopped(result).sum() / max(1, np.isfinite(result.equity).sum())
    figures["days_buying"] = buying = float(days * (1.0 - share))
    code, run = ("days_buying", {"run": _days(days)}) if share else ("days_run", {})
    tests.test(bool(buying >= wanted.days), code, days=_days(buying), wanted=f"{wanted.days:g}", **run)


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
        tests.test(None, "sharpe_not_known", count=str(LEAST_RETURNS), period=period)
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
    tried = Reason("one_variant") if trials.count == 1 else Reason("variants", count=f"{trials.count:,}")
    shown = {"luck": f"{luck:.2f}", "sharpe": f"{moments.sharpe * year:.2f}", "tried": tried}
    tests.test(
        bool(deflated >= wanted.deflated),
        "deflated",
        deflated=f"{deflated:.1%}",
        observations=f"{moments.observations:,}",
        period=period,
        wanted=f"{wanted.deflated:.0%}",
        **shown,
    )
    if deflated < wanted.hopeless_deflated:
        return [Reason("sharpe_by_luck", **shown)]
    return []


def _bands(tests: _Tests, figures: Figures, bands: Bands | None, wanted: Thresholds, period: str) -> None:
    level = {"quantile": f"{wanted.mean_quantile:.0%}", "one": _one(period), "period": period}
    low = float(np.quantile(bands.means, wanted.mean_quantile)) if bands is not None else None
    if bands is None or low is None:
        tests.test(None, "mean_not_known", **level)
        return
    figures |= {
        "mean_low": low,
        "block": bands.block,
        "sharpe_low": bands.sharpe[0.05],
        "sharpe_high": bands.sharpe[0.95],
    }
    tests.test(
        low > 0.0,
        "mean_low",
        low=f"{low * 10_000:+.2f}",
        resamples=f"{bands.resamples:,}",
        block=f"{bands.block:.1f}",
        **level,
    )


def _best_day(tests: _Tests, figures: Figures, result: Result, net: float) -> None:
    best = float(np.max(np.diff(sampled(result.minute, result.equity, "day").equity), initial=0.0))
    figures["net_without_best_day"] = net - best
    tests.test(net - best > 0.0, "without_best_day", net=f"{net - best:+,.2f}")


def _entries(tests: _Tests, figures: Figures, found: RandomEntry | None, wanted: Thresholds) -> list[str]:
    if found is None:
        tests.test(None, "entries_not_tried")
        return []
    figures |= {"random_p": found.p, "random_median": found.median, "realised_usdt": found.realised}
    what = Reason(
        "entries",
        p=f"{found.p:.2%}",
        resamples=f"{found.resamples:,}",
        realised=f"{found.realised:+,.2f}",
        median=f"{found.median:+,.2f}",
    )
    tests.test(bool(found.p <= wanted.random_p), "entries_may", what=what, wanted=f"{wanted.random_p:.0%}")
    if found.p > wanted.hopeless_random_p:
        return [Reason("entries_as_well", what=what)]
    return []


def _selection(tests: _Tests, figures: Figures, trials: Trials, pbo: float | None, wanted: Thresholds) -> None:
    pbo = pbo if pbo is not None and math.isfinite(pbo) else None
    figures["pbo"] = pbo
    if trials.count == 1:
        return
    if pbo is None:
        tests.test(None, "overfitting_not_known", count=f"{trials.count:,}")
        return
    tests.test(
        bool(pbo <= wanted.pbo),
        "overfitting",
        count=f"{trials.count:,}",
        pbo=f"{pbo:.0%}",
        wanted=f"{wanted.pbo:.0%}",
    )


def _folds(tests: _Tests, figures: Figures, folds: Sequence[float], wanted: Thresholds) -> None:
    if not len(folds):
        return
    earning, idle = sum(1 for fold in folds if fold > 0.0), sum(1 for fold in folds if math.isnan(fold))
    figures |= {"folds": len(folds), "folds_positive": earning, "folds_idle": idle}
    tests.test(
        earning >= wanted.folds * len(folds),
        "folds_idle" if idle else "folds",
        earning=str(earning),
        count=str(len(folds)),
        wanted=f"{wanted.folds:.0%}",
        **({"idle": str(idle)} if idle else {}),
    )


def _one(period: str) -> str:
    return "an hour" if period == "hour" else f"a {period}"


def _days(days: float) -> Reason:
    return Reason("days", count=f"{days:.1f}" if days < 100 else f"{days:,.0f}")


def _plain(figures: Figures) -> Figures:
    """Figures as JSON holds them: what is not finite is None."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}
