"""A buy must be worth its cost: it shrinks, or is not sent, and the record says why."""

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cost_gate import Seen, cost_gate, gate_rows
from core.execution.estimate import marginal_cost, most_worth
from core.impact import IMPACT_MINUTES, PRIOR, ImpactLaw, flow_at
from core.messages import Market, Verdicts
from core.params import CostSettings, ExecutionSettings, RiskSettings, TradeSettings
from core.risk import Risk
from core.sizing import Limit, size_rows
from core.units import BPS, Side
from tests.support.markets import BTC, intents, market, rules, walk
from tests.unit.test_sizing import CAPS, rows

TRADE = TradeSettings(instruments=("binance:BTC/USDT",))
FEE = Decimal("0.001")


def moving(held: float = 0.0, volume: float = 200.0, **changes: object) -> Market:
    """One market around 100 that moves 10 bps a minute and trades ``volume`` coins in it, its book 1 bps wide."""
    bars = walk(240, 7, volatility=1e-3)
    bars[:, :4] *= 100.0 / bars[-1, 3]
    bars[:, 4] = volume
    return market((BTC,), mids=(100.0,), held=(held,), bars=bars[None], **changes)


def review(
    seen: Market, edge: float, target: float = 0.5, gate: str = "round_trip", law: ImpactLaw = PRIOR, stale: int = 3
) -> Verdicts:
    known = {BTC: rules(BTC, taker_fee=FEE)}
    execution = ExecutionSettings(cost_gate=gate)  # type: ignore[arg-type]
    risk = Risk(TRADE, RiskSettings(), known, gate=cost_gate(execution, CostSettings(), law), stale_minutes=stale)
    return risk.review(seen, replace(intents(seen, (target,)), edge_bps=np.array([edge])))


def test_a_forecast_below_the_cost_buys_nothing_and_says_so() -> None:
    verdicts = review(moving(), 20.5)
    assert not verdicts.approved
    (refused,) = verdicts.refused
    assert refused.reason.startswith("cost_gate: asked +1500.00 USDT, allowed 0.00 USDT")
    assert refused.arithmetic[-1] == "forecast 20.50 bps, the first unit costs 21.00 bps in and out again"


def test_a_buy_shrinks_to_where_one_more_unit_costs_what_the_forecast_earns() -> None:
    (free,) = review(moving(), 24.0, gate="off").approved
    (cut,) = review(moving(), 24.0).approved
    assert free.quantity > 4 * cut.quantity > 0
    volume, sigma = flow_at(moving().bars[0].copy(), 239, IMPACT_MINUTES)
    last = marginal_cost(float(cut.quantity), 0.5, 10.0, volume, sigma, PRIOR, 2.0)
    assert 23.9 < last <= 24.0
    names = [line.split(" ")[0] for line in cut.arithmetic]
    assert names[:2] == ["target", "held"] and names[-4:] == ["cost_gate", "buy", "expected", "forecast"]
    assert cut.arithmetic[-1] == f"forecast 24.00 bps, the last unit costs {last:.2f} bps in and out again"
    assert "half spread 0.50" in cut.arithmetic[-2] and "fee 10.00; 95% " in cut.arithmetic[-2]


def test_getting_in_alone_asks_for_less_than_the_round_trip() -> None:
    assert review(moving(), 18.0, gate="one_way").approved
    assert not review(moving(), 18.0).approved


def test_a_sale_always_passes_and_is_told_what_it_costs() -> None:
    (sale,) = review(moving(held=10.0), -500.0, target=0.0).approved
    assert (sale.side, sale.quantity) == (Side.SELL, Decimal("10.00000"))
    assert sale.arithmetic[-1].startswith("expected cost ")


def test_a_cost_that_is_not_known_is_not_risked() -> None:
    silent = moving()
    silent.bars[0, -61:, 4] = 0.0
    (refused,) = review(silent, 1e6).refused
    assert refused.reason.startswith("stale_minutes: ")
    # Also where a market may stand still for so long.
    verdicts = review(silent, 1e6, stale=100)
    assert not verdicts.approved
    assert "the first unit costs an unknown amount" in verdicts.refused[0].arithmetic[-1]
    assert not review(replace(moving(), bid=np.array([math.nan])), 1e6).approved


def test_without_a_forecast_there_is_nothing_to_hold_it_against() -> None:
    (order,) = review(moving(), math.nan).approved
    assert order.quantity == review(moving(), 100.0, gate="off").approved[0].quantity


def test_a_forecast_of_1e9_bps_buys_no_more_than_the_limits_let_through() -> None:
    (order,) = review(moving(), 1e9, target=1.0).approved
    assert order.quantity == review(moving(), 100.0, target=1.0, gate="off").approved[0].quantity


def test_the_law_that_was_learnt_is_the_one_that_holds() -> None:
    harder = review(moving(), 24.0, law=PRIOR._replace(coefficient=2.0)).approved[0].quantity
    softer = review(moving(), 24.0, law=PRIOR._replace(coefficient=0.5)).approved[0].quantity
    assert harder < review(moving(), 24.0).approved[0].quantity < softer


def test_what_is_left_below_the_least_order_is_not_sent() -> None:
    verdicts = review(moving(volume=0.5), 21.5)
    assert not verdicts.approved
    assert "cost_gate: asked +1500.00 USDT, allowed " in verdicts.refused[0].reason


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_gate_only_ever_takes_away(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 5))
    made = rows(
        count, target=rng.choice([0.0, 0.1, 0.5, math.nan], count), held=rng.choice([0.0, 5.0], count), cash=1e6
    )
    sized = size_rows(made, CAPS)
    before = sized.lots
    edge = rng.choice([-5.0, 12.0, 30.0, 1e9, math.nan], count)
    seen = Seen(edge, rng.uniform(0, 3, count), rng.choice([0.0, 3.0, 1e4], count), rng.choice([0.0, 1e-3], count))
    gate = cost_gate(ExecutionSettings(), CostSettings())
    sized = gate_rows(made, CAPS, gate, seen, sized)
    for i in range(count):
        if sized.lots[i] == before[i]:
            continue
        assert before[i] > 0.0 and 0.0 <= sized.lots[i] < before[i]
        assert sized.limit[i] == int(Limit.COST)
        most = most_worth(edge[i], seen.half_spread[i], made.fee[i] * BPS, seen.volume[i], seen.sigma[i], gate.law, 2.0)
        assert sized.lots[i] == 0.0 or sized.lots[i] * made.step[i] == pytest.approx(most, abs=made.step[i])
        assert sized.lots[i] == 0.0 or sized.lots[i] * made.step[i] * made.mid[i] >= CAPS.min_order
