"""The feed: closed bars and tops of book of one venue, collected once a minute.

Bars and books are built inside this process from the stream; only the minute's slice leaves it. What is waited for
and asked is in ``actors.bar_feed``, what is final and what was revised in ``exchanges.bar_book``.
"""

import asyncio
import time

import numpy as np

from actors.bar_feed import BarFeed
from actors.clock import MarketTime
from actors.plan import RunPlan
from actors.shell import Shell, keep_memory
from core.messages import MarketSlice, MinuteTick, Sentiment, Top
from core.units import MINUTE_MS, Instrument
from data.sentiment import FearGreedClient
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.stream import MarketStream

GRACE_S = {"lockstep": 0.5, "speed": 1.0, "wall": 2.5}
"""How long final frames are waited for before REST is asked."""
SENTIMENT_EVERY_MS = 5 * MINUTE_MS


class FeedActor(Shell):
    """Watches one venue's public data. Holds no key."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "feed")
        exchange = plan.settings.config.exchanges["binance"]
        self._instruments = plan.settings.config.trade.rows
        self._time = MarketTime(plan.speed, wall=plan.clock == "wall")
        self._gateway = BinanceGateway(exchange, None, self._instruments)
        self._bars = BarFeed(self._instruments, self._gateway, GRACE_S[plan.clock])
        self._stream = MarketStream(
            exchange, self._instruments, self._bars.hear, None, self._bars.gap, now_ms=self._time.now_ms
        )
        self._running: asyncio.Task | None = None
        self._mood = FearGreedClient(plan.sentiment_url) if plan.sentiment_url else None
        self._sentiment: Sentiment | None = None
        self._sentiment_asked_ms: int | None = None

    async def start(self) -> None:
        """Connect and subscribe; returns when the venue has confirmed."""
        self._time.tell(await self._gateway.server_time_ms())
        self._running = asyncio.get_running_loop().create_task(self._stream.run())
        await asyncio.wait_for(self._stream.subscribed(), 30)
        keep_memory()

    async def health(self) -> dict:
        state = self._stream.state
        return super().health() | {
            "connected": state.connected,
            "gaps": self._bars.gaps,
            "late_bars": self._bars.late,
            "revised_bars": self._bars.book.revisions,
            "found_bars": self._bars.book.found,
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
        if self._running is not None and self._running.done():
            # A stream ends by an error only: each minute says which, until the supervisor starts us again.
            self._running.result()
        with self.minute(tick.minute, tick.trace):
            seen = await self._bars.collect(tick.minute)
            return MarketSlice(
                minute=tick.minute,
                instruments=self._instruments,
                bars=seen.bars,
                tops=tuple(self._top(i) for i in self._instruments),
                late=seen.late,
                revised=seen.revised,
                sentiment=await self._mood_at(tick.now_ms),
                took_ms=(time.perf_counter() - began) * 1000,
            )

    async def _mood_at(self, now_ms: int) -> Sentiment | None:
        if self._mood is None:
            return None
        if self._sentiment_asked_ms is None or now_ms - self._sentiment_asked_ms >= SENTIMENT_EVERY_MS:
            self._sentiment_asked_ms = now_ms
            self._sentiment = await self._mood.fetch(now_ms)
        return self._sentiment

    def _top(self, instrument: Instrument) -> Top | None:
        return self._stream.tops.get(instrument)
