"""Changed books on their way from the feed to whoever protects positions: the newest of each instrument, in few messages.

A message leaves as soon as a book has changed, then not before ``PAUSE_S``: a hop between actors costs 2 ms, and a busy
market changes its books hundreds of times a second. One is on its way at a time, so that a slow listener is told less
often and never late.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from core.messages import Top
from core.units import Instrument

log = logging.getLogger("feed")

PAUSE_S = 0.2
IDLE_S = 2.0
"""After the listener said that it watches nothing, or could not be told."""

Tell = Callable[[dict[Instrument, Top]], Awaitable[bool]]


class TopNews:
    """``tell`` is given the changed books; it answers whether any is watched, and raises ConnectionError when nobody
    hears."""

    def __init__(self, tell: Tell, pause_s: float = PAUSE_S, idle_s: float = IDLE_S) -> None:
        self._tell, self._pause_s, self._idle_s = tell, pause_s, idle_s
        self._changed: dict[Instrument, Top] = {}
        self._came = asyncio.Event()
        self.told = 0
        """Messages that arrived."""

    def hear(self, instrument: Instrument, top: Top | None) -> None:
        """The stream's ``on_top``. A book that lost a side tells no price: nothing is sold on it."""
        if top is None:
            self._changed.pop(instrument, None)
            return
        self._changed[instrument] = top
        self._came.set()

    async def run(self) -> None:
        """Tell for ever."""
        while True:
            await self._came.wait()
            self._came.clear()
            changed, self._changed = self._changed, {}
            watched = False
            if changed:
                try:
                    watched = await self._tell(changed)
                    self.told += 1
                except ConnectionError as error:
                    log.warning("books not told to the executor: %s", error)
            await asyncio.sleep(self._pause_s if watched else self._idle_s)
