"""One venue's public data inside the feed: its stream, its REST, and the minutes they brought.

A bar counts as closed on the venue's final frame, or on REST when the frame does not come in time; else it is late, and
said so.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from config.settings import ExchangeSettings
from core.errors import BotError
from core.messages import Bar, Top
from core.units import MINUTE_MS, Instrument
from exchanges.venues import gateway_of, market_stream_of, parts_of

log = logging.getLogger("feed")

KEPT_MINUTES = 10
LOCKSTEP_S = 0.02
"""For what is already on its way through the socket."""


class VenueFeed:
    """Bars and tops of ``instruments``, all of one venue; of those in ``watched`` only the top is wanted."""

    def __init__(
        self,
        venue: str,
        settings: ExchangeSettings,
        instruments: Sequence[Instrument],
        watched: Sequence[Instrument],
        now_ms: Callable[[], int],
    ) -> None:
        self.venue, self.instruments = venue, tuple(instruments)
        self._asks_itself = parts_of(venue).rest_confirms
        every = (*self.instruments, *watched)
        self.gateway = gateway_of(venue, settings, None, every)
        self._stream = market_stream_of(
            venue, settings, every, self._on_bar, None, self._on_gap, now_ms=now_ms, gateway=self.gateway
        )
        self._bars: OrderedDict[int, dict[Instrument, Bar]] = OrderedDict()
        self._came = asyncio.Event()
        self._running: asyncio.Task | None = None
        self.gaps = 0

    async def start(self) -> None:
        """Connect and subscribe; returns when the venue has confirmed."""
        self._running = asyncio.get_running_loop().create_task(self._stream.run())
        await asyncio.wait_for(self._stream.subscribed(), 30)

    def health(self) -> dict:
        state = self._stream.state
        return {"connected": state.connected, "gaps": self.gaps, "faults": sum(self._stream.faults.values())}

    async def history(self, first: int, count: int) -> np.ndarray:
        """Closed minutes by REST, (S, count, 5) from minute ``first`` on; NaN where the venue has no bar."""
        bars = np.full((len(self.instruments), count, 5), np.nan)
        answers = await asyncio.gather(*(self.gateway.history(i, first, count) for i in self.instruments))
        for row, rows in enumerate(answers):
            for bar in rows:
                bars[row, (bar.minute - first) // MINUTE_MS] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        return bars

    async def collect(self, minute: int, grace_s: float, *, lockstep: bool) -> dict[Instrument, Bar]:
        """The closed bars of ``minute``: waits up to ``grace_s`` for what is on its way, then asks REST.

        In lockstep time stands while we wait, and a venue that closes no minutes by itself would never send anything.
        """
        await self._wait(minute, LOCKSTEP_S if lockstep and self._asks_itself else grace_s)
        missing = [i for i in self.instruments if i not in self._of(minute)]
        if missing:
            await self._ask(minute, missing)
        return {i: bar for i, bar in self._of(minute).items() if i in self.instruments}

    def top(self, instrument: Instrument) -> Top | None:
        return self._stream.tops.get(instrument)

    async def _wait(self, minute: int, grace_s: float) -> None:
        try:
            async with asyncio.timeout(grace_s):
                while any(i not in self._of(minute) for i in self.instruments):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return

    async def _ask(self, minute: int, missing: list[Instrument]) -> None:
        """REST is final too. What it does not know of either (a halt) stays missing."""
        try:
            for instrument in missing:
                for bar in await self.gateway.history(instrument, minute, 1):
                    self._of(minute)[instrument] = bar
        except BotError as error:
            log.warning("asking %s for late bars failed: %s", self.venue, error)

    def _of(self, minute: int) -> dict[Instrument, Bar]:
        if minute not in self._bars:
            self._bars[minute] = {}
            while len(self._bars) > KEPT_MINUTES:
                self._bars.popitem(last=False)
        return self._bars[minute]

    def _on_bar(self, instrument: Instrument, bar: Bar) -> None:
        self._of(bar.minute)[instrument] = bar
        self._came.set()

    def _on_gap(self, reason: str) -> None:
        # Minutes that closed while we were away are asked for by collect(), which finds them missing.
        self.gaps += 1
        log.warning("%s stream interrupted (%s); subscribed again", self.venue, reason)
