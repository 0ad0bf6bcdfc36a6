"""EDGE: the spread from bars, held to the authors' own package."""

import math

import bidask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.liquidity import HOUR_MINUTES, SPREAD_HOURS, half_spreads, hour_column
from core.spread import edge
from core.units import BPS, MINUTE_MS

HOUR = HOUR_MINUTES * MINUTE_MS


def quoted(seed: int, minutes: int, spread: float, trades: int = 15, quiet: float = 0.0, absent: float = 0.0):
    """(T, 5) bars of a walk that trades at random at either side of a quoted spread (a share of the price).

    ``quiet``: share of minutes in which nothing trades (a flat bar without volume), ``absent``: without a bar (NaN).
    """
    rng = np.random.default_rng(seed)
    mid = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-4, minutes * trades))).reshape(minutes, trades)
    prices = mid * (1.0 + spread / 2 * rng.choice([-1.0, 1.0], mid.shape))
    bars, last = np.empty((minutes, 5)), 100.0
    for k, row in enumerate(prices):
        seen = row[rng.random(trades) < 0.6]
        if not seen.size or rng.random() < quiet:
            bars[k] = (last, last, last, last, 0.0)
        else:
            last = seen[-1]
            bars[k] = (seen[0], seen.max(), seen.min(), last, float(seen.size))
    bars[rng.random(minutes) < absent] = np.nan
    return bars


def theirs(bars):
    return bidask.edge(*(bars[:, column] for column in range(4)))


def assert_same(mine: float, other: float) -> None:
    """Equal to 1e-9, or both so small that their squares, which are what is estimated, differ by rounding alone."""
    if math.isnan(other) or abs(mine**2 - other**2) > 1e-15:
        assert mine == pytest.approx(other, rel=1e-9, abs=1e-9, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    minutes=st.integers(1, 400),
    spread=st.sampled_from([0.0, 1e-4, 1e-3, 2e-2]),
    trades=st.integers(1, 30),
    quiet=st.sampled_from([0.0, 0.2, 0.9]),
    absent=st.sampled_from([0.0, 0.1, 0.6]),
)
def test_it_is_the_authors_estimate(seed, minutes, spread, trades, quiet, absent):
    bars = quoted(seed, minutes, spread, trades, quiet, absent)
    assert_same(edge(bars), theirs(bars))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(90, 110), min_size=4, max_size=4), min_size=3, max_size=60))
def test_on_any_bars_at_all(rows):
    prices = np.array(rows, dtype=np.float64)
    prices[:, 1], prices[:, 2] = prices.max(axis=1), prices.min(axis=1)
    bars = np.column_stack([prices, np.ones(len(rows))])
    assert_same(edge(bars), theirs(bars))


@pytest.mark.parametrize("spread", [2e-3, 1e-2])
def test_it_finds_the_spread_that_was_quoted(spread):
    found = np.mean([edge(quoted(seed, 1_440, spread)) for seed in range(10)])
    assert found == pytest.approx(spread, rel=0.1)


def test_a_market_that_does_not_move_has_no_estimate():
    flat = np.tile([100.0, 100.0, 100.0, 100.0, 5.0], (50, 1))
    assert math.isnan(edge(flat))
    assert math.isnan(edge(np.full((50, 5), np.nan)))
    assert math.isnan(edge(flat[:2]))
    flat[:, 4] = 0.0
    assert math.isnan(edge(flat))


def test_a_column_is_the_day_before_its_hour():
    bars = np.stack([quoted(1, 1_900, 1e-3, absent=0.05), quoted(2, 1_900, 5e-3, quiet=0.3)])
    start = 1_767_225_600_000 + 17 * MINUTE_MS
    found = half_spreads(bars, start, 2.0, 500.0)
    ends = start + 1_900 * MINUTE_MS
    assert found.shape == (2, hour_column(start, ends) + 1)
    for column in (25, 28, found.shape[1] - 1):
        opens = ((start // HOUR + column) * HOUR - start) // MINUTE_MS
        for row in (0, 1):
            window = bars[row, max(0, opens - SPREAD_HOURS * HOUR_MINUTES - 1) : opens]
            assert found[row, column] == pytest.approx(theirs(window) / 2 * BPS, rel=1e-9)


def test_what_is_not_known_yet_has_no_part_in_it():
    bars = quoted(3, 600, 1e-3)[None]
    other = bars.copy()
    other[:, 300:, :4] *= 1.5
    one, two = half_spreads(bars, 0, 2.0, 50.0), half_spreads(other, 0, 2.0, 50.0)
    assert np.array_equal(one[:, :6], two[:, :6])
    assert not np.array_equal(one[:, 6:], two[:, 6:])


def test_few_bars_give_the_default_and_wide_ones_are_cut():
    bars = quoted(4, 300, 2e-2)[None]
    found = half_spreads(bars, 0, 3.0, 40.0)[0]
    # Two hours hold 119 pairs: one too few.
    assert list(found[:3]) == [3.0, 3.0, 3.0]
    assert list(found[3:]) == [40.0, 40.0, 40.0]
    flat = np.tile([100.0, 100.0, 100.0, 100.0, 5.0], (1, 300, 1))
    assert list(half_spreads(flat, 0, 3.0, 40.0)[0]) == [3.0] * 6
