"""Faults on a WebSocket: frames late, twice, out of order or left out, and connections that end.

Stands between a connection's queue and its socket (``hub.Connection.meddle``). Answers to a client's own messages and
every frame that the venue's wording does not name pass untouched.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from exchanges.simulated.chaos.kinds import SNAPSHOT
from exchanges.simulated.chaos.plan import Chaos
from exchanges.simulated.chaos.wording import Wording
from exchanges.simulated.hub import Connection

GOING_AWAY = 1001

Frame = str | bytes


class Meddler:
    """The faults of one connection. ``like``: ``user``, ``combined`` or ``raw``."""

    def __init__(
        self, chaos: Chaos, wording: Wording, now_ms: Callable[[], int], connection: Connection, like: str
    ) -> None:
        self.chaos, self.wording, self.now_ms, self.like = chaos, wording, now_ms, like
        self._connection = connection
        self._born_ms, self._life_ms = now_ms(), chaos.life_ms()
        self._held: Frame | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task] = set()
        self._ending = False

    def __call__(self, frames: list[Any]) -> list[Any]:
        """The frames to write now, in this order; what is late is written later by itself."""
        out: list[Frame] = []
        for frame in frames:
            where = self.wording.frame(frame)
            if where:
                self._one(frame, where, out)
            else:
                out.append(frame)
        self._look(out)
        return out

    def _one(self, frame: Frame, where: str, out: list[Frame]) -> None:
        fault = self.chaos.frame(where, self.now_ms())
        if fault is not None:
            self.chaos.happened(fault.kind, where, self.now_ms())
        match fault.kind if fault is not None else "":
            case "late-report" | "late-bar" if fault is not None:
                self._later(fault.size, frame)
            case "lose-bar" | "gap-depth":
                return
            case "dup-report" | "dup-bar":
                out += [frame, frame]
            case "again-snapshot":
                out += [frame, self.wording.again(frame)]
            case "swap-report" if fault is not None and self._held is None:
                self._held = frame
                self._timer = self._in(fault.size, self._give_up)
                return
            case _:
                out.append(frame)
        if self._held is not None and where != SNAPSHOT and out:
            out.append(self._held)
            self._let_go()

    def _look(self, out: list[Frame]) -> None:
        """Whether this connection ends now."""
        now = self.now_ms()
        if self._ending or self._connection.socket.closed:
            return
        if self._life_ms is not None and now - self._born_ms >= self._life_ms:
            self._end("end-day", now)
            self._task(self._connection.socket.close(code=GOING_AWAY, message=b"24 hours"))
            return
        fault = self.chaos.link(now)
        if fault is None:
            return
        self._end(fault.kind, now)
        if fault.kind == "end-pong":
            self._connection.abandon()
        elif (notice := self.wording.shutdown(self.like, now)) is not None:
            out.append(notice)
            closing = self._connection.socket
            self._in(fault.size, lambda: self._task(closing.close(code=GOING_AWAY, message=b"restart")))

    def _end(self, kind: str, now: int) -> None:
        self._ending = True
        self.chaos.happened(kind, "link", now)

    def _later(self, size_ms: float, frame: Frame) -> None:
        self._in(size_ms, lambda: self._task(self._connection.write([frame])))

    def _give_up(self) -> None:
        """Nothing came to change places with."""
        frame = self._held
        self._let_go()
        if frame is not None:
            self._task(self._connection.write([frame]))

    def _let_go(self) -> None:
        self._held = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _in(self, size_ms: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(size_ms / 1_000 * self.chaos.pace, act)

    def _task(self, work: Coroutine) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
