"""Upbit's market data over one WebSocket: one-minute bars made of its trades, and the best bid and ask.

The venue's own minute candles carry no word of being closed, so bars are built here (``exchanges.trade_bars``) and, where
no later trade closes a minute, confirmed by REST: one ticker request tells for all markets whether anything was traded
that was not heard, and only where something was, the market's candle is asked for.

A subscription is not confirmed by the venue; the first frame of data is taken for it (a trade and a book of every
market come at once). A new request replaces all earlier ones of a connection, so it always carries the whole list.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from config.settings import ExchangeSettings
from core.errors import BotError, DataError
from core.messages import Bar, Top
from core.units import MINUTE_MS, Instrument
from exchanges.lag import Lateness
from exchanges.limits.gate import Gate
from exchanges.link import Leave, Link, LinkPolicy, LinkState, run_all
from exchanges.trade import Trade
from exchanges.trade_bars import TradeBars
from exchanges.upbit.names import market_code
from exchanges.upbit.signing import new_nonce
from exchanges.upbit.wire import decode_book, decode_levels, decode_trade, frame_of

log = logging.getLogger(__name__)

STREAM_URL = "wss://api.upbit.com/websocket/v1"
BEAT_S = 0.05
"""How often it is looked whether minutes have become final."""
CHECK_MS = 1_000
"""Between two rounds of questions to REST."""
SETTLE_MS = 1_000
"""What is heard counts as whole this long after the first frame: markets of one subscription begin one after another."""


Levels = list[tuple[float, float]]


class Confirmer(Protocol):
    """What REST is asked about minutes; ``UpbitGateway`` is one."""

    async def newest_trades(self) -> dict[Instrument, tuple[int, float]]: ...

    async def history(
        self, instrument: Instrument, first_minute: int, count: int, *, urgent: bool = False
    ) -> list[Bar]: ...


class MarketStream:
    """Bars and tops of the instruments.

    ``on_bar(instrument, bar)``: a final bar, once each, times ascending; source ``stream``, ``rest``, or ``filler`` for a
    minute without a trade. ``on_top(instrument, top)``: every change of the best bid or ask, None when a side of the book
    is empty. ``on_gap(reason)``: the stream was interrupted and is subscribed again; minutes of the last ten that were
    missed come through ``on_bar`` where ``rest`` is given, else ``UpbitGateway.history`` must be asked. ``on_trade``:
    every trade heard, once or (after an interruption) twice. ``on_levels(instrument, bids, asks)``: everything displayed,
    (price, quantity) best first, before the ``on_top`` of the same frame. The callbacks run in the loop and must not block.

    Without ``rest`` a minute is final only when a later trade of its market was heard, and one that was not heard whole
    never is. A frame that cannot be read is counted in ``faults``, with the last one's reason in ``last_fault``.
    ``gate``: the line each connect stands in; None counts nowhere.
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
        rest: Confirmer | None = None,
        on_trade: Callable[[Instrument, Trade], None] | None = None,
        on_levels: Callable[[Instrument, Levels, Levels], None] | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.instruments = {market_code(i): i for i in instruments}
        self.tops: dict[Instrument, Top] = {}
        """The latest best bid and ask; none for an instrument without a book, and none at all while disconnected."""
        self.faults: Counter[str] = Counter()
        """Frames not used, by kind: ``malformed``, ``foreign`` (not subscribed to)."""
        self.last_fault = ""
        self.bars = TradeBars(instruments)
        """The bars in the making; its ``faults`` count trades and minutes."""
        self._on_bar, self._on_top, self._on_gap, self._on_trade = on_bar, on_top, on_gap, on_trade
        self._on_levels = on_levels
        self._now_ms, self._rest = now_ms, rest
        self._late = Lateness()
        self._heard = False
        url = settings.stream_url or STREAM_URL
        policy = policy or LinkPolicy()
        self._link = Link("upbit market stream", url, policy, self._subscribe, self.take, self._down, gate=gate)

    @property
    def state(self) -> LinkState:
        return self._link.state

    async def run(self) -> None:
        """Stream until ``close``."""
        await run_all([self._link], self._keep_minutes())

    async def close(self) -> None:
        await self._link.close()

    @property
    def behind_ms(self) -> float:
        """How much later than usual the newest book came."""
        return self._late.behind_ms

    def renew(self, instrument: Instrument, reason: str) -> None:
        """A new connection in place of the one that carries ``instrument``, beside it until it is heard."""
        if instrument in self.instruments.values():
            self._link.renew(reason)

    async def subscribed(self) -> None:
        """Returns when data of the current connection has come."""
        await self._link.confirmed.wait()

    def take(self, frame: bytes) -> Leave | None:
        """One frame of the stream; a reason to leave, or None."""
        try:
            return self._take(frame)
        except DataError as error:
            self._count("malformed", str(error))
            return None

    def _take(self, frame: bytes) -> Leave | None:
        head = frame_of(frame)
        if head.error is not None:
            return Leave(f"the venue refused: {str(head.error.name)[:40]} {head.error.message[:80]}", planned=False)
        if head.type == "trade":
            code, trade = decode_trade(frame)
            self._take_trade(code, trade)
        elif head.type == "orderbook":
            code, top = decode_book(frame)
            if top is not None and head.stream_type == "REALTIME":
                self._late.heard(time.monotonic() * 1_000, top.at_ms)
            if self._on_levels is not None and top is not None and code in self.instruments:
                self._on_levels(self.instruments[code], *decode_levels(frame))
            self._take_top(code, top)
        elif head.status is None:
            self._count("foreign", f"type {head.type[:40]!r}")
        return Leave(self._late.left(), planned=True) if self._late.too_old else None

    def _take_trade(self, code: str, trade: Trade) -> None:
        instrument = self.instruments.get(code)
        if instrument is None:
            self._count("foreign", f"trade of {code[:20]!r}")
            return
        self._confirm()
        self._tell(instrument, self.bars.take(instrument, trade, self._now_ms()))
        if self._on_trade is not None:
            self._on_trade(instrument, trade)

    def _take_top(self, code: str, top: Top | None) -> None:
        instrument = self.instruments.get(code)
        if instrument is None:
            self._count("foreign", f"orderbook of {code[:20]!r}")
            return
        self._confirm()
        if top is None:
            self.tops.pop(instrument, None)
        else:
            self.tops[instrument] = top
        if self._on_top is not None:
            self._on_top(instrument, top)

    def _confirm(self) -> None:
        """Data has come: the subscription stands."""
        if self._link.confirmed.is_set() and self._heard:
            return
        self._link.confirmed.set()
        if self._heard:
            return  # a renewal with overlap: nothing was missed
        self._heard = True
        self.bars.begin(self._now_ms() + SETTLE_MS)
        if self._link.state.lives > 1 and self._on_gap is not None:
            self._on_gap(self._link.state.last_end)

    def _down(self) -> None:
        self.tops.clear()
        self.bars.cut()
        self._heard = False

    async def _subscribe(self, link: Link) -> None:
        codes = list(self.instruments)
        wanted = [{"type": kind, "codes": codes} for kind in ("trade", "orderbook")]
        await link.send(msgspec.json.encode([{"ticket": new_nonce()}, *wanted, {"format": "DEFAULT"}]).decode())

    async def _keep_minutes(self) -> None:
        """Let out minutes whose time has come, and have REST confirm those that nothing else closes."""
        asked, asking = -CHECK_MS, None
        try:
            while True:
                await asyncio.sleep(BEAT_S)
                now = self._now_ms()
                for instrument, bar in self.bars.ripe(now):
                    self._on_bar(instrument, bar)
                if asking is not None and asking.done():
                    asking.result()
                    asking = None
                ready = self._rest is not None and asking is None and self._heard and now - asked >= CHECK_MS
                if ready and self.bars.due(now):
                    asked, asking = now, asyncio.create_task(self._confirm_minutes(self._rest, now))
        finally:
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    async def _confirm_minutes(self, rest: Confirmer, now: int) -> None:
        """One round of questions. What fails is asked again in the next."""
        try:
            newest = await rest.newest_trades()
            for instrument in self.bars.due(now):
                if instrument in newest:
                    self._tell(instrument, self.bars.quiet(instrument, *newest[instrument], now))
            for instrument, (first, end) in self.bars.due(now).items():
                known = await rest.history(instrument, first, (end - first) // MINUTE_MS, urgent=True)
                self._tell(instrument, self.bars.settle(instrument, first, end, known))
        except BotError as error:
            log.warning("upbit market stream: minutes could not be confirmed: %s", error)

    def _tell(self, instrument: Instrument, bars: Sequence[Bar]) -> None:
        for bar in bars:
            self._on_bar(instrument, bar)

    def _count(self, kind: str, reason: str) -> None:
        self.faults[kind] += 1
        self.last_fault = reason
        if self.faults[kind] in (1, 10, 100) or self.faults[kind] % 1_000 == 0:
            log.warning("upbit market stream: %s frame no. %d: %s", kind, self.faults[kind], reason)
