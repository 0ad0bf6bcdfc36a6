"""The starting cap of live trading: it begins with a part of what ``trade.invest_pct`` allows, and clean days earn more.

Only live trading has one: a backtest, a replay and a paper run risk no money, so the engine knows nothing of it.
A UTC day is judged once, when it is over. It is *clean* when enough minutes were decided, something was traded, no
loss limit was breached, no step failed by our own mistake, and neither the balances nor the exchange's own account of
our orders differed from our books. ``clean_days`` of them in a row earn a step. A day with a difference begins the
count anew; a breached loss limit or a defect begins the cap anew, the breach at once. A day with too few minutes or
without a trade says nothing and changes nothing.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from core.errors import DataError
from core.loss_limits import BREACH_NAMES
from core.messages import MinuteRecord, TradingState
from core.params import LiveSettings
from core.reasons import Reason, from_plain, to_plain
from core.standing import is_difference
from core.units import DAY_MS

WHOLE = 100.0
FAULTS_KEPT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CapState:
    """What must be remembered over a restart."""

    steps: int = 0
    """Steps earned."""
    clean_days: int = 0
    """In a row, since the last step."""
    judged: int | None = None
    """Number of the newest UTC day that was judged."""
    reason: str = Reason("live_begins")

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"said": to_plain(self.reason)}

    @classmethod
    def from_json(cls, data: Any) -> "CapState":
        """Raises DataError rather than guess: a cap that cannot be read must not be lifted."""
        if not isinstance(data, dict) or set(data) - {"said"} != {f.name for f in fields(cls)}:
            raise DataError("not the state of a starting cap")
        for name in ("steps", "clean_days"):
            if not isinstance(data[name], int) or data[name] < 0:
                raise DataError(f"not the state of a starting cap: {name} is {data[name]!r}")
        if not (data["judged"] is None or isinstance(data["judged"], int)):
            raise DataError(f"not the state of a starting cap: judged is {data['judged']!r}")
        known = {name: value for name, value in data.items() if name != "said"}
        return cls(**known | {"reason": from_plain(data["reason"], data.get("said"))})


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDay:
    """What one UTC day of live trading was like."""

    day: int
    """Its number: epoch ms over the length of a day."""
    minutes: int
    """Decided."""
    fills: int
    differences: tuple[str, ...] = ()
    """Of balances or orders, between our books and the exchange's."""
    breaches: tuple[str, ...] = ()
    """Loss limits, and our own mistakes."""


def day_of(ms: int) -> int:
    return ms // DAY_MS


def live_day(day: int, records: Iterable[MinuteRecord], audit: Sequence[str]) -> LiveDay:
    """The day of these records, whichever they are of other days; ``audit``: how the exchange's account of that day's
    orders differed from ours."""
    mine = [record for record in records if day_of(record.minute) == day]
    breaches = [
        record.state_reason
        for record in mine
        if record.state != TradingState.ACTIVE and record.state_reason.startswith(tuple(BREACH_NAMES.values()))
    ]
    breaches += [record.reason for record in mine if record.status == "missed" and record.reason.startswith("Defect")]
    differences = [record.difference for record in mine if is_difference(record.difference)]
    return LiveDay(
        day=day,
        minutes=sum(record.status == "done" for record in mine),
        fills=sum(len(record.fills) for record in mine),
        differences=_first([*audit, *differences]),
        breaches=_first(breaches),
    )


def _first(texts: Sequence[str]) -> tuple[str, ...]:
    """Each once, and not more than a person reads."""
    return tuple(dict.fromkeys(texts))[:FAULTS_KEPT]


def after_day(state: CapState, seen: LiveDay, settings: LiveSettings) -> CapState:
    """The cap after a day that is over. A day that was judged before changes nothing."""
    if state.judged is not None and seen.day <= state.judged:
        return state
    state = replace(state, judged=seen.day)
    if seen.breaches:
        return fallen(state, seen.breaches[0])
    if seen.differences:
        return replace(state, clean_days=0, reason=Reason("count_anew", why=seen.differences[0]))
    if seen.minutes < settings.clean_day_minutes or not seen.fills:
        return state
    if state.clean_days + 1 < settings.clean_days:
        return replace(state, clean_days=state.clean_days + 1, reason=Reason("clean_day"))
    if level_pct(state, settings) >= WHOLE and settings.starting_cap_usdt is None:
        return replace(state, clean_days=settings.clean_days, reason=Reason("clean_days"))
    return replace(
        state, steps=state.steps + 1, clean_days=0, reason=Reason("clean_days_in_a_row", count=str(settings.clean_days))
    )


def fallen(state: CapState, reason: str) -> CapState:
    """The cap begins anew."""
    return replace(state, steps=0, clean_days=0, reason=Reason("cap_anew", why=reason))


def begun(state: CapState, now_ms: int) -> CapState:
    """The cap at a start: what was traded before there was one earns nothing."""
    return replace(state, judged=day_of(now_ms) - 1) if state.judged is None else state


def level_pct(state: CapState, settings: LiveSettings) -> float:
    """Per cent of what ``trade.invest_pct`` allows that may be invested now."""
    return min(WHOLE, settings.starting_cap_pct * _risen(state, settings))


def _risen(state: CapState, settings: LiveSettings) -> float:
    """How many times the starting cap."""
    return 1.0 + state.steps * settings.cap_step_pct / settings.starting_cap_pct


@dataclass(frozen=True, slots=True)
class StartingCap:
    """The cap as risk applies it."""

    settings: LiveSettings
    state: CapState = CapState()

    @property
    def level_pct(self) -> float:
        return level_pct(self.state, self.settings)

    @property
    def binds(self) -> bool:
        """Whether it may hold something back."""
        return self.level_pct < WHOLE or self.settings.starting_cap_usdt is not None

    def usdt(self) -> float:
        """The cap in money; infinite where none is set."""
        money = self.settings.starting_cap_usdt
        return math.inf if money is None else float(money) * _risen(self.state, self.settings)

    def invest(self, invest: float, equity: float) -> float:
        """What may be invested, as a fraction of ``equity`` (USDT), where ``invest`` is what the settings allow."""
        capped = invest * self.level_pct / WHOLE
        money = self.usdt()
        return min(capped, money / equity) if equity > 0.0 and money < math.inf else capped

    def line(self, invest: float, equity: float) -> str:
        """How it came about, for the arithmetic of a size."""
        found = self.invest(invest, equity)
        text = f"starting cap {self.level_pct:g}% of {invest * 100:g}% = {invest * self.level_pct:g}%"
        if found < invest * self.level_pct / WHOLE:
            text += f", at most {self.usdt():.2f} = {found * 100:.4g}%"
        return text

    def after(self, seen: LiveDay) -> "StartingCap":
        return replace(self, state=after_day(self.state, seen, self.settings))

    def fallen(self, reason: str) -> "StartingCap":
        return replace(self, state=fallen(self.state, reason))

    def words(self, invest_pct: float, equity: float | None = None) -> str:
        """For people: where it stands, and what raises it."""
        if not self.binds:
            return Reason("cap_none")
        share = Reason("cap_share", level=_level(self), most=_most(self))
        if equity is not None:
            usdt = f"{self.invest(invest_pct / 100, equity) * equity:,.2f}"
            share = Reason("cap_is", share=share, usdt=usdt)
        if not self.settings.cap_step_pct:
            return Reason("cap_never_rises", share=share, why=self.state.reason)
        left = self.settings.clean_days - self.state.clean_days
        more = replace(self, state=replace(self.state, steps=self.state.steps + 1))
        code = "cap_rises_in_days" if left > 1 else "cap_rises_in_a_day"
        why = self.state.reason
        return Reason(code, share=share, left=str(left), level=_level(more), most=_most(more), why=why)


def _level(cap: StartingCap) -> str:
    return f"{cap.level_pct:g}"


def _most(cap: StartingCap) -> str:
    """The cap in money, behind the one in per cent; empty where none is set."""
    return Reason("cap_at_most", usdt=f"{cap.usdt():,.2f}") if cap.usdt() < math.inf else ""
