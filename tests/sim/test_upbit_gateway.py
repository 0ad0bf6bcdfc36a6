"""Upbit's gateway and both its streams against the simulated Upbit, over its real wire, in lockstep."""

import asyncio
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import aiohttp
import numpy as np
import polars as pl
import pytest

from config.settings import ExchangeSettings
from core.errors import ExchangeRefused, OutcomeUnknown
from core.grid import upbit_tick
from core.messages import Bar, CancelOrder, OrderState, PlaceOrder, TimeInForce
from core.units import MINUTE_MS, Instrument, Side, round_price, to_decimal
from exchanges.link import LinkPolicy
from exchanges.simulated.server import serve_exchange
from exchanges.simulated.tape import Tape
from exchanges.simulated.upbit.market import upbit_exchange
from exchanges.simulated.upbit.walk import krw_walk_tape
from exchanges.upbit.gateway import UpbitGateway
from exchanges.upbit.stream import MarketStream
from exchanges.upbit.user_stream import UserStream
from tests.support.upbit_stub import ACCESS_KEY, SECRET_KEY

D = Decimal
BTC, DOGE = Instrument("upbit", "BTC/KRW"), Instrument("upbit", "DOGE/KRW")
START = 1_772_000_040_000
MINUTES = 120
BALANCES = {"KRW": D(50_000_000), "BTC": D("0.5"), "DOGE": D(0)}
QUICK = LinkPolicy(silence_s=None, first_delay_s=0.02, longest_delay_s=0.1, confirm_s=5.0)


class World:
    """A served exchange, moved by hand, and the gateway to it."""

    def __init__(self, server, instruments=(BTC, DOGE)) -> None:
        self.server, self.exchange = server, server.state.exchange
        self.settings = ExchangeSettings(
            rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.user_stream_url
        )
        self.gateway = UpbitGateway(self.settings, (ACCESS_KEY, SECRET_KEY), instruments, clock=self)
        self.http = aiohttp.ClientSession()

    async def close(self) -> None:
        await self.gateway.close()
        await self.http.close()
        await self.server.close()

    def now_ms(self) -> int:
        return self.exchange.now_ms

    async def advance(self, seconds: float) -> int:
        to_ms = self.exchange.now_ms + int(seconds * 1_000)
        async with self.http.post(f"{self.server.url}/sim/advance", json={"to_ms": to_ms}) as answer:
            assert answer.status == 200
        return to_ms

    def order(self, name: str, side: Side, quantity: str, through: float = 0.0, instrument=BTC, **more) -> PlaceOrder:
        """An order ``through`` of the touch beyond it; positive crosses."""
        row = self.exchange.instruments.index(instrument)
        (ticks, _), *_ = self.exchange.met(row, side)
        touch = float(ticks * self.exchange.rules[row].tick)
        price = touch * (1 + through) if side is Side.BUY else touch * (1 - through)
        limit = round_price(to_decimal(price), upbit_tick(instrument.symbol, price), side)
        values = {"intent_id": "i", "instrument": instrument, "side": side, "quantity": D(quantity), "price": limit}
        return PlaceOrder(client_id=name, **values | more)


@pytest.fixture
async def world():
    tape = krw_walk_tape(("BTC/KRW", "DOGE/KRW"), START, MINUTES, seed=3)
    server = await serve_exchange(upbit_exchange(tape, BALANCES), credentials={ACCESS_KEY: SECRET_KEY}, venue="upbit")
    made = World(server)
    await made.advance(5 * 60)
    yield made
    await made.close()


async def test_rules_and_balances(world):
    rules = await world.gateway.rules()
    assert (rules[BTC].tick, rules[DOGE].tick) == (D(1_000), D(1))
    assert (rules[BTC].min_notional, rules[BTC].taker_fee, rules[BTC].step) == (D(5_000), D("0.0005"), D("1E-8"))
    account = await world.gateway.account()
    assert {a: account.free("upbit", a) for a in ("KRW", "BTC")} == {"KRW": D(50_000_000), "BTC": D("0.5")}


async def test_what_the_key_may_do(world):
    rights = await world.gateway.rights()
    assert (rights.can_trade, rights.can_withdraw) == (True, None)
    assert rights.expires_ms is not None
    world.server.state.key_rights = frozenset()
    assert not (await world.gateway.rights()).can_trade


async def test_an_order_that_crosses_is_filled_and_paid_for_to_the_last_digit(world):
    before = await world.gateway.account()
    bought = await world.gateway.place(world.order("mh-1", Side.BUY, "0.01", 0.002))
    assert (bought.state, bought.executed) == (OrderState.FILLED, D("0.01"))
    spent = sum(f.quantity * f.price + f.fee for f in bought.fills)
    sold = await world.gateway.place(world.order("mh-2", Side.SELL, "0.004", 0.002))
    gained = sum(f.quantity * f.price - f.fee for f in sold.fills)
    after = await world.gateway.account()
    assert after.total("upbit", "KRW") - before.total("upbit", "KRW") == gained - spent
    assert after.total("upbit", "BTC") == before.total("upbit", "BTC") + D("0.006")
    assert {f.fee_asset for f in (*bought.fills, *sold.fills)} == {"KRW"}


async def test_an_ioc_takes_what_is_there_and_ends(world):
    huge = world.order("mh-1", Side.BUY, "0.25", 0.0)
    ended = await world.gateway.place(huge)
    assert ended.state is OrderState.EXPIRED
    assert D(0) < ended.executed < huge.quantity
    assert sum(f.quantity for f in ended.fills) == ended.executed


async def test_forty_orders_at_once_are_all_sent_as_fast_as_the_venue_lets_them():
    """Twelve a second: the last wait for more than three."""
    tape = krw_walk_tape(("BTC/KRW", "DOGE/KRW"), START, MINUTES, seed=3)
    exchange = upbit_exchange(tape, BALANCES)
    exchange.advance_to(START + 5 * MINUTE_MS)
    server = await serve_exchange(exchange, mode="speed", credentials={ACCESS_KEY: SECRET_KEY}, venue="upbit")
    world = World(server)
    try:
        await world.gateway.rules()
        orders = [world.order(f"mh-{n}", Side.BUY, "0.001", -0.05) for n in range(40)]
        orders = [replace(order, time_in_force=TimeInForce.IOC) for order in orders]
        began = time.perf_counter()
        answers = await asyncio.gather(*map(world.gateway.place, orders))
        took = time.perf_counter() - began
        assert {a.state for a in answers} <= {OrderState.CANCELLED, OrderState.EXPIRED}
        assert 3.0 <= took < 6.0
        assert world.gateway.gate.look(lambda line, _: line.refusals) == 0
    finally:
        await world.close()


async def test_a_fok_that_cannot_be_filled_is_killed_whole(world):
    killed = await world.gateway.place(world.order("mh-1", Side.BUY, "0.25", 0.0, time_in_force=TimeInForce.FOK))
    assert (killed.state, killed.executed) == (OrderState.EXPIRED, D(0))


async def test_post_only_rests_or_is_cancelled(world):
    crossing = await world.gateway.place(world.order("mh-1", Side.BUY, "0.001", 0.001, post_only=True))
    assert (crossing.state, crossing.executed) == (OrderState.CANCELLED, D(0))
    resting = await world.gateway.place(world.order("mh-2", Side.BUY, "0.001", -0.001, post_only=True))
    assert resting.state is OrderState.OPEN


async def test_a_resting_order_fills_in_time(world):
    placed = await world.gateway.place(world.order("mh-1", Side.BUY, "0.002", -0.0003, time_in_force=TimeInForce.GTC))
    assert (placed.state, [o.client_id for o in await world.gateway.open_orders()]) == (OrderState.OPEN, ["mh-1"])
    for _ in range(60):
        await world.advance(60)
        found = await world.gateway.query("mh-1", BTC)
        if found.state is OrderState.FILLED:
            break
    assert (found.state, found.executed) == (OrderState.FILLED, D("0.002"))
    assert await world.gateway.fills("mh-1", BTC) == found.fills
    assert await world.gateway.open_orders() == ()


async def test_a_resting_order_is_cancelled_and_replaced(world):
    await world.gateway.place(world.order("mh-1", Side.SELL, "0.002", -0.01, time_in_force=TimeInForce.GTC))
    ended = await world.gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert ended.state is OrderState.CANCELLED
    again = await world.gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert again.state is OrderState.CANCELLED
    replaced = await world.gateway.place(world.order("mh-2", Side.SELL, "0.002", -0.02, time_in_force=TimeInForce.GTC))
    assert replaced.state is OrderState.OPEN
    account = await world.gateway.account()
    assert account.total("upbit", "BTC") - account.free("upbit", "BTC") == D("0.002")


async def test_what_the_venue_refuses(world):
    rows = {
        "insufficient_funds_bid": world.order("mh-1", Side.BUY, "3", 0.0),
        "insufficient_funds_ask": world.order("mh-2", Side.SELL, "0.6", 0.0),
        "under_min_total_bid": world.order("mh-3", Side.BUY, "0.00001", 0.0),
    }
    for code, order in rows.items():
        with pytest.raises(ExchangeRefused) as caught:
            await world.gateway.place(order)
        assert caught.value.code == code
        assert await world.gateway.query(order.client_id, BTC) is None


async def test_a_price_off_the_grid_is_put_on_it(world):
    order = world.order("mh-1", Side.BUY, "0.001", -0.01, time_in_force=TimeInForce.GTC)
    placed = await world.gateway.place(
        PlaceOrder(**{f: getattr(order, f) for f in order.__dataclass_fields__} | {"price": order.price + D("999.9")})
    )
    assert placed.price == order.price


async def test_an_identifier_is_never_taken_twice(world):
    placed = await world.gateway.place(world.order("mh-1", Side.BUY, "0.001", 0.001))
    with pytest.raises(OutcomeUnknown):
        await world.gateway.place(world.order("mh-1", Side.BUY, "0.001", 0.001))
    found = await world.gateway.query("mh-1", BTC)
    assert found.venue_id == placed.venue_id
    # What was unclear is looked up before anything is sent: the order that stands is the answer.
    assert (await world.gateway.place(world.order("mh-1", Side.BUY, "0.001", 0.001))).venue_id == placed.venue_id


async def test_a_fresh_process_finds_what_an_earlier_one_left(world):
    await world.gateway.place(world.order("mh-1", Side.SELL, "0.002", -0.01, time_in_force=TimeInForce.GTC))
    fresh = UpbitGateway(world.settings, (ACCESS_KEY, SECRET_KEY), [BTC], clock=world)
    assert (await fresh.cancel(CancelOrder(client_id="mh-1", instrument=BTC))).state is OrderState.CANCELLED
    await fresh.close()


async def test_keys_that_are_wrong_say_what_to_do(world):
    keyring = world.server.state.keyring
    stranger = UpbitGateway(world.settings, ("x" * 40, SECRET_KEY), [BTC])
    forger = UpbitGateway(world.settings, (ACCESS_KEY, "y" * 40), [BTC])
    for gateway, advice in ((stranger, "unknown to Upbit"), (forger, "does not fit")):
        with pytest.raises(ExchangeRefused, match=advice):
            await gateway.account()
        await gateway.close()
    keyring.expired.add(ACCESS_KEY)
    with pytest.raises(ExchangeRefused, match="has expired"):
        await world.gateway.account()
    keyring.expired.clear()
    keyring.addresses = frozenset({"203.0.113.9"})
    with pytest.raises(ExchangeRefused, match="add its public IP"):
        await world.gateway.account()
    keyring.addresses = None
    world.server.state.key_rights = frozenset()
    with pytest.raises(ExchangeRefused, match="'Make Orders'"):
        await world.gateway.place(world.order("mh-1", Side.BUY, "0.001"))


async def test_history_is_what_was_traded_and_the_open_minute_never_comes(world):
    await world.advance(10 * 60 + 20)
    bars = await world.gateway.history(DOGE, START, 60)
    assert [b.minute for b in bars] == sorted(b.minute for b in bars)
    assert bars[-1].minute + MINUTE_MS <= world.now_ms()
    traded = {START + n * MINUTE_MS for n, bar in enumerate(world.exchange.market.tape.bars[1][:15]) if bar[4] > 0}
    assert {b.minute for b in bars} == traded


class Account:
    """The user stream against the world."""

    def __init__(self, world: World) -> None:
        self.orders, self.balances, self.reconnects = [], {}, []
        self.stream = UserStream(
            world.settings,
            (ACCESS_KEY, SECRET_KEY),
            [BTC, DOGE],
            self.orders.append,
            lambda rows: self.balances.update({b.asset: b for b in rows}),
            self.reconnects.append,
            policy=QUICK,
        )

    async def __aenter__(self) -> "Account":
        self.task = asyncio.create_task(self.stream.run())
        await asyncio.wait_for(self.stream.subscribed(), 5)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stream.close()
        await asyncio.wait_for(self.task, 5)


async def until(truth, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not truth():
            await asyncio.sleep(0.005)


async def test_the_user_stream_tells_the_same_fills_as_rest(world):
    async with Account(world) as account:
        placed = [
            await world.gateway.place(world.order("mh-1", Side.BUY, "0.25", 0.0)),
            await world.gateway.place(world.order("mh-2", Side.BUY, "0.01", 0.002)),
            await world.gateway.place(world.order("mh-3", Side.SELL, "0.01", -0.01, time_in_force=TimeInForce.GTC)),
        ]
        ended = await world.gateway.cancel(CancelOrder(client_id="mh-3", instrument=BTC))
        await until(lambda: account.orders and account.orders[-1].state is OrderState.CANCELLED)
        told = {o.client_id: o for o in account.orders}
        for order in (*placed[:2], ended):
            assert (told[order.client_id].state, told[order.client_id].executed) == (order.state, order.executed)
        streamed = {f.trade_id: f for o in account.orders for f in o.fills}
        asked = {f.trade_id: f for o in placed for f in o.fills}
        assert streamed.keys() == asked.keys()
        for trade_id, fill in streamed.items():
            assert (fill.quantity, fill.price, fill.fee) == (
                asked[trade_id].quantity,
                asked[trade_id].price,
                asked[trade_id].fee,
            )
        state = await world.gateway.account()
        await until(lambda: account.balances["KRW"].total == state.total("upbit", "KRW"))
        assert dict(account.stream.faults) == {}


async def test_the_user_stream_comes_back_and_says_so(world):
    async with Account(world) as account:
        for connection in world.server.state.users.connections:
            connection.abandon()
        await until(lambda: account.reconnects)
        await world.gateway.place(world.order("mh-1", Side.BUY, "0.001", 0.002))
        await until(lambda: any(o.fills for o in account.orders))


class Bars:
    """The market stream against the world, its connection cut every seven minutes; every bar once, in order."""

    def __init__(self, world: World) -> None:
        self.world, self.gaps = world, []
        self.of: dict[Instrument, dict[int, Bar]] = {i: {} for i in world.gateway.instruments}
        self.stream = MarketStream(
            world.settings,
            world.gateway.instruments,
            self._keep,
            None,
            self.gaps.append,
            now_ms=world.now_ms,
            policy=QUICK,
            rest=world.gateway,
        )

    def _keep(self, instrument: Instrument, bar: Bar) -> None:
        assert bar.minute > max(self.of[instrument], default=0)
        self.of[instrument][bar.minute] = bar

    async def watch(self, minutes: int, step_s: int = 5) -> range:
        """Let time pass; returns the minutes that were seen to be final within their successor's first seconds."""
        world, began = self.world, self.world.now_ms()
        task = asyncio.create_task(self.stream.run())
        await asyncio.wait_for(self.stream.subscribed(), 5)
        checked = began
        for second in range(0, minutes * 60, step_s):
            await world.advance(step_s)
            if second % (7 * 60) == 90:
                lives = self.stream.state.lives
                for connection in world.server.state.hub.connections:
                    connection.abandon()
                await until(lambda n=lives: self.stream.state.lives > n and self.stream.state.connected)
            last = world.now_ms() - step_s * 1_000 - MINUTE_MS
            if last % MINUTE_MS == 0 and last >= began:
                await until(lambda m=last: all(m in of for of in self.of.values()))
                checked = last
        await self.stream.close()
        await asyncio.wait_for(task, 5)
        return range(began, checked + MINUTE_MS, MINUTE_MS)


def numbers(bar: Bar) -> tuple[float, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume


async def test_every_minute_of_the_stream_is_the_venues_own_with_cuts_every_seven_minutes(world):
    """Bars from trades and from REST after cuts equal the venue's candles; what the venue has no candle for is filled."""
    bars = Bars(world)
    minutes = await bars.watch(30)
    assert (len(minutes), len(bars.gaps) >= 4) == (29, True)
    for instrument, of in bars.of.items():
        known = {b.minute: b for b in await world.gateway.history(instrument, minutes.start, 60)}
        for minute in minutes:
            assert of[minute].filler == (minute not in known)
            if minute in known:
                assert numbers(of[minute]) == numbers(known[minute])
    assert {"stream", "rest"} <= {bar.source for of in bars.of.values() for bar in of.values()}


REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "upbit_2025-09" / "upbit"
REAL_FROM = 1_758_392_400_000
"""2025-09-20T18:20Z: six minutes of SOL without a trade lie in the three hours from here."""


@pytest.mark.shared
async def test_three_real_hours_with_empty_minutes_come_out_as_they_were():
    """SOL and BTC of September 2025, the stream cut every seven minutes: every bar is the recorded one, every minute the
    recording lacks is a flagged filler at the last close, and nothing else is."""
    both = (Instrument("upbit", "SOL/KRW"), Instrument("upbit", "BTC/KRW"))
    span = range(REAL_FROM, REAL_FROM + 181 * MINUTE_MS, MINUTE_MS)
    real, tapes = {}, []
    for instrument in both:
        rows = pl.read_parquet(REAL / f"KRW-{instrument.base}.parquet").filter(
            pl.col("ts").is_between(span[0], span[-1])
        )
        real[instrument] = {row[0]: row[1:] for row in rows.iter_rows()}
        filled, close = [], rows["open"][0]
        for minute in span:
            bar = real[instrument].get(minute, (close, close, close, close, 0.0))
            filled.append(bar)
            close = bar[3]
        tapes.append(filled)
    assert sum(minute not in real[both[0]] for minute in span) == 6
    exchange = upbit_exchange(Tape(both, REAL_FROM, np.array(tapes)), BALANCES)
    server = await serve_exchange(exchange, credentials={ACCESS_KEY: SECRET_KEY}, venue="upbit")
    world = World(server, both)
    try:
        bars = Bars(world)
        minutes = await bars.watch(180, step_s=10)
    finally:
        await world.close()
    assert (len(minutes), len(bars.gaps)) == (179, 26)
    for instrument, of in bars.of.items():
        for before, minute in zip((None, *minutes), minutes, strict=False):
            bar, recorded = of[minute], real[instrument].get(minute)
            if recorded is not None:
                assert (numbers(bar), bar.filler) == (recorded, False)
            else:
                assert (bar.filler, bar.volume, bar.close) == (True, 0.0, of[before].close)


async def test_the_touch_is_asked_for_and_a_stop_is_refused_before_it_is_sent(world):
    tops, books = await world.gateway.tops([BTC, DOGE]), await world.gateway.books([BTC, DOGE])
    for row, instrument in enumerate((BTC, DOGE)):
        bids, asks = world.exchange.depth(row)
        tick, step = float(world.exchange.rules[row].tick), float(world.exchange.rules[row].step)
        assert books[instrument].top.bid == tops[instrument].bid and len(books[instrument].asks) > 5
        for side, levels in ((books[instrument].bids, bids), (books[instrument].asks, asks)):
            assert [p for p, _ in side] == pytest.approx([ticks * tick for ticks, _ in levels[: len(side)]])
            assert [q for _, q in side] == pytest.approx([steps * step for _, steps in levels[: len(side)]])
    for row, instrument in enumerate((BTC, DOGE)):
        shown = world.exchange.top(row)
        assert (tops[instrument].bid, tops[instrument].ask) == (float(shown.bid), float(shown.ask))
    assert not world.gateway.holds_stops and not world.gateway.holds_pairs
    with pytest.raises(ExchangeRefused, match="holds no stops"):
        await world.gateway.place(replace(world.order("mh-s", Side.SELL, "0.01"), stop_price=D(1_000)))
    assert await world.gateway.open_orders() == ()
