"""Prices on their way from the feed to whoever protects positions: changed books, the newest of each instrument, and
trades that crossed a level of what is held while its book was silent (``core.prints``), in few messages.

A message leaves as soon as a book has changed, then not before ``PAUSE_S``: a hop between actors costs 2 ms, and a busy
market changes its books hundreds of times a second. One is on its way at a time, so that a slow listener is told less
often and never late. Trades add no message of their own while books are alive; the listener's answer tells the levels
that they are held against here, so that none but those few ever leaves.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

from core.messages import Top
from core.prints import LATE_MS, Crossing, Prints
from core.protection import Bounds
from core.units import Instrument

log = logging.getLogger("feed")

PAUSE_S = 0.2
IDLE_S = 2.0
"""After the listener said that it watches nothing, or could not be told."""

Tell = Callable[[dict[Instrument, Top], dict[Instrument, Crossing]], Awaitable[Mapping[Instrument, Bounds]]]


class TopNews:
    """``tell`` is given the changed books and what trades crossed; it answers what is watched, with the levels of each,
    and raises ConnectionError when nobody hears."""

    def __init__(self, tell: Tell, pause_s: float = PAUSE_S, idle_s: float = IDLE_S) -> None:
        self._tell, self._pause_s, self._idle_s = tell, pause_s, idle_s
        self._changed: dict[Instrument, Top] = {}
        self._came = asyncio.Event()
        self._prints = Prints()
        self._alarm: asyncio.TimerHandle | None = None
        self.told = 0
        """Messages that arrived."""

    def hear(self, instrument: Instrument, top: Top | None) -> None:
        """The stream's ``on_top``. A book that lost a side tells no price: nothing is sold on it."""
        if top is None:
            self._changed.pop(instrument, None)
            return
        self._prints.book(instrument, monotonic())
        self._changed[instrument] = top
        self._came.set()

    def hear_trade(self, instrument: Instrument, price: float, age_ms: float) -> None:
        """A trade, and how old it is by the venue's time."""
        if age_ms <= LATE_MS:
            self._ring_in(self._prints.trade(instrument, price, monotonic()))

    async def run(self) -> None:
        """Tell for ever."""
        while True:
            await self._came.wait()
            self._came.clear()
            changed, self._changed = self._changed, {}
            now = monotonic()
            crossings = self._prints.due(now)
            if not changed and not crossings and not self._prints.outdated(now):
                # A book has answered the trade that this was for.
                self._ring_in(self._prints.wait_s(now))
                continue
            bounds: Mapping[Instrument, Bounds] = {}
            try:
                bounds = await self._tell(changed, crossings)
                self.told += 1
                self._prints.learn(bounds, monotonic())
            except ConnectionError as error:
                log.warning("books not told to the executor: %s", error)
            self._ring_in(self._prints.wait_s(monotonic()))
            await asyncio.sleep(self._pause_s if bounds else self._idle_s)

    def _ring_in(self, wait_s: float) -> None:
        """Let ``run`` go on after so long, if nothing lets it earlier."""
        if wait_s == math.inf:
            return
        loop = asyncio.get_running_loop()
        if self._alarm is not None:
            if self._alarm.when() <= loop.time() + wait_s:
                return
            self._alarm.cancel()
        self._alarm = loop.call_later(wait_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._came.set()
