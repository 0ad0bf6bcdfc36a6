"""An exit that is due waits for no answer but those to its own orders, and nothing is sent twice for it: each call of the
executor is held up at the venue while a price falls, and lives of many calls at once, answered at random, are held
against what the venue did and against their journals."""

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from actors.executor import ExecutorActor
from core.execution.machine import ExecutionMachine
from core.execution.scribe import replay
from core.execution.summary import summary
from core.messages import MinuteTick, OrderState, PlaceOrder, Top, TradingState, Verdicts
from core.params import ExecutionSettings, ProtectionSettings, RiskSettings
from core.protection import exit_rules
from core.units import MINUTE_MS, Instrument, Side
from tests.support.fake_venue import (
    BTC,
    ETH,
    MANY,
    MINUTE,
    SOL,
    AsyncFakeVenue,
    FakeVenue,
    MemoryJournal,
    approved,
)

CLOSE, LATER = MINUTE + MINUTE_MS, MINUTE + 2 * MINUTE_MS
STOP = exit_rules(ProtectionSettings(stop_loss_pct=5), RiskSettings(collar_bps=100))
AT_ONCE = ExecutionSettings(algorithm="immediate", unknown_requery_s=2)
SOON_S = 5.0
"""More than a sale that nothing holds up can take, and less than what is held up is held."""


class Late(AsyncFakeVenue):
    """A call of which ``held`` says so is answered when ``answer`` is set, not before."""

    def __init__(self, fake: FakeVenue, held: Callable[[str, Any], bool] = lambda name, what: False) -> None:
        super().__init__(fake)
        self.held, self.answer, self.waiting = held, asyncio.Event(), 0

    async def _late(self, name: str, what: Any = None) -> None:
        if self.held(name, what):
            self.waiting += 1
            await self.answer.wait()

    async def asked(self) -> None:
        """A call that is held up has come."""
        async with asyncio.timeout(SOON_S):
            while not self.waiting:
                await asyncio.sleep(0.001)

    async def account(self):
        # The balances are of the moment of the question.
        stated = await super().account()
        await self._late("account")
        return stated

    async def place(self, order):
        try:
            return await super().place(order)
        finally:
            await self._late("place", order)

    async def cancel(self, order):
        await self._late("cancel", order)
        return await super().cancel(order)

    async def query(self, client_id, instrument):
        await self._late("query", client_id)
        return await super().query(client_id, instrument)

    async def open_orders(self):
        await self._late("open_orders")
        return await super().open_orders()


class At:
    def __init__(self, minute: int) -> None:
        self.minute, self.now_ms = minute, minute + MINUTE_MS


def verdicts(*intents, minute=MINUTE) -> Verdicts:
    return Verdicts(minute=minute, trace="t", state=TradingState.ACTIVE, state_reason="", approved=intents, refused=())


def tick(minute: int) -> MinuteTick:
    return MinuteTick(minute=minute, now_ms=minute + MINUTE_MS, trace="t")


def at(mid: float, *instruments: Instrument) -> dict[Instrument, Top]:
    return {i: Top(bid=mid - 0.01, bid_qty=1.0, ask=mid + 0.01, ask_qty=1.0, at_ms=0) for i in instruments or (BTC,)}


async def holding(venue: Late, *instruments: Instrument, journal=None, apart=False, **more) -> ExecutorActor:
    """Two coins of each, entered at 100."""
    venue.inner.stated = MANY
    live = ExecutorActor(
        AT_ONCE, "main", venue, journal or MemoryJournal(), exits=STOP, rules=MANY, apart=apart, **more
    )
    await live.start(CLOSE)
    await live.execute(At(MINUTE), verdicts(*(approved("2", instrument=i) for i in instruments)))
    assert (await live.account(tick(MINUTE))).reconciled
    return live


def sales(venue: FakeVenue) -> list[tuple[Instrument, Decimal]]:
    return [(h.placed.instrument, h.placed.quantity) for h in venue.history if h.placed.side is Side.SELL]


def agrees(journal: MemoryJournal, live: ExecutorActor) -> None:
    """A machine that reads the journal stands where the one that wrote it does."""
    live._started.validate()
    live._scribe.flush()
    again = ExecutionMachine(AT_ONCE, MANY, "main", exits=STOP)
    replay(journal.entries, again)
    assert summary(again) == summary(live._started)
    assert again.books.flows == live._started.books.flows
    assert again.books.positions.held == live._started.books.positions.held


async def buys_another(live: ExecutorActor) -> None:
    minute = MINUTE + MINUTE_MS
    await live.execute(At(minute), verdicts(approved("1", instrument=ETH, minute=minute), minute=minute))


async def looks_at_the_account(live: ExecutorActor) -> None:
    await live.account(tick(MINUTE + MINUTE_MS))


async def asks_what_became_of_an_order(live: ExecutorActor) -> None:
    await live.beat(LATER + 20_000)


@pytest.mark.parametrize(
    ("call", "begins"),
    [
        ("account", looks_at_the_account),
        ("open_orders", looks_at_the_account),
        ("query", looks_at_the_account),
        ("query", asks_what_became_of_an_order),
        ("place", buys_another),
    ],
)
async def test_a_venue_that_answers_something_else_late_holds_up_no_exit(call, begins):
    fake = FakeVenue()
    venue, journal = Late(fake), MemoryJournal()
    live = await holding(venue, BTC, journal=journal)
    if call == "query":
        fake.script.append("lost-half")
        fake.hidden_queries = 1
        await buys_another(live)
        assert [o.state for o in live._started.unsettled()] == [OrderState.UNKNOWN]
    venue.held = lambda name, what: name == call and not (isinstance(what, PlaceOrder) and what.side is Side.SELL)
    waiting = asyncio.create_task(begins(live))
    await venue.asked()

    await asyncio.wait_for(live.on_tops(at(94.0), LATER + 20_500), SOON_S)
    assert sales(fake) == [(BTC, 2)] and BTC not in live.watched()
    assert not waiting.done()

    venue.answer.set()
    await asyncio.wait_for(waiting, SOON_S)
    account = await live.account(tick(MINUTE + 2 * MINUTE_MS))
    assert account.reconciled, account.difference
    assert fake.sent_twice() == [] and sales(fake) == [(BTC, 2)]
    assert live._started.faults == ()
    agrees(journal, live)


async def test_an_account_that_was_told_while_an_exit_filled_is_asked_for_again_and_agrees():
    fake = FakeVenue()
    venue = Late(fake)
    live = await holding(venue, BTC)
    venue.held = lambda name, what: name == "account"
    waiting = asyncio.create_task(live.account(tick(MINUTE + MINUTE_MS)))
    await venue.asked()
    await live.on_tops(at(94.0), LATER + 500)
    venue.answer.set()
    told = await asyncio.wait_for(waiting, SOON_S)
    assert told.reconciled, told.difference
    assert told.total("binance", "BTC") == fake.balances["BTC"] == 100


async def test_an_exit_whose_own_answer_is_late_is_not_taken_for_lost_and_nobody_waits_for_it():
    fake = FakeVenue()
    venue, journal = Late(fake), MemoryJournal()
    live = await holding(venue, BTC, ETH, SOL, journal=journal, apart=True)
    venue.held = lambda name, what: name == "place" and what.instrument == BTC
    await asyncio.wait_for(live.on_tops(at(94.0), LATER + 500), SOON_S)
    await venue.asked()
    (sale,) = [h.placed.client_id for h in fake.history if h.placed.side is Side.SELL]
    fake.calls.clear()

    # Another one does not wait for it, nor does anything else; nobody asks what became of it, or sends another.
    await asyncio.wait_for(live.on_tops(at(94.0, BTC, ETH), LATER + 9_000), SOON_S)
    for now_ms in (LATER + 10_000, LATER + 20_000, LATER + 30_000):
        await asyncio.wait_for(live.beat(now_ms), SOON_S)
    told = await asyncio.wait_for(live.account(tick(MINUTE + MINUTE_MS)), SOON_S)
    assert not told.reconciled and sale in told.difference
    minute = MINUTE + 2 * MINUTE_MS
    await asyncio.wait_for(
        live.execute(At(minute), verdicts(approved("1", instrument=SOL, minute=minute), minute=minute)), SOON_S
    )
    assert sales(fake) == [(BTC, 2), (ETH, 2)]
    assert ("query", sale) not in fake.calls
    assert live._started.books.orders[sale].state is OrderState.SENT

    # What its stream says of it is taken in after the answer.
    snapshot = fake._snapshot(fake._latest(sale))
    news = asyncio.create_task(live.on_snapshot(snapshot))
    await asyncio.sleep(0.01)
    assert not news.done()
    venue.answer.set()
    await asyncio.wait_for(news, SOON_S)
    assert live.watched() == [SOL]
    assert (await live.account(tick(MINUTE + 3 * MINUTE_MS))).reconciled
    assert fake.sent_twice() == [] and live._started.faults == ()
    agrees(journal, live)


async def test_a_stop_waits_for_the_answer_to_an_exit_and_leaves_nothing():
    fake = FakeVenue(["fill", "lost-fill"])
    venue, journal = Late(fake), MemoryJournal()
    live = await holding(venue, BTC, journal=journal, apart=True)
    venue.held = lambda name, what: name == "place"
    await live.on_tops(at(94.0), LATER + 500)
    stopping = asyncio.create_task(live.stop())
    await asyncio.sleep(0.02)
    assert not stopping.done()
    venue.answer.set()
    assert await asyncio.wait_for(stopping, SOON_S) == {"open": [], "unsettled": []}
    assert sales(fake) == [(BTC, 2)]
    agrees(journal, live)


async def test_a_purchase_that_has_not_left_when_its_instrument_is_sold_does_not_leave():
    """Sales go first: while they are answered, the price of what is to be bought more of falls below its stop."""
    fake = FakeVenue()
    venue, journal = Late(fake), MemoryJournal()
    live = await holding(venue, BTC, ETH, journal=journal)
    minute = MINUTE + MINUTE_MS
    venue.held = lambda name, what: name == "place" and what.instrument == ETH
    sells = approved("2", Side.SELL, ETH, minute)
    working = asyncio.create_task(
        live.execute(At(minute), verdicts(sells, approved("1", minute=minute), minute=minute))
    )
    await venue.asked()
    await asyncio.wait_for(live.on_tops(at(94.0), LATER + 500), SOON_S)
    venue.answer.set()
    reports = await asyncio.wait_for(working, SOON_S)
    assert [(h.placed.instrument, h.placed.side) for h in fake.history][2:] == [(ETH, Side.SELL), (BTC, Side.SELL)]
    (given_up,) = [o for o in reports.orders if o.side is Side.BUY]
    assert given_up.state is OrderState.REJECTED and "its intent ended before it left" in given_up.reason
    assert (await live.account(tick(minute))).reconciled and live.watched() == []
    agrees(journal, live)


class Moody(AsyncFakeVenue):
    """Every call takes some turns of the loop before the venue hears of it, and some until its answer is heard."""

    def __init__(self, fake: FakeVenue, rng: random.Random) -> None:
        super().__init__(fake)
        self._rng = rng

    def __getattribute__(self, name: str):
        if name not in ("account", "place", "cancel", "query", "open_orders", "fills", "tops"):
            return object.__getattribute__(self, name)

        async def call(*arguments):
            for _ in range(self._rng.randrange(12)):
                await asyncio.sleep(0)
            try:
                return getattr(self.inner, name)(*arguments)
            finally:
                for _ in range(self._rng.randrange(12)):
                    await asyncio.sleep(0)

        return call


OUTCOMES = (
    "fill",
    "fill",
    "half",
    "none",
    "silent",
    "lost-fill",
    "lost-half",
    "lost-none",
    "lost-before",
    "unavailable",
)
"""Each tells the truth in the end: what was not placed is denied."""


@pytest.mark.parametrize("seed", range(24))
async def test_lives_of_many_calls_at_once_sell_what_was_bought_once(seed):
    rng = random.Random(seed)
    coins = (BTC, ETH, SOL)
    fake = FakeVenue(rng.choices(OUTCOMES, k=60), rules=MANY)
    fake.balances["SOL"] = Decimal(100)
    journal, dies = MemoryJournal(), rng.randrange(40, 200) if seed % 2 else 0
    apart = bool(seed % 4 < 2)
    live = ExecutorActor(AT_ONCE, "main", Moody(fake, rng), journal, exits=STOP, rules=MANY, apart=apart)
    await live.start(CLOSE)
    running: set[asyncio.Task] = set()
    now_ms, minute, deaths = CLOSE, MINUTE, 0
    for step in range(260):
        now_ms += rng.randrange(100, 900)
        fake.now_ms = now_ms
        match rng.randrange(12):
            case 0 if now_ms > minute + MINUTE_MS:
                minute = now_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS if step else minute
                wanted = [
                    approved(str(rng.randrange(1, 4)), rng.choice((Side.BUY, Side.BUY, Side.SELL)), i, minute)
                    for i in coins
                    if rng.random() < 0.6
                ]
                call = live.execute(At(minute), verdicts(*wanted, minute=minute))
            case 1:
                call = live.account(MinuteTick(minute=minute, now_ms=now_ms, trace="t"))
            case 2 | 3:
                call = live.beat(now_ms)
            case 4 if fake.history:
                call = live.on_snapshot(fake._snapshot(rng.choice(fake.history)))
            case _:
                mid = rng.choice((100.0, 99.0, 94.0, 93.0))
                fake.mids = dict.fromkeys(coins, mid)
                call = live.on_tops(at(mid, *rng.sample(coins, rng.randrange(1, 4))), now_ms)
        running.add(asyncio.create_task(call))
        for _ in range(rng.randrange(8)):
            await asyncio.sleep(0)
        live._started.validate()
        if dies and step == dies:
            # The process dies between two turns of the loop; what is in the journal is what there is.
            left = running | live._courses.beside_us
            for task in left:
                task.cancel()
            journal = MemoryJournal(journal.entries)
            live._journal = live._scribe._journal = MemoryJournal()
            await asyncio.gather(*left, return_exceptions=True)
            running, deaths = set(), deaths + 1
            live = ExecutorActor(AT_ONCE, "main", Moody(fake, rng), journal, exits=STOP, rules=MANY, apart=apart)
            await live.start(now_ms)
    async with asyncio.timeout(60):
        await asyncio.gather(*running)
        # Until the venue has answered what was lost, and what fell below its stop is gone.
        fake.script.clear()
        fake.mids = dict.fromkeys(coins, 90.0)
        for _ in range(12):
            now_ms += 3_000
            fake.now_ms = now_ms
            await live.on_tops(at(90.0, *coins), now_ms)
            await live.beat(now_ms)
            while live._courses.beside_us:
                await asyncio.sleep(0)
    assert deaths == bool(dies)
    assert live.watched() == [] and live._started.unsettled() == ()
    assert fake.sent_twice() == []
    told = live._started.books
    for name, executed in fake.executed().items():
        assert told.orders[name].executed == executed, name
    for coin in coins:
        assert told.flows.get(("binance", coin.base), Decimal(0)) == fake.balances[coin.base] - 100
    assert not [order for order in told.orders.values() if order.state is OrderState.SENT]
    account = await live.account(MinuteTick(minute=minute, now_ms=now_ms, trace="t"))
    account = await live.account(MinuteTick(minute=minute, now_ms=now_ms, trace="t"))
    assert account.reconciled, account.difference
    live._started.validate()
    agrees(journal, live)
