"""Price grids that are a table of the price: Upbit's, and one so fine that rounding to it costs nothing."""

import math
from decimal import Decimal

from core.costs import UNIT

D = Decimal

_KRW_TICKS: tuple[tuple[Decimal, Decimal], ...] = tuple(
    (D(price), D(tick))
    for price, tick in (
        ("1000000", "1000"),
        ("500000", "500"),
        ("100000", "100"),
        ("50000", "50"),
        ("10000", "10"),
        ("5000", "5"),
        ("100", "1"),
        ("10", "0.1"),
        ("1", "0.01"),
        ("0.1", "0.001"),
        ("0.01", "0.0001"),
        ("0.001", "0.00001"),
        ("0.0001", "0.000001"),
        ("0.00001", "0.0000001"),
        ("0", "0.00000001"),
    )
)
_STABLE_KRW = ("USDT/KRW", "USDC/KRW")
UPBIT_LEAST = {"KRW": D(5_000), "BTC": D("0.00005"), "USDT": D("0.5")}
"""Smallest order value at Upbit by quote currency (docs.upbit.com, market info, 2026); orders/chance is the truth."""
_FINE = 1e-6


def upbit_tick(symbol: str, price: float) -> Decimal:
    """Smallest price step of an Upbit market at ``price``: the KRW table in force since 2025-07-31.

    Source: https://docs.upbit.com/kr/docs/krw-market-info (state of May 2026; its rows below 100 KRW by way of code that
    quotes it). A market of BTC or USDT is taken to have 8 decimals, which is finer than the venue's.
    """
    if not symbol.endswith("/KRW"):
        return UNIT
    if symbol in _STABLE_KRW and 1_000 <= price < 10_000:
        return D("0.5")
    return next(tick for level, tick in _KRW_TICKS if price >= level)


def step_for(tick: Decimal) -> Decimal:
    """The finest lot that keeps tick x lot to 8 decimals, as amounts of money are kept."""
    return max(UNIT, UNIT / tick)


def fine_grid(price: float) -> tuple[Decimal, Decimal]:
    """(tick, step) at which rounding costs at most a hundredth of a basis point of the price, and lots a hundredth of a
    quote unit or so. Money has 8 decimals, so price and lot cannot both be finer."""
    tick = D(10) ** math.floor(math.log10(price * _FINE))
    return tick, UNIT / tick
