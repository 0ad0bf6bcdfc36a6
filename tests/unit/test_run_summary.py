"""What is told at a run's end of each exchange, and of the rate between their currencies."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from rich.console import Console

from actors.runs.audit import Audit
from actors.runs.simulators import opening_words
from actors.runs.summary import figures, print_summary, venue_lines
from config.load import load_settings
from core.messages import Fill, MinuteRecord, QuoteRate
from core.units import MINUTE_MS, Instrument, Side
from data.lake import Lake
from data.market import MarketSource

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
        "binance: slices 0, fills 1, traded 50,000.00 USDT; holds no coins",
        "upbit: slices 0, fills 1, traded 50,000.00 USDT; holds 0.5 BTC",
        "rate: 1,400.00 → 1,390.50 KRW a USDT, by upbit:USDT/KRW; unknown in 1 of 3 minutes",
    ]
    assert figures(records)["exchanges"] == venue_lines(records)


def test_one_exchange_alone_needs_no_lines():
    alone = [replace(minute(0, 1_400.0), instruments=(WON,), position=(0.5,))]
    assert venue_lines(alone) == []
    assert venue_lines([]) == []


def test_each_exchanges_own_account_is_said_at_the_start():
    usdt, won = ("binance", "USDT"), ("upbit", "KRW")
    assert opening_words({usdt: Decimal(400)}, Decimal(400)) == "the account begins with: binance 400 USDT"
    both = opening_words({usdt: Decimal(400), ("binance", "BTC"): Decimal(0), won: Decimal(556_000)}, Decimal(400))
    assert both.startswith("each exchange begins with an account of its own")
    assert both.endswith("binance 400 USDT; upbit 556,000 KRW")


def summary(records: list[MinuteRecord], capsys) -> str:
    source = MarketSource(name="lake", root=Path(), lake=Lake(Path()), synthetic=False)
    agreed = Audit(trades=0, differences=())
    print_summary(Console(width=200), records, Path(), source, agreed, load_settings(environ={}), as_json=False)
    return capsys.readouterr().out


def test_a_run_that_traded_nothing_says_why_in_the_backtests_words(capsys):
    silent = replace(minute(0, None), edge_bps=(0.0, -0.0))
    assert "every forecast was zero. What the members learned" in summary([silent], capsys)
    weak = replace(minute(0, None), edge_bps=(4.0, -9.0))
    assert "the strongest forecast was 4.0 bps, and a position is opened from 25 on" in summary([weak], capsys)
