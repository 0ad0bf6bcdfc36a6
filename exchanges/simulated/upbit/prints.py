"""The public's trades, made from the bars' paths, and candles made from those trades.

A bar says what traded, not when: here a minute's trades lie on the path that the whole program assumes (``core.path``):
one at the open, one at each turn, one at the close, and in a busy minute one every five seconds between. Together they
have the bar's open, high, low, close and volume exactly, so whoever builds a bar from trades, from 1-second candles or
from the minute's candle comes to the same one. A minute without volume has none.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from core.costs import UNITS
from core.messages import Bar
from core.path import KNOT_1, KNOT_2, price_at
from core.units import MINUTE_MS
from exchanges.simulated.market import MarketSource
from exchanges.simulated.upbit.market import on_grid

FIRST_MS, LAST_MS = 100, 59_900
"""Where in the minute its open and its close trade."""
SLOTS_MS = tuple(range(2_500, MINUTE_MS, 5_000))
BUSY = 80_000.0
"""Quote units in a minute from which it has trades between the turns: that many orders of the least size."""
REMEMBERED = 512
"""Minutes of one market each."""


@dataclass(frozen=True, slots=True)
class Print:
    """One public trade."""

    at_ms: int
    price: float
    units: int
    """Base amount in 1e-8."""
    bought: bool
    """The taker bought."""

    @property
    def volume(self) -> float:
        return self.units / UNITS

    @property
    def number(self) -> int:
        """``sequential_id``: unique in its market, and growing with time."""
        return self.at_ms * 1_000


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


def prints_of(bar: Bar, tick_at: Callable[[float], Decimal]) -> tuple[Print, ...]:
    """The trades of a whole bar, oldest first. Prices between the turns lie on the grid."""
    units = round(bar.volume * UNITS)
    o, h, low, c = bar.open, bar.high, bar.low, bar.close
    turns = (low, h) if c >= o else (h, low)
    fixed = [(FIRST_MS, o), (KNOT_1, turns[0]), (KNOT_2, turns[1]), (LAST_MS, c)]
    points = [p for k, p in enumerate(fixed) if k == 0 or p[1] != fixed[k - 1][1]]
    if bar.volume * c >= BUSY:
        for elapsed in SLOTS_MS:
            price = on_grid(price_at(o, h, low, c, elapsed), tick_at(c))
            points.append((elapsed, min(max(price, low), h)))
        points.sort()
    points = points[:units]
    found: list[Print] = []
    for k, (elapsed, price) in enumerate(points):
        share = units // len(points) + (units % len(points) if k == len(points) - 1 else 0)
        before = found[-1].price if found else price
        bought = price > before if price != before else (elapsed // 100) % 2 == 1
        found.append(Print(bar.minute + elapsed, price, share, bought))
    return tuple(found)


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


def _candle(start_ms: int, trades: list[Print]) -> Candle:
    prices = [t.price for t in trades]
    return Candle(
        start_ms=start_ms,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=sum(t.units for t in trades) / UNITS,
        money=sum(t.price * t.units for t in trades) / UNITS,
        last_ms=trades[-1].at_ms,
    )


def merge(candles: list[Candle], start_ms: int) -> Candle:
    """Several candles, oldest first, as one."""
    return Candle(
        start_ms=start_ms,
        open=candles[0].open,
        high=max(c.high for c in candles),
        low=min(c.low for c in candles),
        close=candles[-1].close,
        volume=sum(c.volume for c in candles),
        money=sum(c.money for c in candles),
        last_ms=candles[-1].last_ms,
    )


class TradeTape:
    """The public trades and candles of all markets, never later than the time asked for."""

    def __init__(self, market: MarketSource, tick_at: Callable[[int, float], Decimal]) -> None:
        self._market = market
        self._tick_at = tick_at
        self._minutes: OrderedDict[tuple[int, int], tuple[Print, ...]] = OrderedDict()

    def minute(self, row: int, minute: int) -> tuple[Print, ...]:
        """All trades of one minute, also those still to come: not to be shown before their time."""
        key = (row, minute)
        if key not in self._minutes:
            bar = self._market.bar(row, minute, minute + MINUTE_MS)
            if bar is None:
                return ()
            self._minutes[key] = prints_of(bar, lambda price: self._tick_at(row, price))
            if len(self._minutes) > REMEMBERED:
                self._minutes.popitem(last=False)
        return self._minutes[key]

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
