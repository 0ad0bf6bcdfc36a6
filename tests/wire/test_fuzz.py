"""Whatever comes in on a stream: a sensible message, or a count. Never a crash, never nonsense passed on."""

import asyncio
import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import ExchangeSettings
from core.errors import ExchangeUnavailable
from core.units import Instrument
from exchanges.binance.answers import whole_book
from exchanges.binance.calls import DEPTH
from exchanges.binance.channels import BELIEVE_AFTER
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.stream import MarketStream
from exchanges.binance.user_stream import UserStream
from exchanges.book import OrderBook, Snapshot
from tests.wire.test_decode import kline, report

BTC = Instrument("binance", "BTC/USDT")
TICKER = {"u": 1, "s": "BTCUSDT", "b": "1.0", "B": "1", "a": "1.1", "A": "1"}
TRADE = {"e": "trade", "E": 6, "s": "BTCUSDT", "t": 7, "p": "1.05", "q": "0.2", "T": 5, "m": True, "M": True}
DIFF = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 101, "u": 102, "b": [["1.0", "2"]], "a": [["1.1", "0"]]}
WHOLE = Snapshot(100, [(1.0, 1.0), (0.9, 1.0)], [(1.1, 1.0), (1.2, 1.0)])
SAMPLES = {"kline_1m": kline(), "bookTicker": TICKER, "trade": TRADE, "depth@100ms": DIFF}

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


def framed(kind: str, data: object) -> bytes:
    """As the venue writes it, without blanks."""
    return json.dumps({"stream": f"btcusdt@{kind}", "data": data}, separators=(",", ":")).encode()


class Full:
    """A stream with everything subscribed, and a live book."""

    def __init__(self) -> None:
        self.bars, self.tops, self.trades = [], [], []
        self.stream = MarketStream(
            ExchangeSettings(),
            [BTC],
            lambda i, b: self.bars.append(b),
            lambda i, t: self.tops.append(t),
            now_ms=lambda: 7,
            trades=True,
            depth=True,
            on_trade=lambda i, t: self.trades.append(t),
            on_book=self.look,
            snapshot=self.never,
        )
        self.join(WHOLE)

    async def never(self, instrument: Instrument) -> Snapshot:
        raise AssertionError(instrument)

    def join(self, whole: Snapshot) -> None:
        self.stream.take(framed("depth@100ms", {**DIFF, "U": whole.last_id, "u": whole.last_id}))
        self.stream._books[BTC].join(whole)

    def look(self, instrument: Instrument, book: OrderBook | None) -> None:
        """Whatever is shown is a book."""
        if book is None:
            return
        assert book.best_bid < book.best_ask
        for levels in (book.bids, book.asks):
            assert all(math.isfinite(p) and math.isfinite(q) and p > 0 and q > 0 for p, q in levels.items())

    def check(self) -> None:
        check(self.bars, self.tops)
        for trade in self.trades:
            assert math.isfinite(trade.price)
            assert trade.price > 0
            assert 0 <= trade.quantity < math.inf
            assert isinstance(trade.sold, bool)
        self.look(BTC, self.stream.book(BTC))


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


@settings(max_examples=400, deadline=None)
@given(kind=st.sampled_from(sorted(SAMPLES)), more=st.data())
def test_bent_frames_of_every_kind(kind, more):
    """Missing, extra, wrong-typed, huge, negative, null: passed on as something sensible, or counted."""
    full = Full()
    data = more.draw(bent(SAMPLES[kind])) | more.draw(st.dictionaries(st.text(max_size=5), values, max_size=2))
    if kind == "kline_1m" and data.get("k") and isinstance(data["k"], dict):
        data["k"] = more.draw(bent(data["k"]))
    if kind == "depth@100ms" and more.draw(st.booleans()):
        data["b"] = more.draw(st.lists(st.lists(values, max_size=3), max_size=3))
    assert full.stream.take(framed(kind, data)) is None
    full.check()
    # The next good frame of the kind is taken in: nothing that was sent has broken the channel.
    before = len(full.bars), len(full.tops), len(full.trades), full.stream.resyncs
    whole = {"bookTicker": {"u": 2**40}, "trade": {"t": 2**40}, "depth@100ms": {}, "kline_1m": {}}[kind]
    full.stream.take(framed(kind, SAMPLES[kind] | whole))
    full.check()
    assert before <= (len(full.bars), len(full.tops), len(full.trades), full.stream.resyncs)


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(sorted(SAMPLES)), more=st.data())
def test_a_frame_cut_anywhere_or_with_a_byte_changed_is_counted_or_sensible(kind, more):
    full = Full()
    frame = framed(kind, SAMPLES[kind])
    cut = more.draw(st.integers(0, len(frame) - 1))
    full.stream.take(frame[:cut])
    assert full.stream.faults.total() == 1
    assert (full.bars, full.tops, full.trades) == ([], [], [])
    at = more.draw(st.integers(0, len(frame) - 1))
    full.stream.take(frame[:at] + bytes([more.draw(st.integers(0, 255))]) + frame[at + 1 :])
    full.check()


@st.composite
def histories(draw) -> list[tuple[int, int, dict[str, list[list[str]]]]]:
    """Diffs that follow each other: (U, u, changed levels), around a mid of 1.05 that never crosses."""
    diffs, last = [], 100
    for _ in range(draw(st.integers(1, 25))):
        first, last = last + 1, last + draw(st.integers(1, 3))
        rows = {
            name: [
                [f"{price / 100:.8f}", draw(st.sampled_from(["0.00000000", "1.50000000", "2"]))]
                for price in draw(st.lists(st.integers(low, low + 8), max_size=4, unique=True))
            ]
            for name, low in (("b", 95), ("a", 110))
        }
        diffs.append((first, last, rows))
    return diffs


@settings(max_examples=200, deadline=None)
@given(diffs=histories(), more=st.data())
def test_whatever_is_lost_doubled_reordered_or_broken_the_book_is_true_or_absent(diffs, more):
    truth = {100: (dict(WHOLE.bids), dict(WHOLE.asks))}
    for _, last, rows in diffs:
        bids, asks = map(dict, truth[max(truth)])
        for side, name in ((bids, "b"), (asks, "a")):
            for price, quantity in rows[name]:
                side[float(price)] = float(quantity)
        truth[last] = tuple({p: q for p, q in side.items() if q} for side in (bids, asks))
    full = Full()
    order = list(range(len(diffs)))
    for _ in range(more.draw(st.integers(0, 6))):
        match more.draw(st.sampled_from(["lose", "double", "swap"])):
            case "lose" if len(order) > 1:
                order.pop(more.draw(st.integers(0, len(order) - 1)))
            case "double":
                order.insert(more.draw(st.integers(0, len(order))), more.draw(st.sampled_from(order)))
            case _ if len(order) > 1:
                at = more.draw(st.integers(0, len(order) - 2))
                order[at], order[at + 1] = order[at + 1], order[at]
    for number in order:
        first, last, rows = diffs[number]
        frame = framed("depth@100ms", {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, **rows})
        if more.draw(st.integers(0, 9)) == 0:
            full.stream.take(frame[:-9])
        full.stream.take(frame)
        kept = full.stream._books[BTC].kept
        if not kept.live:
            assert full.stream.book(BTC) is None
            if more.draw(st.booleans()):
                known = more.draw(st.sampled_from(sorted(truth)))
                full.stream._books[BTC].join(Snapshot(known, *(list(side.items()) for side in truth[known])))
        if kept.live:
            book = full.stream.book(BTC)
            assert (book.bids, book.asks) == truth[kept.last_id]


@settings(max_examples=200, deadline=None)
@given(answer=st.one_of(values, bent({"lastUpdateId": 5, "bids": [["1", "2"]], "asks": [["2", "1"]]})))
def test_bent_snapshots_are_a_book_or_an_error_of_ours(answer):
    gateway = BinanceGateway(ExchangeSettings(rest_url="http://127.0.0.1:1"), None, [BTC])
    try:
        whole = gateway._parsed(DEPTH, lambda: whole_book(answer))
    except ExchangeUnavailable:
        return
    finally:
        asyncio.run(gateway.close())
    full = Full()
    full.stream._books[BTC].kept.forget()
    full.join(whole)
    full.check()


def test_a_kind_of_fault_is_logged_a_few_times_however_often_it_comes(caplog):
    full = Full()
    for number in range(5_000):
        full.stream.take(b'{"stream":"btcusdt@trade","data":{"t":%d}}' % number)
    assert full.stream.faults == {"malformed": 5_000}
    assert len(caplog.records) == 4  # the first, the tenth, the hundredth, the thousandth
    assert "trade BTC/USDT" in full.stream.last_fault


def test_a_number_far_too_high_does_not_silence_a_stream():
    full = Full()
    for kind, name in (("bookTicker", "u"), ("trade", "t")):
        full.stream.take(framed(kind, SAMPLES[kind] | {name: 2**62}))
        for number in range(BELIEVE_AFTER + 5):
            full.stream.take(framed(kind, SAMPLES[kind] | {name: 1_000 + number}))
    assert len(full.tops) > 1
    assert [t.id for t in full.trades][-1] == 1_000 + BELIEVE_AFTER + 4


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
