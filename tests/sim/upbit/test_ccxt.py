"""Unmodified ccxt and ccxt.pro trade on the simulated Upbit by URL alone: an order's whole life."""

import asyncio

import ccxt
import pytest

from core.units import MINUTE_MS
from tests.sim.upbit.conftest import BEGIN, KEY, SECRET, advance, point

WAIT_S = 10
CODE = "KRW-BTC"


async def test_the_synchronous_client_reads_and_trades(server):
    made = point(ccxt.upbit({"apiKey": KEY, "secret": SECRET}), server)

    def work():
        made.load_markets()
        taken = made.create_order("BTC/KRW", "market", "sell", 0.5)
        return taken, made.fetch_order(taken["id"]), made.fetch_balance()

    taken, found, balance = await asyncio.to_thread(work)
    assert (taken["status"], found["status"]) == ("open", "closed")
    assert (found["filled"], balance["BTC"]["free"]) == (0.5, 1.5)
    assert balance["KRW"]["free"] == pytest.approx(100_000_000 + found["cost"] - found["fees"][0]["cost"])


async def test_market_data(server, client):
    markets = await client.load_markets()
    assert set(markets) == {"BTC/KRW", "DOGE/KRW", "USDT/KRW"}
    *bars, running = await client.fetch_ohlcv("BTC/KRW", "1m", limit=6)
    assert [b[0] for b in bars] == [BEGIN - k * MINUTE_MS for k in (5, 4, 3, 2, 1)]
    assert running[0] == BEGIN  # the minute that begins now, with the trade that opened it
    since = await client.fetch_ohlcv("BTC/KRW", "1m", since=BEGIN - 3 * MINUTE_MS, limit=2)
    assert since == bars[2:4]
    bar = server.state.exchange.market.bar(0, BEGIN - MINUTE_MS, BEGIN)
    assert bars[-1] == [bar.minute, bar.open, bar.high, bar.low, bar.close, bar.volume]
    book = await client.fetch_order_book("BTC/KRW")
    assert book["bids"][0][0] <= bars[-1][4] <= book["asks"][0][0]
    ticker = await client.fetch_ticker("BTC/KRW")
    trades = await client.fetch_trades("BTC/KRW", limit=10)
    assert (ticker["last"], len(trades), trades[-1]["price"]) == (running[4], 10, running[4])


async def test_place_rest_find_cancel(client):
    await client.load_markets()
    order = await client.create_order("BTC/KRW", "limit", "buy", 0.01, 140_000_000, {"clientOrderId": "mine-1"})
    assert (order["status"], order["clientOrderId"], order["price"]) == ("open", "mine-1", 140_000_000)
    (found,) = await client.fetch_open_orders("BTC/KRW")
    assert (found["id"], found["remaining"]) == (order["id"], 0.01)
    balance = await client.fetch_balance()
    assert balance["KRW"]["used"] == 1_400_000 * 1.0005
    accepted = await client.cancel_order(order["id"])
    assert accepted["status"] == "open"  # accepted, no more is said
    assert (await client.fetch_order(order["id"]))["status"] == "canceled"
    assert [o["id"] for o in await client.fetch_canceled_orders("BTC/KRW")] == [order["id"]]
    assert (await client.fetch_balance())["KRW"]["used"] == 0
    with pytest.raises(ccxt.OrderNotFound):
        await client.cancel_order(order["id"])


async def test_a_resting_order_fills_in_parts_as_the_market_passes(server, client):
    await client.load_markets()
    bid = (await client.fetch_order_book("BTC/KRW"))["bids"][0][0]
    order = await client.create_order("BTC/KRW", "limit", "buy", 0.3, bid)
    held = server.state.desk.find(order["id"], None)
    seen = {(held.state, held.order.executed > 0)}
    for second in range(1, 1_800):
        await advance(server, BEGIN + second * 1_000)
        seen.add((held.state, held.order.executed > 0))
        if held.state == "done":
            break
    assert seen == {("wait", False), ("wait", True), ("done", True)}
    done = await client.fetch_order(order["id"])
    assert (done["status"], done["filled"], done["average"]) == ("closed", 0.3, bid)
    assert len(done["trades"]) > 1
    assert done["fees"][0]["cost"] == pytest.approx(0.3 * bid * 0.0005)
    assert [o["id"] for o in await client.fetch_closed_orders("BTC/KRW")] == [order["id"]]


async def test_a_market_buy_by_money_ends_cancelled_with_the_rest_given_back(client):
    await client.load_markets()
    order = await client.create_order("BTC/KRW", "market", "buy", None, None, {"cost": 1_000_000})
    done = await client.fetch_order(order["id"])
    assert done["status"] == "canceled"
    assert 999_000 < done["cost"] < 1_000_000
    balance = await client.fetch_balance()
    assert balance["KRW"]["used"] == 0
    assert balance["KRW"]["free"] == pytest.approx(100_000_000 - done["cost"] - done["fees"][0]["cost"])
    assert balance["BTC"]["free"] == pytest.approx(2 + done["filled"])


async def test_immediate_kill_post_only_and_best(client):
    await client.load_markets()
    book = await client.fetch_order_book("BTC/KRW")
    (bid, _), (ask, size) = book["bids"][0], book["asks"][0]

    async def ended(*order):
        made = await client.create_order("BTC/KRW", *order)
        found = await client.fetch_order(made["id"])
        return found["status"], found["filled"]

    assert await ended("limit", "buy", size + 0.05, ask, {"timeInForce": "IOC"}) == ("canceled", size)
    assert await ended("limit", "buy", size + 0.05, ask, {"timeInForce": "FOK"}) == ("canceled", 0)
    assert await ended("limit", "buy", 0.01, ask + 100_000, {"postOnly": True}) == ("canceled", 0)
    assert await ended("limit", "buy", 0.01, bid, {"postOnly": True}) == ("open", 0)
    best = {"ordType": "best", "timeInForce": "IOC"}
    status, filled = await ended("market", "buy", None, None, best | {"cost": 10_000})
    assert (status, filled > 0) == ("canceled", True)
    assert await ended("market", "sell", 0.0001, None, best) == ("closed", 0.0001)


async def test_cancel_and_new(client):
    await client.load_markets()
    order = await client.create_order("BTC/KRW", "limit", "buy", 0.01, 140_000_000)
    answer = await client.edit_order(
        order["id"], "BTC/KRW", "limit", "buy", 0.02, 141_000_000, {"newClientOrderId": "mine-2"}
    )
    # The venue answers with the old order and the new one's uuid; ccxt makes an order of the latter alone.
    new = await client.fetch_order(answer["id"])
    assert (new["status"], new["amount"], new["price"], new["clientOrderId"]) == ("open", 0.02, 141_000_000, "mine-2")
    assert (await client.fetch_order(order["id"]))["status"] == "canceled"


async def test_refusals_arrive_as_ccxts_own_errors(client):
    await client.load_markets()
    with pytest.raises(ccxt.InsufficientFunds):
        await client.create_order("BTC/KRW", "limit", "sell", 5, 150_000_000)
    with pytest.raises(ccxt.ExchangeError, match="under_min_total_bid"):
        await client.create_order("BTC/KRW", "limit", "buy", 0.00001, 140_000_000)
    with pytest.raises(ccxt.ExchangeError, match="invalid_price_bid"):
        await client.create_order("BTC/KRW", "limit", "buy", 0.01, 140_000_500)
    with pytest.raises(ccxt.OrderNotFound):
        await client.fetch_order("11111111-2222-3333-4444-555555555555")
    client.secret = "another"
    with pytest.raises(ccxt.AuthenticationError, match="jwt_verification"):
        await client.fetch_balance()


async def listened(hub, *keys):
    """Wait until somebody listens to these streams."""
    async with asyncio.timeout(WAIT_S):
        while not all(hub.wanted(key) for key in keys):
            await asyncio.sleep(0.01)


async def test_watch_trades_and_candles_and_the_book(server, client):
    await client.load_markets()
    watching = asyncio.create_task(client.watch_trades("BTC/KRW"))
    await listened(server.state.hub, f"trade:{CODE}:0|0")
    await advance(server, BEGIN + MINUTE_MS)
    expected = list(server.state.trades.between(0, BEGIN, BEGIN + MINUTE_MS))
    async with asyncio.timeout(WAIT_S):
        trades = await watching
        while trades[-1]["timestamp"] != expected[-1].at_ms:
            trades = await client.watch_trades("BTC/KRW")
    seen = client.trades["BTC/KRW"][-len(expected) :]
    assert [(t["timestamp"], t["price"], t["amount"]) for t in seen] == [
        (p.at_ms, float(p.price), float(p.quantity)) for p in expected
    ]
    watching = asyncio.create_task(client.watch_ohlcv("BTC/KRW", "1s"))
    async with asyncio.timeout(WAIT_S):
        row = await watching  # ccxt hands on each candle as it comes, without a list of them
    last = server.state.trades.seconds(0, 1, BEGIN + MINUTE_MS + 1, BEGIN + MINUTE_MS)[0]
    assert row == [last.start_ms, last.open, last.high, last.low, last.close, last.volume]
    watching = asyncio.create_task(client.watch_order_book("BTC/KRW"))
    await listened(server.state.hub, f"orderbook:{CODE}:30|0")
    async with asyncio.timeout(WAIT_S):
        book = await watching
        assert book["bids"][0][0] == float(server.state.exchange.top(0).bid)
        await advance(server, BEGIN + 2 * MINUTE_MS)
        top = server.state.exchange.top(0)
        while book["bids"][0][0] != float(top.bid):
            book = await client.watch_order_book("BTC/KRW")
    assert book["asks"][0][0] == float(top.ask)


async def test_watch_orders_tells_of_own_orders_and_fills(server, client):
    await client.load_markets()
    watching = asyncio.create_task(client.watch_orders())
    await listened(server.state.users, "myOrder:*:0|0")
    async with asyncio.timeout(WAIT_S):
        bid = float(server.state.exchange.top(0).bid)
        order = await client.create_order("BTC/KRW", "limit", "buy", 0.01, bid)
        (seen,) = await watching
        assert (seen["id"], seen["status"]) == (order["id"], "open")
        for minute in range(1, 60):
            await advance(server, BEGIN + minute * MINUTE_MS)
            if not server.state.exchange.open_orders():
                break
        while seen["status"] != "closed":
            seen = (await client.watch_orders())[-1]
    assert (seen["id"], seen["filled"]) == (order["id"], 0.01)


async def test_watch_balance_and_my_trades_over_one_connection(server, client):
    await client.load_markets()
    balances, trades = (asyncio.create_task(watch()) for watch in (client.watch_balance, client.watch_my_trades))
    await listened(server.state.users, "myOrder:*:0|0", "myAsset:*:0|0")
    order = await client.create_order("BTC/KRW", "market", "sell", 0.01)
    async with asyncio.timeout(WAIT_S):
        seen, balance = await trades, await balances
    assert len(server.state.users.connections) == 1
    held = server.state.desk.find(order["id"], None).order
    assert [(t["order"], t["price"], t["amount"], t["fee"]["cost"]) for t in seen] == [
        (order["id"], float(t.price), float(t.quantity), float(t.fee)) for t in held.trades
    ]
    assert balance["BTC"]["free"] == 1.99
