"""An order's life on the simulated Binance through unmodified ccxt and ccxt.pro: from REST and from the user stream."""

import asyncio

import aiohttp
import ccxt
import ccxt.pro
import pytest

from config.settings import ExchangeSettings
from core.messages import CancelOrder, OrderState, PlaceOrder, TimeInForce
from core.units import MINUTE_MS, Side
from exchanges.binance.gateway import BinanceGateway
from exchanges.simulated.binance.budget import Allowance
from exchanges.simulated.filters import Limits
from exchanges.simulated.price_range import PriceRange
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import KEY, OPTIONS, SECRET, point
from tests.support.scripted_market import BEGIN, BTC, D, steady, story

S = "BTC/USDT"
WAIT_S = 10
SINK = (60_000.0, 60_000.0, 59_000.0, 59_000.0)


async def served(bars, **how):
    return await serve_exchange(story(bars), credentials={KEY: SECRET}, wall_ms=ccxt.Exchange.milliseconds, **how)


@pytest.fixture
async def market():
    """BTC at 60,000 for two minutes, then a fall to 59,000."""
    running = await served([*steady(2), SINK, *steady(2, 59_000.0)])
    yield running
    await running.close()


@pytest.fixture
async def trader(market):
    made = point(ccxt.pro.binance({"apiKey": KEY, "secret": SECRET, "options": OPTIONS}), market)
    await made.load_markets()
    yield made
    await made.close()


async def advance(server, to_ms):
    async with server.state.lock:
        await server.state.advance(to_ms)


class Heard:
    """Everything ccxt.pro's watch_orders says, as (client id, status, filled)."""

    def __init__(self, client, server):
        self.seen = []
        self._client, self._server = client, server

    async def __aenter__(self):
        self._task = asyncio.create_task(self._listen())
        async with asyncio.timeout(WAIT_S):
            while not self._server.state.users.wanted("user"):
                await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_):
        self._task.cancel()

    async def _listen(self):
        while True:
            for order in await self._client.watch_orders():
                self.seen.append((order["clientOrderId"], order["status"], order["filled"]))

    async def until(self, told):
        """Wait for one report for which ``told`` holds."""
        async with asyncio.timeout(WAIT_S):
            while not any(told(seen) for seen in self.seen):
                await asyncio.sleep(0.01)
        return next(seen for seen in self.seen if told(seen))


def mine(client_id, **more):
    return {"clientOrderId": client_id, **more}


async def test_placed_partly_filled_cancelled(market, trader):
    async with Heard(trader, market) as heard:
        top = market.state.exchange.top(0)
        size = float(top.ask_qty) + 0.2
        order = await trader.create_order(S, "limit", "buy", size, float(top.ask), mine("part"))
        assert (order["status"], order["filled"]) == ("open", float(top.ask_qty))
        assert [t["takerOrMaker"] for t in await trader.fetch_my_trades(S)] == ["taker"]
        cancelled = await trader.cancel_order(order["id"], S)
        assert (cancelled["status"], cancelled["filled"]) == ("canceled", float(top.ask_qty))
        assert (await trader.fetch_order(order["id"], S))["remaining"] == pytest.approx(0.2)
        assert await trader.fetch_open_orders(S) == []
        assert await heard.until(lambda s: s[1] == "canceled") == ("part", "canceled", float(top.ask_qty))


async def test_replaced_half_replaced_and_not_replaced(market, trader):
    first = await trader.create_order(S, "limit", "buy", 0.1, 59_900, mine("one"))
    second = await trader.edit_order(first["id"], S, "limit", "buy", 0.2, 59_800, mine("two"))
    assert (second["status"], second["amount"], second["clientOrderId"]) == ("open", 0.2, "two")
    assert (await trader.fetch_order(first["id"], S))["status"] == "canceled"
    with pytest.raises(ccxt.ExchangeError, match='"code":-2021') as half:
        await trader.edit_order(second["id"], S, "limit", "buy", 5, 59_800, mine("three"))
    assert '"cancelResult":"SUCCESS","newOrderResult":"FAILURE"' in str(half.value)
    assert "Account has insufficient balance for requested action." in str(half.value)
    with pytest.raises(ccxt.ExchangeError, match='"code":-2022') as none:
        await trader.edit_order(second["id"], S, "limit", "buy", 0.1, 59_800, mine("four"))
    assert '"newOrderResult":"NOT_ATTEMPTED","cancelResponse":{"code":-2011,"msg":"Unknown order sent."}' in str(
        none.value
    )
    assert '"newOrderResponse":null' in str(none.value)
    assert await trader.fetch_open_orders(S) == []
    counts = {row["interval"]: row["count"] for row in await trader.privateGetRateLimitOrder()}
    # One placed, one replaced, one half replaced, one not attempted.
    assert counts == {"SECOND": 4, "DAY": 4}


async def replace(trader, **params):
    ask = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1"}
    return await trader.privatePostOrderCancelReplace({**ask, "price": "59000", **params})


async def test_a_replacement_that_may_fail_goes_on_without_the_cancel(market, trader):
    with pytest.raises(ccxt.ExchangeError, match='"code":-2021') as half:
        await replace(trader, cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=77, newClientOrderId="new")
    assert '"cancelResult":"FAILURE","newOrderResult":"SUCCESS"' in str(half.value)
    assert [o["clientOrderId"] for o in await trader.fetch_open_orders(S)] == ["new"]
    with pytest.raises(ccxt.ExchangeError, match='"code":-2022') as none:
        await replace(trader, cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=77, quantity="50")
    assert '"cancelResult":"FAILURE","newOrderResult":"FAILURE"' in str(none.value)
    with pytest.raises(ccxt.BadRequest, match="cancelReplaceMode"):
        await replace(trader, cancelOrderId=1)
    with pytest.raises(ccxt.ExchangeError, match="Invalid cancelRestrictions"):
        await replace(trader, cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=1, cancelRestrictions="NO")
    with pytest.raises(ccxt.InvalidOrder, match="PRICE_FILTER"):
        await replace(trader, cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=1, price="59000.001")
    assert len(await trader.fetch_open_orders(S)) == 1


async def test_too_many_orders_stop_a_replacement_or_leave_the_cancel_of_it():
    running = await served(steady(3), allowance=Allowance(orders_10s=1))
    client = point(ccxt.pro.binance({"apiKey": KEY, "secret": SECRET, "options": OPTIONS}), running)
    try:
        await client.load_markets()
        await client.create_order(S, "limit", "buy", 0.1, 59_900, mine("one"))
        old = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": "one"}
        with pytest.raises(ccxt.DDoSProtection, match="-1015"):
            await replace(client, **old)
        assert len(await client.fetch_open_orders(S)) == 1
        with pytest.raises(ccxt.ExchangeError, match='"code":-2021') as half:
            await replace(client, **old, orderRateLimitExceededMode="CANCEL_ONLY")
        assert '"msg":"Too many new orders; current limit is 1 orders per 10 SECOND."' in str(half.value)
        assert await client.fetch_open_orders(S) == []
    finally:
        await client.close()
        await running.close()


async def test_a_rejected_replacement_is_told_on_the_user_stream(market, trader):
    async with Heard(trader, market) as heard:
        await trader.create_order(S, "limit", "buy", 0.1, 59_900, mine("one"))
        with pytest.raises(ccxt.ExchangeError):
            await replace(
                trader,
                cancelReplaceMode="STOP_ON_FAILURE",
                cancelOrigClientOrderId="one",
                newClientOrderId="no",
                quantity="50",
            )
        assert await heard.until(lambda s: s[1] == "rejected") == ("no", "rejected", 0.0)


async def test_amended_in_its_place(market, trader):
    order = await trader.create_order(S, "limit", "buy", 0.5, 59_900, mine("big"))

    async def amend(quantity):
        ask = {"symbol": "BTCUSDT", "orderId": order["id"], "newQty": quantity, "newClientOrderId": "small"}
        return await trader.request("order/amend/keepPriority", ["private"], "PUT", ask)

    done = await amend("0.2")
    assert (done["amendedOrder"]["qty"], done["amendedOrder"]["origClientOrderId"]) == ("0.20000000", "big")
    found = await trader.fetch_order(order["id"], S)
    assert (found["amount"], found["clientOrderId"], found["status"]) == (0.2, "small", "open")
    with pytest.raises(ccxt.ExchangeError, match=r"-2038.*Order amend \(quantity increase\) is not supported"):
        await amend("0.3")
    rows = await trader.request("order/amendments", ["private"], "GET", {"symbol": "BTCUSDT", "orderId": order["id"]})
    assert [(r["origQty"], r["newQty"], r["newClientOrderId"]) for r in rows] == [("0.50000000", "0.20000000", "small")]


async def test_expired_rejected_and_partly_filled_market_orders(market, trader):
    async with Heard(trader, market) as heard:
        top = market.state.exchange.top(0)
        size = float(top.ask_qty) + 0.1
        late = await trader.create_order(S, "limit", "buy", size, float(top.ask), mine("ioc", timeInForce="IOC"))
        assert (late["status"], late["filled"]) == ("expired", float(top.ask_qty))
        assert late["info"]["expiryReason"] == "UNFILLED_IOC_QUANTITY_EXPIRED"
        await heard.until(lambda s: s == ("ioc", "expired", float(top.ask_qty)))
    with pytest.raises(ccxt.InsufficientFunds):
        await trader.create_order(S, "market", "sell", 7)
    with pytest.raises(ccxt.InvalidOrder, match="MARKET_LOT_SIZE"):
        await trader.create_order(S, "market", "sell", 901)
    market.state.exchange.transfer("BTC", D(800))
    part = await trader.create_order(S, "market", "sell", 700, None, mine("all"))
    assert (part["status"], 0 < part["filled"] < 700) == ("expired", True)
    assert part["info"]["expiryReason"] == "INSUFFICIENT_LIQUIDITY"
    assert await trader.fetch_open_orders(S) == []


async def test_a_stop_waits_acts_and_is_told(market, trader):
    async with Heard(trader, market) as heard:
        stop = await trader.create_order(S, "limit", "sell", 0.1, 59_400, mine("stop", stopLossPrice=59_500))
        profit = await trader.create_order(S, "market", "sell", 0.1, None, mine("profit", takeProfitPrice=61_000))
        found = await trader.fetch_order(stop["id"], S)
        assert (found["status"], found["stopPrice"], found["info"]["isWorking"]) == ("open", 59_500, False)
        assert found["info"]["workingTime"] == -1
        assert (await trader.fetch_balance())["BTC"]["used"] == pytest.approx(0.2)
        with pytest.raises(ccxt.OrderImmediatelyFillable, match="Order would trigger immediately"):
            await trader.create_order(S, "limit", "sell", 0.1, 59_400, {"stopLossPrice": 60_500})
        with pytest.raises(ccxt.ExchangeError, match="Iceberg orders are not supported for this symbol"):
            await trader.create_order(S, "limit", "sell", 0.1, 61_000, {"icebergQty": "0.01"})
        await advance(market, BEGIN + 3 * MINUTE_MS)
        filled = await heard.until(lambda s: s[1] == "closed")
        assert filled == ("stop", "closed", 0.1)
        assert (await trader.fetch_order(stop["id"], S))["average"] >= 59_400
        assert (await trader.cancel_order(profit["id"], S))["status"] == "canceled"


async def test_a_restricted_cancel_and_a_trailing_stop(market, trader):
    order = await trader.create_order(S, "limit", "buy", 0.1, 59_000, mine("rests"))
    with pytest.raises(ccxt.ExchangeError, match="Order was not canceled due to cancel restrictions"):
        await trader.cancel_order(order["id"], S, {"cancelRestrictions": "ONLY_PARTIALLY_FILLED"})
    assert (await trader.cancel_order(order["id"], S, {"cancelRestrictions": "ONLY_NEW"}))["status"] == "canceled"
    trailing = await trader.create_order(
        S, "market", "sell", 0.1, None, mine("trail", trailingPercent=0.5, stopLossOrTakeProfit="stopLoss")
    )
    await advance(market, BEGIN + 3 * MINUTE_MS)
    done = await trader.fetch_order(trailing["id"], S)
    assert (done["status"], done["info"]["trailingDelta"]) == ("closed", 50)
    assert int(done["info"]["trailingTime"]) == BEGIN + 1_000


async def oco(trader, **more):
    ask = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.1", "aboveType": "LIMIT_MAKER", "abovePrice": "60500"}
    ask |= {"belowType": "STOP_LOSS_LIMIT", "belowPrice": "59300", "belowStopPrice": "59500", "belowTimeInForce": "GTC"}
    return await trader.privatePostOrderListOco(ask | more)


async def test_one_cancels_the_other(market, trader):
    async with Heard(trader, market) as heard:
        made = await oco(trader, aboveClientOrderId="above", belowClientOrderId="below", listClientOrderId="pair")
        assert [r["type"] for r in made["orderReports"]] == ["STOP_LOSS_LIMIT", "LIMIT_MAKER"]
        assert {o["clientOrderId"] for o in await trader.fetch_open_orders(S)} == {"above", "below"}
        assert (await trader.fetch_balance())["BTC"]["used"] == pytest.approx(0.1)
        assert [row["listClientOrderId"] for row in await trader.privateGetOpenOrderList()] == ["pair"]
        with pytest.raises(ccxt.ExchangeError, match="Duplicate order sent"):
            await oco(trader, listClientOrderId="pair")
        gone = await trader.privateDeleteOrderList({"symbol": "BTCUSDT", "listClientOrderId": "pair"})
        assert (gone["listOrderStatus"], [r["status"] for r in gone["orderReports"]]) == ("ALL_DONE", ["CANCELED"] * 2)
        with pytest.raises(ccxt.ExchangeError, match="Unknown order list sent"):
            await trader.privateDeleteOrderList({"symbol": "BTCUSDT", "listClientOrderId": "pair"})
        again = await oco(trader, aboveClientOrderId="up", belowClientOrderId="down")
        await advance(market, BEGIN + 3 * MINUTE_MS)
        await heard.until(lambda s: s == ("down", "closed", 0.1))
        await heard.until(lambda s: s == ("up", "expired", 0.0))
        found = await trader.privateGetOrderList({"orderListId": again["orderListId"]})
        assert (found["listStatusType"], await trader.privateGetOpenOrderList()) == ("ALL_DONE", [])
        assert len(await trader.privateGetAllOrderList()) == 2
        with pytest.raises(ccxt.ExchangeError, match="Order list does not exist"):
            await trader.privateGetOrderList({"orderListId": 99})
    with pytest.raises(ccxt.ExchangeError, match="The relationship of the prices"):
        await oco(trader, abovePrice="58000")
    with pytest.raises(ccxt.BadRequest, match="belowTimeInForce"):
        await oco(trader, belowTimeInForce="")


async def test_cancelling_all_of_a_market_cancels_lists_whole(market, trader):
    await oco(trader)
    await trader.create_order(S, "limit", "buy", 0.1, 59_000)
    gone = await trader.privateDeleteOpenOrders({"symbol": "BTCUSDT"})
    assert [("orderReports" in row, row.get("contingencyType")) for row in gone] == [(True, "OCO"), (False, None)]
    assert await trader.fetch_open_orders(S) == []
    counts = await trader.privateGetRateLimitOrder()
    assert counts[0]["count"] == 3


async def test_own_orders_that_meet_are_told_as_the_venue_tells_it(market, trader):
    async with Heard(trader, market) as heard:
        top = market.state.exchange.top(0)
        price = float(top.ask) - 0.02
        await trader.create_order(S, "limit", "sell", 0.1, price, mine("maker"))
        taker = mine("taker", selfTradePreventionMode="EXPIRE_BOTH")
        met = await trader.create_order(S, "limit", "buy", 0.1, price, taker)
        assert met["info"]["status"] == "EXPIRED_IN_MATCH"
        (match,) = met["info"]["preventedMatches"]
        assert (match["takerPreventedQuantity"], match["makerPreventedQuantity"]) == ("0.10000000", "0.10000000")
        rows = await trader.privateGetMyPreventedMatches({"symbol": "BTCUSDT", "orderId": met["id"]})
        assert [(r["takerOrderId"], r["selfTradePreventionMode"]) for r in rows] == [(int(met["id"]), "EXPIRE_BOTH")]
        await heard.until(lambda s: s[0] == "maker" and s[1] != "open")
    with pytest.raises(ccxt.ExchangeError, match="selfTradePreventionMode"):
        await trader.create_order(S, "limit", "buy", 0.1, 59_000, {"selfTradePreventionMode": "SOMETIMES"})
    with pytest.raises(ccxt.ExchangeError, match="does not allow the specified self-trade prevention mode"):
        await trader.create_order(S, "limit", "buy", 0.1, 59_000, {"selfTradePreventionMode": "TRANSFER"})


async def test_a_halted_market_says_so_and_lets_orders_be_cancelled(market, trader):
    order = await trader.create_order(S, "limit", "buy", 0.1, 59_000)
    async with aiohttp.ClientSession(market.url) as http:
        for status in ("HALT", "CANCEL_ONLY", "BREAK", "NONSENSE"):
            async with http.post("/sim/status", json={"symbol": "BTCUSDT", "status": status}) as answer:
                assert answer.status == (400 if status == "NONSENSE" else 200)
            info = await trader.publicGetExchangeInfo()
            assert info["symbols"][0]["status"] == ("BREAK" if status == "NONSENSE" else status)
            with pytest.raises(ccxt.ExchangeError, match="Market is closed"):
                await trader.create_order(S, "limit", "buy", 0.1, 59_000)
    assert (await trader.cancel_order(order["id"], S))["status"] == "canceled"


async def test_the_price_range_rule_is_told_and_kept():
    limits = Limits(price_range=PriceRange.of_percent(D("0.022")))
    exchange = story(steady(3), {"USDT": D(10_000_000)}, limits=limits)
    running = await serve_exchange(exchange, credentials={KEY: SECRET}, wall_ms=ccxt.Exchange.milliseconds)
    client = point(ccxt.pro.binance({"apiKey": KEY, "secret": SECRET, "options": OPTIONS}), running)
    try:
        await client.load_markets()
        part = await client.create_order(S, "market", "buy", 10)
        assert (part["status"], part["info"]["expiryReason"]) == ("expired", "EXECUTION_RULE_PRICE_RANGE_EXCEEDED")
        assert 0 < part["filled"] < 10
        async with aiohttp.ClientSession(running.url) as http:
            async with http.get("/api/v3/executionRules?symbol=BTCUSDT") as answer:
                (rule,) = (await answer.json())["symbolRules"][0]["rules"]
            assert (rule["bidLimitMultUp"], rule["askLimitMultDown"]) == ("1.00022", "0.99978")
            async with http.get("/api/v3/referencePrice?symbol=BTCUSDT") as answer:
                assert float((await answer.json())["referencePrice"]) == pytest.approx(60_000, abs=5)
    finally:
        await client.close()
        await running.close()


async def test_an_order_that_ended_unfilled_90_days_ago_is_archived(market, trader):
    order = await trader.create_order(S, "limit", "buy", 0.1, 59_000, mine("old"))
    await trader.cancel_order(order["id"], S)
    assert (await trader.fetch_order(order["id"], S))["status"] == "canceled"
    market.state.exchange.orders[int(order["id"])].updated_ms -= 90 * 86_400_000 + 1
    with pytest.raises(ccxt.ExchangeError, match=r"-2026.*has been archived"):
        await trader.fetch_order(order["id"], S)
    assert await trader.fetch_orders(S) == []


async def test_the_synchronous_client_lives_through_it_too(market):
    made = point(ccxt.binance({"apiKey": KEY, "secret": SECRET, "options": OPTIONS}), market)

    def work():
        made.load_markets()
        first = made.create_order(S, "limit", "buy", 0.1, 59_900)
        second = made.edit_order(first["id"], S, "limit", "buy", 0.1, 59_800)
        gone = made.cancel_order(second["id"], S)
        bought = made.create_market_buy_order_with_cost(S, 600)
        sold = made.create_order(S, "market", "sell", 0.005, None, {"stopLossPrice": 59_500})
        return gone["status"], bought["status"], made.cancel_order(sold["id"], S)["status"]

    assert await asyncio.to_thread(work) == ("canceled", "closed", "canceled")


async def test_our_gateway_lives_through_what_it_can_ask_for(market):
    gateway = BinanceGateway(ExchangeSettings(rest_url=market.url), (KEY, SECRET), [BTC])

    def order(client_id, quantity, price, force=TimeInForce.GTC, side=Side.BUY, post_only=False):
        return PlaceOrder(
            client_id=client_id,
            intent_id="i",
            instrument=BTC,
            side=side,
            quantity=D(str(quantity)),
            price=D(str(price)),
            time_in_force=force,
            post_only=post_only,
        )

    try:
        top = market.state.exchange.top(0)
        part = await gateway.place(order("part", top.ask_qty + D("0.1"), top.ask))
        assert (part.state, part.executed) == (OrderState.PARTIAL, top.ask_qty)
        gone = await gateway.cancel(CancelOrder(client_id="part", instrument=BTC))
        assert (gone.state, gone.executed) == (OrderState.CANCELLED, top.ask_qty)
        late = await gateway.place(order("late", 1, top.ask, TimeInForce.IOC))
        assert late.state is OrderState.EXPIRED
        rests = await gateway.place(order("rests", "0.1", 59_100, post_only=True))
        assert rests.state is OrderState.OPEN
        await advance(market, BEGIN + 3 * MINUTE_MS)
        done = await gateway.query("rests", BTC)
        assert done.state is OrderState.FILLED
        assert sum(f.quantity for f in await gateway.fills("rests", BTC)) == D("0.1")
    finally:
        await gateway.close()
