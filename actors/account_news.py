"""The accounts' own streams as the executor takes them in: one by one, in order, and a look at the venues after every gap.

Events that are missed are never sent again, so whoever starts or was away has to ask: the streams listen first, then the
executor asks what it must know (its start), and only then is the news read that came meanwhile. Nothing falls between.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from core.errors import BotError, ExchangeUnavailable, TimedOut
from core.messages import OrderSnapshot
from core.ports import AccountFeed

CONFIRM_S = 30.0
"""A subscription is confirmed within this, or the start has failed."""
RETRY_S = 5.0
"""Until what was missed is asked for again, when the venue did not answer."""

MakeStreams = Callable[[Callable[[OrderSnapshot], None], Callable[[str], None]], Sequence[AccountFeed]]


class Listener(Protocol):
    """Whose books are kept."""

    async def on_snapshot(self, snapshot: OrderSnapshot) -> None: ...

    async def on_reconnect(self) -> None:
        """Ask the venue for what may have been missed. Raises ``ExchangeUnavailable``."""
        ...


class AccountNews:
    """The streams of all accounts and the books they keep up. ``make_streams`` is given what each shall call: (on_order,
    on_reconnect)."""

    def __init__(
        self, make_streams: MakeStreams, log: logging.Logger, confirm_s: float = CONFIRM_S, retry_s: float = RETRY_S
    ) -> None:
        self._log, self._confirm_s, self._retry_s = log, confirm_s, retry_s
        self._waiting: asyncio.Queue[OrderSnapshot | None] = asyncio.Queue()
        self.streams = tuple(make_streams(self._waiting.put_nowait, self._interrupted))
        self._tasks: list[asyncio.Task[None]] = []
        self._look: asyncio.TimerHandle | None = None
        self.problem = ""
        """Why a stream ended for good; empty while all run."""

    @property
    def connected(self) -> bool:
        return all(stream.state.connected for stream in self.streams)

    @property
    def idle(self) -> bool:
        """Nothing waits to be taken in."""
        return self._waiting.empty()

    async def listen(self) -> None:
        """Connect; returns when every subscription is confirmed. Raises what a stream ends with, or ``TimedOut``.

        Listening already, it returns at once: a start that failed after it may be tried again.
        """
        if self._tasks:
            return
        running = [asyncio.create_task(stream.run()) for stream in self.streams]
        confirmed = asyncio.create_task(self._confirmed())
        await asyncio.wait({*running, confirmed}, timeout=self._confirm_s, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in running if task.done()]
        if confirmed.done() and not ended:
            for task in running:
                task.add_done_callback(self._ended)
            self._tasks += running
            return
        for task in (confirmed, *running):
            task.cancel()
        await asyncio.gather(confirmed, *running, return_exceptions=True)
        if ended:
            ended[0].result()
            raise ExchangeUnavailable("the user stream was closed before it was subscribed")
        ends = "; ".join(filter(None, (stream.state.last_end for stream in self.streams)))
        raise TimedOut(f"the user stream was not subscribed within {self._confirm_s:g} s ({ends})")

    async def _confirmed(self) -> None:
        await asyncio.gather(*(stream.subscribed() for stream in self.streams))

    def follow(self, books: Listener) -> None:
        """From now on ``books`` are told, of what came since ``listen`` first."""
        self._tasks.append(asyncio.create_task(self._take(books)))

    async def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
        for stream in self.streams:
            await stream.close()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.remove_done_callback(self._ended)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, books: Listener) -> None:
        while True:
            snapshot = await self._waiting.get()
            try:
                if snapshot is None:
                    await books.on_reconnect()
                else:
                    await books.on_snapshot(snapshot)
            except BotError as error:
                self._log.warning("news of an order not taken in: %s", error)
                self._look_later()

    def _interrupted(self, reason: str) -> None:
        self._log.warning("user stream interrupted (%s); asking what was missed", reason)
        self._waiting.put_nowait(None)

    def _look_later(self) -> None:
        """Ask again in a while, however much failed; the next minute's account() does so too."""
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(self._retry_s, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        self._waiting.put_nowait(None)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        self.problem = f"ended: {error}" if error is not None else "ended"
        self._log.critical("the user stream has %s; orders are followed by asking once a minute", self.problem)
