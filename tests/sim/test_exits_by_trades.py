"""A price that trades through a stop while the stream of books is silent, at both venues over their wires: sold in time;
an odd print is not."""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from actors.executor_actor import LiveExecutor
from actors.top_news import TopNews
from actors.venue_feed import VenueFeed
from core.errors import ExchangeUnavailable
from core.messages import CLOSE, HIGH, OPEN, VOLUME, PlaceOrder, Top, TradingState, Verdicts
from core.params import ProtectionSettings
from core.units import MINUTE_MS, Instrument, Side
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.upbit.market import upbit_exchange
from exchanges.simulated.upbit.walk import krw_walk_tape
from exchanges.simulated.walk import random_walk_tape
from exchanges.trade import Trade
from tests.sim.test_live_executor import FIRST, At, patiently, plan_at, quiet_logs, wanted  # noqa: F401 - a fixture
from tests.support.chaos_venues import PAST, START, VENUES

STATED_S = 1.5
"""By ``core.prints``, of the print, where the venue answers."""
SLACK_S = 6.0
"""For a machine that does other things as well."""
FALLS = PAST + 2
"""The minute in which everything loses a tenth."""


class Story:
    """Both venues, the feed's streams of both, and the executor, which holds one position at each."""

    def __init__(self, executor: LiveExecutor, servers: dict, now_ms: int) -> None:
        self.executor, self.servers, self.now_ms = executor, servers, now_ms
        self.silent = False
        self.crossed: dict[Instrument, float] = {}
        """When a trade at or below its stop was heard first."""
        self.news = TopNews(self._tell)
        self.feeds: list[VenueFeed] = []
        self.bounds: dict = {}

    async def _tell(self, tops, crossings):
        self.bounds = await self.executor.on_prices(tops, crossings, self.now_ms)
        return self.bounds

    def on_top(self, instrument: Instrument, top: Top | None) -> None:
        if not self.silent:
            self.news.hear(instrument, top)

    def on_trade(self, instrument: Instrument, trade: Trade) -> None:
        if instrument in self.bounds and trade.price <= self.bounds[instrument].low:
            self.crossed.setdefault(instrument, time.monotonic())
        self.news.hear_trade(instrument, trade.price, self.now_ms - trade.at_ms)

    async def advance(self, to_ms: int) -> None:
        self.now_ms = to_ms
        for server in self.servers.values():
            async with server.state.lock:
                await server.state.advance(to_ms)

    def held(self) -> list[Instrument]:
        return self.executor._executor.watched()

    def sold(self) -> list[PlaceOrder]:
        orders = self.executor._executor._started.books.orders.values()
        return [order.placed for order in orders if order.placed.side is Side.SELL]


def falling(name: str) -> SimulatedExchange:
    """A walk, then a tenth down within one minute."""
    make, symbols, grid = (
        (krw_walk_tape, ("BTC/KRW", "ETH/KRW"), 1_000.0)
        if name == "upbit"
        else (random_walk_tape, ("BTC/USDT", "ETH/USDT"), 0.01)
    )
    tape = make(symbols, START, PAST + 10, seed=4)
    bars = np.array(tape.bars)
    bars[:, FALLS:, :VOLUME] = np.round(bars[:, FALLS:, :VOLUME] * 0.9 / grid) * grid
    bars[:, FALLS, OPEN] = bars[:, FALLS - 1, CLOSE]
    bars[:, FALLS, HIGH] = np.maximum(bars[:, FALLS, OPEN], bars[:, FALLS, HIGH])
    bars[:, FALLS:, VOLUME] = np.maximum(bars[:, FALLS:, VOLUME], 1.0)
    tape, begin = replace(tape, bars=bars), START + PAST * MINUTE_MS
    if name == "upbit":
        return upbit_exchange(tape, VENUES[name].balances, begin)
    return SimulatedExchange(tape, tape.default_rules(), VENUES[name].balances, begin)


@pytest.fixture
async def story(tmp_path, quiet_logs):  # noqa: F811
    made = {}
    for name, venue in VENUES.items():
        made[name] = await venue.serve(falling(name), None)
    plan = plan_at(made, tmp_path)
    rules = plan.settings.rules.model_copy(update={"protection": ProtectionSettings(stop_loss_pct=5)})
    executor = LiveExecutor(replace(plan, settings=plan.settings.model_copy(update={"rules": rules})))
    await patiently(executor.start)
    told = Story(executor, made, FIRST)
    for name, server in made.items():
        mine = tuple(i for i in plan.settings.config.trade.rows if i.venue == name)
        settings = VENUES[name].settings(server)
        feed = VenueFeed(
            name,
            settings,
            mine,
            (),
            lambda: told.now_ms,
            0.05,
            None,
            lockstep=True,
            on_top=told.on_top,
            on_trade=told.on_trade,
        )
        told.feeds.append(feed)
        await feed.start()
    running = asyncio.create_task(told.news.run())
    minute = FIRST
    await told.advance(minute + MINUTE_MS)
    intents = []
    for server in made.values():
        bought = wanted(server, await executor.rules(), minute, 1)[:1]
        intents += [intent for intent in bought if intent.side is Side.BUY]
    said = Verdicts(
        minute=minute, trace="t", state=TradingState.ACTIVE, state_reason="", approved=tuple(intents), refused=()
    )
    await executor.execute(At(minute, minute + MINUTE_MS), said)
    await told.advance(minute + MINUTE_MS + 5_000)
    assert {i.venue for i in told.held()} == set(VENUES)
    async with asyncio.timeout(20):
        while set(told.bounds) != set(told.held()):
            await asyncio.sleep(0.05)
    yield told
    running.cancel()
    with suppress(ExchangeUnavailable):
        await executor.stop()
    await executor._news.close()
    for feed in told.feeds:
        await feed._stream.close()
        await feed.gateway.close()
        await asyncio.gather(feed._running)
    for gateway in executor._gateways.values():
        await gateway.close()
    for server in made.values():
        await server.close()


async def test_a_price_that_trades_through_the_stop_while_the_books_are_silent_is_sold_in_time(story):
    story.silent = True
    waited, sold_at = 0.0, {}
    at = START + FALLS * MINUTE_MS
    while story.held():
        # The trades of a minute come 2.5 s apart; here one leaves as soon as the one before it was heard.
        await story.advance(min(at := at + 1_000, START + (FALLS + 1) * MINUTE_MS))
        await asyncio.sleep(0.05)
        for instrument in set(story.crossed) - set(story.held()):
            sold_at.setdefault(instrument, time.monotonic())
        waited += 0.05
        assert waited < 60, story.bounds
    sold_at |= {i: time.monotonic() for i in set(story.crossed) - set(sold_at)}
    assert {i.venue for i in sold_at} == set(VENUES)
    for instrument, when in sold_at.items():
        assert when - story.crossed[instrument] < STATED_S + SLACK_S
    assert {order.instrument for order in story.sold()} == set(sold_at)


async def test_an_odd_print_sells_nothing_whether_the_book_lives_or_is_silent(story):
    held = story.held()
    for silent in (False, True):
        story.silent = silent
        for number in range(3):
            for instrument in held:
                odd = Trade(id=number, price=1.0, quantity=1.0, at_ms=story.now_ms, sold=True)
                story.on_trade(instrument, odd)
            await story.advance(story.now_ms + 300)
            await asyncio.sleep(0.7)
    assert set(story.crossed) == set(held), "it crossed nothing"
    assert story.held() == held and story.sold() == []
