"""Binance spot's market data: final one-minute bars and the best bid and ask, over one combined stream."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from config.settings import ExchangeSettings
from core.errors import DataError
from core.messages import Bar, Top
from core.units import Instrument
from exchanges.binance.wire import MarketFrame, decode, decode_kline, decode_top, reader
from exchanges.link import Leave, Link, LinkPolicy, LinkState

log = logging.getLogger(__name__)

STREAM_URL = "wss://stream.binance.com:9443/stream"
PER_SUBSCRIBE = 100
"""Streams in one SUBSCRIBE."""
SEND_SPACING_S = 0.25
"""At most 5 messages a second are taken, pings among them; this is 4."""

_FRAME = reader(MarketFrame)


class MarketStream:
    """Bars and tops of the instruments.

    ``on_bar(instrument, bar)``: a bar the venue marked final (``x`` = true), once each, times ascending.
    ``on_top(instrument, top)``: every change of the best bid or ask, None when a side of the book is empty.
    ``on_gap(reason)``: the stream was interrupted and is subscribed again; what happened between was not sent and must
    be fetched by ``BinanceGateway.history``. The callbacks run in the loop and must not block. A frame that cannot be
    read is counted in ``faults``, with the last one's reason in ``last_fault``.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        instruments: Sequence[Instrument],
        on_bar: Callable[[Instrument, Bar], None],
        on_top: Callable[[Instrument, Top | None], None] | None = None,
        on_gap: Callable[[str], None] | None = None,
        *,
        now_ms: Callable[[], int],
        policy: LinkPolicy | None = None,
    ) -> None:
        self.instruments = {i.symbol.replace("/", ""): i for i in instruments}
        self.tops: dict[Instrument, Top] = {}
        """The latest best bid and ask; none for an instrument without a book, and none at all while disconnected."""
        self.faults: Counter[str] = Counter()
        """Frames not used, by kind: ``malformed``, ``foreign`` (not subscribed to), ``repeated`` (a bar sent again)."""
        self.last_fault = ""
        self._on_bar, self._on_top, self._on_gap, self._now_ms = on_bar, on_top, on_gap, now_ms
        self._last_final: dict[Instrument, int] = {}
        self._pending: set[int] = set()
        self._requests = 0
        url = settings.stream_url or STREAM_URL
        self._link = Link(
            "binance market stream", url, policy or LinkPolicy(), self._subscribe, self.take, self.tops.clear
        )

    @property
    def state(self) -> LinkState:
        return self._link.state

    async def run(self) -> None:
        """Stream until ``close``."""
        await self._link.run()

    async def close(self) -> None:
        await self._link.close()

    async def subscribed(self) -> None:
        """Returns when the venue has confirmed the subscriptions of the current connection."""
        await self._link.confirmed.wait()

    def take(self, frame: bytes) -> Leave | None:
        """One frame of the stream; a reason to leave, or None."""
        try:
            return self._take(frame)
        except DataError as error:
            self._count("malformed", str(error))
            return None

    def _take(self, frame: bytes) -> Leave | None:
        envelope: MarketFrame = decode(_FRAME, frame, "stream frame")
        if envelope.stream.endswith("@bookTicker"):
            self._take_top(envelope.data)
        elif envelope.stream.endswith("@kline_1m"):
            self._take_kline(envelope.data)
        elif envelope.stream == "!serverShutdown" or envelope.e == "serverShutdown":
            return Leave("the server is shutting down", planned=True)
        elif envelope.error is not None or envelope.code is not None:
            reason = envelope.error.msg if envelope.error else envelope.msg
            return Leave(f"the venue refused a subscription: {reason[:120]}", planned=False)
        elif envelope.id is not None:
            self._confirm(envelope.id)
        else:
            self._count("foreign", f"stream {envelope.stream[:60]!r}")
        return None

    def _take_top(self, data: msgspec.Raw) -> None:
        symbol, top = decode_top(data, self._now_ms())
        instrument = self.instruments.get(symbol)
        if instrument is None:
            self._count("foreign", f"bookTicker of {symbol[:20]!r}")
            return
        if top is None:
            self.tops.pop(instrument, None)
        else:
            self.tops[instrument] = top
        if self._on_top is not None:
            self._on_top(instrument, top)

    def _take_kline(self, data: msgspec.Raw) -> None:
        symbol, bar, final = decode_kline(data)
        instrument = self.instruments.get(symbol)
        if instrument is None:
            self._count("foreign", f"kline of {symbol[:20]!r}")
        elif final and bar.minute <= self._last_final.get(instrument, -1):
            self._count("repeated", f"bar {bar.minute} of {symbol}")
        elif final:
            self._last_final[instrument] = bar.minute
            self._on_bar(instrument, bar)

    def _confirm(self, request: int | str) -> None:
        self._pending.discard(int(request) if str(request).isdecimal() else -1)
        if self._pending or self._link.confirmed.is_set():
            return
        self._link.confirmed.set()
        if self._link.state.lives > 1 and self._on_gap is not None:
            self._on_gap(self._link.state.last_end)

    async def _subscribe(self, link: Link) -> None:
        """Ask for everything, in few messages, slowly enough."""
        names = [f"{symbol.lower()}@{kind}" for symbol in self.instruments for kind in ("kline_1m", "bookTicker")]
        batches = [names[i : i + PER_SUBSCRIBE] for i in range(0, len(names), PER_SUBSCRIBE)]
        first = self._requests + 1
        self._requests += len(batches)
        self._pending = set(range(first, first + len(batches)))
        for number, batch in enumerate(batches, first):
            request = {"method": "SUBSCRIBE", "params": batch, "id": number}
            await link.send(msgspec.json.encode(request).decode())
            await asyncio.sleep(SEND_SPACING_S)

    def _count(self, kind: str, reason: str) -> None:
        self.faults[kind] += 1
        self.last_fault = reason
        if self.faults[kind] in (1, 10, 100) or self.faults[kind] % 1_000 == 0:
            log.warning("binance market stream: %s frame no. %d: %s", kind, self.faults[kind], reason)
