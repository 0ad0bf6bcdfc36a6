"""An account in won: engine and desk are equal to the last digit, it is told in USDT, and its worth is stated or known."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.units import MINUTE_MS, Instrument
from data.lake import Lake
from data.quote_worth import IN_USDT, worth_of
from tests.support.bar_files import rows_of
from tests.support.engines import (
    WON,
    describe,
    difference,
    in_won,
    make_forecasts,
    make_market,
    make_settings,
    run_both,
)
from tests.support.markets import MINUTE, walk
from tune.simulate import simulate

COINS = [f"upbit:{base}/KRW" for base in ("BTC", "ETH", "SOL")]
MARKET = Instrument("upbit", "USDT/KRW")


@pytest.mark.parametrize(
    ("rules", "cash"),
    [
        ({}, "10000"),
        ({"protection__stop_loss_pct": 0.6, "protection__take_profit_pct": 0.8}, "20000"),
        ({"execution__algorithm": "immediate", "risk__max_order_pct": 100, "risk__max_position_pct": 100}, "60000"),
    ],
    ids=["slices", "stops", "at once, orders of tens of millions"],
)
def test_engine_and_desk_are_equal_in_won(rules, cash) -> None:
    market = make_market(3, 150, money=2_000_000.0)
    forecasts = make_forecasts(market, scale=40.0)
    pair = run_both(make_settings(3, trade__instruments=COINS, **rules), in_won(market), forecasts, cash)
    assert difference(pair) == ""
    told = describe(pair)
    assert told["orders"] > 10 and told["fills"] > 10 and told["sells"] > 3
    fills, result = pair.result.fills, pair.result
    assert (fills["notional_usdt"] / (fills["price"] * fills["quantity"]) - WON.usdt).abs().max() < 1e-12
    assert 0.0 < fills["notional_usdt"].max() <= result.equity[0]
    costs = result.costs
    assert costs.gross - costs.fees - costs.spread - costs.impact - costs.delay == pytest.approx(costs.net, abs=1e-6)
    assert result.contribution.sum() == pytest.approx(costs.gross, abs=1e-6)
    assert result.equity[0] == pytest.approx(float(cash), abs=1e-6)
    assert any("A USDT counts as 1,390.00 KRW through the whole run (as was said)" in note for note in result.notes)


def test_the_same_coins_in_won_earn_what_they_earn_in_dollars_but_for_fees_and_grids() -> None:
    off = {f"costs__{part}": False for part in ("fees", "min_notional")}
    market = make_market(2, 200)
    forecasts = make_forecasts(market, scale=40.0)
    rules = make_settings(2, **off)
    here = simulate(rules, market, forecasts, cash=Decimal(10_000))
    there = simulate(
        make_settings(2, trade__instruments=COINS[:2], **off), in_won(market), forecasts, cash=Decimal(10_000)
    )
    assert here.fills.height > 20
    assert there.equity[-1] == pytest.approx(here.equity[-1], rel=1e-3)
    assert there.invested == pytest.approx(here.invested, rel=2e-2, abs=5.0)


def test_two_currencies_at_once_are_refused_with_the_way() -> None:
    market = in_won(make_market(2, 20))
    mixed = replace(market, instruments=(Instrument("binance", "BTC/USDT"), market.instruments[1]), worth=None)
    with pytest.raises(ConfigError, match=r"in KRW and USDT; test the exchanges one by one .*replay both"):
        simulate(make_settings(2), mixed, make_forecasts(mixed), cash=Decimal(10_000))


def test_a_worth_that_nothing_tells_is_asked_for() -> None:
    market = replace(in_won(make_market(1, 20)), worth=None)
    with pytest.raises(ConfigError, match=r"no bars of upbit:USDT/KRW .*data download .*--per-usdt KRW=1390"):
        simulate(make_settings(1), market, make_forecasts(market), cash=Decimal(10_000))


def test_more_won_than_can_be_counted_is_refused_by_amount() -> None:
    market = in_won(make_market(1, 20))
    with pytest.raises(ConfigError, match="KRW: a balance above 90071992 cannot be counted exactly"):
        simulate(make_settings(1), market, make_forecasts(market), cash=Decimal(100_000))


def test_the_worth_is_the_last_close_of_the_currencys_own_market(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    coin = (Instrument("upbit", "BTC/KRW"),)
    assert worth_of(lake, coin, MINUTE, {}) is None
    lake.write(MARKET, rows_of(MINUTE, walk(600, 1, price=1_400.0, volatility=1e-4)), "made up")
    first = MINUTE + 500 * MINUTE_MS
    last = lake.window((MARKET,), first - MINUTE_MS, 1)[0, 0, 3]
    found = worth_of(lake, coin, first, {})
    assert found is not None and found.usdt == 1.0 / last
    assert found.source == "upbit:USDT/KRW before the first minute"
    assert worth_of(lake, coin, MINUTE + 1_200 * MINUTE_MS, {}) is None, "ten hours old"
    assert worth_of(lake, (Instrument("binance", "BTC/USDT"),), first, {}) is IN_USDT
    assert worth_of(lake, (*coin, Instrument("binance", "BTC/USDT")), first, {}) is None
    said = worth_of(lake, coin, first, {"KRW": 1_250.0})
    assert said is not None and said.usdt == 1.0 / 1_250.0
