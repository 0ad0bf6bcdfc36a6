"""Each row of the venues' failures, over a real connection: what the answer to an order becomes, and what our executor
does about it."""

from decimal import Decimal

import pytest

from core.errors import ExchangeRefused, ExchangeUnavailable, OutcomeUnknown
from core.messages import CancelOrder, PlaceOrder, TimeInForce
from core.orders import client_id
from core.params import ExecutionSettings
from core.units import MINUTE_MS, Instrument, MarketRules, Side
from exchanges.binance.gateway import BinanceGateway
from exchanges.upbit.gateway import UpbitGateway
from tests.support.binance_stub import API_KEY, SECRET, BinanceStub
from tests.support.fake_venue import MINUTE, MemoryJournal
from tests.support.hand_executor import HandExecutor
from tests.support.upbit_stub import ACCESS_KEY, SECRET_KEY, UpbitStub, order_answer, refusal
from tests.support.venue_stub import Reply
from tests.wire.test_gateway import BTC, ORDER, order, placed


def no(code: int, msg: str, status: int = 400, **headers: str) -> Reply:
    return Reply({"code": code, "msg": msg}, status, headers)


HTML = "<html><body><h1>{}</h1></body></html>"

ROWS = {
    "notional": (no(-1013, "Filter failure: NOTIONAL"), ExchangeRefused),
    "open orders": (no(-1013, "Filter failure: MAX_NUM_ORDERS"), ExchangeRefused),
    "lot size": (no(-1013, "Filter failure: LOT_SIZE"), ExchangeRefused),
    "tick": (no(-1013, "Filter failure: PRICE_FILTER"), ExchangeRefused),
    "percent price": (no(-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"), ExchangeRefused),
    "precision": (no(-1111, "Precision is over the maximum defined for this asset."), ExchangeRefused),
    "balance": (no(-2010, "Account has insufficient balance for requested action."), ExchangeRefused),
    "post only": (no(-2010, "Order would immediately match and take."), ExchangeRefused),
    "disabled": (no(-2010, "This action is disabled on this account."), ExchangeRefused),
    "closed": (no(-2010, "Market is closed."), ExchangeRefused),
    "duplicate": (no(-2010, "Duplicate order sent."), OutcomeUnknown),
    "clock": (no(-1021, "Timestamp for this request is outside of the recvWindow."), ExchangeUnavailable),
    "signature": (no(-1022, "Signature for this request is not valid."), ExchangeRefused),
    "permission": (no(-2015, "Invalid API-key, IP, or permissions for action.", 401), ExchangeRefused),
    "weight": (no(-1003, "Too much request weight used.", 429, **{"Retry-After": "3"}), ExchangeUnavailable),
    "orders": (no(-1015, "Too many new orders.", 429), ExchangeUnavailable),
    "ban": (no(-1003, "Way too much request weight used; IP banned.", 418), ExchangeUnavailable),
    "waf": (Reply(HTML.format("403 Forbidden"), 403, content_type="text/html"), ExchangeUnavailable),
    "unknown 408": (no(-1007, "Timeout waiting for response from backend server.", 408), OutcomeUnknown),
    "unknown 504": (no(-1007, "Timeout waiting for response from backend server.", 504), OutcomeUnknown),
    "gateway 504": (Reply(HTML.format("504"), 504, content_type="text/html"), OutcomeUnknown),
    "internal": (no(-1000, "An unknown error occurred while processing the request.", 500), OutcomeUnknown),
    "unexpected": (no(-1006, "An unexpected response was received. Execution status unknown.", 500), OutcomeUnknown),
    "bad gateway": (Reply("Bad Gateway", 502, content_type="text/plain"), OutcomeUnknown),
    "no service": (Reply("Service Unavailable", 503, content_type="text/plain"), OutcomeUnknown),
    "busy": (no(-1008, "Server is currently overloaded with other requests.", 503), OutcomeUnknown),
    "half replaced": (no(-2021, "Order cancel-replace partially failed.", 409), OutcomeUnknown),
    "not replaced": (no(-2022, "Order cancel-replace failed."), ExchangeRefused),
    "connection dropped": (Reply(drop=True), OutcomeUnknown),
    "client timeout": (Reply(placed(), delay_s=5.0), OutcomeUnknown),
    "cut json": (Reply('{"symbol":"BTCUSDT","orderId":2'), OutcomeUnknown),
    "empty body": (Reply(""), OutcomeUnknown),
    "no content type": (Reply("", content_type="application/octet-stream"), OutcomeUnknown),
    "empty object": (Reply({}), OutcomeUnknown),
    "id null": (Reply(placed(orderId=None)), OutcomeUnknown),
    "a list": (Reply([]), OutcomeUnknown),
    "a number": (Reply("17"), OutcomeUnknown),
    "null": (Reply("null"), OutcomeUnknown),
    "unheard-of status": (Reply(placed(status="GLORIOUS")), OutcomeUnknown),
    "amount missing": (Reply({k: v for k, v in placed().items() if k != "executedQty"}), OutcomeUnknown),
    "200 with an unknown status code": (no(-1006, "Execution status unknown.", 200), OutcomeUnknown),
}


@pytest.mark.parametrize("row", ROWS)
async def test_an_order_that_went_wrong(row):
    reply, ours = ROWS[row]
    async with BinanceStub() as stub:
        gateway = BinanceGateway(stub.settings(timeout_ms=500), (API_KEY, SECRET), [BTC])
        stub.on("POST", ORDER, reply)
        with pytest.raises((ExchangeRefused, ExchangeUnavailable, OutcomeUnknown)) as caught:
            await gateway.place(order())
        sent = len(stub.calls("POST", ORDER))
        await gateway.close()
    assert type(caught.value) is ours
    assert "binance new order" in str(caught.value)
    assert sent == (2 if row == "clock" else 1)  # nothing but an unread time stamp is ever sent again
    if ours is ExchangeRefused:
        assert caught.value.code == str(reply.body["code"])


@pytest.mark.parametrize("row", [r for r, (_, ours) in ROWS.items() if ours is OutcomeUnknown and r != "duplicate"])
async def test_the_same_for_a_question_is_merely_unavailable(row):
    reply, _ = ROWS[row]
    async with BinanceStub() as stub:
        gateway = BinanceGateway(stub.settings(timeout_ms=500), (API_KEY, SECRET), [BTC])
        stub.on("GET", ORDER, reply)
        with pytest.raises(ExchangeUnavailable, match="query order"):
            await gateway.query("mh-1", BTC)
        await gateway.close()


@pytest.mark.parametrize("row", ["connection dropped", "cut json", "unknown 504", "client timeout"])
async def test_the_same_for_a_cancel_is_unknown(row):
    reply, _ = ROWS[row]
    async with BinanceStub() as stub:
        gateway = BinanceGateway(stub.settings(timeout_ms=500), (API_KEY, SECRET), [BTC])
        stub.on("DELETE", ORDER, reply)
        with pytest.raises(OutcomeUnknown, match="cancel"):
            await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
        await gateway.close()


async def test_a_permission_error_stays_one_after_a_good_private_call():
    async with BinanceStub() as stub:
        gateway = BinanceGateway(stub.settings(), (API_KEY, SECRET), [BTC])
        stub.on("GET", "/api/v3/account", Reply({"balances": []}))
        stub.on("POST", ORDER, ROWS["permission"][0])
        await gateway.account()
        with pytest.raises(ExchangeRefused) as refused:
            await gateway.place(order())
        await gateway.close()
    assert refused.value.code == "-2015"


async def test_a_venue_that_is_not_there_was_never_asked():
    async with BinanceStub() as stub:
        settings = stub.settings()
        gateway = BinanceGateway(settings, (API_KEY, SECRET), [BTC])
        await gateway.sync_clock()
    with pytest.raises(ExchangeUnavailable):
        await gateway.server_time_ms()  # uses up the connection that was still open
    with pytest.raises(ExchangeUnavailable, match="no connection"):
        await gateway.place(order())
    await gateway.close()


# --- Upbit ----------------------------------------------------------------------------------------------------------

KRW_BTC = Instrument("upbit", "BTC/KRW")

UPBIT_ROWS = {
    "429 JSON": (refusal("too_many_requests", status=429), ExchangeUnavailable),
    "429 text": (Reply("Too many API requests.", status=429, content_type="text/plain"), ExchangeUnavailable),
    "418 JSON": (refusal("too_many_requests", "1초 동안 차단", status=418), ExchangeUnavailable),
    "403 page": (Reply(HTML.format("403 Forbidden"), 403, content_type="text/html"), ExchangeUnavailable),
    "500 JSON": (refusal("server_error", status=500), OutcomeUnknown),
    "500 text": (Reply("Internal Server Error", 500, content_type="text/plain"), OutcomeUnknown),
    "502": (Reply("Bad Gateway", 502, content_type="text/plain"), OutcomeUnknown),
    "503": (Reply("Service Unavailable", 503, content_type="text/plain"), OutcomeUnknown),
    "504": (Reply(HTML.format("504"), 504, content_type="text/html"), OutcomeUnknown),
    "cut JSON": (Reply('{"uuid":"cdd9219', status=201), OutcomeUnknown),
    "empty body": (Reply("", status=201), OutcomeUnknown),
    "connection dropped": (Reply(drop=True), OutcomeUnknown),
    "client timeout": (Reply(order_answer(), delay_s=5.0), OutcomeUnknown),
    "duplicate identifier": (refusal("duplicated_identifier", "이미 사용한 identifier입니다."), OutcomeUnknown),
    "nonce read before": (refusal("nonce_used", status=401), OutcomeUnknown),
    "minimum": (refusal("under_min_total_bid"), ExchangeRefused),
    "funds": (refusal("insufficient_funds_bid"), ExchangeRefused),
    "price step": (refusal("invalid_price_bid"), ExchangeRefused),
    "market offline": (refusal("market_offline"), ExchangeRefused),
    "key": (refusal("invalid_access_key", status=401), ExchangeRefused),
    "right": (refusal("out_of_scope", status=403), ExchangeRefused),
    "parameters": (refusal("validation_error"), ExchangeRefused),
}


def upbit(stub: UpbitStub) -> UpbitGateway:
    return UpbitGateway(stub.settings(timeout_ms=500), (ACCESS_KEY, SECRET_KEY), [KRW_BTC])


@pytest.mark.parametrize("row", UPBIT_ROWS)
async def test_an_order_that_went_wrong_at_upbit(row):
    reply, ours = UPBIT_ROWS[row]
    async with UpbitStub() as stub:
        gateway = upbit(stub)
        stub.on("POST", "/v1/orders", reply)
        with pytest.raises((ExchangeRefused, ExchangeUnavailable, OutcomeUnknown)) as caught:
            await gateway.place(order(instrument=KRW_BTC, price=Decimal(150_000_000)))
        sent = len(stub.calls("POST", "/v1/orders"))
        await gateway.close()
    assert type(caught.value) is ours
    assert "upbit new order" in str(caught.value)
    assert sent == 1
    if ours is ExchangeRefused:
        assert caught.value.code == reply.body["error"]["name"]


# --- what the executor does about it --------------------------------------------------------------------------------


def rules_for(instrument: Instrument) -> dict[Instrument, MarketRules]:
    rule = MarketRules(
        instrument=instrument,
        tick=Decimal(1),
        step=Decimal("0.00001"),
        min_qty=Decimal("0.00001"),
        max_qty=Decimal(100),
        min_notional=Decimal(5),
    )
    return {instrument: rule}


def wanted(instrument: Instrument) -> PlaceOrder:
    return PlaceOrder(
        client_id=client_id("main", "hand", MINUTE, instrument.symbol, 0),
        intent_id="by itself",
        instrument=instrument,
        side=Side.BUY,
        quantity=Decimal("0.001"),
        price=Decimal(150_000_000),
        time_in_force=TimeInForce.IOC,
    )


@pytest.mark.parametrize(
    ("venue", "row"), [*(("binance", row) for row in ROWS), *(("upbit", row) for row in UPBIT_ROWS)]
)
async def test_what_is_open_ended_is_asked_about_twice_before_anything_else_and_the_rest_is_not(venue, row):
    """The venue says both times that it has no such order; then, and not before, it is given up. It is sent once."""
    binance = venue == "binance"
    reply, ours = (ROWS if binance else UPBIT_ROWS)[row]
    instrument, post, get = (BTC, ORDER, ORDER) if binance else (KRW_BTC, "/v1/orders", "/v1/order")
    async with BinanceStub() if binance else UpbitStub() as stub:
        if binance:
            gateway = BinanceGateway(stub.settings(timeout_ms=2_000), (API_KEY, SECRET), [BTC])
            absent, nothing_open = no(-2013, "Order does not exist."), "/api/v3/openOrders"
        else:
            gateway = upbit(stub)
            absent, nothing_open = refusal("order_not_found", status=404), "/v1/orders/open"
        stub.on("POST", post, reply)
        stub.on("GET", get, absent)
        stub.on("GET", nothing_open, Reply([]))
        executor = HandExecutor(
            ExecutionSettings(unknown_requery_s=2.0), "main", gateway, MemoryJournal(), rules=rules_for(instrument)
        )
        start = MINUTE + MINUTE_MS
        await executor.start(start)
        # An empty journal makes the first order ask first, in case an earlier life had sent it.
        before = len(stub.calls("GET", get))
        placed_order = wanted(instrument)
        await executor.place(placed_order, MINUTE, start)
        asked_before_sending = 1 if binance else 2
        asked = len(stub.calls("GET", get)) - before - asked_before_sending
        state = (await executor.books())["states"][placed_order.client_id]
        open_ended = ours is OutcomeUnknown
        assert (asked > 0, state) == (open_ended, "unknown" if open_ended else "rejected")
        await executor.beat(start + 1_000)
        assert len(stub.calls("GET", get)) - before - asked_before_sending == asked
        await executor.beat(start + 2_000)
        again = len(stub.calls("GET", get)) - before - asked_before_sending
        assert again == 2 * asked
        for call in stub.calls("GET", get):
            name = call.params.get("origClientOrderId") or call.params["identifier"]
            assert name.startswith(placed_order.client_id)
        assert (await executor.books())["states"][placed_order.client_id] == "rejected"
        assert len(stub.calls("POST", post)) == (2 if row == "clock" else 1)
        await gateway.close()
