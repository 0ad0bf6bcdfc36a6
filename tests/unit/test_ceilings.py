"""Ceilings: what moves much, what is unsure and what moves together is bought less; nothing is sold because of them."""

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.ceilings import (
    JOINT,
    VOLATILITY,
    CeilingRules,
    largest_scale,
    set_ceilings,
)
from core.features import WINDOW
from core.params import RiskSettings, TradeSettings
from core.risk import Risk
from core.sizing import CEILING, COIN, HELD, PRICE, RATE, TARGET, Caps, empty_rows
from core.units import Side
from core.volatility import MINUTES, ROOM, UNKNOWN_YEAR, YEAR_MINUTES
from tests.support.markets import BTC, ETH, SOL, flat, intents, market, rules

ROWS = (BTC, ETH, SOL)
RULES = {instrument: rules(instrument) for instrument in ROWS}
TRADE = TradeSettings(instruments=tuple(str(i) for i in ROWS), invest_pct=60)
OFF = {"max_position_volatility_pct": None, "target_volatility_pct": None, "kelly_fraction": None}
WIDE = {"max_order_pct": 100, "max_position_pct": 100, "max_gross_pct": 100}


def moving(a_minute: float, seed: int, price: float, shared: float = 0.0) -> np.ndarray:
    """(W, 5) bars of a random walk that ends at ``price``; ``shared``: how much of it is everybody's."""
    rng, common = np.random.default_rng(seed), np.random.default_rng(99)
    steps = a_minute * (
        math.sqrt(1 - shared**2) * rng.choice([-1.0, 1.0], WINDOW) + shared * common.choice([-1.0, 1.0], WINDOW)
    )
    close = np.cumprod(1.0 + steps)
    bars = flat(WINDOW, price, 10.0)
    bars[:, 3] = close / close[-1] * price
    return bars


def seen(*a_minute: float, shared: float = 0.0, held=(0.0, 0.0, 0.0), equity: float = 10_000.0):
    mids = (100.0, 50.0, 20.0)
    bars = np.stack([moving(v, 7 + k, m, shared) for k, (v, m) in enumerate(zip(a_minute, mids, strict=True))])
    return market(ROWS, mids=mids, held=held, bars=bars, equity=equity)


def bought(now, targets, edge=math.nan, spread=math.nan, **limits):
    """(USDT bought by coin, reasons or arithmetic by coin)."""
    asked = replace(intents(now, targets), edge_bps=np.full(3, edge), spread_bps=np.full(3, spread))
    verdicts = Risk(TRADE, RiskSettings(**{**OFF, **WIDE, **limits}), RULES).review(now, asked)
    worth = {a.instrument.base: float(a.quantity) * a.reference_price for a in verdicts.approved if a.side is Side.BUY}
    lines = {a.instrument.base: a.arithmetic for a in (*verdicts.approved, *verdicts.refused)}
    return worth, lines


def a_year(a_minute: float) -> float:
    return a_minute * math.sqrt(YEAR_MINUTES)


def test_a_position_brings_no_more_volatility_than_allowed():
    worth, lines = bought(seen(1e-3, 3e-3, 1e-3), (0.3, 0.3, math.nan), max_position_volatility_pct=10)
    assert worth["BTC"] == pytest.approx(10_000 * 0.10 / a_year(1e-3), abs=0.01)
    assert worth["ETH"] == pytest.approx(10_000 * 0.10 / a_year(3e-3), abs=0.01)
    share = 10 / a_year(3e-3)
    assert lines["ETH"][2:4] == (
        f"volatility {a_year(3e-3) * 100:.1f}% a year: at most {share:.2f}% of equity",
        f"max_position_volatility_pct allows {share * 100:.2f}",
    )
    calm, _ = bought(seen(1e-4, 1e-4, 1e-4), (0.1, math.nan, math.nan), max_position_volatility_pct=10)
    assert calm["BTC"] == pytest.approx(600.0, abs=0.01), "a calm market asks for no more than before"


def test_what_is_held_is_not_sold_because_of_a_ceiling():
    now = seen(3e-3, 1e-3, 1e-3, held=(10.0, 0.0, 0.0))
    asked = replace(intents(now, (0.3, math.nan, math.nan)))
    verdicts = Risk(TRADE, RiskSettings(**{**OFF, **WIDE, "max_position_volatility_pct": 5}), RULES).review(now, asked)
    assert verdicts.approved == ()
    assert verdicts.refused[0].reason.startswith("max_position_volatility_pct: asked +")


def in_shock(held: float, target: float = 0.3):
    """(orders, refusals) of BTC while it is in a shock, with ``held`` USDT of it there; 1,800 are wanted at 0.3."""
    now = seen(1e-4, 1e-4, 1e-4, held=(held / 100.0, 0.0, 0.0))
    asked = replace(intents(now, (target, math.nan, math.nan)), buy_scale=np.array([0.5, 1.0, 1.0]))
    verdicts = Risk(TRADE, RiskSettings(**{**OFF, **WIDE}), RULES).review(now, asked)
    return [float(a.quantity) * a.reference_price for a in verdicts.approved], verdicts


def test_a_shock_holds_back_purchases_and_sells_nothing():
    (bought,), _ = in_shock(0.0)
    assert bought == pytest.approx(900.0, abs=1.0)
    (more,), verdicts = in_shock(500.0)
    assert more == pytest.approx(400.0, abs=1.0)
    assert any(line.startswith("shock_scale allows 400") for line in verdicts.approved[0].arithmetic)
    for held in (900.0, 1_300.0):
        orders, verdicts = in_shock(held)
        assert orders == [], "neither cut nor grown"
        assert [r.reason.split(":")[0] for r in verdicts.refused] == ["shock_scale"]
    (sold,), verdicts = in_shock(1_300.0, target=0.1)
    assert verdicts.approved[0].side is Side.SELL and sold == pytest.approx(700.0, abs=1.0), "what the ensemble wants"


def test_of_what_too_little_is_known_counts_as_very_volatile():
    now = seen(1e-4, 1e-4, 1e-4)
    bars = now.bars.copy()
    bars[0, :-20] = np.nan
    worth, lines = bought(replace(now, bars=bars), (0.3, math.nan, math.nan), max_position_volatility_pct=10)
    assert worth["BTC"] == pytest.approx(10_000 * 0.10 / UNKNOWN_YEAR, abs=0.01)
    assert lines["BTC"][2] == "volatility 200.0% a year, assumed, as too little is known: at most 5.00% of equity"


def test_a_price_that_jumps_thirty_per_cent_is_not_bought_at_the_least_order():
    now = seen(1e-4, 1e-4, 1e-4)
    bars = now.bars.copy()
    bars[0, :-5, :4] *= 0.7
    worth, lines = bought(replace(now, bars=bars), (0.3, math.nan, math.nan), max_position_volatility_pct=5)
    assert worth == {}
    assert lines["BTC"][-1] == "max_position_volatility_pct allows 21.60"


def test_kelly_bounds_what_an_unsure_forecast_may_hold():
    # Mean 100 bps, spread 1000 bps: Kelly is 0.01 / 0.01 = all of the equity, a quarter of it 25 %.
    worth, lines = bought(seen(1e-4, 1e-4, 1e-4), (0.5, math.nan, math.nan), 100.0, 1_000.0, kelly_fraction=0.25)
    assert worth["BTC"] == pytest.approx(2_500, abs=0.01)
    assert lines["BTC"][2:4] == ("0.25 of Kelly: at most 25.00% of equity", "kelly_fraction allows 2500.00")
    sure, lines = bought(seen(1e-4, 1e-4, 1e-4), (0.5, math.nan, math.nan), 100.0, 100.0, kelly_fraction=0.25)
    assert sure["BTC"] == pytest.approx(3_000.0, abs=0.01)
    assert (
        lines["BTC"][2] == "0.25 of Kelly: 25.0 times the equity by mean and spread before costs, so it bounds nothing"
    )
    for edge, spread in ((-5.0, 40.0), (0.0, 40.0), (100.0, math.inf)):
        none, _ = bought(seen(1e-4, 1e-4, 1e-4), (0.5, math.nan, math.nan), edge, spread, kelly_fraction=0.25)
        assert none == {}


def portfolio_volatility(now, worth: dict[str, float]) -> float:
    """A year's, of the sample, by the whole covariance."""
    close = now.bars[:, -MINUTES - 1 :, 3]
    returns = close[:, 1:] / close[:, :-1] - 1.0
    shares = np.array([worth.get(i.base, 0.0) + p * m for i, p, m in zip(ROWS, now.position, now.mid, strict=True)])
    shares /= now.equity
    return float(math.sqrt(shares @ (returns @ returns.T / MINUTES) @ shares * YEAR_MINUTES))


@pytest.mark.parametrize("shared", [0.0, 0.95])
def test_what_moves_together_is_bought_less(shared):
    now = seen(2e-3, 2e-3, 2e-3, shared=shared)
    free, _ = bought(now, (1 / 3, 1 / 3, 1 / 3))
    worth, lines = bought(now, (1 / 3, 1 / 3, 1 / 3), target_volatility_pct=30)
    before, after = portfolio_volatility(now, free), portfolio_volatility(now, worth)
    assert before > 0.30
    assert after == pytest.approx(0.30, rel=1e-3)
    factor = worth["BTC"] / free["BTC"]
    assert worth["ETH"] / free["ETH"] == pytest.approx(factor, rel=1e-3)
    assert f"all positions together below 30% volatility a year: buys x {0.30 / before:.4f}" in lines["SOL"]
    if shared:
        apart, _ = bought(seen(2e-3, 2e-3, 2e-3), (1 / 3, 1 / 3, 1 / 3), target_volatility_pct=30)
        assert sum(worth.values()) < 0.8 * sum(apart.values())


def test_what_is_held_counts_and_nothing_is_bought_when_it_is_too_much_already():
    now = seen(2e-3, 2e-3, 2e-3, shared=0.9, held=(30.0, 0.0, 0.0))
    assert portfolio_volatility(now, {}) > 0.3
    worth, lines = bought(now, (math.nan, 1 / 3, math.nan), target_volatility_pct=30)
    assert worth == {}
    assert "all positions together below 30% volatility a year: buys x 0.0000" in lines["ETH"]
    some = seen(2e-3, 2e-3, 2e-3, shared=0.9, held=(10.0, 0.0, 0.0))
    worth, _ = bought(some, (math.nan, 1 / 3, math.nan), target_volatility_pct=30)
    assert portfolio_volatility(some, worth) == pytest.approx(0.30, rel=1e-3)


@example(2.220446049250313e-16, 2.220446049250313e-16, 3.0, 3.0)
@given(st.floats(0, 10), st.floats(-5, 5), st.floats(0, 10), st.floats(0, 10))
@settings(max_examples=300, deadline=None)
def test_the_largest_factor_that_keeps_the_bound(own, cross, new, allowed):
    if own * new < cross * cross:
        return  # no covariance looks like this
    scale = largest_scale(own, cross, new, allowed)
    assert 0.0 <= scale <= 1.0
    risk = lambda s: own + 2 * s * cross + s * s * new  # noqa: E731
    if scale > 0.0:
        assert risk(scale) <= allowed * (1 + 1e-9) + 1e-9
    better = [s for s in np.linspace(0.0, 1.0, 201) if s > scale + 1e-3 and risk(s) <= allowed - 1e-9]
    if own <= allowed:
        assert not better


def test_a_cap_of_its_own_bounds_an_instrument():
    trade = TradeSettings(instruments=TRADE.instruments, invest_pct=60, max_pct={"binance:ETH/USDT": 4})
    now = seen(1e-4, 1e-4, 1e-4)
    verdicts = Risk(trade, RiskSettings(**OFF), RULES).review(now, intents(now, (0.1, 0.1, math.nan)))
    worth = {a.instrument.base: a.quantity * Decimal(repr(a.reference_price)) for a in verdicts.approved}
    assert float(worth["ETH"]) == pytest.approx(400.0, abs=0.01)
    assert float(worth["BTC"]) == pytest.approx(600.0, abs=0.01)
    with pytest.raises(ValueError, match="not among the instruments"):
        TradeSettings(instruments=("binance:BTC/USDT",), max_pct={"binance:ETH/USDT": 4})


SPAN = 700
"""Minutes of ``test_many_minutes_in_one_room_...``: several times what a volatility is kept for."""


def gappy(seed: int) -> np.ndarray:
    """(4, SPAN, 5) bars that move now a little and now much, all together, so that none makes up for another; some minutes
    missing, one listed late."""
    rng = np.random.default_rng(seed)
    size = 1e-3 * (1.0 + 4.0 * (np.sin(np.arange(SPAN) / 60.0) > 0.6)) * (1.0 + np.arange(4)[:, None])
    bars = np.full((4, SPAN, 5), 10.0)
    bars[:, :, :4] = np.cumprod(1.0 + size * rng.standard_normal(SPAN), axis=1)[:, :, None] * 100.0
    bars[rng.random((4, SPAN)) < 0.03] = np.nan
    bars[2, 300:340] = np.nan
    bars[3, :380] = np.nan  # so that it moves much as soon as it is known
    return bars


def joint_of(close: np.ndarray, worth: np.ndarray, part: np.ndarray, allowed: float) -> float:
    """The factor of all buys: from the returns of the last minutes of (4, n) closes, all of them added up."""
    own = cross = new = 0.0
    held, bought = np.zeros(MINUTES), np.zeros(MINUTES)
    unknown = UNKNOWN_YEAR**2 / YEAR_MINUTES * MINUTES
    for row in range(len(close)):
        known = close[row][np.isfinite(close[row])]
        filled = close[row].copy()
        for k in range(1, len(filled)):
            filled[k] = filled[k] if filled[k] == filled[k] else filled[k - 1]
        newest = filled[-MINUTES - 1 :]
        moved = newest[1:] / newest[:-1] - 1.0
        if not len(known) or np.isfinite(newest[:-1]).sum() < 30:
            own, cross, new = (
                own + worth[row] ** 2 * unknown,
                cross + worth[row] * part[row] * unknown,
                new + part[row] ** 2 * unknown,
            )
            continue
        moved = np.concatenate([np.zeros(MINUTES - len(moved)), np.where(np.isfinite(moved), moved, 0.0)])
        held, bought = held + worth[row] * moved, bought + part[row] * moved
    return largest_scale(
        own + held @ held, cross + held @ bought, new + bought @ bought, allowed**2 / YEAR_MINUTES * MINUTES
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_many_minutes_in_one_room_find_what_each_finds_alone_and_the_returns_say(seed):
    """What is kept of a volatility from minute to minute decides only whether there is anything to add up."""
    bars, rng = gappy(seed), np.random.default_rng(seed)
    caps = Caps(10_000.0, 1.0, 50.0, 1.0, 1.0, 1.0, 0.01, 0.003, 20.0)
    allowed = 1.3
    limits = CeilingRules(math.inf, allowed, math.inf, True)
    none, ones, room = np.full(4, math.nan), np.ones(4), np.zeros((6, ROOM))
    joints, last = [], np.full(4, math.nan)
    for index in range(SPAN):
        last = np.where(np.isfinite(bars[:, index, 3]), bars[:, index, 3], last)
        price = np.where(np.isfinite(last), last, 100.0)
        held = rng.uniform(0.0, 0.3, 4)
        # Mostly the first alone is bought, and of the others is known what was kept.
        target = np.where(rng.random(4) < [0.9, 0.0, 0.01, 0.01], rng.uniform(0.0, 0.6, 4), math.nan)
        found = []
        for kept in (room, np.zeros((6, ROOM))):
            _, floats, marks = empty_rows(4)
            floats[TARGET], floats[HELD], floats[PRICE], floats[RATE] = target, held * 10_000.0 / price, price, 1.0
            marks[COIN] = np.arange(4)
            told = np.full((3, 4), math.nan)
            set_ceilings(floats, marks, caps, limits, none, none, ones, bars, np.zeros((4, 0)), index, kept, told)
            found.append((floats[CEILING].tobytes(), marks.tobytes(), told.tobytes()))
        assert found[0] == found[1], index
        worth = held * 10_000.0 / price * price / 10_000.0
        part = np.where(target - worth > 0.01, target - worth, 0.0)
        if (part > 0.0).any():
            expected = joint_of(bars[:, : index + 1, 3], worth, part, allowed)
            buys = part > 0.0
            assert told[JOINT, buys] == pytest.approx(np.full(buys.sum(), expected), rel=1e-9), index
            assert (told[VOLATILITY, buys] > 0.0).all() or index == 0
            joints.append(expected)
    bound = np.array(joints) < 1.0
    assert 0.1 < bound.mean() < 0.9, "some minutes shrink what is bought, and some do not"


def test_what_is_kept_of_a_market_listed_lately_says_nothing_of_its_next_minutes():
    """Until enough is known it counts as ``UNKNOWN_YEAR``. It may have moved more than that all the while, so that this is
    no bound on what its returns say once they are known."""
    size = 330
    bars = np.full((2, size, 5), 100.0)
    bars[1, :200] = np.nan
    moves = np.where(np.arange(size) % 2, 0.03, -0.03)
    bars[1, 200:, :4] = (100.0 * np.cumprod(1.0 + moves[200:]))[:, None]
    caps = Caps(10_000.0, 1.0, 50.0, 1.0, 1.0, 1.0, 0.01, 0.003, 20.0)
    none, ones, room = np.full(2, math.nan), np.ones(2), np.zeros((4, ROOM))
    for allowed in (1.8, 2.5, 4.0):
        joints = []
        for index in range(220, size):
            found = []
            for kept in (room, np.zeros((4, ROOM))):
                _, floats, marks = empty_rows(2)
                price = bars[:, index, 3]
                floats[TARGET], floats[HELD] = (0.5, math.nan), (0.0, 0.5 * 10_000.0 / price[1])
                floats[PRICE], floats[RATE] = price, 1.0
                marks[COIN] = np.arange(2)
                told = np.full((3, 2), math.nan)
                limits = CeilingRules(math.inf, allowed, math.inf, True)
                set_ceilings(floats, marks, caps, limits, none, none, ones, bars, np.zeros((2, 0)), index, kept, told)
                found.append((floats[CEILING].tobytes(), told[JOINT].tobytes()))
            assert found[0] == found[1], (allowed, index)
            joints.append(told[JOINT, 0])
        assert min(joints) < 1.0, allowed
