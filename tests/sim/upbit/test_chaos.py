"""Upbit's faults over its real wire: what a client sees, and that the books hold exactly what was done."""

import asyncio
import json
from contextlib import asynccontextmanager
from decimal import Decimal

import aiohttp
import pytest

from core.errors import ExchangeRefused, ExchangeUnavailable, OutcomeUnknown
from core.grid import upbit_tick
from core.messages import CancelOrder, OrderState, PlaceOrder, TimeInForce
from core.units import MINUTE_MS, Side, round_price
from exchanges.link import LinkPolicy
from exchanges.simulated.chaos.plan import Chaos, Planned
from tests.sim.test_chaos import until
from tests.support.chaos_venues import PAST, START, UPBIT

BEGIN = START + PAST * MINUTE_MS


class World:
    """A served Upbit with faults, and our gateway at it."""

    def __init__(self, server, chaos: Chaos) -> None:
        self.server, self.chaos, self.exchange = server, chaos, server.state.exchange
        self.btc = self.exchange.instruments[0]
        self.settings = UPBIT.settings(server)
        self.gateway = UPBIT.gateway(self.settings, (self.btc,))

    def order(self, name: str, away: float = -0.001, force=TimeInForce.IOC) -> PlaceOrder:
        """A buy of 0.001 BTC; ``away`` of the touch, negative crosses."""
        price = self.exchange.top(0).ask * Decimal(1 - away)
        tick = upbit_tick("BTC/KRW", float(price))
        return PlaceOrder(
            client_id=name,
            intent_id="i",
            instrument=self.btc,
            side=Side.BUY,
            quantity=Decimal("0.001"),
            price=round_price(price, tick, Side.BUY),
            time_in_force=force,
        )

    def booked(self, name: str = "mh-1") -> list:
        return [order for known, order in UPBIT.orders(self.server) if known == name]

    async def advance(self, ms: int) -> None:
        async with self.server.state.lock:
            await self.server.state.advance(self.exchange.now_ms + ms)


@asynccontextmanager
async def world(*schedule: Planned, pace=0.05):
    chaos = Chaos(schedule=schedule, pace=pace, venue="upbit")
    server = await UPBIT.serve(UPBIT.make(3), chaos)
    made = World(server, chaos)
    try:
        yield made
    finally:
        await made.gateway.close()
        await server.close()


@pytest.mark.parametrize(
    ("kind", "done"),
    [
        ("unknown-done", True),
        ("unknown-not", False),
        ("http-done", True),
        ("http-not", False),
        ("cut-json", True),
        ("cut-empty", True),
        ("drop-done", True),
        ("drop-not", False),
        ("hang", True),
    ],
)
async def test_an_order_of_unknown_outcome_is_in_the_books_or_not_as_its_name_says(kind, done):
    async with world(Planned(kind=kind, where="place"), pace=0.02) as w:
        with pytest.raises(OutcomeUnknown):
            await w.gateway.place(w.order("mh-1"))
        assert len(w.booked()) == done
        found = await w.gateway.query("mh-1", w.btc)
        assert (found is not None) == done
        if found is not None:
            assert (found.state, found.executed) == (OrderState.FILLED, Decimal("0.001"))
            assert sum(f.quantity for f in found.fills) == Decimal("0.001")


async def test_a_500_with_a_json_body_is_what_upbit_says_when_it_does_not_know():
    async with world(Planned(kind="unknown-not", where="place")) as w:
        with pytest.raises(OutcomeUnknown, match=r"server_error, HTTP 500"):
            await w.gateway.place(w.order("mh-1"))


@pytest.mark.parametrize(("dice", "body"), [(0.2, "Too many API requests."), (0.7, "too_many_requests")])
async def test_429_as_json_or_as_plain_text_closes_its_group_and_418_whoever_goes_on(dice, body):
    async with world() as w, aiohttp.ClientSession() as http:
        words = []
        w.chaos.request = lambda where, now_ms: ban(dice) if where == "rules" and not words else None
        for path in ("market/all", "market/all", "ticker?markets=KRW-BTC", "market/all"):
            async with http.get(f"{w.server.url}/v1/{path}") as answer:
                words.append((answer.status, await answer.text()))
        assert [status for status, _ in words] == [429, 418, 418, 418]
        assert body in words[0][1]
        assert "2초 동안 차단" in words[1][1]


def ban(dice: float):
    from_plan = Chaos(schedule=[Planned(kind="ban")], venue="upbit").request("rules", 0)
    assert from_plan is not None
    return type(from_plan)("ban", 1_000, dice)


async def test_our_gateway_waits_out_a_429_of_its_group_and_other_groups_go_on():
    async with world(Planned(kind="ban", where="place", size=1_000)) as w:
        with pytest.raises(ExchangeUnavailable):
            await w.gateway.place(w.order("mh-1"))
        assert await w.gateway.query("mh-1", w.btc) is None
        # The identifier is free still, for the request was never read; ours is a new one in any case.
        assert (await w.gateway.place(w.order("mh-1"))).state is OrderState.FILLED
        assert len(w.booked()) == 1
        assert w.chaos.done == {"ban": 1}


async def test_an_order_is_not_shown_for_a_while_though_it_stands():
    async with world(Planned(kind="hide", size=1_000)) as w:
        assert (await w.gateway.place(w.order("mh-1", away=0.05, force=TimeInForce.GTC))).state is OrderState.OPEN
        assert await w.gateway.query("mh-1", w.btc) is None
        assert await w.gateway.open_orders() == ()
        await w.advance(1_000)
        assert (await w.gateway.query("mh-1", w.btc)).state is OrderState.OPEN
        assert [o.client_id for o in await w.gateway.open_orders()] == ["mh-1"]


async def test_a_cancel_that_was_done_without_an_answer():
    async with world(Planned(kind="http-done", where="cancel")) as w:
        await w.gateway.place(w.order("mh-1", away=0.05, force=TimeInForce.GTC))
        with pytest.raises(OutcomeUnknown):
            await w.gateway.cancel(CancelOrder(client_id="mh-1", instrument=w.btc))
        assert (await w.gateway.query("mh-1", w.btc)).state is OrderState.CANCELLED


@asynccontextmanager
async def user_stream(w: World):
    told, reconnects = [], []
    stream = UPBIT.user_stream(
        w.settings,
        (w.btc,),
        told.append,
        on_reconnect=reconnects.append,
        now_ms=w.gateway.now_ms,
        policy=LinkPolicy(silence_s=None, first_delay_s=0.02),
    )
    running = asyncio.create_task(stream.run())
    try:
        await asyncio.wait_for(stream.subscribed(), 5)
        yield stream, told, reconnects
    finally:
        await stream.close()
        await asyncio.wait_for(running, 5)


def executed(told: list) -> Decimal:
    return sum((f.quantity for o in told for f in o.fills), Decimal(0))


async def test_doubled_rows_of_my_order_count_once():
    # wait, trade, …: the second report is the first trade.
    async with world(Planned(kind="dup-report", nth=2)) as w, user_stream(w) as (stream, told, _):
        await w.gateway.place(w.order("mh-1"))
        await until(lambda: told and told[-1].state is OrderState.FILLED and stream.faults["repeated"] == 1)
        assert executed(told) == Decimal("0.001")


@pytest.mark.parametrize(("kind", "size"), [("late-report", 400), ("swap-report", None)])
async def test_delayed_and_reordered_my_order(kind, size):
    async with world(Planned(kind=kind, nth=1, size=size)) as w, user_stream(w) as (_, told, _):
        await w.gateway.place(w.order("mh-1"))
        await until(lambda: executed(told) == Decimal("0.001") and any(o.state is OrderState.OPEN for o in told))
        assert told[0].state is not OrderState.OPEN


@pytest.mark.parametrize("kind", ["end-pong", "end-day"])
async def test_a_connection_ends_and_our_stream_comes_back_and_says_so(kind):
    size = 60_000 if kind == "end-day" else None
    async with (
        world(Planned(kind=kind, size=size, at_ms=BEGIN + 1)) as w,
        user_stream(w) as (_, told, reconnects),
    ):
        await w.advance(120_000)
        await until(lambda: reconnects)
        await w.gateway.place(w.order("mh-1"))
        await until(lambda: told and told[-1].state is OrderState.FILLED)


async def test_a_snapshot_is_repeated():
    async with world(Planned(kind="again-snapshot")) as w, aiohttp.ClientSession() as http:
        async with http.ws_connect(w.server.stream_url) as socket:
            await socket.send_json([{"ticket": "t"}, {"type": "orderbook", "codes": ["KRW-BTC"]}])
            frames = [json.loads(await socket.receive_bytes(timeout=5)) for _ in range(2)]
        assert frames[0] == frames[1]
        assert frames[0]["stream_type"] == "SNAPSHOT"
        assert w.chaos.done == {"again-snapshot": 1}


async def test_a_quiet_minute_has_no_candle_and_a_halted_market_takes_no_order():
    quiet = Planned(kind="quiet", where="0", at_ms=BEGIN + MINUTE_MS, size=1)
    halt = Planned(kind="halt", where="0", at_ms=BEGIN + 4 * MINUTE_MS, size=2)
    async with world(quiet, halt) as w:
        before = w.order("mh-1", away=0.0)
        await w.advance(4 * MINUTE_MS + 1_000)
        with pytest.raises(ExchangeRefused, match="market_offline"):
            await w.gateway.place(before)
        assert not w.booked()
        await w.advance(4 * MINUTE_MS)
        # A gateway that learns the venue's time now: eight minutes have passed at once.
        fresh = UPBIT.gateway(w.settings, (w.btc,))
        await fresh.sync_clock()
        bars = await fresh.history(w.btc, BEGIN, 8)
        await fresh.close()
        assert {(b.minute - BEGIN) // MINUTE_MS for b in bars} >= {0, 3, 6}
        assert {(b.minute - BEGIN) // MINUTE_MS for b in bars} & {1, 4, 5} == set()
        assert (await w.gateway.place(w.order("mh-2"))).state is OrderState.FILLED
