"""Playing a raw recording to whoever listens: the very bytes, at their own pace or ``speed`` times as fast.

Time stands until a first client subscribes, so that nobody misses the beginning. Orders are not taken: a recording
knows of no matching. What was not recorded (klines, the book between snapshots) is built from what was.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiohttp import web

from core.errors import DataError
from exchanges.simulated.binance.budget import Allowance, Budget
from exchanges.simulated.binance.market_payloads import symbol_row
from exchanges.simulated.binance.payloads import symbol_of
from exchanges.simulated.binance.rest import json_answer, refusal_body
from exchanges.simulated.binance.streams import serve_streams
from exchanges.simulated.filters import Limits
from exchanges.simulated.hub import Hub
from exchanges.simulated.recording import Line, RecordedMarket, instrument_of, merged
from exchanges.simulated.refusals import VenueRefusal, illegal, invalid_symbol, missing
from exchanges.simulated.rules import default_rules

BATCH = 500
"""Messages written before anybody else has a turn."""
SNAPSHOT_WAIT_S = 10.0
LOOKED_AT = 5_000
"""Lines that are read ahead of the play to learn which markets there are, and at which price."""


class Replay:
    """A recording that is being played. DataError when the files hold no messages."""

    def __init__(self, paths: Sequence[Path], speed: float) -> None:
        self.hub, self.lock = Hub(), asyncio.Lock()
        self.speed = speed
        self.markets: dict[str, RecordedMarket] = {}
        self.prices: dict[str, float] = {}
        self.ended = False
        self.sent = 0
        self.moved = asyncio.Event()
        """Set, and cleared, with every batch."""
        for path in paths:
            self._look_into(path)
        self._lines: Iterator[Line] = merged(paths)
        first = next(self._lines, None)
        if first is None:
            raise DataError(f"recording: no messages in {', '.join(map(str, paths))}")
        self._next: Line | None = first
        self._start_ns = self._at_ns = first.at_ns

    @property
    def start_ms(self) -> int:
        return self._start_ns // 1_000_000

    @property
    def now_ms(self) -> int:
        """The exchange's clock as the recording tells it; the recorder's before it does."""
        return max((m.event_ms for m in self.markets.values()), default=0) or self._at_ns // 1_000_000

    async def play(self) -> None:
        """Send everything when its time comes, from the first subscription on."""
        loop = asyncio.get_running_loop()
        await self.hub.heard.wait()
        began = loop.time()
        while self._next is not None:
            due_ns = self._start_ns + int((loop.time() - began) * 1e9 * self.speed)
            async with self.lock:
                self._take_until(due_ns)
                await self.hub.flush()
            self.moved.set()
            self.moved.clear()
            behind = self._next is not None and self._next.at_ns <= due_ns
            wait = 0.0 if behind or self._next is None else (self._next.at_ns - due_ns) / 1e9 / self.speed
            await asyncio.sleep(wait)
        self.ended = True

    def _take_until(self, due_ns: int) -> None:
        for _ in range(BATCH):
            line = self._next
            if line is None or line.at_ns > due_ns:
                return
            self._at_ns = line.at_ns
            self.markets[line.symbol].take(line)
            if line.stream:
                self.sent += 1
                for connection in self.hub.listeners(line.stream):
                    connection.add(line.stream, line.payload)
            self._next = next(self._lines, None)

    def _look_into(self, path: Path) -> None:
        """Learn the markets of a file and a price of each from its first lines."""
        for number, line in enumerate(merged([path])):
            if line.symbol not in self.markets:
                self.markets[line.symbol] = RecordedMarket(instrument_of(line.symbol))
            if line.stream.endswith("@trade"):
                self.prices.setdefault(line.symbol, float(orjson.loads(line.payload)["p"]))
            if number >= LOOKED_AT or line.symbol in self.prices:
                return


REPLAY = web.AppKey("replay", Replay)


@dataclass(slots=True)
class RunningReplay:
    """A replay that is up. ``close`` ends it."""

    replay: Replay
    url: str
    _runner: web.AppRunner
    _task: asyncio.Task

    @property
    def stream_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/stream"

    async def finished(self) -> None:
        """Wait for the last message; raises what went wrong on the way (DataError for a line that is none)."""
        await asyncio.shield(self._task)

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError, DataError):
            await self._task
        for connection in tuple(self.replay.hub.connections):
            connection.abandon()
        await self._runner.cleanup()


async def serve_recording(paths: Sequence[Path], speed: float = 1.0, port: int = 0) -> RunningReplay:
    """Serve recordings on loopback; port 0 takes a free one."""
    replay = Replay(paths, speed)
    app = web.Application()
    app[REPLAY] = replay
    for name, call in CALLS.items():
        app.router.add_get(f"/api/v3/{name}", call)
    for path in ("/ws", "/ws/{streams:.+}", "/stream", "/stream/ws", "/stream/ws/{streams:.+}"):
        app.router.add_get(path, _streams)
    app.router.add_get("/sim/state", _state)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    bound = runner.addresses[0]
    return RunningReplay(replay, f"http://{bound[0]}:{bound[1]}", runner, asyncio.create_task(replay.play()))


async def _streams(request: web.Request) -> web.WebSocketResponse:
    replay = request.app[REPLAY]
    return await serve_streams(request, replay.hub, replay.lock)


def _market(request: web.Request) -> tuple[str, RecordedMarket]:
    name = request.query.get("symbol", "")
    if not name:
        raise missing("symbol")
    market = request.app[REPLAY].markets.get(name.lower())
    if market is None:
        raise invalid_symbol()
    return name.lower(), market


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name) or str(default)
    if not text.isdecimal():
        raise illegal(name, "^[0-9]{1,20}$")
    return min(int(text), most)


def _call(answer):
    """A handler that words refusals as the venue does."""

    async def handle(request: web.Request) -> web.Response:
        try:
            found = await answer(request)
        except VenueRefusal as refusal:
            return json_answer(refusal_body(refusal), refusal.status)
        return (
            web.Response(text=found, content_type="application/json") if isinstance(found, str) else json_answer(found)
        )

    return handle


async def _ping(request: web.Request) -> dict:
    return {}


async def _time(request: web.Request) -> dict:
    return {"serverTime": request.app[REPLAY].now_ms}


async def _exchange_info(request: web.Request) -> dict:
    replay = request.app[REPLAY]
    rows = []
    for symbol, market in replay.markets.items():
        rules = default_rules(market.instrument, replay.prices.get(symbol, 1.0))
        rows.append(symbol_row(rules, "TRADING", Limits()))
    stated = Budget(lambda: replay.now_ms, replay.speed, Allowance()).stated()
    return {
        "timezone": "UTC",
        "serverTime": replay.now_ms,
        "rateLimits": stated,
        "exchangeFilters": [],
        "symbols": rows,
    }


async def _depth(request: web.Request) -> str:
    replay, (_, market) = request.app[REPLAY], _market(request)
    limit = _number(request, "limit", 100, 5_000)
    with suppress(TimeoutError):
        async with asyncio.timeout(SNAPSHOT_WAIT_S):
            while not market.last_id:
                await replay.moved.wait()
    if not market.last_id:
        raise VenueRefusal(-1000, "The recording has no order book of this market at this time.", status=503)
    return market.depth(limit)


async def _klines(request: web.Request) -> list:
    replay, (_, market) = request.app[REPLAY], _market(request)
    if request.query.get("interval") != "1m":
        raise VenueRefusal(-1120, "Invalid interval.")
    start, end = _number(request, "startTime", 0, 1 << 62), _number(request, "endTime", replay.now_ms, 1 << 62)
    limit = _number(request, "limit", 500, 1_000)
    rows = [bar.row() for minute, bar in sorted(market.klines.items()) if start <= minute <= end]
    return rows[:limit] if start else rows[-limit:]


async def _book_ticker(request: web.Request) -> object:
    replay = request.app[REPLAY]
    wanted = [_market(request)[1]] if request.query.get("symbol") else list(replay.markets.values())
    names = {"bidPrice": "b", "bidQty": "B", "askPrice": "a", "askQty": "A"}
    rows = [
        {"symbol": symbol_of(m.instrument)} | {long: m.ticker.get(short, "0.00000000") for long, short in names.items()}
        for m in wanted
    ]
    return rows[0] if request.query.get("symbol") else rows


async def _state(request: web.Request) -> web.Response:
    replay = request.app[REPLAY]
    state = {
        "now_ms": replay.now_ms,
        "start_ms": replay.start_ms,
        "speed": replay.speed,
        "sent": replay.sent,
        "ended": replay.ended,
        "symbols": [m.instrument.symbol for m in replay.markets.values()],
    }
    return json_answer(state)


CALLS = {
    "ping": _call(_ping),
    "time": _call(_time),
    "exchangeInfo": _call(_exchange_info),
    "depth": _call(_depth),
    "klines": _call(_klines),
    "ticker/bookTicker": _call(_book_ticker),
}
