"""The feed: closed bars and tops of book of every venue, collected once a minute.

Bars and books are built inside this process from the streams (``actors.venue_feed``, one a venue); only the minute's
slice leaves it. What is waited for and asked is in ``actors.bar_feed``, what is final and what was revised in
``exchanges.bar_book``. Beside what is traded it watches the markets that tell what a quote currency is worth.
"""

import asyncio
import time
from collections.abc import Callable

import numpy as np

from actors.clock import MarketTime
from actors.desk import tell_prices
from actors.limits import gate_of
from actors.plan import RunPlan
from actors.shell import Shell, keep_memory
from actors.top_news import TopNews
from actors.venue_feed import VenueFeed
from config.secrets import load_source_keys
from core.currency import read_rates, watched_markets
from core.messages import MarketSlice, MinuteTick, Sentiment
from core.news import News
from core.units import MINUTE_MS, Instrument
from data.bar_log import BarLog
from data.headline_scores import make_scorer
from data.sources.fear_greed import FearGreedClient
from data.sources.log import NewsLog
from data.sources.newsroom import Newsroom
from data.sources.spec import KEY
from exchanges.trade import Trade
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
        self._time = MarketTime(plan.speed, wall=plan.clock == "wall")
        # Elsewhere positions are looked after at the conductor's beats alone, so that a replay equals its backtest.
        told = plan.clock == "wall" and plan.settings.rules.protection.on
        self._top_news = TopNews(lambda *news: tell_prices(*news, self._time.now_ms())) if told else None
        self._telling: asyncio.Task[None] | None = None
        self._venues = tuple(
            VenueFeed(
                venue,
                config.exchanges[venue],
                own(venue, self._instruments),
                own(venue, self._watched),
                self._time.now_ms,
                GRACE_S[plan.clock],
                gate_of(plan, venue, config.exchanges[venue]),
                lockstep=plan.clock == "lockstep",
                heals=plan.clock == "wall",
                on_top=self._top_news.hear if self._top_news is not None else None,
                on_trade=self._hear_trade if self._top_news is not None else None,
            )
            for venue in dict.fromkeys(i.venue for i in self._instruments)
        )
        self._by_name = {part.venue: part for part in self._venues}
        self._bar_log = BarLog(plan.run_dir)
        self._mood = FearGreedClient(plan.sentiment_url) if plan.sentiment_url else None
        self._sentiment: Sentiment | None = None
        self._sentiment_asked_ms: int | None = None
        self._newsroom = newsroom_of(plan, self._time.now_ms) if plan.sources else None
        # On the wall clock a slow source must not hold up the minute; elsewhere the minute waits for the record.
        self._beside = plan.clock == "wall"
        self._looking: asyncio.Task[None] | None = None
        self._feeling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and subscribe everywhere; returns when every venue has confirmed."""
        # A market that waits for the conductor stands: on a clock that ran ahead of it, minutes to come would be closed.
        self._time.tell(await self._now_ms(), running=False)
        self._first_feeling()
        await asyncio.gather(*(part.start() for part in self._venues))
        if self._top_news is not None and self._telling is None:
            self._telling = asyncio.create_task(self._top_news.run())
        keep_memory()

    def _hear_trade(self, instrument: Instrument, trade: Trade) -> None:
        if self._top_news is not None:
            self._top_news.hear_trade(instrument, trade.price, self._time.now_ms() - trade.at_ms)

    async def health(self) -> dict:
        parts = [part.health() for part in self._venues]
        counts = {name: sum(part[name] for part in parts) for name in parts[0] if name != "connected"}
        return super().health() | {"connected": all(part["connected"] for part in parts)} | counts

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
            found = await asyncio.gather(*(part.collect(tick.minute) for part in self._venues))
            pairs = zip(self._venues, found, strict=True)
            bars = {i: bar for part, seen in pairs for i, bar in zip(part.instruments, seen.bars, strict=True)}
            late = {i for seen in found for i in seen.late}
            revised = sorted((one for seen in found for one in seen.revised), key=lambda one: one.bar.minute)
            tops = {i: self._by_name[i.venue].top(i) for i in (*self._instruments, *self._watched)}
            self._bar_log.add(tick.minute, self._instruments, [bars[i] for i in self._instruments], revised)
            return MarketSlice(
                minute=tick.minute,
                instruments=self._instruments,
                bars=tuple(bars[i] for i in self._instruments),
                tops=tuple(tops[i] for i in self._instruments),
                late=tuple(i for i in self._instruments if i in late),
                revised=tuple(revised),
                sentiment=await self._mood_at(tick.now_ms),
                news=await self._news_at(tick.now_ms),
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
            if not self._beside:
                await self._feel(self._mood, now_ms)
            elif self._feeling is None or self._feeling.done():
                self._feeling = asyncio.create_task(self._feel(self._mood, now_ms))
        return self._sentiment

    def _first_feeling(self) -> None:
        """Asked while the venues come up, and not waited for: by the first minute's close it has long been told."""
        if self._beside and self._mood is not None:
            self._sentiment_asked_ms = self._time.now_ms()
            self._feeling = asyncio.create_task(self._feel(self._mood, self._sentiment_asked_ms))

    async def _feel(self, mood: FearGreedClient, now_ms: int) -> None:
        self._sentiment = await mood.fetch(now_ms)

    async def _news_at(self, now_ms: int) -> News | None:
        if self._newsroom is None:
            return None
        if not self._beside:
            await self._newsroom.look()
        elif self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._newsroom.look())
        return self._newsroom.known(now_ms)


def newsroom_of(plan: RunPlan, now_ms: Callable[[], int]) -> Newsroom:
    """The newsroom of a run's sources; reads keys of sources alone, and only where one is asked for."""
    settings = plan.settings.config.sentiment
    keys = load_source_keys(plan.notices_path or plan.keys_path) if any(KEY in s.url for s in plan.sources) else {}
    return Newsroom(
        plan.sources,
        make_scorer(settings.scorer, settings.transformer),
        now_ms,
        frozenset(i.base for i in plan.settings.config.trade.rows),
        keys=keys,
        store=NewsLog(plan.news_dir) if plan.news_dir is not None else None,
    )
