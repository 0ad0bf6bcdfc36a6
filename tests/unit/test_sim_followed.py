"""Paper trading's market: what was observed is all there is to trade against."""

from decimal import Decimal as D

import pytest

from core.messages import Bar, Sentiment, Top
from core.units import MINUTE_MS, Instrument, Side
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.followed import FollowedMarket
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.orders import OrderRequest, OrderType, Status
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.rules import default_rules

BTC = Instrument("binance", "BTC/USDT")
NOW = 1_767_225_600_000


def paper() -> tuple[SimulatedExchange, FollowedMarket]:
    rules = {BTC: default_rules(BTC, 60_000.0)}
    market = FollowedMarket((BTC,), rules, NOW)
    return SimulatedExchange(market, rules, {"USDT": D(10_000), "BTC": D(1)}), market


def top(bid, ask, at_ms=NOW, size=0.05) -> Top:
    return Top(bid=bid, bid_qty=size, ask=ask, ask_qty=size, at_ms=at_ms)


def buy(price, quantity, force="GTC") -> OrderRequest:
    return OrderRequest(
        instrument=BTC,
        side=Side.BUY,
        type=OrderType.LIMIT,
        quantity=D(quantity),
        price=D(price),
        time_in_force=force,
    )


def test_nothing_trades_before_a_top_was_seen_or_when_it_is_old():
    exchange, market = paper()
    with pytest.raises(VenueRefusal, match="Market is closed"):
        exchange.place(buy("60000", "0.01"))
    market.observe_top(BTC, top(59_999.99, 60_000.0))
    exchange.advance_to(NOW + 11_000)
    with pytest.raises(VenueRefusal, match="Market is closed"):
        exchange.place(buy("60000", "0.01"))


def test_an_order_gets_the_displayed_quantity_once_and_no_more():
    exchange, market = paper()
    market.observe_top(BTC, top(59_999.99, 60_000.0))
    first = exchange.place(buy("60100", "0.08", "IOC"))
    assert (first.status, first.executed_quantity) == (Status.EXPIRED, D("0.05"))
    assert {t.price for t in first.trades} == {D("60000.00")}
    assert exchange.place(buy("60100", "0.01", "IOC")).executed == 0
    market.observe_top(BTC, top(59_999.99, 60_000.0))
    assert exchange.place(buy("60100", "0.01", "IOC")).status is Status.FILLED


def test_a_resting_order_fills_when_the_market_comes_to_it():
    exchange, market = paper()
    market.observe_top(BTC, top(59_999.99, 60_000.0))
    order = exchange.place(buy("59990", "0.01"))
    market.observe_top(BTC, top(59_995.0, 59_995.01, NOW + 1_500))
    exchange.advance_to(NOW + 2_000)
    assert order.status is Status.NEW
    market.observe_top(BTC, top(59_989.99, 59_990.0, NOW + 2_300))
    market.observe_top(BTC, top(60_010.0, 60_010.01, NOW + 2_600))
    exchange.advance_to(NOW + 3_000)
    assert order.status is Status.FILLED
    assert (order.trades[0].price, order.trades[0].maker) == (D("59990"), True)


def test_what_was_seen_before_the_order_does_not_fill_it():
    exchange, market = paper()
    market.observe_top(BTC, top(59_000.0, 59_000.01, NOW - 500))
    market.observe_top(BTC, top(59_999.99, 60_000.0, NOW))
    order = exchange.place(buy("59990", "0.01"))
    exchange.advance_to(NOW + 4_000)
    assert order.status is Status.NEW


def test_bars_and_mood_pass_through_to_the_slice():
    exchange, market = paper()
    bar = Bar(minute=NOW, open=1.0, high=2.0, low=1.0, close=2.0, volume=3.0)
    market.observe_bar(BTC, bar)
    market.observe_sentiment(Sentiment(value=30.0, knowable_ms=NOW + 5))
    market.observe_top(BTC, top(59_999.99, 60_000.0, NOW + MINUTE_MS))
    venue = SimulatedVenue(exchange)
    assert venue.slice(NOW).bars == (None,)
    venue.advance_to(NOW + MINUTE_MS)
    seen = venue.slice(NOW)
    assert (seen.bars, seen.sentiment.value, seen.tops[0].ask) == ((bar,), 30.0, 60_000.0)


def test_a_quiet_market_stays_open_while_the_others_are_heard():
    other = Instrument("binance", "ETH/USDT")
    rules = {i: default_rules(i, 60_000.0) for i in (BTC, other)}
    market = FollowedMarket((BTC, other), rules, NOW)
    exchange = SimulatedExchange(market, rules, {"USDT": D(10_000)})
    market.observe_top(BTC, top(59_999.99, 60_000.0))
    exchange.advance_to(NOW + 30_000)
    market.observe_top(other, top(2_999.99, 3_000.0, NOW + 29_000))
    assert exchange.place(buy("60000", "0.01")).status is Status.FILLED
    assert market.shown == 2


def test_a_cut_stream_closes_the_market_and_an_empty_side_closes_one():
    exchange, market = paper()
    market.observe_top(BTC, top(59_999.99, 60_000.0))
    market.forget(BTC)
    with pytest.raises(VenueRefusal, match="Market is closed"):
        exchange.place(buy("60000", "0.01"))
    market.observe_top(BTC, top(59_999.99, 60_000.0))
    market.forget()
    assert market.shown == 0
    with pytest.raises(VenueRefusal, match="Market is closed"):
        exchange.place(buy("60000", "0.01"))
