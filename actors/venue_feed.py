"""One venue's public data inside the feed: its stream, its REST, and the bars they bring (``actors.bar_feed``)."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import numpy as np

from actors.bar_feed import BarFeed, Gathered
from config.settings import ExchangeSettings
from core.messages import Top
from core.units import MINUTE_MS, Instrument
from exchanges.hearing import DEAF_MINUTES, Hearing
from exchanges.limits.gate import Gate
from exchanges.venues import OnTrade, gateway_of, market_stream_of, parts_of

log = logging.getLogger("feed")

LOCKSTEP_S = 0.02
"""For what is already on its way: in lockstep time stands while we wait, and a venue that closes no minutes by itself
would never send anything."""


class VenueFeed:
    """Bars and tops of ``instruments``, all of one venue; of those in ``watched`` only the top is wanted.

    ``on_top``: told of every change of a book; ``on_trade``: of every trade, which is asked for where somebody listens
    (Upbit's come in any case: its bars are made of them). ``grace_s``: how long final frames are waited for before REST is
    asked. ``gate``: the line its requests stand in. ``heals``: a stream that has gone deaf to a market is replaced
    (``exchanges.hearing``); for a clock that nobody holds.
    """

    def __init__(
        self,
        venue: str,
        settings: ExchangeSettings,
        instruments: Sequence[Instrument],
        watched: Sequence[Instrument],
        now_ms: Callable[[], int],
        grace_s: float,
        gate: Gate | None,
        *,
        lockstep: bool,
        heals: bool = False,
        on_top: Callable[[Instrument, Top | None], None] | None = None,
        on_trade: OnTrade | None = None,
    ) -> None:
        self.venue, self.instruments = venue, tuple(instruments)
        every = (*self.instruments, *watched)
        self.gateway = gateway_of(venue, settings, None, every, ledger=gate)
        alone = lockstep and parts_of(venue).rest_confirms
        self.bars = BarFeed(self.instruments, self.gateway, LOCKSTEP_S if alone else grace_s)
        self._stream = market_stream_of(
            venue,
            settings,
            every,
            self.bars.hear,
            on_top,
            self.bars.gap,
            now_ms=now_ms,
            gateway=self.gateway,
            gate=gate,
            on_trade=on_trade,
        )
        self._running: asyncio.Task[None] | None = None
        self._now_ms = now_ms
        self._hearing = Hearing(self.instruments) if heals else None
        self._lives = 0
        """Of the stream's connection when the last minute was given out."""
        self.cures = 0
        """How often the stream was replaced because it had gone deaf."""

    async def start(self) -> None:
        """Connect and subscribe; returns when the venue has confirmed."""
        self._running = asyncio.get_running_loop().create_task(self._stream.run())
        await asyncio.wait_for(self._stream.subscribed(), 30)

    def health(self) -> dict[str, int | bool]:
        book = self.bars.book
        return {
            "connected": self._stream.state.connected,
            "gaps": self.bars.gaps,
            "late_bars": self.bars.late,
            "revised_bars": book.revisions,
            "found_bars": book.found,
            "faults": sum(self._stream.faults.values()),
            "cures": self.cures,
        }

    async def history(self, first: int, count: int) -> np.ndarray:
        """Closed minutes by REST, (S, count, 5) from minute ``first`` on; NaN where the venue has no bar."""
        bars = np.full((len(self.instruments), count, 5), np.nan)
        answers = await asyncio.gather(*(self.gateway.history(i, first, count) for i in self.instruments))
        for row, rows in enumerate(answers):
            for bar in rows:
                bars[row, (bar.minute - first) // MINUTE_MS] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        return bars

    async def collect(self, minute: int) -> Gathered:
        """The minute's bars. Raises what the stream died of, each minute, until the supervisor starts us again."""
        if self._running is not None and self._running.done():
            self._running.result()
        gathered = await self.bars.collect(minute)
        if self._hearing is not None:
            self._listen(self._hearing, minute, gathered)
        return gathered

    def _listen(self, hearing: Hearing, minute: int, gathered: Gathered) -> None:
        """Replace a stream that has gone deaf to a market."""
        state, now = self._stream.state, self._now_ms()
        broken = not state.connected or state.lives != self._lives
        self._lives = state.lives
        tops = (self._stream.tops.get(i) for i in self.instruments)
        ages = [None if top is None else now - top.at_ms for top in tops]
        for instrument, what in hearing.minute(minute, gathered.bars, ages, broken=broken):
            reason = f"no {what} of {instrument} for {DEAF_MINUTES} minutes"
            log.warning("%s stream: %s, though REST has them; connecting anew beside it", self.venue, reason)
            self.cures += 1
            self._stream.renew(instrument, reason)

    def top(self, instrument: Instrument) -> Top | None:
        return self._stream.tops.get(instrument)
