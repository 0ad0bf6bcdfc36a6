"""Protective exits over Binance's wire: the orders, prices and fills of the desk in-process, to the last digit."""

from dataclasses import replace
from decimal import Decimal

import aiohttp

from actors.executor import ExecutorActor
from config.settings import ExchangeSettings
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.messages import Approved, Reports, TradingState, Verdicts
from core.params import ExecutionSettings, ProtectionSettings, RiskSettings
from core.protection import exit_rules
from core.units import MINUTE_MS, Instrument, Side
from exchanges.binance.gateway import BinanceGateway
from exchanges.composite import Venues
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.server import serve_exchange
from tests.sim.test_gateway import START, walk
from tests.support.binance_stub import API_KEY, SECRET
from tests.support.fake_venue import MemoryJournal

BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")
CASH = {"USDT": Decimal(50_000)}
EXECUTION = ExecutionSettings(slices=3, slice_seconds=15)
RULES = exit_rules(
    ProtectionSettings(stop_loss_pct=0.05, take_profit_pct=0.08, trailing_stop_pct=0.06), RiskSettings(collar_bps=5)
)
MINUTES = 12


class At:
    def __init__(self, minute: int) -> None:
        self.minute, self.now_ms = minute, minute + MINUTE_MS


def bought(minute: int, number: int) -> tuple[Approved, ...]:
    """Every third minute something of each is bought."""
    wanted = ((BTC, "0.02", "70000"), (ETH, "0.4", "3000")) if number % 3 == 0 else ()
    return tuple(
        Approved(
            intent_id=f"{minute}:{instrument}",
            minute=minute,
            instrument=instrument,
            side=Side.BUY,
            quantity=Decimal(quantity),
            limit_price=Decimal(limit),
            reference_price=1.0,
            arithmetic=("by hand",),
        )
        for instrument, quantity, limit in wanted
    )


def told(reports: Reports) -> Reports:
    """What can be compared: durations left out."""
    return replace(reports, took_ms=0.0)


async def test_exits_over_the_wire_are_those_of_the_desk():
    tape = walk()
    server = await serve_exchange(SimulatedExchange(tape, tape.default_rules(), CASH), credentials={API_KEY: SECRET})
    settings = ExchangeSettings(rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.ws_api_url)
    gateway = BinanceGateway(settings, (API_KEY, SECRET), tape.instruments)
    venue = SimulatedVenue.of_tape(tape, CASH)
    local = LocalExecutor(ExecutionMachine(EXECUTION, venue.rules(), "main", exits=RULES), venue)
    live = ExecutorActor(EXECUTION, "main", Venues({"binance": gateway}), MemoryJournal(), exits=RULES)
    sold = 0
    async with aiohttp.ClientSession() as http:

        async def advance(to_ms: int) -> None:
            async with http.post(f"{server.url}/sim/advance", json={"to_ms": to_ms}) as answer:
                assert answer.status == 200
            venue.advance_to(to_ms)

        await advance(START + 20 * MINUTE_MS)
        await live.start(START + 20 * MINUTE_MS)
        for number in range(MINUTES):
            minute = START + (19 + number) * MINUTE_MS
            await advance(minute + MINUTE_MS)
            approved = bought(minute, number)
            verdicts = Verdicts(
                minute=minute, trace="t", state=TradingState.HALTED, state_reason="", approved=approved, refused=()
            )
            mine, theirs = await live.execute(At(minute), verdicts), local.execute(At(minute), verdicts)
            assert told(mine) == told(theirs), f"minute {number}"
            sold += len(mine.exits)
            for second in (10, 15, 20, 30, 40, 50):
                await advance(minute + MINUTE_MS + second * 1_000)
                await live.beat(minute + MINUTE_MS + second * 1_000)
                local.beat(minute + MINUTE_MS + second * 1_000)
    await gateway.close()
    await server.close()
    assert sold > 4, "too few exits to say anything"
