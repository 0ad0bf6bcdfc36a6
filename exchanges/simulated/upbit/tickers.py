"""The ticker of a market: where the price stands in its day. Fields from docs.upbit.com, API reference v1.6.4.

Upbit's day begins at 09:00 in Seoul, which is midnight UTC. Figures of 52 weeks are those of the last 24 hours here: a
tape is rarely longer.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from core.messages import Bar
from core.units import DAY_MS, MINUTE_MS
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.upbit.candles import TradeTape
from exchanges.simulated.upbit.payloads import change, code_of, kst, moment, money, volume

Part = tuple[float, float, float, float, float]
"""Open, high, low, volume, money of one minute."""


@dataclass(frozen=True, slots=True)
class Spell:
    """What traded over some minutes."""

    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    volume: float = 0.0
    money: float = 0.0

    def then(self, o: float, high: float, low: float, volume: float, money: float) -> "Spell":
        if not self.open:
            return Spell(o, high, low, volume, money)
        return Spell(self.open, max(self.high, high), min(self.low, low), self.volume + volume, self.money + money)


@dataclass(slots=True)
class _Day:
    """The closed minutes of one market that traded, and their sums up to ``until``."""

    until: int
    midnight: int = -1
    day: Spell = Spell()
    """Since midnight UTC."""
    recent: Spell = Spell()
    """The last 24 hours."""
    minutes: deque[tuple[int, Part]] = field(default_factory=deque)

    def take(self, begin: int, part: Part) -> None:
        """One more minute, later than all before."""
        self.minutes.append((begin, part))
        self.day, self.recent = self.day.then(*part), self.recent.then(*part)

    def turn(self, minute: int, start: int, midnight: int) -> None:
        """It is ``minute`` now: let go of what is older than ``start``, and of yesterday after a midnight. What goes is
        never subtracted: sums are made anew, so that they are those of the minutes that stand."""
        self.until = max(self.until, minute)
        if self.minutes and self.minutes[0][0] < start:
            while self.minutes and self.minutes[0][0] < start:
                self.minutes.popleft()
            self.recent = _sum(part for _, part in self.minutes)
        if midnight != self.midnight:
            self.midnight = midnight
            self.day = _sum(part for begin, part in self.minutes if begin >= midnight)


def _sum(parts: Iterable[Part]) -> Spell:
    total = Spell()
    for part in parts:
        total = total.then(*part)
    return total


class Tickers:
    """Tickers of all markets. The closed minutes of a day are added up once a minute."""

    def __init__(self, exchange: SimulatedExchange, trades: TradeTape) -> None:
        self._exchange = exchange
        self._trades = trades
        self._yesterday: dict[int, tuple[int, float]] = {}
        """Row: (midnight, last price before it)."""
        self._closed: dict[int, _Day] = {}
        """By row."""

    def closed_at(self, row: int) -> float:
        """Yesterday's last price; when the market began today, the first one known."""
        now, market = self._exchange.now_ms, self._exchange.market
        midnight = now - now % DAY_MS
        held = self._yesterday.get(row)
        if held is not None and held[0] == midnight:
            return held[1]
        past = range(midnight - MINUTE_MS, market.start_ms - 1, -MINUTE_MS)
        today = range(max(midnight, market.start_ms), now, MINUTE_MS)
        last = next((bar.close for minute in past if (bar := self._traded(row, minute)) is not None), None)
        if last is None:
            last = next((bar.open for minute in today if (bar := self._traded(row, minute)) is not None), None)
        if last is None:
            return 0.0
        self._yesterday[row] = (midnight, last)
        return last

    def _traded(self, row: int, minute: int) -> Bar | None:
        """The bar of a closed minute in which something traded."""
        if minute + MINUTE_MS > self._exchange.now_ms:
            return None
        bar = self._exchange.market.bar(row, minute, self._exchange.now_ms)
        return bar if bar is not None and bar.volume > 0.0 else None

    def _until(self, row: int, minute: int) -> tuple[Spell, Spell]:
        """The closed minutes of (today, the last 24 hours); only those that have closed since the last look are read."""
        held = self._closed.get(row)
        if held is None or held.until > minute:
            held = self._closed[row] = _Day(self._exchange.market.start_ms)
        start, midnight = max(self._exchange.market.start_ms, minute - DAY_MS), minute - minute % DAY_MS
        for begin in range(max(held.until, start), minute, MINUTE_MS):
            if (bar := self._traded(row, begin)) is not None:
                worth = bar.volume * (bar.open + bar.high + bar.low + bar.close) / 4.0
                held.take(begin, (bar.open, bar.high, bar.low, bar.volume, worth))
        held.turn(minute, start, midnight)
        return held.day, held.recent

    def figures(self, row: int) -> dict | None:
        """The part that REST and the stream share; None before the market's first trade."""
        now = self._exchange.now_ms
        minute = now - now % MINUTE_MS
        newest = self._trades.newest(row, now)
        if not newest:
            return None
        last, price = newest[0], float(newest[0].price)
        (day, recent), closed_at = self._until(row, minute), self.closed_at(row)
        running = self._trades.candle(row, minute, now)
        if running is not None:
            part = (running.open, running.high, running.low, running.volume, running.money)
            day, recent = day.then(*part), recent.then(*part)
        if not day.open:
            day = Spell(price, price, price)
        code = code_of(self._exchange.instruments[row])
        return {
            "trade_timestamp": last.at_ms,
            "opening_price": day.open,
            "high_price": day.high,
            "low_price": day.low,
            "trade_price": price,
            "prev_closing_price": closed_at or day.open,
            **change(price, closed_at or day.open),
            "trade_volume": float(last.quantity),
            "acc_trade_price": money(code, day.money),
            "acc_trade_price_24h": money(code, recent.money),
            "acc_trade_volume": volume(day.volume),
            "acc_trade_volume_24h": volume(recent.volume),
            "highest_52_week_price": recent.high or day.high,
            "highest_52_week_date": moment(now).strftime("%Y-%m-%d"),
            "lowest_52_week_price": recent.low or day.low,
            "lowest_52_week_date": moment(now).strftime("%Y-%m-%d"),
            "timestamp": now,
        }

    def row(self, row: int) -> dict | None:
        """A row of GET /v1/ticker."""
        found = self.figures(row)
        if found is None:
            return None
        at = found["trade_timestamp"]
        return {
            "market": code_of(self._exchange.instruments[row]),
            "trade_date": moment(at).strftime("%Y%m%d"),
            "trade_time": moment(at).strftime("%H%M%S"),
            "trade_date_kst": kst(at)[:10].replace("-", ""),
            "trade_time_kst": kst(at)[11:].replace(":", ""),
            **found,
        }

    def frame(self, row: int) -> dict | None:
        """The body of a ``ticker`` frame."""
        found = self.figures(row)
        if found is None:
            return None
        at = moment(found["trade_timestamp"])
        last = self._trades.newest(row, self._exchange.now_ms)[0]
        return found | {
            "trade_date": at.strftime("%Y%m%d"),
            "trade_time": at.strftime("%H%M%S"),
            "ask_bid": "ASK" if last.seller_took else "BID",
            # Which side took is known of each trade, not of each bar: half of a day's volume each way.
            "acc_ask_volume": volume(found["acc_trade_volume"] / 2.0),
            "acc_bid_volume": volume(found["acc_trade_volume"] / 2.0),
            "market_state": "ACTIVE",
            "is_trading_suspended": False,
            "delisting_date": None,
            "market_warning": "NONE",
        }
