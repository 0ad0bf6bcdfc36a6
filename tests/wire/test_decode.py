"""Documented payloads, as structs, as messages."""

import json
import math
from decimal import Decimal

import pytest

from core.errors import DataError
from core.messages import Balance, OrderState, Top
from core.units import Instrument, Side
from exchanges.binance.wire import (
    BookTicker,
    KlineEvent,
    decode,
    decode_position,
    decode_report,
    kline_bar,
    reader,
    top_of,
)

BTC = Instrument("binance", "BTC/USDT")
OURS = {"BTCUSDT": BTC}


def pack(value) -> bytes:
    return json.dumps(value).encode()


def read_kline(payload: bytes):
    """(venue symbol, bar, final) of a kline payload."""
    event = decode(reader(KlineEvent), payload, "kline")
    return event.s, kline_bar(event), event.k.x


def read_top(payload: bytes, now_ms: int):
    """(venue symbol, top) of a bookTicker payload."""
    ticker = decode(reader(BookTicker, numbers=True), payload, "bookTicker")
    return ticker.s, top_of(ticker, now_ms)


def kline(**changes) -> dict:
    k = {
        "t": 1_672_515_780_000,
        "T": 1_672_515_839_999,
        "s": "BTCUSDT",
        "i": "1m",
        "f": 100,
        "L": 200,
        "o": "16530.10",
        "c": "16542.75",
        "h": "16549.00",
        "l": "16528.55",
        "v": "131.01744000",
        "n": 4242,
        "x": True,
        "q": "2166937.12",
        "V": "70.1",
        "Q": "1159000.9",
        "B": "0",
    }
    return {"e": "kline", "E": 1_672_515_840_003, "s": "BTCUSDT", "k": k | changes}


def report(**changes) -> dict:
    base = {
        "e": "executionReport",
        "E": 1_499_405_658_658,
        "s": "BTCUSDT",
        "c": "mh-a-1",
        "S": "BUY",
        "o": "LIMIT",
        "f": "IOC",
        "q": "0.00300000",
        "p": "50000.10000000",
        "P": "0.00000000",
        "F": "0.00000000",
        "g": -1,
        "C": "",
        "x": "NEW",
        "X": "NEW",
        "r": "NONE",
        "i": 4_293_153,
        "l": "0.00000000",
        "z": "0.00000000",
        "L": "0.00000000",
        "n": "0",
        "N": None,
        "T": 1_499_405_658_657,
        "t": -1,
        "v": 3,
        "I": 8_641_984,
        "w": True,
        "m": False,
        "M": False,
        "O": 1_499_405_658_657,
        "Z": "0.00000000",
        "Y": "0.00000000",
        "Q": "0.00000000",
        "W": 1_499_405_658_657,
        "V": "NONE",
    }
    return base | changes


def test_a_final_kline_is_a_bar():
    symbol, bar, final = read_kline(pack(kline()))
    assert (symbol, final) == ("BTCUSDT", True)
    assert (bar.minute, bar.open, bar.high, bar.low, bar.close) == (
        1_672_515_780_000,
        16530.10,
        16549.0,
        16528.55,
        16542.75,
    )
    assert (bar.volume, bar.filler, bar.source) == (131.01744, False, "stream")


def test_an_open_kline_is_told_apart_and_a_minute_without_trades_is_filler():
    _, _, final = read_kline(pack(kline(x=False)))
    assert not final
    flat = {"o": "5.0", "h": "5.0", "l": "5.0", "c": "5.0", "v": "0"}
    assert read_kline(pack(kline(**flat)))[1].filler


def test_a_book_ticker_is_a_top_stamped_by_its_receiver():
    frame = {"u": 400900217, "s": "BTCUSDT", "b": "61837.63", "B": "3.78826", "a": "61837.64", "A": "1.54698"}
    symbol, top = read_top(pack(frame), now_ms=1_000)
    assert symbol == "BTCUSDT"
    assert top == Top(bid=61837.63, bid_qty=3.78826, ask=61837.64, ask_qty=1.54698, at_ms=1_000)
    assert read_top(pack(frame | {"E": 2_000}), now_ms=1_000)[1].at_ms == 2_000


def test_a_new_order_is_open_and_has_no_fill():
    snapshot, execution = decode_report(pack(report()), OURS)
    assert (snapshot.client_id, snapshot.venue_id, snapshot.state) == ("mh-a-1", "4293153", OrderState.OPEN)
    assert (snapshot.side, snapshot.quantity, snapshot.price) == (Side.BUY, Decimal("0.003"), Decimal("50000.1"))
    assert (snapshot.fills, snapshot.instrument, execution) == ((), BTC, 8_641_984)


def test_a_trade_carries_its_fill():
    trade = {
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "l": "0.001",
        "z": "0.002",
        "L": "50000.05",
        "n": "0.000001",
        "N": "BTC",
    }
    snapshot, _ = decode_report(pack(report(**trade, t=77, m=True)), OURS)
    (fill,) = snapshot.fills
    assert (snapshot.state, snapshot.executed) == (OrderState.PARTIAL, Decimal("0.002"))
    assert (fill.trade_id, fill.quantity, fill.price) == ("77", Decimal("0.001"), Decimal("50000.05"))
    assert (fill.fee, fill.fee_asset, fill.maker, fill.client_id) == (Decimal("0.000001"), "BTC", True, "mh-a-1")


def test_on_a_cancel_the_order_keeps_its_own_id():
    snapshot, _ = decode_report(pack(report(x="CANCELED", X="CANCELED", c="web_1234", C="mh-a-1")), OURS)
    assert (snapshot.client_id, snapshot.state) == ("mh-a-1", OrderState.CANCELLED)


@pytest.mark.parametrize(
    ("status", "executed", "state"),
    [
        ("NEW", "0", OrderState.OPEN),
        ("PENDING_CANCEL", "0", OrderState.OPEN),
        ("PENDING_CANCEL", "0.001", OrderState.PARTIAL),
        ("FILLED", "0.003", OrderState.FILLED),
        ("EXPIRED", "0.001", OrderState.EXPIRED),
        ("EXPIRED_IN_MATCH", "0", OrderState.EXPIRED),
        ("REJECTED", "0", OrderState.REJECTED),
    ],
)
def test_every_status_has_its_state(status, executed, state):
    snapshot, _ = decode_report(pack(report(X=status, z=executed)), OURS)
    assert (snapshot.state, snapshot.executed) == (state, Decimal(executed))


def test_an_order_of_a_foreign_symbol_is_left_to_others():
    assert decode_report(pack(report(s="DOGEBTC")), OURS) is None


def test_balances_keep_every_digit():
    frame = {"e": "outboundAccountPosition", "E": 1, "u": 1, "B": [{"a": "BTC", "f": "0.10000001", "l": "0.00000000"}]}
    (balance,) = decode_position(pack(frame))
    assert balance == Balance(venue="binance", asset="BTC", free=Decimal("0.10000001"), locked=Decimal("0"))


@pytest.mark.parametrize(
    "changes",
    [
        {"o": "NaN"},
        {"h": "Infinity"},
        {"c": "-1"},
        {"l": "0"},
        {"v": "-0.1"},
        {"h": "16000"},
        {"t": 1_672_515_780_001},
        {"t": -60_000},
        {"i": "1s"},
        {"s": "ETHUSDT"},
        {"x": None},
        {"o": 16530.1},
        {"v": ""},
        {"c": "1e999"},
    ],
)
def test_a_kline_that_makes_no_sense_is_refused(changes):
    with pytest.raises(DataError, match="binance kline"):
        read_kline(pack(kline(**changes)))


@pytest.mark.parametrize(
    "changes",
    [{"X": "WONDERFUL"}, {"S": "HOLD"}, {"q": "nan"}, {"z": "-1"}, {"x": "TRADE", "t": -1}, {"i": "x"}, {"T": None}],
)
def test_a_report_that_makes_no_sense_is_refused(changes):
    with pytest.raises(DataError, match="executionReport"):
        decode_report(pack(report(**changes)), OURS)


@pytest.mark.parametrize("changes", [{"b": "2", "a": "1"}, {"b": "0"}, {"A": "-1"}, {"a": "nan"}, {"s": 7}])
def test_a_book_that_makes_no_sense_is_refused(changes):
    frame = {"u": 1, "s": "BTCUSDT", "b": "1.0", "B": "1", "a": "1.1", "A": "1"}
    with pytest.raises(DataError, match="bookTicker"):
        read_top(pack(frame | changes), now_ms=0)


def test_prices_survive_the_wire_to_the_last_bit():
    for value in (0.1 + 0.2, 1 / 3, 67_890.123456789, math.nextafter(5.0, 6.0)):
        text = repr(value)
        _, bar, _ = read_kline(pack(kline(o=text, h=text, l=text, c=text)))
        assert (bar.open, bar.high, bar.low, bar.close) == (value,) * 4
