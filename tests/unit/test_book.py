"""The book that costs what the square-root law says, and what an order takes from it."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.book import ANY, DEEP, LEVELS, Depth, best_ticks, depth_bound, room_of, side_levels, spend_levels, take_levels
from core.impact import average_impact
from core.units import BPS

LAW = Depth(coefficient=1.0, reach=0.1)


def side(buying=True, price=100.0, half=0.02, tick=0.01, step=0.001, volume=1_000.0, sigma=1e-3, depth=LAW):
    ticks, steps = np.zeros(LEVELS, np.int64), np.zeros(LEVELS, np.int64)
    count = side_levels(buying, price, half, tick, step, volume, sigma, depth, ticks, steps)
    return ticks[:count], steps[:count]


def walk(buying, ticks, steps, want, limit=0, room=ANY, taken=None):
    """(level, steps) pairs."""
    gone = np.zeros(LEVELS, np.int64) if taken is None else np.array(taken, np.int64)
    level, part = np.zeros(LEVELS, np.int64), np.zeros(LEVELS, np.int64)
    n = take_levels(buying, ticks, steps, len(ticks), gone, limit, want, room, level, part)
    return list(zip(level[:n].tolist(), part[:n].tolist(), strict=True))


# The touch


def test_the_spread_is_the_nearest_number_of_ticks_and_at_least_one():
    assert best_ticks(100.0, 0.0, 0.01) == (10_000, 10_001)
    assert best_ticks(100.004, 0.0, 0.01) == (10_000, 10_001)
    assert best_ticks(100.0, 0.01, 0.01) == (9_999, 10_001)
    assert best_ticks(100.0, 0.024, 0.01) == (9_998, 10_003)
    assert best_ticks(1e-9, 0.0, 0.01) == (1, 2)


@settings(deadline=None)
@given(
    price=st.floats(0.5, 1e5), bps=st.floats(0.0, 100.0), tick=st.sampled_from([1e-4, 0.01, 1.0]), shift=st.floats(0, 1)
)
def test_the_touch_stands_around_the_price_as_wide_as_it_should(price, bps, tick, shift):
    half = price * bps / BPS
    assume(price > 100 * tick + half)
    bid, ask = best_ticks(price, half, tick)
    assert bid < ask
    assert abs((ask - bid) * tick - 2 * half) <= max(0.5 * tick, tick - 2 * half) + 1e-6
    assert abs((bid + ask) / 2 * tick - price) <= 0.5 * tick + 1e-5


# The law


@settings(deadline=None)
@given(
    buying=st.booleans(),
    price=st.floats(0.01, 1e5),
    sigma=st.floats(1e-4, 1e-2),
    volume=st.floats(10.0, 1e7),
    y=st.floats(0.3, 3.0),
    share=st.floats(1e-3, 0.1),
)
def test_walking_the_book_costs_the_square_root_law(buying, price, sigma, volume, y, share):
    """Average price beyond the touch, in relative terms, for any size up to the reach."""
    tick, step = price * 1e-7, volume * 1e-9
    ticks, steps = side(buying, price, price * 1e-4, tick, step, volume, sigma, Depth(y, 0.1))
    want = round(share * volume / step)
    taken = walk(buying, ticks, steps, want)
    assert sum(n for _, n in taken) == want
    paid = sum(n * abs(int(ticks[k]) - int(ticks[0])) for k, n in taken) / want * tick / price
    gap = abs(int(ticks[1]) - int(ticks[0])) * tick / price
    law = average_impact(y, want * step, volume, sigma)
    # A level's price stands for the half gap on both sides of it; the first one for what is nearer than half a gap.
    assert abs(paid - law) <= 0.34 * gap
    assert gap <= 1.5 * y * sigma * math.sqrt(0.1) / (LEVELS - 1) + 2 * tick / price


def test_both_sides_hold_the_same_and_the_last_level_reaches_the_cap():
    asks, ask_steps = side(True, 100.0, 0.5, 1e-5, 1e-6)
    bids, bid_steps = side(False, 100.0, 0.5, 1e-5, 1e-6)
    assert np.array_equal(ask_steps, bid_steps)
    assert np.array_equal(np.diff(asks), -np.diff(bids))
    held = ask_steps.sum() * 1e-6
    assert 0.1 * 1_000.0 <= held <= 0.12 * 1_000.0


def test_a_wide_tick_is_the_gap_and_the_book_then_reaches_further():
    ticks, steps = side(tick=0.05)
    assert set(np.diff(ticks)) == {1}
    assert steps.sum() * 0.001 > 0.1 * 1_000.0


@settings(deadline=None)
@given(
    buying=st.booleans(),
    price=st.floats(10.0, 1e5),
    sigma=st.floats(1e-5, 5e-2),
    volume=st.floats(1e-2, 1e7),
    y=st.floats(0.1, 3.0),
    reach=st.floats(0.01, 0.5),
)
def test_the_last_level_lies_no_further_than_the_bound_and_a_tick_a_level(buying, price, sigma, volume, y, reach):
    depth = Depth(coefficient=y, reach=reach)
    ticks, _ = side(buying=buying, price=price, volume=volume, sigma=sigma, depth=depth)
    away = abs(int(ticks[-1]) - int(ticks[0])) * 0.01
    assert away <= depth_bound(depth, sigma) * price * (1 + 1e-9) + LEVELS * 0.01


def test_twice_the_volatility_costs_twice_as_much():
    def cost(sigma):
        ticks, steps = side(price=100.0, tick=1e-5, step=1e-5, sigma=sigma)
        return sum(n * (int(ticks[k]) - int(ticks[0])) for k, n in walk(True, ticks, steps, 5_000_000))

    assert cost(2e-3) == pytest.approx(2 * cost(1e-3), rel=0.05)


def test_levels_lie_on_the_grid_in_order_and_bids_stop_above_zero():
    bids, steps = side(False, price=3e-8, half=1e-9, tick=1e-8, step=1.0, volume=1e9)
    assert bids.tolist() == [3, 2, 1]
    assert (steps > 0).all()
    asks, _ = side(True)
    assert (np.diff(asks) > 0).all()


def test_no_volume_no_book_and_no_impact_one_deep_level():
    assert len(side(volume=0.0)[0]) == 0
    assert len(side(volume=math.nan)[0]) == 0
    ticks, steps = side(depth=Depth(0.0, 0.1))
    assert (ticks.tolist(), steps.tolist()) == ([10_002], [DEEP])
    assert side(sigma=0.0)[1].tolist() == [DEEP]


def test_a_thin_book_shows_at_least_one_lot_at_the_touch():
    _, steps = side(tick=1e-5, step=1.0, volume=20.0)
    assert steps[0] == 1
    assert steps.sum() == pytest.approx(2.1, abs=1.0)


def test_the_risk_check_expects_what_the_book_charges():
    assert math.isnan(average_impact(1.0, 1.0, 0.0, 1e-3))
    assert math.isnan(average_impact(1.0, 1.0, 10.0, math.nan))


# Taking

TICKS = np.array([101, 102, 104], np.int64)
STEPS = np.array([5, 7, 10], np.int64)


def test_a_walk_ends_at_the_limit_the_want_or_the_room():
    assert walk(True, TICKS, STEPS, 100, limit=102) == [(0, 5), (1, 7)]
    assert walk(True, TICKS, STEPS, 6) == [(0, 5), (1, 1)]
    assert walk(True, TICKS, STEPS, 100, room=8) == [(0, 5), (1, 3)]
    assert walk(True, TICKS, STEPS, 100, room=0) == []
    assert walk(False, np.array([100, 99, 97]), STEPS, 100, limit=99) == [(0, 5), (1, 7)]
    assert walk(True, TICKS, STEPS, 100, taken=[5, 9] + [0] * (LEVELS - 2)) == [(2, 10)]


def test_money_buys_whole_lots_within_the_room():
    def spend(units, room=ANY):
        gone, level, part = (np.zeros(LEVELS, np.int64) for _ in range(3))
        n = spend_levels(TICKS, STEPS, 3, gone, units, room, level, part)
        return part[:n].tolist()

    assert spend(101 * 5 + 102 * 2 + 50) == [5, 2]
    assert spend(100) == []
    assert spend(10**9) == [5, 7, 10]
    assert spend(10**9, room=6) == [5, 1]


@settings(deadline=None)
@given(want=st.integers(0, 40), room=st.integers(0, 40), limit=st.integers(99, 106), gone=st.lists(st.integers(0, 9)))
def test_nothing_beyond_want_room_limit_or_what_stands(want, room, limit, gone):
    taken = (gone + [0] * LEVELS)[:LEVELS]
    parts = walk(True, TICKS, STEPS, want, limit, room, taken)
    there = [max(0, int(s) - g) for s, g, t in zip(STEPS, taken, TICKS, strict=False) if t <= limit]
    assert sum(n for _, n in parts) == min(want, room, sum(there))
    assert all(0 < n <= there[k] for k, n in parts)


def test_the_room_is_a_share_of_the_minute():
    assert room_of(12.5, 0.1, 0.01, True) == 125
    assert room_of(12.5, math.inf, 0.01, True) == ANY
    assert (
        room_of(0.0, 0.1, 0.01, True) == room_of(math.nan, 0.1, 0.01, True) == room_of(0.0, math.inf, 0.01, True) == 0
    )
    assert room_of(0.0, 0.1, 0.01, False) == ANY
    assert room_of(1e30, 0.1, 1e-8, True) == DEEP
