"""What a backtest counts a quote currency as: one worth in USDT for the whole run.

A live bot counts won by their rate of the minute, so that its equity moves with the won as well. A backtest of won
markets is an account in won: what a won is worth is taken once, at its start, and what the run earns or loses is what
its coins did. It is told in USDT, as everything is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.bars import last_known
from core.currency import KEPT_MS, OWN_MARKETS, REPORTING_CURRENCY, usdt_by
from core.errors import ConfigError
from core.messages import CLOSE, QuoteRate
from core.units import MINUTE_MS, Instrument, to_decimal
from data.lake import Lake

SMALLEST = Decimal("0.00000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteWorth:
    """One currency's."""

    currency: str
    usdt: float
    """Of one unit."""
    source: str
    """Where it is from, in words."""

    def units(self, usdt: Decimal) -> Decimal:
        """So many USDT in the currency, cut to what an account can hold."""
        return usdt if self.usdt == 1.0 else (usdt / to_decimal(self.usdt)).quantize(SMALLEST, rounding="ROUND_DOWN")

    def rate(self, now_ms: int) -> QuoteRate:
        """As a feed would hear it at ``now_ms``."""
        return QuoteRate(currency=self.currency, usdt=self.usdt, source=self.source, at_ms=now_ms)

    def note(self) -> str:
        """What a reader of the result must know; empty for USDT."""
        if self.currency == REPORTING_CURRENCY:
            return ""
        return (
            f"A USDT counts as {1.0 / self.usdt:,.2f} {self.currency} through the whole run ({self.source}): the account is "
            f"kept in {self.currency}, and what the {self.currency} itself gained or lost is not in it."
        )


IN_USDT = QuoteWorth(currency=REPORTING_CURRENCY, usdt=1.0, source="unit")


def worth_of(
    lake: Lake, instruments: Sequence[Instrument], first_minute: int, per_usdt: Mapping[str, float]
) -> QuoteWorth | None:
    """Of the one quote currency of ``instruments``: as was said (``per_usdt``), else by the last close of its own market
    in the hours before ``first_minute``. None for several currencies, and where nothing tells it."""
    quotes = {i.quote for i in instruments}
    if len(quotes) != 1:
        return None
    (currency,) = quotes
    if currency == REPORTING_CURRENCY:
        return IN_USDT
    if currency in per_usdt:
        return QuoteWorth(currency=currency, usdt=1.0 / per_usdt[currency], source="as was said")
    market = OWN_MARKETS.get(currency)
    if market is None or market not in lake.instruments():
        return None
    minutes = KEPT_MS // MINUTE_MS
    closes = lake.window((market,), first_minute - KEPT_MS, minutes)[0, :, CLOSE]
    close = last_known(closes, minutes)
    if not close > 0.0:
        return None
    usdt = usdt_by(market, currency, float(close))
    return QuoteWorth(currency=currency, usdt=usdt, source=f"{market} before the first minute")


def known_worth(worth: QuoteWorth | None, instruments: Sequence[Instrument]) -> QuoteWorth:
    """``worth`` where there is one; ConfigError says what to do where there is none."""
    quotes = sorted({i.quote for i in instruments})
    if quotes == [REPORTING_CURRENCY]:
        return IN_USDT
    if len(quotes) > 1:
        raise ConfigError(
            f"a backtest keeps one account in one currency, and these markets are in {' and '.join(quotes)}; test the "
            "exchanges one by one (--set trade.instruments=...), or replay both: python3 run.py replay --lockstep"
        )
    if worth is not None and math.isfinite(worth.usdt) and worth.usdt > 0.0:
        return worth
    currency, market = quotes[0], OWN_MARKETS.get(quotes[0])
    say = f"say it with --per-usdt {currency}=NUMBER, e.g. --per-usdt KRW=1390"
    if market is None:
        raise ConfigError(f"{instruments[0]}: what a {currency} is worth in USDT is not known; {say}")
    raise ConfigError(
        f"{instruments[0]}: what a {currency} is worth in USDT is not known, as there are no bars of {market} before the "
        f"first minute; get them (python3 run.py data download --exchange {market.venue} --symbols {market.symbol} "
        f"--since DATE), or {say}"
    )
