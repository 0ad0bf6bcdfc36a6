"""Candles made from the public's trades (``simulated.prints``), which have the bars' open, high, low, close and volume.

So whoever builds a bar from trades, from 1-second candles or from the minute's candle comes to the same one. A minute in
which nothing traded has no candle.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.units import MINUTE_MS, MarketRules, to_decimal
from exchanges.simulated.market import LEAST_TRADED, MarketSource
from exchanges.simulated.prints import Print, PublicTrades

REMEMBERED = 512
"""Minutes of one market each."""


@dataclass(frozen=True, slots=True)
class Candle:
    """What traded from ``start_ms`` on; ``last_ms`` is when its newest trade was."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    money: float
    last_ms: int


def fold(trades: Iterable[Print], span_ms: int) -> list[Candle]:
    """Candles of ``span_ms`` from trades in order of time; none where nothing traded."""
    found: list[Candle] = []
    start, held = 0, []
    for trade in trades:
        begin = trade.at_ms - trade.at_ms % span_ms
        if held and begin != start:
            found.append(_candle(start, held))
            held = []
        start = begin
        held.append(trade)
    return [*found, _candle(start, held)] if held else found


def _candle(start_ms: int, trades: Sequence[Print]) -> Candle:
    prices = [t.price for t in trades]
    return Candle(
        start_ms=start_ms,
        open=float(prices[0]),
        high=float(max(prices)),
        low=float(min(prices)),
        close=float(prices[-1]),
        volume=float(sum((t.quantity for t in trades), Decimal(0))),
        money=float(sum((t.price * t.quantity for t in trades), Decimal(0))),
        last_ms=trades[-1].at_ms,
    )


def merge(candles: Sequence[Candle], start_ms: int) -> Candle:
    """Several candles, oldest first, as one."""
    return Candle(
        start_ms=start_ms,
        open=candles[0].open,
        high=max(c.high for c in candles),
        low=min(c.low for c in candles),
        close=candles[-1].close,
        # Added up as decimals, so that no noise of floats is in the sum.
        volume=float(sum((to_decimal(c.volume) for c in candles), Decimal(0))),
        money=sum(c.money for c in candles),
        last_ms=candles[-1].last_ms,
    )


class TradeTape:
    """The public trades and candles of all markets, never later than the time asked for."""

    def __init__(
        self, market: MarketSource, rules: Sequence[MarketRules], tick_at: Callable[[int, float], Decimal]
    ) -> None:
        self._market = market
        self._trades = PublicTrades(market, rules, tick_at)
        self._minutes: OrderedDict[tuple[int, int], list[Print]] = OrderedDict()

    def minute(self, row: int, minute: int) -> list[Print]:
        """All trades of one minute, also those still to come: not to be shown before their time."""
        key = (row, minute)
        found = self._minutes.get(key)
        if found is None:
            found = self._trades.minute(row, minute)
            # A market that is watched has no bar yet for the minute that runs.
            if found:
                self._minutes[key] = found
            if len(self._minutes) > REMEMBERED:
                self._minutes.popitem(last=False)
        return found

    def between(self, row: int, after_ms: int, upto_ms: int) -> Iterator[Print]:
        """Trades with ``after_ms`` < time <= ``upto_ms``, oldest first."""
        minute = max(after_ms - after_ms % MINUTE_MS, self._market.start_ms)
        while minute <= upto_ms:
            yield from (t for t in self.minute(row, minute) if after_ms < t.at_ms <= upto_ms)
            minute += MINUTE_MS

    def newest(self, row: int, upto_ms: int, count: int = 1) -> list[Print]:
        """The newest trades up to a time, newest first."""
        found: list[Print] = []
        minute = upto_ms - upto_ms % MINUTE_MS
        while minute >= self._market.start_ms and len(found) < count:
            found += [t for t in reversed(self.minute(row, minute)) if t.at_ms <= upto_ms]
            minute -= MINUTE_MS
        return found[:count]

    def candle(self, row: int, minute: int, now_ms: int) -> Candle | None:
        """A minute as far as it traded by ``now_ms``; None when it did not."""
        trades = [t for t in self.minute(row, minute) if t.at_ms <= now_ms]
        if not trades:
            return None
        made = _candle(minute, trades)
        bar = self._market.bar(row, minute, now_ms) if minute + MINUTE_MS <= now_ms else None
        if bar is None:
            return made
        return Candle(minute, bar.open, bar.high, bar.low, bar.close, bar.volume, made.money, made.last_ms)

    def candles(self, row: int, unit: int, count: int, before_ms: int, now_ms: int) -> list[Candle]:
        """The newest ``count`` candles of ``unit`` minutes that begin before ``before_ms``, newest first."""
        span = unit * MINUTE_MS
        start = min(before_ms - 1, now_ms)
        start -= start % span
        found: list[Candle] = []
        while start + span > self._market.start_ms and len(found) < count:
            minutes = [self.candle(row, start + k * MINUTE_MS, now_ms) for k in range(unit)]
            parts = [m for m in minutes if m is not None]
            if parts:
                found.append(parts[0] if unit == 1 else merge(parts, start))
            start -= span
        return found

    def periods(
        self, row: int, opens: Callable[[int], int], count: int, before_ms: int, now_ms: int
    ) -> list[tuple[int, Candle]]:
        """The newest ``count`` (when it began, candle) of periods of days that begin before ``before_ms``, newest first.
        ``opens``: when the period began that a time lies in. Their money is that of the bars' mean prices."""
        found: list[tuple[int, Candle]] = []
        start = opens(min(before_ms - 1, now_ms))
        end = now_ms + 1
        while end > self._market.start_ms and len(found) < count:
            minutes = range(max(start, self._market.start_ms), min(end, now_ms + 1), MINUTE_MS)
            parts = [made for minute in minutes if (made := self._rough(row, minute, now_ms)) is not None]
            if parts:
                found.append((start, merge(parts, start)))
            start, end = opens(start - 1), start
        return found

    def _rough(self, row: int, minute: int, now_ms: int) -> Candle | None:
        """A minute that is over without a look at its trades."""
        bar = self._market.bar(row, minute, now_ms) if minute + MINUTE_MS <= now_ms else None
        if bar is None:
            return self.candle(row, minute, now_ms)
        money = bar.volume * (bar.open + bar.high + bar.low + bar.close) / 4.0
        last_ms = minute + MINUTE_MS - 1
        made = Candle(minute, bar.open, bar.high, bar.low, bar.close, bar.volume, money, last_ms)
        return made if bar.volume >= LEAST_TRADED else None

    def seconds(self, row: int, count: int, before_ms: int, now_ms: int) -> list[Candle]:
        """The newest ``count`` 1-second candles that begin before ``before_ms``, newest first."""
        found: list[Candle] = []
        last = min(-(-before_ms // 1_000) * 1_000 - 1, now_ms)
        minute = last - last % MINUTE_MS
        while minute >= self._market.start_ms and len(found) < count:
            made = fold((t for t in self.minute(row, minute) if t.at_ms <= last), 1_000)
            found += reversed(made)
            minute -= MINUTE_MS
        return found[:count]
