"""Orders over the simulated Upbit's REST: what is refused by which name, ticks, identifiers, minima, self-matches."""

from decimal import Decimal as D

import aiohttp
import pytest

from exchanges.simulated.server import serve_exchange
from tests.sim.upbit.conftest import KEY, SECRET, Caller, flat_exchange, make_exchange, serve, token

LIMIT = {"side": "bid", "ord_type": "limit", "price": "140000000", "volume": "0.01"}


async def test_a_new_order_is_answered_as_taken_with_what_it_locks(api):
    status, answer = await api.post("orders", market="KRW-BTC", **LIMIT, identifier="a-1")
    uuid = answer.pop("uuid")
    assert status == 201
    assert answer == {
        "market": "KRW-BTC",
        "side": "bid",
        "ord_type": "limit",
        "price": "140000000",
        "state": "wait",
        "created_at": "2026-01-01T10:00:00+09:00",
        "volume": "0.01",
        "remaining_volume": "0.01",
        "executed_volume": "0",
        "reserved_fee": "700",
        "remaining_fee": "700",
        "paid_fee": "0",
        "locked": "1400700",
        "prevented_volume": "0",
        "prevented_locked": "0",
        "trades_count": 0,
        "identifier": "a-1",
        "smp_type": "cancel_maker",
    }
    _, accounts = await api.get("accounts")
    assert accounts[0] == {
        "currency": "KRW",
        "balance": "98599300",
        "locked": "1400700",
        "avg_buy_price": "0",
        "avg_buy_price_modified": False,
        "unit_currency": "KRW",
    }
    for named in ({"uuid": uuid}, {"identifier": "a-1"}, {"uuid": uuid, "identifier": "another"}):
        status, found = await api.get("order", **named)
        assert (status, found["uuid"], found["trades"]) == (200, uuid, [])


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (LIMIT | {"price": "140000500"}, 400, "invalid_price_bid"),
        (LIMIT | {"side": "ask", "price": "160000100"}, 400, "invalid_price_ask"),
        (LIMIT | {"price": "-5"}, 400, "invalid_price_bid"),
        (LIMIT | {"price": "20000000"}, 400, "invalid_price_bid"),  # a fifth of the market: the engine's own bound
        (LIMIT | {"volume": "0.00001"}, 400, "under_min_total_bid"),
        (LIMIT | {"side": "ask", "volume": "0.00001"}, 400, "under_min_total_ask"),
        ({"side": "bid", "ord_type": "price", "price": "4999"}, 400, "under_min_total_bid"),
        ({"side": "ask", "ord_type": "market", "volume": "0.00003"}, 400, "under_min_total_ask"),
        (LIMIT | {"volume": "0.72"}, 400, "insufficient_funds_bid"),
        ({"side": "bid", "ord_type": "price", "price": "100000000"}, 400, "insufficient_funds_bid"),
        (LIMIT | {"side": "ask", "volume": "2.00000001"}, 400, "insufficient_funds_ask"),
        (LIMIT | {"volume": "9"}, 400, "over_krw_funds_bid"),
        (LIMIT | {"volume": "0.010000001"}, 400, "invalid_volume_bid"),
        (LIMIT | {"volume": "0"}, 400, "invalid_volume_bid"),
        (LIMIT | {"volume": "much"}, 400, "validation_error"),
        (LIMIT | {"market": "KRW-LUNA"}, 404, "notfoundmarket"),
        (LIMIT | {"market": ""}, 400, "validation_error"),
        (LIMIT | {"side": "buy"}, 400, "validation_error"),
        (LIMIT | {"ord_type": "stop"}, 400, "validation_error"),
        ({"side": "bid", "ord_type": "limit", "price": "140000000"}, 400, "validation_error"),
        ({"side": "bid", "ord_type": "price", "price": "10000", "volume": "1"}, 400, "create_bid_error"),
        ({"side": "ask", "ord_type": "market", "price": "10000", "volume": "1"}, 400, "create_ask_error"),
        ({"side": "bid", "ord_type": "market", "volume": "1"}, 400, "create_bid_error"),
        ({"side": "ask", "ord_type": "price", "price": "10000"}, 400, "create_ask_error"),
        ({"side": "bid", "ord_type": "best", "price": "10000"}, 400, "invalid_time_in_force"),
        ({"side": "bid", "ord_type": "price", "price": "10000", "time_in_force": "ioc"}, 400, "invalid_time_in_force"),
        (LIMIT | {"time_in_force": "gtc"}, 400, "invalid_time_in_force"),
        (LIMIT | {"time_in_force": "post_only", "smp_type": "reduce"}, 400, "invalid_post_only"),
        ({"side": "bid", "ord_type": "price", "price": "9000", "time_in_force": "post_only"}, 400, "invalid_post_only"),
        (LIMIT | {"smp_type": "cancel_both"}, 400, "validation_error"),
    ],
)
async def test_what_is_refused_by_which_name(api, body, status, name):
    assert await api.refused(**body) == (status, name)
    _, balance = await api.get("accounts")
    assert [(row["currency"], row["locked"]) for row in balance] == [("KRW", "0"), ("BTC", "0")]


async def test_orders_that_are_not_there(api):
    nobody = "11111111-2222-3333-4444-555555555555"
    for call in (api.get("order", uuid=nobody), api.delete("order", uuid=nobody), api.get("order", identifier="x")):
        status, answer = await call
        assert (status, answer["error"]["name"]) == (404, "order_not_found")
    status, answer = await api.get("order")
    assert (status, answer["error"]["name"]) == (400, "validation_error")
    sold = await api.order(side="ask", ord_type="market", volume="0.01")
    status, answer = await api.delete("order", uuid=sold["uuid"])
    assert (sold["state"], status, answer["error"]["name"]) == ("done", 404, "order_not_found")


@pytest.mark.parametrize(
    ("symbol", "price", "good", "bad"),
    [
        ("BTC/KRW", 150_000_000, "149999000", "149999500"),
        ("BCH/KRW", 700_000, "699500", "699600"),
        ("ETC/KRW", 300_000, "299900", "299950"),
        ("LTC/KRW", 60_000, "59950", "59980"),
        ("LINK/KRW", 20_000, "19990", "19995"),
        ("UNI/KRW", 8_000, "7995", "7998"),
        ("XRP/KRW", 3_000, "2999", "2999.5"),
        ("DOGE/KRW", 300, "299", "299.5"),
        ("TRX/KRW", 50, "49.9", "49.95"),
        ("JASMY/KRW", 5, "4.99", "4.995"),
        ("SHIB/KRW", 0.02, "0.0199", "0.01995"),
        ("PEPE/KRW", 0.015, "0.0149", "0.01495"),
        ("USDT/KRW", 1_450, "1449.5", "1449.7"),
    ],
)
async def test_every_row_of_the_tick_table(http, symbol, price, good, bad):
    server = await serve(flat_exchange(price, symbol, volume=50_000_000 / price))
    try:
        api = Caller(http, server.url)
        code = f"KRW-{symbol.partition('/')[0]}"
        body = {"market": code, "side": "bid", "ord_type": "limit", "volume": str(round(20_000 / price, 4))}
        assert await api.refused(**body, price=bad) == (400, "invalid_price_bid")
        taken = await api.order(**body, price=good)
        assert (taken["state"], taken["price"]) == ("wait", good)
        _, (stated,) = await api.get("orderbook/instruments", markets=code)
        assert D(good) % D(stated["tick_size"]) == 0 != D(bad) % D(stated["tick_size"])
        _, (book,) = await api.get("orderbook", markets=code)
        top = book["orderbook_units"][0]
        assert all(D(str(top[side])) % D(stated["tick_size"]) == 0 for side in ("bid_price", "ask_price"))
    finally:
        await server.close()


async def test_the_tick_is_that_of_the_orders_own_price(http):
    """The market stands at 1,050,000 with a step of 1,000; below a million it is 500."""
    server = await serve(flat_exchange(1_050_000, "ETH/KRW"))
    try:
        api = Caller(http, server.url)
        body = {"market": "KRW-ETH", "side": "bid", "ord_type": "limit", "volume": "0.1"}
        assert await api.refused(**body, price="1000500") == (400, "invalid_price_bid")
        assert (await api.order(**body, price="999500"))["price"] == "999500"
        assert await api.refused(**body, price="999700") == (400, "invalid_price_bid")
        assert (await api.order(**body, price="499900"))["price"] == "499900"
    finally:
        await server.close()


async def test_an_identifier_is_used_up_by_its_first_request_even_a_refused_one(api):
    assert await api.refused(**LIMIT | {"volume": "0.00001"}, identifier="once") == (400, "under_min_total_bid")
    assert await api.refused(**LIMIT, identifier="once") == (400, "duplicated_identifier")
    order = await api.order(**LIMIT, identifier="twice")
    await api.delete("order", identifier="twice")
    assert await api.refused(**LIMIT, identifier="twice") == (400, "duplicated_identifier")
    status, _ = await api.post("orders/test", market="KRW-BTC", **LIMIT, identifier="tried")
    assert status == 201
    assert (await api.order(**LIMIT, identifier="tried"))["identifier"] == "tried"
    status, answer = await api.post(
        "orders/cancel_and_new", prev_order_identifier="tried", new_ord_type="limit", new_volume="0.01",
        new_price="139000000", new_identifier="twice",
    )  # fmt: skip
    assert (status, answer["error"]["name"]) == (400, "duplicated_identifier")
    assert (await api.get("order", identifier="tried"))[1]["state"] == "wait"
    assert order["uuid"] != (await api.get("order", identifier="tried"))[1]["uuid"]


async def test_a_test_order_checks_everything_and_leaves_nothing(api):
    status, answer = await api.post("orders/test", market="KRW-BTC", **LIMIT)
    assert (status, answer["state"], answer["locked"]) == (201, "wait", "1400700")
    assert (await api.get("order", uuid=answer["uuid"]))[0] == 404
    assert (await api.get("orders/open"))[1] == []
    assert (await api.post("orders/test", market="KRW-BTC", **LIMIT))[1]["uuid"] != answer["uuid"]
    status, answer = await api.post("orders/test", market="KRW-BTC", **LIMIT | {"price": "140000001"})
    assert (status, answer["error"]["name"]) == (400, "invalid_price_bid")


async def test_cancel_and_new_takes_the_rest_and_the_money_of_the_old_order(api):
    old = await api.order(**LIMIT | {"volume": "0.7"})
    assert old["locked"] == "98049000"
    status, answer = await api.post(
        "orders/cancel_and_new",
        prev_order_uuid=old["uuid"],
        new_ord_type="limit",
        new_price="139000000",
        new_volume="remain_only",
    )
    assert (status, answer["uuid"], answer["state"]) == (201, old["uuid"], "wait")
    assert "new_order_identifier" not in answer
    new = (await api.get("order", uuid=answer["new_order_uuid"]))[1]
    assert (new["state"], new["side"], new["volume"], new["price"]) == ("wait", "bid", "0.7", "139000000")
    assert (await api.get("order", uuid=old["uuid"]))[1]["state"] == "cancel"
    status, answer = await api.post(
        "orders/cancel_and_new",
        prev_order_uuid=new["uuid"],
        new_ord_type="limit",
        new_price="139000000",
        new_volume="9",
    )
    assert (status, answer["error"]["name"]) == (400, "over_krw_funds_bid")
    assert (await api.get("order", uuid=new["uuid"]))[1]["state"] == "wait"
    for gone in (old["uuid"], "11111111-2222-3333-4444-555555555555"):
        status, answer = await api.post("orders/cancel_and_new", prev_order_uuid=gone, new_ord_type="limit")
        assert (status, answer["error"]["name"]) == (404, "order_not_found")
    assert (await api.post("orders/cancel_and_new", new_ord_type="limit"))[0] == 400


async def test_lists_and_cancels_of_many(api):
    made = [await api.order(**LIMIT | {"price": str(price)}) for price in (140_000_000, 141_000_000, 142_000_000)]
    made.append(await api.order(**LIMIT | {"side": "ask", "price": "160000000"}, identifier="sell"))
    uuids = [order["uuid"] for order in made]
    _, rows = await api.get("orders/open", market="KRW-BTC")
    assert [row["uuid"] for row in rows] == uuids[::-1]
    _, rows = await api.get("orders/open", ("states[]", "wait"), order_by="asc", limit="2", page="2")
    assert [row["uuid"] for row in rows] == uuids[2:]
    assert (await api.get("orders/open", state="watch"))[1] == []
    assert (await api.get("orders/open", state="done"))[1]["error"]["name"] == "validation_error"
    _, rows = await api.get("orders/uuids", ("uuids[]", uuids[1]), ("uuids[]", uuids[0]), order_by="asc")
    assert [row["uuid"] for row in rows] == uuids[:2]
    _, rows = await api.get("orders/uuids", ("identifiers[]", "sell"), ("identifiers[]", "unknown"))
    assert [row["uuid"] for row in rows] == uuids[3:]
    status, answer = await api.delete("orders/uuids", ("uuids[]", uuids[0]))
    assert (status, answer["success"]) == (200, {"count": 1, "orders": [{"uuid": uuids[0], "market": "KRW-BTC"}]})
    _, answer = await api.delete("orders/uuids", ("uuids[]", uuids[0]), ("uuids[]", uuids[1]))
    assert (answer["success"]["count"], answer["failed"]["orders"][0]["uuid"]) == (1, uuids[0])
    _, answer = await api.delete("orders/open", cancel_side="ask")
    assert answer["success"] == {
        "count": 1,
        "orders": [{"uuid": uuids[3], "market": "KRW-BTC", "identifier": "sell"}],
    }
    _, rows = await api.get("orders/closed", ("states[]", "cancel"), ("states[]", "done"), market="KRW-BTC")
    assert [row["uuid"] for row in rows] == [uuids[3], uuids[1], uuids[0]]
    assert (await api.get("orders/closed", state="done"))[1] == []
    assert (await api.get("orders/closed", start_time="2025-12-01T00:00:00+09:00"))[1] == []
    assert [row["uuid"] for row in (await api.get("orders/open"))[1]] == [uuids[2]]


async def test_chance_and_the_average_buying_price(api):
    _, chance = await api.get("orders/chance", market="KRW-BTC")
    assert (chance["bid_fee"], chance["maker_ask_fee"], chance["market"]["bid"]) == (
        "0.0005",
        "0.0005",
        {"currency": "KRW", "min_total": "5000"},
    )
    assert (chance["market"]["state"], chance["ask_account"]["balance"]) == ("active", "2")
    bought = await api.order(side="bid", ord_type="price", price="3000000", market="KRW-USDT")
    _, accounts = await api.get("accounts")
    held = next(row for row in accounts if row["currency"] == "USDT")
    assert held["balance"] == bought["executed_volume"]
    paid = sum(D(t["price"]) * D(t["volume"]) for t in bought["trades"]) / D(bought["executed_volume"])
    assert held["avg_buy_price"] == f"{round(paid, 8).normalize():f}"
    assert (await api.get("orders/chance", market="KRW-LUNA"))[0] == 404


async def test_self_matches_are_kept_apart_as_the_newer_order_asks():
    async def story(http, smp: str | None, volume: str = "0.3"):
        """An own sell of 0.1 one step above the market's best ask; then a buy through it."""
        server = await serve(make_exchange())
        try:
            api = Caller(http, server.url)
            ask, size = server.state.exchange.top(0).ask, server.state.exchange.top(0).ask_qty
            price = str(ask + 1_000)
            rest = await api.order(side="ask", ord_type="limit", price=price, volume="0.1")
            body = {"side": "bid", "ord_type": "limit", "price": price, "volume": volume}
            take = await api.order(**body | ({"smp_type": smp} if smp else {}))
            rest = (await api.get("order", uuid=rest["uuid"]))[1]
            return size, rest, take
        finally:
            await server.close()

    async with aiohttp.ClientSession() as http:
        for asked in (None, "cancel_maker"):
            size, rest, take = await story(http, asked)
            assert (rest["state"], rest["prevented_volume"], rest["prevented_locked"]) == ("cancel", "0.1", "0.1")
            assert (take["state"], take["smp_type"], take["prevented_volume"]) == ("wait", "cancel_maker", "0")
            assert (take["executed_volume"], D(take["remaining_volume"])) == (str(size), D("0.3") - size)
        size, rest, take = await story(http, "cancel_taker")
        assert (rest["state"], rest["remaining_volume"]) == ("wait", "0.1")
        assert (take["state"], take["executed_volume"]) == ("cancel", str(size))
        assert D(take["prevented_volume"]) == D("0.3") - size
        size, rest, take = await story(http, "reduce")
        assert (rest["state"], rest["prevented_volume"]) == ("cancel", "0.1")
        assert (take["state"], take["prevented_volume"]) == ("wait", "0.1")
        assert D(take["remaining_volume"]) == D("0.2") - size
        size, rest, take = await story(http, "none", volume="0.1")
        assert (take["state"], len(take["trades"])) == ("done", 2)
        assert D(rest["executed_volume"]) == D("0.1") - size
        assert rest["state"] == "wait"


async def test_a_halted_market_is_offline(http):
    exchange = flat_exchange(150_000_000)
    server = await serve_exchange(exchange, credentials={KEY: SECRET}, venue="upbit")
    try:
        async with server.state.lock:
            await server.state.advance(exchange.market.end_ms)
        exchange.market.trading = lambda row, ms: False
        api = Caller(http, server.url)
        body = {"side": "bid", "ord_type": "limit", "price": "149000000", "volume": "0.01"}
        assert await api.refused(**body) == (400, "market_offline")
        assert await api.refused(side="ask", ord_type="market", volume="0.01") == (400, "market_offline")
    finally:
        await server.close()


async def test_forms_and_broken_bodies_are_not_taken(server, http):
    for sent in ({"data": {"market": "KRW-BTC"}}, {"data": b"{"}, {"json": ["KRW-BTC"]}):
        headers = {"Authorization": f"Bearer {token()}"}
        async with http.post(f"{server.url}/v1/orders", headers=headers, **sent) as answer:
            assert (answer.status, (await answer.json())["error"]["name"]) == (400, "validation_error")
