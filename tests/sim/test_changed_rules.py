"""A venue changes its filters while the executor runs: the first refusal makes it ask, and from then on it keeps them."""

from dataclasses import replace
from decimal import Decimal

import pytest

from actors.executor import ExecutorActor
from config.settings import ExchangeSettings
from core.messages import MinuteTick, TradingState, Verdicts
from core.params import ExecutionSettings
from core.units import MINUTE_MS
from exchanges.simulated.server import serve_exchange
from tests.support.binance_stub import API_KEY, SECRET
from tests.support.chaos_venues import BINANCE
from tests.support.fake_venue import MemoryJournal
from tests.support.mortal_executor import intents, seen


@pytest.fixture
async def wired():
    exchange = BINANCE.make(3)
    server = await serve_exchange(exchange, credentials={API_KEY: SECRET})
    settings = ExchangeSettings(
        rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.user_stream_url
    )
    gateway = BINANCE.gateway(settings, exchange.instruments)
    yield exchange, server, gateway
    await gateway.close()
    await server.close()


async def test_new_filters_reach_risk_and_machine_with_the_next_minute_over_the_wire(wired):
    exchange, server, gateway = wired
    journal = MemoryJournal()
    executor = ExecutorActor(ExecutionSettings(slices=3, slice_seconds=15), "main", gateway, journal)
    await executor.start(exchange.now_ms)
    old = exchange.rules[0]
    minute = exchange.now_ms - MINUTE_MS

    async def decide(step: Decimal):
        (approved,) = (a for a in intents(exchange, minute, 1) if a.instrument == old.instrument)
        quantity = max(approved.quantity // step, 1) * step
        said = Verdicts(
            minute=minute,
            trace="t",
            state=TradingState.ACTIVE,
            state_reason="",
            approved=(replace(approved, quantity=quantity, limit_price=approved.limit_price // 1),),
            refused=(),
        )
        return await executor.execute(seen(exchange, minute, exchange.now_ms), said)

    async def account():
        return await executor.account(MinuteTick(minute=minute, now_ms=exchange.now_ms, trace="t"))

    assert (await account()).rules == ()
    exchange.restate(replace(old, step=old.step * 100, min_qty=old.step * 100))
    (told,) = (await decide(old.step)).orders
    assert "Filter failure: LOT_SIZE" in told.reason
    minute += MINUTE_MS
    async with server.state.lock:
        await server.state.advance(minute + MINUTE_MS)
    stated = {rule.instrument: rule for rule in (await account()).rules}
    assert stated[old.instrument].step == old.step * 100
    assert executor.market_rules() == stated
    (told,) = (await decide(old.step * 100)).orders
    assert told.executed > 0
    # Whoever starts from this journal tells its risk too, which may have the older ones.
    again = ExecutorActor(ExecutionSettings(slices=3, slice_seconds=15), "main", gateway, journal)
    await again.start(exchange.now_ms)
    told_again = await again.account(MinuteTick(minute=minute, now_ms=exchange.now_ms, trace="t"))
    assert {rule.instrument: rule for rule in told_again.rules} == stated
