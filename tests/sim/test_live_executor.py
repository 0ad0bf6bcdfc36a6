"""The executor's actor as a plain object, at both venues at once, with faults: start, minutes, stop, start again."""

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from actors.executor_actor import LiveExecutor
from actors.plan import RunPlan
from config.settings import Settings
from core.errors import ExchangeUnavailable
from core.messages import MinuteTick, TradingState, Verdicts
from core.units import MINUTE_MS, Side, floor_to_step
from exchanges.simulated.chaos.plan import Chaos
from tests.support.binance_stub import API_KEY, SECRET
from tests.support.chaos_venues import PAST, START, VENUES
from tests.support.fake_venue import approved

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class At:
    """What of a market the executor reads."""

    minute: int
    now_ms: int
    trace: str = "t"


FIRST = START + PAST * MINUTE_MS
MINUTES = 6


@pytest.fixture
def quiet_logs():
    """The actor sets up the process's logging; what stood before stands again after."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
async def servers():
    made = {}
    for name, venue in VENUES.items():
        chaos = Chaos.seeded(4, rate=0.1, pace=0.02, venue=name)
        made[name] = await venue.serve(venue.make(4), chaos)
    yield made
    for server in made.values():
        await server.close()


def plan_at(servers, folder) -> RunPlan:
    keys = folder / "keys.json"
    keys.write_text(json.dumps({name: {"api_key": API_KEY, "api_secret": SECRET} for name in servers}))
    keys.chmod(0o600)
    symbols = {"binance": ["BTC/USDT", "ETH/USDT"], "upbit": ["BTC/KRW", "ETH/KRW"]}
    config = {
        "trade": {"instruments": [f"{venue}:{s}" for venue, listed in symbols.items() for s in listed]},
        "exchanges": {name: VENUES[name].settings(server).model_dump() for name, server in servers.items()},
    }
    rules = json.loads((ROOT / "config" / "trading_rules.json").read_text())
    rules.pop("$schema", None)
    settings = Settings.model_validate({"config": config, "rules": rules})
    return RunPlan(
        run_id="r",
        mode="replay",
        settings=settings,
        root=folder,
        run_dir=folder,
        log_dir=folder,
        artifacts_dir=folder,
        redis_url="",
        keys_path=keys,
        instance="both",
        clock="lockstep",
    )


async def patiently(call):
    """As the supervisor does: until the venues serve us."""
    for _ in range(30):
        with suppress(ExchangeUnavailable):
            return await call()
        await asyncio.sleep(0.05)
    raise AssertionError("the venues never answered")


def wanted(server, rules, minute, number):
    """One intent a market, at the touch."""
    exchange = server.state.exchange
    found = []
    for row, instrument in enumerate(exchange.instruments):
        if instrument not in rules or (top := exchange.top(row)) is None:
            continue
        side = Side.BUY if (number + row) % 2 else Side.SELL
        price = top.ask if side is Side.BUY else top.bid
        worth = Decimal(300_000) if instrument.quote == "KRW" else Decimal(200)
        quantity = floor_to_step(worth / price, rules[instrument].step)
        found.append(approved(f"{quantity:f}", side, instrument, minute, f"{price:f}"))
    return found


async def advance(servers, to_ms):
    for server in servers.values():
        async with server.state.lock:
            await server.state.advance(to_ms)


@pytest.fixture
async def lives():
    """Every executor that lived; what of them still listens is closed at the end."""
    made: list[LiveExecutor] = []
    yield made
    for executor in made:
        await executor._news.close()


async def test_two_venues_with_faults_end_with_nothing_open_and_equal_books(servers, tmp_path, quiet_logs, lives):
    plan = plan_at(servers, tmp_path)
    lives.append(executor := LiveExecutor(plan))
    await patiently(executor.start)
    rules = await executor.rules()
    for number in range(MINUTES):
        minute = FIRST + number * MINUTE_MS
        now = minute + MINUTE_MS
        await advance(servers, now)
        with suppress(ExchangeUnavailable):
            await executor.account(MinuteTick(minute=minute, now_ms=now, trace="t"))
        intents = [i for server in servers.values() for i in wanted(server, rules, minute, number)]
        said = Verdicts(
            minute=minute, trace="t", state=TradingState.ACTIVE, state_reason="", approved=tuple(intents), refused=()
        )
        await executor.execute(At(minute, now), said)
        for beat in (15_000, 30_000, 45_000):
            await advance(servers, now + beat)
            await executor.beat(now + beat)
        if number == MINUTES // 2:
            # The process dies; its successor goes on from the journal, at both venues.
            await executor._news.close()
            executor._executor._journal.close()
            lives.append(executor := LiveExecutor(plan))
            await patiently(executor.start)
    end = FIRST + (MINUTES + 1) * MINUTE_MS
    for n in range(10):
        await advance(servers, end + n * 3_000)
        await executor.beat(end + n * 3_000)
        left = await executor.stop()
        if left == {"open": [], "unsettled": []}:
            break
    assert left == {"open": [], "unsettled": []}
    health, books = await executor.health(), await executor.books()
    assert (health["stream_problem"], health["journal"]) == ("", "ok")
    traded = 0
    for name, server in servers.items():
        exchange = server.state.exchange
        assert sum(server.state.exchange.account.locked(a) for a in exchange.account.assets()) == 0
        for row, instrument in enumerate(exchange.instruments):
            trades, total = exchange.my_trades(row), books["totals"].get(instrument.symbol)
            traded += len(trades)
            bought = sum((t.quantity for t in trades if t.side is Side.BUY), Decimal(0))
            sold = sum((t.quantity for t in trades if t.side is Side.SELL), Decimal(0))
            assert (Decimal((total or {}).get("bought", 0)), Decimal((total or {}).get("sold", 0))) == (bought, sold)
        for asset, start in VENUES[name].balances.items():
            holds = exchange.account.free(asset) + exchange.account.locked(asset)
            assert holds == start + Decimal(books["flows"].get(f"{name}:{asset}", 0))
    assert traded > 20
