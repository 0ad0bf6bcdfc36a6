"""The compiled rules of risk beside sizing: what marking to market leads to, and who may trade what.

``core.risk`` applies them to one minute with names and reasons; the engine loops them over years.
"""

import math
from typing import NamedTuple

import numpy as np

from core.events import is_stale
from core.guards import guard_of
from core.lean import lean, pasted, shared
from core.managed import managed_part
from core.messages import BoolArray, FloatArray, TradingState
from core.params import RiskSettings, TradeSettings
from core.sizing import BUY_BLOCK, CASH, HELD, MID, PRICE, SELL_BLOCK, SELLABLE, TARGET, IntArray, Limit

STATES: tuple[TradingState, ...] = tuple(TradingState)
ACTIVE, REDUCING, HALTED = (STATES.index(s) for s in (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED))
NO_BREACH, DAILY_LOSS, DRAWDOWN, DAILY_LOSS_USDT = range(4)
"""What ``mark`` says was breached just now."""
BREACH_NAMES = {DAILY_LOSS: "daily_loss_pct", DRAWDOWN: "max_drawdown_pct", DAILY_LOSS_USDT: "daily_loss_usdt"}
NO_DAY = -1

_HALTED_LIMIT, _NOT_TRADING, _NO_BOOK = int(Limit.HALTED), int(Limit.NOT_TRADING), int(Limit.NO_BOOK)
_REDUCING_LIMIT, _UNRECONCILED, _NOT_FRESH = int(Limit.REDUCING), int(Limit.UNRECONCILED), int(Limit.NOT_FRESH)
_STALE = int(Limit.STALE)


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
    day_money: float
    """The same, for the loss in money: what came or went by transfer is added, where ``day_equity`` is scaled."""


class LossLimits(NamedTuple):
    """``RiskSettings``, as far as marking to market needs them."""

    daily_loss_pct: float
    daily_loss_usdt: float
    """Infinite: none."""
    max_drawdown_pct: float
    capital: float
    """Fraction of the equity that the bot manages: losses are measured against that part."""
    capital_usdt: float
    """And no more than this, USDT; infinite: all of it."""
    close: bool
    """A breach also closes what is held."""


def loss_limits(trade: TradeSettings, limits: RiskSettings) -> LossLimits:
    return LossLimits(
        float(limits.daily_loss_pct),
        math.inf if limits.daily_loss_usdt is None else float(limits.daily_loss_usdt),
        float(limits.max_drawdown_pct),
        float(trade.capital_pct) / 100.0,
        math.inf if trade.capital_usdt is None else float(trade.capital_usdt),
        limits.on_loss_limit == "close",
    )


@lean
def mark(before: Mark, equity: float, day: int, reconciled: bool, limits: LossLimits) -> tuple[Mark, int, float]:
    """Mark the account to market: move the peak and the day, and reduce when a loss limit is breached.

    Gives the new state, what was breached just now, and the equity that the loss is measured from. An equity that is
    unknown or zero marks nothing; debts, where something was owned before, are a loss of more than all of it. A peak, and
    debts, are only believed of a reconciled account. A halted account stays halted, as only a person re-arms it; what it
    holds is closed all the same when ``limits.close``.
    """
    judged = before.by_limit or (before.state == HALTED and (before.closing or not limits.close))
    reduced = HALTED if before.state == HALTED else REDUCING
    if not (equity > 0.0 and equity < math.inf):
        if equity < 0.0 and equity > -math.inf and reconciled and before.peak > 0.0 and not judged:
            fallen = Mark(reduced, True, limits.close, before.peak, before.day, before.day_equity, before.day_money)
            return fallen, DRAWDOWN, before.peak
        return before, NO_BREACH, math.nan
    peak, today, start, money = before.peak, before.day, before.day_equity, before.day_money
    if math.isnan(peak) or (equity > peak and reconciled):
        peak = equity
    if today != day or math.isnan(start):
        today, start, money = day, equity, equity
    after = Mark(before.state, before.by_limit, before.closing, peak, today, start, money)
    if judged:
        return after, NO_BREACH, math.nan
    breach, base = NO_BREACH, math.nan
    if _breached(equity, start, limits.daily_loss_pct, limits):
        breach, base = DAILY_LOSS, start
    elif money - equity >= limits.daily_loss_usdt:
        breach, base = DAILY_LOSS_USDT, money
    elif _breached(equity, peak, limits.max_drawdown_pct, limits):
        breach, base = DRAWDOWN, peak
    if breach == NO_BREACH:
        return after, NO_BREACH, math.nan
    return Mark(reduced, True, limits.close, peak, today, start, money), breach, base


@pasted
def is_closing(state: int, closing: bool) -> bool:
    """A loss limit sells all that is held, in whatever state that does not buy."""
    return closing and state != ACTIVE


managed = pasted(managed_part)


@pasted
def loss_pct(equity: float, base: float, limits: LossLimits) -> float:
    """Per cent of what the bot managed when the equity was ``base``."""
    return (base - equity) / managed(base, limits.capital, limits.capital_usdt) * 100.0


@pasted
def _breached(equity: float, base: float, allowed_pct: float, limits: LossLimits) -> bool:
    if not equity < base:
        return False
    loss = loss_pct(equity, base, limits)
    return loss > 0.0 and loss >= allowed_pct


def transferred(before: Mark, equity: float, amount: float) -> Mark:
    """The measures after ``amount`` USDT came (or, negative, went) by no trade of ours; ``equity`` is what there is now.

    Peak and day are scaled as the price of a share in the account would have it (the money-weighted change is nobody's
    profit or loss), the day's loss in money keeps its amount. Where nothing was there before, all begins anew.
    """
    was = equity - amount
    if not (equity > 0.0 and was > 0.0 and equity < math.inf):
        return before._replace(peak=math.nan, day=NO_DAY, day_equity=math.nan, day_money=math.nan)
    scale = equity / was
    return before._replace(
        peak=before.peak * scale, day_equity=before.day_equity * scale, day_money=before.day_money + amount
    )


@shared
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
    guards: np.ndarray,
    now_ms: int,
) -> None:
    """Write what changes from minute to minute into ``core.sizing``'s tables (step, tick, minimum, fee, rate, purse and
    coin stay).

    The others are (S,). Targets are brought within 0..1, infinite ones are no opinion; closing sells everything held. What
    forbids buying is the gravest reason there is: halted, no rules, no book, reducing, an account that is not
    reconciled, a market that is not fresh, a guard (``core.guards.Guards.ints``) that holds at ``now_ms``. Only what
    cannot be done forbids selling (no rules, no book): exits pass in every state.
    """
    for i in range(target.shape[0]):
        held = position[i] if math.isfinite(position[i]) else 0.0
        known = math.isfinite(mid[i]) and mid[i] > 0.0
        wanted = min(max(target[i], 0.0), 1.0) if math.isfinite(target[i]) else math.nan
        if is_closing(state, closing) and held > 0.0:
            wanted = 0.0
        rows[TARGET, i] = wanted
        rows[HELD, i] = held
        rows[SELLABLE, i] = sellable[i]
        rows[MID, i] = mid[i] if known else math.nan
        rows[PRICE, i] = mid[i] if known else close[i]
        rows[CASH, i] = cash[i] if math.isfinite(cash[i]) else 0.0
        buy, sell = blocks_of(tradable[i], known, fresh[i], reconciled, state, guards, i, now_ms)
        marks[BUY_BLOCK, i] = buy
        marks[SELL_BLOCK, i] = sell


@pasted
def blocks_of(
    tradable: bool,
    known: bool,
    fresh: bool,
    reconciled: bool,
    state: int,
    guards: np.ndarray,
    i: int,
    now_ms: int,
) -> tuple[int, int]:
    """The limits that forbid buying and selling row ``i``, 0 for none (``fill_into``)."""
    sell = 0
    if not tradable:
        sell = _NOT_TRADING
    elif not known:
        sell = _NO_BOOK
    buy = sell
    if state == HALTED:
        buy = _HALTED_LIMIT
    elif sell != 0:
        pass
    elif state == REDUCING:
        buy = _REDUCING_LIMIT
    elif not reconciled:
        buy = _UNRECONCILED
    elif not fresh:
        buy = _NOT_FRESH
    else:
        buy = guard_of(guards, i, now_ms)
    return buy, sell


@pasted
def block_stale(marks: IntArray, bars: FloatArray, end: int, minutes: int) -> None:
    """Forbid buying where nothing else does and nothing has traded in the ``minutes`` before index ``end`` of ``bars``
    (S, T, 5). By itself, and not in ``fill_into``: one array more to hand on costs it more than this."""
    for i in range(bars.shape[0]):
        if marks[BUY_BLOCK, i] == 0 and is_stale(bars[i], end, minutes):
            marks[BUY_BLOCK, i] = _STALE
