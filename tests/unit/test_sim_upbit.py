"""The pure parts of the simulated Upbit: trades from bars, a grid that follows the price, groups of requests."""

from decimal import Decimal as D

import numpy as np
import pytest

from core.costs import UNITS
from core.errors import Defect
from core.grid import upbit_tick
from core.messages import Top
from core.params import CostSettings
from core.units import MINUTE_MS, Instrument, Side
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.followed import FollowedMarket
from exchanges.simulated.orders import OrderRequest, OrderType
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.rules import default_rules
from exchanges.simulated.tape import Tape
from exchanges.simulated.upbit.budget import Allowance, GroupBudget
from exchanges.simulated.upbit.candles import TradeTape, fold
from exchanges.simulated.upbit.errors import UpbitRefusal
from exchanges.simulated.upbit.market import UpbitExchange, fine_rule, min_total, priced_rules, tick_of
from exchanges.simulated.upbit.tickers import Tickers
from exchanges.simulated.upbit.walk import krw_walk_tape

START = 1_767_225_600_000
BEGIN = START + 30 * MINUTE_MS
AT_ONCE = CostSettings(latency=False, participation=False)


@pytest.mark.parametrize("symbol", ["BTC/KRW", "DOGE/KRW", "USDT/KRW"])
def test_trades_seconds_and_minutes_add_up_to_the_tapes_bars(symbol):
    tape = krw_walk_tape((symbol,), START, 400, seed=9)
    venue = UpbitExchange(tape, {"KRW": D(1)}, START + 400 * MINUTE_MS)
    told = TradeTape(venue.market, venue.rules, lambda row, price: upbit_tick(symbol, price))
    empty = 0
    for minute in range(START, venue.now_ms, MINUTE_MS):
        bar, trades = tape.bar(0, minute), told.minute(0, minute)
        if bar.filler:
            empty += 1
            assert trades == []
            assert told.candle(0, minute, venue.now_ms) is None
            continue
        figures = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        for made in (*fold(trades, MINUTE_MS), told.candle(0, minute, venue.now_ms)):
            assert (made.open, made.high, made.low, made.close, made.volume) == figures
        seconds = fold(trades, 1_000)
        assert (max(s.high for s in seconds), min(s.low for s in seconds)) == (bar.high, bar.low)
        assert sum(s.volume for s in seconds) == pytest.approx(bar.volume, rel=1e-12)
        assert all(t.price % upbit_tick(symbol, float(t.price)) == 0 for t in trades)
    assert empty
    assert len(told.candles(0, 1, 500, venue.now_ms, venue.now_ms)) == 400 - empty


def orders(venue, seed: int):
    """A made-up hour of trading; every trade as (order, price, quantity, fee)."""
    rng = np.random.default_rng(seed)
    for _ in range(60):
        venue.advance_to(venue.now_ms + int(rng.integers(1, 90_000)), tops=False)
        side = Side.BUY if rng.random() < 0.5 else Side.SELL
        top = venue.top(0)
        away = int(rng.integers(-3, 4)) * 100
        kind, force = OrderType.LIMIT, ("GTC", "IOC", "FOK")[int(rng.integers(3))]
        price, money = (top.bid if side is Side.BUY else top.ask) + away, None
        if rng.random() < 0.3:
            kind, price, force = OrderType.MARKET, None, "GTC"
            money = D(int(rng.integers(5_000, 5_000_000))) if side is Side.BUY else None
        quantity = None if money else D(int(rng.integers(4_000_000, 300_000_000))) / UNITS
        request = OrderRequest(
            instrument=venue.instruments[0],
            side=side,
            type=kind,
            quantity=quantity,
            quote_quantity=money,
            price=price,
            time_in_force=force,
        )
        try:
            venue.place(request)
        except VenueRefusal:
            continue
    return [(t.order_id, t.price, t.quantity, t.fee, t.maker, t.at_ms) for t in venue.my_trades(0)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_where_the_step_never_changes_a_fine_grid_trades_as_the_plain_one_does(seed):
    tape = krw_walk_tape(("SOL/KRW",), START, 150, seed=seed)
    money = {"KRW": D(500_000_000), "SOL": D(300)}
    plain = SimulatedExchange(tape, tape.default_rules(), money, BEGIN, costs=CostSettings())
    priced = UpbitExchange(tape, money, BEGIN)
    assert (plain.rules[0].tick, priced.rules[0].tick) == (100, 10)
    made = orders(plain, seed)
    assert len(made) > 30
    assert made == orders(priced, seed)


def climbing() -> Tape:
    """From 9,900 to 10,120 KRW: the step changes from 5 to 10 on the way."""
    close = np.repeat(np.arange(9_900.0, 10_121.0, 20.0), 15)
    opened = np.concatenate([[9_900.0], close[:-1]])
    volume = np.full_like(close, 4_000.0)
    bars = np.stack([opened, np.maximum(opened, close), np.minimum(opened, close), close, volume], axis=1)
    return Tape((Instrument("upbit", "LINK/KRW"),), START, bars[None], synthetic=True)


def test_the_book_stands_on_the_step_of_the_moment():
    venue = UpbitExchange(climbing(), {"KRW": D(10_000_000)}, START + 20 * MINUTE_MS, AT_ONCE)
    assert venue.rules[0].tick == 1  # orders down to a fifth of the price may lie on it
    steps = set()
    while venue.now_ms < venue.market.end_ms - MINUTE_MS:
        venue.advance_to(venue.now_ms + 10 * MINUTE_MS, tops=False)
        price = venue.market.price(0, venue.now_ms)
        tick = upbit_tick("LINK/KRW", price)
        steps.add(tick)
        for side in venue.depth(0):
            assert side
            assert all(ticks % int(tick) == 0 for ticks, _ in side)
    assert steps == {D(5), D(10)}


def test_an_order_resting_off_the_new_grid_still_fills():
    venue = UpbitExchange(climbing(), {"KRW": D(10_000_000), "LINK": D(100)}, START + 20 * MINUTE_MS, AT_ONCE)
    request = OrderRequest(
        instrument=venue.instruments[0], side=Side.SELL, type=OrderType.LIMIT, quantity=D(5), price=D(9_985)
    )
    order = venue.place(request)
    venue.advance_to(venue.market.end_ms, tops=False)
    assert [(t.price, t.maker) for t in order.trades] == [(D(9_985), True)]


@pytest.mark.parametrize(("price", "step"), [(150_000_000, "1e-8"), (3_000, "1e-8"), (60, "1e-8"), (5, "1e-7")])
def test_lots_are_as_fine_as_at_the_venue_but_for_the_cheapest_coins(price, step):
    bars = np.tile([price, price, price, price, 1.0], (1, 10, 1))
    (rule,) = priced_rules(Tape((Instrument("upbit", "ABC/KRW"),), START, bars)).values()
    assert rule.step <= D(step)
    assert rule.max_qty / rule.step < 2**62
    assert D(1_000_000_000) / (rule.tick * rule.step) < 2**62


def test_a_coin_priced_in_coins_and_one_that_never_traded_have_a_grid_too():
    bars = np.tile([0.05, 0.051, 0.049, 0.05, 100.0], (2, 10, 1))
    bars[1] = np.nan
    tape = Tape((Instrument("upbit", "ETH/BTC"), Instrument("upbit", "NEW/KRW")), START, bars)
    priced, unlisted = priced_rules(tape).values()
    assert (priced.tick, priced.step) == (D("1e-8"), D("1e-8"))
    assert unlisted.tick == D("0.001")  # as if it stood at 1 KRW, down to a fifth of that


def test_a_market_that_is_watched_trades_on_the_step_of_each_orders_price():
    eth = Instrument("upbit", "ETH/KRW")
    rule = fine_rule(default_rules(eth, 1_050_000.0), 1_050_000.0, 1_050_000.0)
    market = FollowedMarket((eth,), {eth: rule}, START)
    venue = UpbitExchange(market, {"KRW": D(10_000_000)}, rules={eth: rule})
    market.observe_top(eth, Top(bid=1_050_000.0, bid_qty=3.0, ask=1_051_000.0, ask_qty=2.0, at_ms=START))
    assert [level[0] * rule.tick for level in (venue.depth(0)[0][0], venue.depth(0)[1][0])] == [1_050_000, 1_051_000]
    assert (tick_of(venue, 0, 1_050_000.0), tick_of(venue, 0, D(999_500)), min_total(venue, 0)) == (1_000, 500, 5_000)
    order = venue.place(
        OrderRequest(instrument=eth, side=Side.BUY, type=OrderType.LIMIT, quantity=D(1), price=D(999_500))
    )
    market.observe_top(eth, Top(bid=998_500.0, bid_qty=3.0, ask=999_500.0, ask_qty=2.0, at_ms=START + 1_500))
    venue.advance_to(START + 2_000)
    assert [(t.price, t.maker) for t in order.trades] == [(D(999_500), True)]
    with pytest.raises(Defect, match="brings its rules"):
        UpbitExchange(market, {})


class Watch:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def spent(budget, group="default", times=1):
    names = []
    for _ in range(times):
        try:
            budget.spend(group)
            names.append(200)
        except UpbitRefusal as refusal:
            names.append(refusal.status)
    return names


def test_a_group_has_so_many_a_second_and_a_new_second_begins_anew():
    watch = Watch()
    budget = GroupBudget(watch)
    assert spent(budget, "candle", 11) == [200] * 10 + [429]
    assert spent(budget, "ticker") == [200]
    assert (budget.left("candle"), budget.left("ticker")) == (0, 9)
    watch.now += 1.0
    assert budget.left("candle") == 10
    assert spent(budget, "order-cancel-all", 2) == [200, 429]
    watch.now += 1.0
    assert spent(budget, "order-cancel-all", 2) == [200, 429]


def test_patience_ends_in_a_block_that_doubles():
    watch = Watch()
    budget = GroupBudget(watch, Allowance(groups={"order": (1, 1.0)}, patience=3, block_s=30.0))
    assert spent(budget, "order", 5) == [200, 429, 429, 429, 418]
    watch.now += 29.0
    with pytest.raises(UpbitRefusal, match="초 동안 차단"):
        budget.spend("candle")
    watch.now += 2.0
    assert spent(budget, "order", 5) == [200, 429, 429, 429, 418]
    watch.now += 59.0
    assert spent(budget, "order") == [418]
    watch.now += 2.0
    assert spent(budget, "order") == [200]


def test_who_is_refused_now_and_then_is_not_blocked():
    watch = Watch()
    budget = GroupBudget(watch, Allowance(groups={"order": (1, 1.0)}, patience=3, patience_s=10.0))
    for _ in range(20):
        assert spent(budget, "order", 2) == [200, 429]
        watch.now += 5.0


def test_a_ticker_that_adds_up_minute_by_minute_equals_one_made_anew():
    """Over a midnight, over more than a day, and however seldom somebody looks."""
    begin = START - 5 * 3_600_000
    tape = krw_walk_tape(("BTC/KRW", "DOGE/KRW"), begin, 31 * 60, seed=3)
    venue = UpbitExchange(tape, {"KRW": D(1)}, begin)
    told = TradeTape(venue.market, venue.rules, lambda row, price: tick_of(venue, row, price))
    tickers, now, chance = Tickers(venue, told), begin, np.random.default_rng(1)
    while now < begin + 28 * 3_600_000:
        now += int(chance.choice([1_000, 60_000, 1_800_000, 7_200_000]))
        venue.advance_to(now)
        for row in (0, 1):
            assert tickers.row(row) == Tickers(venue, told).row(row)
