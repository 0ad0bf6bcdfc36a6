"""What is told at a run's end of each exchange, and of the rate between their currencies."""

from dataclasses import replace
from decimal import Decimal

from actors.runs.summary import figures, venue_lines
from core.messages import Fill, MinuteRecord, QuoteRate
from core.units import MINUTE_MS, Instrument, Side

BTC, WON = Instrument("binance", "BTC/USDT"), Instrument("upbit", "BTC/KRW")


def fill(instrument: Instrument, price: str) -> Fill:
    return Fill(
        client_id="c",
        instrument=instrument,
        trade_id="1",
        side=Side.BUY,
        quantity=Decimal("0.5"),
        price=Decimal(price),
        fee=Decimal(0),
        fee_asset=instrument.quote,
        maker=False,
        at_ms=0,
    )


def minute(number: int, won_a_usdt: float | None, *fills: Fill) -> MinuteRecord:
    rates = (
        ()
        if won_a_usdt is None
        else (QuoteRate(currency="KRW", usdt=1 / won_a_usdt, source="upbit:USDT/KRW", at_ms=0),)
    )
    return MinuteRecord(
        minute=number * MINUTE_MS,
        trace="t",
        status="done",
        instruments=(BTC, WON),
        position=(0.0, 0.5),
        equity=1.0,
        rates=rates,
        fills=fills,
    )


def test_a_line_for_each_exchange_and_one_for_the_rate():
    records = [minute(0, 1_400.0), minute(1, 1_390.5, fill(WON, "139050000")), minute(2, None, fill(BTC, "100000"))]
    assert venue_lines(records) == [
        "binance: orders 0, fills 1, traded 50,000.00 USDT; holds no coins",
        "upbit: orders 0, fills 1, traded 50,000.00 USDT; holds 0.5 BTC",
        "rate: 1,400.00 → 1,390.50 KRW a USDT, by upbit:USDT/KRW; unknown in 1 of 3 minutes",
    ]
    assert figures(records)["exchanges"] == venue_lines(records)


def test_one_exchange_alone_needs_no_lines():
    alone = [replace(minute(0, 1_400.0), instruments=(WON,), position=(0.5,))]
    assert venue_lines(alone) == []
    assert venue_lines([]) == []
