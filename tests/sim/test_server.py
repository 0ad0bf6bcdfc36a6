"""The simulator's manners: its clock, its limits, its refusals, its ports."""

import asyncio
import hashlib
import hmac

import aiohttp
import pytest

from core.errors import BotError, ConfigError
from core.units import MINUTE_MS
from exchanges.simulated.binance.budget import Allowance
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import BEGIN, KEY, MONEY, SECRET, START, make_exchange


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


def signed(params: str, secret: str = SECRET) -> str:
    return f"{params}&signature={hmac.new(secret.encode(), params.encode(), hashlib.sha256).hexdigest()}"


async def get(http, url, headers=None, method="GET"):
    async with http.request(method, url, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


ME = {"X-MBX-APIKEY": KEY}


async def test_lockstep_answers_when_all_frames_were_written(server, http):
    async with http.ws_connect(f"{server.stream_url}?streams=btcusdt@kline_1m/btcusdt@bookTicker") as socket:
        async with http.post(f"{server.url}/sim/advance", json={"to_ms": BEGIN + MINUTE_MS}) as answer:
            assert await answer.json() == {"now_ms": BEGIN + MINUTE_MS, "ended": False}
        kline, ticker = [await socket.receive_json(timeout=5) for _ in range(2)]
    assert kline["stream"] == "btcusdt@kline_1m"
    assert (kline["data"]["k"]["t"], kline["data"]["k"]["x"], kline["data"]["E"]) == (BEGIN, True, BEGIN + MINUTE_MS)
    assert (ticker["stream"], ticker["data"]["s"]) == ("btcusdt@bookTicker", "BTCUSDT")
    status, state, _ = await get(http, f"{server.url}/sim/state")
    assert status == 200
    assert (state["now_ms"], state["start_ms"], state["mode"]) == (BEGIN + MINUTE_MS, BEGIN, "lockstep")
    assert state["end_ms"] == START + 180 * MINUTE_MS


async def test_advance_refuses_nonsense(server, http):
    for body, status in (({"to_ms": BEGIN - 1}, 400), ({"to": 5}, 400), ({"to_ms": "x"}, 400), ([], 400)):
        async with http.post(f"{server.url}/sim/advance", json=body) as answer:
            assert answer.status == status
    async with http.post(f"{server.url}/sim/advance", json={"to_ms": BEGIN + 10**10}) as answer:
        assert await answer.json() == {"now_ms": START + 180 * MINUTE_MS, "ended": True}


async def test_subscriptions_by_message(server, http):
    async with http.ws_connect(f"{server.url}/ws") as socket:

        async def ask(text):
            await socket.send_json(text)
            return await socket.receive_json(timeout=5)

        assert await ask({"method": "SUBSCRIBE", "params": ["ethusdt@bookTicker"], "id": 1}) == {
            "result": None,
            "id": 1,
        }
        listed = await ask({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert listed == {"result": ["ethusdt@bookTicker"], "id": 2}
        async with server.state.lock:
            await server.state.advance(BEGIN + 1_000)
        assert (await socket.receive_json(timeout=5))["s"] == "ETHUSDT"
        assert (await ask({"method": "UNSUBSCRIBE", "params": ["ethusdt@bookTicker"], "id": 3}))["id"] == 3
        assert not server.state.hub.wanted("ethusdt@bookTicker")
        assert "error" in await ask({"nonsense": 1})


async def test_more_than_five_messages_a_second_cut_the_connection(server, http):
    async with http.ws_connect(f"{server.url}/ws") as socket:
        for number in range(9):
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        kinds = [(await socket.receive(timeout=5)).type for _ in range(6)]
    assert kinds == [aiohttp.WSMsgType.TEXT] * 5 + [aiohttp.WSMsgType.CLOSE]
    async with asyncio.timeout(5):
        while server.state.hub.connections:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("params", "headers", "status", "code"),
    [
        (signed(f"timestamp={BEGIN}"), ME, 200, None),
        (signed(f"timestamp={BEGIN}"), {}, 401, -2014),
        (signed(f"timestamp={BEGIN}"), {"X-MBX-APIKEY": "s" * 64}, 401, -2015),
        (signed(f"timestamp={BEGIN}"), {"X-MBX-APIKEY": "bad"}, 401, -2014),
        (signed(f"timestamp={BEGIN}", "wrong"), ME, 400, -1022),
        (f"timestamp={BEGIN}", ME, 400, -1102),
        (signed("recvWindow=5000"), ME, 400, -1102),
        (signed(f"timestamp={BEGIN - 6_000}"), ME, 400, -1021),
        (signed(f"timestamp={BEGIN - 6_000}&recvWindow=10000"), ME, 200, None),
        (signed(f"timestamp={BEGIN - 6_000}&recvWindow=70000"), ME, 400, -1131),
        (signed(f"timestamp={BEGIN + 60_000}"), ME, 400, -1021),
    ],
)
async def test_signatures_and_time_stamps(server, http, params, headers, status, code):
    got, body, _ = await get(http, f"{server.url}/api/v3/account?{params}", headers)
    assert (got, body.get("code")) == (status, code)


async def test_at_real_speed_only_the_venues_own_time_counts(http):
    running = await serve_exchange(make_exchange(), mode="speed", speed=1.0, credentials={KEY: SECRET})
    try:
        await asyncio.sleep(0.25)
        now = running.state.exchange.now_ms
        assert BEGIN < now < BEGIN + 5_000
        for stamp, code in ((now, None), (now + 2_500, -1021), (now - 6_000, -1021)):
            _, body, _ = await get(http, f"{running.url}/api/v3/account?{signed(f'timestamp={stamp}')}", ME)
            assert body.get("code") == code
    finally:
        await running.close()


async def test_used_weight_is_told_and_too_much_is_refused(http):
    running = await serve_exchange(make_exchange(), credentials={KEY: SECRET}, allowance=Allowance(weight=30))
    try:
        _, _, headers = await get(http, f"{running.url}/api/v3/exchangeInfo")
        assert headers["X-MBX-USED-WEIGHT-1M"] == "20"
        status, body, headers = await get(http, f"{running.url}/api/v3/exchangeInfo")
        assert (status, body["code"], headers["Retry-After"]) == (429, -1003, "60")
        async with running.state.lock:
            await running.state.advance(BEGIN + MINUTE_MS)
        assert (await get(http, f"{running.url}/api/v3/ping"))[0] == 200
    finally:
        await running.close()


async def test_too_many_orders_are_refused_and_fills_give_their_count_back(http):
    running = await serve_exchange(make_exchange(), credentials={KEY: SECRET}, allowance=Allowance(orders_10s=2))

    async def order(text):
        query = signed(f"symbol=BTCUSDT&side=BUY&{text}&timestamp={BEGIN}")
        return await get(http, f"{running.url}/api/v3/order?{query}", ME, "POST")

    try:
        for _ in range(3):
            status, body, headers = await order("type=MARKET&quantity=0.001")
            assert (status, body["status"], headers["X-MBX-ORDER-COUNT-10S"]) == (200, "FILLED", "0")
        rests = "type=LIMIT&timeInForce=GTC&quantity=0.001&price=50000"
        assert [(await order(rests))[0] for _ in range(3)] == [200, 200, 429]
        _, counts, _ = await get(http, f"{running.url}/api/v3/rateLimit/order?{signed(f'timestamp={BEGIN}')}", ME)
        assert [c["count"] for c in counts] == [2, 2]
    finally:
        await running.close()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("klines?interval=1m", -1102),
        ("klines?symbol=NOPE&interval=1m", -1121),
        ("klines?symbol=BTCUSDT&interval=7m", -1120),
        ("klines?symbol=BTCUSDT&interval=1m&limit=x", -1100),
        ("exchangeInfo?symbols=nonsense", -1100),
    ],
)
async def test_wrong_parameters_have_their_codes(server, http, query, code):
    status, body, _ = await get(http, f"{server.url}/api/v3/{query}")
    assert (status, body["code"]) == (400, code)


async def test_the_test_order_checks_and_does_nothing(server, http):
    good = signed(f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01&timestamp={BEGIN}")
    bad = signed(f"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=1.001&timestamp={BEGIN}")
    assert (await get(http, f"{server.url}/api/v3/order/test?{good}", ME, "POST"))[:2] == (200, {})
    assert (await get(http, f"{server.url}/api/v3/order/test?{bad}", ME, "POST"))[1]["code"] == -1013
    assert server.state.exchange.orders == {}


async def test_the_mood_is_served_as_of_now(server, http):
    _, body, _ = await get(http, f"{server.url}/fng/?limit=1")
    day = START - START % 86_400_000
    assert body["data"] == [{"value": "50", "value_classification": "Neutral", "timestamp": str(day // 1000)}]


async def test_speed_mode_moves_by_itself_and_shows_open_bars(http):
    running = await serve_exchange(make_exchange(), mode="speed", speed=600.0)
    try:
        async with http.ws_connect(f"{running.url}/ws/btcusdt@kline_1m") as socket:
            frames = []
            async with asyncio.timeout(5):
                while sum(f["k"]["x"] for f in frames) < 3 or all(f["k"]["x"] for f in frames):
                    frames.append(await socket.receive_json())
        final = [f["k"]["t"] for f in frames if f["k"]["x"]]
        assert final == list(range(final[0], final[0] + len(final) * MINUTE_MS, MINUTE_MS))
        async with http.post(f"{running.url}/sim/advance", json={"to_ms": BEGIN}) as answer:
            assert answer.status == 409
    finally:
        await running.close()


async def test_a_port_in_use_and_a_foreign_host_get_one_clear_line(server):
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(BotError, match=f"port {port} on 127.0.0.1 is in use"):
        await serve_exchange(make_exchange(), port=port)
    with pytest.raises(ConfigError, match="not loopback"):
        await serve_exchange(make_exchange(), host="0.0.0.0")


async def test_secrets_do_not_show(server):
    assert SECRET not in repr(server) + repr(server.state.keyring)


async def test_a_paused_clock_stands_until_told_to_run():
    running = await serve_exchange(make_exchange(), mode="speed", speed=600.0, paused=True)
    try:
        async with aiohttp.ClientSession(running.url) as http:
            await asyncio.sleep(0.3)
            async with http.get("/sim/state") as answer:
                state = await answer.json()
            assert (state["paused"], state["now_ms"]) == (True, BEGIN)
            for _ in range(2):
                async with http.post("/sim/run") as answer:
                    assert (await answer.json())["paused"] is False
            async with asyncio.timeout(5):
                while running.state.exchange.now_ms < BEGIN + MINUTE_MS:
                    await asyncio.sleep(0.02)
    finally:
        await running.close()


async def test_lockstep_is_not_run_but_advanced(server):
    async with aiohttp.ClientSession(server.url) as http, http.post("/sim/run") as answer:
        assert answer.status == 409
        assert "/sim/advance" in (await answer.json())["error"]


async def test_the_account_is_kept_before_a_change_is_told():
    kept = []
    exchange = make_exchange()
    running = await serve_exchange(
        exchange, credentials={KEY: SECRET}, on_account=lambda: kept.append(exchange.account.free("USDT"))
    )
    order = signed(f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01&timestamp={BEGIN}")
    try:
        async with aiohttp.ClientSession() as http:
            status, answer, _ = await get(http, f"{running.url}/api/v3/order?{order}", ME, "POST")
        assert (status, answer["status"]) == (200, "FILLED")
        assert kept == [exchange.account.free("USDT")]
        assert kept[0] < MONEY["USDT"]
    finally:
        await running.close()


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"side": "buy"}, -1117, "Invalid side."),
        ({"type": "limit"}, -1116, "Invalid orderType."),
        ({"timeInForce": "gtc"}, -1115, "Invalid timeInForce."),
        ({"newOrderRespType": "full"}, -1122, "Invalid newOrderRespType."),
    ],
)
async def test_words_of_an_order_are_taken_in_capitals_only(server, http, change, code, text):
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1", "price": "9"}
    sent = signed("&".join(f"{k}={v}" for k, v in (order | change | {"timestamp": BEGIN}).items()))
    async with http.post(f"{server.url}/api/v3/order?{sent}", headers=ME) as answer:
        assert await answer.json() == {"code": code, "msg": text}


async def test_the_websocket_api_says_what_it_does_not_serve(server, http):
    async with http.ws_connect(server.ws_api_url) as socket:
        await socket.send_json({"id": 1, "method": "order.place", "params": {}})
        said = (await socket.receive_json(timeout=5))["error"]["msg"]
    assert "'order.place'" in said and "by REST" in said
