"""The figures of a run by hand, and defined where nothing, one thing or nonsense happened."""

import math
from dataclasses import asdict, fields, replace

import numpy as np
import polars as pl
import pytest

from core.units import DAY_MS, MINUTE_MS, Instrument
from tests.support.results import made_up_result, with_missed
from tune.result import FILLS, REGIMES, Costs, Result, Tables, empty_fills, empty_orders
from tune.stats.ratios import by_regime, by_symbol, drawdown, ratios
from tune.stats.sampling import HOUR_MS, sampled
from tune.stats.trades import monte_carlo, round_trips
from tune.verdict import Verdict, judge

START = 1_772_323_200_000


def run(equity, step_ms: int = MINUTE_MS, fills=(), close=None, symbols=("BTC/USDT",)) -> Result:
    """A run of this equity; ``fills`` are (minute index, symbol, side, quantity, price, fee, delay)."""
    equity = np.asarray(equity, dtype=np.float64)
    count = len(equity)
    rows = [
        (n, START + t * step_ms, START + (t + 1) * step_ms, symbol, side, q, p, q * p, fee, 0.0, 0.0, delay, False)
        for n, (t, symbol, side, q, p, fee, delay) in enumerate(fills)
    ]
    return Result(
        name="t", market="t", synthetic=True, members=(), cash=1_000.0, costs=Costs(),
        instruments=tuple(Instrument("binance", s) for s in symbols),
        minute=START + step_ms * np.arange(count, dtype=np.int64),
        equity=equity, invested=np.zeros(count), regime=np.zeros(count, np.int8), state=np.zeros(count, np.int8),
        grid=np.arange(count), close=np.ones((count, len(symbols))) if close is None else np.asarray(close, float),
        worth=np.zeros((count, len(symbols))), edge_bps=np.zeros((count, len(symbols))), weights=np.zeros((count, 0)),
        contribution=np.zeros(0),
        tables=Tables(pl.DataFrame(rows, schema=FILLS, orient="row") if rows else empty_fills(), empty_orders()),
    )  # fmt: skip


def plain(value) -> bool:
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


# Sampling


def test_a_month_is_sampled_by_day_and_less_by_hour():
    equity = np.linspace(1_000, 1_100, 30 * 1_440)
    minute = START + MINUTE_MS * np.arange(len(equity))
    daily = sampled(minute, equity)
    assert (daily.period, daily.per_year, len(daily.returns)) == ("day", 365.0, 30)
    hourly = sampled(minute[:-1], equity[:-1])
    assert (hourly.period, hourly.per_year, len(hourly.returns)) == ("hour", 8_760.0, 720)
    for found in (daily, hourly):
        assert np.prod(1 + found.returns) == pytest.approx(found.equity[-1] / 1_000)
        assert np.isfinite(found.returns).all()


def test_a_stub_at_the_end_joins_the_last_period_and_no_minute_is_lost():
    equity = np.arange(1.0, 60 * 3 + 22)
    found = sampled(START + MINUTE_MS * np.arange(len(equity)), equity)
    assert len(found.returns) == 3 and found.equity.tolist() == [1.0, 61.0, 121.0, 201.0]


def test_an_outage_is_one_return_and_not_many_zeros():
    equity = np.full(10 * 60, 100.0)
    equity[300:] = 110.0
    equity[130:400] = np.nan
    found = sampled(START + MINUTE_MS * np.arange(len(equity)), equity)
    assert np.count_nonzero(found.returns) == 1
    assert len(found.returns) == 7, "four hours of ten were not observed, one belongs to what follows"


def test_a_ruined_account_ends_there():
    found = sampled(START + HOUR_MS * np.arange(5), np.array([100.0, 50.0, -3.0, 80.0, 90.0]))
    assert found.returns.tolist() == [-0.5, -1.0]


@pytest.mark.parametrize("equity", [[], [np.nan] * 5, [0.0, 5.0], [1_000.0]])
def test_too_little_equity_has_no_returns(equity):
    assert len(sampled(START + MINUTE_MS * np.arange(len(equity)), np.array(equity, dtype=float)).returns) == 0


# Ratios


def test_daily_figures_by_hand():
    growth = np.tile([1.02, 0.99, 1.01, 0.985], 10)
    equity = 1_000 * np.cumprod(np.append(1.0, growth))
    found = ratios(run(equity, DAY_MS))
    returns = growth - 1
    assert (found.period, found.observations) == ("day", 40)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std() * math.sqrt(365))
    downside = math.sqrt((0.01**2 + 0.015**2) / 4)
    assert found.sortino == pytest.approx(returns.mean() / downside * math.sqrt(365))
    assert found.volatility == pytest.approx(returns.std() * math.sqrt(365))
    assert found.tail_ratio == pytest.approx(0.02 / 0.015)
    assert found.cagr == pytest.approx((equity[-1] / 1_000) ** (365 / (40 + 1 / 1_440)) - 1)
    assert found.calmar == pytest.approx(found.cagr / found.max_drawdown)
    assert found.net == pytest.approx(equity[-1] - 1_000)


def test_drawdown_depth_length_and_recovery():
    equity = np.array([100, 110, 99, 88, 104, 110, 115, 103, 104], dtype=float)
    found = drawdown(START + MINUTE_MS * np.arange(9), equity)
    assert found.depth == pytest.approx(0.2)
    assert [(t - START) // MINUTE_MS for t in (found.peak_at, found.trough_at, found.recovered_at)] == [1, 3, 5]
    assert (found.recovery_minutes, found.longest) == (2, 4)
    open_end = drawdown(START + MINUTE_MS * np.arange(9), equity[[0, 1, 2, 2, 2, 3, 3, 4, 4]])
    assert (open_end.recovered_at, open_end.recovery_minutes, open_end.longest) == (None, None, 7)


def test_a_run_without_a_fall_has_no_drawdown_and_undefined_ratios():
    found = ratios(run(1_000 * 1.001 ** np.arange(40), DAY_MS))
    assert (found.max_drawdown, found.longest_under_water, found.peak_at) == (0.0, 0, None)
    assert (found.calmar, found.sortino, found.sharpe) == (None, None, None)


@pytest.mark.parametrize(
    "equity",
    [
        [1_000.0],
        [np.nan],
        [np.nan, np.nan],
        [1_000.0] * 3,
        [1_000.0] * 50_000,
        [1_000.0, np.nan, 900.0],
        [5.0, 0.0, 0.0],
    ],
)
def test_every_figure_is_a_number_or_none(equity):
    found = ratios(run(equity))
    assert all(plain(value) for value in asdict(found).values()), found
    for table in (by_symbol(run(equity)), by_regime(run(equity))):
        assert all(plain(value) for row in table.iter_rows() for value in row), table


def test_one_trade_missed_minutes_and_a_run_that_is_over_at_once():
    one = run(
        [1_000.0] * 5 + [1_010.0] * 5,
        fills=[(1, "BTC/USDT", "buy", 1.0, 100.0, 0, 0), (5, "BTC/USDT", "sell", 1.0, 110.0, 0, 0)],
    )
    for result in (one, with_missed(one, 2, 6), with_missed(made_up_result(3_000), 0, 2_998), made_up_result(1)):
        found = ratios(result)
        assert all(plain(getattr(found, f.name)) for f in fields(found)), found
    assert (ratios(one).trades, ratios(one).hit_rate, ratios(one).profit_factor) == (1, 1.0, None)
    assert ratios(with_missed(one, 2, 6)).missed == 5


def test_tables_add_up_to_the_run():
    result = with_missed(made_up_result(3 * 1_440, 3, 80), 1_000, 1_100)
    whole, symbols, regimes = ratios(result), by_symbol(result), by_regime(result)
    assert regimes["net_usdt"].sum() == pytest.approx(whole.net)
    assert symbols["net_usdt"].sum() == pytest.approx(result.costs.net)
    assert (1 + regimes["total_return"]).product() == pytest.approx(1 + whole.total_return)
    for table in (symbols, regimes):
        assert table["fills"].sum() == len(result.fills)
        assert table["trades"].sum() + table["open_trades"].sum() == len(round_trips(result))
        assert table["fees_usdt"].sum() == pytest.approx(result.costs.fees)
    assert regimes["share"].sum() == pytest.approx(1.0)
    assert set(regimes["regime"]) <= {str(r) for r in REGIMES}
    assert whole.exposure == pytest.approx(np.nanmean(result.invested / result.equity))


# Trades


def test_a_trade_with_every_cost_by_hand():
    """Bought 1 at 101 when the mid was 100 (delay 0.7, the rest spread and impact), sold at 109 when it was 110."""
    result = run(
        [1_000.0] * 10,
        fills=[(1, "BTC/USDT", "buy", 1.0, 101.0, 0.101, 0.7), (5, "BTC/USDT", "sell", 1.0, 109.0, 0.109, 0.4)],
    )
    costs = result.fills.with_columns(spread_usdt=pl.lit(0.2), impact_usdt=pl.Series([0.1, 0.4]))
    (trade,) = round_trips(replace(result, tables=Tables(costs, result.orders))).to_dicts()
    assert trade["net_usdt"] == pytest.approx(109 - 101 - 0.21)
    assert trade["gross_usdt"] == pytest.approx(10.0), "at the mids of the decisions, free of charge"
    assert (trade["minutes"], trade["entry_order"], trade["exit_order"], trade["open"]) == (4, 0, 1, False)
    assert trade["net_return"] == pytest.approx(trade["net_usdt"] / 101)
    assert trade["equity_share"] == pytest.approx(trade["net_usdt"] / 1_000)


def test_a_fee_taken_in_the_coin_is_not_counted_twice():
    """1 bought at 100, of which 0.001 goes as the fee; 0.999 sold at 110 less 0.1 %: the account gains 9.78011."""
    fills = [(1, "BTC/USDT", "buy", 1.0, 100.0, 0.1, 0), (3, "BTC/USDT", "sell", 0.999, 110.0, 0.10989, 0)]
    (trade,) = round_trips(run([1_000.0] * 5, fills=fills)).to_dicts()
    assert trade["net_usdt"] == pytest.approx(0.999 * 110 - 0.10989 - 100)
    assert not trade["open"]


def test_adding_and_trimming_is_one_trade_and_dust_closes_it():
    fills = [
        (1, "BTC/USDT", "buy", 1.0, 100.0, 0, 0),
        (2, "BTC/USDT", "sell", 0.4, 104.0, 0, 0),
        (3, "BTC/USDT", "buy", 0.4, 106.0, 0, 0),
        (6, "BTC/USDT", "sell", 0.995, 110.0, 0, 0),
        (8, "BTC/USDT", "buy", 1.0, 110.0, 0, 0),
    ]
    trades = round_trips(run([1_000.0] * 10, fills=fills, close=np.full((10, 1), 120.0)))
    assert trades["open"].to_list() == [False, True]
    assert trades["minutes"].to_list() == [5, 1]
    paid = (100 + 0.4 * 106) * 1.395 / 1.4
    assert trades["net_usdt"].to_list() == pytest.approx([0.4 * 104 + 0.995 * 110 - paid, 10.0])


def test_what_was_never_bought_makes_no_trade():
    assert len(round_trips(run([1_000.0] * 3, fills=[(1, "BTC/USDT", "sell", 1.0, 100.0, 0, 0)]))) == 0
    assert round_trips(run([1_000.0] * 3)).columns == round_trips(made_up_result(500)).columns


def test_trades_of_a_run_earn_what_the_account_earned():
    result = made_up_result(5 * 1_440, 4, 200, seed=9)
    trades = round_trips(result)
    assert trades["net_usdt"].sum() == pytest.approx(result.costs.net)
    assert trades["gross_usdt"].sum() == pytest.approx(result.costs.gross)


def test_reshuffled_trades_end_where_they_did_and_fall_differently():
    trades = round_trips(made_up_result(5 * 1_440, 3, 120, edge=0.0002))
    found = monte_carlo(trades, 10_000.0, np.random.default_rng(1))
    assert found.end == pytest.approx(10_000 * np.prod(1 + trades["equity_share"].to_numpy()))
    assert found.resampled_end[0.05] < found.end < found.resampled_end[0.95]
    assert found.reshuffled_drawdown[0.05] <= found.drawdown <= found.reshuffled_drawdown[0.95] * 1.5
    assert found.reshuffled_drawdown[0.05] < found.reshuffled_drawdown[0.95]


def test_monte_carlo_of_two_trades_is_all_their_orders():
    """Trades of +10 % and -10 %: falls of 10 % in either order; resampled ends 0.81, 0.99 and 1.21."""
    trades = round_trips(made_up_result(3_000)).head(2).with_columns(equity_share=pl.Series([0.1, -0.1]))
    found = monte_carlo(trades, 100.0, np.random.default_rng(2), 4_000)
    assert set(np.round(list(found.reshuffled_drawdown.values()), 9)) == {0.1}
    assert found.resampled_end[0.05] == pytest.approx(81.0) and found.resampled_end[0.95] == pytest.approx(121.0)
    assert found.loss == pytest.approx(0.75, abs=0.03)
    assert monte_carlo(trades.head(1), 100.0, np.random.default_rng(2)) is None
    assert monte_carlo(trades.head(0), 100.0, np.random.default_rng(2)) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("harm", ["half missed", "all missed", "ruined", "below zero", "huge", "no closes", "typo"])
def test_nonsense_has_defined_figures_and_a_word(harm):
    rng = np.random.default_rng(len(harm))
    for seed in range(4):
        result = made_up_result(
            int(rng.integers(1, 2_000)), int(rng.integers(1, 4)), int(rng.integers(0, 40)), seed=seed
        )
        equity, close = result.equity.copy(), result.close.copy()
        if harm == "half missed":
            equity[rng.random(len(equity)) < 0.5] = np.nan
        elif harm == "all missed":
            equity[:] = np.nan
        elif harm == "ruined":
            equity[len(equity) // 2 :] = 0.0
        elif harm == "below zero":
            equity[rng.integers(0, len(equity))] = -5.0
        elif harm == "huge":
            equity *= 1e12
        elif harm == "no closes":
            close[:] = np.nan
        else:
            close[rng.integers(0, len(close))] *= 1_000
        result = replace(result, equity=equity, close=close)
        trades = round_trips(result)
        assert all(plain(value) for value in asdict(ratios(result, trades)).values())
        for table in (trades, by_symbol(result, trades), by_regime(result, trades)):
            assert all(plain(value) for row in table.iter_rows() for value in row), table
        assert Verdict.from_json(judge(result, resamples=50).to_json()).word != "edge"
