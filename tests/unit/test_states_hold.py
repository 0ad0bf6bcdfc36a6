"""Neither REDUCING nor HALTED adds exposure, both let exits pass, a halt ends buying at once, and orders never ask for more than is there.

Whole desks over markets and wishes by chance; what is judged is what the exchange took, not what risk says of itself.
"""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.messages import TradingState
from core.params import ExecutionSettings, RiskSettings, TradeSettings
from core.risk import Risk
from core.units import MINUTE_MS, Side
from exchanges.simulated.orders import OrderRequest
from tests.support.bad_days import ALGORITHMS
from tests.support.engines import make_market, make_settings
from tests.support.markets import BTC, ETH, SOL, intents, market, rules
from tests.support.story import Story

ROWS = (BTC, ETH, SOL)
RULES = {i: rules(i, step=Decimal("0.001"), min_qty=Decimal("0.001")) for i in ROWS}
TRADE = TradeSettings(instruments=tuple(map(str, ROWS)), invest_pct=60)
LASTING = "horizon_minutes"
"""How long an order may be worked, where that can be said."""
LIMITS = RiskSettings(rebalance_band_pct=0, max_orders_per_minute=1_000)


class Purse:
    """Stands before an exchange and adds up what our orders would cost if all of each filled at its limit."""

    def __init__(self, story: Story) -> None:
        self.story, self.asked = story, 0
        self._place = story.exchange.place
        story.exchange.place = self.place

    def place(self, request: OrderRequest):
        exchange, row = self.story.exchange, self.story.exchange.row(request.instrument)
        account, fee = exchange.account, exchange.rules[row].taker_fee
        if request.side is Side.BUY:
            assert request.quantity * request.price * (1 + fee) <= account.free(request.instrument.quote)
        else:
            assert request.quantity <= account.free(request.instrument.base)
        self.asked += 1
        return self._place(request)


def wishes(rng: np.random.Generator, rows: int) -> list[float]:
    """Anything a selector could say, and some things that it never should."""
    odd = [0.0, 1.0, math.nan, math.inf, -1.0, 7.0]
    return [float(rng.choice(odd)) if rng.random() < 0.3 else float(rng.random()) for _ in range(rows)]


def desk(seed: int, **changes) -> tuple[Story, np.random.Generator]:
    rng = np.random.default_rng(seed)
    made = make_market(3, 60, seed=seed, money=float(rng.choice([5_000.0, 5e5])), gaps=float(rng.choice([0.0, 0.1])))
    usual: dict[str, Any] = {"trade__invest_pct": 60, "trade__min_order_usdt": 10, "risk__rebalance_band_pct": 0}
    usual["execution__algorithm"] = str(rng.choice(ALGORITHMS))
    if LASTING in ExecutionSettings.model_fields and usual["execution__algorithm"] != "immediate":
        usual[f"execution__{LASTING}"] = int(rng.choice([1, 3]))
    return Story(made, wishes(rng, 3), make_settings(3, **{**usual, **changes})), rng


@pytest.mark.parametrize("seed", range(6))
def test_orders_never_ask_for_more_than_is_free_with_fees(seed):
    """Everything may be invested at once, so that the purse is the limit; sells pay for nothing before they filled."""
    everything = {"trade__invest_pct": 100, "risk__max_gross_pct": 100, "risk__max_position_pct": 100}
    story, rng = desk(seed, **everything, risk__max_order_pct=100)
    purse = Purse(story)
    for _ in range(30):
        story.play()
        story.wish(wishes(rng, 3))
    assert purse.asked >= 20
    assert story.holds("USDT") >= 0


@pytest.mark.parametrize("seed", range(6))
def test_reducing_never_adds_to_anything_and_a_halt_ends_buying_at_once(seed):
    """The states change in the middle of schedules, at any slice."""
    story, rng = desk(100 + seed)
    for _ in range(10):
        story.play()
        story.wish(wishes(rng, 3))
    reduced = bool(rng.random() < 0.5)
    at = int(rng.integers(1, 3))
    before: dict[str, Decimal] = {}

    def act(slot: int) -> None:
        if slot != at:
            return
        now = story.exchange.now_ms
        if not reduced:
            story.desk.risk.halt("anna", "news", now)
            story.executor.halt(now)
        before.update({i.base: story.holds(i.base) for i in story.market.instruments})
        before["orders"] = Decimal(len(story.orders(side=Side.BUY)))

    story.wish([1.0, 0.0, 1.0])
    story.play(act)
    if not before:
        # Worked at once, there is no middle.
        act(at)
    if reduced:
        story.desk.risk.reduce("anna", "weekend", story.exchange.now_ms)
        before.update({i.base: story.holds(i.base) for i in story.market.instruments})
        before["orders"] = Decimal(len(story.orders(side=Side.BUY)))
    held = sum(before[i.base] > 0 for i in story.market.instruments)
    sells = len(story.orders(side=Side.SELL))
    for _ in range(12):
        record = story.play()
        assert record.state == (TradingState.REDUCING if reduced else TradingState.HALTED).value
        story.wish(wishes(rng, 3))
        for i in story.market.instruments:
            assert story.holds(i.base) <= before[i.base]
            before[i.base] = story.holds(i.base)
    assert len(story.orders(side=Side.BUY)) == before["orders"]
    assert len(story.orders(side=Side.SELL)) > sells or not held, "wishes change every minute: some are exits"
    story.desk.risk.resume("anna", story.exchange.now_ms)
    story.wish([1.0, 1.0, 1.0])
    for _ in range(5):
        story.play()
    assert len(story.orders(side=Side.BUY)) > before["orders"]


finite = st.floats(0.0, 1.0)
amounts = st.lists(st.floats(0.0, 200.0), min_size=3, max_size=3)
prices = st.lists(st.floats(0.5, 5_000.0), min_size=3, max_size=3)
targets = st.lists(st.one_of(finite, st.sampled_from([math.nan, math.inf, -1.0, 1e9, 0.0])), min_size=3, max_size=3)


@settings(max_examples=150, deadline=None)
@given(prices, amounts, targets, st.floats(0.0, 1e6), st.sampled_from(list(TradingState)), st.booleans())
def test_in_no_market_does_a_state_let_through_what_it_forbids(mids, held, wanted, cash, state, limit):
    """Any prices, holdings, wishes and cash; the state set by a person or by a loss limit."""
    seen = market(ROWS, mids=tuple(mids), held=tuple(held), cash=cash)
    risk = Risk(TRADE, LIMITS, RULES)
    if state is TradingState.REDUCING and limit:
        risk.review(seen, intents(seen, (math.nan,) * 3))
        after = market(ROWS, mids=tuple(mids), held=tuple(held), cash=cash, minute=seen.minute + MINUTE_MS)
        seen = market(
            ROWS, mids=tuple(mids), held=tuple(held), cash=cash, minute=after.minute, equity=after.equity * 0.5
        )
        if not after.equity > 0:
            return
    elif state is TradingState.REDUCING:
        risk.reduce("anna", "weekend", seen.minute)
    elif state is TradingState.HALTED:
        risk.halt("anna", "news", seen.minute)
    verdicts = risk.review(seen, intents(seen, tuple(wanted)))
    assert verdicts.state is state
    for order in verdicts.approved:
        if state is not TradingState.ACTIVE:
            assert order.side is Side.SELL
        if order.side is Side.SELL:
            assert order.quantity <= seen.account.free("binance", order.instrument.base)
    # Whatever there is a book and a grid for may leave in every state.
    for row, instrument in enumerate(ROWS):
        free = seen.account.free("binance", instrument.base)
        if wanted[row] == 0.0 and float(free) * mids[row] > 60.0 and seen.equity > 0:
            assert any(o.instrument == instrument and o.side is Side.SELL for o in verdicts.approved)
    bought = [
        o.quantity * o.limit_price * (1 + RULES[o.instrument].taker_fee)
        for o in verdicts.approved
        if o.side is Side.BUY
    ]
    assert sum(bought, Decimal(0)) <= seen.account.free("binance", "USDT")


def test_thousands_of_random_accounts_keep_every_cap():
    """Recomputed in numpy, all at once, from nothing but the orders: held plus bought, each and together."""
    rng = np.random.default_rng(11)
    count = 2_000
    mids = np.exp(rng.uniform(np.log(0.5), np.log(5_000.0), (count, 3)))
    equity = np.exp(rng.uniform(np.log(200.0), np.log(1e6), count))
    share = rng.dirichlet((1.0, 1.0, 1.0, 2.0), count)
    held = np.where(rng.random((count, 3)) < 0.4, 0.0, share[:, :3] * equity[:, None] / mids)
    cash = equity - (held * mids).sum(axis=1)
    want = np.where(rng.random((count, 3)) < 0.2, np.nan, rng.random((count, 3)) * 1.3)
    change, dearest = np.zeros((count, 3)), np.zeros((count, 3))
    risk = Risk(TRADE, LIMITS, RULES)
    for n in range(count):
        seen = market(ROWS, mids=tuple(mids[n]), held=tuple(held[n]), cash=float(cash[n]), minute=n * MINUTE_MS)
        risk.resume("test", 0)
        for order in risk.review(seen, intents(seen, tuple(want[n]))).approved:
            row = ROWS.index(order.instrument)
            sign = 1.0 if order.side is Side.BUY else -1.0
            change[n, row] = sign * float(order.quantity)
            dearest[n, row] = max(sign, 0.0) * float(order.quantity * order.limit_price)
    worth, bought = held * mids, change > 0
    room = 1.0 + 1e-9
    # Sells of the same minute may fail: what is bought must fit without them.
    after = worth + np.where(bought, change * mids, 0.0)
    assert (dearest <= 0.10 * equity[:, None] * room).all()
    assert (after <= 0.15 * equity[:, None] * room)[bought].all()
    assert (after.sum(axis=1) <= 0.60 * equity * room)[bought.any(axis=1)].all()
    assert (dearest.sum(axis=1) * 1.001 <= cash * room)[bought.any(axis=1)].all()
    assert (-change <= held + 1e-9).all()
    assert bought.sum() > 500 and (change < 0).sum() > 500
