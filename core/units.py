"""Units the whole house agrees on: minutes, sides, instruments, and rounding to a venue's grid.

Times are UTC epoch milliseconds (int). A *minute* is named by the OPEN time of its bar, so the bar of
minute ``m`` covers ``[m, m + 60_000)`` and is decided upon at ``m + 60_000``. Amounts that reach a venue
are ``Decimal``; analytics are float64.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import NamedTuple

MINUTE_MS = 60_000
DAY_MS = 86_400_000
BPS = 10_000.0


class Side(StrEnum):
    """Direction of an order."""

    BUY = "buy"
    SELL = "sell"


class Instrument(NamedTuple):
    """One market at one venue; a row of every per-symbol array."""

    venue: str
    """Venue name as in the config, e.g. ``binance``."""
    symbol: str
    """Unified symbol ``BASE/QUOTE``, e.g. ``BTC/USDT``."""

    @property
    def base(self) -> str:
        return self.symbol.partition("/")[0]

    @property
    def quote(self) -> str:
        return self.symbol.partition("/")[2]

    def __str__(self) -> str:
        return f"{self.venue}:{self.symbol}"

    @classmethod
    def parse(cls, text: str) -> "Instrument":
        """Read ``venue:BASE/QUOTE``; raises ValueError naming the text."""
        venue, colon, symbol = text.partition(":")
        if not colon or "/" not in symbol:
            raise ValueError(f"{text!r} is not venue:BASE/QUOTE, e.g. binance:BTC/USDT")
        return cls(venue, symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRules:
    """What a venue enforces for one instrument (its filters), and what it charges."""

    instrument: Instrument
    tick: Decimal
    """Smallest price increment, quote units."""
    step: Decimal
    """Smallest quantity increment, base units."""
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal
    """Smallest order value the venue takes, quote units."""
    maker_fee: Decimal = Decimal("0.001")
    """Fraction of notional."""
    taker_fee: Decimal = Decimal("0.001")
    status: str = "TRADING"


def floor_to_step(quantity: Decimal, step: Decimal) -> Decimal:
    """Largest multiple of ``step`` not above ``quantity`` (never rounds an amount up)."""
    return (quantity / step).to_integral_value(rounding=ROUND_FLOOR) * step


def round_price(price: Decimal, tick: Decimal, side: Side) -> Decimal:
    """Round a limit to the grid on the cautious side: a buy down, a sell up."""
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return (price / tick).to_integral_value(rounding=rounding) * tick


def to_decimal(value: float) -> Decimal:
    """The shortest decimal that reads back as ``value`` (so prices survive float64 and the wire)."""
    return Decimal(repr(float(value)))


def plainly(value: float, digits: int = 10) -> str:
    """A number for people: so many significant digits at most, no trailing zeros, and no exponent unless it is of no
    amount or price there is."""
    if not math.isfinite(value):
        return "unknown"
    text = f"{value:.{digits}g}"
    return f"{Decimal(text).normalize():f}" if value == 0.0 or 1e-12 <= abs(value) < 1e15 else text


def plural(count: int, noun: str) -> str:
    """``1 minute``, ``2,500 minutes``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
