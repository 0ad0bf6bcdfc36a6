"""The account's own stream at the simulated Upbit: myOrder and myAsset, and who may listen."""

import aiohttp
import pytest

from core.units import MINUTE_MS
from exchanges.simulated.upbit.budget import Allowance
from tests.sim.upbit.conftest import BEGIN, Caller, advance, make_exchange, serve, token
from tests.sim.upbit.test_streams import Listener

LIMIT = {"side": "bid", "ord_type": "limit", "price": "140000000", "volume": "0.01"}


def mine(server, http, **claims):
    return http.ws_connect(f"{server.stream_url}/private", headers={"Authorization": f"Bearer {token(**claims)}"})


@pytest.fixture
async def own(server, http):
    async with mine(server, http) as socket:
        yield Listener(socket)


async def test_an_orders_life_row_by_row(server, own, api):
    await own.ask({"type": "myOrder"})
    assert await own.rest() == []  # nothing until something happens
    order = await api.order(**LIMIT, identifier="row")
    (row,) = await own.rest()
    assert row == {
        "type": "myOrder",
        "code": "KRW-BTC",
        "uuid": order["uuid"],
        "ask_bid": "BID",
        "order_type": "limit",
        "state": "wait",
        "trade_uuid": None,
        "price": 140_000_000.0,
        "avg_price": 0.0,
        "volume": 0.01,
        "remaining_volume": 0.01,
        "executed_volume": 0.0,
        "trades_count": 0,
        "reserved_fee": 700.0,
        "remaining_fee": 700.0,
        "paid_fee": 0.0,
        "locked": 1_400_700.0,
        "executed_funds": 0.0,
        "time_in_force": None,
        "trade_fee": None,
        "is_maker": None,
        "identifier": "row",
        "smp_type": "cancel_maker",
        "prevented_volume": 0.0,
        "prevented_locked": 0.0,
        "trade_timestamp": None,
        "order_timestamp": BEGIN,
        "timestamp": BEGIN,
        "stream_type": "REALTIME",
    }
    await api.delete("order", identifier="row")
    (row,) = await own.rest()
    assert (row["state"], row["remaining_volume"], row["locked"]) == ("cancel", 0.01, 0.0)


async def test_one_row_a_trade_then_the_end(server, own, api):
    await own.ask({"type": "myOrder", "codes": ["KRW-BTC"]})
    order = await api.order(side="ask", ord_type="market", volume="0.2")
    rows = await own.rest()
    assert [r["state"] for r in rows] == ["wait", *["trade"] * len(order["trades"]), "done"]
    trades = rows[1:-1]
    assert len(trades) > 1
    assert [r["trade_uuid"] for r in trades] == [t["uuid"] for t in order["trades"]]
    assert len({r["trade_uuid"] for r in trades}) == len(trades)
    assert [r["trades_count"] for r in trades] == list(range(1, len(trades) + 1))
    assert sum(r["volume"] for r in trades) == pytest.approx(0.2)
    assert trades[-1]["paid_fee"] == pytest.approx(sum(r["trade_fee"] for r in trades)) == float(order["paid_fee"])
    assert {r["is_maker"] for r in trades} == {False}
    assert (rows[-1]["executed_volume"], rows[-1]["trade_uuid"]) == (0.2, None)


async def test_a_resting_order_is_the_maker(server, own, api):
    await own.ask({"type": "myOrder"})
    bid = server.state.exchange.top(0).bid
    await api.order(side="bid", ord_type="limit", price=str(bid), volume="0.01")
    for minute in range(1, 60):
        await advance(server, BEGIN + minute * MINUTE_MS)
        if not server.state.exchange.open_orders():
            break
    rows = await own.rest()
    assert [r["state"] for r in rows][-2:] == ["trade", "done"]
    assert {(r["is_maker"], r["price"]) for r in rows if r["state"] == "trade"} == {(True, float(bid))}


async def test_a_buy_for_money_ends_cancelled_with_the_rest(own, api):
    await own.ask({"type": "myOrder"})
    await api.order(side="bid", ord_type="price", price="50000")
    rows = await own.rest()
    assert [r["state"] for r in rows] == ["wait", "trade", "cancel"]
    assert rows[0]["volume"] is None
    assert (rows[0]["price"], rows[0]["remaining_volume"]) == (50_000.0, None)
    assert 49_000 < rows[-1]["executed_funds"] < 50_000


async def test_a_post_only_order_that_would_trade_is_taken_and_cancelled(server, own, api):
    await own.ask({"type": "myOrder"})
    ask = server.state.exchange.top(0).ask
    body = {"side": "bid", "ord_type": "limit", "price": str(ask), "volume": "0.01"}
    order = await api.order(**body, time_in_force="post_only")
    assert (order["state"], order["smp_type"], order["executed_volume"]) == ("cancel", "none", "0")
    assert [r["state"] for r in await own.rest()] == ["wait", "cancel"]


async def test_a_prevented_self_match_is_told(server, own, api):
    await own.ask({"type": "myOrder"})
    price = str(server.state.exchange.top(0).ask + 1_000)
    rest = await api.order(side="ask", ord_type="limit", price=price, volume="0.5")
    take = {"side": "bid", "ord_type": "limit", "price": price, "volume": "0.1", "smp_type": "reduce"}
    await own.rest()
    take = await api.order(**take)
    rows = [(r["uuid"], r["state"], r["prevented_volume"]) for r in await own.rest()]
    left = 0.1 - float(take["executed_volume"])
    assert (rest["uuid"], "prevented", pytest.approx(left)) in rows
    assert [(uuid, state) for uuid, state, _ in rows][-2:] == [(take["uuid"], "prevented"), (take["uuid"], "cancel")]
    assert (await api.get("order", uuid=rest["uuid"]))[1]["state"] == "wait"


async def test_assets_move_with_orders_and_take_no_codes(own, api):
    await own.ask({"type": "myAsset", "codes": ["KRW-BTC"]})
    assert (await own.next())["error"]["name"] == "WRONG_FORMAT"
    await own.ask({"type": "myAsset"}, form="SIMPLE_LIST")
    await api.order(**LIMIT)
    ((frame,),) = await own.rest()
    assert (frame["ty"], frame["st"]) == ("myAsset", "REALTIME")
    assert {a["cu"]: (a["b"], a["l"]) for a in frame["ast"]} == {"BTC": (2.0, 0.0), "KRW": (98_599_300.0, 1_400_700.0)}


async def test_orders_of_other_markets_are_left_out_where_codes_are_named(own, api):
    await own.ask({"type": "myOrder", "codes": ["KRW-USDT"]})
    await api.order(**LIMIT)
    assert await own.rest() == []
    await own.ask({"type": "trade", "codes": ["KRW-BTC"]})
    assert (await own.next())["error"]["name"] == "INVALID_PARAM"


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Bearer {token(secret='x')}"}]
)
async def test_the_handshake_needs_a_good_token(server, http, headers):
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"{server.stream_url}/private", headers=headers)
    assert refused.value.status == 401
    assert not server.state.users.connections


async def test_a_token_opens_one_connection_and_very_many_are_refused(http):
    server = await serve(make_exchange(), allowance=Allowance(private_connections=2))
    try:
        used = {"Authorization": f"Bearer {token()}"}
        async with http.ws_connect(f"{server.stream_url}/private", headers=used):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"{server.stream_url}/private", headers=used)
            assert refused.value.status == 401  # nonce_used
            async with mine(server, http):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await mine(server, http)
                assert refused.value.status == 429
    finally:
        await server.close()


async def test_who_asks_the_account_and_who_hears_of_it_agree(server, own, http):
    """Balances by myAsset after a busy minute are those of GET /v1/accounts."""
    api = Caller(http, server.url)
    await own.ask({"type": "myAsset"})
    for k in range(6):
        await api.order(side="bid", ord_type="price", price=str(100_000 + k))
        await api.order(side="ask", ord_type="market", volume="0.001")
    frames = await own.rest()
    told = {a["currency"]: a["balance"] for frame in frames for a in frame["assets"]}
    _, accounts = await api.get("accounts")
    assert told == {row["currency"]: float(row["balance"]) for row in accounts}
