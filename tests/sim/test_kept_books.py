"""Order books kept over the simulator's real wire, diffs left out and connections cut: true or absent."""

import asyncio
from decimal import Decimal

import numpy as np
import pytest

from config.settings import ExchangeSettings
from core.units import Instrument
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.stream import MarketStream
from exchanges.link import LinkPolicy
from exchanges.simulated.chaos.plan import Chaos
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import BEGIN, make_exchange

BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")


def shown(server, row: int) -> tuple[int, dict[float, float], dict[float, float]]:
    """Id and levels of the book as the simulator last showed it."""
    view, rules = server.state.depth[row], server.state.exchange.rules[row]

    def side(levels: dict[int, int]) -> dict[float, float]:
        return {float(t * Decimal(rules.tick)): float(s * Decimal(rules.step)) for t, s in levels.items()}

    return view.shown_id, side(view.bids), side(view.asks)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_kept_book_is_the_simulators_or_none(seed, monkeypatch):
    monkeypatch.setattr("exchanges.binance.stream.SNAPSHOT_PAUSE_S", 0.005)
    chaos = Chaos(np.random.default_rng(seed), rate=0.06, only=("gap-depth", "end-pong"), pace=0.02)
    server = await serve_exchange(make_exchange(), chaos=chaos)
    settings = ExchangeSettings(rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.ws_api_url)
    gateway = BinanceGateway(settings, None, [BTC, ETH])
    stream = MarketStream(
        settings,
        [BTC, ETH],
        lambda *_: None,
        now_ms=lambda: 0,
        policy=LinkPolicy(silence_s=None, first_delay_s=0.01, longest_delay_s=0.02),
        depth=True,
        snapshot=gateway.depth,
    )
    running = asyncio.create_task(stream.run())
    equal = absent = 0
    try:
        await asyncio.wait_for(stream.subscribed(), 5)
        for second in range(1, 240):
            async with server.state.lock:
                await server.state.advance(BEGIN + second * 1_000)
            await asyncio.sleep(0.004)
            for row, instrument in enumerate((BTC, ETH)):
                book, kept = stream.book(instrument), stream._books[instrument].kept
                last_id, bids, asks = shown(server, row)
                if book is None or kept.last_id != last_id:
                    absent += 1
                    continue
                assert book.bids == pytest.approx(bids)
                assert book.asks == pytest.approx(asks)
                equal += 1
    finally:
        await stream.close()
        await asyncio.wait_for(running, 5)
        await gateway.close()
        await server.close()
    assert chaos.done["gap-depth"] > 3
    assert stream.faults["gap"] == stream.resyncs > 3
    assert equal > absent
