"""The compiled engine decides, sizes and fills as the LocalDesk does, to the last digit.

Above 400 lines because every setting that both read is a case of one table.
"""

import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.book import best_ticks, half_spread_of
from core.engine.market import fill_quotes
from core.engine.prepared import liquidity_table
from core.engine.shown import shown_table
from core.engine.tables import (
    AVERAGE_MINUTES,
    MAX_NOTIONAL,
    MAX_NOTIONAL_KRW,
    MULTIPLIER_DOWN,
    MULTIPLIER_UP,
    QUOTED,
    TICK_NUM,
)
from core.impact import PRIOR
from core.liquidity import half_spreads, hour_column, liquidity_at
from core.messages import Regime
from core.selection import WeightTable
from core.units import MINUTE_MS
from exchanges.simulated.filters import Limits
from tests.support.engines import (
    HISTORY,
    NAMES,
    cut_of,
    describe,
    difference,
    make_forecasts,
    make_market,
    make_settings,
    run_both,
    run_targets,
)
from tests.support.markets import MINUTE
from tune import simulate as simulation
from tune.prepared import prepare
from tune.simulate import Forecasts, simulate, simulate_targets

EVERYTHING_OFF = {
    f"costs__{part}": False
    for part in ("fees", "spread", "impact", "latency", "participation", "min_notional", "halts", "rounding")
}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "gaps and silence": ({}, {"rows": 3, "gaps": 0.1}, {"silent": 0.05}, "10000"),
    "a thin market": ({}, {"rows": 2, "money": 300.0}, {}, "100000"),
    "little money": ({"trade__min_order_usdt": 5}, {"rows": 3}, {"scale": 40.0}, "60"),
    "a loss limit closes": ({"risk__daily_loss_pct": 0.2}, {"rows": 3, "minutes": 200}, {}, "10000"),
    "a drawdown holds": (
        {"risk__max_drawdown_pct": 0.2, "risk__on_loss_limit": "hold"},
        {"rows": 3, "minutes": 200},
        {},
        "10000",
    ),
    "at once": ({"execution__algorithm": "immediate"}, {"rows": 2, "gaps": 0.02}, {}, "10000"),
    "late into the next minute": (
        {"execution__slices": 12, "execution__slice_seconds": 5, "costs__latency_ms": 9000},
        {"rows": 2, "money": 2000.0},
        {},
        "50000",
    ),
    "twap over minutes": (
        {"execution__horizon_minutes": 5, "execution__jitter_seconds": 9},
        {"rows": 3, "gaps": 0.05, "money": 2000.0},
        {},
        "50000",
    ),
    "vwap": (
        {"execution__algorithm": "vwap", "execution__horizon_minutes": 4},
        {"rows": 2, "gaps": 0.05},
        {},
        "10000",
    ),
    "pov": (
        {"execution__algorithm": "pov", "execution__horizon_minutes": 6, "execution__participation_pct": 2},
        {"rows": 2, "gaps": 0.05, "money": 2000.0},
        {},
        "50000",
    ),
    "implementation shortfall": (
        {"execution__algorithm": "is", "execution__horizon_minutes": 5, "execution__risk_aversion": 0.01},
        {"rows": 2, "gaps": 0.02},
        {},
        "50000",
    ),
    "fees in BNB": ({"costs__fee_paid_in": "bnb", "costs__fee_tier": {"binance": 3}}, {"rows": 2}, {}, "10000"),
    "free of costs": (EVERYTHING_OFF, {"rows": 2, "gaps": 0.1}, {}, "10000"),
    "halts trade": ({"costs__halts": False}, {"rows": 2, "gaps": 0.2}, {}, "10000"),
    "markets stand still": ({"events__stale_minutes": 2}, {"rows": 3, "still": 0.06, "gaps": 0.03}, {}, "10000"),
    "one order a minute": (
        {"risk__max_orders_per_minute": 1, "risk__max_order_pct": 1.0, "risk__max_gross_pct": 20},
        {"rows": 4},
        {},
        "100000",
    ),
    "stops and profits": (
        {"protection__stop_loss_pct": 0.3, "protection__take_profit_pct": 0.4},
        {"rows": 3, "gaps": 0.05},
        {},
        "10000",
    ),
    "trailing and time stops": (
        {
            "protection__stop_loss_pct": None,
            "protection__trailing_stop_pct": 0.3,
            "protection__trailing_activation_pct": 0.1,
            "protection__time_stop_minutes": 7,
            "protection__look_seconds": 7,
            "execution__algorithm": "immediate",
        },
        {"rows": 2, "money": 3_000.0},
        {},
        "10000",
    ),
    "guards pause": (
        {
            "risk__cooldown_minutes": 4,
            "risk__max_consecutive_losses": 2,
            "risk__consecutive_losses_pause_minutes": 3,
            "risk__low_profit_trips": 2,
            "risk__low_profit_pct": 0,
            "risk__low_profit_pause_minutes": 10,
            "risk__max_orders_per_day": 60,
        },
        {"rows": 4, "minutes": 200},
        {},
        "10000",
    ),
    "a part of the account": (
        {"trade__capital_pct": 60, "trade__capital_usdt": 5_000, "risk__daily_loss_usdt": 12},
        {"rows": 3, "minutes": 200},
        {},
        "10000",
    ),
    "the forecast must pay": (
        {"execution__cost_gate": "round_trip", "risk__max_position_pct": 30},
        {"rows": 3, "money": 400.0, "gaps": 0.05},
        {"scale": 60.0},
        "10000",
    ),
    "late, and the forecast must pay to get in": (
        {
            "execution__cost_gate": "one_way",
            "execution__slices": 12,
            "execution__slice_seconds": 5,
            "costs__latency_ms": 9000,
        },
        {"rows": 2, "money": 2000.0},
        {"scale": 25.0},
        "50000",
    ),
    "stop-outs pause": (
        {
            "protection__stop_loss_pct": 0.2,
            "risk__max_stop_outs": 2,
            "risk__stop_outs_pause_minutes": 4,
            "risk__cooldown_minutes": 0,
            "risk__max_consecutive_losses": 0,
        },
        {"rows": 3},
        {},
        "10000",
    ),
    "ceilings bind": (
        {
            "trade__max_pct": {"binance:ETH/USDT": 9},
            "risk__max_position_volatility_pct": 12,
            "risk__target_volatility_pct": 16,
            "risk__kelly_fraction": 0.001,
            "risk__max_order_usdt": 700,
        },
        {"rows": 4, "gaps": 0.05},
        {"scale": 40.0},
        "10000",
    ),
    "everything invested": (
        {
            "trade__invest_pct": 100,
            "risk__max_gross_pct": 100,
            "risk__max_position_pct": 100,
            "risk__max_order_pct": 100,
            "risk__rebalance_band_pct": 0,
        },
        {"rows": 2},
        {"scale": 60.0},
        "10000",
    ),
}


def run_case(name: str):
    rules, market, forecasts, cash = CASES[name]
    cut = make_market(**{"minutes": 120, **market})
    return run_both(make_settings(market["rows"], **rules), cut, make_forecasts(cut, **forecasts), cash)


def sold_where_nothing_trades(pair, minutes: int) -> int:
    """Sales decided in markets in which nothing had traded for so long; nothing may have been bought there."""
    market = make_market(3, 120, still=0.06, gaps=0.03)
    sold = 0
    for order in pair.result.orders.to_dicts():
        row = [i.symbol for i in market.instruments].index(order["symbol"])
        k = (order["minute"] - market.start_minute) // MINUTE_MS
        if not np.nansum(market.bars[row, k + 1 - minutes : k + 1, 4]) > 0.0:
            assert order["side"] == "sell", order
            sold += 1
    return sold


@pytest.mark.parametrize("name", CASES)
def test_engine_and_desk_are_equal(name: str) -> None:
    pair = run_case(name)
    assert difference(pair) == ""
    told = describe(pair)
    assert told["orders"] > 10 and told["fills"] > 10 and told["sells"] > 3
    match name:
        case "gaps and silence":
            assert any("Market is closed" in reason for reason in told["rejected"])
        case "a thin market":
            assert told["partial"] > told["orders"] / 2
        case "little money":
            assert "min_order" in told["limits"]
        case "a loss limit closes" | "a drawdown holds":
            assert told["reduced"]
        case "guards pause":
            guards = {"cooldown_minutes", "max_consecutive_losses", "low_profit_pct", "max_orders_per_minute"}
            assert guards <= told["limits"]
        case "stop-outs pause":
            assert "max_stop_outs" in told["limits"]
        case "ceilings bind":
            why = "\n".join("\n".join(lines) for lines in pair.result.orders["why"].to_list())
            for line in ("volatility ", "of Kelly: at most", "buys x 0.", "max_order_usdt allows", "max_pct allows"):
                assert line in why
        case "a part of the account":
            assert told["reduced"]
            assert pair.result.invested.max() < 0.6 * 5_000 + 1
        case "markets stand still":
            assert "stale_minutes" in told["limits"]
            assert sold_where_nothing_trades(pair, 2) > 0
        case "one order a minute":
            assert "max_orders_per_minute" in told["limits"]
        case "stops and profits":
            assert {"stop_loss", "take_profit"} == {one.reason for one in told["exits"]}
        case "trailing and time stops":
            assert {"trailing_stop", "time_stop"} == {one.reason for one in told["exits"]}
            assert max(len(one.arithmetic) for one in told["exits"]) == 3
        case "the forecast must pay" | "late, and the forecast must pay to get in":
            assert "cost_gate" in told["limits"]
            cut = [
                why for why in pair.result.orders["why"].to_list() if any("cost_gate allows" in line for line in why)
            ]
            assert len(cut) > 3, "some orders shrink"
            assert all(why[-1].startswith("forecast ") for why in cut)
        case "free of costs":
            costs = pair.result.costs
            assert costs.fees == 0.0
            fills = pair.result.fills
            at_once = fills.filter(pl.col("at_ms") == pl.col("minute") + MINUTE_MS)
            assert at_once.height and at_once["delay_usdt"].abs().max() < 1e-9
            assert pair.result.fills["fee_usdt"].sum() == 0.0


def wild(rng: np.random.Generator, rows: int, minutes: int) -> np.ndarray:
    """(S, T, 5) bars with everything that a bad day brings."""
    bars = np.array(
        make_market(rows, minutes, seed=int(rng.integers(1, 1_000)), money=float(rng.choice([200.0, 20_000.0]))).bars
    )
    total = bars.shape[1]
    at = lambda: int(rng.integers(HISTORY, total - 10))  # noqa: E731
    for row in range(rows):
        bars[row, rng.random(total) < rng.choice([0.0, 0.1, 0.5]), 4] = 0.0
        if rng.random() < 0.5:  # twenty minutes without a trade: no book
            start = at()
            bars[row, start : start + 20, 4] = 0.0
        if rng.random() < 0.5:  # a jump
            bars[row, at() :, :4] *= float(np.exp(rng.normal(0.0, 0.05)))
        if rng.random() < 0.3:  # a price with three digits too many
            bars[row, at(), :4] *= 1_000.0
        if rng.random() < 0.5:  # an outage
            start = at()
            bars[row, start : start + int(rng.integers(2, 60))] = np.nan
        bars[row, rng.random(total) < rng.choice([0.0, 0.05, 0.3])] = np.nan
        if rng.random() < 0.3:  # delisted
            bars[row, at() :] = np.nan
        if rng.random() < 0.3:  # listed in the middle
            bars[row, : at()] = np.nan
    return bars


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_engine_and_desk_are_equal_on_wild_markets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(1, 5))
    changes = {
        "risk__daily_loss_pct": float(rng.choice([0.2, 5.0])),
        "risk__max_drawdown_pct": float(rng.choice([0.5, 50.0])),
        "risk__collar_bps": float(rng.choice([1.0, 30.0, 500.0])),
        "risk__max_order_pct": float(rng.choice([2.0, 10.0])),
        "trade__min_order_usdt": int(rng.choice([5, 50])),
        "risk__max_position_volatility_pct": [None, 15.0, 3.0][int(rng.integers(3))],
        "risk__target_volatility_pct": [None, 40.0, 8.0][int(rng.integers(3))],
        "risk__cooldown_minutes": int(rng.choice([0, 3])),
        "events__stale_minutes": 1 + seed % 5,
        "risk__max_consecutive_losses": int(rng.choice([0, 3])),
        "risk__low_profit_trips": int(rng.choice([0, 2])),
        "execution__slices": int(rng.choice([1, 3, 4])),
        "costs__latency_ms": int(rng.choice([0, 86, 10_000])),
        "costs__max_participation_pct": float(rng.choice([1.0, 10.0])),
        "protection__stop_loss_pct": [None, 0.2, 10.0][int(rng.integers(3))],
        "protection__trailing_stop_pct": [None, 0.3][int(rng.integers(2))],
        "protection__take_profit_pct": [None, 0.3][int(rng.integers(2))],
        "protection__time_stop_minutes": [None, 5.5][int(rng.integers(2))],
        "execution__cost_gate": str(rng.choice(["off", "one_way", "round_trip"])),
    }
    market = cut_of(wild(rng, rows, 80))
    scale = float(rng.choice([15.0, 60.0]))
    forecasts = make_forecasts(market, seed=seed % 1_000, scale=scale, silent=float(rng.choice([0.0, 0.02])))
    pair = run_both(make_settings(rows, **changes), market, forecasts, str(rng.choice([200, 10_000, 1_000_000])))
    assert difference(pair) == ""


def wishes(rng: np.random.Generator, minutes: int, rows: int) -> np.ndarray:
    """(T, S) targets that change now and then, as a simple strategy's do."""
    target = np.full((HISTORY + minutes, rows), np.nan)
    changes = rng.random(target.shape) < 0.05
    target[changes] = rng.choice([0.0, 0.1, 0.2, 1.0, np.inf], int(changes.sum()))
    return target


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_given_targets_are_worked_as_on_a_desk(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(1, 4))
    market = cut_of(wild(rng, rows, 150))
    changes = {
        "risk__daily_loss_pct": float(rng.choice([0.2, 5.0])),
        "risk__on_loss_limit": str(rng.choice(["close", "hold"])),
        "execution__algorithm": str(rng.choice(["twap", "immediate"])),
        "costs__latency_ms": int(rng.choice([86, 10_000])),
        "protection__stop_loss_pct": [None, 0.2, 10.0][int(rng.integers(3))],
        "protection__take_profit_pct": [None, 0.3][int(rng.integers(2))],
        "protection__time_stop_minutes": [None, 20.0][int(rng.integers(2))],
    }
    pair = run_targets(make_settings(rows, **changes), market, wishes(rng, 150, rows))
    assert difference(pair) == ""


@pytest.mark.parametrize(
    "changes", [{"execution__algorithm": "immediate"}, {"costs__latency_ms": 10_000}, {"costs__halts": False}]
)
def test_what_the_market_shows_to_orders_may_be_tabled_before(changes: dict[str, Any]) -> None:
    traded = 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        market, rules = cut_of(wild(rng, 2, 200)), make_settings(2, protection__stop_loss_pct=0.2, **changes)
        ready, target = prepare(rules, market), wishes(rng, 200, 2)
        told = ready.rules(rules, 1.0)
        schedule = told.account.schedule
        quotes = np.full((*market.bars.shape[:2], schedule.slices * QUOTED), np.nan)
        fill_quotes(ready.tape, told.grids, told.account.terms, schedule.slice_ms, quotes)
        tabled = replace(ready, tape=ready.tape._replace(quotes=quotes))
        asked, looked_up = (
            simulate_targets(rules, market, target, cash=Decimal(10_000), prepared=one) for one in (ready, tabled)
        )
        assert same(asked, looked_up)
        traded += asked.counts.fills
    assert traded > 100


def test_a_position_that_rises_above_its_cap_is_trimmed_and_not_churned() -> None:
    market = make_market(2, 400)
    bars = market.bars.copy()
    grown = np.ones(HISTORY + 400)
    grown[HISTORY + 20 : HISTORY + 220] = np.linspace(1.0, 1.5, 200)
    # Then up and down by less than the band, again and again.
    grown[HISTORY + 220 :] = 1.5 * (1.0 + 0.02 * np.sin(np.arange(180) / 6.0))
    bars[0, :, :4] *= grown[:, None]
    target = np.full((HISTORY + 400, 2), np.nan)
    target[HISTORY + 5 : HISTORY + 12] = (0.49, 0.2)
    rules = make_settings(2, trade__capital_pct=80, trade__invest_pct=30, risk__rebalance_band_pct=1)
    pair = run_targets(rules, replace(market, bars=bars), target)
    assert difference(pair) == ""
    sold = pair.result.orders.filter(side="sell", symbol=NAMES[0])
    assert 3 <= sold.height <= 8
    assert sold["minute"].max() < market.first_minute + 225 * MINUTE_MS, "a price that goes to and fro sells nothing"
    share = [r.position[0] * r.close[0] / (0.8 * r.equity) for r in pair.records if r.status == "done"]
    assert 0.158 < max(share) < 0.168


def test_a_day_turns_while_nothing_is_asked_for() -> None:
    day = 86_400_000
    market = make_market(1, 200)
    # Midnight falls into the middle of what is traded.
    start = (MINUTE // day + 1) * day - (HISTORY + 100) * MINUTE_MS
    market = replace(market, start_minute=start, first_minute=start + HISTORY * MINUTE_MS)
    bars = market.bars.copy()
    bars[0, HISTORY + 20 :, :4] *= np.linspace(1.0, 0.97, 180)[:, None]
    target = np.full((HISTORY + 200, 1), np.nan)
    target[HISTORY + 10] = 0.25
    rules = make_settings(1, risk__daily_loss_pct=0.2, risk__max_drawdown_pct=0.35, risk__on_loss_limit="hold")
    pair = run_targets(rules, replace(market, bars=bars), target)
    assert difference(pair) == ""
    assert describe(pair)["reduced"]
    assert 0 < (pair.result.state == 0).sum() < 200


def test_regimes_choose_weights_and_tables_take_turns() -> None:
    rules = make_settings(2, events__turbulent_ratio=1.05, events__trend_ratio=0.5, events__volatility_shock=1.5)
    market = make_market(2, 150)
    by_regime = {r.value: {"a": 1.0 + k, "b": 3.0 - k} for k, r in enumerate(Regime)}
    forecasts = make_forecasts(market)
    pair = run_both(rules, market, forecasts, weights=WeightTable("t", by_regime))
    assert difference(pair) == ""
    assert len(set(pair.result.regime)) == 3
    other = WeightTable("u", {r.value: {"a": 0.0, "b": 1.0} for r in Regime})
    border = market.first_minute + 70 * MINUTE_MS
    plan = [(market.first_minute, WeightTable("t", by_regime)), (border, other)]
    turned = simulate(rules, market, forecasts, cash=Decimal(10_000), weights=plan)
    assert turned.weights[69].tolist() == pair.result.weights[69].tolist()
    assert turned.weights[70].tolist() == [0.0, 1.0]


def test_costs_add_up_and_members_share_the_gross() -> None:
    result = run_case("a thin market").result
    costs = result.costs
    rest = costs.gross - costs.fees - costs.spread - costs.impact - costs.delay - costs.net
    assert abs(rest) < 1e-6
    assert costs.net == result.equity[-1] - result.equity[0]
    assert costs.fees > 0 and costs.spread > 0 and costs.impact > 0
    assert result.contribution.sum() == pytest.approx(costs.gross, abs=1e-6)
    cents = costs.cents()
    assert round(cents["gross"] - sum(cents[k] for k in ("fees", "spread", "impact", "delay")) - cents["net"], 9) == 0


def test_engine_and_desk_work_a_shortfall_by_the_law_that_was_learnt() -> None:
    """The law is of the run: another one plans other slices, the same ones in both."""
    rules = make_settings(2, execution__algorithm="is", execution__horizon_minutes=5, execution__risk_aversion=1.0)
    market = make_market(2, 120)
    forecasts = make_forecasts(market)
    law = PRIOR._replace(coefficient=6.0)
    pair = run_both(rules, market, forecasts, law=law)
    assert difference(pair) == ""
    believed = simulate(rules, market, forecasts, cash=Decimal(10_000))
    assert pair.result.fills.height > 10 and not pair.result.fills.equals(believed.fills)


def same(a, b) -> bool:
    return (
        a.equity.tobytes() == b.equity.tobytes()
        and a.state.tobytes() == b.state.tobytes()
        and a.edge_bps.tobytes() == b.edge_bps.tobytes()
        and a.fills.equals(b.fills)
        and a.orders.equals(b.orders)
        and a.costs == b.costs
    )


def test_chunks_and_full_logs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    market = make_market(3, 400, gaps=0.05)
    forecasts, rules = make_forecasts(market), make_settings(3)
    whole = simulate(rules, market, forecasts, cash=Decimal(10_000))
    monkeypatch.setattr(simulation, "MOST_CHUNK", 64)
    monkeypatch.setattr("tune.run_rules.LOGGED", 1)
    told: list[tuple[int, int]] = []
    # Settings of its own: what they come to is kept.
    cut = simulate(make_settings(3), market, forecasts, cash=Decimal(10_000), progress=lambda *at: told.append(at))
    assert same(whole, cut)
    assert told == [(done, 400) for done in (0, 64, 128, 192, 256, 320, 384, 400)]


def test_ctrl_c_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    market = make_market(2, 300)
    forecasts, rules = make_forecasts(market), make_settings(2)
    whole = simulate(rules, market, forecasts, cash=Decimal(10_000))
    monkeypatch.setattr(simulation, "MOST_CHUNK", 64)

    def interrupt(done: int, total: int) -> None:
        if done == 128:
            raise KeyboardInterrupt

    part = simulate(rules, market, forecasts, cash=Decimal(10_000), progress=interrupt)
    assert part.minutes == 128
    assert "interrupted: 128 of 300 minutes" in part.notes[0]
    assert part.equity.tobytes() == whole.equity[:128].tobytes()
    assert part.fills.equals(whole.fills[: part.fills.height])
    assert (part.fills["minute"] <= part.minute[-1]).all()


def test_a_truncated_market_decides_the_same() -> None:
    market = make_market(2, 200, gaps=0.05)
    forecasts, rules = make_forecasts(market), make_settings(2)
    whole = simulate(rules, market, forecasts, cash=Decimal(10_000))
    cut = HISTORY + 120
    short = replace(market, bars=market.bars[:, :cut].copy(), minutes=120)
    assert forecasts.asked is not None
    said = Forecasts(
        members=forecasts.members,
        versions=forecasts.versions,
        mean_bps=forecasts.mean_bps[:, :, :cut],
        stdev_bps=forecasts.stdev_bps[:, :, :cut],
        asked=forecasts.asked[:, :cut],
    )
    part = simulate(rules, short, said, cash=Decimal(10_000))
    assert part.equity.tobytes() == whole.equity[:120].tobytes()
    assert part.orders.drop("executed").equals(whole.orders[: part.orders.height].drop("executed"))


def test_the_liquidity_table_is_what_one_minute_asks_for() -> None:
    bars = np.array(make_market(2, 2_500, gaps=0.1).bars)
    bars[0, 1_000:1_200] = np.nan
    bars[1, 1_500:1_530, 4] = 0.0
    bars[1, :7] = np.nan
    table = liquidity_table(bars, 1e-4)
    for row in range(2):
        one_by_one = [liquidity_at(bars[row], e, 1e-4) for e in range(bars.shape[1] + 1)]
        np.testing.assert_array_equal(table[row], np.array(one_by_one))


def test_the_shown_middles_are_those_of_a_minute_alone() -> None:
    minutes, start = 2_500, MINUTE + 7 * MINUTE_MS
    bars = np.array(make_market(2, minutes, gaps=0.1).bars)
    bars[0, 1_000:1_200] = np.nan
    bars[1, 1_500:1_530, 4] = 0.0
    bars[1, :7] = np.nan
    half = half_spreads(bars, start, 3.0, 50.0)
    floats, ints = np.array([[0.01, 1.0, 100.0], [0.5, 1.0, 10.0]]), np.zeros((2, 10), np.int64)
    ints[:, TICK_NUM] = 1, 5
    table = shown_table(bars, bars, half, start, floats, ints)
    seen = 0
    for row in range(2):
        for t in range(bars.shape[1]):
            close, volume = bars[row, t, 3:]
            # A bar, and a trade in it or in the quarter of an hour that ends with it.
            book = volume == volume and bool((bars[row, max(0, t - 14) : t + 1, 4] > 0.0).any())
            bps = half[row, hour_column(start, start + (t + 1) * MINUTE_MS)]
            bid, ask = best_ticks(close, half_spread_of(close, bps), floats[row, 0]) if book else (0, 0)
            expected = (
                (bid * ints[row, 0] / floats[row, 2] + ask * ints[row, 0] / floats[row, 2]) / 2.0 if book else np.nan
            )
            np.testing.assert_array_equal(table[row, t], expected)
            seen += book
    assert 0 < seen < 2 * minutes


def test_the_venues_limits_are_the_simulated_exchanges() -> None:
    limits = Limits()
    assert (limits.multiplier_up, limits.multiplier_down) == (
        Decimal(str(MULTIPLIER_UP)),
        Decimal(str(MULTIPLIER_DOWN)),
    )
    assert limits.average_minutes == AVERAGE_MINUTES
    assert (limits.max_notional, limits.max_notional_krw) == (MAX_NOTIONAL, MAX_NOTIONAL_KRW)


SCRIPT = """
import sys
from decimal import Decimal
from tests.support.engines import make_forecasts, make_market, make_settings
from tune.simulate import simulate
market = make_market(2, 30, gaps=0.05)
found = simulate(make_settings(2), market, make_forecasts(market), cash=Decimal(10_000))
text = found.equity.tobytes().hex() + repr(found.fills.rows()) + repr(found.orders.rows())
sys.stdout.write(text)
"""


def test_compiled_and_uncompiled_agree_bit_for_bit() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "NUMBA_DISABLE_JIT": off},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for off in ("0", "1")
    ]
    assert told[0] == told[1]
    assert "buy" in told[0]
