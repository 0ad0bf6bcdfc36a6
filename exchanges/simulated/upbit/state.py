"""The served Upbit: its desk, its public trades, and how events become frames.

A stream's key tells form as well (``topic|short``), so that a frame is made once for everybody who wants it in that form.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

import orjson
from aiohttp import web

from core.units import MINUTE_MS, Side
from exchanges.simulated.events import AccountMoved, BookMoved, Event, OrderMoved
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.hub import Hub
from exchanges.simulated.served import TRADES_ONLY, Mode, Served
from exchanges.simulated.upbit.auth import Keyring
from exchanges.simulated.upbit.averages import Averages
from exchanges.simulated.upbit.budget import GroupBudget
from exchanges.simulated.upbit.candles import Candle, TradeTape, fold, merge
from exchanges.simulated.upbit.desk import Desk
from exchanges.simulated.upbit.frames import (
    candle_frame,
    my_asset_frame,
    my_order_frame,
    shortened,
    states_of,
    trade_frame,
)
from exchanges.simulated.upbit.market import tick_of
from exchanges.simulated.upbit.payloads import code_of, units
from exchanges.simulated.upbit.subscriptions import ALL, CANDLES, UNITS, Topic
from exchanges.simulated.upbit.tickers import Tickers

SECOND_MS = 1_000


def key_of(topic: Topic, short: bool) -> str:
    """Under which a connection listens."""
    return f"{topic.key}|{short:d}"


@dataclass(frozen=True, slots=True)
class Outlet:
    """A topic, and the keys under which it goes out: with long names, with short ones."""

    topic: Topic
    keys: tuple[str, str]

    @classmethod
    def of(cls, kind: str, code: str, count: int = 0) -> "Outlet":
        topic = Topic(kind, code, count)
        return cls(topic, (key_of(topic, False), key_of(topic, True)))


class UpbitState(Served):
    """One served exchange as Upbit shows it."""

    venue = "upbit"

    def __init__(
        self,
        exchange: SimulatedExchange,
        keyring: Keyring,
        budget: GroupBudget,
        mode: Mode,
        speed: float,
        paused: bool = False,
        on_account: Callable[[], None] | None = None,
        key_rights: frozenset[str] = TRADES_ONLY,
    ) -> None:
        super().__init__(exchange, mode, speed, paused, on_account, key_rights)
        self.keyring = keyring
        self.budget = budget
        self.allowance = budget.allowance
        self.desk = Desk(exchange)
        self.trades = TradeTape(exchange.market, exchange.rules, lambda row, price: tick_of(exchange, row, price))
        self.tickers = Tickers(exchange, self.trades)
        self.averages = Averages(exchange)
        self.codes = {code_of(i): row for row, i in enumerate(exchange.instruments)}
        self._trade = [Outlet.of("trade", code) for code in self.codes]
        self._ticker = [Outlet.of("ticker", code) for code in self.codes]
        self._candle = [[Outlet.of(kind, code) for kind in CANDLES] for code in self.codes]
        self._orderbook = [[Outlet.of("orderbook", code, count) for count in UNITS] for code in self.codes]
        self._told_ms = exchange.now_ms
        """Up to when the public's trades were told."""
        self._candles_ms = exchange.now_ms - exchange.now_ms % SECOND_MS
        self._books: dict[int, dict] = {}

    # The account's own events

    def announce(self, events: list[Event]) -> None:
        for event in [*self.desk.unworked, *events]:
            if isinstance(event, OrderMoved):
                self._order(event)
            elif isinstance(event, AccountMoved):
                frame = my_asset_frame(event.balances, event.at_ms)
                self._send(self.users, Outlet.of("myAsset", ALL), frame)
        self.desk.unworked.clear()
        self._market({event.row for event in events if isinstance(event, BookMoved)})

    def _order(self, event: OrderMoved) -> None:
        sheet = self.desk.sheets.get(event.order.order_id)
        if sheet is None:
            return
        if event.kind == "TRADE_PREVENTION":
            order = event.order
            lost = order.prevented + (0 if order.live else order.remaining)
            sheet.prevented_volume = lost * order.step
            sheet.prevented_locked = sheet.prevented_volume * (order.price if order.side is Side.BUY else Decimal(1))
        if event.trade is not None:
            self.averages.traded(event.order.instrument, event.trade)
        for state in states_of(sheet, event):
            whole = event if state in ("trade", "wait") else OrderMoved(event.order, event.kind, 0, event.at_ms)
            frame = my_order_frame(sheet, whole, state)
            for code in (sheet.code, ALL):
                self._send(self.users, Outlet.of("myOrder", code), frame)

    # The public's

    def _market(self, books: Iterable[int]) -> None:
        """Frames of everything public that happened since this was last called."""
        now = self.exchange.now_ms
        for row in range(len(self.codes)):
            self._told(row, now)
            self._candles(row, now)
        self._told_ms, self._candles_ms = now, now - now % SECOND_MS
        for row in books:
            self._book(row)

    def _told(self, row: int, now: int) -> None:
        """Every trade, and the ticker after the newest one."""
        trade, ticker = self._trade[row], self._ticker[row]
        hears_trades, hears_ticker = self._wanted(trade), self._wanted(ticker)
        if not hears_trades and not hears_ticker:
            return
        prints = list(self.trades.between(row, self._told_ms, now))
        if hears_trades and prints:
            closed_at, top = self.tickers.closed_at(row), self.exchange.top(row)
            for made in prints:
                self._send(self.hub, trade, self._head(trade.topic, trade_frame(made, closed_at, top)))
        if hears_ticker and prints and (frame := self.tickers.frame(row)) is not None:
            self._send(self.hub, ticker, self._head(ticker.topic, frame))

    def _candles(self, row: int, now: int) -> None:
        """One frame for every second in which something traded, when that second is over."""
        upto = now - now % SECOND_MS
        wanted = [outlet for outlet in self._candle[row] if self._wanted(outlet)] if upto > self._candles_ms else []
        if not wanted:
            return
        for second in fold(self.trades.between(row, self._candles_ms - 1, upto - 1), SECOND_MS):
            at = second.start_ms + SECOND_MS
            for outlet in wanted:
                unit = outlet.topic.minutes
                candle = self.candle_at(row, unit, at - 1) if unit else second
                if candle is not None:
                    self._send(self.hub, outlet, self._head(outlet.topic, candle_frame(outlet.topic.code, candle, at)))

    def candle_at(self, row: int, unit: int, at_ms: int) -> Candle | None:
        """The candle of ``unit`` minutes that ``at_ms`` lies in, as far as it is."""
        start = at_ms - at_ms % (unit * MINUTE_MS)
        minutes = [self.trades.candle(row, m, at_ms) for m in range(start, at_ms + 1, MINUTE_MS)]
        parts = [m for m in minutes if m is not None]
        return merge(parts, start) if parts else None

    def _book(self, row: int) -> None:
        wanted = [outlet for outlet in self._orderbook[row] if self._wanted(outlet)]
        if not wanted:
            return
        shown = self.book(row, max(UNITS))
        if self._books.get(row) == shown:
            return
        self._books[row] = shown
        for outlet in wanted:
            self._send(self.hub, outlet, self._head(outlet.topic, self._book_frame(shown, outlet.topic)))

    def book(self, row: int, count: int) -> dict:
        """The displayed book, best ``count`` levels."""
        return units(*self.exchange.depth(row), self.exchange.rules[row], count)

    def _book_frame(self, shown: dict, topic: Topic) -> dict:
        rows = shown["orderbook_units"][: topic.units]
        return {"timestamp": self.exchange.now_ms, **shown, "orderbook_units": rows, "level": 0}

    def snapshot(self, topic: Topic) -> dict | None:
        """What a new listener is told at once; None when there is nothing yet."""
        row, now = self.codes.get(topic.code, -1), self.exchange.now_ms
        body: dict | None = None
        if topic.kind == "ticker":
            body = self.tickers.frame(row)
        elif topic.kind == "orderbook":
            body = self._book_frame(self.book(row, max(UNITS)), topic)
        elif topic.kind == "trade":
            newest = self.trades.newest(row, now)
            body = trade_frame(newest[0], self.tickers.closed_at(row), self.exchange.top(row)) if newest else None
        elif topic.kind in CANDLES:
            # The newest that there is: of the minute before when nothing traded in this one yet.
            found = (
                self.trades.candles(row, topic.minutes, 1, now + 1, now)
                if topic.minutes
                else self.trades.seconds(row, 1, now + 1, now)
            )
            body = candle_frame(topic.code, found[0], now) if found else None
        return None if body is None else self._head(topic, body, "SNAPSHOT")

    # Sending

    def _head(self, topic: Topic, body: dict, stream: str = "REALTIME") -> dict:
        return {"type": topic.kind, "code": topic.code, **body, "stream_type": stream}

    def _wanted(self, outlet: Outlet) -> bool:
        """Somebody listens to the public's stream."""
        return self.hub.wanted(outlet.keys[0]) or self.hub.wanted(outlet.keys[1])

    def _send(self, hub: Hub, outlet: Outlet, frame: dict) -> None:
        long, short = outlet.keys
        if hub.wanted(long):
            hub.add(long, frame)
        if hub.wanted(short):
            hub.add(short, shortened(frame))

    @staticmethod
    def text(frame: dict, short: bool) -> str:
        """A frame as JSON, with short names where asked for."""
        return orjson.dumps(shortened(frame) if short else frame).decode()


STATE = web.AppKey("upbit", UpbitState)
