"""The journal's JSON: every kind there and back, exactly."""

import dataclasses
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DataError, Defect
from core.execution.codec import INSTRUCTIONS, STIMULI, VERSION, decode, encode
from core.execution.stimuli import Beat, FillSeen, MinuteStarted
from core.messages import Approved, CancelOrder, Fill, OrderSnapshot, PlaceOrder
from core.units import Instrument, MarketRules, Side
from tests.support.fake_venue import MINUTE, approved

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=0, max_value=10**12)
WHEN = st.integers(0, 2**53)
TEXT = st.text(max_size=12)
INSTRUMENTS = st.builds(Instrument, st.just("binance"), st.sampled_from(["BTC/USDT", "ETH/KRW", "한글/USDT"]))
FILLS = st.builds(
    Fill,
    client_id=TEXT,
    instrument=INSTRUMENTS,
    trade_id=TEXT,
    quantity=AMOUNTS,
    price=AMOUNTS,
    fee=AMOUNTS,
    fee_asset=TEXT,
    at_ms=WHEN,
)
for kind, strategy in {
    Decimal: AMOUNTS,
    int: WHEN,
    float: st.floats(allow_nan=False, allow_infinity=False),
    Instrument: INSTRUMENTS,
    Fill: FILLS,
}.items():
    st.register_type_strategy(kind, strategy)


def built(kind):
    """Strategy over every field of a message, defaults included."""
    hints = {f.name: st.from_type(f.type) for f in dataclasses.fields(kind)}
    return st.builds(kind, **hints)


@pytest.mark.parametrize("kind", STIMULI + INSTRUCTIONS, ids=lambda k: k.__name__)
def test_there_and_back(kind):
    @settings(max_examples=25, deadline=None)
    @given(built(kind))
    def check(message):
        name, payload = encode(message)
        assert name == kind.__name__
        again = decode(name, payload)
        assert again == message
        assert type(again) is kind

    check()


def test_decimals_keep_their_digits():
    fill = Fill(
        client_id="a",
        instrument=Instrument("binance", "BTC/USDT"),
        trade_id="1",
        side=Side.BUY,
        quantity=Decimal("0.10000000"),
        price=Decimal("12345678901234567890.000000001"),
        fee=Decimal("1E-8"),
        fee_asset="BNB",
        maker=True,
        at_ms=1,
    )
    again = decode(*encode(FillSeen(fill=fill)))
    assert str(again.fill.quantity) == "0.10000000"
    assert again.fill.price == fill.price
    assert again.fill.side is Side.BUY
    assert isinstance(again.fill.instrument, Instrument)


def test_nested_messages_come_back_as_themselves():
    stimulus = MinuteStarted(minute=MINUTE, now_ms=MINUTE, approved=(approved("0.1"), approved("2", Side.SELL)))
    again = decode(*encode(stimulus))
    assert again == stimulus
    assert all(isinstance(a, Approved) for a in again.approved)


def test_an_unknown_kind_is_named():
    with pytest.raises(DataError, match="'Exploded'"):
        decode("Exploded", b"[1,{}]")


def test_another_version_is_named():
    kind, payload = encode(Beat(now_ms=1))
    with pytest.raises(DataError, match=f"Beat has version 9.*reads version {VERSION}"):
        decode(kind, payload.replace(b"[1,", b"[9,", 1))


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[1]", b"null", b'[1,{"now_ms":"soon"}]', b"[1,{}]", b"\xff\xfe", b'[1,{"now_ms":1}']
)
def test_a_damaged_payload_is_a_data_error(payload):
    with pytest.raises(DataError, match="Beat"):
        decode("Beat", payload)


def test_what_the_journal_does_not_know_is_not_written():
    row = MarketRules(
        instrument=Instrument("binance", "BTC/USDT"),
        tick=Decimal(1),
        step=Decimal(1),
        min_qty=Decimal(1),
        max_qty=Decimal(1),
        min_notional=Decimal(1),
    )
    with pytest.raises(Defect, match="MarketRules"):
        encode(row)


def test_a_field_added_later_may_be_missing():
    kind, payload = encode(
        PlaceOrder(
            client_id="a",
            intent_id="i",
            instrument=Instrument("binance", "BTC/USDT"),
            side=Side.BUY,
            quantity=Decimal(1),
            price=Decimal(1),
        )
    )
    assert decode(kind, payload.replace(b',"post_only":false', b"")).post_only is False


def test_every_stimulus_of_the_machine_has_a_kind():
    names = {kind.__name__ for kind in STIMULI}
    assert len(names) == len(STIMULI)
    assert {CancelOrder, PlaceOrder} < set(INSTRUCTIONS)
    assert replace(Beat(now_ms=1), now_ms=2) == decode(*encode(Beat(now_ms=2)))
    assert OrderSnapshot not in STIMULI
