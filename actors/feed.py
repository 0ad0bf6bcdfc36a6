"""The feed: closed bars and tops of book of one venue, collected once a minute.

Bars and books are built inside this process from the stream; only the minute's slice leaves it. What is final, what
REST must be asked and what was revised is decided by ``exchanges.bar_book``; here it is waited for, asked and told.
"""

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from actors.clock import MarketTime
from actors.plan import RunPlan
from actors.shell import Shell
from core.errors import BotError
from core.messages import Bar, BarRevised, MarketSlice, MinuteTick, Sentiment, Top
from core.units import MINUTE_MS, Instrument
from data.sentiment import FearGreedClient
from exchanges.bar_book import Ask, BarBook
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.stream import MarketStream

GRACE_S = {"lockstep": 0.5, "speed": 1.0, "wall": 2.5}
"""How long final frames are waited for before REST is asked."""
SENTIMENT_EVERY_MS = 5 * MINUTE_MS
ASKED_AT_ONCE = 10
"""Requests for history under way together."""
TOLD = 5
"""Revised bars that are logged one by one; of more the number is."""


class FeedActor(Shell):
    """Watches one venue's public data. Holds no key."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "feed")
        exchange = plan.settings.config.exchanges["binance"]
        self._instruments = plan.settings.config.trade.rows
        self._grace_s = GRACE_S[plan.clock]
        self._time = MarketTime(plan.speed, wall=plan.clock == "wall")
        self._gateway = BinanceGateway(exchange, None, self._instruments)
        self._stream = MarketStream(
            exchange, self._instruments, self._on_bar, None, self._on_gap, now_ms=self._time.now_ms
        )
        self._book = BarBook(self._instruments)
        self._came = asyncio.Event()
        self._running: asyncio.Task | None = None
        self._looking_back: asyncio.Task | None = None
        self._mood = FearGreedClient(plan.sentiment_url) if plan.sentiment_url else None
        self._sentiment: Sentiment | None = None
        self._sentiment_asked_ms: int | None = None
        self._gaps = 0
        self._late = 0

    async def start(self) -> None:
        """Connect and subscribe; returns when the venue has confirmed."""
        self._time.tell(await self._gateway.server_time_ms())
        self._running = asyncio.get_running_loop().create_task(self._stream.run())
        await asyncio.wait_for(self._stream.subscribed(), 30)

    async def health(self) -> dict:
        state = self._stream.state
        return super().health() | {
            "connected": state.connected,
            "gaps": self._gaps,
            "late_bars": self._late,
            "revised_bars": self._book.revisions,
            "found_bars": self._book.found,
            "faults": sum(self._stream.faults.values()),
        }

    async def history(self, count: int) -> tuple[np.ndarray, np.ndarray, int]:
        """The last ``count`` closed minutes by REST: bars (S, count, 5) with NaN for missing, filler (S, count), last minute."""
        now = await self._gateway.server_time_ms()
        last = now // MINUTE_MS * MINUTE_MS - MINUTE_MS
        first = last - (count - 1) * MINUTE_MS
        bars = np.full((len(self._instruments), count, 5), np.nan)
        answers = await asyncio.gather(*(self._gateway.history(i, first, count) for i in self._instruments))
        for row, rows in enumerate(answers):
            for bar in rows:
                bars[row, (bar.minute - first) // MINUTE_MS] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        return bars, np.isnan(bars[..., 0]), last

    async def collect(self, tick: MinuteTick) -> MarketSlice:
        """Everything seen of ``tick.minute``, waiting a little for what is still on its way."""
        began = time.perf_counter()
        self._time.tell(tick.now_ms)
        with self.minute(tick.minute, tick.trace):
            await self._wait(tick.minute)
            await self._ask(self._book.asks(tick.minute))
            bars = self._book.close(tick.minute)
            late = tuple(i for i, bar in zip(self._instruments, bars, strict=True) if bar is None)
            self._late += len(late)
            if late:
                self.log.warning("no final bar: %s", ", ".join(map(str, late)))
            revised = self._book.take_revisions(tick.minute)
            self._tell(revised)
            self._look_back(tick.minute)
            return MarketSlice(
                minute=tick.minute,
                instruments=self._instruments,
                bars=bars,
                tops=tuple(self._top(i) for i in self._instruments),
                late=late,
                revised=revised,
                sentiment=await self._mood_at(tick.now_ms),
                took_ms=(time.perf_counter() - began) * 1000,
            )

    async def _wait(self, minute: int) -> None:
        """Until every bar is there, one is known to need REST, or the grace is over."""
        try:
            async with asyncio.timeout(self._grace_s):
                while not (self._book.complete(minute) or self._book.doubtful(minute)):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return

    async def _ask(self, asks: Sequence[Ask]) -> None:
        """REST is final too. What it does not know of either (a halt) stays missing."""
        line = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(one: Ask) -> None:
            async with line:
                self._book.learn(one, await self._gateway.history(one.instrument, one.first, one.count))

        failed = [e for e in await asyncio.gather(*map(ask, asks), return_exceptions=True) if e is not None]
        for error in failed:
            if not isinstance(error, BotError):
                raise error
        if failed:
            self.log.warning("asking for bars failed %d times of %d: %s", len(failed), len(asks), failed[0])

    def _look_back(self, minute: int) -> None:
        """Venues revise what they sent: look at recent bars again, beside the minutes. The next slice tells."""
        if self._looking_back is not None and not self._looking_back.done():
            return
        asks = self._book.look_back(minute)
        if asks:
            self._looking_back = asyncio.get_running_loop().create_task(self._ask(asks))

    def _tell(self, revised: Sequence[BarRevised]) -> None:
        for one in revised[:TOLD]:
            self.log.warning("bar of %s revised: %s, was %s", one.instrument, one.bar, one.before)
        if len(revised) > TOLD:
            self.log.warning("%d bars revised, of which %d are told above", len(revised), TOLD)

    async def _mood_at(self, now_ms: int) -> Sentiment | None:
        if self._mood is None:
            return None
        if self._sentiment_asked_ms is None or now_ms - self._sentiment_asked_ms >= SENTIMENT_EVERY_MS:
            self._sentiment_asked_ms = now_ms
            self._sentiment = await self._mood.fetch(now_ms)
        return self._sentiment

    def _top(self, instrument: Instrument) -> Top | None:
        return self._stream.tops.get(instrument)

    def _on_bar(self, instrument: Instrument, bar: Bar) -> None:
        self._book.hear(instrument, bar)
        self._came.set()

    def _on_gap(self, reason: str) -> None:
        # What closed while we were away is asked for by the next collect().
        self._gaps += 1
        self._book.gap()
        self.log.warning("stream interrupted (%s); subscribed again", reason)
