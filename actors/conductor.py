"""The conductor: wakes on the minute, lets it run through the desk, and holds the deadline.

A minute that is late, or one of whose steps failed, is recorded as missed with its reason; the executor is
fenced so that a straggler of that minute trades nothing new, and the schedule's later beats still run.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from actors.clock import MarketClock
from core.errors import BotError
from core.messages import MinuteRecord, MinuteTick
from core.minute import run_minute
from core.params import ExecutionSettings, ProtectionSettings
from core.ports import Desk
from core.reasons import Reason
from core.session import beat_times, decision_ms
from core.units import MINUTE_MS

log = logging.getLogger("conductor")


class Score(Protocol):
    """What the conductor needs of a run, beside the desk's minute."""

    def desk(self) -> Desk:
        """The desk as it stands; raises when a part is not running."""
        ...

    async def settle(self, value: Any, timeout_s: float) -> Any:
        """The value behind a reference; raises TimeoutError when it does not come."""
        ...

    async def last_recorded(self) -> int | None:
        """The newest minute in the record, or None."""
        ...

    async def missed(self, tick: MinuteTick, reason: str) -> None: ...

    async def fence(self, minute: int) -> None:
        """From now on the executor starts nothing for this minute or an earlier one."""
        ...

    async def revive(self, timeout_s: float) -> None:
        """Wait until every part answers again."""
        ...


class Conductor:
    """Runs a plan's minutes one after the other."""

    def __init__(
        self,
        *,
        score: Score,
        clock: MarketClock,
        execution: ExecutionSettings,
        protection: ProtectionSettings | None = None,
        first_minute: int | None,
        minutes: int | None,
        deadline_s: float,
        waits_for_parts: bool,
        on_progress: Callable[[dict], Awaitable[None]] | None = None,
    ) -> None:
        self._score = score
        self._clock = clock
        self._execution = execution
        self._protection = protection
        self._first = first_minute
        self._minutes = minutes
        self._deadline_s = deadline_s
        self._waits = waits_for_parts
        self._on_progress = on_progress
        self._stop = asyncio.Event()
        self.progress: dict = {"minute": None, "done": 0, "missed": 0, "finished": False, "error": ""}

    def stop(self) -> None:
        """End after the minute that is under way."""
        self._stop.set()

    async def run(self) -> dict:
        """Conduct until the plan's last minute (or for ever); gives the final progress."""
        minute = await self._start_minute()
        last = None if self._minutes is None or self._first is None else self._first + (self._minutes - 1) * MINUTE_MS
        while not self._stop.is_set() and (last is None or minute <= last):
            now = await self._sleep_until(decision_ms(minute))
            if now < decision_ms(minute):
                break
            await self._one(minute, now)
            minute += MINUTE_MS
            if self._minutes is not None and last is None:
                last = minute + (self._minutes - 2) * MINUTE_MS
        self.progress["finished"] = True
        await self._tell()
        return self.progress

    async def _start_minute(self) -> int:
        """The first minute not yet recorded, so that a conductor started again neither repeats nor forgets one."""
        recorded = await self._score.last_recorded()
        now = await self._clock.now_ms()
        current = now // MINUTE_MS * MINUTE_MS
        if recorded is not None:
            # A replay's clock may have stood still (resume exactly there); a running clock has moved on.
            return recorded + MINUTE_MS if self._waits else max(recorded + MINUTE_MS, current)
        return self._first if self._first is not None else current

    async def _sleep_until(self, ms: int) -> int:
        """Market time when ``ms`` has come; an earlier time when a stop was asked for or the market has ended."""
        if self._waits:
            return await self._clock.sleep_until(ms)
        sleeping = asyncio.ensure_future(self._clock.sleep_until(ms))
        asked = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((sleeping, asked), return_when=asyncio.FIRST_COMPLETED)
            return sleeping.result() if sleeping.done() else ms - 1
        finally:
            sleeping.cancel()
            asked.cancel()

    async def _one(self, minute: int, now: int) -> None:
        tick = MinuteTick(minute=minute, now_ms=now, trace=f"{minute:x}")
        if now - decision_ms(minute) >= MINUTE_MS:
            await self._miss(tick, Reason("minute_over", seconds=f"{(now - decision_ms(minute)) / 1000 - 60:.1f}"))
        else:
            record = await self._decide(tick)
            if record is not None:
                self.progress["done"] += 1
        self.progress["minute"] = minute
        await self._tell()
        for due in beat_times(minute, self._execution, self._protection):
            now = await self._sleep_until(due)
            if self._stop.is_set():
                return
            await self._beat(max(now, due) if not self._waits else due)

    async def _decide(self, tick: MinuteTick) -> MinuteRecord | None:
        """Run the minute; None when it was missed."""
        try:
            return await self._score.settle(run_minute(self._score.desk(), tick), self._deadline_s)
        except TimeoutError:
            reason: str = Reason("no_record", seconds=f"{self._deadline_s:g}")
        except BotError as error:
            reason = f"{type(error).__name__}: {error}"
        except Exception as error:
            # The outermost loop of trading: whatever a part died of is this minute's reason, and the next minute runs.
            reason = (
                f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else 'no text'}"
            )
        await self._miss(tick, reason)
        if self._waits:
            await self._guarded("waiting for the parts", self._score.revive(60.0))
        return None

    async def _miss(self, tick: MinuteTick, reason: str) -> None:
        log.warning("minute missed: %s", reason, extra={"minute": tick.minute})
        self.progress["missed"] += 1
        await self._guarded("fencing the executor", self._score.fence(tick.minute))
        await self._guarded("recording the miss", self._score.missed(tick, reason))

    async def _beat(self, now: int) -> None:
        async def beat() -> None:
            await self._score.settle(self._score.desk().executor.beat(now), self._deadline_s)

        await self._guarded("a beat", beat())

    async def _guarded(self, what: str, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            # Same outermost loop: a failed beat or miss is logged, and time goes on.
            log.warning("%s failed: %s: %s", what, type(error).__name__, error)

    async def _tell(self) -> None:
        if self._on_progress is not None:
            await self._guarded("publishing progress", self._on_progress(dict(self.progress)))
