"""Records of the live parts as a result: equal to what the compiled engine says of the same run, to the cent and further."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core.messages import MinuteRecord, QuoteRate
from tests.support.engines import WON, Pair, in_won, make_forecasts, make_market, make_settings, run_both
from tests.support.minute_records import MadeUpRun
from tune.backtest import make_tape
from tune.buy_and_hold import benchmarks
from tune.recorded_result import NOT_OURS, UNSPLIT, Touches, result_of_records
from tune.report.findings import findings_of
from tune.report.page import write_page
from tune.result import Result
from tune.stats.ratios import by_symbol
from tune.stats.trades import round_trips, trips_of

COSTS = ("fee_usdt", "spread_usdt", "impact_usdt", "delay_usdt")


@pytest.fixture(scope="module")
def pair() -> Pair:
    market = make_market(3, 400, seed=4, gaps=0.01)
    return run_both(make_settings(3), market, make_forecasts(market, seed=2, silent=0.05))


@pytest.fixture(scope="module")
def recorded(pair) -> Result:
    settings, market = make_settings(3), make_market(3, 400, seed=4, gaps=0.01)
    costs = settings.rules.costs
    touches = Touches(market, costs, make_tape(market).default_rules(costs))
    return result_of_records(pair.records, name="desk", market="", synthetic=True, cash=10_000.0, touches=touches)


def test_columns_are_the_engines(pair, recorded):
    engine = pair.result
    assert len(engine.fills) > 50, "nothing was compared"
    for name in ("minute", "equity", "regime", "state", "grid", "close", "edge_bps", "weights"):
        np.testing.assert_array_equal(getattr(recorded, name), getattr(engine, name), err_msg=name)
    assert recorded.members == engine.members
    assert recorded.instruments == engine.instruments


def test_fills_lost_what_the_engine_says_they_lost(pair, recorded):
    ours, theirs = recorded.fills, pair.result.fills
    for name in ("order", "minute", "at_ms", "symbol", "side"):
        assert ours[name].to_list() == theirs[name].to_list(), name
    for name in ("quantity", "price", *COSTS):
        np.testing.assert_allclose(ours[name].to_numpy(), theirs[name].to_numpy(), rtol=1e-9, atol=1e-9, err_msg=name)


def test_orders_and_their_why_are_the_engines(pair, recorded):
    for name in ("order", "minute", "symbol", "side", "quantity", "limit_price", "mid", "equity", "why"):
        assert recorded.orders[name].to_list() == pair.result.orders[name].to_list(), name
    np.testing.assert_allclose(recorded.orders["executed"].to_numpy(), pair.result.orders["executed"].to_numpy())


def test_the_money_went_the_same_ways(pair, recorded):
    assert recorded.costs.cents() == pair.result.costs.cents()
    np.testing.assert_allclose(recorded.contribution, pair.result.contribution, rtol=1e-6, atol=1e-6)


def test_without_the_market_the_costs_beside_fees_are_not_told_apart(pair, recorded):
    plain = result_of_records(pair.records, name="desk", market="", synthetic=True, cash=10_000.0)
    assert UNSPLIT in plain.notes
    assert plain.costs.spread == plain.costs.impact == 0.0
    split = recorded.costs
    assert plain.costs.delay == pytest.approx(split.spread + split.impact + split.delay)
    assert plain.costs.gross == pytest.approx(split.gross)
    assert plain.costs.net == split.net


def test_a_run_of_the_whole_system_with_all_kinds_of_trouble_has_a_page(tmp_path):
    records = MadeUpRun().many(400)
    result = result_of_records(records, name="run", market="", synthetic=True)
    assert int(np.isnan(result.equity).sum()) == sum(r.status == "missed" for r in records) > 0
    assert len(result.fills) == sum(len(r.fills) for r in records) > 0
    assert write_page(tmp_path / "report.html", findings_of(result)).stat().st_size > 100_000


def test_fills_of_nobodys_order_are_told(pair):
    records = [replace(r, orders=()) for r in pair.records]
    result = result_of_records(records, name="run", market="", synthetic=True)
    assert NOT_OURS.format(len(result.fills)) in result.notes
    assert (result.fills["order"] == -1).all()


@pytest.mark.parametrize("records", [[], [MinuteRecord(minute=60_000, trace="", status="missed", reason="late")]])
def test_a_run_without_a_decision_is_empty_or_all_missed(records, tmp_path):
    result = result_of_records(records, name="run", market="", synthetic=False)
    assert result.minutes == len(records)
    assert result.cash == 0.0
    write_page(tmp_path / "report.html", findings_of(result))


def recorded_of(records, market, settings) -> Result:
    costs = settings.rules.costs
    touches = Touches(market, costs, make_tape(market).default_rules(costs))
    return result_of_records(records, name="desk", market="", synthetic=True, cash=10_000.0, touches=touches)


@pytest.fixture(scope="module")
def in_krw() -> tuple[Pair, Result]:
    """One run in won that ends with coins held, by both."""
    coins = [f"upbit:{base}/KRW" for base in ("BTC", "ETH", "SOL")]
    settings = make_settings(3, trade__instruments=coins)
    market = make_market(3, 150, money=2_000_000.0)
    won = in_won(market)
    pair = run_both(settings, won, make_forecasts(market, scale=40.0))
    return pair, recorded_of(pair.records, won, settings)


def test_closes_and_open_trades_in_won_are_the_engines(in_krw):
    pair, recorded = in_krw
    engine = pair.result
    np.testing.assert_array_equal(recorded.close, engine.close)
    np.testing.assert_array_equal(recorded.equity, engine.equity)
    assert recorded.rate is None, "one number through the whole run"
    ours, theirs = round_trips(recorded), round_trips(engine)
    assert theirs["open"].any() and not theirs["open"].all(), "nothing was compared"
    assert ours.columns == theirs.columns
    for name in ours.columns:
        if ours[name].dtype == pl.Float64:
            np.testing.assert_allclose(
                ours[name].to_numpy(), theirs[name].to_numpy(), rtol=1e-9, atol=1e-9, err_msg=name
            )
        else:
            assert ours[name].to_list() == theirs[name].to_list(), name
    mine, whole = by_symbol(recorded), by_symbol(engine)
    assert mine["symbol"].to_list() == whole["symbol"].to_list()
    np.testing.assert_allclose(mine["net_usdt"].to_numpy(), whole["net_usdt"].to_numpy(), atol=1e-6)
    np.testing.assert_allclose(recorded.contribution, engine.contribution, rtol=1e-6, atol=1e-6)


def test_worth_is_by_the_close_and_the_engines_by_the_mid_less_than_a_tick_away(in_krw):
    pair, recorded = in_krw
    engine, market = pair.result, in_won(make_market(3, 150, money=2_000_000.0))
    position = np.array([r.position for r in pair.records if r.status == "done"])
    np.testing.assert_array_equal(recorded.worth, position * (recorded.close * WON.usdt))
    rules = make_tape(market).default_rules(make_settings(3).rules.costs)
    tick = np.array([float(rules[i].tick) for i in market.instruments])
    apart = np.abs(recorded.worth - engine.worth)
    assert apart.max() > 0.0
    assert (apart <= position * tick * WON.usdt).all()
    np.testing.assert_allclose(recorded.worth.sum(axis=1), recorded.invested, rtol=1e-12)


def test_a_rate_that_moved_is_in_what_is_held_and_in_what_it_is_held_against(in_krw, tmp_path):
    """The won gains a tenth in the last minute: so does a coin, whose price in won stood still."""
    pair, _ = in_krw
    last = max(r.minute for r in pair.records if r.status == "done")
    more = QuoteRate(currency="KRW", usdt=1.1 * WON.usdt, source="moved", at_ms=last)
    kept = [replace(r, fills=()) if r.minute >= last else r for r in pair.records]
    still = result_of_records(kept, name="desk", market="", synthetic=True, cash=10_000.0)
    moved = [replace(r, rates=(more,)) if r.minute == last else r for r in kept]
    recorded = result_of_records(moved, name="desk", market="", synthetic=True, cash=10_000.0)
    np.testing.assert_array_equal(recorded.close, still.close)
    assert recorded.rate is not None
    for ours, theirs in zip(benchmarks(recorded), benchmarks(still), strict=True):
        assert ours.equity[-1] == pytest.approx(1.1 * theirs.equity[-1])
    trades = round_trips(recorded).filter("open")
    before = round_trips(still).filter("open")
    assert trades["exit_price"].to_list() == before["exit_price"].to_list(), "in won"
    close = {i.symbol: price for i, price in zip(still.instruments, still.close[-1], strict=True)}
    gained = [0.1 * WON.usdt * close[trip.symbol] * -trip.legs[-1][1] for trip in trips_of(still) if trip.open]
    assert min(gained) > 10.0
    np.testing.assert_allclose((trades["net_usdt"] - before["net_usdt"]).to_numpy(), gained)
    np.testing.assert_array_equal(Result.load(recorded.save(tmp_path / "moved")).rate, recorded.rate)
    assert Result.load(still.save(tmp_path / "still")).rate is None


def test_what_is_filled_after_the_last_decision_counts_by_its_rate(in_krw):
    """In won: the record that closes a run keeps no rates."""
    pair, _ = in_krw
    *before, last, closed = pair.records
    assert closed.status == "closed" and not closed.rates and last.fills, "nothing was compared"
    late = [*before, replace(last, fills=()), replace(closed, fills=last.fills)]
    found, usual = (result_of_records(r, name="", market="", synthetic=True) for r in (late, pair.records))
    assert found.fills.equals(usual.fills)
    assert np.isfinite(found.fills["notional_usdt"].to_numpy()).all()
    assert round_trips(found).equals(round_trips(usual))
