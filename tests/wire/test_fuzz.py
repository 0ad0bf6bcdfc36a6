"""Whatever comes in on a stream: a sensible message, or a count. Never a crash, never nonsense passed on."""

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import ExchangeSettings
from core.units import Instrument
from exchanges.binance.stream import MarketStream
from exchanges.binance.user_stream import UserStream
from tests.wire.test_decode import kline, report

BTC = Instrument("binance", "BTC/USDT")
TICKER = {"u": 1, "s": "BTCUSDT", "b": "1.0", "B": "1", "a": "1.1", "A": "1"}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["NaN", "-1", "0", "1e999", "1_0", "Infinity", "BTCUSDT", "TRADE", "1e-400", "9" * 400]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def bent(draw, sample: dict) -> dict:
    """The sample with some fields replaced by anything, or gone."""
    frame = dict(sample)
    for name in draw(st.lists(st.sampled_from(sorted(sample)), max_size=3)):
        if draw(st.booleans()):
            frame[name] = draw(values)
        else:
            frame.pop(name, None)
    return frame


def market() -> tuple[MarketStream, list, list]:
    bars, tops = [], []
    stream = MarketStream(
        ExchangeSettings(), [BTC], lambda i, b: bars.append(b), lambda i, t: tops.append(t), now_ms=lambda: 7
    )
    return stream, bars, tops


def check(bars: list, tops: list) -> None:
    for bar in bars:
        assert all(map(math.isfinite, (bar.open, bar.high, bar.low, bar.close, bar.volume)))
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.volume >= 0
        assert bar.minute % 60_000 == 0
    for top in filter(None, tops):
        assert all(map(math.isfinite, (top.bid, top.ask, top.bid_qty, top.ask_qty)))
        assert 0 < top.bid <= top.ask


@settings(max_examples=300, deadline=None)
@given(k=bent(kline()["k"]), outer=bent(kline()), ticker=bent(TICKER))
def test_bent_market_frames(k, outer, ticker):
    stream, bars, tops = market()
    for frame in (
        {"stream": "btcusdt@kline_1m", "data": kline() | {"k": k}},
        {"stream": "btcusdt@kline_1m", "data": outer},
        {"stream": "btcusdt@bookTicker", "data": ticker},
    ):
        stream.take(json.dumps(frame).encode())
    check(bars, tops)
    assert len(bars) + len(tops) + sum(stream.faults.values()) <= 3


@settings(max_examples=300, deadline=None)
@given(frame=st.one_of(st.binary(max_size=200), values.map(lambda v: json.dumps(v).encode())))
def test_any_bytes_at_all(frame):
    stream, bars, tops = market()
    stream.take(frame)
    seen = []
    user = UserStream(ExchangeSettings(), ("k", "s"), [BTC], seen.append, now_ms=lambda: 0)
    user.take(frame)
    assert bars == tops == seen == []


@settings(max_examples=300, deadline=None)
@given(event=bent(report(x="TRADE", X="FILLED", t=5, l="0.003", z="0.003", L="50000")), envelope=values)
def test_bent_order_reports(event, envelope):
    seen = []
    user = UserStream(ExchangeSettings(), ("k", "s"), [BTC], seen.append, now_ms=lambda: 0)
    user.take(json.dumps({"subscriptionId": 0, "event": event}).encode())
    user.take(json.dumps({"event": envelope}).encode())
    for order in seen:
        assert order.quantity.is_finite()
        assert order.executed >= 0
        assert order.instrument == BTC
        assert all(fill.quantity.is_finite() and int(fill.trade_id) >= 0 for fill in order.fills)


def test_deep_nesting_is_counted():
    stream, _, _ = market()
    stream.take(b'{"stream":"btcusdt@kline_1m","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    stream.take(b"[" * 100_000)
    assert stream.faults["malformed"] == 2
