"""One number for an account in several currencies: what a unit of each quote is worth in USDT, and what a coin costs here
against elsewhere.

A currency's rate is taken, in this order, from its own market against USDT (``upbit:USDT/KRW``), traded or only watched,
from the coins that trade in both (the middle one of their ratios), or from the last rate of its own market while that is
not too old. Where none of them is known, or the first two contradict each other grossly, there is no rate: what is held in that currency then
has no worth, the equity is unknown, and nothing is bought. Nothing is ever moved between venues or currencies.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import numpy as np

from core.counterparts import counterparts
from core.messages import FloatArray, QuoteRate, Top
from core.units import BPS, MINUTE_MS, Instrument

REPORTING_CURRENCY = "USDT"
CURRENT_MS = 10 * MINUTE_MS
"""A rate of the currency's own market counts as today's for so long."""
KEPT_MS = 6 * 60 * MINUTE_MS
"""For so long the last one still serves where nothing else is known: in hours, a currency moves by far less than a coin."""
CONTRADICTION = 0.5
"""Own market and coins may differ by a premium, not by half."""
IMPLIED = "implied by coins at two venues"
OWN_MARKETS = {"KRW": Instrument("upbit", "USDT/KRW")}
"""Where a currency trades against USDT."""


def watched_markets(instruments: Sequence[Instrument]) -> tuple[Instrument, ...]:
    """Markets to watch, beside those traded, so that every quote currency has a rate."""
    wanted = (OWN_MARKETS[i.quote] for i in instruments if i.quote in OWN_MARKETS)
    return tuple(dict.fromkeys(market for market in wanted if market not in instruments))


def read_rates(tops: Mapping[Instrument, Top]) -> tuple[QuoteRate, ...]:
    """The rates that watched markets show, from their best bid and ask."""
    found = []
    for currency, market in OWN_MARKETS.items():
        top = tops.get(market)
        if top is not None and 0.0 < top.bid <= top.ask:
            usdt = usdt_by(market, currency, (top.bid + top.ask) / 2.0)
            found.append(QuoteRate(currency=currency, usdt=usdt, source=str(market), at_ms=top.at_ms))
    return tuple(found)


def usdt_by(market: Instrument, currency: str, price: float) -> float:
    """USDT of one unit of ``currency`` by the ``price`` of its own ``market``, whichever of the two is the base."""
    return price if market.base == currency else 1.0 / price


class Rates:
    """What each quote currency of ``instruments`` is worth. Remembers the newest rate of each one's own market."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(instruments)
        self._heard: dict[str, QuoteRate] = {}

    def hear(self, rates: Iterable[QuoteRate]) -> None:
        """Take in what own markets showed; what is not a positive number is not a rate."""
        for rate in rates:
            before = self._heard.get(rate.currency)
            if rate.usdt > 0.0 and math.isfinite(rate.usdt) and (before is None or rate.at_ms >= before.at_ms):
                self._heard[rate.currency] = rate

    def at(self, now_ms: int, mid: FloatArray) -> tuple[QuoteRate, ...]:
        """The rates in force, one a currency; ``mid`` (S,) quote units, NaN where there is no price of this minute."""
        found = {REPORTING_CURRENCY: QuoteRate(currency=REPORTING_CURRENCY, usdt=1.0, source="unit", at_ms=now_ms)}
        for currency in dict.fromkeys(i.quote for i in self._instruments):
            if currency not in found and (rate := self._rate(currency, now_ms, mid)) is not None:
                found[currency] = rate
        return tuple(found.values())

    def _rate(self, currency: str, now_ms: int, mid: FloatArray) -> QuoteRate | None:
        self.hear(_own_market(self._instruments, mid, currency, now_ms))
        own = self._heard.get(currency)
        age = math.inf if own is None else now_ms - own.at_ms
        implied = implied_rate(self._instruments, mid, currency)
        if own is not None and age <= CURRENT_MS:
            if implied is not None and abs(math.log(implied / own.usdt)) > math.log1p(CONTRADICTION):
                return None
            return own
        if implied is not None:
            return QuoteRate(currency=currency, usdt=implied, source=IMPLIED, at_ms=now_ms)
        return own if age <= KEPT_MS else None


def _own_market(
    instruments: Sequence[Instrument], mid: FloatArray, currency: str, now_ms: int
) -> tuple[QuoteRate, ...]:
    """The rate by the market of ``currency`` against USDT, where that is itself a row with a price."""
    for row, i in enumerate(instruments):
        if mid[row] > 0.0 and {i.base, i.quote} == {currency, REPORTING_CURRENCY}:
            usdt = usdt_by(i, currency, float(mid[row]))
            return (QuoteRate(currency=currency, usdt=usdt, source=str(i), at_ms=now_ms),)
    return ()


def implied_rate(instruments: Sequence[Instrument], mid: FloatArray, currency: str) -> float | None:
    """USDT of one unit of ``currency`` by the coins that trade against both; the median, so that one odd price is
    outvoted. None without such a coin."""
    in_usdt = {
        i.base: float(mid[row]) for row, i in enumerate(instruments) if i.quote == REPORTING_CURRENCY and mid[row] > 0.0
    }
    ratios = [
        in_usdt[i.base] / float(mid[row])
        for row, i in enumerate(instruments)
        if i.quote == currency and i.base in in_usdt and mid[row] > 0.0
    ]
    return median(ratios) if ratios else None


def rate_column(instruments: Sequence[Instrument], rates: Sequence[QuoteRate]) -> FloatArray:
    """(S,) USDT of a quote unit; NaN where it is not known."""
    known = {rate.currency: rate.usdt for rate in rates}
    return np.array([known.get(i.quote, math.nan) for i in instruments])


def usdt_of(rates: Iterable[QuoteRate], currency: str) -> float:
    """USDT of one unit by what a minute's record kept: NaN where it did not know."""
    if currency == REPORTING_CURRENCY:
        return 1.0
    return next((rate.usdt for rate in rates if rate.currency == currency), math.nan)


def premium_bps(instruments: Sequence[Instrument], mid: FloatArray, rates: Sequence[QuoteRate]) -> FloatArray:
    """(S,) by how much a coin costs more than at the other venue that trades it, basis points, at ``mid`` (S,).

    NaN where there is no such venue, a price or a rate is missing, or the rate itself was implied by coins (then the
    premium is in the rate). For KRW markets this is what is known as the kimchi premium.
    """
    worth = {rate.currency: rate.usdt for rate in rates if rate.source != IMPLIED}
    found = np.full(len(instruments), math.nan)
    for row, own in enumerate(instruments):
        other = _elsewhere(row, instruments)
        if other < 0:
            continue
        here = float(mid[row]) * worth.get(own.quote, math.nan)
        there = float(mid[other]) * worth.get(instruments[other].quote, math.nan)
        if here > 0.0 and there > 0.0:
            found[row] = (here / there - 1.0) * BPS
    return found


def _elsewhere(row: int, instruments: Sequence[Instrument]) -> int:
    """Row of the same coin at another venue, the one that the premium feature compares with; -1 without one."""
    other = counterparts(instruments)[row][0]
    if other >= 0:
        return other
    own = instruments[row]
    return next((k for k, one in enumerate(instruments) if one.base == own.base and one.venue != own.venue), -1)
