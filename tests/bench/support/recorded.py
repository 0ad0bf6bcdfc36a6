"""A recording of the real streams as a place to work parents in: real books and trades, matched as paper mode does.

Takers walk the recorded depth, resting orders wait in the recorded queue until trades come to them
(``exchanges.simulated.followed``). Our own orders move that market as in paper mode: what we took comes back with
``CostSettings.recovery_half_life_s``, and nothing else changes. An order or a cancel meets the book ``latency_ms`` after it was sent.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson

from core.book import LEVELS
from core.errors import DataError
from core.messages import CancelOrder, FloatArray, OrderSnapshot, PlaceOrder, ShownBook, Top
from core.params import CostSettings
from core.session import decision_ms
from core.units import BPS, MINUTE_MS, Instrument, MarketRules, Side
from exchanges.book import KeptBook, Snapshot
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.followed import FollowedMarket, Quotes
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.market import SECOND_MS
from exchanges.simulated.recording import Line, instrument_of, merged
from exchanges.simulated.rules import default_rules
from exchanges.trade import Trade
from tests.bench.support.shortfall import LARGEST, LEAST_USDT, RICH, SMALLEST, WINDOW, Case

BEFORE_S = 120
"""Of the recording, before the first decision: volume and volatility are told from what came before it."""
SPREAD_S = 10
"""Volatility is told from returns over so many seconds: in one-second returns the bounce between bid and ask is a part."""

NEAR_BPS = 1.0
BURST_MS, BURSTS = 100, 60
"""Length of a burst of trades, and how many of the largest on a side are looked at."""
BEFORE_MS = 300
"""Before a burst's end, when what was displayed is what it met."""

Shown = tuple[Quotes, Quotes]
Told = Top | Shown | Trade


@dataclass(slots=True)
class Stream:
    """What came of one market, each kind with its times (epoch ms, not falling)."""

    instrument: Instrument
    tops: list[Top]
    top_ms: list[int]
    books: list[Shown]
    book_ms: list[int]
    trades: list[Trade]
    trade_ms: list[int]
    all: list[tuple[int, Told]]
    """Everything, in the order in which it came."""
    all_ms: list[int]

    def mid_at(self, ms: int) -> float:
        top = self.tops[max(bisect_right(self.top_ms, ms) - 1, 0)]
        return 0.5 * (top.bid + top.ask)

    def flow(self, start_ms: int, ms: int) -> tuple[float, float]:
        """(volume, sigma) a minute, over what came from ``start_ms`` to ``ms``."""
        minutes = (ms - start_ms) / MINUTE_MS
        first, last = bisect_right(self.trade_ms, start_ms), bisect_right(self.trade_ms, ms)
        volume = sum(trade.quantity for trade in self.trades[first:last]) / minutes
        times = range(start_ms, ms + 1, SPREAD_S * SECOND_MS)
        moves = np.diff(np.log([self.mid_at(t) for t in times]))
        return volume, float(np.sqrt(np.mean(moves**2) * 60.0 / SPREAD_S))


def depth_after(streams: Sequence[Stream], lags_ms: Sequence[int]) -> FloatArray:
    """(lags,) volume displayed within ``NEAR_BPS`` of the touch on the side that the largest bursts of trades hit, so long
    after them, as a share of what was there a moment before: how fast a real book comes back."""
    shares = []
    for stream in streams:
        times, trade_ms = np.array(stream.book_ms), np.array(stream.trade_ms)
        sold = np.array([trade.sold for trade in stream.trades])
        sizes = np.array([trade.quantity for trade in stream.trades])
        for hit in set(sold.tolist()):
            # A sale meets the bids, a purchase the asks.
            near = np.array([_near(book[0 if hit else 1]) for book in stream.books])
            burst = (trade_ms[sold == hit] - times[0]) // BURST_MS
            taken = np.bincount(np.maximum(burst, 0), weights=sizes[sold == hit])
            ends = times[0] + (np.argsort(taken)[-BURSTS:] + 1) * BURST_MS
            ends = ends[(ends > times[0] + BEFORE_MS) & (ends + max(lags_ms) < times[-1])]
            told = np.stack(
                [near[np.searchsorted(times, ends + lag, side="right") - 1] for lag in (-BEFORE_MS, *lags_ms)]
            )
            shares.append(told[1:].sum(axis=1) / told[0].sum())
    return np.mean(shares, axis=0)


def _near(levels: Quotes) -> float:
    best = levels[0][0]
    return sum(size for price, size in levels if abs(price / best - 1.0) <= NEAR_BPS / BPS)


def read_streams(folder: Path) -> list[Stream]:
    """The markets of a folder of recordings (see ``exchanges.simulated.recording``); DataError where there is none.

    The clock is the exchange's: the recorder's own, moved by the median of what it was behind the times that the frames
    tell.
    """
    files = sorted(p for p in folder.glob("*") if p.is_file())
    if not files:
        raise DataError(f"{folder}: no recording in it; it needs files of raw Binance stream messages")
    lines = list(merged(files))
    behind = [
        orjson.loads(line.payload)["E"] - line.at_ns // 1_000_000 for line in lines if line.stream.endswith("@trade")
    ]
    if not behind:
        raise DataError(f"{folder}: the recording holds no trades")
    skew = int(np.median(behind))
    streams = [_stream(symbol, lines, skew) for symbol in sorted({line.symbol for line in lines})]
    return [stream for stream in streams if stream.tops and stream.books and stream.trades]


def _stream(symbol: str, lines: Sequence[Line], skew: int) -> Stream:
    stream = Stream(instrument_of(symbol), [], [], [], [], [], [], [], [])
    kept = KeptBook()
    for line in lines:
        if line.symbol != symbol:
            continue
        found = _told(line, kept, line.at_ns // 1_000_000 + skew)
        if found is None:
            continue
        ms = line.at_ns // 1_000_000 + skew
        match found:
            case Top():
                stream.tops.append(found)
                stream.top_ms.append(ms)
            case Trade():
                stream.trades.append(found)
                stream.trade_ms.append(ms)
            case _:
                stream.books.append(found)
                stream.book_ms.append(ms)
        stream.all.append((ms, found))
        stream.all_ms.append(ms)
    return stream


def _told(line: Line, kept: KeptBook, ms: int) -> Told | None:
    message = orjson.loads(line.payload)
    kind = line.stream.partition("@")[2]
    if not line.stream:
        kept.snapshot(Snapshot(message["lastUpdateId"], _levels(message["bids"]), _levels(message["asks"])))
    elif kind.startswith("depth"):
        kept.diff(message["U"], message["u"], _levels(message["b"]), _levels(message["a"]))
    elif kind == "bookTicker":
        bid, bid_qty, ask, ask_qty = (float(message[key]) for key in ("b", "B", "a", "A"))
        return Top(bid=bid, bid_qty=bid_qty, ask=ask, ask_qty=ask_qty, at_ms=ms)
    elif kind == "trade":
        return Trade(
            id=message["t"],
            price=float(message["p"]),
            quantity=float(message["q"]),
            at_ms=message["T"],
            sold=message["m"],
        )
    return kept.book.levels(LEVELS) if kept.live else None


def _levels(rows: list[list[str]]) -> list[tuple[float, float]]:
    return [(float(price), float(quantity)) for price, quantity in rows]


class PlayedBack(FollowedMarket):
    """One market of a recording, told as far as it was played."""

    def __init__(self, stream: Stream, rules: MarketRules, start_ms: int, half_life_s: float) -> None:
        super().__init__(
            (stream.instrument,), {stream.instrument: rules}, start_ms, half_life_ms=half_life_s * SECOND_MS
        )
        self._stream, self._played = stream, 0
        # The newest trade, so that it is known that trades are told.
        before = bisect_right(stream.trade_ms, start_ms)
        self.observe_trade(stream.instrument, stream.trades[max(before - 1, 0)])
        self.play(start_ms)

    def play(self, ms: int) -> None:
        """Tell what came up to ``ms``. While nothing of ours rests, only the newest of it tells."""
        stream, until = self._stream, bisect_right(self._stream.all_ms, ms)
        if any(place.order.working for place in self._places[0]):
            for at_ms, found in stream.all[self._played : until]:
                self._tell(at_ms, found)
        elif until > self._played:
            first_ms = stream.all_ms[self._played]
            newest = (_newest(stream.book_ms, stream.books, ms), _newest(stream.top_ms, stream.tops, ms))
            for at_ms, found in sorted((n for n in newest if n is not None and n[0] >= first_ms), key=lambda n: n[0]):
                self._tell(at_ms, found)
        self._played = until

    def _tell(self, at_ms: int, found: Told) -> None:
        match found:
            case Top():
                self.observe_top(self._stream.instrument, found)
            case Trade():
                self.observe_trade(self._stream.instrument, found)
            case _:
                self.observe_book(self._stream.instrument, *found, at_ms)


def _newest(times: list[int], things: Sequence[Told], ms: int) -> tuple[int, Told] | None:
    index = bisect_right(times, ms) - 1
    return None if index < 0 else (times[index], things[index])


class PlayedBackVenue(SimulatedVenue):
    """An exchange over a recording, ``shift_ms`` ahead of it: so any second of it may be a minute's close."""

    def __init__(self, exchange: SimulatedExchange, market: PlayedBack, shift_ms: int, latency_ms: int) -> None:
        super().__init__(exchange)
        self._market, self._shift_ms, self._latency_ms = market, shift_ms, latency_ms

    def now_ms(self) -> int:
        return self.exchange.now_ms + self._shift_ms

    def advance_to(self, ms: int) -> int:
        real = max(ms - self._shift_ms, self.exchange.now_ms)
        self._market.play(real)
        super().advance_to(real)
        return self.now_ms()

    def place(self, order: PlaceOrder) -> OrderSnapshot:
        self.advance_to(self.now_ms() + self._latency_ms)
        return super().place(order)

    def cancel(self, order: CancelOrder) -> OrderSnapshot:
        self.advance_to(self.now_ms() + self._latency_ms)
        return super().cancel(order)

    def books(self, instruments: Sequence[Instrument]) -> dict[Instrument, ShownBook]:
        found = super().books(instruments)
        return {i: replace(book, at_ms=book.at_ms + self._shift_ms) for i, book in found.items()}

    def _top(self, row: int) -> Top | None:
        top = super()._top(row)
        return None if top is None else replace(top, at_ms=top.at_ms + self._shift_ms)


class Recording:
    """A recorded market, ready to be traded in again and again. ``tests.bench.support.shortfall.Place``."""

    def __init__(self, stream: Stream, costs: CostSettings, minutes: int) -> None:
        """``minutes``: the longest life of a parent."""
        self.stream, self._latency_ms = stream, costs.latency_ms
        self._half_life_s = costs.recovery_half_life_s
        self.most_minutes = minutes
        self.start_ms, end_ms = stream.all_ms[0], stream.all_ms[-1]
        self.seconds = (end_ms - self.start_ms - minutes * MINUTE_MS) // SECOND_MS - BEFORE_S - 5
        """In which decisions may fall."""
        if self.seconds < 1:
            raise DataError(f"{stream.instrument}: too short a recording for orders of {minutes} minutes")
        self.instruments = (stream.instrument,)
        rules = default_rules(stream.instrument, stream.mid_at(self.start_ms), costs)
        self.rules = {stream.instrument: rules}

    def prices(self) -> FloatArray:
        """The middle of the touch, one a second, of the whole recording."""
        return np.array([self.stream.mid_at(ms) for ms in range(self.start_ms, self.stream.all_ms[-1], SECOND_MS)])

    def shows(self, ms: int) -> bool:
        """Whether both sides of the book are known then."""
        market = PlayedBack(self.stream, self.rules[self.stream.instrument], ms, self._half_life_s)
        ladder = market.ladder(0, ms)
        return bool(ladder.bids and ladder.asks)

    def at_ms(self, second: int) -> int:
        return self.start_ms + (BEFORE_S + second) * SECOND_MS

    def venue(self, case: Case) -> PlayedBackVenue:
        start_ms = decision_ms(case.minute) - case.shift_ms
        rules = self.rules[self.stream.instrument]
        market = PlayedBack(self.stream, rules, start_ms, self._half_life_s)
        money = {rules.instrument.base: RICH, rules.instrument.quote: RICH}
        exchange = SimulatedExchange(market, self.rules, money, start_ms)
        return PlayedBackVenue(exchange, market, case.shift_ms, self._latency_ms)

    def bars(self, case: Case, minute: int) -> FloatArray:
        """(1, W, 5) an even history with the volume and volatility of the recording up to then: of the hour before it
        nothing is known."""
        ms = decision_ms(minute) - case.shift_ms
        volume, sigma = self.stream.flow(self.start_ms, ms)
        mid = self.stream.mid_at(ms)
        close = mid * np.exp(sigma * (np.arange(WINDOW) % 2))
        return np.stack([close, close, close, close, np.full(WINDOW, volume)], axis=-1)[None]

    def curve(self, case: Case) -> None:
        """None is known: the volume of ten minutes says nothing of the day's."""


def draw_seconds(places: Sequence[Recording], parents: int, rng: np.random.Generator) -> tuple[list[Case], np.ndarray]:
    """So many parents at random seconds, in pairs of a purchase and a sale, sizes even in the logarithm; and the second
    of each since the first that may be."""
    found: list[Case] = []
    seconds: list[int] = []
    while len(found) < parents:
        number = int(rng.integers(len(places)))
        place = places[number]
        second = int(rng.integers(place.seconds))
        share = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
        at_ms = place.at_ms(second)
        stream = place.stream
        volume, _ = stream.flow(place.start_ms, at_ms)
        mid = stream.mid_at(at_ms)
        rules = place.rules[stream.instrument]
        lots = int(volume * share / float(rules.step))
        if lots * float(rules.step) * mid < LEAST_USDT or not place.shows(at_ms):
            continue
        minute = at_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS
        shift_ms = decision_ms(minute) - at_ms
        found += [Case(number, 0, minute, side, share, lots, mid, shift_ms) for side in Side]
        seconds += [second, second]
    return found, np.array(seconds)
