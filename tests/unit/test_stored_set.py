"""What members learn from, mapped from files: the same samples as in memory, of several horizons, and none later."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.errors import DataError
from core.features import N_FEATURES
from core.units import MINUTE_MS
from data.lake import Lake
from data.schema import VALUES
from tests.support.markets import BTC, ETH, MINUTE, walk
from tune.array_store import ArrayStore
from tune.dataset import half_spread_bps, net_return_bps, training_set
from tune.folds import Fold
from tune.samples import LOOK_BACK, draw
from tune.samples import walk as chunks_of
from tune.stored_set import stored_set, thinned

PAIR = (BTC, ETH)
MINUTES, HORIZON, ALSO = 2_600, 15, (5, 60)


def a_lake(root: Path, seeds: tuple[int, int] = (1, 2)) -> Lake:
    lake = Lake(root)
    stamps = MINUTE + MINUTE_MS * np.arange(MINUTES)
    for instrument, seed in zip(PAIR, seeds, strict=True):
        bars = walk(MINUTES, seed, gaps=0.02)
        known = np.isfinite(bars[:, 0])
        columns = dict(zip(VALUES, bars[known].T, strict=True))
        lake.write(instrument, pl.DataFrame({"ts": stamps[known]} | columns), "test")
    return lake


def asked(lake: Lake, store: ArrayStore, **more: int) -> tuple:
    return stored_set(lake, PAIR, MINUTE, MINUTES, HORIZON, ALSO, store, code="test", **more)


def test_it_is_the_set_in_memory_however_it_was_cut(tmp_path: Path) -> None:
    lake = a_lake(tmp_path / "lake")
    whole = training_set(lake, PAIR, MINUTE, MINUTES, HORIZON, ALSO)
    store = ArrayStore(tmp_path / "kept")
    stored, version = asked(lake, store, piece=333)
    np.testing.assert_array_equal(stored.rows, whole.rows)
    every = np.arange(whole.size)
    some = every[::29]
    np.testing.assert_array_equal(stored.windows(some), whole.windows(some))
    np.testing.assert_array_equal(stored.y, whole.y)
    # Of the longer horizon the last minutes are not told: no bar after the vote's horizon is read for any.
    told, all_of_them = stored.ahead(every), whole.ahead(every)
    assert stored.horizons == whole.horizons == (5, 15, 60)
    known = np.isfinite(told)
    np.testing.assert_array_equal(told[known], all_of_them[known])
    assert known[stored.rows[:, 1] < MINUTES - 61].all()
    # Asked again, the same files are mapped; other bars are another version.
    again, same = asked(lake, store)
    assert same == version
    np.testing.assert_array_equal(again.rows, stored.rows)
    assert len(list((tmp_path / "kept").iterdir())) == 1
    other = a_lake(tmp_path / "other", (3, 2))
    assert asked(other, store)[1] != version


def test_more_than_may_be_kept_is_refused_with_a_way_out(tmp_path: Path) -> None:
    lake = a_lake(tmp_path / "lake")
    with pytest.raises(DataError, match="learn from fewer days, or let backtest --walk-forward"):
        asked(lake, ArrayStore(tmp_path / "kept", most_bytes=MINUTES * N_FEATURES * 8))


def test_a_cap_takes_whole_blocks_evenly_and_by_seed(tmp_path: Path) -> None:
    data = training_set(a_lake(tmp_path), PAIR, MINUTE, MINUTES, HORIZON)
    some = thinned(data, 900, seed=1)
    assert 600 < some.size < 1_200
    assert set(some.rows[:, 0]) == {0, 1}
    assert not np.array_equal(some.rows, thinned(data, 900, seed=2).rows)
    assert thinned(data, 10**6) is data


def test_a_part_of_time_knows_no_return_that_ends_after_it(tmp_path: Path) -> None:
    data = training_set(a_lake(tmp_path), PAIR, MINUTE, MINUTES, HORIZON, ALSO)
    first, end = LOOK_BACK + 100, LOOK_BACK + 700
    part = data.between(first, end)
    reach = part.rows[:, 1][:, None] + np.array(part.horizons)
    known = np.isfinite(part.ahead(np.arange(part.size)))
    assert known[reach < end + HORIZON].all()
    assert not known[reach >= end + HORIZON].any()
    hour = part.at(60)
    assert hour.horizon == 60 and hour.size < part.size
    assert (hour.rows[:, 1] + 60 < end + HORIZON).all()
    np.testing.assert_array_equal(hour.y, data.also[60][hour.rows[:, 0], hour.rows[:, 1]])


@pytest.mark.parametrize("minutes", [211, 5_000])
def test_drawn_samples_know_the_same_of_all_horizons_however_they_are_cut(tmp_path: Path, minutes: int) -> None:
    lake = a_lake(tmp_path)
    fold = Fold(0, 2_000, 2_015, 2_300)
    drawn = draw(lake, PAIR, MINUTE, fold, horizon=HORIZON, also=ALSO, most=10**9, minutes=minutes)
    whole = training_set(lake, PAIR, MINUTE, MINUTES, HORIZON, ALSO).between(0, 2_000)
    np.testing.assert_array_equal(drawn.rows, whole.rows)
    np.testing.assert_array_equal(drawn.ahead(np.arange(drawn.size)), whole.ahead(np.arange(whole.size)))
    last = max(chunk.end for chunk in chunks_of(lake, PAIR, MINUTE, 900, 2_000, horizon=HORIZON, also=ALSO))
    assert last == 2_000


def test_a_return_is_net_of_half_a_spread_that_was_known_then() -> None:
    np.testing.assert_allclose(net_return_bps(np.array([5.0, -5.0, 1.0, np.nan]), 2.0), [3.0, -3.0, 0.0, np.nan])
    rng = np.random.default_rng(0)
    minutes = 3_000
    middle = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 2e-4, (minutes, 6)).ravel())).reshape(minutes, 6)
    trades = middle * (1.0 + 2e-3 * rng.choice([-0.5, 0.5], (minutes, 6)))  # a spread of 20 bps
    bars = np.stack(
        [trades[:, 0], trades.max(axis=1), trades.min(axis=1), trades[:, -1], np.full(minutes, 10.0)], axis=1
    )[None]
    half = half_spread_bps(bars, np.zeros((1, minutes), dtype=bool), 0)
    assert half[0, -1] == pytest.approx(10.0, rel=0.3)
    later = bars.copy()
    later[:, 2_000:] *= 2.0
    np.testing.assert_array_equal(
        half[:, :1_999], half_spread_bps(later, np.zeros((1, minutes), dtype=bool), 0)[:, :1_999]
    )
