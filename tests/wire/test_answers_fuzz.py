"""Whatever a venue answers to a request: something sensible, or an error of ours. Never a crash, never nonsense passed on.

The whole gateway is asked, with its transport and its place in line taken away.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import ExchangeSettings
from core.bars import is_sound
from core.errors import BotError, ExchangeRefused
from core.messages import AccountState, Bar, CancelOrder, OrderSnapshot, ShownBook, Top
from core.standing import KeyRights
from core.units import Instrument, MarketRules
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.user_stream import UserStream
from exchanges.book import Snapshot
from exchanges.faults import VenueFault, translate
from exchanges.limits.gate import Gate
from exchanges.link import Leave
from exchanges.upbit.client import Answer, _fault
from exchanges.upbit.gateway import UpbitGateway
from tests.support.upbit_stub import filled_answer, order_answer, ticker
from tests.wire.test_fuzz import values
from tests.wire.test_gateway import BTC, order, placed
from tests.wire.test_upbit_gateway import BTC as KRW
from tests.wire.test_upbit_gateway import order as krw_order

MINUTE = 1_772_000_040_000
NOBODY = ExchangeSettings(rest_url="http://127.0.0.1:1")
KEYS = ("k" * 64, "s" * 64)
FILTERS = [
    {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
    {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
    {"filterType": "NOTIONAL", "minNotional": "5"},
]
SYMBOL = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": FILTERS}
ACCOUNT = {
    "balances": [{"asset": "USDT", "free": "9.5", "locked": "0.5"}],
    "commissionRates": {"maker": "0.001", "taker": "0.001"},
    "canTrade": True,
    "uid": 7,
}
TRADE = {"id": 1, "orderId": 28, "price": "5", "qty": "1", "commission": "0.1", "commissionAsset": "BTC", "time": 9}
KLINE = [MINUTE, "1", "2", "0.5", "1.5", "3", MINUTE + 59_999, "4", 5, "6", "7", "0"]
BINANCE: dict[str, Any] = {
    "publicGetTime": {"serverTime": MINUTE + 3_600_000},
    "publicGetExchangeInfo": {
        "symbols": [SYMBOL],
        "rateLimits": [{"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000}],
    },
    "publicGetDepth": {"lastUpdateId": 5, "bids": [["1", "2"]], "asks": [["2", "1"]]},
    "publicGetTickerBookTicker": [
        {"symbol": "BTCUSDT", "bidPrice": "1", "bidQty": "1", "askPrice": "1.1", "askQty": "1"}
    ],
    "publicGetKlines": [KLINE],
    "privateGetAccount": ACCOUNT,
    "sapiGetAccountApiRestrictions": {"enableWithdrawals": False, "enableSpotAndMarginTrading": True},
    "privatePostOrder": placed(),
    "privateDeleteOrder": placed(origClientOrderId="mh-1", status="CANCELED"),
    "privateGetOrder": placed(),
    "privateGetOpenOrders": [placed()],
    "privateGetMyTrades": [TRADE | {"isBuyer": True, "isMaker": False}],
}
"""A good answer of every endpoint our gateway knows."""
UPBIT: dict[str, Any] = {
    "/v1/market/all": [{"market": "KRW-BTC"}],
    "/v1/orderbook/instruments": [{"market": "KRW-BTC", "tick_size": "1000"}],
    "/v1/orderbook": [
        {
            "market": "KRW-BTC",
            "timestamp": MINUTE,
            "orderbook_units": [{"ask_price": 2.0, "bid_price": 1.0, "ask_size": 1.0, "bid_size": 1.0}],
        }
    ],
    "/v1/ticker": [ticker()],
    "/v1/candles/minutes/1": [
        {
            "market": "KRW-BTC",
            "candle_date_time_utc": "2026-02-25T06:14:00",
            "opening_price": 1.0,
            "high_price": 2.0,
            "low_price": 1.0,
            "trade_price": 2.0,
            "candle_acc_trade_volume": 1.5,
        }
    ],
    "/v1/accounts": [{"currency": "KRW", "balance": "1000000.0", "locked": "0.0"}],
    "/v1/orders/chance": {
        "bid_fee": "0.0005",
        "ask_fee": "0.0005",
        "maker_bid_fee": "0.0005",
        "maker_ask_fee": "0.0005",
        "market": {"bid": {"min_total": "5000"}, "ask": {"min_total": "5000"}, "max_total": "1000000000"},
    },
    "/v1/api_keys": [{"access_key": "k" * 64, "expire_at": "2027-01-01T00:00:00+09:00"}],
    "/v1/withdraws/chance": {},
    "/v1/orders/test": order_answer(),
    "/v1/orders": order_answer(),
    "/v1/order": filled_answer(),
    "/v1/orders/open": [order_answer()],
}


@st.composite
def bent(draw: st.DrawFn, value: Any, depth: int = 4) -> Any:
    """The answer with something in it replaced by anything, gone, or beside it something it does not know."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(values)
    if isinstance(value, dict) and value:
        name = draw(st.sampled_from(sorted(value)))
        rest = {key: part for key, part in value.items() if key != name}
        return rest if draw(st.integers(0, 3)) == 0 else rest | {name: draw(bent(value[name], depth - 1))}
    if isinstance(value, list) and value:
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(bent(value[at], depth - 1)), *value[at + 1 :]]
    return draw(values)


class Free:
    """A place in line that everybody has at once."""

    def __init__(self) -> None:
        self.limits: dict[str, int] = {}

    @asynccontextmanager
    async def turn(self, *_: Any, **__: Any) -> AsyncIterator["Free"]:
        yield self

    def learn(self, limits: dict[str, int]) -> None:
        assert all(isinstance(limit, int) for limit in limits.values())
        self.limits |= limits

    def answered(self) -> None: ...

    def clock_read(self, venue_ms: int) -> None:
        assert 0 <= venue_ms < 2**53

    async def close(self) -> None: ...


class Transport:
    """Answers as it is told, by ccxt's method or by path."""

    def __init__(self, good: dict[str, Any]) -> None:
        self.good, self.bad, self.asked = good, {}, 0

    def _answer(self, where: str) -> Any:
        self.asked += 1
        assert self.asked < 50, "asked again and again"
        return self.bad.get(where, self.good[where])

    def __getattr__(self, method: str) -> Any:
        async def answer(params: dict) -> Any:
            return self._answer(method)

        return answer

    async def call(self, call: Any, params: dict) -> Answer:
        said = self._answer(call.path)
        return Answer(said if isinstance(said, bytes) else json.dumps(said).encode(), {})

    async def close(self) -> None: ...


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def binance(bad: dict[str, Any]) -> BinanceGateway:
    gateway = BinanceGateway.__new__(BinanceGateway)
    gateway.__dict__ |= _MADE["binance"].__dict__
    gateway.gate, gateway._client = Free(), Transport(BINANCE)  # type: ignore[assignment]
    gateway._client.bad = bad
    gateway._synced_at, gateway._told_ms, gateway._ahead_ms = time.monotonic(), 0, 0.0
    gateway._venue_ids, gateway._seen_symbols = type(gateway._venue_ids)(), dict(gateway._symbols)
    return gateway


def upbit(bad: dict[str, Any]) -> UpbitGateway:
    gateway = UpbitGateway(NOBODY, KEYS, [KRW])
    gateway.gate, gateway._client = Free(), Transport(UPBIT)  # type: ignore[assignment]
    gateway._client.bad = bad
    return gateway


_MADE = {"binance": BinanceGateway(NOBODY, KEYS, [BTC])}


def asks(gateway: Any, instrument: Instrument, sent: Any) -> dict[str, Any]:
    """Everything a gateway can be asked, by name."""
    cancel = CancelOrder(client_id="mh-1", instrument=instrument)
    return {
        "rules": gateway.rules,
        "account": gateway.account,
        "rights": gateway.rights,
        "place": lambda: gateway.place(sent),
        "cancel": lambda: gateway.cancel(cancel),
        "query": lambda: gateway.query("mh-1", instrument),
        "open": gateway.open_orders,
        "fills": lambda: gateway.fills("mh-1", instrument),
        "history": lambda: gateway.history(instrument, MINUTE, 3),
        "tops": lambda: gateway.tops([instrument]),
        "books": lambda: gateway.books([instrument]),
        "time": gateway.server_time_ms,
        "sync": gateway.sync_clock,
    }


def sensible(told: Any) -> None:
    """Nothing in what a gateway gives out is nonsense."""
    match told:
        case Snapshot():
            assert told.last_id >= 0
            assert all(p > 0 and math.isfinite(p) and q >= 0 for side in told[1:] for p, q in side)
        case tuple() | list():
            for one in told:
                sensible(one)
        case dict():
            for one in told.values():
                sensible(one)
        case OrderSnapshot():
            assert told.quantity.is_finite() and told.price.is_finite() and told.executed.is_finite()
            assert min(told.quantity, told.price, told.executed) >= 0
            assert 0 <= told.at_ms < 2**53
            for fill in told.fills:
                assert fill.quantity.is_finite() and fill.price.is_finite() and fill.fee.is_finite()
                assert min(fill.quantity, fill.price, fill.fee) >= 0
        case AccountState():
            for balance in told.balances:
                assert balance.total.is_finite() and min(balance.free, balance.locked) >= 0
        case Bar():
            assert is_sound(told) and told.minute % 60_000 == 0
        case Top():
            assert all(map(math.isfinite, (told.bid, told.ask, told.bid_qty, told.ask_qty)))
            assert 0 < told.bid <= told.ask and min(told.bid_qty, told.ask_qty) >= 0
        case ShownBook():
            sensible(told.top)
            for price, quantity in (*told.bids, *told.asks):
                assert 0 < price < math.inf and 0 < quantity < math.inf
        case MarketRules():
            assert told.tick > 0 and told.step > 0
            amounts = (told.tick, told.step, told.min_qty, told.max_qty, told.min_notional)
            assert all(one.is_finite() and one >= 0 for one in amounts)
            assert 0 <= told.maker_fee < 1 and 0 <= told.taker_fee < 1
        case KeyRights():
            assert isinstance(told.can_trade, bool) and told.can_withdraw in (True, False, None)
        case int():
            assert 0 <= told < 2**53


@pytest.mark.parametrize("name", [*sorted(asks(binance({}), BTC, None)), "depth", "first"])
def test_good_answers_make_sense(loop, name):
    """What is bent below is something when it is straight."""
    gateway = binance({})
    more = {"depth": lambda: gateway.depth(BTC), "first": lambda: gateway.first_minute(BTC)}
    told = loop.run_until_complete((asks(gateway, BTC, order()) | more)[name]())
    sensible(told)
    assert told is None if name == "sync" else told


@settings(max_examples=250, deadline=None)
@given(more=st.data())
def test_bent_answers_of_binance(loop, more):
    where = more.draw(st.sampled_from(sorted(BINANCE)))
    gateway = binance({where: more.draw(bent(BINANCE[where]))})
    every = asks(gateway, BTC, order())
    every |= {"depth": lambda: gateway.depth(BTC), "first": lambda: gateway.first_minute(BTC)}
    for ask in every.values():
        gateway._client.asked = 0
        try:
            sensible(loop.run_until_complete(ask()))
        except BotError:
            continue


@settings(max_examples=250, deadline=None)
@given(more=st.data())
def test_bent_answers_of_upbit(loop, more):
    where = more.draw(st.sampled_from(sorted(UPBIT)))
    body = json.dumps(more.draw(bent(UPBIT[where]))).encode()
    if more.draw(st.integers(0, 4)) == 0:
        body = body[: more.draw(st.integers(0, len(body)))]
    gateway = upbit({where: body})
    every = asks(gateway, KRW, krw_order())
    every["newest"] = gateway.newest_trades
    for name in ("time", "sync"):
        del every[name]  # of a header, not of a body
    for ask in every.values():
        gateway._client.asked = 0
        try:
            sensible(loop.run_until_complete(ask()))
        except BotError:
            continue


refused = st.fixed_dictionaries(
    {},
    optional={
        "code": values,
        "msg": values,
        "error": values | st.fixed_dictionaries({"name": values, "message": values}),
    },
)


@settings(max_examples=200, deadline=None)
@given(
    status=st.sampled_from([400, 401, 403, 404, 408, 409, 418, 429, 500, 502, 503, 504, 522]),
    said=st.one_of(values, refused),
    wait=st.text(max_size=12) | st.integers().map(str),
    cut=st.integers(0, 60),
    placing=st.booleans(),
)
def test_any_refusal_is_an_error_of_ours_and_any_pause_ends(status, said, wait, cut, placing):
    body = json.dumps(said)
    client, found = _MADE["binance"]._client, []
    try:
        client.handle_errors(status, "", "", "GET", {"Retry-After": wait}, body, said, {}, body)
    except VenueFault as fault:
        found.append(fault)
    found += [_fault(status, text, {"retry-after": wait}) for text in (body.encode(), body.encode()[:cut])]
    assert len(found) == 3
    for fault in found:
        error = translate(fault, placing, "here")
        assert isinstance(error, BotError)
        assert "\n" not in str(error)
        assert len(str(error)) < 900
        gate = Gate.of(fault.venue)
        assert 0 <= gate.turned_away(fault.status, fault.retry_after_s) <= 3 * 86_400


POSITION = {"e": "outboundAccountPosition", "E": 1, "u": 1, "B": [{"a": "USDT", "f": "9.5", "l": "0.5"}]}
NOTICES = [{"e": "balanceUpdate", "a": "BTC", "d": "1", "T": 1}, {"e": "listStatus", "s": "BTCUSDT", "O": []}]


@settings(max_examples=200, deadline=None)
@given(
    event=st.sampled_from([POSITION, *NOTICES]).flatmap(bent),
    answer=bent(
        {"id": "1", "status": 418, "error": {"code": -1003, "msg": "m", "data": {"serverTime": 5, "retryAfter": 9}}}
    ),
)
def test_bent_events_and_answers_of_the_account_stream(event, answer):
    told: list[Any] = []
    user = UserStream(
        NOBODY.model_copy(update={"user_stream_url": "ws://127.0.0.1:1"}),
        KEYS,
        [BTC],
        told.append,
        told.extend,
        now_ms=lambda: 0,
        gate=Gate.of("binance"),
    )
    for frame in ({"subscriptionId": 0, "event": event}, answer):
        with suppress(ExchangeRefused):
            assert isinstance(user.take(json.dumps(frame).encode()), Leave | None)
    for balance in told:
        assert balance.total.is_finite() and min(balance.free, balance.locked) >= 0
