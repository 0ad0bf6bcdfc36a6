"""Binance spot's market data over combined streams: final one-minute bars, best bid and ask, and where wanted trades
and order books."""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from config.settings import ExchangeSettings
from core.errors import BotError, DataError, Defect
from core.messages import Top
from core.units import Instrument
from exchanges.binance.channels import (
    BookChannel,
    Channel,
    KlineChannel,
    OnBar,
    OnBook,
    OnTop,
    OnTrade,
    TopChannel,
    TradeChannel,
)
from exchanges.binance.wire import MarketFrame, decode, reader
from exchanges.book import OrderBook, Snapshot, Step
from exchanges.lag import Lateness
from exchanges.limits.gate import Gate
from exchanges.link import Leave, Link, LinkPolicy, LinkState, joined, run_all
from exchanges.trade import Trade

log = logging.getLogger(__name__)

STREAM_URL = "wss://stream.binance.com:9443/stream"
PER_SUBSCRIBE = 100
"""Streams in one SUBSCRIBE."""
PER_CONNECTION = 1_024
"""Streams the venue allows on one connection."""
SEND_SPACING_S = 0.25
"""At most 5 messages a second are taken, pings among them; this is 4."""
SNAPSHOT_PAUSE_S = 0.5
"""Between two snapshots of one book: one that was too old needs a younger one."""

_FRAME = reader(MarketFrame)
_NAMED = b'{"stream":"'


class Tops(Mapping[Instrument, Top]):
    """The latest best bid and ask; none for an instrument without a book, and none at all while disconnected."""

    def __init__(self, channels: dict[Instrument, TopChannel]) -> None:
        self._channels = channels

    def __getitem__(self, instrument: Instrument) -> Top:
        top = self._channels[instrument].top
        if top is None:
            raise KeyError(instrument)
        return top

    def __iter__(self) -> Iterator[Instrument]:
        return (i for i, channel in self._channels.items() if channel.top is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class MarketStream:
    """Bars and tops of the instruments; with ``trades`` (or somebody who listens to them) and ``depth`` also their
    executions and order books.

    ``on_bar(instrument, bar)``: a bar the venue marked final (``x`` = true), once each; or, with the source
    ``unconfirmed``, one whose final frame is missing or contradicts itself: ask REST.
    ``on_top(instrument, top)``: every change of the best bid or ask, None when a side of the book is empty.
    ``on_gap(reason)``: the stream was interrupted and is subscribed again; what happened between was not sent and must
    be fetched by ``BinanceGateway.history``. A renewal that overlaps leaves no gap and is not told.
    ``on_trade(instrument, trade)``: every execution once. ``on_book(instrument, book)``: the live book after each
    change (read it, do not keep it), None when it is lost; ``snapshot`` (``BinanceGateway.depth``) is asked for a whole
    book whenever one is needed.
    The callbacks run in the loop and must not block. A frame that cannot be read is counted in ``faults``, with the
    last one's reason in ``last_fault``. More than ``PER_CONNECTION`` streams are spread over several connections.
    ``gate``: the line each connect stands in; None counts nowhere.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        instruments: Sequence[Instrument],
        on_bar: OnBar,
        on_top: OnTop | None = None,
        on_gap: Callable[[str], None] | None = None,
        *,
        now_ms: Callable[[], int],
        policy: LinkPolicy | None = None,
        trades: bool = False,
        depth: bool = False,
        on_trade: OnTrade | None = None,
        on_book: OnBook | None = None,
        snapshot: Callable[[Instrument], Awaitable[Snapshot]] | None = None,
        gate: Gate | None = None,
    ) -> None:
        if depth and snapshot is None:
            raise Defect("MarketStream: depth needs a function that fetches snapshots")
        self.instruments = {i.symbol.replace("/", ""): i for i in instruments}
        self.faults: Counter[str] = Counter()
        """Frames not used, by kind: ``malformed``, ``foreign`` (not subscribed to), ``repeated`` (a bar sent again),
        ``contradicted`` and ``unfinished`` (bars to be asked for), ``gap`` and ``crossed`` (books fetched anew)."""
        self.last_fault = ""
        self._on_gap, self._snapshot, self._gate = on_gap, snapshot, gate
        self._requests = 0
        self._late = Lateness()
        self._wanting: deque[BookChannel] = deque()
        self._wanted = asyncio.Event()
        tops: dict[Instrument, TopChannel] = {}
        self._trades: dict[Instrument, TradeChannel] = {}
        self._books: dict[Instrument, BookChannel] = {}
        self._channels: dict[Instrument, list[Channel]] = {}
        self._routes: dict[bytes, Callable[[bytes], bool]] = {}
        for symbol, instrument in self.instruments.items():
            tops[instrument] = TopChannel(instrument, symbol, now_ms, on_top)
            made: list[Channel] = [
                KlineChannel(instrument, symbol, on_bar, self._count, self._stamped),
                tops[instrument],
            ]
            if trades or on_trade is not None:
                self._trades[instrument] = TradeChannel(instrument, symbol, on_trade)
                made.append(self._trades[instrument])
            if depth:
                self._books[instrument] = BookChannel(instrument, symbol, on_book, self._want, self._count)
                made.append(self._books[instrument])
            self._channels[instrument] = made
            self._routes.update({_NAMED + f"{symbol.lower()}@{c.kind}".encode(): c.take for c in made})
        self.tops = Tops(tops)
        self._legs = self._make_legs(settings.stream_url or STREAM_URL, policy or LinkPolicy())

    @property
    def state(self) -> LinkState:
        """Of the connection; of several, connected when all are, and their sums."""
        return joined([leg.link.state for leg in self._legs])

    def book(self, instrument: Instrument) -> OrderBook | None:
        """The live order book, or None while there is none that can be trusted."""
        kept = self._books[instrument].kept
        return kept.book if kept.live else None

    def trade(self, instrument: Instrument) -> Trade | None:
        """The latest execution that was heard."""
        return self._trades[instrument].latest

    @property
    def behind_ms(self) -> float:
        """How much later than usual the newest bar frame came."""
        return self._late.behind_ms

    @property
    def resyncs(self) -> int:
        """How often an order book was lost to a gap or a crossing."""
        return sum(channel.kept.resyncs for channel in self._books.values())

    @property
    def missed_trades(self) -> int:
        """Executions whose number was skipped while connected."""
        return sum(channel.missed for channel in self._trades.values())

    async def run(self) -> None:
        """Stream until ``close``."""
        await run_all([leg.link for leg in self._legs], self._fetch_books() if self._books else None)

    async def close(self) -> None:
        for leg in self._legs:
            await leg.link.close()

    def renew(self, instrument: Instrument, reason: str) -> None:
        """A new connection in place of the one that carries ``instrument``, beside it until it is heard."""
        for leg in self._legs:
            if leg.carries(instrument):
                leg.link.renew(reason)

    async def subscribed(self) -> None:
        """Returns when the venue has confirmed the subscriptions of the current connections."""
        for leg in self._legs:
            await leg.link.confirmed.wait()

    def take(self, frame: bytes) -> Leave | None:
        """One frame of the stream; a reason to leave, or None."""
        route = self._routes.get(frame[: frame.find(b'"', 11)])
        try:
            if route is None:
                return self._other(frame)
            return None if route(frame) else self._again(frame)
        except DataError as error:
            self._count("malformed", str(error))
            return None

    def _stamped(self, event_ms: int) -> bool:
        """A frame told its own time: whether what we hear has grown old."""
        return self._late.heard(time.monotonic() * 1_000, event_ms)

    def _other(self, frame: bytes) -> Leave | None:
        """What does not begin like a frame of ours: answers, notices, and frames that are spaced differently."""
        envelope: MarketFrame = decode(_FRAME, frame, "stream frame")
        if envelope.stream == "!serverShutdown" or envelope.e == "serverShutdown":
            return Leave("the server is shutting down", planned=True)
        route = self._routes.get(_NAMED + envelope.stream.encode(errors="replace"))
        if route is not None:
            return None if route(frame) else self._again(frame)
        if envelope.error is not None or envelope.code is not None:
            reason = envelope.error.msg if envelope.error else envelope.msg
            return Leave(f"the venue refused a subscription: {reason[:120]}", planned=False)
        elif envelope.id is not None:
            self._confirm(envelope.id)
        else:
            self._count("foreign", f"stream {envelope.stream[:60]!r}")
        return None

    def _again(self, frame: bytes) -> Leave | None:
        """A frame that tells nothing new, usual while two connections overlap and for diffs a snapshot held, but worth a
        word for a bar; or one that is too old."""
        if self._late.too_old:
            return Leave(self._late.left(), planned=True)
        if b"@kline" in frame[:60] and not any(leg.link.overlapping for leg in self._legs):
            self._count("repeated", frame[:120].decode(errors="replace"))
        return None

    def _confirm(self, request: int | str) -> None:
        number = int(request) if str(request).isdecimal() else -1
        for leg in self._legs:
            if leg.confirms(number) and self._on_gap is not None:
                self._on_gap(leg.link.state.last_end)

    # --- connections --------------------------------------------------------------------------------------------

    def _make_legs(self, url: str, policy: LinkPolicy) -> list["Leg"]:
        each = max(1, PER_CONNECTION // max(1, max(map(len, self._channels.values()), default=1)))
        all_channels = list(self._channels.values())
        groups = [all_channels[i : i + each] for i in range(0, len(all_channels), each)] or [[]]
        return [
            self._leg(url, policy, place, len(groups), list(chain.from_iterable(group)))
            for place, group in enumerate(groups)
        ]

    def _leg(self, url: str, policy: LinkPolicy, place: int, count: int, channels: list[Channel]) -> "Leg":
        name = "binance market stream" + (f" {place + 1} of {count}" if count > 1 else "")
        return Leg(name, url, policy, place, channels, self.take, self._numbers, self._gate)

    def _numbers(self, count: int) -> range:
        """Ids for the next requests."""
        first = self._requests + 1
        self._requests += count
        return range(first, first + count)

    # --- order books --------------------------------------------------------------------------------------------

    def _want(self, channel: BookChannel) -> None:
        if channel not in self._wanting:
            self._wanting.append(channel)
            self._wanted.set()

    async def _fetch_books(self) -> None:
        """Fetch the snapshots that are wanted, one after the other: they are the dearest requests of all."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._wanting:
                channel = self._wanting[0]
                if channel.kept.wanting:
                    await self._fetch(channel)
                self._wanting.popleft()
                if channel.kept.wanting:
                    self._want(channel)
                    await asyncio.sleep(SNAPSHOT_PAUSE_S)

    async def _fetch(self, channel: BookChannel) -> None:
        assert self._snapshot is not None
        try:
            step = channel.join(await self._snapshot(channel.instrument))
        except BotError as error:
            log.warning("binance market stream: no order book of %s: %s", channel.instrument.symbol, error)
            return
        if step is not Step.APPLIED:
            log.debug("order book of %s: snapshot %s, fetched again", channel.instrument.symbol, step.name)

    def _count(self, kind: str, reason: str) -> None:
        self.faults[kind] += 1
        self.last_fault = reason
        if str(self.faults[kind]).strip("0") == "1":  # the first, the tenth, the hundredth, …
            log.warning("binance market stream: %s frame no. %d: %s", kind, self.faults[kind], reason)


class Leg:
    """One connection and what is subscribed to on it."""

    def __init__(
        self,
        name: str,
        url: str,
        policy: LinkPolicy,
        place: int,
        channels: list[Channel],
        take: Callable[[bytes], Leave | None],
        numbers: Callable[[int], range],
        gate: Gate | None,
    ) -> None:
        self.link = Link(name, url, policy, self._subscribe, take, self._down, place=place, gate=gate)
        self._channels = channels
        self._numbers = numbers
        self._pending: set[int] = set()

    def carries(self, instrument: Instrument) -> bool:
        return any(channel.instrument == instrument for channel in self._channels)

    def confirms(self, number: int) -> bool:
        """The venue answered request ``number``; True when that closes an interruption."""
        if number not in self._pending:
            return False
        self._pending.discard(number)
        if self._pending or self.link.confirmed.is_set():
            return False
        self.link.confirmed.set()
        return self.link.state.lives > 1 and not self.link.overlapping

    def _down(self) -> None:
        """No connection is left."""
        for channel in self._channels:
            channel.reset()

    async def _subscribe(self, link: Link) -> None:
        """Ask for everything, in few messages, slowly enough."""
        names = [f"{c.instrument.symbol.replace('/', '').lower()}@{c.kind}" for c in self._channels]
        batches = [names[i : i + PER_SUBSCRIBE] for i in range(0, len(names), PER_SUBSCRIBE)]
        numbers = self._numbers(len(batches))
        self._pending = set(numbers)
        for number, batch in zip(numbers, batches, strict=True):
            request = {"method": "SUBSCRIBE", "params": batch, "id": number}
            await link.send(msgspec.json.encode(request).decode())
            await asyncio.sleep(SEND_SPACING_S)
