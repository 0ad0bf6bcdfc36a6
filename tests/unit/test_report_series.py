"""What is drawn and tabled of a run: thinned without losing an extreme, counted on the right day, held against holding."""

from dataclasses import replace

import numpy as np
import pytest

from core.units import MINUTE_MS
from tests.support.results import START_MS, made_up_result, with_missed
from tune.buy_and_hold import benchmarks
from tune.report.calendars import by_day, by_hour_of_week, by_month, calendar_of
from tune.report.series import (
    bucket_means,
    bucket_shares,
    carried,
    drawdown,
    minute_returns,
    thinned,
    whole_equity,
)
from tune.report.waterfall import adds_up, steps_of
from tune.result import Costs


def test_a_thinned_line_keeps_both_ends_and_every_peak_and_trough():
    values = np.random.default_rng(3).standard_normal(50_000).cumsum()
    values[12_345], values[40_001] = 1e6, -1e6
    at = thinned(values, 400)
    assert len(at) <= 400
    assert (np.diff(at) > 0).all()
    assert at[0] == 0
    assert at[-1] == 49_999
    assert {12_345, 40_001} <= set(at.tolist())
    for part in np.array_split(np.arange(50_000), 50):
        inside = at[(at >= part[0]) & (at <= part[-1])]
        assert len(inside), "a stretch of the line went missing"


def test_what_is_short_enough_is_not_thinned():
    assert thinned(np.arange(10.0), 10).tolist() == list(range(10))
    assert thinned(np.zeros(0)).tolist() == []


def test_thinning_a_line_with_holes_keeps_what_is_there():
    values = np.full(10_000, np.nan)
    values[5_000] = 7.0
    assert 5_000 in thinned(values, 100)


def test_missed_minutes_carry_the_equity_before_them():
    result = with_missed(made_up_result(200, trades=5), 50, 60)
    equity = whole_equity(result)
    assert (equity[50:61] == result.equity[49]).all()
    assert (minute_returns(equity)[50:61] == 0.0).all()
    assert carried(np.array([np.nan, 2.0, np.nan]), 1.0).tolist() == [1.0, 2.0, 2.0]


def test_a_fall_is_counted_from_the_highest_so_far():
    assert drawdown(np.array([100.0, 120.0, 90.0, 120.0])).tolist() == [0.0, 0.0, -0.25, 0.0]


def test_means_of_buckets_add_up_as_the_series_do():
    values = np.random.default_rng(1).random((1_000, 3))
    edges, means = bucket_means(values, 10)
    assert edges.tolist() == list(range(0, 1_000, 100))
    np.testing.assert_allclose(means.sum(axis=1), values.reshape(10, 100, 3).mean(axis=1).sum(axis=1))


def test_a_strip_shows_the_share_of_each_kind_the_seldom_ones_too():
    kinds = np.array([0] * 60 + [1] * 40 + [-1] * 51 + [2] * 49, dtype=np.int8)
    edges, shares = bucket_shares(kinds, 3, 2)
    assert edges.tolist() == [0, 100]
    assert shares.tolist() == [[0.0, 0.6, 0.4, 0.0], [0.51, 0.0, 0.0, 0.49]]
    assert bucket_shares(kinds[:0], 3)[1].shape == (0, 4)


def test_days_compound_to_the_whole_run():
    result = made_up_result(5 * 1_440, trades=80)
    grid = by_day(result)
    whole = result.equity[-1] / result.equity[0]
    assert np.prod(1.0 + grid.values[np.isfinite(grid.values)]) == pytest.approx(whole)
    assert np.prod(1.0 + grid.totals) == pytest.approx(whole)
    # 2026-03-01 is a Sunday: the first day closes the week of 23 February.
    assert grid.rows == ("23 Feb", "2 Mar")
    assert np.isfinite(grid.values[0]).tolist() == [False] * 6 + [True]


def test_a_return_is_of_the_day_on_which_it_was_made():
    result = made_up_result(2 * 1_440, trades=0)
    equity = result.equity.copy()
    equity[1_440:] *= 1.01
    grid = by_day(replace(result, equity=equity))
    assert grid.values[0, 6] == 0.0
    assert grid.values[1, 0] == pytest.approx(0.01)


def test_long_runs_are_told_by_month():
    result = made_up_result(100 * 1_440, symbols=1, trades=50)
    grid = calendar_of(result)
    assert grid.title == "Returns by month"
    assert grid.rows == ("2026",)
    assert np.isfinite(grid.values[0]).nonzero()[0].tolist() == [2, 3, 4, 5]
    assert np.prod(1.0 + by_month(result).totals) == pytest.approx(result.equity[-1] / result.equity[0])


def test_the_hour_of_the_week_is_a_mean_over_its_occurrences():
    result = made_up_result(15 * 1_440, symbols=1, trades=0)
    equity = result.equity.copy()
    monday_nine = 1_440 + 9 * 60 + 30
    equity[monday_nine:] *= 1.001
    grid = by_hour_of_week(replace(result, equity=equity))
    assert grid.values[0, 9] == pytest.approx(5.0), "10 bps in one of two Mondays"
    assert np.nansum(np.abs(grid.values)) == pytest.approx(5.0)


def test_holding_is_what_the_prices_did():
    result = made_up_result(500, symbols=3, trades=10)
    equal, bitcoin = benchmarks(result)
    moved = result.close[-1] / result.close[0]
    assert equal.total_return == pytest.approx(moved.mean() - 1.0)
    assert bitcoin.name == "hold BTC"
    assert bitcoin.total_return == pytest.approx(moved[0] - 1.0)
    assert equal.equity[0] == result.cash


def test_a_coin_listed_in_the_middle_is_cash_until_then_and_a_delisted_one_keeps_its_last_price():
    result = made_up_result(300, symbols=2, trades=0)
    close = result.close.copy()
    close[:100, 0] = np.nan
    close[200:, 1] = np.nan
    equal = benchmarks(replace(result, close=close))[0]
    assert np.isfinite(equal.equity).all()
    expected = (close[-1, 0] / close[100, 0] + close[199, 1] / close[0, 1]) / 2 - 1.0
    assert equal.total_return == pytest.approx(expected)


def test_without_prices_there_is_nothing_to_hold():
    result = made_up_result(50, symbols=2, trades=0)
    assert benchmarks(replace(result, close=np.full_like(result.close, np.nan))) == []


@pytest.mark.parametrize("seed", range(200))
def test_the_waterfall_adds_up_to_the_cent_whatever_the_amounts(seed):
    rng = np.random.default_rng(seed)
    fees, spread, impact, delay = (float(v) for v in rng.normal(0, 10.0 ** rng.integers(-3, 6), 4))
    net = float(rng.normal(0, 1000))
    costs = Costs(
        gross=net + fees + spread + impact + delay, fees=fees, spread=spread, impact=impact, delay=delay, net=net
    )
    steps = steps_of(costs, 12_345.0)
    assert adds_up(steps)
    assert steps[-1].amount == round(net, 2)
    assert [step.key for step in steps] == ["gross", "fees", "spread", "impact", "delay", "net"]


def test_a_made_up_run_keeps_its_books():
    result = made_up_result(3_000, trades=80)
    costs = result.costs
    assert costs.gross - costs.fees - costs.spread - costs.impact - costs.delay == pytest.approx(costs.net)
    assert costs.fees == pytest.approx(result.fills["fee_usdt"].sum())
    assert result.minute[0] == START_MS
    assert (np.diff(result.minute) == MINUTE_MS).all()
