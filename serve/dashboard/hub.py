"""The hub: one subscription to a run's hot state, any number of pages.

Subscribe first, read the snapshot second, drop what the snapshot already holds: nothing is missed and nothing
comes twice. A hole in the sequence, or a Redis that came back, means a new snapshot for everybody. A page that does
not read is let go (it comes back by itself); it never slows the others.
"""

import asyncio
import json
import logging
from collections import deque
from operator import itemgetter
from typing import Any

from data.hot import KEEP_EQUITY, AsyncHot, HotSnapshot, HotUnavailable, health_body
from serve.dashboard.views import curve, latency, minute_view, thinned

log = logging.getLogger("dashboard")

SHOWN_MINUTES = 120
LATENCY_MINUTES = 240
CHART_POINTS = 1_200
QUEUE = 256
BEAT_S = 2.0
RETRY_S = 1.0


class Page:
    """One connected page: messages wait here until it takes them."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(QUEUE)
        self.slow = False

    def put(self, message: str) -> None:
        """Never waits: a page that lags ``QUEUE`` messages is marked slow and ended."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.slow = True

    async def next(self) -> str:
        return await self._queue.get()


class Hub:
    """Follows a run (``run()``, for ever) and keeps what a page needs at its first sight."""

    def __init__(self, hot: AsyncHot, run_id: str) -> None:
        self._hot = hot
        self._run_id = run_id
        self._pages: set[Page] = set()
        self._loaded = False
        self._seq = 0
        self._at_ms = 0
        self._state: dict[str, Any] = {}
        self._health: dict[str, dict] = {}
        self._minutes: dict[int, dict] = {}
        self._decided: dict | None = None
        """The record decided last."""
        self._timings: deque[list] = deque(maxlen=LATENCY_MINUTES)
        self._equity: deque[tuple[int, float]] = deque(maxlen=KEEP_EQUITY)

    @property
    def connected(self) -> bool:
        """Redis serves us now."""
        return self._loaded

    def join(self) -> Page:
        """A new page, with the snapshot as its first message."""
        page = Page()
        page.put(self.first())
        self._pages.add(page)
        return page

    def leave(self, page: Page) -> None:
        self._pages.discard(page)

    def first(self) -> str:
        """The message every page begins with: all there is, or that we wait for Redis."""
        if not self._loaded:
            return _text({"type": "waiting", "run_id": self._run_id})
        return _text(
            {
                "type": "snapshot",
                "run_id": self._run_id,
                "seq": self._seq,
                "at_ms": self._at_ms,
                "state": self._state,
                "health": self._health,
                "minutes": [self._minutes[minute] for minute in sorted(self._minutes)[-SHOWN_MINUTES:]],
                "equity": thinned(curve(self._equity), CHART_POINTS),
                "latency": latency(self._timings),
            }
        )

    async def run(self) -> None:
        """Follow the run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            group.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            try:
                await self._listen()
            except HotUnavailable as error:
                if self._loaded:
                    log.warning("the page is without news: %s", error)
                self._loaded = False
                self._tell({"type": "waiting", "run_id": self._run_id})
                await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        """One subscription, until Redis goes away."""
        self._loaded = False
        async for line in self._hot.news():
            if not self._loaded:
                await self._reload()
            elif line is not None and line["seq"] == self._seq + 1:
                self._apply(line)
            elif line is not None and (line["seq"] > self._seq or line["at_ms"] > self._at_ms):
                # A hole; or a number of the past at a later time: Redis lost its memory and counts from 1 again.
                await self._reload()

    async def _reload(self) -> None:
        self._take(await self._hot.snapshot())
        for page in self._pages:
            page.put(self.first())

    def _take(self, snapshot: HotSnapshot) -> None:
        self._seq, self._at_ms = snapshot.seq, snapshot.at_ms
        self._state, self._health = dict(snapshot.state), dict(snapshot.health)
        self._decided = None
        self._minutes = {
            record["minute"]: self._view(record) for record in sorted(snapshot.records, key=itemgetter("minute"))
        }
        self._timings = deque((record["timings"] for record in snapshot.records), maxlen=LATENCY_MINUTES)
        self._equity = deque(snapshot.equity, maxlen=KEEP_EQUITY)
        self._loaded = True

    def _view(self, record: dict) -> dict[str, Any]:
        """A minute as the page shows it; records come in order."""
        view = minute_view(record, self._state, self._decided)
        if record["status"] == "done":
            self._decided = record
        return view

    def _apply(self, line: dict) -> None:
        """One change, to what we keep and to every page."""
        self._seq, self._at_ms = line["seq"], line["at_ms"]
        told: dict[str, Any] = {"type": line["kind"], "seq": line["seq"], "at_ms": line["at_ms"]}
        if line["kind"] == "record":
            record = line["body"]
            view = self._view(record)
            self._minutes[view["minute"]] = view
            while len(self._minutes) > SHOWN_MINUTES:
                del self._minutes[min(self._minutes)]
            self._timings.append(record["timings"])
            if record["status"] == "done":
                self._equity.append((record["minute"], record["equity"]))
            told |= {"minute": view, "latency": latency(self._timings)}
        elif line["kind"] == "health":
            health = health_body(line)
            self._health[health["actor"]] = health
            told["health"] = health
        else:
            self._state |= line["body"]
            told["state"] = line["body"]
        self._tell(told)

    async def _beat(self) -> None:
        """A sign of life with the current number, so that a page knows a quiet run from a lost connection."""
        while True:
            await asyncio.sleep(BEAT_S)
            self._tell({"type": "beat", "seq": self._seq, "redis": self._loaded})

    def _tell(self, message: dict) -> None:
        text = _text(message)
        for page in self._pages:
            page.put(text)


def _text(message: dict) -> str:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
