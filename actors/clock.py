"""The market's clock, one face over three: the wall, a simulated exchange at N× speed, and lockstep.

This is the only module that reads the wall clock.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import aiohttp

from core.errors import ExchangeUnavailable


def wall_ms() -> int:
    """UTC epoch milliseconds of this machine."""
    return time.time_ns() // 1_000_000


class MarketClock(Protocol):
    """Tells market time and waits for it."""

    async def start(self) -> None:
        """Let market time run, where it is ours to start. May be called again."""
        ...

    async def now_ms(self) -> int: ...

    async def sleep_until(self, ms: int) -> int:
        """Return once market time has reached ``ms``, or the market has ended; gives the market time then."""
        ...

    async def close(self) -> None: ...


class WallClock:
    """Paper and live: the machine's clock, corrected by the venue's measured offset."""

    def __init__(self, offset_ms: int = 0) -> None:
        self._offset = offset_ms

    async def start(self) -> None:
        return None

    async def now_ms(self) -> int:
        return wall_ms() + self._offset

    async def sleep_until(self, ms: int) -> int:
        while (wait := ms - await self.now_ms()) > 0:
            await asyncio.sleep(min(wait, 1_000) / 1000)
        return await self.now_ms()

    async def close(self) -> None:
        return None


class SimulatorControl:
    """The control face of the simulated exchange: its clock, nothing about trading."""

    def __init__(self, base_url: str, timeout_s: float = 30.0) -> None:
        self._base = base_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def state(self) -> dict:
        return await self._call("GET", "/sim/state")

    async def advance(self, to_ms: int) -> dict:
        return await self._call("POST", "/sim/advance", {"to_ms": to_ms})

    async def run(self) -> dict:
        """Start a clock that stands (``--paused``); one that runs goes on."""
        return await self._call("POST", "/sim/run")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(self, method: str, path: str, body: dict | None = None) -> dict:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.request(method, self._base + path, json=body) as answer:
                if answer.status != 200:
                    raise ExchangeUnavailable(
                        f"simulated exchange: {method} {path} answered {answer.status}: {await answer.text()}"
                    )
                return await answer.json()
        except (TimeoutError, aiohttp.ClientError) as error:
            raise ExchangeUnavailable(f"simulated exchange at {self._base} did not answer {path}: {error!r}") from error


class SimulatorsControl:
    """The clocks of several simulated exchanges, moved as one; the first one tells the time."""

    def __init__(self, base_urls: Sequence[str]) -> None:
        self._parts = tuple(SimulatorControl(url) for url in base_urls)

    async def state(self) -> dict:
        return await self._parts[0].state()

    async def advance(self, to_ms: int) -> dict:
        return (await asyncio.gather(*(part.advance(to_ms) for part in self._parts)))[0]

    async def run(self) -> dict:
        return (await asyncio.gather(*(part.run() for part in self._parts)))[0]

    async def close(self) -> None:
        await asyncio.gather(*(part.close() for part in self._parts))


Control = SimulatorControl | SimulatorsControl


class LockstepClock:
    """Replay in lockstep: market time stands still until we move it."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def start(self) -> None:
        return None

    async def now_ms(self) -> int:
        return int((await self._control.state())["now_ms"])

    async def sleep_until(self, ms: int) -> int:
        if ms <= await self.now_ms():
            return await self.now_ms()
        return int((await self._control.advance(ms))["now_ms"])

    async def close(self) -> None:
        await self._control.close()


class SpeedClock:
    """Replay at N times real speed: market time runs by itself, whatever we do.

    Asks the simulator once for its time and counts on from there; asked again every ``resync_s`` so that a
    simulator that lags is followed rather than overtaken.
    """

    def __init__(self, control: Control, resync_s: float = 5.0) -> None:
        self._control = control
        self._resync_s = resync_s
        self._anchor: tuple[float, int, float] | None = None
        self._end_ms: int | None = None

    async def start(self) -> None:
        self._take(await self._control.run())

    async def now_ms(self) -> int:
        if self._anchor is None or time.monotonic() - self._anchor[0] > self._resync_s:
            self._take(await self._control.state())
        assert self._anchor is not None
        assert self._end_ms is not None
        at, ms, speed = self._anchor
        return min(ms + int((time.monotonic() - at) * 1000 * speed), self._end_ms)

    def _take(self, state: dict) -> None:
        self._anchor = (time.monotonic(), int(state["now_ms"]), 0.0 if state["paused"] else float(state["speed"]))
        self._end_ms = int(state["end_ms"])

    async def sleep_until(self, ms: int) -> int:
        while (wait := ms - await self.now_ms()) > 0:
            assert self._anchor is not None
            assert self._end_ms is not None
            if ms - wait >= self._end_ms:
                break
            await asyncio.sleep(min(wait / 1000 / max(self._anchor[2], 0.001), 1.0))
        return await self.now_ms()

    async def close(self) -> None:
        await self._control.close()


class MarketTime:
    """``core.ports.Clock`` for those who must stamp requests: market time as last told, carried on at ``speed``.

    ``speed`` is market milliseconds per wall millisecond: 0 in lockstep (time stands still between minutes), N in a
    replay at N times. On the wall clock (``wall``) it is this machine's time.
    """

    def __init__(self, speed: float, *, wall: bool) -> None:
        self._speed = speed
        self._wall = wall
        self._told = 0
        self._at = time.monotonic()
        self._running = True

    def tell(self, now_ms: int, *, running: bool = True) -> None:
        """Market time is ``now_ms``, and stands until told again where it is not ``running`` yet. On the wall clock nobody
        needs to be told, and nothing changes."""
        if not self._wall:
            self._told, self._at, self._running = now_ms, time.monotonic(), running

    def now_ms(self) -> int:
        if self._wall:
            return wall_ms()
        passed = (time.monotonic() - self._at) * self._speed if self._running else 0.0
        return self._told + int(passed * 1000)


def make_clock(kind: str, sim_urls: Sequence[str]) -> MarketClock:
    """The clock a run plan asks for."""
    if kind == "wall" or not sim_urls:
        return WallClock()
    control = SimulatorsControl(sim_urls)
    return LockstepClock(control) if kind == "lockstep" else SpeedClock(control)
