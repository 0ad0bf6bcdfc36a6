"""Unmodified ccxt and ccxt.pro trade on the simulator by URL alone."""

import asyncio

import ccxt
import pytest

from core.units import MINUTE_MS
from tests.sim.conftest import BEGIN, KEY, OPTIONS, SECRET, point

WAIT_S = 10


async def test_the_synchronous_client_reads_and_trades(server):
    made = point(ccxt.binance({"apiKey": KEY, "secret": SECRET, "options": OPTIONS}), server)

    def work():
        made.load_markets()
        bought = made.create_market_buy_order("ETH/USDT", 0.5)
        return bought, made.fetch_order(bought["id"], "ETH/USDT"), made.fetch_balance()

    bought, found, balance = await asyncio.to_thread(work)
    assert bought["status"] == found["status"] == "closed"
    assert balance["ETH"]["free"] == pytest.approx(0.5 * 0.999)


async def test_markets_come_with_their_filters(client):
    markets = await client.load_markets()
    assert set(markets) == {"BTC/USDT", "ETH/USDT"}
    btc = markets["BTC/USDT"]
    assert (btc["precision"]["price"], btc["precision"]["amount"]) == (0.01, 0.00001)
    assert (btc["limits"]["cost"]["min"], btc["active"], btc["spot"]) == (5.0, True, True)


async def test_market_data(client):
    bars = await client.fetch_ohlcv("BTC/USDT", "1m", limit=5)
    assert [b[0] for b in bars] == [BEGIN - k * MINUTE_MS for k in (5, 4, 3, 2, 1)]
    since = await client.fetch_ohlcv("BTC/USDT", "1m", since=BEGIN - 3 * MINUTE_MS, limit=2)
    assert since == bars[2:4]
    book = await client.fetch_order_book("BTC/USDT", 5)
    assert len(book["bids"]) == len(book["asks"]) == 5
    assert book["bids"][0][0] <= bars[-1][4] <= book["asks"][0][0]
    ticker = await client.fetch_ticker("BTC/USDT")
    assert (ticker["last"], ticker["bid"]) == (bars[-1][4], book["bids"][0][0])
    assert await client.fetch_time() == BEGIN
    trades = await client.fetch_trades("BTC/USDT", limit=10)
    assert len(trades) == 10
    assert trades[-1]["price"] == bars[-1][4]


async def test_a_limit_order_rests_is_found_and_is_cancelled(client):
    await client.load_markets()
    book = await client.fetch_order_book("BTC/USDT")
    price = book["bids"][0][0] - 500
    order = await client.create_order("BTC/USDT", "limit", "buy", 0.01, price, {"clientOrderId": "mine-1"})
    assert (order["status"], order["clientOrderId"], order["price"]) == ("open", "mine-1", price)
    assert [o["id"] for o in await client.fetch_open_orders("BTC/USDT")] == [order["id"]]
    found = await client.fetch_order(None, "BTC/USDT", {"clientOrderId": "mine-1"})
    assert found["id"] == order["id"]
    balance = await client.fetch_balance()
    assert balance["USDT"]["used"] == pytest.approx(0.01 * price)
    cancelled = await client.cancel_order(order["id"], "BTC/USDT")
    assert cancelled["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        await client.cancel_order(order["id"], "BTC/USDT")
    with pytest.raises(ccxt.OrderNotFound):
        await client.fetch_order("999", "BTC/USDT")


async def test_a_market_order_fills_with_fees_and_shows_in_my_trades(client):
    await client.load_markets()
    order = await client.create_order("BTC/USDT", "market", "buy", 0.02)
    assert (order["status"], order["filled"]) == ("closed", 0.02)
    assert order["fees"][0]["currency"] == "BTC"
    trades = await client.fetch_my_trades("BTC/USDT")
    assert sum(t["amount"] for t in trades) == pytest.approx(0.02)
    assert [t["id"] for t in trades] == [t["id"] for t in order["trades"]]
    spent = await client.create_market_buy_order_with_cost("BTC/USDT", 500)
    assert 499 < spent["cost"] <= 500
    assert (await client.fetch_orders("BTC/USDT"))[-1]["id"] == spent["id"]


async def test_post_only_immediate_and_kill_orders(client):
    await client.load_markets()
    book = await client.fetch_order_book("BTC/USDT")
    (bid, _), (ask, size) = book["bids"][0], book["asks"][0]
    resting = await client.create_order("BTC/USDT", "limit", "buy", 0.01, bid, {"postOnly": True})
    assert (resting["type"], resting["postOnly"]) == ("limit", True)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        await client.create_order("BTC/USDT", "limit", "buy", 0.01, ask, {"postOnly": True})
    part = await client.create_order("BTC/USDT", "limit", "buy", size + 0.1, ask, {"timeInForce": "IOC"})
    assert (part["status"], part["filled"]) == ("expired", size)
    none = await client.create_order("BTC/USDT", "limit", "buy", 0.01, ask, {"timeInForce": "FOK"})
    assert (none["status"], none["filled"]) == ("expired", 0)


async def test_refusals_arrive_as_ccxts_own_errors(client):
    await client.load_markets()
    with pytest.raises(ccxt.InsufficientFunds):
        await client.create_order("BTC/USDT", "limit", "sell", 5, 70_000)
    with pytest.raises(ccxt.BadRequest, match="NOTIONAL"):
        await client.create_order("BTC/USDT", "limit", "buy", 0.00001, 60_000)
    with pytest.raises(ccxt.InvalidOrder, match="PERCENT_PRICE_BY_SIDE"):
        await client.create_order("BTC/USDT", "limit", "buy", 0.01, 6_000_000)
    client.secret = "another"
    with pytest.raises(ccxt.AuthenticationError):
        await client.fetch_balance()


async def advance(server, to_ms):
    async with server.state.lock:
        await server.state.advance(to_ms)


async def subscribed(server, stream):
    """Wait until somebody listens to a stream."""
    async with asyncio.timeout(WAIT_S):
        while not server.state.hub.wanted(stream):
            await asyncio.sleep(0.01)


async def test_watch_ohlcv_gets_the_final_bar_of_every_minute(server, client):
    await client.load_markets()
    watching = asyncio.create_task(client.watch_ohlcv("BTC/USDT", "1m"))
    await subscribed(server, "btcusdt@kline_1m")
    await advance(server, BEGIN + MINUTE_MS)
    bar = server.state.exchange.market.bar(0, BEGIN, BEGIN + MINUTE_MS)
    async with asyncio.timeout(WAIT_S):
        rows = await watching
    assert rows[-1] == [bar.minute, bar.open, bar.high, bar.low, bar.close, bar.volume]


async def test_watch_order_book_follows_the_book_through_snapshot_and_diffs(server, client):
    await client.load_markets()
    watching = asyncio.create_task(client.watch_order_book("BTC/USDT"))
    await subscribed(server, "btcusdt@depth@100ms")
    async with asyncio.timeout(WAIT_S):
        for step in range(1, 40):
            await advance(server, BEGIN + step * 7_000)
            await asyncio.sleep(0.03)
            if watching.done() and step >= 12:
                break
        await watching
        await asyncio.sleep(0.05)
    book, (bids, asks) = client.orderbooks["BTC/USDT"], server.state.exchange.depth(0)
    rules = server.state.exchange.rules[0]
    assert [row[:2] for row in book["bids"]] == [[float(t * rules.tick), float(s * rules.step)] for t, s in bids]
    assert [row[:2] for row in book["asks"]] == [[float(t * rules.tick), float(s * rules.step)] for t, s in asks]
    assert book["nonce"] == server.state.depth[0].shown_id


async def test_watch_orders_tells_of_own_orders_and_fills(server, client):
    await client.load_markets()
    watching = asyncio.create_task(client.watch_orders())
    async with asyncio.timeout(WAIT_S):
        while not server.state.users.wanted("user"):
            await asyncio.sleep(0.01)
        top = server.state.exchange.top(0)
        order = await client.create_order("BTC/USDT", "limit", "buy", 0.01, float(top.bid) - 20)
        (seen,) = await watching
        assert (seen["id"], seen["status"]) == (order["id"], "open")
        for minute in range(1, 60):
            await advance(server, BEGIN + minute * MINUTE_MS)
            if not server.state.exchange.open_orders():
                break
        while seen["status"] != "closed":
            seen = (await client.watch_orders())[-1]
    assert (seen["id"], seen["filled"]) == (order["id"], 0.01)
