"""Minutes without a bar are filled by the last close, flagged, and never invented before the first."""

import math
from dataclasses import replace

import numpy as np
import pytest

from core.bars import all_sound, fill_gaps, first_known, is_sound, last_known
from tests.support.markets import bar, walk

NAN_BAR = [math.nan] * 5


def test_a_gap_repeats_the_last_close_without_volume():
    bars = np.array([[1.0, 3.0, 0.5, 2.0, 7.0], NAN_BAR, NAN_BAR, [2.0, 2.0, 2.0, 2.0, 1.0]])
    filled, filler = fill_gaps(bars)
    assert filled[1].tolist() == filled[2].tolist() == [2.0, 2.0, 2.0, 2.0, 0.0]
    assert filler.tolist() == [False, True, True, False]
    assert np.isnan(bars[1]).all(), "the input is left alone"


def test_before_the_first_bar_nothing_is_invented():
    filled, filler = fill_gaps(np.array([NAN_BAR, NAN_BAR, [1.0, 1.0, 1.0, 1.0, 1.0]]))
    assert np.isnan(filled[:2]).all()
    assert filler.tolist() == [True, True, False]


def test_a_real_bar_without_volume_keeps_its_prices_and_counts_as_filler():
    filled, filler = fill_gaps(np.array([[1.0, 1.0, 1.0, 1.0, 3.0], [1.5, 1.6, 1.4, 1.5, 0.0]]))
    assert filled[1].tolist() == [1.5, 1.6, 1.4, 1.5, 0.0]
    assert filler.tolist() == [False, True]


def test_half_a_bar_is_no_bar():
    filled, filler = fill_gaps(np.array([[1.0, 1.0, 1.0, 1.0, 3.0], [1.5, math.nan, 1.4, 1.5, 2.0]]))
    assert filled[1].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert filler[1]


def test_rows_are_filled_each_on_its_own_and_twice_is_once():
    bars = np.stack([walk(200, 1, gaps=0.3), walk(200, 2, gaps=0.1)])
    filled, filler = fill_gaps(bars)
    for row in range(2):
        alone, alone_filler = fill_gaps(bars[row])
        np.testing.assert_array_equal(filled[row], alone)
        np.testing.assert_array_equal(filler[row], alone_filler)
    again, again_filler = fill_gaps(filled)
    np.testing.assert_array_equal(again, filled)
    np.testing.assert_array_equal(again_filler, filler)


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (1, 2, 3, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="bars must be"):
        fill_gaps(np.zeros(shape))


@pytest.mark.parametrize(
    "change",
    [
        {"close": -1.0},
        {"open": 0.0},
        {"volume": -1.0},
        {"volume": math.nan},
        {"high": math.inf},
        {"high": 9.0},
        {"low": 11.0},
        {"close": math.nan},
    ],
)
def test_an_impossible_bar_is_not_sound(change):
    assert is_sound(bar(0, 10.0))
    assert not is_sound(replace(bar(0, 10.0), **change))


def test_a_whole_market_is_sound_when_each_bar_is_or_is_missing():
    rng = np.random.default_rng(3)
    odd = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e15, 1e18, 95.0, 105.0)
    good = np.stack([walk(40, seed, gaps=0.1) for seed in (1, 2)])
    assert all_sound(good)
    seen = set()
    for _ in range(400):
        bars = good.copy()
        row, t, column = (int(rng.integers(0, size)) for size in bars.shape)
        bars[row, t, column] = odd[int(rng.integers(0, len(odd)))]
        values = [float(x) for x in bars[row, t]]
        one = bar(0, 1.0)
        one = replace(one, open=values[0], high=values[1], low=values[2], close=values[3], volume=values[4])
        wanted = is_sound(one) or all(map(math.isnan, values))
        assert all_sound(bars) == wanted, values
        seen.add(wanted)
    assert seen == {True, False}


def test_the_first_and_the_newest_known_close():
    close = np.array([math.nan, 2.0, math.nan, 3.0, math.inf, math.nan])
    assert (first_known(close), last_known(close, 6), last_known(close, 3)) == (2.0, 3.0, 2.0)
    assert math.isnan(last_known(close, 1)) and math.isnan(last_known(close, 0)) and math.isnan(first_known(close[:1]))
