"""Nonsense of every kind is refused by name: the simulated Upbit never fails on what a client sends."""

import json
import random
from urllib.parse import unquote, urlencode

import pytest

from exchanges.simulated.upbit.auth import body_parameters
from exchanges.simulated.upbit.budget import GROUPS, Allowance
from tests.sim.upbit.conftest import make_exchange, serve, token

VALUES = [
    *(None, "", 0, -1, 1e300, "NaN", "Infinity", "x" * 300, True, [], {}, ["a"], {"a": 1}, "1e-9", "-0", "0x10", "٣"),
    *("140000000", "0.01", "bid", "ask", "limit", "price", "market", "best", "ioc", "post_only", "KRW-BTC", "reduce"),
    *("wait", "9" * 30, "2026-99-99", "2026-01-01T00:00:00Z", "0001-01-01", "9999-12-31T23:59:59+14:00"),
]
NAMES = [
    *("market", "side", "ord_type", "price", "volume", "time_in_force", "smp_type", "identifier", "prev_order_uuid"),
    *("new_ord_type", "new_price", "new_volume", "uuid", "states[]", "state", "limit", "page", "to", "count", "cursor"),
    *("days_ago", "start_time", "end_time", "markets", "cancel_side", "pairs", "uuids[]"),
]
CALLS = [
    *(("POST", path) for path in ("orders", "orders/test", "orders/cancel_and_new")),
    *(("DELETE", path) for path in ("order", "orders/open", "orders/uuids")),
    *(("GET", path) for path in ("order", "orders/open", "orders/closed", "orders/uuids", "orders/chance", "accounts")),
    *(("GET", f"candles/{path}") for path in ("minutes/1", "minutes/240", "seconds")),
    *(("GET", path) for path in ("trades/ticks", "ticker", "orderbook", "orderbook/instruments", "market/all")),
]
UNLIMITED = Allowance(
    groups=dict.fromkeys(GROUPS, (10**6, 1.0)), messages_a_second=10**6, messages_a_minute=10**6, patience=10**6
)


@pytest.fixture
async def open_server():
    running = await serve(make_exchange(minutes=90), allowance=UNLIMITED)
    yield running
    await running.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_rest(open_server, http, seed):
    rng = random.Random(seed)
    seen = set()
    for _ in range(400):
        method, path = rng.choice(CALLS)
        params = {name: rng.choice(VALUES) for name in rng.sample(NAMES, rng.randint(0, 8))}
        if rng.random() < 0.6:
            params |= {
                "market": "KRW-BTC",
                "markets": "KRW-BTC",
                "side": "bid",
                "ord_type": rng.choice(["limit", "best"]),
            }
        if method == "POST":
            signed, query, body = body_parameters(params), "", params
        else:
            query = urlencode({name: str(value) for name, value in params.items()})
            signed, body = unquote(query), None
        headers = {"Authorization": f"Bearer {token(signed)}"}
        async with http.request(method, f"{open_server.url}/v1/{path}?{query}", json=body, headers=headers) as answer:
            assert answer.status < 500, (method, path, params)
            found = await answer.json()
            assert answer.status in (200, 201) or found["error"]["name"]
            seen.add(answer.status)
    assert {200, 400, 404} <= seen


@pytest.mark.parametrize("seed", [1, 2])
async def test_stream_requests(open_server, http, seed):
    rng = random.Random(seed)
    kinds = ["trade", "ticker", "orderbook", "candle.1m", "candle.1s", "myOrder", None, 5, ["x"], {}]
    codes = [["KRW-BTC"], ["KRW-BTC.5"], [1], None, "x", [], ["KRW-BTC.x"], [["a"]]]
    async with http.ws_connect(open_server.stream_url) as socket:
        for _ in range(300):
            parts = [
                {"ticket": rng.choice(VALUES)},
                {"type": rng.choice(kinds), "codes": rng.choice(codes), "is_only_snapshot": rng.choice(VALUES)},
                {"format": rng.choice(["DEFAULT", "SIMPLE_LIST", None, [], {}])},
                {"method": rng.choice(["LIST_SUBSCRIPTIONS", 3])},
                rng.choice(VALUES),
            ]
            asked = json.dumps(rng.sample(parts, rng.randint(0, 5)))
            await socket.send_str(rng.choice([asked, asked, asked, asked[: len(asked) // 2], "[" * 300]))
        await socket.send_str("PING")
        while json.loads((await socket.receive(timeout=5)).data) != {"status": "UP"}:
            pass
