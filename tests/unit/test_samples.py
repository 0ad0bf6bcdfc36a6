"""Samples drawn from a history in pieces are those of the whole history, however it is cut and whatever is missing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.bars import fill_gaps
from core.errors import DataError
from core.features import HISTORY, SEQUENCE
from core.units import MINUTE_MS, Instrument
from serve.models.ridge import Ridge
from serve.models.rules import ChartRules
from tests.support.markets import BTC, ETH, MINUTE, walk
from tune.dataset import tables, training_set
from tune.folds import Fold
from tune.samples import LOOK_BACK, draw
from tune.samples import walk as chunks_of

HORIZON = 15
MINUTES = 3_000
PAIR = (BTC, ETH)


class FakeLake:
    """Bars in memory, as a lake gives them; remembers the last minute that was read."""

    root = Path("fake")

    def __init__(self, bars: np.ndarray) -> None:
        self.bars = bars
        self.read_until = 0

    def window(self, instruments: tuple[Instrument, ...], first_minute: int, minutes: int) -> np.ndarray:
        out = np.full((len(instruments), minutes, 5), np.nan)
        start = (first_minute - MINUTE) // MINUTE_MS
        a, b = max(start, 0), min(start + minutes, self.bars.shape[1])
        if b > a:
            out[:, a - start : b - start] = self.bars[:, a:b]
        self.read_until = max(self.read_until, start + minutes)
        return out

    def chunks(
        self,
        instruments: tuple[Instrument, ...],
        first_minute: int,
        end_minute: int,
        minutes_per_chunk: int = 500,
        history: int = 0,
    ) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(first_minute, end_minute, minutes_per_chunk * MINUTE_MS):
            fresh = min(minutes_per_chunk, (end_minute - start) // MINUTE_MS)
            begin = start - history * MINUTE_MS
            yield begin, self.window(instruments, begin, history + fresh)


def a_lake(gaps: float = 0.02) -> FakeLake:
    bars = np.stack([walk(MINUTES, seed, gaps=gaps) for seed in (1, 2)])
    bars[0, 1_500:1_784] = np.nan  # an outage of 284 minutes
    bars[1, :400] = np.nan  # listed late
    bars[1, 2_700:] = np.nan  # and delisted
    return FakeLake(bars)


@pytest.mark.parametrize("minutes", [97, 250, 5_000])
def test_features_in_pieces_equal_those_of_the_whole_history(minutes: int) -> None:
    lake = a_lake()
    bars, filler = fill_gaps(lake.bars)
    whole = tables(PAIR, bars, filler, MINUTE)
    seen = 0
    for chunk in chunks_of(lake, PAIR, MINUTE, LOOK_BACK, MINUTES, minutes=minutes):
        np.testing.assert_array_equal(chunk.features, whole[:, chunk.first - SEQUENCE + 1 : chunk.end])
        np.testing.assert_array_equal(chunk.filler, filler[:, chunk.first : chunk.end])
        seen += chunk.end - chunk.first
    assert seen == MINUTES - LOOK_BACK


@pytest.mark.parametrize("minutes", [130, 5_000])
def test_all_samples_are_those_of_a_training_set(minutes: int) -> None:
    lake = a_lake()
    whole = training_set(lake, PAIR, MINUTE, MINUTES, HORIZON)
    drawn = draw(lake, PAIR, MINUTE, Fold(0, MINUTES - HORIZON, 0, 0), horizon=HORIZON, most=10**9, minutes=minutes)
    np.testing.assert_array_equal(drawn.rows, whole.rows)
    np.testing.assert_array_equal(drawn.y, whole.y)
    np.testing.assert_array_equal(drawn.last, whole.last)
    some = np.arange(0, whole.size, 37)
    np.testing.assert_array_equal(drawn.windows(some), whole.windows(some))
    np.testing.assert_array_equal(drawn.windows(some, 15), whole.windows(some, 15))


def test_members_learn_the_same_from_both() -> None:
    lake = a_lake()
    whole = training_set(lake, PAIR, MINUTE, MINUTES, HORIZON)
    drawn = draw(lake, PAIR, MINUTE, Fold(0, MINUTES - HORIZON, 0, 0), horizon=HORIZON, most=10**9)
    one, other = Ridge(), Ridge()
    one.fit(whole)
    other.fit(drawn)
    np.testing.assert_array_equal(one.beta, other.beta)
    np.testing.assert_array_equal(ChartRules(HORIZON)._signals_of(whole), ChartRules(HORIZON)._signals_of(drawn))
    assert drawn.effective_size == pytest.approx(whole.effective_size, rel=0.05)


def test_a_cap_draws_blocks_evenly_over_time_and_by_seed_not_by_how_it_was_cut() -> None:
    lake = FakeLake(np.stack([walk(MINUTES, seed) for seed in (1, 2)]))
    fold = Fold(0, MINUTES - HORIZON, 0, 0)

    def rows(seed: int, minutes: int) -> np.ndarray:
        return draw(lake, PAIR, MINUTE, fold, horizon=HORIZON, most=800, seed=seed, minutes=minutes).rows

    first = rows(0, 300)
    np.testing.assert_array_equal(first, rows(0, 777))
    assert not np.array_equal(first, rows(1, 300))
    assert 500 <= len(first) <= 1_000
    halves = np.bincount((first[:, 1] > MINUTES // 2 + LOOK_BACK // 2).astype(int))
    assert halves.min() > 0.3 * halves.max()
    assert set(first[:, 0]) == {0, 1}


def test_nothing_after_the_purge_is_read_and_an_embargo_is_left_out() -> None:
    lake = a_lake()
    fold = Fold(0, 1_485, 1_500, 1_800, ((1_300, 1_350),))
    drawn = draw(lake, PAIR, MINUTE, fold, horizon=HORIZON, most=10**9)
    assert lake.read_until == 1_500
    assert drawn.rows[:, 1].max() == 1_484
    assert not ((drawn.rows[:, 1] >= 1_300) & (drawn.rows[:, 1] < 1_350)).any()


def test_too_little_history_is_said() -> None:
    with pytest.raises(DataError, match="no minute of binance:BTC/USDT, binance:ETH/USDT"):
        draw(a_lake(), PAIR, MINUTE, Fold(0, HISTORY - 1, 0, 0), horizon=HORIZON, most=10)
