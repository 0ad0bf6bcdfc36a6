"""A venue stops sending one market's frames and says nothing: REST makes up for it, and the stream is replaced."""

import asyncio
from decimal import Decimal

import pytest

from actors.venue_feed import VenueFeed
from config.settings import ExchangeSettings
from core.units import MINUTE_MS, Instrument
from exchanges.hearing import DEAF_MINUTES
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.server import serve_exchange
from exchanges.simulated.walk import random_walk_tape

START = 1_772_000_040_000
BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")


@pytest.mark.parametrize(("kind", "told"), [("kline_1m", "no bars"), ("bookTicker", "no book")])
async def test_a_stream_that_went_deaf_to_one_market_is_replaced_and_no_bar_is_missed(kind, told):
    tape = random_walk_tape(("BTC/USDT", "ETH/USDT"), START, 30, 5)
    exchange = SimulatedExchange(tape, tape.default_rules(), {"USDT": Decimal(1_000)})
    server = await serve_exchange(exchange)
    settings = ExchangeSettings(rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.ws_api_url)
    now = START
    feed = VenueFeed("binance", settings, (BTC, ETH), (), lambda: now, 0.05, None, lockstep=False, heals=True)
    try:
        await feed.start()
        sources, cured = [], None
        for number in range(12):
            if number == 2:
                hub = server.state.hub
                for connection in tuple(hub.connections):
                    hub.unsubscribe(connection, [f"ethusdt@{kind}"])
            minute = START + number * MINUTE_MS
            now = minute + MINUTE_MS + 2_000
            async with server.state.lock:
                await server.state.advance(now)
            gathered = await feed.collect(minute)
            assert all(bar is not None and bar.minute == minute for bar in gathered.bars)
            sources.append(gathered.bars[1].source)
            if feed.cures and cured is None:
                cured = number
                assert told in feed._stream.state.last_end and "ETH/USDT" in feed._stream.state.last_end
                async with asyncio.timeout(10):
                    while feed._stream.state.lives < 2:
                        await asyncio.sleep(0.005)
                    await feed._stream.subscribed()
        assert feed.cures == 1
        assert cured is not None and cured <= 2 + DEAF_MINUTES + 2
        assert sources[-3:] == ["stream"] * 3
        assert feed.top(ETH) is not None and now - feed.top(ETH).at_ms < MINUTE_MS
        assert feed.bars.gaps == 0  # the new one spoke before the old one was left
    finally:
        await feed._stream.close()
        await feed.gateway.close()
        await server.close()
