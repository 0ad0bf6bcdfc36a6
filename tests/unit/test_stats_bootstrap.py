"""The stationary bootstrap: block length against a published value, bands that cover, and speed."""

import time

import numpy as np
import pytest

from tune.stats import bootstrap as module
from tune.stats.bootstrap import block_length, bootstrap
from tune.stats.sampling import Sampled


def sample(returns: np.ndarray, start: float = 1_000.0) -> Sampled:
    equity = start * np.cumprod(np.append(1.0, 1.0 + returns))
    return Sampled(period="day", per_year=365.0, at=np.arange(len(equity)) * 86_400_000, equity=equity)


def autoregressive(rng, n: int, carry: float) -> np.ndarray:
    series = rng.standard_normal(n + 100)
    for i in range(1, len(series)):
        series[i] += carry * series[i - 1]
    return series[100:]


def test_block_length_is_that_of_the_arch_package():
    """bashtage/arch, tests/bootstrap/test_block_length.py: 13.635665 (stationary) and 15.60894 (circular).

    arch takes the first insignificant lag for m, here 3, where Politis & White say the one before it; the bandwidth
    is given so that the same formula is compared.
    """
    series = autoregressive(np.random.RandomState(0), 10_000, 0.3)
    assert block_length(series, bandwidth=6) == pytest.approx(13.635665, rel=1e-6)
    assert block_length(series, circular=True, bandwidth=6) == pytest.approx(15.60894, rel=1e-6)
    assert block_length(series) == block_length(series, bandwidth=4)


def test_blocks_are_short_for_noise_and_long_for_what_carries_on():
    rng = np.random.default_rng(1)
    assert block_length(rng.standard_normal(2_000)) < 6
    assert block_length(autoregressive(rng, 2_000, 0.8)) > 15
    assert block_length(np.cumsum(rng.standard_normal(300))) <= 52, "at most 3·sqrt(n)"


def test_series_without_a_spread_have_blocks_of_one():
    for series in (np.zeros(0), np.zeros(100), np.ones(5), np.full(100, 0.3)):
        assert block_length(series) == 1.0


def test_bands_of_independent_returns_are_those_of_theory():
    returns = np.random.default_rng(2).standard_normal(400) * 0.01 + 0.001
    bands = bootstrap(sample(returns), np.random.default_rng(3), 4_000, block=1.0)
    error = returns.std() / np.sqrt(400)
    assert bands.mean[0.5] == pytest.approx(returns.mean(), abs=0.1 * error)
    assert bands.mean[0.95] - bands.mean[0.05] == pytest.approx(2 * 1.645 * error, rel=0.08)
    assert bands.sharpe[0.5] == pytest.approx(returns.mean() / returns.std() * np.sqrt(365), rel=0.05)


def test_blocks_widen_the_band_of_returns_that_carry_on():
    returns = autoregressive(np.random.default_rng(4), 1_000, 0.6) * 0.01
    rng = np.random.default_rng(5)
    width = {}
    for block in (1.0, None):
        bands = bootstrap(sample(returns), rng, 2_000, block=block)
        width[block] = bands.mean[0.95] - bands.mean[0.05]
    assert width[None] / width[1.0] == pytest.approx(2.0, abs=0.45), "the true ratio is sqrt(1.6/0.4)"


def test_the_lower_band_covers_the_true_mean_nineteen_times_of_twenty():
    rng = np.random.default_rng(6)
    below = 0
    for _ in range(400):
        bands = bootstrap(sample(rng.standard_normal(90) * 0.01 + 0.001), rng, 300)
        below += bands.mean[0.05] <= 0.001
    assert below / 400 == pytest.approx(0.95, abs=0.035)


def test_drawdown_and_fan_are_of_whole_runs():
    returns = np.random.default_rng(7).standard_normal(1_000) * 0.01
    bands = bootstrap(sample(returns), np.random.default_rng(8), 500)
    assert bands.fan.shape == (5, 201) and len(bands.fan_at) == 201
    assert (bands.fan[:, 0] == 1_000.0).all()
    assert (np.diff(bands.fan, axis=0) >= 0).all(), "quantiles do not cross"
    assert bands.fan[2, -1] == pytest.approx(1_000.0 * (1 + bands.total[0.5]))
    assert 0.0 < bands.drawdown[0.05] < bands.drawdown[0.95] < 1.0


def test_a_run_that_only_rises_never_falls():
    bands = bootstrap(sample(np.full(50, 0.001)), np.random.default_rng(9), 100)
    assert set(bands.drawdown.values()) == {0.0}
    assert set(bands.sharpe.values()) == {0.0}, "what does not vary has no ratio"
    assert bands.mean[0.05] == pytest.approx(0.001)


def test_equal_seeds_give_equal_bands_and_too_little_gives_none():
    returns = np.random.default_rng(10).standard_normal(60) * 0.01
    first, second = (bootstrap(sample(returns), np.random.default_rng(11), 100) for _ in range(2))
    assert np.array_equal(first.means, second.means) and np.array_equal(first.fan, second.fan)
    assert bootstrap(sample(np.array([0.01])), np.random.default_rng(1)) is None
    assert bootstrap(sample(np.zeros(0)), np.random.default_rng(1)) is None


def test_without_compilation_the_bands_are_the_same(monkeypatch):
    returns = np.random.default_rng(10).standard_normal(40) * 0.01
    compiled = bootstrap(sample(returns), np.random.default_rng(11), 20)
    monkeypatch.setattr(module, "_resample", module._resample.py_func)
    plain = bootstrap(sample(returns), np.random.default_rng(11), 20)
    assert np.array_equal(compiled.means, plain.means) and compiled.drawdown == plain.drawdown


def test_two_thousand_runs_of_a_year_of_hours_take_less_than_two_seconds():
    returns = np.random.default_rng(12).standard_normal(8_760) * 0.001
    bootstrap(sample(returns[:50]), np.random.default_rng(13), 10)
    start = time.perf_counter()
    bootstrap(sample(returns), np.random.default_rng(13))
    assert time.perf_counter() - start < 2.0
