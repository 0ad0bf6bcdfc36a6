"""The public stream of the simulated Upbit: binary frames, formats, snapshots, and one set of subscriptions at a time."""

import asyncio
import json

import aiohttp
import numpy as np
import pytest

from core.units import MINUTE_MS, Instrument
from exchanges.simulated.tape import Tape
from exchanges.simulated.upbit.budget import Allowance
from exchanges.simulated.upbit.market import UpbitExchange
from exchanges.simulated.upbit.payloads import number_of
from tests.sim.upbit.conftest import AT_ONCE, BEGIN, START, advance, make_exchange, serve

QUIET_S = 0.15
TICKET = {"ticket": "t"}


class Listener:
    """One connection, and what comes on it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def ask(self, *types: dict, form: str | None = None) -> None:
        await self.socket.send_json([TICKET, *types, *([{"format": form}] if form else [])])

    async def next(self):
        message = await self.socket.receive(timeout=5)
        assert message.type is aiohttp.WSMsgType.BINARY, message
        return json.loads(message.data)

    async def rest(self) -> list:
        """Everything until nothing comes for a while."""
        found = []
        while True:
            try:
                message = await self.socket.receive(timeout=QUIET_S)
            except TimeoutError:
                return found
            assert message.type is aiohttp.WSMsgType.BINARY, message
            found.append(json.loads(message.data))

    async def closed(self) -> int | None:
        while True:
            message = await self.socket.receive(timeout=5)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                return self.socket.close_code


@pytest.fixture
async def stream(server, http):
    async with http.ws_connect(server.stream_url) as socket:
        yield Listener(socket)


def of(kind: str, *codes: str, **options) -> dict:
    return {"type": kind, "codes": list(codes or ("KRW-BTC",))} | options


async def test_a_snapshot_comes_first_then_what_happens(server, stream):
    await stream.ask(of("trade"))
    first = await stream.next()
    last = server.state.trades.newest(0, BEGIN)[0]
    assert (first["type"], first["code"], first["stream_type"]) == ("trade", "KRW-BTC", "SNAPSHOT")
    assert (first["sequential_id"], first["trade_price"]) == (number_of(last), float(last.price))
    await advance(server, BEGIN + MINUTE_MS)
    frames = await stream.rest()
    trades = list(server.state.trades.between(0, BEGIN, BEGIN + MINUTE_MS))
    assert [f["sequential_id"] for f in frames] == [number_of(t) for t in trades]
    assert {f["stream_type"] for f in frames} == {"REALTIME"}
    bar = server.state.exchange.market.bar(0, BEGIN, BEGIN + MINUTE_MS)
    # The first trade of this minute was told before; the last one here opens the next.
    prices = [first["trade_price"], *(f["trade_price"] for f in frames[:-1])]
    assert (prices[0], max(prices), min(prices), prices[-1]) == (bar.open, bar.high, bar.low, bar.close)


async def test_only_snapshot_and_only_realtime(server, stream):
    await stream.ask(of("trade", is_only_snapshot=True), of("ticker", is_only_realtime=True))
    assert [f["type"] for f in await stream.rest()] == ["trade"]
    await advance(server, BEGIN + 30_000)
    assert {(f["type"], f["stream_type"]) for f in await stream.rest()} == {("ticker", "REALTIME")}


async def test_a_new_request_replaces_everything_before_it(server, stream):
    await stream.ask(of("trade"), of("ticker", "KRW-BTC", "KRW-DOGE"))
    assert len(await stream.rest()) == 3
    await stream.ask(of("orderbook", "KRW-USDT"))
    assert [(f["type"], f["code"]) for f in await stream.rest()] == [("orderbook", "KRW-USDT")]
    await advance(server, BEGIN + MINUTE_MS)
    assert {(f["type"], f["code"]) for f in await stream.rest()} == {("orderbook", "KRW-USDT")}
    # A request that is wrong changes nothing.
    await stream.ask(of("nonsense"))
    assert (await stream.next())["error"]["name"] == "INVALID_PARAM"
    await advance(server, BEGIN + 2 * MINUTE_MS)
    assert {f["type"] for f in await stream.rest()} == {"orderbook"}
    await stream.socket.send_json([{"ticket": "listing"}, {"method": "LIST_SUBSCRIPTIONS"}])
    assert await stream.next() == {
        "method": "LIST_SUBSCRIPTIONS",
        "result": [{"type": "orderbook", "codes": ["KRW-USDT"]}],
        "ticket": "listing",
    }


@pytest.mark.parametrize("form", ["DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST"])
async def test_formats(server, stream, form):
    await stream.ask(of("orderbook", "KRW-BTC.5"), of("trade"), of("ticker"), of("candle.1m"), form=form)
    frames = await stream.rest()
    assert len(frames) == 4
    if form.endswith("LIST"):
        assert all(isinstance(frame, list) and len(frame) == 1 for frame in frames)
        frames = [frame[0] for frame in frames]
    book, trade, ticker, candle = frames
    if form.startswith("SIMPLE"):
        assert [f["ty"] for f in frames] == ["orderbook", "trade", "ticker", "candle.1m"]
        assert set(book["obu"][0]) == {"ap", "bp", "as", "bs"}
        assert set(candle) == {"ty", "cd", "cdttmu", "cdttmk", "op", "hp", "lp", "tp", "catv", "catp", "tms", "st"}
        assert {"tp", "tv", "ab", "pcp", "c", "cp", "td", "ttm", "ttms", "tms", "sid", "bap", "bbs"} < set(trade)
        assert {"op", "hp", "lp", "atv24h", "atp24h", "scr", "h52wp", "ms"} < set(ticker)
        assert all(len(name) <= 6 for f in frames for name in f)
    else:
        assert len(book["orderbook_units"]) == 5
        assert candle["candle_date_time_utc"] == "2026-01-01T01:00:00"
        assert ticker["trade_price"] == trade["trade_price"] == candle["trade_price"]


async def test_books_of_15_and_30_levels_show_our_own_orders_too(server, stream, api):
    await stream.ask(of("orderbook", "KRW-BTC.1"), of("orderbook", "KRW-BTC"))
    small, large = await stream.rest()
    assert (len(small["orderbook_units"]), len(large["orderbook_units"])) == (1, 20)
    price = small["orderbook_units"][0]["bid_price"]
    assert price < small["orderbook_units"][0]["ask_price"]
    before = small["orderbook_units"][0]["bid_size"]
    order = await api.order(side="bid", ord_type="limit", price=str(int(price)), volume="0.25")
    frames = await stream.rest()
    assert frames[0]["orderbook_units"][0]["bid_size"] == pytest.approx(before + 0.25)
    await api.delete("order", uuid=order["uuid"])
    frames = await stream.rest()
    assert frames[0]["orderbook_units"][0]["bid_size"] == before


@pytest.fixture
async def thin(http):
    """Minutes 60, 62 and 63 are empty; 63 has no bar at all."""
    bars = np.tile([500_000.0, 501_000, 499_000, 500_500, 2.0], (1, 90, 1))
    bars[0, :, 0] = 500_500.0
    bars[0, (60, 62), :] = [500_500.0] * 4 + [0.0]
    bars[0, 63] = np.nan
    tape = Tape((Instrument("upbit", "BCH/KRW"),), START, bars, synthetic=True)
    server = await serve(UpbitExchange(tape, {"KRW": 10_000_000}, BEGIN, AT_ONCE))
    async with http.ws_connect(server.stream_url) as socket:
        yield server, Listener(socket)
    await server.close()


async def test_candles_come_once_a_second_after_a_trade_and_never_for_an_empty_minute(thin):
    server, stream = thin
    await stream.ask(of("candle.1m", "KRW-BCH"), of("candle.1s", "KRW-BCH"))
    first, _ = await stream.rest()
    # Of the minute before: nothing traded in this one.
    assert (first["candle_date_time_utc"], first["stream_type"]) == ("2026-01-01T00:59:00", "SNAPSHOT")
    told: dict[int, list] = {}
    for minute in range(60, 65):
        for second in (20, 40, 60):
            await advance(server, START + minute * MINUTE_MS + second * 1_000)
        told[minute] = await stream.rest()
    assert told[60] == told[62] == told[63] == []
    frames = [f for f in told[61] if f["type"] == "candle.1m"]
    assert len(frames) > 3
    assert {f["candle_date_time_utc"] for f in frames} == {"2026-01-01T01:01:00"}
    last = frames[-1]
    figures = ("opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume")
    assert [last[name] for name in figures] == [500_500, 501_000, 499_000, 500_500, 2.0]
    moments = [f["timestamp"] for f in frames]
    assert moments == sorted(set(moments))
    assert all(moment % 1_000 == 0 for moment in moments)
    seconds = [f for f in told[64] if f["type"] == "candle.1s"]
    assert sum(f["candle_acc_trade_volume"] for f in seconds) == pytest.approx(2.0, abs=1e-12)
    assert (seconds[0]["opening_price"], seconds[-1]["trade_price"]) == (500_500, 500_500)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("not json", "WRONG_FORMAT"),
        ('{"ticket": "t"}', "WRONG_FORMAT"),
        ("[]", "WRONG_FORMAT"),
        ("[1, 2]", "WRONG_FORMAT"),
        ('[{"type": "trade", "codes": ["KRW-BTC"]}]', "NO_TICKET"),
        ('[{"ticket": "t"}]', "NO_TYPE"),
        ('[{"ticket": "t"}, {"codes": ["KRW-BTC"]}]', "NO_TYPE"),
        ('[{"ticket": "t"}, {"type": "trade"}]', "NO_CODES"),
        ('[{"ticket": "t"}, {"type": "trade", "codes": []}]', "NO_CODES"),
        ('[{"ticket": "t"}, {"type": "trade", "codes": "KRW-BTC"}]', "WRONG_FORMAT"),
        ('[{"ticket": "t"}, {"type": "trade", "codes": ["KRW-LUNA"]}]', "INVALID_PARAM"),
        ('[{"ticket": "t"}, {"type": "orderbook", "codes": ["KRW-BTC.7"]}]', "INVALID_PARAM"),
        ('[{"ticket": "t"}, {"type": "candle.7m", "codes": ["KRW-BTC"]}]', "INVALID_PARAM"),
        ('[{"ticket": "t"}, {"type": "trade", "codes": ["KRW-BTC"]}, {"format": "XML"}]', "INVALID_PARAM"),
        ('[{"ticket": "t"}, {"type": "myOrder"}]', "INVALID_AUTH"),
    ],
)
async def test_wrong_requests_by_name(stream, sent, name):
    await stream.socket.send_str(sent)
    assert (await stream.next())["error"]["name"] == name


async def test_ping_as_text_and_as_a_frame(stream):
    await stream.socket.send_str("PING")
    assert await stream.next() == {"status": "UP"}
    await stream.socket.ping(b"x")
    await stream.socket.send_str("PING")
    assert await stream.next() == {"status": "UP"}


async def test_a_connection_on_which_nothing_goes_is_cut_and_a_ping_keeps_it(http):
    server = await serve(make_exchange(), allowance=Allowance(idle_s=0.4))
    try:
        async with http.ws_connect(server.stream_url) as idle, http.ws_connect(server.stream_url) as held:
            for _ in range(4):
                await asyncio.sleep(0.2)
                await held.ping()
            assert await Listener(idle).closed() == 1000
            await Listener(held).ask(of("trade"))
            assert (await Listener(held).next())["type"] == "trade"
        async with http.ws_connect(server.stream_url) as told:
            await Listener(told).ask(of("trade"))
            for second in range(1, 5):  # what the server sends is life, too
                await asyncio.sleep(0.2)
                await advance(server, BEGIN + second * 15_000)
            assert len(await Listener(told).rest()) > 4
    finally:
        await server.close()


async def test_five_messages_a_second_and_a_hundred_a_minute(server, http):
    async with http.ws_connect(server.stream_url) as socket:
        for _ in range(9):
            await socket.send_str("PING")
        kinds = [(await socket.receive(timeout=5)).type for _ in range(6)]
    assert kinds == [aiohttp.WSMsgType.BINARY] * 5 + [aiohttp.WSMsgType.CLOSE]
    limited = await serve(make_exchange(), allowance=Allowance(messages_a_second=50, messages_a_minute=6))
    try:
        async with http.ws_connect(limited.stream_url) as socket:
            for _ in range(9):
                await socket.send_str("PING")
            kinds = [(await socket.receive(timeout=5)).type for _ in range(7)]
        assert kinds == [aiohttp.WSMsgType.BINARY] * 6 + [aiohttp.WSMsgType.CLOSE]
    finally:
        await limited.close()


async def test_connections_are_counted_and_an_origin_gets_one_in_ten_seconds(http):
    server = await serve(make_exchange(), allowance=Allowance(groups={"websocket-connect": (5, 600.0)}))
    try:
        for _ in range(5):
            async with http.ws_connect(server.stream_url):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(server.stream_url)
        assert refused.value.status == 429
        assert refused.value.headers["Remaining-Req"] == "group=websocket-connect; min=0; sec=0"
        async with http.ws_connect(server.stream_url, headers={"Origin": "https://example.com"}):
            pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(server.stream_url, headers={"Origin": "https://example.com"})
        assert refused.value.status == 429
    finally:
        await server.close()
