"""When a position is sold to protect it: stop, trailing stop, take-profit, time stop. One rule for every driver.

A position is known by its average entry price, the highest price seen since (``peak``) and when it was opened. All
three come from the bot's own fills and from the prices it has seen, so that a replay of its journal finds them again.
What was there before, or was brought in by somebody else, has no entry and is never touched.

The price looked at is the middle of the touch: a single odd trade moves no book, and it is what an order can be
bounded by. A trade beyond an exit's level, of which the book has said nothing yet, is a reason to look at the book anew
(``core.prints``); its own price counts only where no book can be seen. Where several exits are due at once the gravest
is named: a loss before a profit before a date.

An exit sells the whole position by marketable limits. The first stands ``collar`` below the middle, each later one
twice as far, up to ``widest``; it goes on until nothing that the venue takes is left, whatever the price does
meanwhile. What is left below the venue's smallest order is dust: it is written off, in the record, and counts as no
position any more.

``ProtectiveExit`` is the permission to place such an order, as ``Approved`` is for what risk let through: made here
alone. Limits on exposure do not hold it, as it can only lower exposure; nor does a halt.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from core.lean import pasted, plain
from core.messages import ProtectiveExit
from core.params import ProtectionSettings, RiskSettings
from core.reasons import Reason
from core.units import BPS, MINUTE_MS, Instrument, MarketRules

_SHAVE = 1.0 - 1e-12


class Due(IntEnum):
    """Which exit is due."""

    NOTHING = 0
    STOP_LOSS = 1
    TRAILING_STOP = 2
    TAKE_PROFIT = 3
    TIME_STOP = 4


NAMES: dict[int, str] = {int(due): due.name.lower() for due in Due}
NOT_DUE = 0
STOP_LOSS, TRAILING_STOP, TAKE_PROFIT, _TIME_STOP = (int(due) for due in list(Due)[1:])

STOPS = frozenset({STOP_LOSS, TRAILING_STOP})


class ExitRules(NamedTuple):
    """``ProtectionSettings`` as the kernels read them. 0 = off. Fractions of a price."""

    stop: float = 0.0
    """Loss from the entry."""
    trail: float = 0.0
    """Fall from the peak."""
    activation: float = 0.0
    """Gain over the entry that the peak must have seen before the trailing stop holds."""
    profit: float = 0.0
    """Gain over the entry."""
    time_ms: int = 0
    """Age of the position."""
    look_ms: int = 10_000
    """Between two looks in a backtest and in lockstep; at a refused order, how long is waited before the next one."""
    collar: float = 0.003
    """Distance of the first limit from the middle."""
    widest: float = 0.05
    """Distance that no later limit exceeds."""

    @property
    def on(self) -> bool:
        """Anything is to be looked for."""
        return bool(is_on(self))


@plain
def is_on(rules: ExitRules) -> bool:
    """``ExitRules.on`` for kernels."""
    return rules.stop > 0.0 or rules.trail > 0.0 or rules.profit > 0.0 or rules.time_ms > 0


NO_EXITS = ExitRules()
"""Nothing is looked for."""
_WORDS = tuple(NAMES[int(due)].replace("_", " ") for due in list(Due)[1:])
"""How the arithmetic of an exit begins."""
_STOP_ENDS = (f":{NAMES[STOP_LOSS]}", f":{NAMES[TRAILING_STOP]}", ":stop")
CHASE_MS = 1_000
"""Between two orders of one exit: a book that was emptied is given time to fill again."""


def exit_rules(settings: ProtectionSettings, limits: RiskSettings) -> ExitRules:
    """The settings as fractions and milliseconds; the first limit's distance is that of every other order."""
    collar = limits.collar_bps / BPS
    return ExitRules(
        stop=(settings.stop_loss_pct or 0.0) / 100.0,
        trail=(settings.trailing_stop_pct or 0.0) / 100.0,
        activation=settings.trailing_activation_pct / 100.0,
        profit=(settings.take_profit_pct or 0.0) / 100.0,
        time_ms=int((settings.time_stop_minutes or 0) * MINUTE_MS),
        look_ms=settings.look_seconds * 1_000,
        collar=collar,
        widest=max(collar, settings.max_collar_bps / BPS),
    )


@pasted
def due_at(entry: float, peak: float, since_ms: int, price: float, now_ms: int, rules: ExitRules) -> int:
    """Which exit (``Due``) is due at ``price``, with ``peak`` at least that; NOT_DUE for none."""
    if rules.stop > 0.0 and price <= entry * (1.0 - rules.stop):
        return STOP_LOSS
    if rules.trail > 0.0 and peak >= entry * (1.0 + rules.activation) and price <= peak * (1.0 - rules.trail):
        return TRAILING_STOP
    if rules.profit > 0.0 and price >= entry * (1.0 + rules.profit):
        return TAKE_PROFIT
    if rules.time_ms > 0 and now_ms - since_ms >= rules.time_ms:
        return _TIME_STOP
    return NOT_DUE


def stop_level(entry: float, peak: float, rules: ExitRules) -> float:
    """The price at which a stop or trailing stop is due now; 0 when neither is set."""
    level = entry * (1.0 - rules.stop) if rules.stop > 0.0 else 0.0
    if rules.trail > 0.0 and peak >= entry * (1.0 + rules.activation):
        level = max(level, peak * (1.0 - rules.trail))
    return level


class Bounds(NamedTuple):
    """Prices strictly between which no exit is due, quote units; at either, and beyond, one is."""

    low: float
    high: float


def exit_bounds(entry: float, peak: float, due: int, rules: ExitRules) -> Bounds:
    """Of a position. One that is being sold already (``due``) has none: its next order wants to know every price."""
    if due != NOT_DUE:
        return Bounds(math.inf, math.inf)
    return Bounds(stop_level(entry, peak, rules), entry * (1.0 + rules.profit) if rules.profit > 0.0 else math.inf)


@pasted
def entry_after(entry: float, held: float, bought: float, price: float) -> float:
    """Average entry price after ``bought`` more at ``price``, with ``held`` before it. A sale leaves it as it is."""
    return (entry * held + price * bought) / (held + bought)


@pasted
def collar_at(attempt: int, rules: ExitRules) -> float:
    """Distance of the limit of an exit's order number ``attempt`` (from 0) from the middle, as a fraction."""
    return min(rules.collar * float(1 << min(attempt, 20)), rules.widest)


@pasted
def exit_ticks(mid: float, tick: float, collar: float) -> float:
    """Limit of a sell ``collar`` below the middle, in ticks, rounded up; at least one."""
    return max(1.0, np.ceil(mid * (1.0 - collar) / tick * _SHAVE))


def protective_exit(
    *,
    minute: int,
    now_ms: int,
    instrument: Instrument,
    due: int,
    attempt: int,
    quantity: Decimal,
    ticks: int,
    mid: float,
    entry: float,
    peak: float,
    since_ms: int,
    exits: ExitRules,
    rules: MarketRules,
) -> ProtectiveExit:
    """The permission to send one order of an exit. ``since_ms`` is when the position was opened."""
    return ProtectiveExit(
        intent_id=exit_intent(minute, instrument, due),
        minute=minute,
        at_ms=now_ms,
        instrument=instrument,
        reason=NAMES[due],
        quantity=quantity,
        limit_price=ticks * rules.tick,
        reference_price=mid,
        arithmetic=exit_arithmetic(due, mid, entry, peak, (now_ms - since_ms) / MINUTE_MS, attempt, exits),
    )


def exit_intent(minute: int, instrument: Instrument, due: int) -> str:
    """One name for all orders of an exit in a minute; no intent of the ensemble is called so."""
    return f"{minute}:{instrument}:{NAMES[due]}"


def is_stop_out(intent_id: str) -> bool:
    """Whether an order of this intent was a stop's, the bot's or one left at the venue."""
    return intent_id.endswith(_STOP_ENDS)


def is_exit(why: Sequence[str]) -> bool:
    """Whether an order's arithmetic is an exit's."""
    return bool(why) and why[0].startswith(_WORDS)


def exit_arithmetic(
    due: int, mid: float, entry: float, peak: float, minutes: float, attempt: int, rules: ExitRules
) -> tuple[str, ...]:
    """Why an exit is due and where its order is bounded, in short lines; prices in quote units."""
    gain = (mid / entry - 1.0) * 100.0
    at = Reason("entered", entry=f"{entry:.10g}", now=f"{mid:.10g}", gain=f"{gain:+.2f}")
    match Due(due):
        case Due.STOP_LOSS:
            why = Reason("stop_loss_at", pct=f"{rules.stop * 100:g}", level=f"{entry * (1.0 - rules.stop):.10g}")
        case Due.TRAILING_STOP:
            level = f"{peak * (1.0 - rules.trail):.10g}"
            why = Reason("trailing_stop_at", pct=f"{rules.trail * 100:g}", peak=f"{peak:.10g}", level=level)
        case Due.TAKE_PROFIT:
            why = Reason("take_profit_at", pct=f"{rules.profit * 100:g}", level=f"{entry * (1.0 + rules.profit):.10g}")
        case _:
            why = Reason("time_stop_after", minutes=f"{rules.time_ms / MINUTE_MS:g}", held=f"{minutes:.1f}")
    collar = min(rules.collar * float(1 << min(attempt, 20)), rules.widest)
    return (why, at, f"order {attempt + 1} of this exit, limit mid -{collar * BPS:g} bps")
