"""Upbit's frames as structs, their bounds, and whatever comes in: a sensible message, or a count. Never a crash."""

import json
import logging
import math
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import ExchangeSettings
from core.errors import DataError
from core.messages import Top
from core.units import MINUTE_MS, Instrument
from exchanges.link import Leave
from exchanges.trade import Trade
from exchanges.upbit import answers
from exchanges.upbit.stream import MarketStream
from exchanges.upbit.user_stream import UserStream
from exchanges.upbit.wire import decode_book, decode_order, decode_trade
from tests.support.upbit_frames import MINUTE, book_frame, my_asset, my_order, my_trade, trade_frame
from tests.support.upbit_stub import filled_answer, order_answer, ticker

D = Decimal
BTC = Instrument("upbit", "BTC/KRW")
CODES = {"KRW-BTC": BTC}
NOW = MINUTE + 2 * MINUTE_MS


def pack(value) -> bytes:
    return json.dumps(value).encode()


def test_a_trade_is_read_as_documented():
    code, trade = decode_trade(pack(trade_frame(number=17, ask_bid="ASK")))
    assert (code, trade) == (
        "KRW-BTC",
        Trade(id=17, price=150_000_000.0, quantity=0.01, at_ms=MINUTE + 5, sold=True),
    )


def test_the_best_level_is_the_top_and_an_empty_side_is_none():
    top = Top(bid=150_000_000.0, bid_qty=0.25, ask=150_001_000.0, ask_qty=0.5, at_ms=MINUTE + 7)
    assert decode_book(pack(book_frame())) == ("KRW-BTC", top)
    for empty in (book_frame(bid=0), book_frame(ask=0), book_frame(orderbook_units=[])):
        assert decode_book(pack(empty)) == ("KRW-BTC", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"trade_price": 0},
        {"trade_price": -1},
        {"trade_price": 1e15},
        {"trade_volume": 0},
        {"trade_volume": 1e18},
        {"trade_timestamp": -1},
        {"trade_timestamp": 1 << 60},
        {"trade_timestamp": 1.5},
        {"sequential_id": -1},
        {"ask_bid": "BUY"},
        {"code": None},
        {"trade_price": "150000000"},
    ],
)
def test_a_trade_that_cannot_be_is_refused(changes):
    with pytest.raises(DataError, match="upbit trade"):
        decode_trade(pack(trade_frame() | changes))


@pytest.mark.parametrize("frame", [book_frame(bid=2.0, ask=1.0), book_frame(bid=-1.0), book_frame(ask=1e300)])
def test_a_book_that_cannot_be_is_refused(frame):
    with pytest.raises(DataError, match="upbit orderbook"):
        decode_book(pack(frame))


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "thinking"},
        {"ask_bid": "LONG"},
        {"executed_volume": -1},
        {"executed_volume": 1e19},
        {"remaining_volume": None},
        {"price": None},
        {"timestamp": -1},
    ],
)
def test_an_order_that_cannot_be_is_refused(changes):
    with pytest.raises(DataError):
        decode_order(pack(my_order() | changes), CODES)


@pytest.mark.parametrize("changes", [{"trade_uuid": None}, {"trade_fee": None}, {"volume": 0}, {"price": 0}])
def test_a_trade_of_ours_without_what_it_needs_is_refused(changes):
    with pytest.raises(DataError):
        decode_order(pack(my_trade(1, 0.0004, 0.0006) | changes), CODES)


def test_volumes_are_read_in_the_eight_decimals_the_venue_counts():
    frame = my_trade(1, 0.1 + 0.2, 1.1 - 0.4) | {"volume": 0.1 + 0.2}
    order = decode_order(pack(frame), CODES)
    assert (order.executed, order.quantity, order.fills[0].quantity) == (D("0.3"), D(1), D("0.3"))


def market() -> tuple[MarketStream, list, list]:
    bars, tops = [], []
    stream = MarketStream(
        ExchangeSettings(), [BTC], lambda i, b: bars.append(b), lambda i, t: tops.append(t), now_ms=lambda: NOW
    )
    stream.bars.begin(MINUTE)
    return stream, bars, tops


def user() -> tuple[UserStream, list, list]:
    orders, balances = [], []
    return UserStream(ExchangeSettings(), ("k", "s"), [BTC], orders.append, balances.extend), orders, balances


def test_a_kind_of_fault_is_counted_every_time_and_logged_now_and_then(caplog):
    caplog.set_level(logging.WARNING)
    stream, bars, tops = market()
    account, *_ = user()
    for n in range(50):
        for frame in (b"\x00\xff", b'{"type":"trade"', b"[]", pack({"type": "trade"}), pack({"type": f"new{n}"})):
            assert stream.take(frame) is None
            assert account.take(frame) is None
    assert dict(stream.faults) == {"malformed": 200, "foreign": 50}
    assert account.faults["malformed"] + account.faults["foreign"] == 250
    assert len(caplog.records) <= 2 * 2 * 3
    assert bars == tops == []


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["NaN", "-1", "0", "1e999", "Infinity", "KRW-BTC", "trade", "done", "1e-400", "9" * 400, -1, 1e308]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def bent(draw, sample: dict) -> dict:
    """The sample with some fields replaced by anything, or gone, or with others beside them."""
    frame = dict(sample)
    for name in draw(st.lists(st.sampled_from(sorted(sample)), max_size=3)):
        if draw(st.booleans()):
            frame[name] = draw(values)
        else:
            frame.pop(name, None)
    return frame | draw(st.dictionaries(st.text(max_size=5), values, max_size=1))


@settings(max_examples=300, deadline=None)
@given(
    trade=bent(trade_frame()),
    book=bent(book_frame()),
    level=bent(book_frame()["orderbook_units"][0]),
    cut=st.integers(0, 80),
)
def test_bent_market_frames(trade, book, level, cut):
    stream, bars, tops = market()
    frames = (trade, book, book_frame(orderbook_units=[level]), trade_frame(MINUTE + MINUTE_MS + 1))
    packed = [json.dumps(frame).encode() for frame in frames]
    leaves = [stream.take(frame) for frame in (*packed, packed[0][:cut], packed[1][:-cut])]
    for bar in bars:
        assert all(map(math.isfinite, (bar.open, bar.high, bar.low, bar.close, bar.volume)))
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.minute % MINUTE_MS == 0
        assert bar.filler == (bar.volume == 0)
    for top in filter(None, tops):
        assert all(map(math.isfinite, (top.bid, top.ask, top.bid_qty, top.ask_qty)))
        assert 0 < top.bid <= top.ask
    assert all(isinstance(leave, Leave) for leave in leaves if leave is not None)


@settings(max_examples=300, deadline=None)
@given(
    order=bent(my_order()),
    trade=bent(my_trade(1, 0.0004, 0.0006)),
    asset=bent(my_asset()),
    row=bent(my_asset()["assets"][0]),
)
def test_bent_account_frames(order, trade, asset, row):
    stream, orders, balances = user()
    for frame in (order, trade, asset, my_asset(assets=[row])):
        stream.take(json.dumps(frame).encode())
    for told in orders:
        assert told.instrument == BTC
        assert told.quantity.is_finite() and told.executed.is_finite()
        assert told.executed >= 0
        for fill in told.fills:
            assert fill.quantity > 0 and fill.price > 0 and fill.fee >= 0
    for balance in balances:
        assert balance.free >= 0 and balance.locked >= 0 and balance.total.is_finite()


@settings(max_examples=300, deadline=None)
@given(frame=st.one_of(st.binary(max_size=200), values.map(lambda v: json.dumps(v).encode())))
def test_any_bytes_at_all(frame):
    stream, bars, tops = market()
    account, orders, balances = user()
    stream.take(frame)
    account.take(frame)
    assert bars == tops == orders == balances == []


def test_deep_nesting_is_counted():
    stream, *_ = market()
    stream.take(b'{"type":"trade","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    stream.take(b"[" * 100_000)
    assert stream.faults["malformed"] == 2


CANDLE = {
    "market": "KRW-BTC",
    "candle_date_time_utc": "2026-02-25T06:14:00",
    "opening_price": 1.0,
    "high_price": 2.0,
    "low_price": 1.0,
    "trade_price": 2.0,
    "candle_acc_trade_volume": 1.5,
}


@settings(max_examples=300, deadline=None)
@given(
    order=bent(order_answer()),
    filled=bent(filled_answer()),
    trade=bent(filled_answer()["trades"][0]),
    candle=bent(CANDLE),
    row=bent(ticker()),
)
def test_bent_answers_raise_our_error_or_make_sense(order, filled, trade, candle, row):
    for answer in (order, filled, filled_answer(trades=[trade])):
        try:
            snapshot = answers.snapshot(answers.read(json.dumps(answer).encode(), answers.WireOrder), BTC, 1)
        except (DataError, ValueError, ArithmeticError):
            continue
        assert snapshot.quantity.is_finite() and snapshot.executed >= 0
        assert all(f.quantity >= 0 and f.fee >= 0 for f in snapshot.fills)
    try:
        bar = answers.bar_of(answers.read(json.dumps(candle).encode(), answers.WireCandle))
        assert 0 < bar.low <= bar.high and math.isfinite(bar.volume)
    except DataError:
        pass
    with suppress(DataError):
        answers.read(json.dumps([row]).encode(), list[answers.WireTicker])


def test_shares_of_a_fee_add_up_to_it_whatever_was_cut():
    answer = filled_answer() | {"paid_fee": "52.49990001"}
    snapshot = answers.snapshot(answers.read(pack(answer), answers.WireOrder), BTC, 1)
    assert [f.fee for f in snapshot.fills] == [D("37.5"), D("14.99990001")]
