"""Market clocks against a served exchange: one that stood is started, and the market's end wakes who waits."""

import asyncio
import time

from actors.clock import MarketTime, SimulatorControl, SpeedClock, WallClock, wall_ms
from core.units import MINUTE_MS
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import BEGIN, make_exchange


async def test_start_lets_a_standing_market_run():
    server = await serve_exchange(make_exchange(), mode="speed", speed=600.0, paused=True)
    clock = SpeedClock(SimulatorControl(server.url))
    try:
        assert await clock.now_ms() == BEGIN
        await clock.start()
        assert await asyncio.wait_for(clock.sleep_until(BEGIN + MINUTE_MS), 5) >= BEGIN + MINUTE_MS
    finally:
        await clock.close()
        await server.close()


async def test_the_end_of_the_market_wakes_who_waits_for_later():
    server = await serve_exchange(make_exchange(minutes=62), mode="speed", speed=600.0)
    clock = SpeedClock(SimulatorControl(server.url))
    try:
        end = BEGIN + 2 * MINUTE_MS
        assert await asyncio.wait_for(clock.sleep_until(end + 10 * MINUTE_MS), 5) == end
    finally:
        await clock.close()
        await server.close()


async def test_the_wall_clock_is_this_machines():
    began = wall_ms()
    assert await WallClock().sleep_until(began + 30) >= began + 30
    assert abs(MarketTime(1.0, wall=True).now_ms() - wall_ms()) < 1_000


def test_told_time_goes_on_at_its_speed_and_does_not_know_the_wall():
    market = MarketTime(1.0, wall=False)
    market.tell(5_000)
    assert 5_000 <= market.now_ms() < 6_000
    waiting = MarketTime(1_000_000.0, wall=False)
    waiting.tell(7, running=False)
    time.sleep(0.001)
    assert waiting.now_ms() == 7
    waiting.tell(8)
    time.sleep(0.001)
    assert waiting.now_ms() > 8
    fast = MarketTime(1_000.0, wall=False)
    fast.tell(0)
    time.sleep(0.01)
    assert fast.now_ms() >= 10_000
