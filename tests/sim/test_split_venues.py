"""One order split over Binance and Upbit, each over its own wire, when one of them fails before it is done."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

import numpy as np
import pytest

from actors.executor import ExecutorActor
from core.coin_split import split_rules
from core.errors import ExchangeUnavailable
from core.features import WINDOW
from core.messages import Market, MinuteTick, Verdicts
from core.params import CostSettings, ExecutionSettings, RiskSettings, TradeSettings
from core.risk import Risk
from core.units import MINUTE_MS, Instrument, Side
from exchanges.composite import Venues
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.server import RunningServer, serve_exchange
from exchanges.simulated.tape import Tape
from exchanges.simulated.upbit.market import UpbitExchange
from tests.support.binance_stub import API_KEY, SECRET
from tests.support.chaos_venues import BINANCE, UPBIT
from tests.support.fake_venue import MemoryJournal
from tests.support.markets import intents, market, walk

T = TypeVar("T")
START = 1_767_225_600_000
FIRST = 300
"""Minute of the tape at whose close the first decision falls."""
HERE, THERE = Instrument("binance", "BTC/USDT"), Instrument("upbit", "BTC/KRW")
WIRES = {"binance": BINANCE, "upbit": UPBIT}
WON = 1_400.0
COSTS = CostSettings(latency=False, fees=False)
EXECUTION = ExecutionSettings(slices=3, slice_seconds=15, cost_gate="off")
LIMITS = RiskSettings(
    max_order_pct=50,
    max_position_pct=60,
    kelly_fraction=None,
    max_position_volatility_pct=None,
    target_volatility_pct=None,
    max_order_usdt=None,
)


async def answered(ask: Callable[[], Awaitable[T]]) -> T:
    """What a venue that is there answers. A machine that stood still for seconds looks like one that does not: then it is
    asked anew, as whoever starts an executor does."""
    for _ in range(2):
        with suppress(ExchangeUnavailable):
            return await ask()
    return await ask()


class World:
    """Two simulated exchanges behind their wires, and the executor and risk of one bot that trades one coin at both."""

    def __init__(self, coins: str = "0") -> None:
        bars = walk(FIRST + 20, 4, price=50_000.0, volatility=4e-4)
        bars[:, :4] = np.round(bars[:, :4])
        bars[:, 4] = 40.0
        self.bars = {HERE: bars, THERE: bars * [WON, WON, WON, WON, 1.0]}
        self.now = START + (FIRST + 1) * MINUTE_MS
        tapes = {i: Tape((i,), START, b[None], True) for i, b in self.bars.items()}
        money = {"USDT": Decimal(50_000), "BTC": Decimal(coins)}
        here = SimulatedExchange(tapes[HERE], tapes[HERE].default_rules(COSTS), money, self.now, costs=COSTS)
        money = {"KRW": Decimal(70_000_000), "BTC": Decimal(coins)}
        self.exchanges = {"binance": here, "upbit": UpbitExchange(tapes[THERE], money, self.now, COSTS)}
        self.servers: dict[str, RunningServer] = {}
        self.executor: ExecutorActor
        self.risk: Risk

    async def begin(self) -> None:
        self.gateways = {}
        for name, instrument in (("binance", HERE), ("upbit", THERE)):
            await self.come_up(name)
            self.gateways[name] = WIRES[name].gateway(WIRES[name].settings(self.servers[name]), (instrument,))
        venues = Venues(self.gateways)
        rules = await answered(venues.rules)
        self.executor = ExecutorActor(EXECUTION, "main", venues, MemoryJournal())
        await answered(lambda: self.executor.start(self.now))
        trade = TradeSettings(instruments=(str(HERE), str(THERE)), invest_pct=50)
        self.risk = Risk(trade, LIMITS, rules, split=split_rules(EXECUTION, COSTS))

    async def come_up(self, name: str) -> None:
        port = int(self.servers[name].url.rpartition(":")[2]) if name in self.servers else 0
        keys = {API_KEY: SECRET}
        self.servers[name] = await serve_exchange(self.exchanges[name], port=port, credentials=keys, venue=name)

    async def go_down(self, name: str) -> None:
        await self.servers[name].close()

    async def to(self, now: int) -> None:
        """Let time pass at both, also at one that nobody hears."""
        self.now = now
        for server in self.servers.values():
            async with server.state.lock:
                await server.state.advance(now)

    async def decide(self, target: float, silent: str = "") -> Verdicts:
        """Decide the minute that has just closed, and send its first slices. ``silent``: no book of it is heard."""
        minute = self.now - MINUTE_MS
        seen = await self.seen(minute, silent)
        verdicts = self.risk.review(seen, intents(seen, (target, target)))
        await self.executor.execute(seen, verdicts)
        return verdicts

    async def seen(self, minute: int, silent: str) -> Market:
        account = await self.executor.account(MinuteTick(minute=minute, now_ms=self.now, trace="t"))
        end = (minute - START) // MINUTE_MS + 1
        bars = np.stack([self.bars[i][end - WINDOW : end] for i in (HERE, THERE)])
        tops = {i: self.exchanges[i.venue].top(0) for i in (HERE, THERE)}
        touch = np.array([[float(tops[i].bid), float(tops[i].ask)] for i in (HERE, THERE)]).T
        heard = np.array([i.venue != silent for i in (HERE, THERE)])
        rate = np.array([1.0, 1.0 / WON])
        held = np.array([float(account.total(i.venue, i.base)) for i in (HERE, THERE)])
        money = np.array([float(account.total(i.venue, i.quote)) for i in (HERE, THERE)])
        worth = float((money * rate).sum() + (held * touch.mean(axis=0) * rate).sum())
        return replace(
            market((HERE, THERE), mids=tuple(touch.mean(axis=0)), minute=minute, bars=bars),
            bid=np.where(heard, touch[0], np.nan),
            ask=np.where(heard, touch[1], np.nan),
            fresh=heard,
            account=account,
            cash=money,
            position=held,
            quote_rate=rate,
            equity=worth,
            shown=np.array([[float(tops[i].bid_qty), float(tops[i].ask_qty)] for i in (HERE, THERE)]).T,
        )

    async def slices(self, *seconds: int) -> None:
        """The later slices of the minute."""
        close = self.now // MINUTE_MS * MINUTE_MS
        for second in seconds:
            await self.to(close + second * 1_000)
            await self.executor.beat(self.now)

    async def minute_ends(self) -> None:
        await self.to((self.now // MINUTE_MS + 1) * MINUTE_MS)

    def traded(self, name: str, side: Side = Side.BUY) -> Decimal:
        """What the exchange itself says was traded there."""
        trades = self.exchanges[name].my_trades(0)
        return sum((t.quantity for t in trades if self.exchanges[name].orders[t.order_id].side is side), Decimal(0))

    async def close(self) -> None:
        for gateway in self.gateways.values():
            await gateway.close()
        for server in self.servers.values():
            await server.close()


@pytest.fixture
async def world():
    made = World()
    await made.begin()
    yield made
    await made.close()


@pytest.fixture
async def holder():
    made = World(coins="0.5")
    await made.begin()
    yield made
    await made.close()


async def test_a_market_that_halts_midway_leaves_the_rest_to_the_other_venue(world):
    first = await world.decide(0.4)
    wanted = {o.instrument: o.quantity for o in first.approved}
    assert set(wanted) == {HERE, THERE}
    # Binance halts the market after the first slice; Upbit goes on.
    world.exchanges["binance"].status[0] = "BREAK"
    await world.slices(15, 30)
    done = world.traded("binance")
    assert 0 < done < wanted[HERE] and world.traded("upbit") == wanted[THERE]
    await world.minute_ends()
    second = await world.decide(0.4)
    (rest,) = second.approved
    assert rest.instrument == THERE and rest.side is Side.BUY
    assert any(line.startswith("one BTC order of +") for line in rest.arithmetic)
    # The whole of what is missing, in money's worth: what prices and fees changed is a fraction of it.
    assert float(rest.quantity) == pytest.approx(float(wanted[HERE] - done), rel=0.05)
    await world.slices(15, 30)
    assert world.traded("binance") == done
    assert world.traded("upbit") == wanted[THERE] + rest.quantity
    await world.minute_ends()
    # Done, and nothing more is sent; nor when the market opens again.
    world.exchanges["binance"].status[0] = "TRADING"
    assert (await world.decide(0.4)).approved == ()


async def test_a_venue_that_is_gone_stops_purchases_until_it_is_back_and_then_the_rest_is_bought(world):
    first = await world.decide(0.4)
    wanted = {o.instrument: o.quantity for o in first.approved}
    await world.go_down("binance")
    await world.slices(15, 30)
    done = world.traded("binance")
    assert 0 < done < wanted[HERE] and world.traded("upbit") == wanted[THERE]
    await world.minute_ends()
    # What stands at the silent one is part of the equity that sizes are shares of: nothing is bought on a guess.
    second = await world.decide(0.4, silent="binance")
    assert second.approved == () and [r.instrument for r in second.refused] == [HERE]
    await world.minute_ends()
    await world.come_up("binance")
    third = await world.decide(0.4)
    rest = sum(o.quantity for o in third.approved)
    assert float(rest) == pytest.approx(float(wanted[HERE] - done), rel=0.05)
    await world.slices(15, 30)
    bought = world.traded("binance") + world.traded("upbit")
    assert bought == done + wanted[THERE] + rest
    await world.minute_ends()
    assert (await world.decide(0.4)).approved == ()


async def test_while_a_venue_is_gone_the_other_goes_on_selling(holder):
    assert (await holder.decide(float("nan"))).approved == ()
    await holder.minute_ends()
    await holder.go_down("binance")
    said = await holder.decide(0.0, silent="binance")
    (sale,) = said.approved
    assert sale.instrument == THERE and sale.side is Side.SELL and sale.quantity == Decimal("0.5")
    await holder.slices(15, 30)
    assert holder.traded("upbit", Side.SELL) == Decimal("0.5") and holder.traded("binance", Side.SELL) == 0
    await holder.minute_ends()
    await holder.come_up("binance")
    said = await holder.decide(0.0)
    assert [(o.instrument, o.quantity) for o in said.approved] == [(HERE, Decimal("0.5"))]
    await holder.slices(15, 30)
    assert holder.traded("binance", Side.SELL) == Decimal("0.5")
