"""The gateway and both streams against the simulated exchange, over its real wire, in lockstep."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import aiohttp
import numpy as np
import pytest

from config.settings import ExchangeSettings
from core.errors import ExchangeRefused, ExchangeUnavailable
from core.messages import CancelOrder, OrderState, PlaceOrder, TimeInForce
from core.units import MINUTE_MS, Instrument, Side, floor_to_step, round_price, to_decimal
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.standing import KeyRights
from exchanges.binance.stream import MarketStream
from exchanges.binance.user_stream import UserStream
from exchanges.link import LinkPolicy
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.server import serve_exchange
from exchanges.simulated.tape import Tape
from tests.support.binance_stub import API_KEY, SECRET

BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")
START = 1_772_000_040_000
MINUTES = 90
BALANCES = {"USDT": Decimal(10_000), "BTC": Decimal("0.1"), "ETH": Decimal(0)}
HALTED = 40
"""The minute ETH has no bar for."""


def walk() -> Tape:
    """Two markets of random bars, with odd float64 prices, a flat minute and a halt."""
    rng = np.random.default_rng(7)
    close = np.array([[60_000.0], [2_500.0]]) * np.exp(np.cumsum(rng.normal(0, 6e-4, (2, MINUTES)), axis=1))
    opened = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    high = np.maximum(opened, close) * (1 + rng.uniform(0, 4e-4, (2, MINUTES)))
    low = np.minimum(opened, close) * (1 - rng.uniform(0, 4e-4, (2, MINUTES)))
    volume = rng.lognormal(1.0, 0.5, (2, MINUTES))
    bars = np.stack([opened, high, low, close, volume], axis=2)
    bars[1, HALTED] = np.nan
    bars[0, 30] = [*[bars[0, 29, 3]] * 4, 0.0]
    return Tape((BTC, ETH), START, bars)


class World:
    """A served exchange, the gateway to it, and the same exchange in-process beside it."""

    def __init__(self, tape: Tape, server) -> None:
        self.tape, self.server = tape, server
        self.local = SimulatedVenue.of_tape(tape, BALANCES)
        self.settings = ExchangeSettings(
            rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.ws_api_url
        )
        self.gateway = BinanceGateway(self.settings, (API_KEY, SECRET), tape.instruments)
        self.http = aiohttp.ClientSession()

    async def advance(self, minutes: float) -> int:
        to_ms = START + int(minutes * MINUTE_MS)
        async with self.http.post(f"{self.server.url}/sim/advance", json={"to_ms": to_ms}) as answer:
            assert answer.status == 200
        self.local.advance_to(to_ms)
        return to_ms

    def order(self, name: str, side: Side, quantity: str, through: float, **more) -> PlaceOrder:
        """An order ``through`` of the mid away from the touch; positive crosses."""
        rules = self.local.rules()[BTC]
        top = self.local.slice(START).tops[0]
        price = top.ask * (1 + through) if side is Side.BUY else top.bid * (1 - through)
        return PlaceOrder(
            client_id=name,
            intent_id="i",
            instrument=BTC,
            side=side,
            quantity=floor_to_step(Decimal(quantity), rules.step),
            price=round_price(to_decimal(price), rules.tick, side),
            **more,
        )


@pytest.fixture
async def world():
    tape = walk()
    exchange = SimulatedExchange(tape, tape.default_rules(), BALANCES)
    server = await serve_exchange(exchange, credentials={API_KEY: SECRET})
    made = World(tape, server)
    await made.advance(5)
    yield made
    await made.gateway.close()
    await made.http.close()
    await server.close()


async def test_rules_and_balances_are_the_exchanges_own(world):
    assert await world.gateway.rules() == world.local.rules()
    account, local = await world.gateway.account(), world.local.account()
    for asset in BALANCES:
        assert account.free("binance", asset) == local.free("binance", asset)
        assert account.total("binance", asset) == local.total("binance", asset)


async def test_the_same_orders_give_the_same_answers_as_in_process(world):
    """Crossing, resting, partly filled, killed, sold, cancelled: to the last digit."""
    orders = [
        world.order("mh-1", Side.BUY, "0.01", 0.001),
        world.order("mh-2", Side.BUY, "0.02", -0.0004, time_in_force=TimeInForce.GTC),
        world.order("mh-3", Side.BUY, "0.09", 0.0, time_in_force=TimeInForce.IOC),
        world.order("mh-4", Side.BUY, "0.12", 0.0, time_in_force=TimeInForce.FOK),
        world.order("mh-5", Side.SELL, "0.03", 0.002),
        world.order("mh-6", Side.SELL, "0.01", -0.01, post_only=True, time_in_force=TimeInForce.GTC),
    ]
    states = []
    for minute, order in enumerate(orders, 6):
        await world.advance(minute)
        over, inside = await world.gateway.place(order), world.local.place(order)
        assert over == inside
        states.append(over.state)
        assert await world.gateway.query(order.client_id, BTC) == world.local.query(order.client_id, BTC)
    assert states[0] is OrderState.FILLED
    assert OrderState.OPEN in states
    await world.advance(30)
    assert await world.gateway.open_orders() == world.local.open_orders()
    for order in orders:
        assert await world.gateway.fills(order.client_id, BTC) == world.local.fills(order.client_id, BTC)
    assert sum(map(len, [await world.gateway.fills(o.client_id, BTC) for o in orders])) >= 3
    gone = CancelOrder(client_id="mh-6", instrument=BTC)
    assert await world.gateway.cancel(gone) == world.local.cancel(gone)
    account, local = await world.gateway.account(), world.local.account()
    assert {b.asset: b.total for b in account.balances} == {b.asset: b.total for b in local.balances if b.total}


async def test_refusals_come_back_as_ours_with_the_venues_code(world):
    await world.gateway.rules()
    cases = {
        "-2010": [
            world.order("mh-a", Side.BUY, "5", 0.0),
            world.order("mh-b", Side.BUY, "0.01", 0.001, post_only=True),
        ],
        "-1013": [
            replace(world.order("mh-c", Side.BUY, "0.01", 0.0), quantity=Decimal("0.0000001")),
            replace(world.order("mh-d", Side.BUY, "0.01", 0.0), price=Decimal("1000.001")),
            world.order("mh-e", Side.BUY, "0.00002", 0.0),
        ],
    }
    for code, orders in cases.items():
        for order in orders:
            with pytest.raises(ExchangeRefused) as refused:
                await world.gateway.place(order)
            assert refused.value.code in (code, "-1111"), order
            assert await world.gateway.query(order.client_id, BTC) is None


async def test_a_cancel_after_the_fill_tells_of_the_fill(world):
    order = world.order("mh-1", Side.BUY, "0.01", 0.001)
    await world.gateway.place(order)
    found = await world.gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert (found.state, found.executed) == (OrderState.FILLED, order.quantity)
    with pytest.raises(ExchangeRefused, match="-2011"):
        await world.gateway.cancel(CancelOrder(client_id="mh-none", instrument=BTC))


async def test_history_is_the_tape_to_the_last_digit_without_the_open_bar(world):
    await world.advance(60.5)
    for row, instrument in enumerate(world.tape.instruments):
        bars = await world.gateway.history(instrument, START, MINUTES)
        wanted = [b for m in range(60) if (b := world.tape.bar(row, START + m * MINUTE_MS)) is not None]
        assert [(b.minute, b.open, b.high, b.low, b.close, b.volume, b.filler) for b in bars] == [
            (b.minute, b.open, b.high, b.low, b.close, b.volume, b.filler) for b in wanted
        ]
        assert len(bars) == 60 - (instrument == ETH)


class Streams:
    """Both streams running, and what they told."""

    def __init__(self, world: World) -> None:
        self.bars, self.gaps, self.orders, self.balances, self.reconnects = {}, [], [], [], []
        quick = LinkPolicy(silence_s=None, first_delay_s=0.02)
        self.market = MarketStream(
            world.settings, world.tape.instruments, self._bar, None, self.gaps.append, now_ms=lambda: 0, policy=quick
        )
        self.user = UserStream(
            world.settings,
            (API_KEY, SECRET),
            world.tape.instruments,
            self.orders.append,
            self.balances.append,
            self.reconnects.append,
            now_ms=world.gateway.now_ms,
            resync=world.gateway.sync_clock,
            policy=quick,
        )

    def _bar(self, instrument, bar) -> None:
        self.bars[instrument, bar.minute] = bar

    async def __aenter__(self) -> "Streams":
        self.tasks = [asyncio.create_task(s.run()) for s in (self.market, self.user)]
        async with asyncio.timeout(10):
            await self.market.subscribed()
            await self.user.subscribed()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.market.close()
        await self.user.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*self.tasks)


async def until(truth, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not truth():
            await asyncio.sleep(0.005)


async def test_bars_and_tops_of_the_stream_are_those_of_the_market(world):
    await world.gateway.sync_clock()
    async with Streams(world) as streams:
        for minute in range(6, 46):
            await world.advance(minute)
            closed = START + (minute - 1) * MINUTE_MS
            seen = world.local.slice(closed)
            await until(lambda m=closed: (BTC, m) in streams.bars)
            await until(lambda s=seen: (ETH in streams.market.tops) is (s.tops[1] is not None))
            for i, bar, top in zip(seen.instruments, seen.bars, seen.tops, strict=True):
                assert streams.bars.get((i, closed)) == bar
                found = streams.market.tops.get(i)
                assert (found and replace(found, at_ms=0)) == (top and replace(top, at_ms=0))
        assert (ETH, START + HALTED * MINUTE_MS) not in streams.bars
        assert streams.market.faults == {}
        assert streams.gaps == []


async def test_the_account_stream_tells_the_same_story_as_rest(world):
    await world.gateway.sync_clock()
    async with Streams(world) as streams:
        taken = await world.gateway.place(world.order("mh-1", Side.BUY, "0.03", 0.001))
        resting = world.order("mh-2", Side.SELL, "0.02", -0.0002, time_in_force=TimeInForce.GTC)
        await world.gateway.place(resting)
        await world.advance(25)
        fills = [f for name in ("mh-1", "mh-2") for f in await world.gateway.fills(name, BTC)]
        await until(lambda: sum(len(o.fills) for o in streams.orders) == len(fills))
        assert [f for o in streams.orders for f in o.fills if f.client_id == "mh-1"] == list(taken.fills)
        assert {f.trade_id for o in streams.orders for f in o.fills} == {f.trade_id for f in fills}
        last = {o.client_id: o for o in streams.orders}
        for name in ("mh-1", "mh-2"):
            asked = await world.gateway.query(name, BTC)
            assert (last[name].state, last[name].executed) == (asked.state, asked.executed)
        assert streams.balances
        assert streams.user.faults == {}


async def test_after_a_cut_the_gap_is_told_and_history_fills_it(world):
    await world.gateway.sync_clock()
    async with Streams(world) as streams:
        await world.advance(6)
        await until(lambda: (BTC, START + 5 * MINUTE_MS) in streams.bars)
        for connection in (*world.server.state.hub.connections, *world.server.state.users.connections):
            connection.abandon()
        await until(lambda: not world.server.state.hub.connections)
        await world.advance(8)
        await until(lambda: streams.gaps and streams.reconnects)
        await world.advance(9)
        await until(lambda: (BTC, START + 8 * MINUTE_MS) in streams.bars)
        missed = [m for m in range(6, 8) if (BTC, START + m * MINUTE_MS) not in streams.bars]
        assert missed
        filled = await world.gateway.history(BTC, START + missed[0] * MINUTE_MS, len(missed))
        assert [b.minute for b in filled] == [START + m * MINUTE_MS for m in missed]


async def test_wrong_keys_are_refused_and_no_server_is_unavailable(world):
    stranger = BinanceGateway(world.settings, ("x" * 64, SECRET), [BTC])
    with pytest.raises(ExchangeRefused, match="-2015"):
        await stranger.account()
    await stranger.close()
    forger = BinanceGateway(world.settings, (API_KEY, "y" * 64), [BTC])
    with pytest.raises(ExchangeRefused, match="-1022"):
        await forger.account()
    await forger.close()
    lost = BinanceGateway(ExchangeSettings(rest_url="http://127.0.0.1:9"), (API_KEY, SECRET), [BTC])
    with pytest.raises(ExchangeUnavailable):
        await lost.account()
    await lost.close()


async def test_what_the_key_may_do_is_asked_of_the_venue(world):
    assert await world.gateway.rights() == KeyRights(account="1", can_trade=True, can_withdraw=False, ip_bound=False)
    world.server.state.key_rights = frozenset({"withdraw"})
    rights = await world.gateway.rights()
    assert (rights.can_trade, rights.can_withdraw) == (False, True)
    with pytest.raises(ExchangeRefused, match="-2015"):
        await world.gateway.place(world.order("mh-1", Side.BUY, "0.01", 0.001))


async def test_a_stop_and_the_touch_are_those_of_the_exchange_in_process(world):
    """A stop order is placed, shown open, found by its name and cancelled; best bid and ask are asked for."""
    assert world.gateway.holds_stops
    books, local_books = await world.gateway.books([BTC, ETH]), world.local.books([BTC, ETH])
    assert {i: replace(book, at_ms=0) for i, book in books.items()} == {
        i: replace(book, at_ms=0) for i, book in local_books.items()
    }
    assert len(books[BTC].bids) > 5
    asked, shown = await world.gateway.tops([BTC, ETH]), world.local.tops([BTC, ETH])
    assert {i: replace(top, at_ms=0) for i, top in asked.items()} == {
        i: replace(top, at_ms=0) for i, top in shown.items()
    }
    stop = world.order("mh-s", Side.SELL, "0.05", 0.1, time_in_force=TimeInForce.GTC)
    stop = replace(stop, stop_price=round_price(stop.price * Decimal("1.02"), Decimal("0.01"), Side.SELL))
    placed, local = await world.gateway.place(stop), world.local.place(stop)
    assert (placed.state, placed.quantity, placed.price, placed.executed) == (
        local.state,
        local.quantity,
        local.price,
        local.executed,
    )
    (raw,) = [o for o in world.server.state.exchange.open_orders() if o.client_id == "mh-s"]
    assert (str(raw.type), raw.stop_price, raw.working_ms) == ("STOP_LOSS_LIMIT", stop.stop_price, -1)
    assert (await world.gateway.account()).free("binance", "BTC") == BALANCES["BTC"] - Decimal("0.05")
    assert [o.client_id for o in await world.gateway.open_orders()] == ["mh-s"]
    assert (await world.gateway.query("mh-s", BTC)).state is OrderState.OPEN
    ended = await world.gateway.cancel(CancelOrder(client_id="mh-s", instrument=BTC))
    assert ended.state is OrderState.CANCELLED


async def test_a_pair_of_which_one_cancels_the_other_is_placed_and_taken_off_as_one(world):
    assert world.gateway.holds_pairs
    stop = world.order("mh-s", Side.SELL, "0.05", 0.1, time_in_force=TimeInForce.GTC)
    tick = Decimal("0.01")
    level = round_price(stop.price * Decimal("1.02"), tick, Side.SELL)
    above = round_price(stop.price * Decimal("1.2"), tick, Side.SELL)
    pair = replace(stop, stop_price=level, pair="mh-t", pair_price=above)
    placed, local = await world.gateway.place(pair), world.local.place(pair)
    assert (placed.client_id, placed.state, placed.price) == (local.client_id, local.state, local.price)
    legs = {o.client_id: o for o in world.server.state.exchange.open_orders()}
    assert (str(legs["mh-s"].type), legs["mh-s"].stop_price) == ("STOP_LOSS_LIMIT", level)
    assert (str(legs["mh-t"].type), legs["mh-t"].price) == ("LIMIT_MAKER", above)
    (made,) = world.server.state.exchange.order_lists()
    assert made.client_id == "mh-s"
    assert (await world.gateway.account()).free("binance", "BTC") == BALANCES["BTC"] - Decimal("0.05")
    assert {o.client_id for o in await world.gateway.open_orders()} == {"mh-s", "mh-t"}
    for name in ("mh-t", "mh-s"):
        assert (await world.gateway.query(name, BTC)).state is OrderState.OPEN
    # One takes the other with it; a cancel of that one finds that it is off.
    for name in ("mh-s", "mh-t"):
        ended = await world.gateway.cancel(CancelOrder(client_id=name, instrument=BTC))
        assert (ended.client_id, ended.state, ended.executed) == (name, OrderState.CANCELLED, 0)
    assert made.done and (await world.gateway.account()).free("binance", "BTC") == BALANCES["BTC"]


async def test_a_pair_that_the_market_is_not_between_is_refused(world):
    stop = world.order("mh-s", Side.SELL, "0.05", 0.1, time_in_force=TimeInForce.GTC)
    below = replace(stop, stop_price=stop.price, pair="mh-t", pair_price=stop.price)
    with pytest.raises(ExchangeRefused, match="-2010"):
        await world.gateway.place(below)
    assert await world.gateway.query("mh-t", BTC) is None
