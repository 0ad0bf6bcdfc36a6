"""The gateway over HTTP: what it sends, what it makes of the answers, and what it does not do.

Above 400 lines because every call of the face is told beside the others, as in the gateway itself.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from decimal import Decimal

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from config.secrets import ApiKeys, Secret
from config.settings import ExchangeSettings
from core.errors import ConfigError, ExchangeRefused, ExchangeUnavailable, OutcomeUnknown
from core.messages import CancelOrder, OrderState, PlaceOrder, TimeInForce
from core.units import Instrument, Side
from exchanges.binance.gateway import RESYNC_S, BinanceGateway
from exchanges.faults import VenueFault
from exchanges.limits.gate import Gate
from exchanges.limits.tables import ORDERS, WEIGHT
from tests.support.binance_stub import API_KEY, SECRET, BinanceStub
from tests.support.venue_stub import Reply

BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")
ORDER = "/api/v3/order"


def placed(**changes) -> dict:
    answer = {
        "symbol": "BTCUSDT",
        "orderId": 28,
        "orderListId": -1,
        "clientOrderId": "mh-1",
        "transactTime": 1_772_000_000_123,
        "price": "50000.01000000",
        "origQty": "0.00300000",
        "executedQty": "0.00200000",
        "cummulativeQuoteQty": "100.00002",
        "status": "EXPIRED",
        "timeInForce": "IOC",
        "type": "LIMIT",
        "side": "BUY",
        "fills": [
            {
                "price": "50000.01",
                "qty": "0.00150000",
                "commission": "0.0000015",
                "commissionAsset": "BTC",
                "tradeId": 56,
            },
            {
                "price": "49999.99",
                "qty": "0.00050000",
                "commission": "0.0000005",
                "commissionAsset": "BTC",
                "tradeId": 57,
            },
        ],
    }
    return answer | changes


def order(**changes) -> PlaceOrder:
    values = {
        "client_id": "mh-1",
        "intent_id": "i-1",
        "instrument": BTC,
        "side": Side.BUY,
        "quantity": Decimal("0.00300"),
        "price": Decimal("50000.01"),
    }
    return PlaceOrder(**values | changes)


@pytest.fixture
async def stub():
    async with BinanceStub() as server:
        yield server


@pytest.fixture
async def gateway(stub):
    venue = BinanceGateway(stub.settings(), (API_KEY, SECRET), [BTC, ETH])
    yield venue
    await venue.close()


async def test_an_order_goes_out_digit_for_digit_and_comes_back_as_a_snapshot(stub, gateway):
    stub.on("POST", ORDER, Reply(placed()))
    snapshot = await gateway.place(order())
    (sent,) = stub.calls("POST", ORDER)
    meant = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "IOC",
        "quantity": "0.00300",
        "price": "50000.01",
        "newClientOrderId": "mh-1",
        "newOrderRespType": "FULL",
        "recvWindow": "5000",
    }
    assert {k: v for k, v in sent.params.items() if k not in ("timestamp", "signature")} == meant
    assert (snapshot.state, snapshot.executed, snapshot.venue_id) == (OrderState.EXPIRED, Decimal("0.002"), "28")
    assert [(f.trade_id, f.quantity, f.fee_asset) for f in snapshot.fills] == [
        ("56", Decimal("0.0015"), "BTC"),
        ("57", Decimal("0.0005"), "BTC"),
    ]


@pytest.mark.parametrize(
    ("quantity", "price"),
    [("1E+3", "1E-7"), ("0.00000001", "123456789012.123456789"), ("100", "0.10000000"), ("12345.678900", "7E2")],
)
async def test_no_digit_is_rounded_cut_or_written_with_an_exponent(stub, gateway, quantity, price):
    stub.on("POST", ORDER, Reply(placed()))
    await gateway.place(order(quantity=Decimal(quantity), price=Decimal(price)))
    sent = stub.calls("POST", ORDER)[0].params
    assert Decimal(sent["quantity"]) == Decimal(quantity)
    assert Decimal(sent["price"]) == Decimal(price)
    assert "E" not in (sent["quantity"] + sent["price"]).upper()


@pytest.mark.parametrize("force", list(TimeInForce))
async def test_time_in_force_is_what_was_asked(stub, gateway, force):
    stub.on("POST", ORDER, Reply(placed()))
    await gateway.place(order(time_in_force=force))
    assert stub.calls("POST", ORDER)[0].params["timeInForce"] == force.value


async def test_post_only_is_a_limit_maker_without_time_in_force(stub, gateway):
    stub.on("POST", ORDER, Reply(placed(fills=[], executedQty="0", status="NEW")))
    snapshot = await gateway.place(order(post_only=True, side=Side.SELL))
    sent = stub.calls("POST", ORDER)[0].params
    assert (sent["type"], sent["side"], "timeInForce" in sent) == ("LIMIT_MAKER", "SELL", False)
    assert snapshot.state is OrderState.OPEN


async def test_a_client_id_the_venue_would_not_take_is_not_sent(stub, gateway):
    for bad in ("", "a" * 37, "with space", "ümlaut"):
        with pytest.raises(ExchangeRefused, match="client id"):
            await gateway.place(order(client_id=bad))
    assert stub.calls("POST", ORDER) == []


async def test_requests_are_signed_as_the_venue_documents(stub, gateway):
    stub.on("POST", ORDER, Reply(placed()))
    await gateway.place(order())
    sent = stub.calls("POST", ORDER)[0]
    payload, _, signature = sent.raw.rpartition("&signature=")
    assert sent.headers["X-MBX-APIKEY"] == API_KEY
    assert signature == hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()


async def test_keys_come_as_secrets_and_as_ed25519(stub):
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    stub.on("GET", "/api/v3/account", Reply({"balances": []}))
    keys = ApiKeys(api_key=Secret(API_KEY), api_secret=Secret(pem.replace("\n", "\r\n") + " "))
    gateway = BinanceGateway(stub.settings(), keys, [BTC])
    await gateway.account()
    await gateway.close()
    sent = stub.calls("GET", "/api/v3/account")[0]
    payload = sent.raw.rpartition("&signature=")[0]
    private.public_key().verify(base64.b64decode(sent.params["signature"]), payload.encode())


async def test_without_keys_public_data_works_and_private_calls_say_what_to_do(stub):
    gateway = BinanceGateway(stub.settings(), None, [BTC])
    assert await gateway.server_time_ms() == stub.server_ms
    with pytest.raises(ConfigError, match=r"config/api_keys\.json"):
        await gateway.account()
    await gateway.close()


async def test_balances_are_stated_exactly(stub, gateway):
    rows = [{"asset": "USDT", "free": "100.00000001", "locked": "5"}, {"asset": "BTC", "free": "0.1", "locked": "0"}]
    stub.on("GET", "/api/v3/account", Reply({"balances": rows, "updateTime": 5}))
    account = await gateway.account()
    assert account.total("binance", "USDT") == Decimal("105.00000001")
    assert account.free("binance", "BTC") == Decimal("0.1")
    assert abs(account.at_ms - stub.server_ms) < 5_000
    assert stub.calls("GET", "/api/v3/account")[0].params["omitZeroBalances"] == "true"


async def test_a_query_finds_by_client_id_and_none_means_none(stub, gateway):
    stub.on(
        "GET",
        ORDER,
        Reply(placed(fills=[], status="PARTIALLY_FILLED", transactTime=0, time=4, updateTime=9)),
        Reply({"code": -2013, "msg": "Order does not exist."}, status=400),
    )
    found = await gateway.query("mh-1", BTC)
    assert (found.state, found.at_ms, found.fills) == (OrderState.PARTIAL, 9, ())
    assert stub.calls("GET", ORDER)[0].params["origClientOrderId"] == "mh-1"
    assert await gateway.query("mh-1", BTC) is None


async def test_a_cancel_answers_with_our_id_not_the_cancels(stub, gateway):
    answer = placed(clientOrderId="cancel-77", origClientOrderId="mh-1", status="CANCELED", fills=[])
    stub.on("DELETE", ORDER, Reply(answer))
    snapshot = await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert (snapshot.client_id, snapshot.state) == ("mh-1", OrderState.CANCELLED)


async def test_a_cancel_that_came_too_late_tells_what_became_of_the_order(stub, gateway):
    stub.on("DELETE", ORDER, Reply({"code": -2011, "msg": "Unknown order sent."}, status=400))
    stub.on("GET", ORDER, Reply(placed(status="FILLED")), Reply({"code": -2013, "msg": "no"}, status=400))
    snapshot = await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert snapshot.state is OrderState.FILLED
    with pytest.raises(ExchangeRefused, match="Unknown order sent") as refused:
        await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert refused.value.code == "-2011"


async def test_open_orders_include_symbols_no_longer_traded(stub, gateway):
    stub.on("GET", "/api/v3/openOrders", Reply([placed(status="NEW"), placed(symbol="DOGETRY", clientOrderId="mh-2")]))
    row = {"symbol": "DOGETRY", "status": "TRADING", "baseAsset": "DOGE", "quoteAsset": "TRY", "filters": []}
    stub.on("GET", "/api/v3/exchangeInfo", Reply({"symbols": [row]}))
    first, second = await gateway.open_orders()
    assert (first.instrument, second.instrument) == (BTC, Instrument("binance", "DOGE/TRY"))
    await gateway.open_orders()
    assert len(stub.calls("GET", "/api/v3/exchangeInfo")) == 1


def trade(number: int) -> dict:
    return {
        "symbol": "BTCUSDT",
        "id": number,
        "orderId": 28,
        "price": "50000",
        "qty": "0.001",
        "quoteQty": "50",
        "commission": "0.05",
        "commissionAsset": "USDT",
        "time": 1_772_000_000_000 + number,
        "isBuyer": False,
        "isMaker": True,
    }


async def test_fills_are_fetched_by_the_venues_order_id_page_by_page(stub, gateway):
    stub.on("GET", ORDER, Reply(placed()))
    stub.on("GET", "/api/v3/myTrades", Reply([trade(n) for n in range(1_000)]), Reply([trade(1_000)]))
    fills = await gateway.fills("mh-1", BTC)
    assert [f.trade_id for f in fills] == [str(n) for n in range(1_001)]
    assert (fills[0].side, fills[0].maker, fills[0].client_id) == (Side.SELL, True, "mh-1")
    first, second = stub.calls("GET", "/api/v3/myTrades")
    assert first.params["orderId"] == "28"
    assert second.params["fromId"] == "1000"


async def test_fills_of_an_order_the_venue_does_not_know_are_none(stub, gateway):
    stub.on("GET", ORDER, Reply({"code": -2013, "msg": "Order does not exist."}, status=400))
    assert await gateway.fills("mh-9", BTC) == ()
    assert stub.calls("GET", "/api/v3/myTrades") == []


def listed(symbol: str, base: str, quote: str, **changes) -> dict:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00", "applyMinToMarket": True, "maxNotional": "9000000"},
    ]
    row = {"symbol": symbol, "status": "TRADING", "baseAsset": base, "quoteAsset": quote, "filters": filters}
    return row | changes


async def test_rules_are_the_venues_filters_fees_and_limits(stub, gateway):
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 160000},
    ]
    symbols = [listed("ETHUSDT", "ETH", "USDT", status="BREAK"), listed("BTCUSDT", "BTC", "USDT")]
    stub.on("GET", "/api/v3/exchangeInfo", Reply({"symbols": symbols, "rateLimits": limits}))
    rates = {"maker": "0.00075000", "taker": "0.00075000", "buyer": "0", "seller": "0"}
    stub.on("GET", "/api/v3/account", Reply({"balances": [], "commissionRates": rates}))
    rules = await gateway.rules()
    assert list(rules) == [BTC, ETH]
    assert (rules[BTC].tick, rules[BTC].step, rules[BTC].min_notional) == (
        Decimal("0.01"),
        Decimal("0.00001"),
        Decimal(5),
    )
    assert (rules[BTC].taker_fee, rules[ETH].status) == (Decimal("0.00075"), "BREAK")
    assert gateway.gate.look(lambda line, _: [line.counters[n].limit for n in (WEIGHT, ORDERS)]) == [1200, 50]
    asked = stub.calls("GET", "/api/v3/exchangeInfo")[0].params["symbols"]
    assert json.loads(asked) == ["BTCUSDT", "ETHUSDT"]


async def test_a_symbol_the_venue_does_not_list_is_named_with_the_near_one(stub):
    gateway = BinanceGateway(stub.settings(), None, [BTC, Instrument("binance", "ETH/USDR")])
    stub.on(
        "GET",
        "/api/v3/exchangeInfo",
        Reply({"code": -1121, "msg": "Invalid symbol."}, status=400),
        Reply({"symbols": [listed("BTCUSDT", "BTC", "USDT"), listed("ETHUSDT", "ETH", "USDT")]}),
    )
    with pytest.raises(ConfigError, match="does not list ETH/USDR; did you mean ETH/USDT"):
        await gateway.rules()
    await gateway.close()


async def test_rules_without_a_tick_are_not_guessed(stub):
    gateway = BinanceGateway(stub.settings(), None, [BTC])
    stub.on("GET", "/api/v3/exchangeInfo", Reply({"symbols": [listed("BTCUSDT", "BTC", "USDT", filters=[])]}))
    with pytest.raises(ExchangeUnavailable, match="exchange info"):
        await gateway.rules()
    await gateway.close()


def kline(minute: int, close: str = "5", volume: str = "1") -> list:
    return [minute, close, close, close, close, volume, minute + 59_999, "5", 3, "0.5", "2", "0"]


async def test_history_never_has_the_open_bar_and_pages_by_time(stub):
    gateway = BinanceGateway(stub.settings(), None, [BTC])
    start = stub.server_ms // 60_000 * 60_000 - 1_500 * 60_000
    stub.server_ms = start + 1_500 * 60_000 + 30_000  # half a minute into the open bar
    pages = [[kline(start + n * 60_000) for n in range(1_000)]]
    pages.append([kline(start + n * 60_000, volume="0" if n == 1_200 else "1") for n in range(1_000, 1_501)])
    stub.on("GET", "/api/v3/klines", *map(Reply, pages))
    bars = await gateway.history(BTC, start, 1_600)
    assert [b.minute for b in bars] == [start + n * 60_000 for n in range(1_500)]
    assert {b.source for b in bars} == {"rest"}
    assert [b.minute for b in bars if b.filler] == [start + 1_200 * 60_000]
    first, second = stub.calls("GET", "/api/v3/klines")
    assert (first.params["limit"], second.params["limit"]) == ("1000", "600")
    assert int(second.params["startTime"]) == start + 1_000 * 60_000
    await gateway.close()


async def test_history_of_a_hole_is_short_and_ends(stub):
    gateway = BinanceGateway(stub.settings(), None, [BTC])
    start = stub.server_ms // 60_000 * 60_000 - 100 * 60_000
    stub.on("GET", "/api/v3/klines", Reply([]))
    assert await gateway.history(BTC, start, 10) == []
    stub.on("GET", "/api/v3/klines", Reply([kline(start + 7 * 60_000)]), Reply([]))
    assert [b.minute for b in await gateway.history(BTC, start, 10)] == [start + 7 * 60_000]
    await gateway.close()


async def test_history_of_the_future_is_empty_and_asks_for_nothing(stub):
    gateway = BinanceGateway(stub.settings(), None, [BTC])
    assert await gateway.history(BTC, stub.server_ms // 60_000 * 60_000 + 600_000, 10) == []
    assert stub.calls("GET", "/api/v3/klines") == []
    await gateway.close()


async def test_an_old_clock_reading_serves_on_when_the_venue_does_not_tell_its_time(stub, gateway):
    stub.on("POST", ORDER, Reply(placed()))
    await gateway.sync_clock()
    stub.on("GET", "/api/v3/time", Reply("oops", 500))
    gateway._synced_at -= RESYNC_S + 1
    await gateway.place(order())
    await gateway.place(order())
    assert len(stub.calls("POST", ORDER)) == 2
    assert len(stub.calls("GET", "/api/v3/time")) == 2  # not asked again with every order


async def test_a_refused_time_stamp_resyncs_the_clock_and_sends_once_more(stub, gateway):
    stub.on("POST", ORDER, Reply({"code": -1021, "msg": "Timestamp outside of recvWindow."}, 400), Reply(placed()))
    await gateway.sync_clock()
    stub.server_ms += 3_600_000
    await gateway.place(order())
    early, late = (int(r.params["timestamp"]) for r in stub.calls("POST", ORDER))
    assert late - early > 3_000_000


async def test_a_clock_that_stays_refused_is_unavailable_not_a_loop(stub, gateway):
    stub.on("POST", ORDER, Reply({"code": -1021, "msg": "Timestamp outside of recvWindow."}, 400))
    with pytest.raises(ExchangeUnavailable, match="-1021"):
        await gateway.place(order())
    assert len(stub.calls("POST", ORDER)) == 2


class StoppedClock:
    """A market clock that a replay moves."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now_ms(self) -> int:
        return self.at


async def test_time_stamps_follow_a_given_clock_plus_its_offset(stub):
    clock = StoppedClock(stub.server_ms - 1_270)  # the recorded skew of a real machine
    gateway = BinanceGateway(stub.settings(), (API_KEY, SECRET), [BTC], clock=clock)
    stub.on("GET", "/api/v3/account", Reply({"balances": []}))
    await gateway.account()
    clock.at += 60_000
    await gateway.account()
    stamps = [int(r.params["timestamp"]) for r in stub.calls("GET", "/api/v3/account")]
    assert stamps == [stub.server_ms, stub.server_ms + 60_000]
    reading = await gateway.measure_clock()
    assert (reading.offset_ms, reading.within) == (1_270 - 60_000, False)
    assert 0 < reading.round_trip_ms < 2_000
    await gateway.close()


async def test_a_spent_budget_stops_entries_before_they_are_sent_but_not_cancels(stub):
    gate = Gate.of("binance")
    gate.learn({WEIGHT: 100})
    gateway = BinanceGateway(stub.settings(), (API_KEY, SECRET), [BTC], ledger=gate)
    stub.on("POST", ORDER, Reply(placed(), headers={"X-MBX-USED-WEIGHT-1M": "97"}))
    stub.on("DELETE", ORDER, Reply(placed(origClientOrderId="mh-1", status="CANCELED")))
    await gateway.place(order())
    with pytest.raises(ExchangeUnavailable, match="budget of weight is spent") as spent:
        await gateway.place(order(client_id="mh-2"))
    assert spent.value.retry_after_s > 1
    assert len(stub.calls("POST", ORDER)) == 1
    await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    await gateway.close()


async def test_retry_after_is_obeyed_by_every_call(stub, gateway):
    stub.on("GET", "/api/v3/account", Reply({"code": -1003, "msg": "Too much"}, 429, {"Retry-After": "31"}))
    with pytest.raises(ExchangeUnavailable) as away:
        await gateway.account()
    assert away.value.retry_after_s == 31
    with pytest.raises(ExchangeUnavailable, match="asked for a pause"):
        await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert stub.calls("DELETE", ORDER) == []


async def test_a_firewall_is_left_alone_for_a_while(stub, gateway):
    page = Reply("<html>Request blocked</html>", 403, content_type="text/html")
    stub.on("GET", "/api/v3/account", page)
    with pytest.raises(ExchangeUnavailable) as away:
        await gateway.account()
    assert away.value.retry_after_s == 10
    with pytest.raises(ExchangeUnavailable, match="asked for a pause"):
        await gateway.place(order())
    assert stub.calls("POST", ORDER) == []


async def test_a_retry_after_that_is_no_number_is_a_guess_not_a_crash(stub, gateway):
    body = {"code": -1003, "msg": "Way too much request weight used; IP banned."}
    stub.on("GET", "/api/v3/account", Reply(body, 418, {"Retry-After": "9" * 400}))
    with pytest.raises(ExchangeUnavailable) as away:
        await gateway.account()
    assert away.value.retry_after_s == 120


async def test_a_short_pause_is_waited_out(stub, gateway):
    await gateway.sync_clock()
    stub.on("GET", "/api/v3/account", Reply({"balances": []}))
    gateway.gate.look(lambda line, now: line.turned_away(now, 429, 0.15))
    started = asyncio.get_running_loop().time()
    await gateway.account()
    assert asyncio.get_running_loop().time() - started >= 0.14


async def test_too_many_orders_stops_orders_only(stub, gateway):
    stub.on("POST", ORDER, Reply({"code": -1015, "msg": "Too many new orders."}, 429))
    stub.on("DELETE", ORDER, Reply(placed(origClientOrderId="mh-1", status="CANCELED")))
    with pytest.raises(ExchangeUnavailable, match="-1015"):
        await gateway.place(order())
    assert gateway.gate.look(lambda line, now: line.used(now, ORDERS)) == 100
    with pytest.raises(ExchangeUnavailable, match="budget of orders is spent"):
        await gateway.place(order(client_id="mh-2"))
    assert (await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))).state is OrderState.CANCELLED


async def test_an_answer_about_another_order_is_not_believed(stub, gateway):
    stub.on("POST", ORDER, Reply(placed(clientOrderId="mh-7")))
    with pytest.raises(OutcomeUnknown):
        await gateway.place(order())


async def test_with_a_simulator_no_url_leads_to_the_venue(stub, gateway):
    def leaves(tree):
        return [leaf for v in tree.values() for leaf in leaves(v)] if isinstance(tree, dict) else [tree]

    client = gateway._client
    urls = [u for group in ("api", "test", "demo") for u in leaves(client.urls[group])]
    assert len(urls) > 20
    assert all(url.startswith(f"http://127.0.0.1:{stub.port}/") for url in urls)
    with pytest.raises(VenueFault, match="HTTP 500"):
        await client.sapiGetSystemStatus()
    assert stub.requests[-1].path == "/sapi/v1/system/status"


async def test_without_a_simulator_the_urls_are_the_venues():
    gateway = BinanceGateway(ExchangeSettings(), (API_KEY, SECRET), [BTC])
    assert gateway._client.urls["api"]["private"] == "https://api.binance.com/api/v3"
    assert not gateway._client.enableRateLimit
    await gateway.close()
