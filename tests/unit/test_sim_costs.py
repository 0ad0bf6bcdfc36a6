"""What an order costs at the simulated exchange, one part at a time: latency, the cap, halts, fees, switches."""

from dataclasses import replace
from decimal import Decimal as D
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.costs import terms_of
from core.impact import average_impact
from core.liquidity import liquidity_at
from core.params import CostSettings
from core.path import price_at
from core.units import BPS, MINUTE_MS, Instrument, Side
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.orders import OrderRequest, OrderType, SimOrder, Status
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.tape import Tape
from exchanges.simulated.walk import random_walk_tape

START = 1_767_225_600_000
BEGIN = START + 130 * MINUTE_MS
"""The first 130 minutes are there for the windows to fill."""
NOW = 130
"""Index of the minute that begins at BEGIN."""
BTC = Instrument("binance", "BTC/USDT")
MONEY = {"USDT": D(10_000_000), "BTC": D(100)}
PARTS = ("fees", "spread", "impact", "latency", "participation", "min_notional", "halts", "rounding")


@cache
def walk(symbol: str) -> Tape:
    return random_walk_tape((symbol,), START, 140, seed=23)


def tape(change=None, symbol="BTC/USDT") -> Tape:
    made = walk(symbol)
    bars = np.array(made.bars)
    # A dearer market than the walk: it opens away from where it closed, so the bars tell of a spread.
    bars[0, :, 0] = np.clip(bars[0, :, 0] * (1 + 2e-4 * np.random.default_rng(1).normal(size=140)), *bars[0, :, [2, 1]])
    if change is not None:
        change(bars[0])
    return Tape(made.instruments, START, bars)


def exchange(change=None, money=MONEY, symbol="BTC/USDT", **parts) -> SimulatedExchange:
    played, costs = tape(change, symbol), CostSettings(**parts)
    return SimulatedExchange(played, played.default_rules(costs), money, BEGIN, costs=costs)


def only(*parts: str) -> dict[str, bool]:
    """Nothing but these."""
    return {part: part in parts for part in PARTS}


def order(venue: SimulatedExchange, side: Side, quantity, price=None, force="IOC") -> SimOrder:
    rule = venue.rules[0]
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    lots = D(str(quantity)) // rule.step * rule.step
    request = OrderRequest(
        instrument=rule.instrument, side=side, type=kind, quantity=lots, price=price, time_in_force=force
    )
    return venue.place(request)


def mean_price(made: SimOrder) -> float:
    return float(made.quote_executed / made.executed_quantity)


# Latency


def test_an_order_never_gets_the_close_it_saw():
    def jumped(bars):
        bars[NOW, 0] *= 1.01
        bars[NOW, 1] = max(bars[NOW])

    venue = exchange(jumped, **only("latency"))
    seen = venue.top(0)
    close = venue.market.tape.bars[0, NOW - 1, 3]
    assert float(seen.bid) <= close <= float(seen.ask)
    made = order(venue, Side.BUY, 1)
    assert mean_price(made) == pytest.approx(price_at(*venue.market.tape.bars[0, NOW, :4], 86), rel=1e-6)
    assert mean_price(made) > close * 1.009
    assert {trade.at_ms for trade in made.trades} == {BEGIN + 86}
    # The clock has not moved, and nothing of the later price is on display.
    assert venue.now_ms == BEGIN
    assert (venue.top(0).bid, venue.top(0).ask) == (seen.bid, seen.ask)


def test_a_limit_that_the_market_ran_away_from_is_not_filled():
    def jumped(bars):
        bars[NOW, :4] *= 1.01

    seen = exchange(**only("latency")).top(0)
    venue = exchange(jumped, **only("latency"))
    made = order(venue, Side.BUY, 1, price=seen.ask)
    assert (made.status, made.executed) == (Status.EXPIRED, 0)
    assert venue.account.free("USDT") == MONEY["USDT"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60_000))
def test_matching_looks_no_further_than_the_latency(latency_ms, elapsed):
    """A tape that is another one after the minute of the match gives the same fills."""
    at = BEGIN + elapsed

    def later(bars):
        bars[NOW + (elapsed + latency_ms) // MINUTE_MS + 1 :, :4] *= 1.3

    def filled(change):
        venue = exchange(change, latency_ms=latency_ms)
        venue.advance_to(at)
        return order(venue, Side.SELL, "0.05").trades

    assert filled(None) == filled(later)
    assert all(trade.at_ms == at + latency_ms for trade in filled(None))


def test_a_resting_order_stands_in_the_queue_only_once_it_arrived():
    def dips(bars):
        price = bars[NOW - 1, 3]
        bars[NOW, :4] = price, price, price * 0.99, price

    def filled_ms(latency_ms, sent):
        venue = exchange(dips, latency_ms=latency_ms, impact=False)
        price = round(venue.top(0).bid * D("0.994"), 2)
        venue.advance_to(BEGIN + sent)
        made = order(venue, Side.BUY, "0.001", price=price, force="GTC")
        venue.advance_to(BEGIN + MINUTE_MS)
        return made.trades[0].at_ms - BEGIN

    # The price is there after 12 of the 20 seconds down.
    assert 12_000 <= filled_ms(0, sent=0) <= 14_000
    assert filled_ms(86, sent=0) == filled_ms(0, sent=0)
    # It came to the queue while that second ran: the next one is its first.
    arrival = filled_ms(0, sent=0) - 500
    assert filled_ms(6_000, sent=arrival - 6_000) == filled_ms(0, sent=0) + 1_000
    # Where the price has passed its limit when it comes, it takes.
    assert filled_ms(9_500, sent=5_000) == 14_500


def test_without_latency_it_gets_what_it_saw():
    venue = exchange(latency=False, impact=False)
    seen = venue.top(0)
    assert {t.price for t in order(venue, Side.BUY, "0.01").trades} == {seen.ask}
    assert {t.price for t in order(venue, Side.SELL, "0.01").trades} == {seen.bid}


# Spread and impact


@pytest.mark.parametrize("side", list(Side))
def test_a_market_order_pays_half_the_spread_and_the_law(side):
    venue = exchange(**only("spread", "impact", "rounding", "halts"))
    bars = venue.market.tape.bars[0]
    top, close = venue.top(0), float(bars[NOW - 1, 3])
    volume, sigma = liquidity_at(bars, NOW, 1e-4)
    made = order(venue, side, 0.05 * volume)
    law = average_impact(1.0, float(made.executed_quantity), volume, sigma)
    touch = float(top.ask if side is Side.BUY else top.bid)
    beyond = abs(mean_price(made) - touch) / close
    assert beyond == pytest.approx(law, rel=0.02)
    half = float(top.ask - top.bid) / 2 / close * BPS
    column = venue.market._half_bps[0, 2]
    assert half == pytest.approx(column, abs=0.5 * 0.01 / close * BPS)
    assert column > 0.1


def test_own_takes_cost_more_within_the_minute_and_are_forgotten_after_it():
    # A quiet price, so that only the book's depth decides.
    def flat(bars):
        bars[NOW:, :4] = bars[NOW - 1, 3]

    venue = exchange(flat, **only("impact", "halts"))
    volume, _ = liquidity_at(venue.market.tape.bars[0], NOW, 1e-4)
    first, second = (order(venue, Side.BUY, 0.02 * volume) for _ in range(2))
    assert mean_price(second) > mean_price(first)
    whole = exchange(flat, **only("impact", "halts"))
    both = order(whole, Side.BUY, 0.04 * volume)
    assert float(both.quote_executed) == pytest.approx(float(first.quote_executed + second.quote_executed), rel=1e-7)
    venue.advance_to(BEGIN + MINUTE_MS)
    assert mean_price(order(venue, Side.BUY, 0.02 * volume)) == pytest.approx(mean_price(first), rel=3e-5)


# The cap


def test_no_more_than_a_share_of_the_minute_is_taken_on_a_side():
    venue = exchange(impact=False, max_participation_pct=5)
    step = venue.rules[0].step
    cap = int(0.05 * venue.market.tape.bars[0, NOW, 4] / float(step)) * step
    first = order(venue, Side.BUY, 0.6 * float(cap))
    assert first.status is Status.FILLED
    second = order(venue, Side.BUY, float(cap))
    assert second.status is Status.EXPIRED
    assert first.executed_quantity + second.executed_quantity == cap
    assert order(venue, Side.BUY, cap).executed == 0
    # The other side has its own, and the next minute a new one.
    assert order(venue, Side.SELL, cap).status is Status.FILLED
    venue.advance_to(BEGIN + MINUTE_MS)
    assert order(venue, Side.BUY, 0.01).executed > 0


def test_the_cap_is_of_the_minute_in_which_the_order_acts():
    """Sent 50 ms before the minute ends, it acts in the next one; nobody is shown that minute's volume."""

    def thin(bars):
        bars[NOW + 1, 4] = 0.4

    venue = exchange(thin, impact=False, max_participation_pct=10)
    venue.advance_to(BEGIN + MINUTE_MS - 50)
    shown = venue.depth(0)
    made = order(venue, Side.BUY, 1)
    assert made.executed_quantity == D("0.04")
    assert {t.at_ms for t in made.trades} == {BEGIN + MINUTE_MS + 36}
    assert venue.depth(0) == shown, "what was taken of a later minute's book is still there in this one's"


def test_a_resting_order_counts_to_the_cap_as_well():
    def falls(bars):
        bars[NOW, 1:4] = bars[NOW, 1] * 1.001, bars[NOW, 2] * 0.98, bars[NOW, 2] * 0.99

    def bought(cap):
        venue = exchange(falls, impact=False, participation=cap)
        bid = venue.top(0).bid
        made = order(venue, Side.BUY, 5, price=bid - 50, force="GTC")
        venue.advance_to(BEGIN + MINUTE_MS)
        return made.executed_quantity, venue

    capped, venue = bought(True)
    assert bought(False)[0] == 5
    assert 0 < float(capped) == pytest.approx(0.1 * venue.market.tape.bars[0, NOW, 4], abs=1e-5)


def test_without_the_cap_the_whole_order_is_filled():
    venue = exchange(impact=False, participation=False)
    assert order(venue, Side.BUY, 99).status is Status.FILLED


# Halts and empty minutes


def halt(bars):
    bars[NOW : NOW + 2] = np.nan


def silent(bars):
    bars[NOW, :4], bars[NOW, 4] = bars[NOW - 1, 3], 0.0


def test_an_order_that_meets_a_halt_or_silence_is_not_filled():
    for change in (halt, silent):
        venue = exchange(change)
        made = order(venue, Side.BUY, "0.01")
        assert (made.status, made.executed) == (Status.EXPIRED, 0)
        assert venue.account.free("USDT") == MONEY["USDT"]
    venue = exchange(halt)
    venue.advance_to(BEGIN + 15_000)
    with pytest.raises(VenueRefusal, match="Market is closed"):
        order(venue, Side.BUY, "0.01")


def test_an_order_that_would_act_after_the_tape_is_not_filled():
    venue = exchange()
    venue.advance_to(START + 140 * MINUTE_MS)
    assert order(venue, Side.BUY, "0.01").executed == 0


def test_without_halts_it_trades_at_the_last_close():
    for change in (halt, silent):
        venue = exchange(change, halts=False, spread=False, impact=False, rounding=True)
        venue.advance_to(BEGIN + 15_000)
        made = order(venue, Side.BUY, "50")
        assert made.status is Status.FILLED
        close = venue.market.tape.bars[0, NOW - 1, 3]
        assert mean_price(made) == pytest.approx(close, abs=0.011)
        assert venue.market.bar(0, BEGIN, BEGIN + MINUTE_MS) == venue.market.tape.bar(0, BEGIN)


def test_a_market_without_known_volume_has_no_book():
    def dead(bars):
        bars[NOW - 15 : NOW, 4] = 0.0

    venue = exchange(dead)
    assert venue.depth(0) == ((), ())
    assert venue.top(0) is None
    assert order(venue, Side.BUY, "0.01").executed == 0


# Fees


def test_fees_paid_in_bnb_come_from_the_quote_balance():
    venue = exchange(fee_paid_in="bnb", impact=False)
    made = order(venue, Side.BUY, "0.5")
    (trade,) = made.trades
    assert trade.fee == trade.quote_quantity * D("0.00075")
    assert trade.fee_asset == "USDT"
    assert venue.account.free("BTC") == 100 + D("0.5")
    assert venue.account.free("USDT") == MONEY["USDT"] - trade.quote_quantity - trade.fee
    (sold,) = order(venue, Side.SELL, "0.5").trades
    assert venue.account.free("BTC") == 100
    assert sold.fee == sold.quote_quantity * D("0.00075")
    assert venue.account.locked("USDT") == venue.account.locked("BTC") == 0


def test_a_buy_whose_fee_comes_on_top_needs_the_money_for_it():
    price = exchange().top(0).ask + 500
    need = D("0.1") * price
    for money, taken in ((need, False), (need * D("1.00075"), True)):
        venue = exchange(money={"USDT": money}, fee_paid_in="bnb", impact=False)
        if taken:
            assert order(venue, Side.BUY, "0.1", price=price).status is Status.FILLED
            assert venue.account.free("USDT") >= 0
        else:
            with pytest.raises(VenueRefusal, match="insufficient balance"):
                order(venue, Side.BUY, "0.1", price=price)
            assert venue.account.free("USDT") == money


def test_an_upbit_market_trades_on_its_tick_and_pays_in_won():
    played = random_walk_tape(("DOGE/KRW",), START, 140, seed=3, venue="upbit")
    bars = np.array(played.bars)
    bars[..., :4] *= 30
    played = replace(played, bars=bars)
    venue = SimulatedExchange(played, played.default_rules(), {"KRW": D(1_000_000)}, BEGIN)
    made = order(venue, Side.BUY, 100)
    assert venue.rules[0].tick == 1
    assert made.executed > 0
    assert all(t.price == int(t.price) and t.fee_asset == "KRW" for t in made.trades)
    assert all(
        t.fee == (t.quote_quantity * D("0.0005")).quantize(D("1e-8"), rounding="ROUND_DOWN") for t in made.trades
    )


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Side)),
            st.sampled_from(["IOC", "GTC", "FOK", "money"]),
            st.integers(1, 300_000),
            st.integers(-500, 500),
            st.integers(0, 30_000),
        ),
        min_size=1,
        max_size=15,
    ),
    st.sampled_from(["received", "bnb"]),
)
def test_nothing_is_made_or_lost_under_any_fee(actions, paid_in):
    venue = exchange(money={"USDT": D(60_000), "BTC": D(1)}, fee_paid_in=paid_in)
    for side, force, size, away, wait in actions:
        try:
            if force == "money":
                kind = {"type": OrderType.MARKET, "quote_quantity": D(size)}
            else:
                price = D(round(float(venue.market.tape.bars[0, NOW, 0]))) + away
                kind = {"type": OrderType.LIMIT, "quantity": D(size) * D("0.00001"), "price": price}
                kind["time_in_force"] = force
            venue.place(OrderRequest(instrument=BTC, side=side, **kind))
        except VenueRefusal:
            pass
        venue.advance_to(venue.now_ms + wait)
        coins, money = D(1), D(60_000)
        for trade in venue.trades[0]:
            sign = 1 if trade.side is Side.BUY else -1
            coins += sign * trade.quantity - (trade.fee if trade.fee_asset == "BTC" else 0)
            money -= sign * trade.quote_quantity + (trade.fee if trade.fee_asset == "USDT" else 0)
        account = venue.account
        assert account.free("BTC") + account.locked("BTC") == coins
        assert account.free("USDT") + account.locked("USDT") == money
        live = venue.open_orders()
        assert account.locked("USDT") == sum(o.locked for o in live if o.side is Side.BUY)
        assert account.locked("BTC") == sum(o.remaining * o.step for o in live if o.side is Side.SELL)
    venue_orders = list(venue.orders.values())
    assert all(o.locked == 0 for o in venue_orders if not o.live)


# Switches


@pytest.mark.parametrize("part", ["fees", "spread", "impact", "rounding"])
def test_each_part_costs_something_and_nothing_is_free_without_it(part):
    """A round trip loses less without the part; without any it loses next to nothing."""

    def lost(costs):
        venue = exchange(money={"USDT": D(100_000)}, symbol="XRP/USDT", **costs)
        bought = order(venue, Side.BUY, "5000")
        order(venue, Side.SELL, venue.account.free("XRP"))
        left = venue.account.free("XRP") * D(str(mean_price(bought)))
        return float(D(100_000) - venue.account.free("USDT") - left)

    nothing = lost(only())
    assert abs(nothing) < 0.15
    assert lost(only(part)) > nothing


def test_the_smallest_value_can_be_switched_off():
    with pytest.raises(VenueRefusal, match="NOTIONAL"):
        order(exchange(), Side.BUY, "0.00002", price=D(60_000))
    assert order(exchange(min_notional=False), Side.BUY, "0.00002", price=D(70_000)).executed == 2


def test_terms_of_the_default_settings_are_what_the_page_says():
    terms = terms_of(CostSettings())
    assert (terms.latency_ms, terms.share, terms.half_spread_default_bps) == (86, 0.1, 2.0)
