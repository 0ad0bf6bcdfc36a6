"""What the parts of the server share: the exchange, who is connected, and how events become frames."""

from collections.abc import Callable

from aiohttp import web

from core.units import MINUTE_MS
from exchanges.simulated.binance.auth import Keyring
from exchanges.simulated.binance.budget import Budget
from exchanges.simulated.binance.day import NO_TOP, Days
from exchanges.simulated.binance.klines import INTERVALS, Klines, ends, opens
from exchanges.simulated.binance.market_payloads import (
    agg_trade_frame,
    book_ticker_frame,
    kline_frame,
    trade_frame,
)
from exchanges.simulated.binance.payloads import (
    account_position,
    amount,
    balance_update,
    execution_report,
    list_status,
    symbol_of,
)
from exchanges.simulated.depth import Change, DepthView
from exchanges.simulated.events import (
    AccountMoved,
    BarClosed,
    BookMoved,
    Event,
    ListMoved,
    OrderMoved,
    Transferred,
)
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.prints import PublicTrades
from exchanges.simulated.served import TRADES_ONLY, USER, Mode, Served

PARTS = (5, 10, 20)
"""Levels of the streams that tell a part of the book."""


class ServerState(Served):
    """One served exchange as Binance shows it."""

    venue = "binance"

    def __init__(
        self,
        exchange: SimulatedExchange,
        keyring: Keyring,
        budget: Budget,
        mode: Mode,
        speed: float,
        paused: bool = False,
        on_account: Callable[[], None] | None = None,
        key_rights: frozenset[str] = TRADES_ONLY,
    ) -> None:
        super().__init__(exchange, mode, speed, paused, on_account, key_rights)
        self.keyring = keyring
        self.budget = budget
        self.symbols = {symbol_of(i): row for row, i in enumerate(exchange.instruments)}
        self.depth = [DepthView() for _ in exchange.instruments]
        self.prints = PublicTrades(exchange.market, exchange.rules)
        self.klines = Klines(exchange.market, self.prints)
        self.days = Days(exchange, self.prints, self.klines)
        self._printed = [exchange.now_ms] * len(exchange.instruments)
        """Until when public trades were shown, by market."""
        names = [symbol.lower() for symbol in self.symbols]
        self._kline = [[(kind, f"{name}@kline_{kind}") for kind in INTERVALS] for name in names]
        self._ticker = [f"{name}@bookTicker" for name in names]
        self._depth = [(f"{name}@depth", f"{name}@depth@100ms") for name in names]
        self._parts = [
            [(levels, f"{name}@depth{levels}{often}") for levels in PARTS for often in ("", "@100ms")] for name in names
        ]
        self._day = [(f"{name}@ticker", f"{name}@miniTicker") for name in names]
        self._trades = [(f"{name}@trade", f"{name}@aggTrade") for name in names]
        self._names = list(self.symbols)

    def announce(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, BarClosed):
                self._show_trades(event.row, event.minute + MINUTE_MS - 1)
                self._bar(event.row, event.minute, final=True)
                self._tell_day(event.row)
            elif isinstance(event, BookMoved):
                self._show_trades(event.row, event.at_ms)
                self._book(event.row)
            elif isinstance(event, OrderMoved):
                if event.trade is not None and event.order.executed_quantity == event.trade.quantity:
                    self.budget.order_filled()
                self.users.add(USER, execution_report(event))
            elif isinstance(event, AccountMoved):
                self.users.add(USER, account_position(event))
            elif isinstance(event, ListMoved):
                self.users.add(USER, list_status(event, self._names[event.row]))
            elif isinstance(event, Transferred):
                self.users.add(USER, balance_update(event))

    async def traded_in(self, row: int) -> None:
        """The same for a market in which several orders moved, or none. Hold the lock."""
        await self.publish([*self.exchange.take_events(), BookMoved(row, self.exchange.now_ms)])

    async def show_running_bars(self) -> None:
        """Write the bars that are still open (speed mode only: lockstep shows final ones). Hold the lock."""
        now = self.exchange.now_ms
        for row in range(len(self.exchange.instruments)):
            self._bar(row, (now - 1) // MINUTE_MS * MINUTE_MS, final=False)
            self._tell_day(row)
        await self.hub.flush()

    def snapshot(self, row: int, limit: int) -> dict:
        """The book for GET /depth; brings the diff streams up to the same id first."""
        self._show_depth(row)
        view, rules = self.depth[row], self.exchange.rules[row]

        def rows(side: dict[int, int], reverse: bool) -> list[list[str]]:
            best = sorted(side.items(), reverse=reverse)[:limit]
            return [[amount(ticks * rules.tick), amount(steps * rules.step)] for ticks, steps in best]

        return {"lastUpdateId": view.shown_id, "bids": rows(view.bids, True), "asks": rows(view.asks, False)}

    def _bar(self, row: int, minute: int, final: bool) -> None:
        """Show the klines that ``minute`` is in; ``final``: it is over, and with it every kline that ends there."""
        now = self.exchange.now_ms
        known = minute + MINUTE_MS if final else now
        for interval, stream in self._kline[row]:
            if not self.hub.wanted(stream):
                continue
            opened = opens(interval, minute)
            kline = self.klines.at(row, interval, opened, known)
            if kline is not None:
                closed = final and ends(interval, opened) == minute + MINUTE_MS
                self.hub.add(stream, kline_frame(self._names[row], kline, closed, now))

    def _tell_day(self, row: int) -> None:
        """The venue says it every second; here it is said with the running bars, and at a minute's end."""
        whole, mini = self._day[row]
        if self.hub.wanted(whole):
            self.hub.add(whole, self.days.frame(self._names[row], row))
        if self.hub.wanted(mini):
            self.hub.add(mini, self.days.mini_frame(self._names[row], row))

    def _book(self, row: int) -> None:
        for levels, stream in self._parts[row]:
            if self.hub.wanted(stream):
                self.hub.add(stream, self.snapshot(row, levels))
        if self.hub.wanted(self._ticker[row]):
            # An empty book shows as zeros, as at the venue: whoever listens learns that there is none.
            top = self.exchange.top(row) or NO_TOP
            self.hub.add(self._ticker[row], book_ticker_frame(self._names[row], top, self.depth[row].next_id()))
        if any(map(self.hub.wanted, self._depth[row])):
            self._show_depth(row)
            slow = self._depth[row][0]
            if self.hub.wanted(slow):
                self._tell_depth(row, slow, self.depth[row].of_the_second(self.exchange.now_ms))

    def _show_trades(self, row: int, upto_ms: int) -> None:
        after, self._printed[row] = self._printed[row], max(upto_ms, self._printed[row])
        single, grouped = self._trades[row]
        if not (self.hub.wanted(single) or self.hub.wanted(grouped)):
            return
        for trade in self.prints.between(row, after, upto_ms):
            self.hub.add(single, trade_frame(self._names[row], trade))
            self.hub.add(grouped, agg_trade_frame(self._names[row], trade))

    def _show_depth(self, row: int) -> None:
        """Bring the book that is shown up to date, and tell the stream that hears of every change."""
        self._tell_depth(row, self._depth[row][1], self.depth[row].refresh(*self.exchange.depth(row)))

    def _tell_depth(self, row: int, stream: str, change: Change | None) -> None:
        if change is None:
            return
        first, last, bids, asks = change
        rules = self.exchange.rules[row]
        frame = {
            "e": "depthUpdate",
            "E": self.exchange.now_ms,
            "s": self._names[row],
            "U": first,
            "u": last,
            "b": [[amount(ticks * rules.tick), amount(steps * rules.step)] for ticks, steps in bids],
            "a": [[amount(ticks * rules.tick), amount(steps * rules.step)] for ticks, steps in asks],
        }
        self.hub.add(stream, frame)


STATE = web.AppKey("state", ServerState)
