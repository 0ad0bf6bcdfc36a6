"""The feed's actor as a plain object, at both venues at once: a minute's slice, and where its bars came from on disk."""

import asyncio

from actors import feed as feed_module
from actors.feed import FeedActor
from core.messages import MinuteTick
from core.units import MINUTE_MS, Instrument
from data.bar_log import read_source
from tests.sim.test_live_executor import FIRST, plan_at, quiet_logs  # noqa: F401 - a fixture
from tests.support.chaos_venues import VENUES


async def test_minutes_of_two_venues_come_whole_and_their_sources_are_kept(tmp_path, monkeypatch, quiet_logs):  # noqa: F811
    monkeypatch.setattr(feed_module, "keep_memory", lambda: None)  # of a process of its own
    made = {name: await venue.serve(venue.make(4), None) for name, venue in VENUES.items()}
    feed = FeedActor(plan_at(made, tmp_path))
    slices = []
    try:
        await feed.start()
        for number in range(3):
            minute = FIRST + number * MINUTE_MS
            now = minute + MINUTE_MS + 2_000
            for server in made.values():
                async with server.state.lock:
                    await server.state.advance(now)
            slices.append(await feed.collect(MinuteTick(minute=minute, now_ms=now, trace="t")))
        health = await feed.health()
    finally:
        for part in feed._venues:
            await part._stream.close()
            await part.gateway.close()
        await asyncio.gather(*(part._running for part in feed._venues))
        for server in made.values():
            await server.close()
    rows = [
        Instrument.parse(name) for name in ("binance:BTC/USDT", "binance:ETH/USDT", "upbit:BTC/KRW", "upbit:ETH/KRW")
    ]
    for piece in slices:
        assert piece.instruments == tuple(rows)
        assert all(bar is not None and bar.minute == piece.minute for bar in piece.bars)
        assert all(top is not None for top in piece.tops)
        for instrument, bar in zip(rows, piece.bars, strict=True):
            assert read_source(tmp_path, piece.minute, instrument) == ("filler" if bar.filler else bar.source)
    assert health["connected"] is True
    assert (health["cures"], health["late_bars"]) == (0, 0)
