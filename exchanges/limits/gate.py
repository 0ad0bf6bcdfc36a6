"""The async front of a venue's limits: stand in line, send, say what came back.

::

    async with gate.turn(binance_costs(4), Priority.EXIT, patience_ms=1_000, where="query order") as turn:
        answer = await send()
        turn.heard(answer.headers)

Leaving the block ends the request, well or badly. Waiting asks the store again and again rather than being woken: the
others in the line may be other processes, and may die.
"""

import asyncio
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import psutil

from core.errors import BotError, ExchangeUnavailable
from exchanges.limits.line import Line, Wait
from exchanges.limits.priority import Priority
from exchanges.limits.store import MemoryStore, Store
from exchanges.limits.tables import LINES, stated

log = logging.getLogger(__name__)

T = TypeVar("T")
HEARD_LATELY_MS = 10_000
"""Who starts while others have heard the venue so lately need not ask it again."""
BURY_EVERY_S = 0.5
"""How often a waiter looks whether those who sent before it still live."""
SOON_S, LATER_S = 0.01, 0.25
"""How often a waiter asks again: where an answer may free it any moment; where it is certain to take longer."""

_CURRENT: ContextVar["Turn | None"] = ContextVar("turn", default=None)
"""The request the running task has sent: a vendor's client hands headers to a callback that knows no request."""


class Turn:
    """One admitted request."""

    def __init__(self, gate: "Gate", number: int, began_ms: int) -> None:
        self._gate, self.number, self._began_ms = gate, number, began_ms
        self._stated: dict[str, int] = {}
        self._answered = False
        self._over = ""

    def heard(self, headers: Mapping[str, str]) -> None:
        """The headers of the answer, good or bad."""
        self._answered = True
        self._stated |= stated(headers)

    def answered(self) -> None:
        """The venue said something, with or without headers."""
        self._answered = True

    def clock_read(self, venue_ms: int) -> None:
        """The answer tells the venue's time."""
        self._gate._run(lambda line, now: line.clock_read(self._began_ms, now, venue_ms))

    def turned_away(self, status: int, retry_after_s: float | None, name: str = "") -> float:
        """A 429 or 418: gives the pause in seconds. ``name``: the counter it is about, ``""`` for everything."""
        return self._gate.turned_away(status, retry_after_s, name)

    def full(self, name: str) -> None:
        """The venue calls this counter full until its window is over."""
        self._over = name

    def _end(self) -> None:
        self._gate._run(
            lambda line, now: line.finish(now, self.number, self._stated, answered=self._answered, over=self._over)
        )


class Gate:
    """Where a gateway stands in line. One per gateway; the store behind it may be shared by the whole machine.

    ``probe``: a cheap request through this same gate (``turn(probe=True)``) whose answer says how much is used; it is
    sent before the first spending, when nobody on this machine knows.
    """

    def __init__(self, venue: str, store: Store, probe: Callable[[], Awaitable[Any]] | None = None) -> None:
        self.venue, self.probe = venue, probe
        self.timeout_ms = 10_000
        """How long the client waits for an answer: a request may be on its way for so long."""
        self._store = store
        self._buried = time.monotonic()
        self._asking: asyncio.Task | None = None
        self._run(lambda line, now: None if now - line.heard_ms < HEARD_LATELY_MS else line.forget(now))

    @classmethod
    def of(cls, venue: str) -> "Gate":
        """For this process alone."""
        return cls(venue, MemoryStore(LINES[venue]()))

    @property
    def shared(self) -> bool:
        """Other processes of this machine stand in the same line."""
        return self._store.shared

    @asynccontextmanager
    async def turn(
        self,
        costs: Mapping[str, int],
        priority: Priority,
        patience_ms: float,
        where: str = "request",
        *,
        probe: bool = False,
    ) -> AsyncIterator[Turn]:
        """Wait for our turn, at most ``patience_ms``. Raises ExchangeUnavailable (nothing was sent), with the time to
        wait where it is known."""
        number, began = await self._stand(costs, priority, patience_ms, where, probe)
        turn = Turn(self, number, began)
        token = _CURRENT.set(turn)
        try:
            yield turn
        finally:
            _CURRENT.reset(token)
            turn._end()

    def heard(self, headers: Mapping[str, str]) -> None:
        """Headers of an answer, from a callback in the task that sent the request."""
        turn = _CURRENT.get()
        if turn is not None and turn._gate is self:
            turn.heard(headers)

    def turned_away(self, status: int, retry_after_s: float | None, name: str = "") -> float:
        """The same as ``Turn.turned_away``, of what was said outside of a turn (on a WebSocket)."""
        return self._run(lambda line, now: line.turned_away(now, status, retry_after_s, name))

    def learn(self, limits: Mapping[str, int]) -> None:
        """The venue states its limits."""
        self._run(lambda line, now: line.learn(limits))

    def look(self, what: Callable[[Line, int], T]) -> T:
        """Read something of the line; ``what`` changes nothing."""
        return self._run(what)

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
            self._asking = None

    # --- standing ---------------------------------------------------------------------------------------------

    async def _stand(
        self, costs: Mapping[str, int], priority: Priority, patience_ms: float, where: str, probe: bool
    ) -> tuple[int, int]:
        """The admitted ticket's number, and when it was admitted."""
        owner, until = os.getpid(), time.monotonic() + patience_ms / 1_000

        def enter(line: Line, now: int) -> tuple[int, Wait | None, int]:
            if line.full() and priority > Priority.EXIT:
                return 0, Wait(0.0, "too many wait already"), now
            life = self.timeout_ms + 2_000
            number = line.enter(now, owner, priority, costs, probe=probe, life_ms=life)
            return number, line.admit(now, number), now

        def again(line: Line, now: int) -> tuple[int, Wait | None, int]:
            if line.ticket(number) is None:
                # This process stood still for so long that its place was given away.
                return enter(line, now)
            return number, line.admit(now, number), now

        number, wait, now = self._run(enter)
        try:
            while wait is not None:
                left = until - time.monotonic()
                if not number or left <= 0 or (math.isfinite(wait.ms) and wait.ms / 1_000 > left):
                    raise self._impatient(wait, where)
                if wait.ask:
                    self._ask(where)
                pause = SOON_S if math.isinf(wait.ms) else min(max(wait.ms / 1_000, 0.001), LATER_S)
                await asyncio.sleep(min(pause, left))
                self._bury()
                number, wait, now = self._run(again)
        except BaseException:
            self._run(lambda line, _: line.leave(number))
            raise
        return number, now

    def _bury(self) -> None:
        """Give back what processes of this machine left in the line when they died."""
        if not self.shared or time.monotonic() - self._buried < BURY_EVERY_S:
            return
        self._buried = time.monotonic()
        for owner in self._run(lambda line, _: {t.owner for t in line.tickets}) - {os.getpid()}:
            if not psutil.pid_exists(owner):
                self._run(lambda line, now, owner=owner: line.died(now, owner))

    def _impatient(self, wait: Wait, where: str) -> ExchangeUnavailable:
        if math.isinf(wait.ms):
            return ExchangeUnavailable(f"{self.venue} {where}: not sent, {wait.why}", None)
        seconds = wait.ms / 1_000
        return ExchangeUnavailable(
            f"{self.venue} {where}: not sent, {wait.why}; free again in {seconds:.1f} s", seconds
        )

    def _ask(self, where: str) -> None:
        """See to it that the venue is asked how much is used. Raises what the last asking ended with."""
        if self.probe is None:
            return
        if self._asking is not None and not self._asking.done():
            return
        if self._asking is not None and (error := self._asking.exception()) is not None:
            self._asking = None
            if isinstance(error, BotError):
                raise ExchangeUnavailable(f"{where}: not sent, the venue could not be asked what is used: {error}")
            raise error
        self._asking = asyncio.ensure_future(self.probe())
        # Whoever waits hears of its end above; where nobody does any more, the loop need not complain.
        self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())

    def _run(self, change: Callable[[Line, int], T]) -> T:
        try:
            return self._store.run(change)
        except OSError as error:
            if not self._store.shared:
                raise
            reason = str(error)
        log.warning("the shared limits of %s can not be used (%s); this process counts for itself", self.venue, reason)
        line = LINES[self.venue]()
        self._store = MemoryStore(line)
        return self._store.run(lambda line, now: (line.forget(now), change(line, now))[1])
