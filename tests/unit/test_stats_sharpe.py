"""The probability of a Sharpe ratio, against the numbers of the papers it comes from."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from tune.stats.sharpe import (
    Moments,
    Trials,
    deflated_sharpe,
    expected_maximum,
    expected_maximum_sharpe,
    minimum_backtest_years,
    minimum_track_record,
    probabilistic_sharpe,
)


def moments(sharpe: float, skewness: float = 0.0, kurtosis: float = 3.0, observations: int = 2) -> Moments:
    return Moments(sharpe=sharpe, skewness=skewness, kurtosis=kurtosis, observations=observations)


def test_the_deflated_sharpe_paper_example():
    """Bailey & López de Prado 2014, "A numerical example": annual Sharpe 2.5 over 1,250 days of 250 a year, V = 1/2."""
    best = moments(2.5 / math.sqrt(250), -3.0, 10.0, 1_250)
    variance = 0.5 / 250
    assert expected_maximum_sharpe(100, variance) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(best, 100, variance) == pytest.approx(0.9004, abs=5e-5), "not significant after 100 trials"
    assert deflated_sharpe(best, 46, variance) == pytest.approx(0.9505, abs=5e-5), "it would be after 46"
    normal = moments(2.5 / math.sqrt(250), 0.0, 3.0, 1_250)
    assert deflated_sharpe(normal, 88, variance) == pytest.approx(0.9505, abs=5e-5), "or after 88, were returns normal"


def test_the_probabilistic_sharpe_paper_example():
    """Bailey & López de Prado 2012: a fund with a monthly Sharpe ratio of 0.458 over two years."""
    assert probabilistic_sharpe(moments(0.458, 0.0, 3.0, 24)) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(moments(0.458, -2.448, 10.164, 24)) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(
    ("sharpe", "skewness", "kurtosis", "error", "years"),
    [(0.7079, -0.2250, 2.9570, 0.1028, 0.7152), (0.8183, -1.4455, 7.0497, 0.1550, 1.1593)],
)
def test_hedge_fund_indices_of_the_paper(sharpe, skewness, kurtosis, error, years):
    """Two rows of the table of hedge fund indices, 134 months each: standard error and minimum track record."""
    found = moments(sharpe, skewness, kurtosis, 134)
    assert found.spread / math.sqrt(133) == pytest.approx(error, abs=5e-5)
    assert minimum_track_record(found) / 12 == pytest.approx(years, abs=5e-5)


@pytest.mark.parametrize(
    ("a_year", "skewness", "kurtosis", "years"),
    [(252, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_years_until_a_sharpe_of_two_is_above_one(a_year, skewness, kurtosis, years):
    """Bailey & López de Prado 2012, the minimum track record by frequency of the returns, at 95 %."""
    two = moments(2 / math.sqrt(a_year), skewness, kurtosis)
    assert minimum_track_record(two, 1 / math.sqrt(a_year)) / a_year == pytest.approx(years, abs=5e-3)


def test_standard_errors_of_lo():
    """Lo 2002, "The Statistics of Sharpe Ratios": 60 observations, 0.188 at a ratio of 1.5 and 0.303 at 3."""
    assert moments(1.5).spread / math.sqrt(60) == pytest.approx(0.188, abs=5e-4)
    assert moments(3.0).spread / math.sqrt(60) == pytest.approx(0.303, abs=5e-4)


def test_how_good_the_best_of_many_looks_by_luck():
    """Bailey, Borwein, López de Prado & Zhu 2014: 10 trials show 1.57; 45 trials need five years, 7 need two."""
    assert expected_maximum(10) == pytest.approx(1.57, abs=5e-3)
    assert minimum_backtest_years(45) == pytest.approx(5.0, abs=0.01)
    assert minimum_backtest_years(7) == pytest.approx(2.0, abs=0.1)
    assert expected_maximum(1) == 0.0


@pytest.mark.parametrize(("count", "within"), [(5, 0.04), (10, 0.04), (100, 0.03), (1_000, 0.02)])
def test_the_expected_maximum_is_near_the_exact_one(count, within):
    """Exactly, by quadrature: the integral of x·N·φ(x)·Φ(x)^(N-1); 1.5388 for 10 and 2.5076 for 100."""
    exact, _ = integrate.quad(
        lambda x: x * count * stats.norm.pdf(x) * stats.norm.cdf(x) ** (count - 1), -8, 8, points=[0, 2, 4]
    )
    assert expected_maximum(count) == pytest.approx(exact, abs=within * exact)


def test_moments_are_those_of_scipy():
    returns = np.random.default_rng(1).standard_t(5, 500) * 0.01 + 0.001
    found = Moments.of(returns)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std())
    assert found.skewness == pytest.approx(stats.skew(returns))
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))
    assert found.observations == 500


def test_returns_that_do_not_vary_have_no_moments():
    for returns in (np.zeros(0), np.zeros(1), np.zeros(50), np.full(50, 0.001)):
        assert Moments.of(returns) is None
    assert Moments.of(np.array([0.1, -0.1])).spread > 0.0


def test_no_record_is_long_enough_for_a_ratio_below_the_benchmark():
    assert minimum_track_record(moments(0.1, observations=100), 0.1) is None


def test_trials_know_how_far_their_results_lay_apart():
    trials = Trials.of([1.0, 3.0, None, math.nan])
    assert trials == Trials(count=4, variance=2.0)
    assert trials.period_variance(100, 365.0) == pytest.approx(2.0 / 365.0)
    assert Trials(count=50).period_variance(101, 365.0) == 0.01, "unknown: what trials without skill show"
    assert Trials.of([]) == Trials()
    with pytest.raises(ValueError, match="count 0"):
        Trials(count=0)


def test_the_probability_is_honest_on_noise():
    """Of normal returns without skill, 5 % have a probabilistic Sharpe ratio above 95 %; so many the test finds."""
    rng = np.random.default_rng(3)
    above = sum(probabilistic_sharpe(Moments.of(rng.standard_normal(120))) > 0.95 for _ in range(4_000))
    assert above / 4_000 == pytest.approx(0.05, abs=0.012)


def test_the_best_of_many_without_skill_is_seldom_taken_for_skill():
    """The point of deflation: with 50 trials, 92 % of the best ones pass the plain test, and few the deflated one."""
    rng = np.random.default_rng(4)
    plain = deflated = 0
    for _ in range(300):
        trials = rng.standard_normal((250, 50)) * 0.01
        sharpes = trials.mean(axis=0) / trials.std(axis=0)
        best = Moments.of(trials[:, sharpes.argmax()])
        plain += probabilistic_sharpe(best) >= 0.95
        deflated += deflated_sharpe(best, 50, float(sharpes.var(ddof=1))) >= 0.95
    assert plain > 250
    assert deflated <= 9
