"""Minutes of the real Binance, as they were recorded, seen by a paper market with orders that rest in it."""

from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path

import orjson
import pytest

from core.messages import Top
from core.units import Instrument, Side
from exchanges.book import KeptBook, Snapshot
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.followed import FollowedMarket
from exchanges.simulated.orders import OrderRequest, OrderType, SimOrder
from exchanges.simulated.recording import Line, merged
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.rules import default_rules
from exchanges.trade import Trade

BTC = Instrument("binance", "BTC/USDT")
RULES = {BTC: default_rules(BTC, 60_000.0)}
EVERY_MS, PATIENCE_MS = 5_000, 20_000
QUANTITY = D("0.05")
DEEPER = (0, 1, 40)
"""Ticks behind the best price at which orders are placed."""


class Played:
    """The recording told to a paper market line by line, and orders placed at the touch and behind it."""

    def __init__(self, path: Path) -> None:
        self.market = FollowedMarket((BTC,), RULES, next(merged([path])).at_ns // 1_000_000)
        self.exchange = SimulatedExchange(self.market, RULES, {"USDT": D(10_000_000), "BTC": D(100)})
        self.book = KeptBook()
        self.top: Top | None = None
        self.now_ms = self.market.start_ms
        self.trades: list[Trade] = []
        self.orders: list[tuple[SimOrder, int]] = []
        """With how many trades had been heard when it came."""
        self.ended: dict[int, int] = {}
        """Order number to how many had been heard when it was gone."""

    def play(self, lines: Iterator[Line]) -> None:
        due_ms = self.now_ms + EVERY_MS
        for line in lines:
            self.now_ms = max(self.now_ms, line.at_ns // 1_000_000)
            self._hear(line)
            if self.now_ms >= due_ms and self.book.live and self.top is not None:
                due_ms += EVERY_MS
                self.exchange.advance_to(self.now_ms)
                self._trade()
        self.exchange.advance_to(self.now_ms)

    def _hear(self, line: Line) -> None:
        told = orjson.loads(line.payload)
        kind = line.stream.partition("@")[2]
        if not kind:
            self.book.snapshot(Snapshot(told["lastUpdateId"], _levels(told["bids"]), _levels(told["asks"])))
        elif kind.startswith("depth"):
            self.book.diff(told["U"], told["u"], _levels(told["b"]), _levels(told["a"]))
            if self.book.live:
                self.market.observe_book(BTC, *self.book.book.levels(20), self.now_ms)
            else:
                self.market.lose_book(BTC)
        elif kind == "bookTicker":
            words = {"bid": "b", "bid_qty": "B", "ask": "a", "ask_qty": "A"}
            self.top = Top(**{name: float(told[key]) for name, key in words.items()}, at_ms=self.now_ms)
            self.market.observe_top(BTC, self.top)
        elif kind == "trade":
            price, quantity = float(told["p"]), float(told["q"])
            self.trades.append(Trade(id=told["t"], price=price, quantity=quantity, at_ms=told["T"], sold=told["m"]))
            self.market.observe_trade(BTC, self.trades[-1])

    def _trade(self) -> None:
        for order, _ in self.orders:
            if order.live and self.now_ms - order.rest_ms >= PATIENCE_MS:
                self.exchange.cancel(0, order.order_id)
                self.ended[order.order_id] = len(self.trades)
        tick = RULES[BTC].tick
        for side in Side:
            best = D(str(self.top.bid if side is Side.BUY else self.top.ask))
            for behind in DEEPER:
                price = best - behind * tick if side is Side.BUY else best + behind * tick
                request = OrderRequest(
                    instrument=BTC, side=side, type=OrderType.LIMIT_MAKER, quantity=QUANTITY, price=price
                )
                try:
                    self.orders.append((self.exchange.place(request), len(self.trades)))
                except VenueRefusal:
                    # An own order on the other side is in the way.
                    continue

    def came_by(self, order: SimOrder, heard: int) -> D:
        """What was traded at or through an order's price while it rested."""
        upto = self.ended.get(order.order_id, len(self.trades))
        found = D(0)
        for trade in self.trades[heard:upto]:
            price = D(repr(trade.price))
            beyond = order.price - price if order.side is Side.BUY else price - order.price
            if beyond > 0 or (beyond == 0 and trade.sold is (order.side is Side.BUY)):
                found += D(repr(trade.quantity))
        return found


def _levels(rows: list) -> list[tuple[float, float]]:
    return [(float(price), float(quantity)) for price, quantity in rows]


@pytest.mark.shared
def test_resting_orders_get_what_was_really_traded_behind_the_queue_and_never_more(shared_data):
    path = shared_data / "binance_raw_ws_2024-08-08" / "btcusdt_20240808.gz"
    played = Played(path)
    played.play(merged([path]))
    assert len(played.orders) > 50
    filled = [order for order, _ in played.orders if order.executed]
    assert 0 < len(filled) < len(played.orders)
    waited = 0
    for order, heard in played.orders:
        came = played.came_by(order, heard)
        assert order.executed_quantity <= came
        assert all(t.price == order.price and t.maker for t in order.trades)
        waited += came >= order.quantity > order.executed_quantity
    # The queue is what makes the difference: enough came by, and still they got less.
    assert waited > 0
    # All of them together cannot have sold more than was bought.
    for side in Side:
        got = sum(order.executed_quantity for order, _ in played.orders if order.side is side)
        assert got <= sum(D(repr(t.quantity)) for t in played.trades if t.sold is (side is Side.BUY))
