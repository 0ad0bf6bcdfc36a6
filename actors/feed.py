"""The feed: closed bars and tops of book of one venue, collected once a minute.

Bars and books are built inside this process from the stream; only the minute's slice leaves it. A bar counts as
closed on the venue's final frame, or on REST when the frame does not come in time; else it is late, and said so.
"""

import asyncio
import time
from collections import OrderedDict

import numpy as np

from actors.clock import MarketTime
from actors.limits import gate_of
from actors.plan import RunPlan
from actors.shell import Shell
from core.errors import BotError
from core.messages import Bar, MarketSlice, MinuteTick, Sentiment, Top
from core.units import MINUTE_MS, Instrument
from data.sentiment import FearGreedClient
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.stream import MarketStream

KEPT_MINUTES = 10
GRACE_S = {"lockstep": 0.5, "speed": 1.0, "wall": 2.5}
"""How long final frames are waited for before REST is asked."""
SENTIMENT_EVERY_MS = 5 * MINUTE_MS


class FeedActor(Shell):
    """Watches one venue's public data. Holds no key."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "feed")
        exchange = plan.settings.config.exchanges["binance"]
        self._instruments = plan.settings.config.trade.rows
        self._grace_s = GRACE_S[plan.clock]
        self._time = MarketTime(plan.speed, wall=plan.clock == "wall")
        self._gateway = BinanceGateway(exchange, None, self._instruments, ledger=gate_of(plan, "binance", exchange))
        self._stream = MarketStream(
            exchange, self._instruments, self._on_bar, None, self._on_gap, now_ms=self._time.now_ms
        )
        self._bars: OrderedDict[int, dict[Instrument, Bar]] = OrderedDict()
        self._came = asyncio.Event()
        self._running: asyncio.Task | None = None
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
            missing = [i for i in self._instruments if i not in self._of(tick.minute)]
            if missing:
                await self._ask(tick.minute, missing)
            bars = self._of(tick.minute)
            late = tuple(i for i in self._instruments if i not in bars)
            self._late += len(late)
            if late:
                self.log.warning("no final bar: %s", ", ".join(map(str, late)))
            return MarketSlice(
                minute=tick.minute,
                instruments=self._instruments,
                bars=tuple(bars.get(i) for i in self._instruments),
                tops=tuple(self._top(i) for i in self._instruments),
                late=late,
                sentiment=await self._mood_at(tick.now_ms),
                took_ms=(time.perf_counter() - began) * 1000,
            )

    async def _wait(self, minute: int) -> None:
        try:
            async with asyncio.timeout(self._grace_s):
                while len(self._of(minute)) < len(self._instruments):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return

    async def _ask(self, minute: int, missing: list[Instrument]) -> None:
        """REST is final too. What it does not know of either (a halt) stays missing."""
        try:
            for instrument in missing:
                for bar in await self._gateway.history(instrument, minute, 1):
                    self._of(minute)[instrument] = bar
        except BotError as error:
            self.log.warning("asking for late bars failed: %s", error)

    async def _mood_at(self, now_ms: int) -> Sentiment | None:
        if self._mood is None:
            return None
        if self._sentiment_asked_ms is None or now_ms - self._sentiment_asked_ms >= SENTIMENT_EVERY_MS:
            self._sentiment_asked_ms = now_ms
            self._sentiment = await self._mood.fetch(now_ms)
        return self._sentiment

    def _of(self, minute: int) -> dict[Instrument, Bar]:
        if minute not in self._bars:
            self._bars[minute] = {}
            while len(self._bars) > KEPT_MINUTES:
                self._bars.popitem(last=False)
        return self._bars[minute]

    def _top(self, instrument: Instrument) -> Top | None:
        return self._stream.tops.get(instrument)

    def _on_bar(self, instrument: Instrument, bar: Bar) -> None:
        self._of(bar.minute)[instrument] = bar
        self._came.set()

    def _on_gap(self, reason: str) -> None:
        # Minutes that closed while we were away are asked for by collect(), which finds them missing.
        self._gaps += 1
        self.log.warning("stream interrupted (%s); subscribed again", reason)
