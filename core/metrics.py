"""How a run did: return, drawdown, Sharpe, Sortino, turnover, hit rate, exposure; defined for runs that did nothing."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from core.currency import usdt_of
from core.messages import Fill, FloatArray, QuoteRate
from core.units import Instrument, Side

MINUTES_A_YEAR = 365 * 1_440
"""Crypto markets do not close."""
PERIODS = ((30 * 1_440, 1_440), (1_440, 60))
"""(From how many minutes on, the period of the returns): days from 30 days on, hours from a day on, else minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Numbers of one run. Fractions, not per cent."""

    minutes: int
    total_return: float
    max_drawdown: float
    """Largest fall from an earlier high, 0..1."""
    sharpe: float
    """Per year, no risk-free rate; 0 when equity does not vary."""
    sortino: float
    """Per year; 0 when equity does not vary, infinite when it never fell."""
    volatility: float
    """Per year."""
    turnover: float
    """Traded notional over mean equity."""
    hit_rate: float
    """Share of sells that realised a profit after fees; 0 without any."""
    exposure: float
    """Mean invested share of equity; 0 when not given."""
    trades: int
    """Fills."""


def measure(
    equity: FloatArray,
    invested: FloatArray | None = None,
    fills: Iterable[Fill] = (),
    rates: Iterable[QuoteRate] = (),
) -> Performance:
    """Measure a run from its equity (T,), one value a minute, in USDT; T may be 1.

    ``invested`` (T,) is the value held in coins, USDT. ``rates`` turn the fills' quote units into USDT;
    what has none is not counted as traded.
    Sharpe 1994, "The Sharpe Ratio"; Sortino & Price 1994 with target 0; both and the volatility from the returns of
    ``PERIODS``: minute returns of an account that mostly stands still look surer than they are. Raises ValueError for
    an empty series or one that is not positive and finite throughout: measure of a part that is, rather than of
    numbers that mean nothing.
    """
    equity = np.asarray(equity, dtype=np.float64)
    if equity.ndim != 1 or not len(equity):
        raise ValueError(f"equity must be (T,) with at least one minute, got {equity.shape}")
    if not (np.isfinite(equity) & (equity > 0.0)).all():
        raise ValueError(
            f"equity of minute {int(np.argmin(np.isfinite(equity) & (equity > 0.0)))} is not positive and finite"
        )
    if invested is not None and invested.shape != equity.shape:
        raise ValueError(f"invested is {invested.shape}, equity {equity.shape}")
    fills = tuple(fills)
    returns, a_year = _sampled(equity)
    known = tuple(rates)
    notionals = (float(f.quantity) * float(f.price) * usdt_of(known, f.instrument.quote) for f in fills)
    traded = sum(worth for worth in notionals if not math.isnan(worth))
    return Performance(
        minutes=len(equity),
        total_return=float(equity[-1] / equity[0] - 1.0),
        max_drawdown=max_drawdown(equity),
        sharpe=sharpe(returns, a_year),
        sortino=sortino(returns, a_year),
        volatility=float(returns.std() * math.sqrt(a_year)) if len(returns) else 0.0,
        turnover=traded / float(equity.mean()),
        hit_rate=hit_rate(fills),
        exposure=float((invested / equity).mean()) if invested is not None else 0.0,
        trades=len(fills),
    )


def _sampled(equity: FloatArray) -> tuple[FloatArray, float]:
    """Returns of whole periods of ``PERIODS``, and how many a year has; a stub at the end joins the last period."""
    period = next((length for least, length in PERIODS if len(equity) >= least), 1)
    count = max(1, round((len(equity) - 1) / period))
    ends = equity[np.append(np.arange(count) * period, len(equity) - 1)] if len(equity) > 1 else equity
    return ends[1:] / ends[:-1] - 1.0, MINUTES_A_YEAR / period


def max_drawdown(equity: FloatArray) -> float:
    """Largest fall from an earlier high as a share of it."""
    return float((1.0 - equity / np.maximum.accumulate(equity)).max())


def sharpe(returns: FloatArray, a_year: float = MINUTES_A_YEAR) -> float:
    """Mean over standard deviation of returns of which a year has ``a_year``, annualised; 0 when they do not vary
    beyond rounding."""
    if not len(returns):
        return 0.0
    mean, deviation = float(returns.mean()), float(returns.std())
    return mean / deviation * math.sqrt(a_year) if deviation > 1e-9 * abs(mean) else 0.0


def sortino(returns: FloatArray, a_year: float = MINUTES_A_YEAR) -> float:
    """Annualised mean over the root mean square of the negative returns."""
    if not len(returns) or not returns.any():
        return 0.0
    falls = np.minimum(returns, 0.0)
    downside = math.sqrt(float(np.mean(falls * falls)))
    return float(returns.mean()) / downside * math.sqrt(a_year) if downside > 0.0 else math.inf


def realised(fills: Iterable[Fill]) -> tuple[float, ...]:
    """Profit of each selling fill in quote units, after fees, against the average cost of what was held.

    A fee taken in the base asset reduces what is held, one in the quote the proceeds; one in a third asset is not
    counted, as its price is not known here. What was sold without ever being bought has no cost and is left out.
    """
    held: dict[Instrument, float] = {}
    cost: dict[Instrument, float] = {}
    profits: list[float] = []
    for fill in fills:
        quantity, price, fee = float(fill.quantity), float(fill.price), float(fill.fee)
        base_fee = fee if fill.fee_asset == fill.instrument.base else 0.0
        quote_fee = fee if fill.fee_asset == fill.instrument.quote else 0.0
        have, paid = held.get(fill.instrument, 0.0), cost.get(fill.instrument, 0.0)
        if fill.side is Side.BUY:
            held[fill.instrument] = have + quantity - base_fee
            cost[fill.instrument] = paid + quantity * price + quote_fee
            continue
        known = min(quantity, have)
        if known > 0.0:
            share = known / have
            profits.append((quantity * price - quote_fee) * (known / quantity) - paid * share)
            held[fill.instrument] = have - known
            cost[fill.instrument] = paid * (1.0 - share)
    return tuple(profits)


def hit_rate(fills: Iterable[Fill]) -> float:
    """Share of selling fills that realised a profit; 0 without any."""
    profits = realised(fills)
    return sum(profit > 0.0 for profit in profits) / len(profits) if profits else 0.0
