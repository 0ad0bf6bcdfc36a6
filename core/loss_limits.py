"""The compiled rules of risk beside sizing: what marking to market leads to, and who may trade what.

``core.risk`` applies them to one minute with names and reasons; the engine loops them over years.
"""

import math
from typing import NamedTuple

from core.lean import lean, pasted
from core.messages import BoolArray, FloatArray, TradingState
from core.params import RiskSettings
from core.sizing import BUY_BLOCK, CASH, HELD, MID, PRICE, SELL_BLOCK, SELLABLE, TARGET, IntArray, Limit

STATES: tuple[TradingState, ...] = tuple(TradingState)
ACTIVE, REDUCING, HALTED = (STATES.index(s) for s in (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED))
NO_BREACH, DAILY_LOSS, DRAWDOWN = range(3)
"""What ``mark`` says was breached just now."""
BREACH_NAMES = {DAILY_LOSS: "daily_loss_pct", DRAWDOWN: "max_drawdown_pct"}
NO_DAY = -1

_HALTED_LIMIT, _NOT_TRADING, _NO_BOOK = int(Limit.HALTED), int(Limit.NOT_TRADING), int(Limit.NO_BOOK)
_REDUCING_LIMIT, _UNRECONCILED, _NOT_FRESH = int(Limit.REDUCING), int(Limit.UNRECONCILED), int(Limit.NOT_FRESH)


class Mark(NamedTuple):
    """What risk remembers of the account's worth."""

    state: int
    """Index into STATES."""
    by_limit: bool
    """A loss limit made it so."""
    closing: bool
    """A loss limit is closing what is held."""
    peak: float
    """Highest equity since the start or the last resume, USDT; NaN before the first."""
    day: int
    """UTC day number of ``day_equity``; NO_DAY before the first."""
    day_equity: float
    """First equity of that day, USDT; NaN before the first."""


class LossLimits(NamedTuple):
    """``RiskSettings``, as far as marking to market needs them. Per cent."""

    daily_loss_pct: float
    max_drawdown_pct: float
    close: bool
    """A breach also closes what is held."""


def loss_limits(limits: RiskSettings) -> LossLimits:
    return LossLimits(float(limits.daily_loss_pct), float(limits.max_drawdown_pct), limits.on_loss_limit == "close")


@lean
def mark(before: Mark, equity: float, day: int, reconciled: bool, limits: LossLimits) -> tuple[Mark, int, float]:
    """Mark the account to market: move the peak and the day, and reduce when a loss limit is breached.

    Gives the new state, what was breached just now, and the equity that the loss is measured from. An equity that is
    unknown or not positive marks nothing. A peak is only believed of a reconciled account.
    """
    if not (equity > 0.0 and equity < math.inf):
        return before, NO_BREACH, math.nan
    peak, today, start = before.peak, before.day, before.day_equity
    if math.isnan(peak) or (equity > peak and reconciled):
        peak = equity
    if today != day or math.isnan(start):
        today, start = day, equity
    after = Mark(before.state, before.by_limit, before.closing, peak, today, start)
    if before.state == HALTED or before.by_limit:
        return after, NO_BREACH, math.nan
    if _breached(equity, start, limits.daily_loss_pct):
        return Mark(REDUCING, True, limits.close, peak, today, start), DAILY_LOSS, start
    if _breached(equity, peak, limits.max_drawdown_pct):
        return Mark(REDUCING, True, limits.close, peak, today, start), DRAWDOWN, peak
    return after, NO_BREACH, math.nan


@pasted
def loss_pct(equity: float, base: float) -> float:
    return (1.0 - equity / base) * 100.0


@pasted
def _breached(equity: float, base: float, allowed_pct: float) -> bool:
    if not equity < base:
        return False
    loss = loss_pct(equity, base)
    return loss > 0.0 and loss >= allowed_pct


@lean
def fill_into(
    rows: FloatArray,
    marks: IntArray,
    target: FloatArray,
    position: FloatArray,
    sellable: FloatArray,
    mid: FloatArray,
    close: FloatArray,
    cash: FloatArray,
    fresh: BoolArray,
    tradable: BoolArray,
    reconciled: bool,
    state: int,
    closing: bool,
) -> None:
    """Write what changes from minute to minute into ``core.sizing``'s tables (step, tick, minimum, fee, rate, purse and
    coin stay).

    The others are (S,). Targets are brought within 0..1, infinite ones are no opinion; closing sells everything held. What
    forbids buying and selling is the gravest reason there is: halted, no rules, no book, reducing, an account that is
    not reconciled, a market that is not fresh.
    """
    for i in range(target.shape[0]):
        held = position[i] if math.isfinite(position[i]) else 0.0
        known = math.isfinite(mid[i]) and mid[i] > 0.0
        wanted = min(max(target[i], 0.0), 1.0) if math.isfinite(target[i]) else math.nan
        if closing and state == REDUCING and held > 0.0:
            wanted = 0.0
        rows[TARGET, i] = wanted
        rows[HELD, i] = held
        rows[SELLABLE, i] = sellable[i]
        rows[MID, i] = mid[i] if known else math.nan
        rows[PRICE, i] = mid[i] if known else close[i]
        rows[CASH, i] = cash[i] if math.isfinite(cash[i]) else 0.0
        buy, sell = 0, 0
        if state == HALTED:
            buy = sell = _HALTED_LIMIT
        elif not tradable[i]:
            buy = sell = _NOT_TRADING
        elif not known:
            buy = sell = _NO_BOOK
        elif state == REDUCING:
            buy = _REDUCING_LIMIT
        elif not reconciled:
            buy = _UNRECONCILED
        elif not fresh[i]:
            buy = _NOT_FRESH
        marks[BUY_BLOCK, i] = buy
        marks[SELL_BLOCK, i] = sell
