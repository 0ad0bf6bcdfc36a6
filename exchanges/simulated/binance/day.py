"""The last 24 hours of a market as the simulated Binance tells them: GET /ticker/24hr and the ticker streams.

Open, high, low and volume are the bars'; the last price, its quantity and the trades' numbers are the public trades'.
Money is estimated from the bars. As far as the market goes back: the window is shorter on its first day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from core.messages import Bar
from core.units import DAY_MS, MINUTE_MS, to_decimal
from exchanges.simulated.binance.klines import Klines
from exchanges.simulated.binance.payloads import amount, number, rounded
from exchanges.simulated.events import BookTop
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.market import A_MINUTE
from exchanges.simulated.orders import ZERO
from exchanges.simulated.prints import PublicTrades

NO_TOP = BookTop(ZERO, ZERO, ZERO, ZERO)
MINI = (
    *("symbol", "openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume"),
    *("openTime", "closeTime", "firstId", "lastId", "count"),
)
"""Fields of the small form of ticker/24hr."""
SHORT = {
    "priceChange": "p",
    "priceChangePercent": "P",
    "weightedAvgPrice": "w",
    "prevClosePrice": "x",
    "lastPrice": "c",
    "lastQty": "Q",
    "bidPrice": "b",
    "bidQty": "B",
    "askPrice": "a",
    "askQty": "A",
    "openPrice": "o",
    "highPrice": "h",
    "lowPrice": "l",
    "volume": "v",
    "quoteVolume": "q",
    "openTime": "O",
    "closeTime": "C",
    "firstId": "F",
    "lastId": "L",
    "count": "n",
}
"""REST's name → the stream's."""
MINI_FRAME = ("lastPrice", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume")


@dataclass(frozen=True, slots=True)
class Days:
    """Figures of every market, worked out when asked for."""

    exchange: SimulatedExchange
    prints: PublicTrades
    klines: Klines

    def last_price(self, row: int) -> Decimal:
        """Of the newest trade; while there was none yet, the newest bar's close; 0 before the first."""
        newest = self.prints.newest(row, self.exchange.now_ms, 1)
        if newest:
            return newest[0].price
        bar = next(self._past(row), None)
        return ZERO if bar is None else to_decimal(bar.close)

    def _past(self, row: int) -> Iterator[Bar]:
        """Closed bars of a market, newest first."""
        market, now = self.exchange.market, self.exchange.now_ms
        for minute in range(now - now % MINUTE_MS - MINUTE_MS, market.start_ms - 1, -MINUTE_MS):
            if (bar := market.bar(row, minute, now)) is not None:
                yield bar

    def _window(self, row: int, oldest: int) -> tuple[list[Bar], Bar | None]:
        """(bars from ``oldest`` on, oldest first; the one before them)."""
        known: list[Bar] = []
        for bar in self._past(row):
            if bar.minute < oldest:
                return known[::-1], bar
            known.append(bar)
        return known[::-1], None

    def row(self, symbol: str, row: int) -> dict:
        """A row of GET /ticker/24hr."""
        exchange, now = self.exchange, self.exchange.now_ms
        minute = now - now % MINUTE_MS
        oldest = max(exchange.market.start_ms, minute + MINUTE_MS - DAY_MS)
        known, before = self._window(row, oldest)
        running = self.klines.at(row, "1m", minute, now)
        if running is not None:
            known.append(running.bar)
        last, newest = self.last_price(row), self.prints.newest(row, now, 1)
        first = to_decimal(known[0].open) if known else last
        volume = sum(b.volume for b in known)
        money = sum(b.volume * (b.open + b.high + b.low + b.close) / 4.0 for b in known)
        traded = bool(newest) and newest[0].at_ms >= oldest
        first_id = exchange.market.minutes_traded(row, oldest) * A_MINUTE + 1 if traded else -1
        last_id = newest[0].number if traded else -1
        top = exchange.top(row) or NO_TOP
        return {
            "symbol": symbol,
            "priceChange": amount(last - first),
            "priceChangePercent": f"{(last / first - 1) * 100 if first else ZERO:.3f}",
            "weightedAvgPrice": rounded(money / volume if volume else 0.0),
            "prevClosePrice": amount(first) if before is None else number(before.close),
            "lastPrice": amount(last),
            "lastQty": amount(newest[0].quantity if newest else ZERO),
            "bidPrice": amount(top.bid),
            "bidQty": amount(top.bid_qty),
            "askPrice": amount(top.ask),
            "askQty": amount(top.ask_qty),
            "openPrice": amount(first),
            "highPrice": number(max((b.high for b in known), default=0.0)),
            "lowPrice": number(min((b.low for b in known), default=0.0)),
            "volume": rounded(volume),
            "quoteVolume": rounded(money),
            "openTime": now - DAY_MS,
            "closeTime": now,
            "firstId": first_id,
            "lastId": last_id,
            "count": last_id - first_id + 1 if traded else 0,
        }

    def frame(self, symbol: str, row: int) -> dict:
        """What ``<symbol>@ticker`` is told."""
        figures = self.row(symbol, row)
        head = {"e": "24hrTicker", "E": self.exchange.now_ms, "s": symbol}
        return head | {short: figures[name] for name, short in SHORT.items()}

    def mini_frame(self, symbol: str, row: int) -> dict:
        """What ``<symbol>@miniTicker`` is told."""
        figures = self.row(symbol, row)
        head = {"e": "24hrMiniTicker", "E": self.exchange.now_ms, "s": symbol}
        return head | {SHORT[name]: figures[name] for name in MINI_FRAME}
