"""An account in two currencies: where the rate comes from, when there is none, and what a coin costs here against there."""

import math

import numpy as np
import pytest

from core.currency import IMPLIED, KEPT_MS, Rates, implied_rate, premium_bps, rate_column
from core.messages import QuoteRate
from core.units import MINUTE_MS, Instrument

NOW = 1_700_000_040_000
BTC_USDT, ETH_USDT = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")
BTC_KRW, ETH_KRW, XRP_KRW = (Instrument("upbit", f"{base}/KRW") for base in ("BTC", "ETH", "XRP"))
ROWS = (BTC_USDT, ETH_USDT, BTC_KRW, ETH_KRW, XRP_KRW)
MIDS = np.array([50_000.0, 2_500.0, 70_000_000.0, 3_600_000.0, 800.0])


def watched(usdt: float, at_ms: int = NOW) -> QuoteRate:
    return QuoteRate(currency="KRW", usdt=usdt, source="upbit:USDT/KRW", at_ms=at_ms)


def krw(rates: Rates, now_ms: int = NOW, mids: np.ndarray = MIDS) -> QuoteRate | None:
    return next((r for r in rates.at(now_ms, mids) if r.currency == "KRW"), None)


def test_the_watched_market_of_the_currency_goes_first():
    rates = Rates(ROWS)
    rates.hear([watched(1 / 1_380)])
    found = krw(rates)
    assert found is not None
    assert (found.usdt, found.source) == (1 / 1_380, "upbit:USDT/KRW")


def test_a_row_of_the_currency_against_usdt_is_its_own_market():
    rows = (*ROWS, Instrument("upbit", "USDT/KRW"))
    found = krw(Rates(rows), mids=np.append(MIDS, 1_390.0))
    assert found is not None
    assert (found.usdt, found.source) == (1 / 1_390, "upbit:USDT/KRW")


def test_coins_at_two_venues_tell_the_rate_where_its_own_market_is_silent():
    found = krw(Rates(ROWS))
    assert found is not None
    assert found.source == IMPLIED
    assert found.usdt == pytest.approx(np.median([50_000 / 70_000_000, 2_500 / 3_600_000]))


def test_one_odd_price_of_three_is_outvoted():
    rows = (*ROWS, Instrument("binance", "XRP/USDT"))
    assert implied_rate(rows, np.append(MIDS, 600.0), "KRW") == pytest.approx(50_000 / 70_000_000)


def test_a_rate_grows_old_and_serves_for_some_hours_where_nothing_else_is_known():
    rates, silent = Rates(ROWS), np.full(5, math.nan)
    rates.hear([watched(1 / 1_380)])
    assert krw(rates, NOW + 11 * MINUTE_MS).source == IMPLIED  # type: ignore[union-attr]
    assert krw(rates, NOW + KEPT_MS, silent).usdt == 1 / 1_380  # type: ignore[union-attr]
    assert krw(rates, NOW + KEPT_MS + 1, silent) is None


def test_a_rate_that_the_coins_contradict_grossly_is_none_at_all():
    rates = Rates(ROWS)
    rates.hear([watched(1 / 1.38)])
    assert krw(rates) is None
    assert math.isnan(rate_column(ROWS, rates.at(NOW, MIDS))[2])


@pytest.mark.parametrize("usdt", [0.0, -1.0, math.nan, math.inf])
def test_what_is_not_a_positive_number_is_no_rate(usdt):
    rates = Rates(ROWS)
    rates.hear([watched(1 / 1_380), watched(usdt, NOW + 1)])
    assert krw(rates).usdt == 1 / 1_380  # type: ignore[union-attr]


def test_an_older_rate_does_not_replace_a_newer_one():
    rates = Rates(ROWS)
    rates.hear([watched(1 / 1_380), watched(1 / 1_200, NOW - 1)])
    assert krw(rates).usdt == 1 / 1_380  # type: ignore[union-attr]


def test_the_premium_is_what_a_coin_costs_more_here():
    found = premium_bps(ROWS, MIDS, (QuoteRate(currency="USDT", usdt=1, source="unit", at_ms=NOW), watched(1 / 1_380)))
    assert found[2] == pytest.approx((70_000_000 / 1_380 / 50_000 - 1) * 10_000)
    assert found[0] == pytest.approx((50_000 * 1_380 / 70_000_000 - 1) * 10_000)
    assert math.isnan(found[4]), "XRP trades at one venue only"
    unpriced = MIDS.copy()
    unpriced[0] = math.nan
    assert math.isnan(premium_bps(ROWS, unpriced, (watched(1 / 1_380),))[2])
