"""Klines of the simulated Binance: a minute's bar with what the public's trades say of it, and longer ones made of minutes.

A closed minute has the market's own open, high, low, close and volume. One that still runs is made of the trades so far,
so that it is on the grid and says what whoever follows the trades would say. Counts and ids are the trades' everywhere; money
and taker volumes too in klines of up to half an hour, in longer ones they are estimated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from core.messages import Bar
from core.units import DAY_MS, MINUTE_MS, to_decimal
from exchanges.simulated.market import A_MINUTE, MarketSource
from exchanges.simulated.prints import Print, PublicTrades

SPANS = {
    name: minutes * MINUTE_MS
    for name, minutes in {
        "1m": 1,
        "3m": 3,
        "5m": 5,
        "15m": 15,
        "30m": 30,
        "1h": 60,
        "2h": 120,
        "4h": 240,
        "6h": 360,
        "8h": 480,
        "12h": 720,
        "1d": 1_440,
        "3d": 4_320,
        "1w": 10_080,
    }.items()
}
"""Intervals of one length; ``1M`` is a calendar month."""
INTERVALS = (*SPANS, "1M")
SECOND_MS = SPANS["1s"] = 1_000
"""Answered by REST only: no stream tells of seconds here."""
MONDAY_MS = 4 * DAY_MS
"""1970-01-05: weeks begin on Mondays. On which day the venue's 3-day klines begin it does not say: here every third one
from 1970 on."""
NOTHING = Decimal(0)
MANY_MS = 30 * MINUTE_MS
"""Longer klines are not made trade by trade: of a year's there would be millions."""


@dataclass(frozen=True, slots=True)
class Kline:
    """A bar and what is told beside it."""

    bar: Bar
    """``minute`` is when it opens, of whichever interval."""
    interval: str
    last_ms: int
    """The last ms of its interval."""
    money: Decimal
    """Quote units traded."""
    count: int
    first_id: int
    last_id: int
    """Numbers of its first and last trade; -1 where there was none."""
    taken: tuple[Decimal, Decimal]
    """(base, quote) units that takers bought."""


def opens(interval: str, at_ms: int) -> int:
    """When the kline opened that ``at_ms`` lies in."""
    if interval == "1M":
        at = datetime.fromtimestamp(at_ms / 1_000, UTC)
        return int(datetime(at.year, at.month, 1, tzinfo=UTC).timestamp()) * 1_000
    shift = MONDAY_MS if interval == "1w" else 0
    return at_ms - (at_ms - shift) % SPANS[interval]


def ends(interval: str, open_ms: int) -> int:
    """When the kline that opened then is over: when the next one opens."""
    if interval == "1M":
        return opens(interval, open_ms + 32 * DAY_MS)
    return open_ms + SPANS[interval]


class Klines:
    """Klines of every market as far as they are known at a time."""

    def __init__(self, market: MarketSource, prints: PublicTrades) -> None:
        self._market = market
        self._prints = prints

    def at(self, row: int, interval: str, open_ms: int, now_ms: int) -> Kline | None:
        """The kline that opened at ``open_ms``; None when there is none (yet)."""
        if interval == "1m":
            return self._minute(row, open_ms, now_ms)
        if interval == "1s":
            return self._second(row, open_ms, now_ms)
        first = max(open_ms, self._market.start_ms)
        end = min(ends(interval, open_ms), now_ms - now_ms % MINUTE_MS + MINUTE_MS)
        found: Kline | None = None
        if end - first > MANY_MS:
            # The minute that runs is not among them.
            found, first = self._rough(row, first, end - MINUTE_MS, now_ms), end - MINUTE_MS
        for minute in range(first, end, MINUTE_MS):
            part = self._minute(row, minute, now_ms)
            if part is not None:
                found = part if found is None else _joined(found, part)
        if found is None:
            return None
        return replace(
            found,
            bar=replace(found.bar, minute=open_ms),
            interval=interval,
            last_ms=ends(interval, open_ms) - 1,
        )

    def since(self, row: int, interval: str, start_ms: int, end_ms: int, now_ms: int) -> Iterator[Kline]:
        """Those that open from ``start_ms`` to ``end_ms``, both included, oldest first."""
        first = max(start_ms, opens(interval, self._market.start_ms))
        at = opens(interval, first)
        at = at if at >= first else ends(interval, at)
        while at <= min(end_ms, now_ms):
            found = self.at(row, interval, at, now_ms)
            if found is not None:
                yield found
            at = ends(interval, at)

    def until(self, row: int, interval: str, end_ms: int, now_ms: int) -> Iterator[Kline]:
        """Those that open at ``end_ms`` or before, newest first."""
        at = opens(interval, min(end_ms, now_ms))
        first = opens(interval, self._market.start_ms)
        while at >= first:
            found = self.at(row, interval, at, now_ms)
            if found is not None:
                yield found
            at = opens(interval, at - 1)

    def _rough(self, row: int, first: int, end: int, now_ms: int) -> Kline | None:
        """The minutes of ``[first, end)`` as one, without a look at each trade: its money is that of the bars' mean prices,
        and takers bought half."""
        known = [bar for m in range(first, end, MINUTE_MS) if (bar := self._market.bar(row, m, now_ms)) is not None]
        if not known:
            return None
        volume = round(sum(bar.volume for bar in known), 8)
        money = to_decimal(round(sum(b.volume * (b.open + b.high + b.low + b.close) / 4.0 for b in known), 8))
        numbers = [self._market.minutes_traded(row, minute) * A_MINUTE for minute in (first, end)]
        bar = Bar(
            minute=known[0].minute,
            open=known[0].open,
            high=max(b.high for b in known),
            low=min(b.low for b in known),
            close=known[-1].close,
            volume=volume,
            filler=all(b.filler for b in known),
        )
        traded = numbers[1] > numbers[0]
        return Kline(
            bar=bar,
            interval="1m",
            last_ms=end - 1,
            money=money,
            count=numbers[1] - numbers[0],
            first_id=numbers[0] + 1 if traded else -1,
            last_id=numbers[1] if traded else -1,
            taken=(to_decimal(volume) / 2, money / 2),
        )

    def _second(self, row: int, second: int, now_ms: int) -> Kline | None:
        """One second; flat at the last price where nothing traded in it."""
        minute = second - second % MINUTE_MS
        bar = self._market.bar(row, minute, now_ms) if second < now_ms else None
        if bar is None:
            return None
        until = min(second + SECOND_MS - 1, now_ms)
        trades = [trade for trade in self._prints.minute(row, minute) if second <= trade.at_ms <= until]
        before = [] if trades else self._prints.newest(row, second, 1)
        begun = float((trades or before)[0].price) if trades or before else bar.open
        return _told(_running(replace(bar, minute=second, open=begun), trades), "1s", second + SECOND_MS - 1, trades)

    def _minute(self, row: int, minute: int, now_ms: int) -> Kline | None:
        bar = self._market.bar(row, minute, now_ms)
        if bar is None:
            return None
        trades = self._prints.minute(row, minute)
        if minute + MINUTE_MS > now_ms:
            trades = [trade for trade in trades if trade.at_ms <= now_ms]
            bar = _running(bar, trades)
        return _told(bar, "1m", minute + MINUTE_MS - 1, trades)


def _told(bar: Bar, interval: str, last_ms: int, trades: list[Print]) -> Kline:
    """A bar with what its trades say."""
    bought = [trade for trade in trades if not trade.seller_took]
    return Kline(
        bar=bar,
        interval=interval,
        last_ms=last_ms,
        money=_money(trades) if trades else to_decimal(bar.volume) * to_decimal(bar.close),
        count=len(trades),
        first_id=trades[0].number if trades else -1,
        last_id=trades[-1].number if trades else -1,
        taken=(sum((trade.quantity for trade in bought), NOTHING), _money(bought)),
    )


def _money(trades: list[Print]) -> Decimal:
    return sum((trade.price * trade.quantity for trade in trades), NOTHING)


def _running(bar: Bar, trades: list[Print]) -> Bar:
    """An open bar as its trades made it; one without any stands where it opened."""
    if not trades:
        return replace(bar, high=bar.open, low=bar.open, close=bar.open, volume=0.0)
    prices = [float(trade.price) for trade in trades]
    volume = float(sum((trade.quantity for trade in trades), NOTHING))
    return replace(bar, high=max(prices), low=min(prices), close=prices[-1], volume=volume)


def _joined(one: Kline, other: Kline) -> Kline:
    """Two as one; ``other`` is the later."""
    bar = Bar(
        minute=one.bar.minute,
        open=one.bar.open,
        high=max(one.bar.high, other.bar.high),
        low=min(one.bar.low, other.bar.low),
        close=other.bar.close,
        volume=float(to_decimal(one.bar.volume) + to_decimal(other.bar.volume)),
        filler=one.bar.filler and other.bar.filler,
    )
    return Kline(
        bar=bar,
        interval=one.interval,
        last_ms=other.last_ms,
        money=one.money + other.money,
        count=one.count + other.count,
        first_id=one.first_id if one.first_id >= 0 else other.first_id,
        last_id=other.last_id if other.last_id >= 0 else one.last_id,
        taken=(one.taken[0] + other.taken[0], one.taken[1] + other.taken[1]),
    )
