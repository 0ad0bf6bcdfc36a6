"""What the simulated Binance streams: trades, depth, bars; the account's events; sessions with Ed25519 keys."""

import asyncio
import base64
from itertools import pairwise

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.params import CostSettings
from core.units import MINUTE_MS
from exchanges.simulated.binance.budget import Allowance
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import BEGIN, KEY, SECRET, make_exchange
from tests.sim.test_server import ME, get, signed

WAIT_S = 10
PUBLIC, PRIVATE = "ed-key", Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_S)) as session:
        yield session


@pytest.fixture
async def keyed():
    """A server that knows an HMAC key and an Ed25519 one."""
    running = await serve_exchange(make_exchange(), credentials={KEY: SECRET, PUBLIC: PEM})
    yield running
    await running.close()


async def advance(server, to_ms):
    async with server.state.lock:
        await server.state.advance(to_ms)


async def frames_until(socket, last):
    """Frames of a socket until one for which ``last`` holds, that one included."""
    found = []
    async with asyncio.timeout(WAIT_S):
        while not found or not last(found[-1]):
            found.append(await socket.receive_json())
    return found


async def test_trades_are_streamed_as_they_are_asked_for_and_make_up_the_bars(server, http):
    streams = "btcusdt@trade/btcusdt@aggTrade/btcusdt@kline_1m"
    async with http.ws_connect(f"{server.stream_url}?streams={streams}") as socket:
        for step in range(1, 9):
            await advance(server, BEGIN + step * 15_000)
        # A trade at the very end of the second minute is the first of the third.
        found = await frames_until(socket, lambda f: f["data"].get("T") == BEGIN + 2 * MINUTE_MS)
        found.append(await socket.receive_json(timeout=WAIT_S))
    single = [f["data"] for f in found if f["stream"] == "btcusdt@trade"]
    grouped = [f["data"] for f in found if f["stream"] == "btcusdt@aggTrade"]
    bars = [f["data"]["k"] for f in found if f["stream"] == "btcusdt@kline_1m"]
    _, asked, _ = await get(http, f"{server.url}/api/v3/trades?symbol=BTCUSDT&limit=24")
    assert asked[-1]["time"] == BEGIN + 2 * MINUTE_MS
    assert [(t["t"], t["p"], t["q"], t["T"], t["m"]) for t in single] == [
        (t["id"], t["price"], t["qty"], t["time"], t["isBuyerMaker"]) for t in asked
    ]
    _, since, _ = await get(http, f"{server.url}/api/v3/aggTrades?symbol=BTCUSDT&startTime={BEGIN + 1}")
    _, numbered, _ = await get(http, f"{server.url}/api/v3/aggTrades?symbol=BTCUSDT&fromId={since[0]['a']}")
    assert [{k: f[k] for k in since[0]} for f in grouped] == since == numbered
    _, wrong, _ = await get(http, f"{server.url}/api/v3/aggTrades?symbol=BTCUSDT&fromId=1&startTime={BEGIN}")
    assert wrong == {"code": -1128, "msg": "Combination of optional parameters invalid."}
    _, whole, _ = await get(http, f"{server.url}/api/v3/aggTrades?symbol=BTCUSDT&startTime={BEGIN}")
    for bar in bars:
        prices = [float(t["p"]) for t in whole if bar["t"] <= t["T"] <= bar["T"]]
        assert (prices[0], max(prices), min(prices), prices[-1]) == tuple(float(bar[k]) for k in "ohlc")
    # A bar is told after the last of its trades, and final once.
    final = [n for n, f in enumerate(found) if f["stream"] == "btcusdt@kline_1m"]
    last_of_first = max(n for n, f in enumerate(found) if f["data"].get("T", BEGIN * 2) < BEGIN + MINUTE_MS)
    assert len(final) == 2
    assert last_of_first < final[0]


async def test_depth_once_a_second_and_ten_times_a_second_lead_to_the_same_book(server, http):
    async with http.ws_connect(f"{server.stream_url}?streams=btcusdt@depth/btcusdt@depth@100ms") as socket:
        await advance(server, BEGIN + 50)
        _, snapshot, _ = await get(http, f"{server.url}/api/v3/depth?symbol=BTCUSDT&limit=1000")
        for step in range(1, 60):
            await advance(server, BEGIN + 50 + step * 200)
        end = BEGIN + 60_000
        await advance(server, end)
        found = await frames_until(socket, lambda f: f["stream"] == "btcusdt@depth" and f["data"]["E"] == end)
    _, wanted, _ = await get(http, f"{server.url}/api/v3/depth?symbol=BTCUSDT&limit=1000")
    counts = {}
    for stream in ("btcusdt@depth", "btcusdt@depth@100ms"):
        diffs = [f["data"] for f in found if f["stream"] == stream and f["data"]["u"] > snapshot["lastUpdateId"]]
        counts[stream] = len(diffs)
        assert diffs[0]["U"] <= snapshot["lastUpdateId"] + 1 <= diffs[0]["u"]
        assert all(b["U"] == a["u"] + 1 for a, b in pairwise(diffs))
        for side, key in (("bids", "b"), ("asks", "a")):
            book = dict(snapshot[side])
            for diff in diffs:
                book |= dict(diff[key])
            assert {p: q for p, q in book.items() if float(q)} == dict(wanted[side])
    slow = [f["data"]["E"] // 1_000 for f in found if f["stream"] == "btcusdt@depth"]
    assert len(slow) == len(set(slow))
    assert counts["btcusdt@depth@100ms"] > 2 * counts["btcusdt@depth"] > 8


async def test_an_open_bar_is_shown_every_two_seconds_and_the_final_one_once(http):
    running = await serve_exchange(make_exchange(), mode="speed", speed=120.0)
    try:
        async with http.ws_connect(f"{running.url}/ws/btcusdt@kline_1m") as socket:
            found = await frames_until(socket, lambda f: f["k"]["x"] and f["k"]["t"] >= BEGIN + 2 * MINUTE_MS)
    finally:
        await running.close()
    final = [f["k"]["t"] for f in found if f["k"]["x"]]
    assert final == sorted(set(final))
    between = [b["E"] - a["E"] for a, b in pairwise(found)]
    assert min(between) >= 0
    assert len([f for f in found if not f["k"]["x"]]) > 2 * len(final)


async def test_whether_payloads_are_wrapped_can_be_asked_and_changed(server, http):
    async with http.ws_connect(f"{server.url}/ws/btcusdt@bookTicker") as socket:

        async def ask(method, params):
            await socket.send_json({"method": method, "params": params, "id": 7})
            return await socket.receive_json(timeout=WAIT_S)

        assert await ask("GET_PROPERTY", ["combined"]) == {"result": False, "id": 7}
        assert await ask("SET_PROPERTY", ["combined", True]) == {"result": None, "id": 7}
        assert "error" in await ask("SET_PROPERTY", ["combined", "yes"])
        await advance(server, BEGIN + 1_000)
        assert (await socket.receive_json(timeout=WAIT_S))["stream"] == "btcusdt@bookTicker"


def ed25519(params: dict) -> dict:
    payload = "&".join(f"{k}={params[k]}" for k in sorted(params))
    return params | {"signature": base64.b64encode(PRIVATE.sign(payload.encode())).decode()}


async def test_a_session_is_opened_by_an_ed25519_key_and_carries_the_accounts_events(keyed, http):
    async with http.ws_connect(keyed.ws_api_url) as socket:

        async def ask(method, params=None):
            await socket.send_json({"id": method, "method": method, "params": params or {}})
            found = await frames_until(socket, lambda f: f.get("id") == method)
            return found[-1], found[:-1]

        early, _ = await ask("userDataStream.subscribe")
        assert (early["status"], early["error"]["code"]) == (401, -2015)
        logged, _ = await ask("session.logon", ed25519({"apiKey": PUBLIC, "timestamp": BEGIN}))
        assert (logged["status"], logged["result"]["apiKey"], logged["result"]["userDataStream"]) == (
            200,
            PUBLIC,
            False,
        )
        assert logged["rateLimits"][0]["count"] == 4
        assert (await ask("userDataStream.subscribe"))[0]["result"] == {"subscriptionId": 0}
        assert (await ask("userDataStream.subscribe"))[0]["error"]["code"] == -2035
        for amount in ("-250.5", "1e9", "x", "-1e12"):
            async with http.post(f"{keyed.url}/sim/transfer", json={"asset": "usdt", "amount": amount}) as answer:
                assert answer.status == {"-250.5": 200, "1e9": 200, "x": 400, "-1e12": 409}[amount]
        status, events = await ask("session.status")
        assert status["result"]["userDataStream"] is True
        assert [e["event"]["e"] for e in events] == ["balanceUpdate", "outboundAccountPosition"] * 2
        assert events[0] == {
            "subscriptionId": 0,
            "event": {"e": "balanceUpdate", "E": BEGIN, "a": "USDT", "d": "-250.50000000", "T": BEGIN},
        }
        assert events[1]["event"]["B"] == [{"a": "USDT", "f": "99749.50000000", "l": "0.00000000"}]
        _, ended = await ask("session.logout")
        assert ended == [{"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": BEGIN}}]
        assert (await ask("session.subscriptions", {"returnRateLimits": False}))[0] == {
            "id": "session.subscriptions",
            "status": 200,
            "result": [],
        }


async def test_a_shared_secret_opens_no_session_and_a_wrong_signature_nothing(keyed, http):
    async with http.ws_connect(keyed.ws_api_url) as socket:

        async def ask(method, params):
            await socket.send_json({"id": 1, "method": method, "params": params})
            return (await socket.receive_json(timeout=WAIT_S))["error"]

        text = f"apiKey={KEY}&timestamp={BEGIN}"
        hmac = {"apiKey": KEY, "timestamp": BEGIN, "signature": signed(text).rpartition("=")[2]}
        refused = await ask("session.logon", hmac)
        assert refused == {"code": -4056, "msg": "HMAC_SHA256 API key is not supported."}
        good = ed25519({"apiKey": PUBLIC, "timestamp": BEGIN})
        for wrong in (
            good | {"timestamp": BEGIN + 1},
            good | {"signature": "AAAA"},
            good | {"signature": "no base64!"},
        ):
            assert (await ask("session.logon", wrong))["code"] == -1022


async def test_rest_takes_ed25519_signatures(keyed, http):
    params = ed25519({"timestamp": BEGIN})
    async with http.get(f"{keyed.url}/api/v3/account", params=params, headers={"X-MBX-APIKEY": PUBLIC}) as answer:
        assert answer.status == 200
    wrong = params | {"signature": base64.b64encode(b"x" * 64).decode()}
    async with http.get(f"{keyed.url}/api/v3/account", params=wrong, headers={"X-MBX-APIKEY": PUBLIC}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, -1022)
    assert PEM not in repr(keyed.state.keyring)


async def test_a_ban_is_told_over_the_websocket_api_with_its_end(http):
    running = await serve_exchange(
        make_exchange(), credentials={KEY: SECRET}, allowance=Allowance(weight=3, patience=0)
    )
    try:
        async with http.ws_connect(running.ws_api_url) as socket:
            errors = []
            for number in range(3):
                await socket.send_json({"id": number, "method": "time"})
                errors.append(await socket.receive_json(timeout=WAIT_S))
        assert [e["status"] for e in errors] == [200, 429, 418]
        end = BEGIN + 2 * MINUTE_MS
        assert errors[2]["error"] == {
            "code": -1003,
            "msg": f"Way too much request weight used; IP banned until {end}. "
            "Please use WebSocket Streams for live updates to avoid bans.",
            "data": {"serverTime": BEGIN, "retryAfter": end},
        }
        status, body, headers = await get(http, f"{running.url}/api/v3/ping")
        assert (status, body["code"], headers["Retry-After"]) == (418, -1003, "120")
        await advance(running, end)
        assert (await get(http, f"{running.url}/api/v3/ping"))[0] == 200
    finally:
        await running.close()


async def test_more_than_so_many_connects_in_five_minutes_are_turned_away(http):
    running = await serve_exchange(make_exchange(), credentials={KEY: SECRET}, allowance=Allowance(connects=2))
    try:
        async with http.ws_connect(f"{running.stream_url}/ws"), http.ws_connect(running.ws_api_url):
            for url in (f"{running.stream_url}/ws", running.ws_api_url):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await http.ws_connect(url)
                assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "300")
        await advance(running, BEGIN + 5 * MINUTE_MS)
        async with http.ws_connect(f"{running.stream_url}/ws"):
            pass
    finally:
        await running.close()


async def test_bnb_fees_are_switched_and_told(server, http):
    async def ask(method, path, text=""):
        query = signed(f"{text}timestamp={BEGIN}")
        return (await get(http, f"{server.url}{path}?{query}", ME, method))[1]

    assert await ask("GET", "/sapi/v1/bnbBurn") == {"spotBNBBurn": False, "interestBNBBurn": False}
    before = await ask("GET", "/api/v3/account/commission", "symbol=BTCUSDT&")
    assert (before["discount"]["enabledForAccount"], before["discount"]["enabledForSymbol"]) == (False, True)
    assert (await ask("POST", "/sapi/v1/bnbBurn", "spotBNBBurn=true&"))["spotBNBBurn"] is True
    after = await ask("GET", "/api/v3/account/commission", "symbol=BTCUSDT&")
    assert after["discount"] == {
        "enabledForAccount": True,
        "enabledForSymbol": True,
        "discountAsset": "BNB",
        "discount": "0.75000000",
    }
    rates = await ask(
        "POST", "/api/v3/order/test", "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&computeCommissionRates=true&"
    )
    assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}


async def test_what_cannot_be_asked_is_refused_in_binances_words(http):
    costs = CostSettings(fee_paid_in="bnb")
    running = await serve_exchange(make_exchange(costs=costs), credentials={KEY: SECRET})

    async def ask(method, path, text=""):
        public = path.endswith(("referencePrice", "executionRules"))
        query = text.rstrip("&") if public else signed(f"{text}timestamp={BEGIN}")
        return (await get(http, f"{running.url}{path}?{query}", ME, method))[:2]

    try:
        burn = await ask("POST", "/sapi/v1/bnbBurn", "spotBNBBurn=true&")
        assert burn == (400, {"code": -1020, "msg": "This operation is not supported."})
        assert (await ask("POST", "/sapi/v1/bnbBurn", "spotBNBBurn=perhaps&"))[1]["code"] == -1102
        matches = await ask("GET", "/api/v3/myPreventedMatches", "symbol=BTCUSDT&")
        assert matches == (400, {"code": -1128, "msg": "Combination of optional parameters invalid."})
        price = await ask("GET", "/api/v3/referencePrice", "symbol=BTCUSDT&")
        assert price == (400, {"code": -2043, "msg": "This symbol doesn't have a reference price."})
        rules = await ask("GET", "/api/v3/executionRules", "symbol=BTCUSDT&")
        assert rules == (200, {"symbolRules": [{"symbol": "BTCUSDT", "rules": []}]})
        lists = await ask("GET", "/api/v3/orderList")
        assert (lists[1]["code"], "orderListId" in lists[1]["msg"]) == (-1102, True)
    finally:
        await running.close()
