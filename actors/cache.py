"""The cache as an actor: joins the feed's bars and the account into the market all others look at."""

import time
from dataclasses import replace

import ray

from actors.plan import NAMESPACE, RunPlan
from actors.shell import Shell
from core.cache import Cache
from core.features import HISTORY
from core.messages import AccountState, Market, MarketSlice, MinuteTick
from core.units import MINUTE_MS
from core.warmup import load_cache

HISTORY_MINUTES = HISTORY + 1
"""Bars needed before every feature of the whole sequence is defined."""


class CacheActor(Shell):
    """Holds the window of bars and features."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "cache")
        self._cache = Cache(plan.settings.config.trade.rows, plan.settings.rules.risk.max_book_age_ms)

    def start(self) -> None:
        """Fill the window from the venue's own history, by way of the feed."""
        load_cache(self.plan.settings.config.trade.rows)
        self._restore()

    def _restore(self) -> None:
        feed = ray.get_actor("feed", namespace=NAMESPACE)
        bars, filler, last_minute = ray.get(feed.history.remote(HISTORY_MINUTES), timeout=60)
        self._cache.restore(bars, filler, last_minute)

    def observe(self, tick: MinuteTick, piece: MarketSlice, account: AccountState) -> Market:
        began = time.perf_counter()
        with self.minute(tick.minute, tick.trace):
            last = self._cache.last_minute
            if last is None or tick.minute > last + MINUTE_MS:
                # Minutes were missed: take them from the venue's history rather than trade beside a hole.
                self._restore()
            market = self._cache.observe(tick, piece, account)
            own = (time.perf_counter() - began) * 1000
            return replace(market, took_ms=own + max(piece.took_ms, account.took_ms))
