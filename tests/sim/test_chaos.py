"""Each fault over the real wire: what a client sees of it, and that the books hold exactly what was done."""

import asyncio
import itertools
from contextlib import asynccontextmanager
from decimal import Decimal

import aiohttp
import ccxt
import pytest

from config.settings import ExchangeSettings
from core.errors import ExchangeUnavailable, OutcomeUnknown
from core.messages import CancelOrder, OrderState, PlaceOrder, TimeInForce
from core.units import MINUTE_MS, Instrument, Side, to_decimal
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.user_stream import UserStream
from exchanges.link import LinkPolicy
from exchanges.simulated.binance import streams
from exchanges.simulated.chaos.plan import Chaos, Planned
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import BEGIN, KEY, SECRET, START, make_exchange

BTC = Instrument("binance", "BTC/USDT")
PACE = 0.05


class World:
    """A served exchange with faults, and our gateway at it."""

    def __init__(self, server, chaos: Chaos, timeout_ms: int) -> None:
        self.server, self.chaos, self.exchange = server, chaos, server.state.exchange
        self.settings = ExchangeSettings(
            rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.ws_api_url, timeout_ms=timeout_ms
        )
        self.gateway = BinanceGateway(self.settings, (KEY, SECRET), [BTC])

    def order(self, name: str, side: Side = Side.BUY, away: float = -0.001, force=TimeInForce.IOC) -> PlaceOrder:
        """0.01 BTC; ``away`` of the touch, negative crosses."""
        top = self.exchange.top(0)
        price = top.ask * to_decimal(1 - away) if side is Side.BUY else top.bid * to_decimal(1 + away)
        return PlaceOrder(
            client_id=name,
            intent_id="i",
            instrument=BTC,
            side=side,
            quantity=Decimal("0.01"),
            price=price.quantize(Decimal("0.01")),
            time_in_force=force,
        )

    def booked(self, name: str = "mh-1") -> list:
        return [o for o in self.exchange.orders.values() if o.client_id == name]

    async def advance(self, ms: int) -> None:
        async with self.server.state.lock:
            await self.server.state.advance(self.exchange.now_ms + ms)


@asynccontextmanager
async def world(*schedule: Planned, mode="lockstep", pace=PACE, timeout_ms=500, **more):
    chaos = Chaos(schedule=schedule, pace=pace)
    server = await serve_exchange(
        make_exchange(), credentials={KEY: SECRET}, wall_ms=ccxt.Exchange.milliseconds, chaos=chaos, mode=mode, **more
    )
    made = World(server, chaos, timeout_ms)
    try:
        yield made
    finally:
        await made.gateway.close()
        await server.close()


UNKNOWN = {
    "unknown-done": True,
    "unknown-not": False,
    "http-done": True,
    "http-not": False,
    "busy": False,
    "cut-json": True,
    "cut-empty": True,
    "drop-done": True,
    "drop-not": False,
}


@pytest.mark.parametrize("kind", UNKNOWN)
async def test_an_order_of_unknown_outcome_is_in_the_books_or_not_as_its_name_says(kind):
    done = UNKNOWN[kind]
    async with world(Planned(kind=kind, where="place")) as w:
        with pytest.raises(OutcomeUnknown):
            await w.gateway.place(w.order("mh-1"))
        assert len(w.booked()) == done
        found = await w.gateway.query("mh-1", BTC)
        assert (found is not None) == done
        if found is not None:
            assert found.state is OrderState.FILLED
            assert sum(f.quantity for f in await w.gateway.fills("mh-1", BTC)) == Decimal("0.01")
        assert w.chaos.done == {kind: 1}


@pytest.mark.parametrize("kind", ["unknown-done", "unknown-not", "http-done", "cut-json", "drop-done", "drop-not"])
async def test_the_same_for_a_cancel(kind):
    # The HTTP client itself sends a DELETE again when a kept connection turns out to be dead (RFC 9110, 9.2.2: it is
    # idempotent, and so is a cancel by client id): only when that goes wrong too nobody knows.
    async with world(Planned(kind=kind, where="cancel", times=2 if kind.startswith("drop") else 1)) as w:
        await w.gateway.place(w.order("mh-1", away=0.05, force=TimeInForce.GTC))
        with pytest.raises(OutcomeUnknown):
            await w.gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
        found = await w.gateway.query("mh-1", BTC)
        assert found.state is (OrderState.OPEN if kind.endswith("not") else OrderState.CANCELLED)


async def test_every_gateway_error_text_and_status_comes_up():
    seen = set()
    for size in range(4):
        async with world(Planned(kind="http-not", where="place", size=size + 0.5)) as w:
            with pytest.raises(OutcomeUnknown) as caught:
                await w.gateway.place(w.order("mh-1"))
            seen.add(str(caught.value).partition("HTTP ")[2][:3])
            assert not w.booked()
    assert seen == {"500", "502", "503", "504"}


async def test_an_answer_that_never_comes():
    async with world(Planned(kind="hang", where="place"), pace=0.02) as w:
        with pytest.raises(OutcomeUnknown, match="no answer in time"):
            await w.gateway.place(w.order("mh-1"))
        assert w.booked()[0].status == "FILLED"
        await until(lambda: w.chaos.done == {"hang": 1})


@pytest.mark.parametrize("kind", ["slow-request", "slow-answer"])
async def test_latency(kind):
    async with world(Planned(kind=kind, where="place", size=86), pace=1.0) as w:
        await w.gateway.sync_clock()
        began = asyncio.get_running_loop().time()
        sending = asyncio.create_task(w.gateway.place(w.order("mh-1")))
        await asyncio.sleep(0.05)
        assert bool(w.booked()) == (kind == "slow-answer")
        assert (await sending).state is OrderState.FILLED
        assert asyncio.get_running_loop().time() - began >= 0.086


async def test_a_stamp_is_turned_down_and_sent_again_after_a_look_at_the_clock():
    async with world(Planned(kind="stamp", where="place")) as w:
        assert (await w.gateway.place(w.order("mh-1"))).state is OrderState.FILLED
        assert len(w.booked()) == 1
        assert w.chaos.describe()["looked_at"]["time"] == 2


async def test_too_many_requests_then_the_ban_of_whoever_goes_on():
    async with world(Planned(kind="ban", where="place", size=1_000)) as w:
        with pytest.raises(ExchangeUnavailable) as told:
            await w.gateway.place(w.order("mh-1"))
        assert told.value.retry_after_s == 1.0
        statuses = []
        async with aiohttp.ClientSession() as http:
            for _ in range(2):
                async with http.get(f"{w.server.url}/api/v3/time") as answer:
                    statuses.append((answer.status, answer.headers["Retry-After"]))
            async with http.get(f"{w.server.url}/sim/state") as answer:
                assert answer.status == 200  # the controls are not the venue's
        assert statuses == [(418, "2"), (418, "4")]
        assert w.chaos.done == {"ban": 1, "banned": 2}
        assert not w.booked()


async def test_our_gateway_waits_out_a_429_and_earns_no_ban():
    async with world(Planned(kind="ban", where="query", size=2_000), pace=1.0) as w:
        await w.gateway.place(w.order("mh-1"))
        with pytest.raises(ExchangeUnavailable, match="HTTP 429"):
            await w.gateway.query("mh-1", BTC)
        with pytest.raises(ExchangeUnavailable, match="not sent"):
            await w.gateway.query("mh-1", BTC)
        await asyncio.sleep(2.02)
        assert (await w.gateway.query("mh-1", BTC)).state is OrderState.FILLED
        assert w.chaos.done == {"ban": 1}


async def test_an_order_is_not_shown_for_a_while_though_it_stands():
    async with world(Planned(kind="hide", size=1_000)) as w:
        order = w.order("mh-1", away=0.05, force=TimeInForce.GTC)
        answered = await w.gateway.place(order)
        assert answered.state is OrderState.OPEN
        assert await w.gateway.query("mh-1", BTC) is None
        assert await w.gateway.open_orders() == ()
        assert await w.gateway.fills("mh-1", BTC) == ()
        account = await w.gateway.account()
        assert sum(b.locked for b in account.balances) > 0
        await w.advance(1_000)
        assert (await w.gateway.query("mh-1", BTC)).state is OrderState.OPEN
        assert [o.client_id for o in await w.gateway.open_orders()] == ["mh-1"]


async def test_the_venues_clock_is_off_and_a_stamp_by_the_true_one_is_refused():
    async with world(Planned(kind="clock", at_ms=BEGIN + 300, size=-1_300), mode="speed", speed=1.0) as w:
        await w.gateway.place(w.order("mh-1"))
        async with asyncio.timeout(5):
            while w.exchange.now_ms < BEGIN + 300:
                await asyncio.sleep(0.02)
        assert w.chaos.describe()["looked_at"]["time"] == 1
        # Our stamp is 1.3 s ahead of its clock now: turned down, the clock read again, taken.
        w.server.state.keyring._time._wall = None
        assert (await w.gateway.place(w.order("mh-2"))).state is OrderState.FILLED
        assert w.chaos.describe()["looked_at"]["time"] == 2
        assert len(w.booked("mh-2")) == 1
        assert abs(w.gateway.now_ms() + 1_300 - w.exchange.now_ms) < 300


async def test_what_was_done_is_told():
    async with world(Planned(kind="http-not", where="time")) as w, aiohttp.ClientSession() as http:
        async with http.get(f"{w.server.url}/api/v3/time") as answer:
            assert answer.status == 503
        async with http.get(f"{w.server.url}/sim/chaos") as answer:
            told = await answer.json()
        assert told["done"] == {"http-not": 1}
        assert told["last"] == [{"kind": "http-not", "where": "time", "number": 1, "at_ms": BEGIN}]


# --- frames ---------------------------------------------------------------------------------------------------------


async def frames_of(w: World, streams: str, until: int, beats: list[int]) -> list[dict]:
    """Frames of a market stream while time moves by these milliseconds, until so many came or a second passed."""
    found = []
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{w.server.stream_url}?streams={streams}") as socket,
    ):
        for ms in beats:
            await w.advance(ms)
        try:
            while len(found) < until:
                found.append((await socket.receive_json(timeout=1))["data"])
        except TimeoutError:
            pass
    return found


@pytest.mark.parametrize(
    ("kind", "minutes"), [("lose-bar", [0, 2]), ("dup-bar", [0, 1, 1, 2]), ("late-bar", [0, 2, 1])]
)
async def test_final_bars_late_missing_and_doubled(kind, minutes):
    async with world(Planned(kind=kind, nth=2)) as w:
        frames = await frames_of(w, "btcusdt@kline_1m", len(minutes) + (kind == "lose-bar"), [MINUTE_MS] * 3)
        assert [(f["k"]["t"] - BEGIN) // MINUTE_MS for f in frames] == minutes
        assert all(f["k"]["x"] for f in frames)
        assert w.chaos.done == {kind: 1}


async def test_a_diff_is_left_out_and_leaves_a_gap():
    async with world(Planned(kind="gap-depth", nth=3)) as w:
        frames = await frames_of(w, "btcusdt@depth@100ms", 5, [5_000] * 6)
        joins = [b["U"] == a["u"] + 1 for a, b in itertools.pairwise(frames)]
        assert joins == [True, False, True, True]


@asynccontextmanager
async def user_stream(w: World):
    told, reconnects = [], []
    stream = UserStream(
        w.settings,
        (KEY, SECRET),
        [BTC],
        told.append,
        on_reconnect=reconnects.append,
        now_ms=w.gateway.now_ms,
        policy=LinkPolicy(silence_s=None, first_delay_s=0.02),
    )
    stream.told, stream.reconnects = told, reconnects
    running = asyncio.create_task(stream.run())
    try:
        await w.gateway.sync_clock()
        await asyncio.wait_for(stream.subscribed(), 5)
        yield stream
    finally:
        await stream.close()
        await asyncio.wait_for(running, 5)


async def until(truth, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not truth():
            await asyncio.sleep(0.005)


async def test_reports_come_before_the_answer_when_the_answer_is_slow():
    async with world(Planned(kind="slow-answer", where="place", size=200), pace=1.0) as w, user_stream(w) as stream:
        sending = asyncio.create_task(w.gateway.place(w.order("mh-1")))
        await until(lambda: stream.told and stream.told[-1].state is OrderState.FILLED)
        assert not sending.done()
        assert (await sending).fills == tuple(f for o in stream.told for f in o.fills)


async def test_a_report_twice_is_told_once_by_our_stream():
    async with world(Planned(kind="dup-report", nth=2)) as w, user_stream(w) as stream:
        await w.gateway.place(w.order("mh-1"))
        await until(lambda: stream.faults["repeated"] == 1 and stream.told[-1].state is OrderState.FILLED)
        assert len({(o.state, o.executed) for o in stream.told}) == len(stream.told)


@pytest.mark.parametrize(("kind", "size"), [("swap-report", None), ("late-report", 400)])
async def test_reports_out_of_order(kind, size):
    async with world(Planned(kind=kind, nth=1, size=size)) as w, user_stream(w) as stream:
        await w.gateway.place(w.order("mh-1"))
        await until(lambda: sum(f.quantity for o in stream.told for f in o.fills) == Decimal("0.01"))
        await until(lambda: OrderState.OPEN in [o.state for o in stream.told])
        assert stream.told[0].executed > 0  # the trade came before the order was told of


async def test_a_held_report_comes_even_when_nothing_follows():
    async with world(Planned(kind="swap-report", nth=1)) as w, user_stream(w) as stream:
        await w.gateway.place(w.order("mh-1", away=0.05, force=TimeInForce.GTC))
        await until(lambda: [o.state for o in stream.told] == [OrderState.OPEN])


@pytest.mark.parametrize("kind", ["end-shutdown", "end-pong", "end-day"])
async def test_a_connection_ends_and_our_stream_comes_back_and_says_so(kind):
    size = 60_000 if kind == "end-day" else None
    async with world(Planned(kind=kind, size=size, at_ms=BEGIN + 1)) as w, user_stream(w) as stream:
        await w.advance(120_000)
        await until(lambda: stream.reconnects)
        assert w.chaos.done[kind] >= 1
        if kind == "end-shutdown":
            assert "serverShutdown" in stream.reconnects[0]
        await w.gateway.place(w.order("mh-1"))
        await until(lambda: stream.told and stream.told[-1].state is OrderState.FILLED)


async def test_a_halted_market_takes_no_orders_shows_no_book_and_has_no_bars():
    # Nothing is late here but a busy machine.
    async with world(Planned(kind="halt", where="0", at_ms=BEGIN + MINUTE_MS, size=5), timeout_ms=10_000) as w:
        before = w.order("mh-1")
        await w.advance(MINUTE_MS + 1_000)
        with pytest.raises(Exception, match="Market is closed"):
            await w.gateway.place(before)
        assert not w.booked()
        assert w.exchange.top(0) is None
        await w.advance(8 * MINUTE_MS)
        bars = await w.gateway.history(BTC, BEGIN, 8)
        assert [(b.minute - BEGIN) // MINUTE_MS for b in bars] == [0, 1, 2, 6, 7]
        assert [b.filler for b in bars] == [False, True, True, False, False]
        assert (await w.gateway.place(w.order("mh-2"))).state is OrderState.FILLED


async def test_without_chaos_nothing_is_served_under_its_name():
    server = await serve_exchange(make_exchange(), credentials={KEY: SECRET})
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/sim/chaos") as answer:
        assert answer.status == 404
    await server.close()
    assert START < BEGIN


# --- what the venue does by itself ----------------------------------------------------------------------------------


async def test_a_client_that_says_too_much_in_a_second_is_cut():
    async with world() as w, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{w.server.url}/ws") as socket:
            for number in range(6):
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
            answers = [await socket.receive(timeout=5) for _ in range(6)]
        assert [a.type for a in answers] == [aiohttp.WSMsgType.TEXT] * 5 + [aiohttp.WSMsgType.CLOSE]
        assert answers[-1].data == 1008


@pytest.mark.parametrize("answers_pings", [True, False])
async def test_a_client_that_answers_no_ping_is_cut(monkeypatch, answers_pings):
    monkeypatch.setattr(streams, "PING_S", 0.1)
    async with world() as w, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{w.server.url}/ws", autoping=answers_pings) as socket:
            seen = []
            try:
                async with asyncio.timeout(0.6):
                    while not seen or seen[-1] is aiohttp.WSMsgType.PING:
                        seen.append((await socket.receive()).type)
            except TimeoutError:
                seen.append("alive")
        assert (seen[-1] == "alive") == answers_pings
