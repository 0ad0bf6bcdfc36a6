"""The feed: closed bars and tops of book of every venue, collected once a minute.

Bars and books are built inside this process from the streams (``actors.venue_feed``, one a venue); only the minute's
slice leaves it. Beside what is traded it watches the markets that tell what a quote currency is worth.
"""

import asyncio
import time

import numpy as np

from actors.clock import MarketTime
from actors.plan import RunPlan
from actors.shell import Shell
from actors.venue_feed import VenueFeed
from core.currency import read_rates, watched_markets
from core.messages import Bar, MarketSlice, MinuteTick, Sentiment
from core.units import MINUTE_MS, Instrument
from data.sentiment import FearGreedClient
from exchanges.venues import own

GRACE_S = {"lockstep": 0.5, "speed": 1.0, "wall": 2.5}
"""How long final frames are waited for before REST is asked."""
SENTIMENT_EVERY_MS = 5 * MINUTE_MS


class FeedActor(Shell):
    """Watches the venues' public data. Holds no key."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "feed")
        config = plan.settings.config
        self._instruments = config.trade.rows
        self._watched = watched_markets(self._instruments)
        self._grace_s, self._lockstep = GRACE_S[plan.clock], plan.clock == "lockstep"
        self._time = MarketTime(plan.speed, wall=plan.clock == "wall")
        self._venues = tuple(
            VenueFeed(
                venue,
                config.exchanges[venue],
                own(venue, self._instruments),
                own(venue, self._watched),
                self._time.now_ms,
            )
            for venue in dict.fromkeys(i.venue for i in self._instruments)
        )
        self._by_name = {part.venue: part for part in self._venues}
        self._mood = FearGreedClient(plan.sentiment_url) if plan.sentiment_url else None
        self._sentiment: Sentiment | None = None
        self._sentiment_asked_ms: int | None = None
        self._late = 0

    async def start(self) -> None:
        """Connect and subscribe everywhere; returns when every venue has confirmed."""
        self._time.tell(await self._now_ms())
        await asyncio.gather(*(part.start() for part in self._venues))

    async def health(self) -> dict:
        parts = [part.health() for part in self._venues]
        return super().health() | {
            "connected": all(part["connected"] for part in parts),
            "gaps": sum(part["gaps"] for part in parts),
            "late_bars": self._late,
            "faults": sum(part["faults"] for part in parts),
        }

    async def history(self, count: int) -> tuple[np.ndarray, np.ndarray, int]:
        """The last ``count`` closed minutes by REST: bars (S, count, 5) with NaN for missing, filler (S, count), last minute."""
        now = await self._now_ms()
        last = now // MINUTE_MS * MINUTE_MS - MINUTE_MS
        first = last - (count - 1) * MINUTE_MS
        bars = np.full((len(self._instruments), count, 5), np.nan)
        answers = await asyncio.gather(*(part.history(first, count) for part in self._venues))
        for part, rows in zip(self._venues, answers, strict=True):
            bars[[self._instruments.index(i) for i in part.instruments]] = rows
        return bars, np.isnan(bars[..., 0]), last

    async def collect(self, tick: MinuteTick) -> MarketSlice:
        """Everything seen of ``tick.minute``, waiting a little for what is still on its way."""
        began = time.perf_counter()
        self._time.tell(tick.now_ms)
        with self.minute(tick.minute, tick.trace):
            found = await asyncio.gather(
                *(part.collect(tick.minute, self._grace_s, lockstep=self._lockstep) for part in self._venues)
            )
            bars: dict[Instrument, Bar] = {i: bar for part in found for i, bar in part.items()}
            late = tuple(i for i in self._instruments if i not in bars)
            self._late += len(late)
            if late:
                self.log.warning("no final bar: %s", ", ".join(map(str, late)))
            tops = {i: self._by_name[i.venue].top(i) for i in (*self._instruments, *self._watched)}
            return MarketSlice(
                minute=tick.minute,
                instruments=self._instruments,
                bars=tuple(bars.get(i) for i in self._instruments),
                tops=tuple(tops[i] for i in self._instruments),
                late=late,
                sentiment=await self._mood_at(tick.now_ms),
                rates=read_rates({i: top for i, top in tops.items() if top is not None}),
                took_ms=(time.perf_counter() - began) * 1000,
            )

    async def _now_ms(self) -> int:
        """The time of the first venue, which is that of the market."""
        return await self._venues[0].gateway.server_time_ms()

    async def _mood_at(self, now_ms: int) -> Sentiment | None:
        if self._mood is None:
            return None
        if self._sentiment_asked_ms is None or now_ms - self._sentiment_asked_ms >= SENTIMENT_EVERY_MS:
            self._sentiment_asked_ms = now_ms
            self._sentiment = await self._mood.fetch(now_ms)
        return self._sentiment
