"""Random entries: the null by hand, its size on noise, its sight of a planted edge."""

import numpy as np
import pytest

from core.units import MINUTE_MS
from tests.support.results import made_up_result
from tests.unit.test_stats_ratios import START, run
from tune.stats.random_entry import random_entry

BUY_AND_SELL = [(1, "BTC/USDT", "buy", 1.0, 100.0, 0.1, 0), (3, "BTC/USDT", "sell", 1.0, 110.0, 0.1, 0)]


def test_the_moved_trade_by_hand():
    """Held for two rows on the circle 100, 100, 105, 110, 55: worth 100 at every entry, fees of 0.2."""
    close = np.array([100.0, 100.0, 105.0, 110.0, 55.0])[:, None]
    found = random_entry(run([1_000.0] * 5, fills=BUY_AND_SELL, close=close), np.random.default_rng(0), resamples=4_000)
    turn = 55 / 100
    expected = {105 / 100, 110 / 100, 55 / 105, 100 * turn / 110, 100 * turn / 55}
    assert set(np.round(found.random, 9)) == {round(100 * e - 100 - 0.2, 9) for e in expected}
    assert found.realised == pytest.approx(9.8)
    best = (found.random >= 9.8 - 1e-9).sum()
    assert found.p == pytest.approx((1 + best) / 4_001), "the real entry is among the five"
    assert found.p == pytest.approx(0.2, abs=0.03)


def test_noise_is_found_significant_as_often_as_it_says():
    p = [
        random_entry(made_up_result(2_000, 2, 25, seed=seed), np.random.default_rng(seed), resamples=200).p
        for seed in range(100)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.1
    assert np.mean(p) == pytest.approx(0.5, abs=0.09)


def test_a_planted_edge_is_seen():
    assert random_entry(made_up_result(4_000, 3, 60, edge=0.0002), np.random.default_rng(1)).p < 0.01


def test_what_a_rising_market_gives_to_everybody_is_not_taken_for_skill():
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        close = 100 * np.exp(np.cumsum(0.001 + 0.002 * rng.standard_normal(400)))[:, None]
        fills = []
        for t in range(5, 385, 20):
            fills += [
                (t + 9 * leave, "BTC/USDT", "sell" if leave else "buy", 1.0, close[t + 9 * leave, 0], 0, 0)
                for leave in (0, 1)
            ]
        found = random_entry(run([1_000.0] * 400, fills=fills, close=close), rng, resamples=200)
        assert found.realised > 0
        p.append(found.p)
    assert np.mean(p) == pytest.approx(0.5, abs=0.12)
    assert np.mean(np.array(p) <= 0.05) <= 0.12


def test_sparse_prices_are_refused_and_given_ones_used():
    result = made_up_result(60 * 1_440, 1, 60)
    assert random_entry(result, np.random.default_rng(0), resamples=50) is None
    close = np.full((60 * 1_440, 1), 100.0)
    assert random_entry(result, np.random.default_rng(0), (result.minute, close), resamples=50).trades > 30


def test_gaps_late_listings_and_the_end_are_survived():
    close = np.full((10, 2), 100.0)
    close[:4, 0], close[6, 0], close[:, 1] = np.nan, np.nan, np.nan
    fills = [(5, "BTC/USDT", "buy", 1.0, 100.0, 0, 0), (2, "ETH/USDT", "buy", 1.0, 100.0, 0, 0)]
    result = run([1_000.0] * 10, fills=fills, close=close, symbols=("BTC/USDT", "ETH/USDT"))
    found = random_entry(result, np.random.default_rng(0), resamples=50)
    assert np.isfinite(found.random).all() and found.p == 1.0
    assert random_entry(run([1_000.0] * 3), np.random.default_rng(0)) is None
    assert random_entry(run([1_000.0]), np.random.default_rng(0)) is None


def test_moving_trades_one_by_one_makes_the_null_narrower():
    """Ten instruments that move as one, bought together: it is one chance, not ten."""
    rng = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(0.001 * rng.standard_normal(2_000)))[:, None] * np.ones((1, 10))
    symbols = tuple(f"C{i}/USDT" for i in range(10))
    fills = [
        (t + 10 * leave, s, "sell" if leave else "buy", 1.0, close[t + 10 * leave, 0], 0, 0)
        for t in (100, 700, 1_500)
        for leave in (0, 1)
        for s in symbols
    ]
    result = run(np.full(2_000, 1_000.0), fills=fills, close=close, symbols=symbols)
    spread = [random_entry(result, rng, together=together).random.std() for together in (True, False)]
    assert spread[0] / spread[1] == pytest.approx(np.sqrt(10), rel=0.15)
    assert START % MINUTE_MS == 0
