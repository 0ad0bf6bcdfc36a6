"""A position whose price falls is sold at once, whatever the executor waits to be told for other orders meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from actors.executor import ExecutorActor
from core.messages import PlaceOrder, Top, TradingState, Verdicts
from core.params import ExecutionSettings, ProtectionSettings, RiskSettings
from core.protection import exit_rules
from core.units import MINUTE_MS, Instrument, Side
from exchanges.limits import Gate, Priority
from exchanges.limits.counters import Fixed
from exchanges.limits.store import MemoryStore
from exchanges.limits.tables import binance_costs, binance_line
from tests.support.fake_venue import BTC, ETH, MINUTE, AsyncFakeVenue, FakeVenue, MemoryJournal, approved

CLOSE, LATER = MINUTE + MINUTE_MS, MINUTE + 2 * MINUTE_MS
STOP = exit_rules(ProtectionSettings(stop_loss_pct=5), RiskSettings(collar_bps=100))
ADAPTIVE = ExecutionSettings(algorithm="adaptive", urgency=0.1)
SOON_S = 5.0
"""More than a sale that nothing holds up can take, and less than the books are held."""
MINUTE_TURNS = 1_772_000_040_000
"""At the venue."""


class Queued(AsyncFakeVenue):
    """Every call passes ``line`` with the urgency that the gateway gives it, and is noted before and after."""

    def __init__(self, line: Callable[[str, int, Priority], Any]) -> None:
        self.fake = FakeVenue()
        super().__init__(self.fake)
        self.line = line
        self.told: list[str] = []

    @asynccontextmanager
    async def _told(self, name: str, weight: int, priority: Priority) -> AsyncIterator[None]:
        self.told.append(f"{name} asked")
        async with self.line(name, weight, priority):
            yield
        self.told.append(f"{name} answered")

    async def place(self, order: PlaceOrder):
        sale = order.side is Side.SELL
        async with self._told("sale" if sale else "buy", 1, Priority.EXIT if sale else Priority.ORDER):
            return await super().place(order)

    async def books(self, instruments):
        async with self._told("books", 5, Priority.ORDER):
            return await super().books(instruments)

    async def tops(self, instruments):
        async with self._told("tops", 4, Priority.EXIT):
            return await super().tops(instruments)


class Seen(SimpleNamespace):
    """What the executor reads of the market that was decided upon: an even hour of both."""

    def __init__(self, minute: int) -> None:
        close = 100.0 * np.exp(5e-4 * (np.arange(240) % 2))
        bars = np.stack([close, close, close, close, np.full(240, 500.0)], axis=-1)
        super().__init__(
            minute=minute,
            now_ms=minute + MINUTE_MS,
            instruments=(BTC, ETH),
            bars=np.stack([bars, bars]),
            bid=np.full(2, 99.99),
            ask=np.full(2, 100.01),
            quote_rate=np.ones(2),
        )


async def buy(live: ExecutorActor, minute: int, instrument: Instrument, quantity: str) -> None:
    intent = approved(quantity, instrument=instrument, minute=minute, price="102")
    said = Verdicts(
        minute=minute, trace="t", state=TradingState.ACTIVE, state_reason="", approved=(intent,), refused=()
    )
    await live.execute(Seen(minute), said)  # type: ignore[arg-type]


async def holding_btc(venue: Queued) -> ExecutorActor:
    venue.fake.mids = {BTC: 100.0, ETH: 100.0}
    live = ExecutorActor(ADAPTIVE, "main", venue, MemoryJournal(), exits=STOP)
    await live.start(CLOSE)
    await buy(live, MINUTE, BTC, "2")
    assert live.watched() == [BTC]
    venue.told.clear()
    return live


async def starts(live: ExecutorActor, venue: Queued) -> None:
    await buy(live, MINUTE + MINUTE_MS, ETH, "50")


async def looks(live: ExecutorActor, venue: Queued) -> None:
    """An order of fifty, of which the touch shows one, rests; at the next look its books are asked for."""
    await live.beat(LATER + 2_000)


def fallen() -> dict[Instrument, Top]:
    return {BTC: Top(bid=93.99, bid_qty=1.0, ask=94.01, ask_qty=1.0, at_ms=0)}


async def sells_meanwhile(
    venue: Queued, live: ExecutorActor, begins: Callable, held: Callable[[], bool], release: Callable[[], None]
) -> None:
    """Let ``begins`` come to the books that keep it waiting until ``release``; BTC falls: it is sold before they answer."""
    waiting = asyncio.create_task(begins(live, venue))
    while not held():
        await asyncio.sleep(0.001)
    venue.fake.mids = {BTC: 94.0, ETH: 100.0}
    selling = asyncio.create_task(live.on_tops(fallen(), LATER + 2_100))
    await asyncio.wait([selling], timeout=SOON_S)
    told = list(venue.told)
    release()
    await asyncio.wait_for(asyncio.gather(selling, waiting), 60)
    assert "sale answered" in told and "books answered" not in told
    assert "books answered" in venue.told
    assert [h.placed.quantity for h in venue.fake.history if h.placed.side is Side.SELL] == [2]
    assert BTC not in live.watched()


@pytest.mark.parametrize("begins", [starts, looks])
async def test_a_book_that_is_not_answered_holds_up_no_exit(begins):
    answer = asyncio.Event()
    answer.set()

    @asynccontextmanager
    async def line(name: str, weight: int, priority: Priority) -> AsyncIterator[None]:
        if name == "books":
            await answer.wait()
        yield

    venue = Queued(line)
    live = await holding_btc(venue)
    if begins is looks:
        venue.fake.script.append("rest")
        await starts(live, venue)
        venue.told.clear()
    answer.clear()

    await sells_meanwhile(venue, live, begins, lambda: "books asked" in venue.told, answer.set)
    # What it was asked for goes on as if nothing had been.
    assert any(h.placed.instrument == ETH for h in venue.fake.history)
    assert venue.fake.sent_twice() == []


@pytest.mark.parametrize("begins", [starts, looks])
async def test_a_book_in_line_for_a_spent_budget_holds_up_no_exit(begins):
    """Nine tenths are spent and the minute turns in less than a second: new orders wait for that, exits do not."""
    line, now = binance_line(), [MINUTE_TURNS - 700]
    line.slack_ms = 0.0
    gate = Gate("binance", MemoryStore(line, lambda: now[0]))
    for counter in line.counters.values():
        if isinstance(counter, Fixed):
            counter.recorded_from = 0
    full = False

    @asynccontextmanager
    async def turn(name: str, weight: int, priority: Priority) -> AsyncIterator[None]:
        if full:
            async with gate.turn(binance_costs(weight), priority, 60_000, name):
                yield
        else:
            yield

    venue = Queued(turn)
    live = await holding_btc(venue)
    if begins is looks:
        venue.fake.script.append("rest")
        await starts(live, venue)
        venue.told.clear()
    async with gate.turn(binance_costs(1), Priority.CANCEL, 100, "what others spent") as spent:
        spent.heard({"X-MBX-USED-WEIGHT-1M": "5400"})
    full = True

    def held() -> bool:
        return any(t.priority == Priority.ORDER and not t.sent_ms for t in gate.look(lambda at, _: list(at.tickets)))

    def turns() -> None:
        now[0] = MINUTE_TURNS + 100

    await sells_meanwhile(venue, live, begins, held, turns)
