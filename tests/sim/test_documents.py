"""The venue's documents against the simulator: the same fields in every answer and event, and ccxt's recorded requests.

Needs the folder of samples: they are not ours to keep in the repository.
"""

import asyncio
import json

import aiohttp
import pytest

from core.params import CostSettings
from core.units import MINUTE_MS
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.filters import Limits
from exchanges.simulated.price_range import PriceRange
from exchanges.simulated.server import serve_exchange
from exchanges.simulated.walk import random_walk_tape
from tests.sim.conftest import KEY, SECRET
from tests.sim.test_server import ME, signed
from tests.support.scripted_market import BEGIN, D, steady, story

pytestmark = pytest.mark.shared

ONLY_SOMETIMES = {
    "expiryReason",
    "stopPrice",
    "trailingDelta",
    "trailingTime",
    "preventedMatchId",
    "preventedQuantity",
    "preventedMatches",
    "takerPreventedQuantity",
    "makerPreventedQuantity",
    # Of icebergs and of smart order routing, which no market here takes.
    "icebergQty",
    "sors",
    # Wrapped in cancel-replace refusals only.
    "data",
    # Stop orders wait, so they have one in new answers.
    "workingTime",
    "W",
    "fills",
}
"""Fields that the documents call conditional (rest-api.md, Conditional fields in Order Responses)."""


@pytest.fixture(scope="module")
def documents(shared_data):
    path = shared_data / "wire_samples" / "binance_docs_samples.json"
    return json.loads(path.read_text(encoding="utf-8"))


def names(value, inside=""):
    """Every field of a JSON value by its path; rows of a list count as one."""
    if isinstance(value, dict):
        return {p for k, v in value.items() for p in {f"{inside}.{k}"} | names(v, f"{inside}.{k}")}
    if isinstance(value, list):
        return {p for row in value if isinstance(row, dict | list) for p in names(row, f"{inside}[]")}
    return set()


def certain(paths):
    """Those without what only some answers have, and without what lies inside filters, which differ by market."""
    return {p for p in paths if not set(p.replace("[]", "").split(".")) & ONLY_SOMETIMES and ".filters" not in p}


def documented(documents, endpoint, choose=lambda sample: True):
    found = [r["sample"] for r in documents if r["file"] == "rest-api.md" and r["endpoint"] == endpoint]
    return next(sample for sample in found if choose(sample))


class Venue:
    """A served market and signed calls to it."""

    def __init__(self, server, http):
        self.server, self._http = server, http

    async def ask(self, method, path, **params):
        text = "&".join(f"{k}={v}" for k, v in params.items())
        query = text if path in PUBLIC else signed("&".join(filter(None, (text, f"timestamp={BEGIN}"))))
        url = f"{self.server.url}/api/v3/{path}?{query}"
        async with self._http.request(method, url, headers=ME) as answer:
            return await answer.json()


PUBLIC = {
    "ping",
    "time",
    "exchangeInfo",
    "executionRules",
    "referencePrice",
    "referencePrice/calculation",
    "depth",
    "trades",
    "historicalTrades",
    "aggTrades",
    "klines",
    "avgPrice",
    "ticker/24hr",
    "ticker/price",
    "ticker/bookTicker",
}
BTC = {"symbol": "BTCUSDT"}
LIMIT = {"type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1", "price": "59000"}
OCO = {
    "side": "SELL",
    "quantity": "0.1",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "60500",
    "belowType": "STOP_LOSS_LIMIT",
    "belowPrice": "59300",
    "belowStopPrice": "59500",
    "belowTimeInForce": "GTC",
}


@pytest.fixture
async def venue():
    exchange = story(steady(3), limits=Limits(price_range=PriceRange.of_percent(D(50))))
    server = await serve_exchange(exchange, credentials={KEY: SECRET})
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        yield Venue(server, http)
    await server.close()


@pytest.mark.parametrize(
    ("endpoint", "params"),
    [
        ("ping", {}),
        ("time", {}),
        ("exchangeInfo", {}),
        ("executionRules", {}),
        ("referencePrice", BTC),
        ("referencePrice/calculation", BTC),
        ("depth", BTC),
        ("trades", BTC),
        ("historicalTrades", BTC),
        ("aggTrades", BTC),
        ("klines", BTC | {"interval": "1m"}),
        ("avgPrice", BTC),
        ("ticker/24hr", BTC),
        ("ticker/price", BTC),
        ("ticker/bookTicker", BTC),
    ],
)
async def test_market_data_has_the_documented_fields(documents, venue, endpoint, params):
    def usable(sample):
        return "code" not in sample and (endpoint != "referencePrice/calculation" or "bucketCount" in sample)

    wanted = documented(documents, f"GET /api/v3/{endpoint}", usable)
    got = await venue.ask("GET", endpoint, **params)
    assert isinstance(got, type(wanted))
    if isinstance(wanted, list):
        assert type(got[0]) is type(wanted[0])
        assert len(got[0]) == len(wanted[0])
    assert certain(names(got)) - set(UNSTATED) == certain(names(wanted)) - set(UNSTATED)


UNSTATED = (".rateLimits[].rateLimitType", ".rateLimits[].interval", ".rateLimits[].intervalNum", ".rateLimits[].limit")
"""The sample of exchangeInfo leaves its limits out."""


async def test_orders_and_the_account_have_the_documented_fields(documents, venue):
    def same(got, endpoint, choose=lambda sample: True):
        wanted = documented(documents, endpoint, choose)
        assert certain(names(got)) == certain(names(wanted)), endpoint

    async def new(**more):
        return await venue.ask("POST", "order", **BTC, side="BUY", **more)

    def has(*fields, without=()):
        return lambda s: all(f in s for f in fields) and not any(f in s for f in without)

    ack = await new(**LIMIT, newOrderRespType="ACK", newClientOrderId="first")
    same(ack, "POST /api/v3/order", has("transactTime", without=("status",)))
    same(await new(**LIMIT, newOrderRespType="RESULT"), "POST /api/v3/order", has("status", without=("fills",)))
    full = await new(type="MARKET", quantity="0.1", newOrderRespType="FULL")
    same(full, "POST /api/v3/order", has("fills"))
    assert names(full["fills"]) == names(documented(documents, "POST /api/v3/order", has("fills"))["fills"])
    test = {"type": "MARKET", "quantity": "0.1", "computeCommissionRates": "true"}
    rates = await venue.ask("POST", "order/test", **BTC, side="BUY", **test)
    same(rates, "POST /api/v3/order/test", has("discount"))
    same(await venue.ask("GET", "order", **BTC, origClientOrderId="first"), "GET /api/v3/order")
    same(await venue.ask("GET", "openOrders", **BTC), "GET /api/v3/openOrders")
    same(await venue.ask("GET", "allOrders", **BTC), "GET /api/v3/allOrders")
    same(await venue.ask("GET", "myTrades", **BTC), "GET /api/v3/myTrades")
    same(await venue.ask("GET", "account"), "GET /api/v3/account")
    same(await venue.ask("GET", "account/commission", **BTC), "GET /api/v3/account/commission")
    same(await venue.ask("GET", "rateLimit/order"), "GET /api/v3/rateLimit/order")
    amended = await venue.ask("PUT", "order/amend/keepPriority", **BTC, origClientOrderId="first", newQty="0.05")
    same(amended, "PUT /api/v3/order/amend/keepPriority", has(without=("listStatus",)))
    rows = await venue.ask("GET", "order/amendments", **BTC, orderId=ack["orderId"])
    same(rows, "GET /api/v3/order/amendments")
    same(await venue.ask("DELETE", "order", **BTC, orderId=ack["orderId"]), "DELETE /api/v3/order")


async def test_replacing_answers_as_documented_whatever_became_of_it(documents, venue):
    async def replace(**more):
        ask = BTC | {"side": "BUY", "cancelReplaceMode": "STOP_ON_FAILURE"} | LIMIT | more
        return await venue.ask("POST", "order/cancelReplace", **ask)

    async def resting(client_id):
        await venue.ask("POST", "order", **BTC, side="BUY", **LIMIT, newClientOrderId=client_id)
        return client_id

    def result(cancel, new):
        return lambda s: (s.get("data", s).get("cancelResult"), s.get("data", s).get("newOrderResult")) == (cancel, new)

    done = await replace(cancelOrigClientOrderId=await resting("a"))
    refused = await replace(cancelOrigClientOrderId="nobody")
    half = await replace(cancelOrigClientOrderId=await resting("b"), quantity="90")
    other = await replace(cancelOrigClientOrderId="nobody", cancelReplaceMode="ALLOW_FAILURE", newOrderRespType="ACK")
    both = await replace(cancelOrigClientOrderId="nobody", cancelReplaceMode="ALLOW_FAILURE", quantity="90")
    for got, results in (
        (done, ("SUCCESS", "SUCCESS")),
        (refused, ("FAILURE", "NOT_ATTEMPTED")),
        (half, ("SUCCESS", "FAILURE")),
        (other, ("FAILURE", "SUCCESS")),
        (both, ("FAILURE", "FAILURE")),
    ):
        wanted = documented(documents, "POST /api/v3/order/cancelReplace", result(*results))
        assert {p for p in names(got) if ".fills[]" not in p} == names(wanted), results
        assert (got.get("code"), got.get("msg")) == (wanted.get("code"), wanted.get("msg"))


async def test_lists_and_prevented_matches_have_the_documented_fields(documents, venue):
    made = await venue.ask("POST", "orderList/oco", **BTC, **OCO, listClientOrderId="pair")

    def same(got, endpoint):
        assert certain(names(got)) == certain(names(documented(documents, endpoint))), endpoint

    same(made, "POST /api/v3/orderList/oco")
    wanted = documented(documents, "POST /api/v3/orderList/oco")["orderReports"]
    for row, sample in zip(made["orderReports"], wanted, strict=True):
        assert set(row) == set(sample) - {"icebergQty"}
    same(await venue.ask("GET", "orderList", orderListId=made["orderListId"]), "GET /api/v3/orderList")
    same(await venue.ask("GET", "openOrderList"), "GET /api/v3/openOrderList")
    same(await venue.ask("GET", "allOrderList"), "GET /api/v3/allOrderList")
    same(await venue.ask("DELETE", "orderList", **BTC, listClientOrderId="pair"), "DELETE /api/v3/orderList")
    await venue.ask("POST", "orderList/oco", **BTC, **OCO)
    await venue.ask("POST", "order", **BTC, side="BUY", **LIMIT)
    same(await venue.ask("DELETE", "openOrders", **BTC), "DELETE /api/v3/openOrders")
    top = venue.server.state.exchange.top(0)
    for side in ("SELL", "BUY"):
        await venue.ask("POST", "order", **BTC, side=side, **(LIMIT | {"price": top.ask - D("0.02")}))
    matches = await venue.ask("GET", "myPreventedMatches", **BTC, preventedMatchId=0)
    sample = documented(documents, "GET /api/v3/myPreventedMatches")
    assert names(matches) == names(sample)
    assert matches[0]["selfTradePreventionMode"] == sample[0]["selfTradePreventionMode"]


async def test_streams_have_the_documented_fields(documents, venue):
    def sample(section, file="web-socket-streams.md"):
        return next(r["sample"] for r in documents if r["file"] == file and r["section"] == section)

    server = venue.server
    wanted = {
        "btcusdt@trade": sample("Trade Streams"),
        "btcusdt@aggTrade": sample("Aggregate Trade Streams"),
        "btcusdt@kline_1m": sample("Kline/Candlestick Streams for UTC"),
        "btcusdt@bookTicker": sample("Individual Symbol Book Ticker Streams"),
        "btcusdt@depth": sample("Diff. Depth Stream"),
        "btcusdt@depth@100ms": sample("Diff. Depth Stream"),
    }
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{server.stream_url}?streams={'/'.join(wanted)}") as socket,
    ):
        for step in (1, 2, 3):
            async with server.state.lock:
                await server.state.advance(BEGIN + step * 30_000)
        seen = {}
        async with asyncio.timeout(10):
            while set(seen) != set(wanted):
                frame = await socket.receive_json()
                seen[frame["stream"]] = frame["data"]
    for stream, frame in wanted.items():
        assert names(seen[stream]) == names(frame), stream


async def test_account_events_have_the_documented_fields(documents, venue):
    def sample(section):
        found = (r["sample"] for r in documents if r["file"] == "user-data-stream.md" and r["section"] == section)
        return next(found)["event"]

    server = venue.server
    text = f"apiKey={KEY}&timestamp={BEGIN}"
    subscribe = {"apiKey": KEY, "timestamp": BEGIN, "signature": signed(text).rpartition("=")[2]}
    async with aiohttp.ClientSession() as http, http.ws_connect(server.ws_api_url) as socket:
        await socket.send_json({"id": 1, "method": "userDataStream.subscribe.signature", "params": subscribe})
        assert (await socket.receive_json(timeout=5))["result"] == {"subscriptionId": 0}
        await venue.ask("POST", "order", **BTC, side="BUY", **LIMIT)
        await venue.ask("POST", "orderList/oco", **BTC, **OCO)
        async with http.post(f"{server.url}/sim/transfer", json={"asset": "BTC", "amount": "1"}):
            pass
        await socket.send_json({"id": 2, "method": "userDataStream.unsubscribe"})
        seen = {}
        async with asyncio.timeout(10):
            while "eventStreamTerminated" not in seen:
                frame = await socket.receive_json()
                if "event" in frame:
                    seen.setdefault(frame["event"]["e"], frame["event"])
    wanted = {
        "executionReport": sample("Order Update"),
        "outboundAccountPosition": sample("Account Update"),
        "balanceUpdate": sample("Balance Update"),
        "listStatus": sample("Order Reject Reason"),
        "eventStreamTerminated": sample("Event Stream Terminated"),
    }
    assert set(seen) == set(wanted)
    for kind, frame in wanted.items():
        # ``v`` numbers a prevented match and is there for one only, whatever the sample shows.
        assert certain(names(seen[kind])) == certain(names(frame)) - {".v"}, kind


AT = 1_700_000_000_000
"""When the recorded requests were signed."""


async def test_requests_that_ccxt_was_recorded_sending_are_understood_as_they_are(shared_data):
    """The very bytes, signatures and all: served, and refused for what they ask if at all."""
    path = shared_data / "wire_samples" / "ccxt" / "recorded_requests_ccxt_4.5.90.json"
    requests = json.loads(path.read_text(encoding="utf-8"))["binance"]
    begin = AT // MINUTE_MS * MINUTE_MS
    tape = random_walk_tape(("BTC/USDT",), begin - 150 * MINUTE_MS, 200)
    costs = CostSettings()
    exchange = SimulatedExchange(tape, tape.default_rules(costs), {"USDT": D(1_000_000), "BTC": D(10)}, AT, costs=costs)
    server = await serve_exchange(exchange, credentials={"testkey": "testsecret"})
    answers = {}
    try:
        async with aiohttp.ClientSession(server.url) as http:
            for row in requests:
                if row["path"].startswith("/sapi"):
                    continue
                url = f"{row['path']}?{row['query']}" if row["query"] else row["path"]
                async with http.request(row["method"], url, data=row["body"] or None, headers=row["headers"]) as answer:
                    answers[row["call"]] = (answer.status, await answer.json())
    finally:
        await server.close()
    refused = {call: body["code"] for call, (status, body) in answers.items() if status != 200}
    # The price stands at 60,000, so a buy at 50,000 rests, and the sell that was to rest above the market would match.
    assert refused == {"postOnly": -2010, "edit_order -> cancelReplace": -2022}
    assert answers["create_order limit buy clientOrderId"][1]["status"] == "NEW"
    assert answers["limit IOC"][1]["status"] == "EXPIRED"
    assert answers["market buy cost"][1]["status"] == "FILLED"
    assert answers["stop loss limit"][1]["stopPrice"] == "49500.00000000"
    assert answers["STP"][1]["selfTradePreventionMode"] == "EXPIRE_TAKER"
    assert answers["cancel_order by clientOrderId"][1]["status"] == "CANCELED"
    assert len(answers) > 15
