"""The bars of one venue, minute by minute: waits for final ones, asks REST for the rest, looks back at recent ones.

Decides nothing (that is ``exchanges.bar_book``) and knows no venue: the stream calls ``hear`` and ``gap``, and whoever
has ``history`` is asked. A plain object, one event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.errors import BotError
from core.messages import Bar, BarRevised
from core.units import Instrument
from exchanges.bar_book import Ask, BarBook

log = logging.getLogger("feed")

ASKED_AT_ONCE = 10
"""Requests for history under way together."""
TRIES = 2
"""How often one question is put before its minute goes without; it is put again with the next."""
TOLD = 5
"""Revised bars that are logged one by one; of more the number is."""


class History(Protocol):
    """Who is asked about bars; every gateway is one."""

    async def history(self, instrument: Instrument, first_minute: int, count: int) -> list[Bar]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What is known of one minute when it is given out."""

    bars: tuple[Bar | None, ...]
    """In the order of the instruments."""
    late: tuple[Instrument, ...]
    revised: tuple[BarRevised, ...]


class BarFeed:
    """Bars of ``instruments``. ``grace_s``: how long final frames are waited for before REST is asked."""

    def __init__(self, instruments: Sequence[Instrument], history: History, grace_s: float) -> None:
        self.book = BarBook(instruments)
        self.gaps = 0
        self.late = 0
        self.failures = 0
        """Questions REST did not answer."""
        self.on_complete: Callable[[int], None] | None = None
        """Told a minute as soon as all its bars are final."""
        self._instruments = tuple(instruments)
        self._history = history
        self._grace_s = grace_s
        self._came = asyncio.Event()
        self._looking_back: asyncio.Task[None] | None = None

    def hear(self, instrument: Instrument, bar: Bar) -> None:
        """The stream's ``on_bar``."""
        self.book.hear(instrument, bar)
        self._came.set()
        if self.on_complete is not None and self.book.complete(bar.minute):
            self.on_complete(bar.minute)

    def gap(self, reason: str) -> None:
        """The stream's ``on_gap``: what closed while it was away is asked for by the next ``collect``."""
        self.gaps += 1
        self.book.gap()
        log.warning("stream interrupted (%s); subscribed again", reason)

    async def collect(self, minute: int) -> Gathered:
        """The minute's bars, waiting a little for what is still on its way."""
        await self._wait(minute)
        await self._ask(self.book.asks(minute))
        bars = self.book.close(minute)
        late = tuple(i for i, bar in zip(self._instruments, bars, strict=True) if bar is None)
        self.late += len(late)
        if late:
            log.warning("no final bar: %s", ", ".join(map(str, late)))
        revised = self.book.take_revisions(minute)
        _tell(revised)
        self._look_back(minute)
        return Gathered(bars=bars, late=late, revised=revised)

    async def settle(self) -> None:
        """Returns when no look back is under way; raises what one died of."""
        if self._looking_back is not None:
            await self._looking_back

    async def _wait(self, minute: int) -> None:
        """Until every bar is there, one is known to need REST, or the grace is over."""
        book = self.book
        try:
            async with asyncio.timeout(self._grace_s):
                while not (book.complete(minute) or book.doubtful(minute)):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return

    async def _ask(self, asks: Sequence[Ask]) -> None:
        """REST is final too. What it does not know of either (a halt) stays missing."""
        line = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(one: Ask) -> None:
            async with line:
                for left in reversed(range(TRIES)):
                    try:
                        bars = await self._history.history(one.instrument, one.first, one.count)
                    except BotError as error:
                        self.failures += 1
                        log.warning("asking for bars of %s failed: %s", one.instrument, error)
                        if not left:
                            self.book.unanswered(one)
                    else:
                        self.book.learn(one, bars)
                        return

        await asyncio.gather(*map(ask, asks))

    def _look_back(self, minute: int) -> None:
        """Venues revise what they sent: look at recent bars again, beside the minutes. The next slice tells."""
        if self._looking_back is not None:
            if not self._looking_back.done():
                return
            self._looking_back.result()
            self._looking_back = None
        asks = self.book.look_back(minute)
        if asks:
            self._looking_back = asyncio.get_running_loop().create_task(self._ask(asks))


def _tell(revised: Sequence[BarRevised]) -> None:
    for one in revised[:TOLD]:
        log.warning("bar of %s revised: %s, was %s", one.instrument, one.bar, one.before)
    if len(revised) > TOLD:
        log.warning("%d bars revised, the first %d are told above", len(revised), TOLD)
