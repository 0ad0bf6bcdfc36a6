"""Upbit's gateway over HTTP: what it sends, what it makes of the answers, and what it does not do.

Above 400 lines because every call of the face is told beside the others, as in the gateway itself.
"""

import asyncio
from decimal import Decimal

import pytest

from config.secrets import ApiKeys, Secret
from config.settings import ExchangeSettings
from core.errors import ConfigError, ExchangeRefused, ExchangeUnavailable, OutcomeUnknown
from core.messages import CancelOrder, OrderState, PlaceOrder, TimeInForce
from core.units import MINUTE_MS, Instrument, Side
from exchanges.limits import Gate
from exchanges.upbit.gateway import UpbitGateway
from tests.support.upbit_stub import (
    ACCESS_KEY,
    SECRET_KEY,
    UpbitStub,
    claims_of,
    filled_answer,
    order_answer,
    refusal,
    ticker,
)
from tests.support.venue_stub import Reply

D = Decimal
BTC, DOGE = Instrument("upbit", "BTC/KRW"), Instrument("upbit", "DOGE/KRW")
ORDERS, ORDER = "/v1/orders", "/v1/order"


def order(**changes) -> PlaceOrder:
    values = {
        "client_id": "mh-1",
        "intent_id": "i-1",
        "instrument": BTC,
        "side": Side.BUY,
        "quantity": D("0.001"),
        "price": D("150000000"),
    }
    return PlaceOrder(**values | changes)


@pytest.fixture
async def stub():
    async with UpbitStub() as server:
        yield server
        assert server.forged == []


@pytest.fixture
async def gateway(stub):
    venue = UpbitGateway(stub.settings(), (ACCESS_KEY, SECRET_KEY), [BTC, DOGE])
    yield venue
    await venue.close()


async def test_an_order_goes_out_digit_for_digit_and_comes_back_with_its_fills(stub, gateway):
    stub.on("POST", ORDERS, Reply(order_answer(), status=201))
    stub.on("GET", ORDER, Reply(filled_answer()))
    snapshot = await gateway.place(order())
    (sent,) = stub.calls("POST", ORDERS)
    assert sent.params == {
        "market": "KRW-BTC",
        "side": "bid",
        "ord_type": "limit",
        "volume": "0.00100000",
        "price": "150000000",
        "identifier": "mh-1",
        "time_in_force": "ioc",
        "smp_type": "cancel_taker",
    }
    assert sent.headers["Content-Type"].startswith("application/json")
    assert (snapshot.state, snapshot.executed, snapshot.quantity) == (OrderState.EXPIRED, D("0.0007"), D("0.001"))
    assert [(f.trade_id, f.quantity, f.fee, f.fee_asset) for f in snapshot.fills] == [
        ("t-1", D("0.0005"), D("37.5"), "KRW"),
        ("t-2", D("0.0002"), D("14.9999"), "KRW"),
    ]
    assert sum(f.fee for f in snapshot.fills) == D("52.4999")
    assert stub.calls("GET", ORDER)[0].params == {"uuid": snapshot.venue_id}


@pytest.mark.parametrize(
    ("symbol", "side", "price", "sent"),
    [
        ("BTC/KRW", Side.BUY, "150000999", "150000000"),
        ("BTC/KRW", Side.SELL, "150000001", "150001000"),
        ("BTC/KRW", Side.SELL, "999999.4", "1000000"),  # up into the next stretch of the table
        ("BTC/KRW", Side.BUY, "1000000.4", "1000000"),
        ("DOGE/KRW", Side.BUY, "298.9", "298"),
        ("DOGE/KRW", Side.SELL, "99.91", "100"),
        ("DOGE/KRW", Side.BUY, "99.96", "99.9"),
        ("DOGE/KRW", Side.SELL, "0.00012345", "0.000124"),
        ("USDT/KRW", Side.BUY, "1499.9", "1499.5"),
        ("USDT/KRW", Side.SELL, "1499.6", "1500"),
    ],
)
async def test_every_price_is_rounded_by_the_table_at_its_own_height_on_the_cautious_side(
    stub, gateway, symbol, side, price, sent
):
    instrument = Instrument("upbit", symbol)
    code = f"KRW-{instrument.base}"
    stub.on("POST", ORDERS, Reply(order_answer(market=code)))
    stub.on("GET", ORDER, Reply(order_answer(market=code)))
    await gateway.place(order(instrument=instrument, side=side, price=D(price)))
    assert D(stub.calls("POST", ORDERS)[0].params["price"]) == D(sent)


async def test_a_quantity_is_cut_never_raised_and_never_written_with_an_exponent(stub, gateway):
    stub.on("POST", ORDERS, Reply(order_answer()))
    stub.on("GET", ORDER, Reply(order_answer()))
    await gateway.place(order(quantity=D("1E-8")))
    await gateway.place(order(quantity=D("0.123456789")))
    assert [r.params["volume"] for r in stub.calls("POST", ORDERS)] == ["0.00000001", "0.12345678"]


@pytest.mark.parametrize(
    ("changes", "force", "smp"),
    [
        ({"time_in_force": TimeInForce.IOC}, "ioc", "cancel_taker"),
        ({"time_in_force": TimeInForce.FOK}, "fok", "cancel_taker"),
        ({"time_in_force": TimeInForce.GTC}, None, "cancel_taker"),
        ({"time_in_force": TimeInForce.GTC, "post_only": True}, "post_only", None),
    ],
)
async def test_time_in_force_and_protection_from_ourselves(stub, gateway, changes, force, smp):
    stub.on("POST", ORDERS, Reply(order_answer(time_in_force=force)))
    stub.on("GET", ORDER, Reply(order_answer(time_in_force=force)))
    snapshot = await gateway.place(order(**changes))
    sent = stub.calls("POST", ORDERS)[0].params
    assert (sent.get("time_in_force"), sent.get("smp_type")) == (force, smp)
    assert snapshot.state is OrderState.OPEN


async def test_an_accepted_order_that_cannot_be_read_again_is_still_accepted(stub, gateway):
    stub.on("POST", ORDERS, Reply(order_answer()))
    stub.on("GET", ORDER, Reply("oops", status=502))
    snapshot = await gateway.place(order())
    assert (snapshot.state, snapshot.venue_id) == (OrderState.OPEN, order_answer()["uuid"])


@pytest.mark.parametrize(
    ("state", "force", "executed", "remaining", "is_now"),
    [
        ("wait", None, "0", "0.001", OrderState.OPEN),
        ("watch", None, "0", "0.001", OrderState.OPEN),
        ("wait", None, "0.0004", "0.0006", OrderState.PARTIAL),
        ("done", None, "0.001", "0", OrderState.FILLED),
        ("done", None, "0.0004", "0", OrderState.EXPIRED),
        ("cancel", None, "0.0004", "0.0006", OrderState.CANCELLED),
        ("cancel", "post_only", "0", "0.001", OrderState.CANCELLED),
        ("cancel", "ioc", "0.0004", "0.0006", OrderState.EXPIRED),
        ("cancel", "fok", "0", "0.001", OrderState.EXPIRED),
    ],
)
async def test_states_in_our_words(stub, gateway, state, force, executed, remaining, is_now):
    answer = order_answer(state=state, time_in_force=force, executed_volume=executed, remaining_volume=remaining)
    stub.on("GET", ORDER, Reply(answer))
    assert (await gateway.query("mh-1", BTC)).state is is_now


async def test_a_client_id_that_is_not_plain_is_not_sent(stub, gateway):
    for bad in ("", "a" * 37, "with space", "ümlaut", "a&b=c"):
        with pytest.raises(ExchangeRefused, match="client id"):
            await gateway.place(order(client_id=bad))
    assert stub.calls("POST", ORDERS) == []


async def test_each_request_has_a_token_of_its_own_over_exactly_what_was_sent(stub):
    nonces = iter(["n-1", "n-2", "n-3"])
    gateway = UpbitGateway(stub.settings(), (ACCESS_KEY, SECRET_KEY), [BTC], nonce=lambda: next(nonces))
    stub.on("GET", "/v1/accounts", Reply([]))
    stub.on("GET", "/v1/orders/open", Reply([]))
    await gateway.account()
    await gateway.open_orders()
    await gateway.close()
    plain, hashed = (claims_of(token) for token in stub.tokens())
    assert plain == {"access_key": ACCESS_KEY, "nonce": "n-1"}
    assert (hashed["nonce"], hashed["query_hash_alg"], len(hashed["query_hash"])) == ("n-2", "SHA512", 128)
    (sent,) = stub.calls("GET", "/v1/orders/open")
    assert sent.raw == "states[]=wait&states[]=watch&page=1&limit=100&order_by=asc"


async def test_without_keys_public_data_works_and_private_calls_say_what_to_do(stub):
    gateway = UpbitGateway(stub.settings(), None, [BTC])
    assert abs(await gateway.server_time_ms() - stub.server_ms) < 1_000
    with pytest.raises(ConfigError, match=r"config/api_keys\.json"):
        await gateway.account()
    await gateway.close()


async def test_balances_are_stated_exactly(stub, gateway):
    rows = [
        {"currency": "KRW", "balance": "1000000.12345678", "locked": "5", "avg_buy_price": "0", "unit_currency": "KRW"},
        {"currency": "BTC", "balance": "0.1", "locked": "0", "avg_buy_price": "1", "unit_currency": "KRW"},
    ]
    stub.on("GET", "/v1/accounts", Reply(rows))
    account = await gateway.account()
    assert account.total("upbit", "KRW") == D("1000005.12345678")
    assert account.free("upbit", "BTC") == D("0.1")


async def test_a_query_finds_by_client_id_and_none_means_none(stub, gateway):
    stub.on("GET", ORDER, refusal("order_not_found", "주문을 찾지 못했습니다.", 404))
    assert await gateway.query("mh-1", BTC) is None
    assert await gateway.fills("mh-1", BTC) == ()
    assert [r.params["identifier"] for r in stub.calls("GET", ORDER)] == ["mh-1", "mh-1_r1"] * 2


async def test_an_answer_about_another_order_is_not_believed(stub, gateway):
    stub.on("GET", ORDER, Reply(order_answer(identifier="mh-2")))
    with pytest.raises(ExchangeUnavailable, match="query order"):
        await gateway.query("mh-1", BTC)
    stub.on("POST", ORDERS, Reply(order_answer(market="KRW-DOGE")))
    with pytest.raises(OutcomeUnknown):
        await gateway.place(order())


async def test_a_cancel_is_asked_for_by_the_venues_id_and_tells_where_it_stands(stub, gateway):
    stub.on(
        "GET",
        ORDER,
        Reply(order_answer()),
        Reply(order_answer()),
        Reply(order_answer(state="cancel", time_in_force=None)),
    )
    stub.on("DELETE", ORDER, Reply(order_answer()))
    found = await gateway.query("mh-1", BTC)
    first = await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert stub.calls("DELETE", ORDER)[0].params == {"uuid": found.venue_id}
    assert first.state is OrderState.OPEN  # accepted, not there yet
    again = await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert again.state is OrderState.CANCELLED


async def test_a_cancel_of_an_order_that_is_over_tells_how_it_ended(stub, gateway):
    stub.on("DELETE", ORDER, refusal("order_not_found", status=404))
    stub.on("GET", ORDER, Reply(filled_answer()))
    ended = await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert stub.calls("DELETE", ORDER)[0].params == {"identifier": "mh-1"}
    assert (ended.state, len(ended.fills)) == (OrderState.EXPIRED, 2)


async def test_a_cancel_of_an_unknown_order_is_refused(stub, gateway):
    stub.on("DELETE", ORDER, refusal("order_not_found", status=404))
    stub.on("GET", ORDER, refusal("order_not_found", status=404))
    with pytest.raises(ExchangeRefused) as caught:
        await gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))
    assert caught.value.code == "order_not_found"


async def test_an_identifier_is_used_once_and_the_earlier_one_is_looked_up_first(stub, gateway):
    """Upbit never takes an identifier again, also after a request that failed."""
    stub.on(
        "POST",
        ORDERS,
        refusal("too_many_requests", status=429, **{"Retry-After": "0"}),
        Reply(order_answer(identifier="mh-1_r1")),
    )
    stub.on(
        "GET",
        ORDER,
        refusal("order_not_found", status=404),
        refusal("order_not_found", status=404),
        Reply(order_answer(identifier="mh-1_r1")),
    )
    with pytest.raises(ExchangeUnavailable):
        await gateway.place(order())
    assert stub.calls("GET", ORDER) == []
    snapshot = await gateway.place(order())
    assert [r.params["identifier"] for r in stub.calls("POST", ORDERS)] == ["mh-1", "mh-1_r1"]
    assert [r.params.get("identifier") for r in stub.calls("GET", ORDER)] == ["mh-1", "mh-1_r1", None]
    assert snapshot.client_id == "mh-1"


async def test_an_order_that_was_placed_after_all_is_not_placed_again(stub, gateway):
    stub.on("POST", ORDERS, Reply(drop=True))
    with pytest.raises(OutcomeUnknown):
        await gateway.place(order())
    stub.on("GET", ORDER, Reply(filled_answer()))
    snapshot = await gateway.place(order())
    assert (snapshot.executed, len(stub.calls("POST", ORDERS))) == (D("0.0007"), 1)


async def test_open_orders_are_those_of_the_whole_account(stub, gateway):
    rows = [order_answer(identifier=f"mh-{n}", uuid=f"u-{n}", time_in_force=None) for n in range(100)]
    foreign = order_answer(market="BTC-ETH", identifier=None, ord_type="best", price=None, volume=None, side="ask")
    del foreign["identifier"]
    stub.on("GET", "/v1/orders/open", Reply(rows), Reply([foreign]))
    orders = await gateway.open_orders()
    assert [r.params["page"] for r in stub.calls("GET", "/v1/orders/open")] == ["1", "2"]
    assert [o.client_id for o in orders[:100]] == [f"mh-{n}" for n in range(100)]
    assert (orders[100].instrument, orders[100].client_id) == (Instrument("upbit", "ETH/BTC"), "")


def market_answers(stub):
    stub.on("GET", "/v1/market/all", Reply([{"market": "KRW-BTC"}, {"market": "KRW-DOGE"}, {"market": "BTC-DOGE"}]))
    stub.on("GET", "/v1/ticker", Reply([ticker(), ticker(market="KRW-DOGE", trade_price=298.0)]))
    ticks = [
        {"market": "KRW-BTC", "quote_currency": "KRW", "tick_size": "1000", "supported_levels": ["0"]},
        {"market": "KRW-DOGE", "quote_currency": "KRW", "tick_size": "1", "supported_levels": ["0"]},
    ]
    stub.on("GET", "/v1/orderbook/instruments", Reply(ticks))


CHANCE = {
    "bid_fee": "0.0004",
    "ask_fee": "0.0005",
    "maker_bid_fee": "0.0003",
    "maker_ask_fee": "0.0003",
    "market": {
        "id": "KRW-BTC",
        "bid": {"currency": "KRW", "min_total": "5000"},
        "ask": {"currency": "BTC", "min_total": "6000"},
        "max_total": "1000000000",
        "state": "active",
    },
    "bid_account": {},
    "ask_account": {},
}


async def test_rules_are_the_venues_at_the_price_of_now(stub, gateway):
    market_answers(stub)
    stub.on("GET", "/v1/orders/chance", Reply(CHANCE))
    rules = await gateway.rules()
    assert list(rules) == [BTC, DOGE]
    assert (rules[BTC].tick, rules[DOGE].tick, rules[BTC].step) == (D(1_000), D(1), D("1E-8"))
    assert (rules[BTC].min_notional, rules[BTC].maker_fee, rules[BTC].taker_fee) == (D(6_000), D("0.0003"), D("0.0005"))
    assert rules[BTC].max_qty == D("6.66666666")
    assert rules[BTC].status == "TRADING"
    assert stub.calls("GET", "/v1/ticker")[0].params["markets"] == "KRW-BTC,KRW-DOGE"


async def test_rules_without_keys_are_the_public_ones(stub):
    gateway = UpbitGateway(stub.settings(), None, [DOGE])
    market_answers(stub)
    rules = await gateway.rules()
    assert (rules[DOGE].min_notional, rules[DOGE].taker_fee) == (D(5_000), D("0.0005"))
    await gateway.close()


async def test_the_venues_own_tick_beats_the_table_where_it_was_told(stub, gateway):
    market_answers(stub)
    stub.on("GET", "/v1/orders/chance", Reply(CHANCE))
    stub.on(
        "GET",
        "/v1/orderbook/instruments",
        Reply([{"market": "KRW-BTC", "tick_size": "2000"}, {"market": "KRW-DOGE", "tick_size": "1"}]),
    )
    await gateway.rules()
    stub.on("POST", ORDERS, Reply(order_answer()))
    stub.on("GET", ORDER, Reply(order_answer()))
    await gateway.place(order(price=D("150001000")))
    assert stub.calls("POST", ORDERS)[0].params["price"] == "150000000"


async def test_a_market_that_is_not_listed_is_named_with_the_near_one(stub):
    gateway = UpbitGateway(stub.settings(), None, [Instrument("upbit", "DOGE/KWR")])
    market_answers(stub)
    with pytest.raises(ConfigError, match="did you mean DOGE/KRW"):
        await gateway.rules()
    await gateway.close()


def candle(minute: int, **changes) -> dict:
    stamp = f"2026-02-25T{minute // 60:02d}:{minute % 60:02d}:00"
    row = {"market": "KRW-BTC", "candle_date_time_utc": stamp, "candle_date_time_kst": "x", "unit": 1}
    row |= {"opening_price": 1.0, "high_price": 2.0, "low_price": 1.0, "trade_price": 2.0}
    return row | {"timestamp": 1, "candle_acc_trade_price": 2.0, "candle_acc_trade_volume": 1.5} | changes


DAY = 1_771_977_600_000
"""2026-02-25T00:00:00Z."""


async def test_history_pages_by_time_over_minutes_without_trades(stub, gateway):
    """200 rows reach further back than 200 minutes when some are empty: rows outside of the page are not its own."""
    stub.server_ms = DAY + 290 * MINUTE_MS + 5_000
    first = [candle(m) for m in range(199, 0, -3)]
    second = [candle(m) for m in (290, 289, 288, 250, 199, 198)]  # 290 is still open
    stub.on("GET", "/v1/candles/minutes/1", Reply(first), Reply(second))
    bars = await gateway.history(BTC, DAY + MINUTE_MS, 300)
    asked = [r.params for r in stub.calls("GET", "/v1/candles/minutes/1")]
    assert [a["to"] for a in asked] == ["2026-02-25T03:21:00Z", "2026-02-25T05:01:00Z"]
    assert {a["count"] for a in asked} == {"200"}
    minutes = [(b.minute - DAY) // MINUTE_MS for b in bars]
    assert minutes == [*range(1, 200, 3), 250, 288, 289]
    assert {b.source for b in bars} == {"rest"}
    assert not any(b.filler for b in bars)


async def test_a_candle_that_cannot_be_is_not_handed_on(stub, gateway):
    stub.server_ms = DAY + 290 * MINUTE_MS
    for bad in ({"low_price": 5.0}, {"trade_price": -1.0}, {"candle_date_time_utc": "yesterday"}, {"high_price": None}):
        stub.on("GET", "/v1/candles/minutes/1", Reply([candle(1, **bad)]))
        with pytest.raises(ExchangeUnavailable, match="minute candles"):
            await gateway.history(BTC, DAY, 10)


KEY_ROWS = [
    {"access_key": "other", "expire_at": "2026-01-01T00:00:00+09:00"},
    {"access_key": ACCESS_KEY, "expire_at": "2027-02-25T09:00:00+09:00"},
]


@pytest.mark.parametrize(
    ("test_order", "look", "trade", "withdraw"),
    [
        (Reply(order_answer(), status=201), refusal("out_of_scope", status=401), True, None),
        (refusal("insufficient_funds_bid"), refusal("out_of_scope", status=403), True, None),
        (refusal("out_of_scope", status=401), Reply({"currency": {}}), False, True),
        (refusal("under_min_total_bid"), refusal("validation_error"), True, True),
    ],
)
async def test_the_rights_of_a_key_as_far_as_upbit_tells(stub, gateway, test_order, look, trade, withdraw):
    stub.on("GET", "/v1/api_keys", Reply(KEY_ROWS))
    stub.on("POST", "/v1/orders/test", test_order)
    stub.on("GET", "/v1/withdraws/chance", look)
    rights = await gateway.rights()
    assert (rights.can_trade, rights.can_withdraw, rights.expires_ms) == (trade, withdraw, 1_803_513_600_000)
    (sent,) = stub.calls("POST", "/v1/orders/test")
    assert D(sent.params["volume"]) * D(sent.params["price"]) > 5_000
    assert stub.calls("POST", ORDERS) == []


@pytest.mark.parametrize(
    ("name", "status", "advice"),
    [
        ("invalid_access_key", 401, "copy it again"),
        ("jwt_verification", 401, "does not fit the access key"),
        ("expired_access_key", 401, "make a new one"),
        ("no_authorization_ip", 401, "add its public IP"),
        ("no_authorization_i_p", 403, "add its public IP"),
        ("out_of_scope", 401, "'Make Orders'"),
        ("out_of_scope", 403, "'Make Orders'"),
    ],
)
async def test_a_bad_key_says_what_to_do(stub, gateway, name, status, advice):
    stub.on("POST", ORDERS, refusal(name, status=status))
    with pytest.raises(ExchangeRefused, match=advice) as caught:
        await gateway.place(order())
    assert caught.value.code == name


HTML = "<html>Service Unavailable</html>"

PLACE_ROWS = {
    "429 JSON": (refusal("too_many_requests", status=429), ExchangeUnavailable),
    "429 text": (Reply("Too many API requests.", status=429, content_type="text/plain"), ExchangeUnavailable),
    "418 JSON": (refusal("too_many_requests", "60초 동안 차단", status=418), ExchangeUnavailable),
    "418 text": (Reply("", status=418), ExchangeUnavailable),
    "400 with the name of a rate refusal": (refusal("too_many_requests"), ExchangeUnavailable),
    "500 JSON": (refusal("server_error", status=500), OutcomeUnknown),
    "500 text": (Reply(HTML, status=500), OutcomeUnknown),
    "502": (Reply(HTML, status=502), OutcomeUnknown),
    "503": (Reply(HTML, status=503), OutcomeUnknown),
    "504": (Reply(HTML, status=504), OutcomeUnknown),
    "cut JSON": (Reply('{"uuid":"cdd9219'), OutcomeUnknown),
    "empty": (Reply(""), OutcomeUnknown),
    "another shape": (Reply([1, 2]), OutcomeUnknown),
    "redirect": (Reply("", status=302, headers={"Location": "http://127.0.0.1:9/"}), OutcomeUnknown),
    "connection cut": (Reply(drop=True), OutcomeUnknown),
    "no answer in time": (Reply(order_answer(), delay_s=1.0), OutcomeUnknown),
    "read before": (refusal("nonce_used", status=401), OutcomeUnknown),
    "read before, cut": (Reply('{"error":{"na', status=401), OutcomeUnknown),
    "identifier used": (refusal("invalid_identifier", "identifier already used"), OutcomeUnknown),
    "insufficient funds": (refusal("insufficient_funds_bid"), ExchangeRefused),
    "under the minimum": (refusal("under_min_total_bid"), ExchangeRefused),
    "off the grid": (refusal("invalid_price_bid"), ExchangeRefused),
    "validation": (refusal("validation_error"), ExchangeRefused),
    "a number for a name": (refusal(400), ExchangeRefused),
    "403 page": (Reply(HTML, status=403), ExchangeUnavailable),
}


@pytest.mark.parametrize(("reply", "kind"), PLACE_ROWS.values(), ids=PLACE_ROWS)
async def test_what_a_failed_order_means(stub, reply, kind):
    gateway = UpbitGateway(stub.settings(timeout_ms=500), (ACCESS_KEY, SECRET_KEY), [BTC])
    stub.on("POST", ORDERS, reply)
    with pytest.raises(kind) as caught:
        await gateway.place(order())
    assert type(caught.value) is kind
    assert len(stub.calls("POST", ORDERS)) == 1
    await gateway.close()


@pytest.mark.parametrize(
    "row", ["500 JSON", "502", "cut JSON", "connection cut", "no answer in time", "read before", "read before, cut"]
)
async def test_a_failed_question_means_that_nothing_happened(stub, row):
    gateway = UpbitGateway(stub.settings(timeout_ms=500), (ACCESS_KEY, SECRET_KEY), [BTC])
    stub.on("GET", ORDER, PLACE_ROWS[row][0])
    with pytest.raises(ExchangeUnavailable):
        await gateway.query("mh-1", BTC)
    await gateway.close()
    if row == "connection cut":
        # The library sends a question again over a new connection; the venue turns the used nonce down.
        assert stub.forged == [f"{ORDER}: nonce used"]
        stub.forged.clear()


async def test_a_venue_that_is_not_there_is_unavailable_also_for_an_order():
    gateway = UpbitGateway(ExchangeSettings(rest_url="http://127.0.0.1:9"), (ACCESS_KEY, SECRET_KEY), [BTC])
    with pytest.raises(ExchangeUnavailable, match="no connection"):
        await gateway.place(order())
    await gateway.close()


async def test_a_rate_refusal_is_obeyed_and_holds_its_group(stub):
    ledger = Gate.of("upbit")
    gateway = UpbitGateway(stub.settings(), (ACCESS_KEY, SECRET_KEY), [BTC], ledger=ledger)
    stub.on("POST", ORDERS, refusal("too_many_requests", status=429, **{"Retry-After": "60"}))
    with pytest.raises(ExchangeUnavailable) as caught:
        await gateway.place(order())
    assert (caught.value.retry_after_s, ledger.look(lambda line, _: line.refusals)) == (60.0, 1)
    with pytest.raises(ExchangeUnavailable, match="asked for a pause"):
        await gateway.place(order(client_id="mh-2"))
    assert len(stub.calls("POST", ORDERS)) == 1
    await gateway.close()


async def test_a_block_is_as_long_as_its_text_says(stub):
    ledger = Gate.of("upbit")
    gateway = UpbitGateway(stub.settings(), (ACCESS_KEY, SECRET_KEY), [BTC], ledger=ledger)
    stub.on("GET", "/v1/accounts", refusal("too_many_requests", "요청이 많아 3분 동안 차단됩니다", status=418))
    with pytest.raises(ExchangeUnavailable) as caught:
        await gateway.account()
    assert caught.value.retry_after_s == 180.0
    await gateway.close()


async def test_a_firewall_holds_every_group_and_a_missing_right_none(stub, gateway):
    stub.on("GET", "/v1/accounts", refusal("out_of_scope", status=403))
    with pytest.raises(ExchangeRefused):
        await gateway.account()
    stub.on("GET", "/v1/accounts", Reply("<html>blocked</html>", 403, content_type="text/html"))
    with pytest.raises(ExchangeUnavailable) as away:
        await gateway.account()
    assert away.value.retry_after_s == 10
    with pytest.raises(ExchangeUnavailable, match="asked for a pause"):
        await gateway.place(order())
    assert stub.calls("POST", ORDERS) == []


async def test_more_orders_than_a_second_takes_wait_their_turn(stub, gateway):
    """12 orders a second are taken; none of 20 at once is turned away, and none is sent too early."""
    stub.on("POST", ORDERS, *(Reply(order_answer(identifier=f"mh-{n}", uuid=f"u-{n}")) for n in range(20)))
    stub.on("GET", ORDER, refusal("order_not_found", status=404))
    stub.remaining = "group=x"
    loop = asyncio.get_running_loop()
    began = loop.time()
    for n in range(20):
        await gateway.place(order(client_id=f"mh-{n}"))
    assert loop.time() - began >= 0.9
    assert gateway.gate.look(lambda line, _: line.refusals) == 0


async def test_the_clock_is_measured_from_whole_seconds(stub, gateway):
    class Ours:
        def now_ms(self) -> int:
            return 1_772_000_000_400

    reading = await gateway.measure_clock(Ours(), samples=2)
    assert reading.within
    assert abs(reading.offset_ms - 100) <= 500
    stub.server_ms += 7_000
    reading = await gateway.measure_clock(Ours(), samples=1)
    assert not reading.within
    assert 6_500 <= reading.offset_ms <= 7_700


async def test_keys_of_the_settings_are_taken(stub):
    keys = ApiKeys(api_key=Secret(f" {ACCESS_KEY}\r\n"), api_secret=Secret(SECRET_KEY + "\n"))
    gateway = UpbitGateway(stub.settings(), keys, [BTC])
    stub.on("GET", "/v1/accounts", Reply([]))
    assert (await gateway.account()).balances == ()
    await gateway.close()
