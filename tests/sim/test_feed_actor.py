"""The feed's actor as a plain object, at both venues at once: a minute's slice, and where its bars came from on disk."""

import asyncio
from dataclasses import replace

import numpy as np

from actors import feed as feed_module
from actors.feed import FeedActor
from core.cache import Cache
from core.features import HISTORY
from core.messages import MinuteTick
from core.units import MINUTE_MS, Instrument
from core.votes import askable
from data.bar_log import read_source
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.walk import random_walk_tape
from tests.sim.test_live_executor import FIRST, plan_at, quiet_logs  # noqa: F401 - a fixture
from tests.support.chaos_venues import BINANCE, START, UPBIT, VENUES
from tests.support.markets import account


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


async def test_a_coin_listed_an_hour_ago_comes_with_the_past_it_has_and_nobody_is_asked_about_it(
    tmp_path,
    monkeypatch,
    quiet_logs,  # noqa: F811
):
    """From the venue's REST over its stream into the cache, as a start does it: no error, a price, and no forecast."""
    monkeypatch.setattr(feed_module, "keep_memory", lambda: None)
    before = HISTORY + 20
    tape = random_walk_tape(("BTC/USDT", "ETH/USDT"), START - before * MINUTE_MS, before + 70, seed=4)
    bars = tape.bars.copy()
    bars[1, :before] = np.nan
    tape = replace(tape, bars=bars)
    exchange = SimulatedExchange(tape, tape.default_rules(), BINANCE.balances, FIRST)
    made = {"binance": await BINANCE.serve(exchange, None), "upbit": await UPBIT.serve(UPBIT.make(4), None)}
    feed = FeedActor(plan_at(made, tmp_path))
    cache = Cache(feed._instruments)
    btc, eth = (feed._instruments.index(Instrument("binance", f"{base}/USDT")) for base in ("BTC", "ETH"))
    try:
        await feed.start()
        past, filler, last = await feed.history(HISTORY)
        cache.restore(past, filler, last)
        minute = FIRST
        now = minute + MINUTE_MS + 2_000
        for server in made.values():
            async with server.state.lock:
                await server.state.advance(now)
        tick = MinuteTick(minute=minute, now_ms=now, trace="t")
        market = cache.observe(tick, await feed.collect(tick), account(USDT="1000"))
    finally:
        for part in feed._venues:
            await part._stream.close()
            await part.gateway.close()
        await asyncio.gather(*(part._running for part in feed._venues))
        for server in made.values():
            await server.close()
    assert np.isfinite(past[btc]).all()
    known = np.isfinite(past[eth, :, 0])
    assert known.sum() == (FIRST - START) // MINUTE_MS and known[-known.sum() :].all()
    assert market.fresh[btc] and market.fresh[eth]
    assert list(askable(market)[[btc, eth]]) == [True, False]
