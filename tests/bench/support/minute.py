"""A minute of many symbols, from the simulator's process into the cache: how long after the last message it is whole."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
import numpy as np

from actors.bar_feed import BarFeed
from config.settings import ExchangeSettings
from core.cache import Cache
from core.features import HISTORY
from core.messages import AccountState, MarketSlice, MinuteTick
from core.ports import MarketFeed
from core.units import MINUTE_MS, Instrument
from exchanges.link import LinkPolicy
from exchanges.simulated.process import Simulator
from exchanges.trade_bars import GRACE_MS
from exchanges.venues import gateway_of, market_stream_of

NOBODY = AccountState(at_ms=0, balances=())
PATIENCE_S = 30.0


@dataclass(slots=True)
class Minutes:
    """Milliseconds of each measured minute."""

    frames: int = 0
    """Messages in all."""
    spread: list[float] = field(default_factory=list)
    """From the first to the last final bar read: the simulator's pace, and our reading."""
    complete: list[float] = field(default_factory=list)
    """From the last message of the minute read to all bars known final."""
    cached: list[float] = field(default_factory=list)
    """From the last message of the minute read to the market out of the cache."""
    asked: list[float] = field(default_factory=list)
    """From telling the simulator to move to the market out of the cache: everything, both processes."""
    wrote: list[float] = field(default_factory=list)
    """From telling the simulator to move to its answer, which comes when all is written."""
    cpu: list[float] = field(default_factory=list)
    """Our processor time."""


LATER_MS = {"binance": 0, "upbit": GRACE_MS + 200}
"""How far beyond a minute's end a venue is moved for it to be whole: Upbit says nothing at the end of a minute, so a later
trade or REST must."""
SILENT_S = 0.01
"""Nothing came for so long after the simulator had written all: everything was read. It is counted as ours."""


async def measure(simulator: Simulator, instruments: Sequence[Instrument], count: int) -> Minutes:
    """Move the simulator (in lockstep) ``count`` minutes and follow each into a cache with a whole history."""
    venue = instruments[0].venue
    settings = ExchangeSettings(
        rest_url=simulator.rest, stream_url=simulator.stream, user_stream_url=simulator.ws_api, timeout_ms=60_000
    )
    rows = tuple(instruments)
    gateway = gateway_of(venue, settings, None, rows)
    feed, told, heard = BarFeed(rows, gateway, PATIENCE_S), Minutes(), []

    def on_bar(instrument: Instrument, bar: object) -> None:
        heard.append(time.monotonic())
        feed.hear(instrument, bar)  # type: ignore[arg-type]

    whole: list[float] = []
    feed.on_complete = lambda _: whole.append(time.monotonic())
    now = await gateway.server_time_ms()
    quiet = LinkPolicy(silence_s=None)
    stream = market_stream_of(
        venue, settings, rows, on_bar, None, feed.gap, now_ms=lambda: now, policy=quiet, gateway=gateway
    )
    running = asyncio.create_task(stream.run())
    cache = Cache(rows)
    first = now // MINUTE_MS * MINUTE_MS
    cache.restore(*_past(len(rows)), first - MINUTE_MS)
    try:
        await asyncio.wait_for(stream.subscribed(), PATIENCE_S)
        async with aiohttp.ClientSession() as http:
            for number in range(count + 1):
                minute = first + number * MINUTE_MS
                until = minute + MINUTE_MS + LATER_MS[venue]
                heard.clear()
                whole.clear()
                used, began = time.process_time(), time.monotonic()
                moving = asyncio.create_task(_advance(http, simulator.rest, until))
                if LATER_MS[venue]:
                    await _read_all(moving, stream)
                now = until
                seen = await feed.collect(minute)
                tops = tuple(stream.tops.get(i) for i in rows)
                piece = MarketSlice(minute=minute, instruments=rows, bars=seen.bars, tops=tops, late=seen.late)
                market = cache.observe(MinuteTick(minute=minute, now_ms=now, trace="t"), piece, NOBODY)
                done = time.monotonic()
                wrote = await moving
                if seen.late or not np.isfinite(market.bars[:, -1]).all():
                    raise SystemExit(f"{len(seen.late)} bars did not come")
                if number == 0:
                    continue  # the first minute sets up connections and caches
                last = stream.state.heard if LATER_MS[venue] else heard[-1]
                told.spread.append((heard[-1] - heard[0]) * 1e3)
                told.complete.append((whole[-1] - last) * 1e3)
                told.cached.append((done - last) * 1e3)
                told.asked.append((done - began) * 1e3)
                told.wrote.append((wrote - began) * 1e3)
                told.cpu.append((time.process_time() - used) * 1e3)
        told.frames = stream.state.frames
        return told
    finally:
        await stream.close()
        await running
        await feed.settle()
        await gateway.close()


async def _read_all(moving: asyncio.Task, stream: MarketFeed) -> None:
    """Until the simulator has written everything and we have read it."""
    await moving
    seen = -1
    while seen != stream.state.frames:
        seen = stream.state.frames
        await asyncio.sleep(SILENT_S)


async def _advance(http: aiohttp.ClientSession, url: str, to_ms: int) -> float:
    async with http.post(f"{url}/sim/advance", json={"to_ms": to_ms}) as answer:
        if answer.status != 200:
            raise SystemExit(await answer.text())
    return time.monotonic()


def _past(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Bars of a random walk, enough for every feature."""
    rng = np.random.default_rng(3)
    close = 10.0 * np.exp(np.cumsum(rng.normal(0.0, 5e-4, (rows, HISTORY)), axis=1))
    bars = np.stack([close, close * 1.0005, close * 0.9995, close, rng.lognormal(3.0, 0.5, close.shape)], axis=2)
    return bars, np.zeros(close.shape, dtype=np.bool_)


def spread_of(values: list[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and largest."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], ordered[-1]
