"""The audit compares journal, records and each venue's own statement, to the last digit and both ways."""

from decimal import Decimal

import pytest

from actors.runs.audit import audit
from core.messages import Fill
from core.orders import client_id
from core.units import Instrument, Side

BTC, KRW = Instrument("binance", "BTC/USDT"), Instrument("upbit", "BTC/KRW")
CASH = {("binance", "USDT"): Decimal(1_000), ("upbit", "KRW"): Decimal(1_000_000)}


def trade(symbol: str, client_id: str, price: str, fee: str, fee_asset: str) -> dict:
    amounts = {"quantity": "0.01", "price": price, "fee": fee, "fee_asset": fee_asset}
    return {"symbol": symbol, "trade_id": "1", "client_id": client_id, "side": "buy", **amounts}


def statement(venue: str, trades: list[dict], **held: str) -> dict:
    balances = {asset: {"free": amount, "locked": "0"} for asset, amount in held.items()}
    return {"venue": venue, "trades": trades, "balances": balances, "open_orders": []}


def fill(instrument: Instrument, client_id: str, price: str) -> Fill:
    return Fill(
        client_id=client_id,
        instrument=instrument,
        trade_id="1",
        side=Side.BUY,
        quantity=Decimal("0.01"),
        price=Decimal(price),
        fee=Decimal(0),
        fee_asset="",
        maker=False,
        at_ms=0,
    )


@pytest.fixture
def both() -> tuple[dict, list[dict], list[Fill]]:
    """The same trade number at two venues, each in its own currency, all agreeing."""
    books = {"orders": {"a": "0.01", "b": "0.01"}, "unsettled": [], "faults": []}
    here = statement("binance", [trade("BTC/USDT", "a", "50000", "0.00001", "BTC")], USDT="500", BTC="0.00999")
    there = statement("upbit", [trade("BTC/KRW", "b", "70000000", "350", "KRW")], KRW="299650", BTC="0.01")
    return books, [here, there], [fill(BTC, "a", "50000"), fill(KRW, "b", "70000000")]


def test_two_venues_that_agree_are_one_story(both):
    books, statements, fills = both
    found = audit(books, statements, fills, CASH)
    assert found.differences == ()
    assert found.trades == 2


def test_a_balance_that_does_not_follow_from_the_trades_is_named_with_its_venue(both):
    books, statements, fills = both
    statements[1]["balances"]["KRW"]["free"] = "299651"
    assert audit(books, statements, fills, CASH).differences == ("upbit holds 299651 KRW, its trades give 299650.00",)


def test_a_trade_that_only_one_side_knows_is_named(both):
    books, statements, fills = both
    assert audit(books, statements, fills[:1], CASH).differences == ("trade 1 of upbit:BTC/KRW is not in the records",)
    (found,) = audit(books, statements, [*fills, fill(Instrument("upbit", "ETH/KRW"), "c", "1")], CASH).differences
    assert "in the records only" in found


def test_what_the_journal_executed_is_held_against_the_exchange(both):
    books, statements, fills = both
    books["orders"]["b"] = "0.02"
    books["unsettled"] = ["b"]
    statements[0]["open_orders"] = ["a"]
    found = audit(books, statements, fills, CASH).differences
    assert "order b: journal 0.02, exchange 0.01" in found
    assert "order b was never settled" in found
    assert "order a is still open at binance" in found


def test_a_stop_that_was_left_at_the_exchange_is_no_difference(both):
    books, statements, fills = both
    statements[0]["open_orders"] = [client_id("paper", "stop", 60_000, "BTC/USDT", n) for n in (0, 1)]
    assert audit(books, statements, fills, CASH).differences == ()
