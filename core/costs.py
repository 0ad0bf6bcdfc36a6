"""What a trade costs: the fee tables of the venues, fees in whole units, and where the cost of one fill went.

Amounts are ints of ``UNIT`` (1e-8 of an asset), the smallest amount a venue keeps, and rates ints of 1e-8: the
engine's int64 and the Decimals of an account are the same numbers.
"""

import math
from decimal import Decimal
from typing import NamedTuple

from core.book import Depth
from core.errors import ConfigError
from core.lean import lean, pasted
from core.params import CostSettings
from core.units import BPS, Instrument

UNIT = Decimal("0.00000001")
UNITS = 100_000_000
"""Units of one, for amounts and rates alike."""

_VIP = (
    ("0.001", "0.001"),
    ("0.0009", "0.001"),
    ("0.0008", "0.001"),
    ("0.0004", "0.0006"),
    ("0.0004", "0.00052"),
    ("0.00025", "0.00031"),
    ("0.0002", "0.00029"),
    ("0.00019", "0.00028"),
    ("0.00016", "0.00025"),
    ("0.00011", "0.00023"),
)
BINANCE_SPOT = tuple((Decimal(maker), Decimal(taker)) for maker, taker in _VIP)
"""(maker, taker) of Binance spot, VIP 0 to 9, as https://www.binance.com/en/fee/trading listed them in 2025, noted from
memory: the page could not be read when this was written, and levels 3 and up were changed several times since 2022.
Check them before relying on a level; an account's own rates are at GET /api/v3/account/commission."""
BNB_FACTOR = Decimal("0.75")
"""25 % off when fees are paid in BNB (same page; ``discount`` of account/commission)."""
UPBIT = {"KRW": Decimal("0.0005"), "BTC": Decimal("0.0025"), "USDT": Decimal("0.0025")}
"""Upbit by quote currency, maker and taker alike, no tiers (ccxt 4's table, 2026; GET /v1/orders/chance is the truth)."""


class Fees(NamedTuple):
    """What a venue charges in one market."""

    maker: Decimal
    """Fraction of what is traded."""
    taker: Decimal
    in_quote: bool
    """The fee is its worth in the quote currency, on top of what a buy costs; else it is taken from what comes in."""


def fees_of(instrument: Instrument, costs: CostSettings) -> Fees:
    """Fees of an instrument's venue under these settings; ConfigError for a tier or a quote it does not have.

    Upbit has its own table; every other venue is charged as Binance.
    """
    tier = costs.fee_tier.get(instrument.venue, 0)  # type: ignore[call-overload]
    if instrument.venue == "upbit":
        if tier:
            raise ConfigError(f"costs.fee_tier.upbit is {tier}: Upbit has one tier only, 0")
        if instrument.quote not in UPBIT:
            raise ConfigError(
                f"{instrument}: no fee is known for Upbit's {instrument.quote} market ({', '.join(UPBIT)})"
            )
        rate = UPBIT[instrument.quote]
        fees = Fees(rate, rate, True)
    else:
        maker, taker = BINANCE_SPOT[tier]
        in_bnb = costs.fee_paid_in == "bnb"
        factor = BNB_FACTOR if in_bnb else Decimal(1)
        fees = Fees(maker * factor, taker * factor, in_bnb)
    return fees if costs.fees else Fees(Decimal(0), Decimal(0), fees.in_quote)


def units_of(value: Decimal) -> int:
    """An amount or a rate in ints of 1e-8, cut."""
    return int(value * UNITS)


@pasted
def commission(amount: int, rate: int) -> int:
    """Fee on ``amount`` at ``rate``, both in ints of 1e-8, cut to the venue's 8 decimals. Exact up to 9e10 of an asset."""
    whole, part = amount // UNITS, amount % UNITS
    return whole * rate + part * rate // UNITS


@pasted
def fee_of_fill(buying: bool, in_quote: bool, rate: int, quantity: int, money: int) -> tuple[int, bool]:
    """(fee, whether it is paid in the base coin) of a fill of ``quantity`` base for ``money`` quote, all in units.

    Taken from what comes in; ``in_quote``: always from the quote coin.
    """
    in_base = buying and not in_quote
    return commission(quantity if in_base else money, rate), in_base


def depth_of(costs: CostSettings) -> Depth:
    """The depth of the book under these settings."""
    return Depth(costs.impact_coefficient if costs.impact else 0.0, costs.max_participation_pct / 100.0)


class Terms(NamedTuple):
    """``CostSettings`` as the kernels read them; the numbers of a part that is switched off are those of no cost."""

    depth: Depth
    latency_ms: int
    share: float
    """Of a minute's volume that one side of ours may take; inf = no cap."""
    halts: bool
    min_volatility: float
    """Log return a minute."""
    half_spread_default_bps: float
    half_spread_max_bps: float
    over: float
    """Where all prices of a minute are above ``over`` times a price, the middle of no touch in it is so low."""
    under: float
    """Where all are below ``under`` times a price, none is so high."""


def terms_of(costs: CostSettings) -> Terms:
    wide = max(costs.half_spread_max_bps, costs.half_spread_default_bps) / BPS if costs.spread else 0.0
    return Terms(
        depth=depth_of(costs),
        latency_ms=costs.latency_ms if costs.latency else 0,
        share=costs.max_participation_pct / 100.0 if costs.participation else math.inf,
        halts=costs.halts,
        min_volatility=costs.min_volatility_bps / BPS,
        half_spread_default_bps=costs.half_spread_default_bps if costs.spread else 0.0,
        half_spread_max_bps=costs.half_spread_max_bps if costs.spread else 0.0,
        over=1.0 / (1.0 - min(wide, 0.5)),
        under=1.0 / (1.0 + wide),
    )


@lean
def split_cost(
    buying: bool, quantity: float, ticks: int, bid: int, ask: int, tick: float, mid_then: float
) -> tuple[float, float, float]:
    """(delay, spread, impact) in quote units: what a fill of ``quantity`` at ``ticks`` lost against ``mid_then``.

    ``mid_then`` is the mid at the decision (quote units); ``bid`` and ``ask`` (ticks) the touch at the fill.
    Delay: the mid moved until it acted, negative when that helped. Spread: half of it. Impact: how far behind the touch
    it was filled. They add up to the fill's price less ``mid_then``, times the quantity (a sell's the other way
    round); fees come on top.
    """
    sign = 1.0 if buying else -1.0
    touch = ask if buying else bid
    delay = sign * (0.5 * (bid + ask) * tick - mid_then) * quantity
    return delay, 0.5 * (ask - bid) * tick * quantity, sign * (ticks - touch) * tick * quantity
