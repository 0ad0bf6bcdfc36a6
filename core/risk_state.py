"""What risk remembers over a restart: the state of trading with its history, the measures of loss, counts and guards."""

import math
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from core.errors import DataError
from core.guards import GuardBook
from core.loss_limits import (
    BREACH_NAMES,
    DAILY_LOSS_USDT,
    NO_BREACH,
    NO_DAY,
    STATES,
    Mark,
    loss_limits,
    loss_pct,
    managed,
    mark,
    transferred,
)
from core.messages import Market, TradingState, Unexplained
from core.params import RiskSettings, TradeSettings
from core.reasons import Reason, from_plain, to_plain
from core.units import DAY_MS

BY_LIMIT = "limit"
"""Who changed the state when it was a loss limit."""
HISTORY = 20
"""Changes of state that are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """Who moved the state, when and why."""

    state: TradingState
    by: str
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskState:
    """What risk must remember over a restart."""

    state: TradingState = TradingState.ACTIVE
    reason: str = ""
    by: str = ""
    """A person's name, an actor's, or ``limit``."""
    since_ms: int = 0
    closing: bool = False
    """A loss limit is closing what is held."""
    peak_equity: float | None = None
    """Highest equity since the start or the last resume, USDT."""
    day: int | None = None
    """UTC day number of ``day_equity``."""
    day_equity: float | None = None
    """First equity of that day, USDT; scaled by transfers since."""
    day_money: float | None = None
    """First equity of that day and the transfers since, USDT: what a loss in money is measured from."""
    minute: int | None = None
    """The minute ``orders`` counts in."""
    orders: int = 0
    orders_day: int | None = None
    """UTC day number of ``orders_today``."""
    orders_today: int = 0
    guards: dict[str, Any] = field(default_factory=dict)
    """What ``core.guards.GuardBook`` remembers."""
    history: tuple[StateChange, ...] = ()
    """The last changes of state, oldest first."""

    def to_json(self) -> dict[str, Any]:
        history = [asdict(change) | {"state": change.state.value} for change in self.history]
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        return told | {"state": self.state.value, "history": history, "said": to_plain(self.reason)}

    @classmethod
    def from_json(cls, data: Any) -> "RiskState":
        """Raises DataError rather than guess: a state that cannot be read must not become ACTIVE."""
        names = {f.name for f in fields(cls)} | {"said"}
        if not isinstance(data, dict) or not names - _ADDED <= set(data) <= names:
            raise DataError(f"not a risk state: want the keys {', '.join(sorted(names))}")
        try:
            state = TradingState(data["state"])
            history = tuple(
                StateChange(**{**change, "state": TradingState(change["state"])}) for change in data.get("history", ())
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"not a risk state: {error}") from error
        for name in ("peak_equity", "day_equity", "day_money"):
            value = data.get(name)
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                raise DataError(f"not a risk state: {name} is {value!r}")
        GuardBook(data.get("guards", {}))
        # Kept by a version that did not tell the two apart: there had been no transfer that it knew of.
        money = {"day_money": data.get("day_money", data["day_equity"])}
        reason = from_plain(data["reason"], data.get("said"))
        told = {name: value for name, value in data.items() if name != "said"}
        return cls(**{**told, **money, "state": state, "history": history, "reason": reason})

    def words(self) -> list[str]:
        """The state of trading and how it came about, newest first, for people."""
        told = [f"trading is {self.state.value}" + (f": {self.reason} (by {self.by})" if self.reason else "")]
        for change in reversed(self.history):
            when = datetime.fromtimestamp(change.at_ms / 1000, UTC)
            told.append(f"{when:%Y-%m-%d %H:%M:%S} UTC {change.state.value} by {change.by}: {change.reason}")
        return told

    def changed(self, state: TradingState, by: str, reason: str, at_ms: int, **more: Any) -> "RiskState":
        """Moved to ``state``, which the history keeps."""
        change = StateChange(state=state, by=by, reason=reason, at_ms=at_ms)
        history = (*self.history, change)[-HISTORY:]
        return replace(self, state=state, by=by, reason=reason, since_ms=at_ms, history=history, **more)


_ADDED = frozenset({"day_money", "orders_day", "orders_today", "guards", "history", "said"})
"""Keys that the first version of a state did not have."""


def marked(state: RiskState, market: Market, trade: TradeSettings, limits: RiskSettings) -> RiskState:
    """Mark the account to market: move the peak and the day, and reduce when a loss limit is breached.

    An equity that is unknown or zero marks nothing, debts are a loss. A peak is only believed of a reconciled account. What the
    balances differ by from our fills is left out of the equity until it is taken over, and then moves the measures.
    """
    account, equity, rules = market.account, float(market.equity), loss_limits(trade, limits)
    before = Mark(
        state=STATES.index(state.state),
        by_limit=state.by == BY_LIMIT,
        closing=state.closing,
        peak=_nan_for_none(state.peak_equity),
        day=NO_DAY if state.day is None else state.day,
        day_equity=_nan_for_none(state.day_equity),
        day_money=_nan_for_none(state.day_money),
    )
    if account.transferred:
        before = transferred(before, equity, worth_of(account.transferred, market))
    if account.unexplained:
        equity -= worth_of(account.unexplained, market)
    after, breach, base = mark(before, equity, market.minute // DAY_MS, bool(account.reconciled), rules)
    known = replace(
        state,
        peak_equity=_none_for_nan(after.peak),
        day=None if after.day == NO_DAY else int(after.day),
        day_equity=_none_for_nan(after.day_equity),
        day_money=_none_for_nan(after.day_money),
    )
    if breach == NO_BREACH:
        return known
    name = BREACH_NAMES[int(breach)]
    allowed = getattr(limits, name)
    if breach == DAILY_LOSS_USDT:
        reason = Reason("lost_today", name=name, lost=f"{base - equity:.2f}", allowed=f"{allowed:g}")
    else:
        part = managed(base, rules.capital, rules.capital_usdt)
        lost = f"{loss_pct(equity, base, rules):.2f}"
        reason = Reason("lost_part", name=name, lost=lost, base=f"{part:.2f}", allowed=f"{allowed:g}")
    return known.changed(STATES[after.state], BY_LIMIT, reason, market.now_ms, closing=bool(after.closing))


def worth_of(changes: tuple[Unexplained, ...], market: Market) -> float:
    """What changes of balances are worth in USDT, as far as they are part of the equity; 0 where no price is known."""
    total = 0.0
    price = np.where(np.isfinite(market.mid), market.mid, market.close)
    for change in changes:
        for row, instrument in enumerate(market.instruments):
            if instrument.venue != change.venue:
                continue
            worth = math.nan
            if instrument.quote == change.asset:
                worth = float(change.amount) * float(market.quote_rate[row])
            elif instrument.base == change.asset:
                worth = float(change.amount) * float(price[row] * market.quote_rate[row])
            if math.isfinite(worth):
                total += worth
                break
    return total


def _nan_for_none(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
