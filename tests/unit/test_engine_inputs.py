"""Markets and forecasts as they come on a bad day: the engine gives a defined answer, or says clearly why not."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from core.engine.tables import EXACT
from core.errors import ConfigError, DataError
from core.selection import WeightTable
from core.units import MINUTE_MS, Instrument
from data.market import MarketCut
from tests.support.engines import HISTORY, cut_of, make_forecasts, make_market, make_settings
from tune.result import Result
from tune.simulate import Forecasts, simulate, simulate_targets

CASH = Decimal(10_000)
RULES = make_settings(1)


def hold(bars: np.ndarray, *asked: tuple[int, float], rules=RULES) -> Result:
    """One instrument by given targets; (minute after the history, target)."""
    market = cut_of(bars[None])
    target = np.full((len(bars), 1), np.nan)
    for minute, share in asked:
        target[HISTORY + minute] = share
    return simulate_targets(rules, market, target, cash=CASH)


def one(minutes: int = 200) -> np.ndarray:
    return np.array(make_market(1, minutes).bars[0])


def traded_minutes(result: Result) -> set[int]:
    """Minutes (after the first decided one) inside which something was filled."""
    return {int((ms - result.minute[0]) // MINUTE_MS) for ms in result.fills["at_ms"]}


def test_a_gap_fills_nothing_and_keeps_the_last_price() -> None:
    bars = one()
    bars[HISTORY + 51 : HISTORY + 60] = np.nan
    found = hold(bars, (50, 0.2))
    assert found.orders.height == 1
    assert found.fills.height == 0, "the minute after the decision had no bar"
    later = hold(bars, (10, 0.2))
    assert later.fills.height > 0
    gap = later.close[51:60, 0]
    assert (gap == bars[HISTORY + 50, 3]).all()
    assert np.isfinite(later.equity).all()


def test_an_outage_of_284_minutes_is_waited_for() -> None:
    bars = one(500)
    bars[HISTORY + 100 : HISTORY + 384] = np.nan
    found = hold(bars, (50, 0.2), (200, 0.0), *((390 + k, 0.0) for k in range(20)))
    assert not traded_minutes(found) & set(range(100, 384))
    assert len(set(found.equity[101:383])) == 1, "a market that stands still is worth what it was"
    assert found.worth[-1, 0] < 1.0, "sold after it came back"


def test_a_symbol_listed_in_the_middle_is_traded_from_then_on() -> None:
    market = make_market(2, 300)
    bars = market.bars.copy()
    bars[1, : HISTORY + 150] = np.nan
    found = simulate(make_settings(2), cut_of(bars), make_forecasts(market, scale=40.0), cash=CASH)
    late = found.fills.filter(symbol="ETH/USDT")
    assert late.height > 0
    assert late["minute"].min() >= found.minute[150]
    assert np.isnan(found.close[:150, 1]).all() and np.isfinite(found.close[150:, 1]).all()
    assert np.isfinite(found.equity).all()


def test_a_delisted_symbol_stays_worth_its_last_close() -> None:
    bars = one()
    bars[HISTORY + 100 :] = np.nan
    found = hold(bars, (50, 0.2), (150, 0.0))
    assert found.orders.height == 1, "what cannot be sold is not ordered"
    assert found.worth[-1, 0] > 0.0
    assert found.worth[-1, 0] == pytest.approx(found.worth[120, 0])
    assert np.isfinite(found.equity).all()


def test_a_bar_without_volume_fills_nothing() -> None:
    bars = one()
    bars[HISTORY + 51, 4] = 0.0
    assert hold(bars, (50, 0.2)).fills.height == 0
    assert hold(bars, (50, 0.2), rules=make_settings(1, costs__halts=False)).fills.height > 0


def test_a_market_without_any_volume_is_never_traded() -> None:
    bars = one()
    bars[:, 4] = 0.0
    found = hold(bars, (50, 0.2))
    assert (found.orders.height, found.fills.height, found.costs.net) == (0, 0, 0.0)


def test_a_price_with_three_digits_too_many_trips_the_limits_and_breaks_nothing() -> None:
    bars = one()
    bars[HISTORY + 100, :4] *= 1_000.0
    found = hold(bars, (50, 0.2))
    assert found.equity[100] > 10 * found.equity[99]
    assert found.state[-1] == 1, "what looked like a loss afterwards stops the buying"
    assert np.isfinite(found.equity).all()


def test_no_trade_and_one_trade_have_results() -> None:
    none = hold(one())
    assert (none.orders.height, none.fills.height) == (0, 0)
    assert (none.equity == float(CASH)).all()
    assert none.costs.gross == none.costs.net == 0.0
    single = hold(one(), (50, 0.2))
    assert single.orders.height == 1
    assert single.orders["why"][0].to_list()[0].startswith("target 0.2000 of 60% of 10000.00")
    assert single.costs.net == single.equity[-1] - single.equity[0]


def test_nobody_speaks_and_nothing_is_done() -> None:
    market = make_market(2, 100)
    silent = np.full((2, 2, HISTORY + 100), np.nan)
    said = Forecasts(members=("a", "b"), versions=("1", "1"), mean_bps=silent, stdev_bps=silent)
    found = simulate(make_settings(2), market, said, cash=CASH)
    assert found.orders.height == 0
    assert np.isnan(found.edge_bps).all()


def test_single_floats_mapped_from_a_file_are_taken(tmp_path) -> None:
    market = make_market(2, 100)
    said = make_forecasts(market)
    np.save(tmp_path / "mean.npy", said.mean_bps.astype(np.float32))
    np.save(tmp_path / "stdev.npy", said.stdev_bps.astype(np.float32))
    mapped = replace(
        said,
        mean_bps=np.load(tmp_path / "mean.npy", mmap_mode="r"),
        stdev_bps=np.load(tmp_path / "stdev.npy", mmap_mode="r"),
    )
    found = simulate(make_settings(2), market, mapped, cash=CASH)
    assert found.orders.height > 5


def refused(market: MarketCut, error: type[Exception], text: str, **changes) -> None:
    said = changes.pop("said", None) or make_forecasts(market)
    with pytest.raises(error, match=text):
        simulate(changes.pop("rules", make_settings(2)), market, said, cash=changes.pop("cash", CASH), **changes)


def test_what_cannot_be_is_named() -> None:
    market = make_market(2, 50)
    said = make_forecasts(market)
    refused(market, DataError, "mean_bps is", said=replace(said, mean_bps=said.mean_bps[:, :, 1:]))
    refused(market, DataError, "asked is", said=replace(said, asked=np.ones((2, 3), dtype=bool)))
    refused(replace(market, minutes=0), DataError, "no minutes", said=said)
    korean = (Instrument("upbit", "BTC/KRW"), market.instruments[1])
    refused(
        replace(market, instruments=korean),
        ConfigError,
        "these markets are in KRW and USDT; test the exchanges one by one",
        said=said,
    )
    bars = market.bars.copy()
    bars[1, 340, 1] = 1.0
    refused(replace(market, bars=bars), DataError, "ETH/USDT minute", said=said)
    bars = market.bars.copy()
    bars[0, 340, 4] = 1e30
    refused(replace(market, bars=bars), DataError, "BTC/USDT .* is no market's bar", said=said)
    refused(market, ConfigError, "USDT: a balance above", cash=Decimal(EXACT) / 10**7)
    refused(market, ConfigError, "USDT: a balance above", cash=Decimal(10) ** 30)
    table = WeightTable.equal(("a", "b"))
    refused(market, ConfigError, "minutes that increase", weights=[(5, table), (5, table)])
    refused(market, ConfigError, "needs a first table", weights=[])
    for cash in ("NaN", "Infinity", "-5"):
        refused(market, ConfigError, f"USDT: an account cannot begin with {cash}", cash=Decimal(cash))
    for cut in ({"minutes": 3_000_000}, {"minutes": market.minutes + 1}, {"minutes": -3}):
        refused(replace(market, **cut), DataError, "must be whole minutes of its bars", said=said)
    for first in (market.first_minute + 1, market.start_minute - MINUTE_MS, market.first_minute + MINUTE_MS):
        refused(replace(market, first_minute=first), DataError, "must be whole minutes of its bars", said=said)
    with pytest.raises(DataError, match="target is"):
        simulate_targets(make_settings(2), market, np.zeros((3, 2)), cash=CASH)
