"""Risk: the only maker of ``Approved``. Limits that are on by default, and a state that outlives the process.

States: ACTIVE trades; REDUCING only sells; HALTED approves nothing (cancels do not pass through here and always go
on). Only a person resumes. A breached loss limit (daily loss, drawdown from the highest equity; both marked to
market every minute) moves ACTIVE to REDUCING and, unless ``on_loss_limit`` is ``hold``, closes what is held, in
orders within the order limit. A new UTC day starts a new daily loss, and changes no state. Resuming starts both
measures anew, or the old peak would reduce again at once. Deposits and withdrawals are not told from profit and
loss: resume after a large one.

What is not known errs to less exposure: without a positive, finite equity, a fresh bar, a book or a reconciled
account nothing is bought; without a book nothing is sold either, as there is no price to bound the sale by.
"""

import math
from dataclasses import dataclass, fields, replace
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import numpy as np

from core.errors import DataError, Defect
from core.impact import impact_of
from core.messages import Approved, FloatArray, Intents, Market, Refused, TradingState, Verdicts
from core.params import RiskSettings, TradeSettings
from core.sizing import LIMIT_NAMES, Caps, Limit, Rows, Sized, arithmetic, size_rows
from core.units import BPS, DAY_MS, Instrument, MarketRules, Side

BY_LIMIT = "limit"
"""Who changed the state when it was a loss limit."""


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
    """First equity of that day, USDT."""
    minute: int | None = None
    """The minute ``orders`` counts in."""
    orders: int = 0

    def to_json(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"state": self.state.value}

    @classmethod
    def from_json(cls, data: Any) -> "RiskState":
        """Raises DataError rather than guess: a state that cannot be read must not become ACTIVE."""
        names = {f.name for f in fields(cls)}
        if not isinstance(data, dict) or set(data) != names:
            raise DataError(f"not a risk state: want the keys {', '.join(sorted(names))}")
        try:
            state = TradingState(data["state"])
        except ValueError as error:
            raise DataError(f"not a risk state: {error}") from error
        for name in ("peak_equity", "day_equity"):
            value = data[name]
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                raise DataError(f"not a risk state: {name} is {value!r}")
        return cls(**{**data, "state": state})


def marked(state: RiskState, market: Market, limits: RiskSettings) -> RiskState:
    """Mark the account to market: move the peak and the day, and reduce when a loss limit is breached.

    An equity that is unknown or not positive marks nothing. A peak is only believed of a reconciled account.
    """
    equity = market.equity
    if not (math.isfinite(equity) and equity > 0.0):
        return state
    day = market.minute // DAY_MS
    if state.peak_equity is None or (equity > state.peak_equity and market.account.reconciled):
        state = replace(state, peak_equity=equity)
    if state.day != day or state.day_equity is None:
        state = replace(state, day=day, day_equity=equity)
    if state.state is TradingState.HALTED or state.by == BY_LIMIT:
        return state
    peak, start = state.peak_equity or equity, state.day_equity or equity
    for name, base, allowed in (
        ("daily_loss_pct", start, limits.daily_loss_pct),
        ("max_drawdown_pct", peak, limits.max_drawdown_pct),
    ):
        loss = (1.0 - equity / base) * 100.0
        if loss > 0.0 and loss >= allowed:
            return replace(
                state,
                state=TradingState.REDUCING,
                reason=f"{name}: lost {loss:.2f}% of {base:.2f} USDT, allowed {allowed:g}%",
                by=BY_LIMIT,
                since_ms=market.now_ms,
                closing=limits.on_loss_limit == "close",
            )
    return state


class Risk:
    """Reviews each minute's intents. ``rules`` are the venues' own; an instrument without them is not traded."""

    def __init__(
        self,
        trade: TradeSettings,
        limits: RiskSettings,
        rules: dict[Instrument, MarketRules],
        state: RiskState | None = None,
    ) -> None:
        self._trade = trade
        self._limits = limits
        self._rules = dict(rules)
        self._state = state or RiskState()

    @property
    def state(self) -> RiskState:
        """To be stored before a verdict leaves."""
        return self._state

    def set_rules(self, rules: dict[Instrument, MarketRules]) -> None:
        """Use the venues' new rules from the next minute on."""
        self._rules = dict(rules)

    def halt(self, by: str, reason: str, at_ms: int) -> None:
        """Approve nothing until a person resumes."""
        self._state = replace(
            self._state, state=TradingState.HALTED, by=by, reason=reason, since_ms=at_ms, closing=False
        )

    def reduce(self, by: str, reason: str, at_ms: int) -> None:
        """Let only sells through until a person resumes. A halted account stays halted."""
        if self._state.state is not TradingState.HALTED:
            self._state = replace(self._state, state=TradingState.REDUCING, by=by, reason=reason, since_ms=at_ms)

    def resume(self, by: str, at_ms: int) -> None:
        """Trade again; daily loss and drawdown are measured from the next minute's equity."""
        self._state = RiskState(
            by=by, reason="resumed", since_ms=at_ms, minute=self._state.minute, orders=self._state.orders
        )

    def review(self, market: Market, intents: Intents) -> Verdicts:
        """Size every intent and judge it. Raises Defect when the intents are not this market's."""
        if intents.minute != market.minute or intents.target.shape != (len(market.instruments),):
            raise Defect(
                f"intents of minute {intents.minute}, shape {intents.target.shape}, for the market of "
                f"{market.minute} with {len(market.instruments)} instruments"
            )
        state = marked(self._state, market, self._limits)
        if state.minute != market.minute:
            state = replace(state, minute=market.minute, orders=0)
        self._state = state
        rows = self._rows(market, intents, state)
        caps = self._caps(market, state)
        sized = size_rows(rows, caps)
        approved: list[Approved] = []
        refused: list[Refused] = []
        for row in range(len(market.instruments)):
            if sized.lots[row]:
                approved.append(self._approve(market, rows, caps, sized, row))
            elif Limit(int(sized.limit[row])) in LIMIT_NAMES:
                refused.append(self._refuse(market, rows, caps, sized, row))
        self._state = replace(state, orders=state.orders + len(approved))
        return Verdicts(
            minute=market.minute,
            trace=market.trace,
            state=state.state,
            state_reason=state.reason,
            approved=tuple(approved),
            refused=tuple(refused),
        )

    def _caps(self, market: Market, state: RiskState) -> Caps:
        limits = self._limits
        return Caps(
            equity=float(market.equity),
            invest=self._trade.invest_pct / 100.0,
            min_order=float(self._trade.min_order_usdt),
            max_order=limits.max_order_pct / 100.0,
            max_position=limits.max_position_pct / 100.0,
            max_gross=limits.max_gross_pct / 100.0,
            band=limits.rebalance_band_pct / 100.0,
            collar=limits.collar_bps / BPS,
            max_orders=float(max(0, limits.max_orders_per_minute - state.orders)),
        )

    def _rows(self, market: Market, intents: Intents, state: RiskState) -> Rows:
        rules = [self._rules.get(instrument) for instrument in market.instruments]
        mid = np.array(market.mid, dtype=np.float64)
        known = np.isfinite(mid) & (mid > 0.0)
        price = np.where(known, mid, market.close)
        position = np.where(np.isfinite(market.position), market.position, 0.0)
        buy_block, sell_block = _blocks(market, known, rules, state)
        return Rows(
            target=_targets(intents.target, state, position),
            held=position,
            sellable=np.array([float(_free_lots(market, row, rule)) for row, rule in enumerate(rules)]),
            mid=np.where(known, mid, math.nan),
            price=price,
            rate=np.array(market.quote_rate, dtype=np.float64),
            step=_column(rules, "step", 1.0),
            tick=_column(rules, "tick", 1.0),
            min_qty=_column(rules, "min_qty", 0.0),
            max_qty=_column(rules, "max_qty", 0.0),
            min_notional=_column(rules, "min_notional", 0.0),
            fee=_column(rules, "taker_fee", 0.0),
            cash=np.where(np.isfinite(market.cash), market.cash, 0.0),
            purse=_groups([(i.venue, i.quote) for i in market.instruments]),
            coin=_groups([(i.venue, i.base) for i in market.instruments]),
            buy_block=buy_block,
            sell_block=sell_block,
        )

    def _approve(self, market: Market, rows: Rows, caps: Caps, sized: Sized, row: int) -> Approved:
        instrument = market.instruments[row]
        rules = self._rules[instrument]
        lots = abs(int(sized.lots[row]))
        side = Side.BUY if sized.lots[row] > 0 else Side.SELL
        if side is Side.SELL:
            lots = min(lots, _free_lots(market, row, rules))
        quantity = lots * rules.step
        lines = arithmetic(rows, caps, sized, row, rules)
        impact = impact_of(market, row, float(quantity))
        if math.isfinite(impact):
            lines += (f"expected impact {impact:.2f} bps",)
        return Approved(
            intent_id=intent_id(market.minute, instrument),
            minute=market.minute,
            instrument=instrument,
            side=side,
            quantity=quantity,
            limit_price=int(sized.ticks[row]) * rules.tick,
            reference_price=float(rows.mid[row]),
            arithmetic=lines,
        )

    def _refuse(self, market: Market, rows: Rows, caps: Caps, sized: Sized, row: int) -> Refused:
        instrument = market.instruments[row]
        limit = Limit(int(sized.limit[row]))
        rules = self._rules.get(instrument)
        return Refused(
            intent_id=intent_id(market.minute, instrument),
            minute=market.minute,
            instrument=instrument,
            reason=f"{LIMIT_NAMES[limit]}: {_asked(sized, row)}, {self._allowance(limit, sized, row, market)}",
            arithmetic=arithmetic(rows, caps, sized, row, rules) if rules else (),
        )

    def _allowance(self, limit: Limit, sized: Sized, row: int, market: Market) -> str:
        """What the limit allows, in words."""
        room = float(sized.allowed[row])
        match limit:
            case Limit.HALTED | Limit.REDUCING:
                return f"state {self._state.state.value} since {self._state.since_ms}: {self._state.reason}"
            case Limit.UNRECONCILED:
                return f"not reconciled: {market.account.difference or 'could not be compared with the venue'}"
            case Limit.NOT_FRESH:
                return "no final bar or no book this minute"
            case Limit.NO_BOOK:
                return "no usable book"
            case Limit.NO_EQUITY:
                return f"equity is {market.equity:.2f} USDT"
            case Limit.NOT_TRADING:
                return "the venue gives no rules for it or does not trade it now"
            case Limit.MAX_ORDERS:
                return f"allowed {self._limits.max_orders_per_minute} orders a minute"
            case Limit.SAME_COIN:
                return "another market of the coin sells this minute"
            case Limit.MIN_ORDER:
                return f"the least order is {room:.2f} USDT"
            case _:
                least = float(self._trade.min_order_usdt)
                return f"allowed {max(room, 0.0):.2f} USDT, the least order is {least:.2f} USDT"


def intent_id(minute: int, instrument: Instrument) -> str:
    """One intent a minute and instrument."""
    return f"{minute}:{instrument}"


def _asked(sized: Sized, row: int) -> str:
    change = float(sized.asked[row])
    return f"asked {change:+.2f} USDT" if math.isfinite(change) else "asked an unknown amount"


def _targets(target: FloatArray, state: RiskState, position: FloatArray) -> FloatArray:
    """(S,) targets within 0..1; infinite ones are no opinion; closing sells everything held."""
    bounded = np.where(np.isfinite(target), np.clip(target, 0.0, 1.0), math.nan)
    if state.closing and state.state is TradingState.REDUCING:
        return np.where(position > 0.0, 0.0, bounded)
    return bounded


def _blocks(
    market: Market, known: FloatArray, rules: list[MarketRules | None], state: RiskState
) -> tuple[np.ndarray, np.ndarray]:
    """(S,) the Limit that forbids buying and (S,) selling, 0 where none; the gravest reason first."""
    buy = np.zeros(len(rules), dtype=np.int64)
    sell = np.zeros(len(rules), dtype=np.int64)
    for row, rule in enumerate(rules):
        tradable = rule is not None and rule.status == "TRADING" and rule.step > 0 and rule.tick > 0
        if state.state is TradingState.HALTED:
            buy[row] = sell[row] = Limit.HALTED
        elif not tradable:
            buy[row] = sell[row] = Limit.NOT_TRADING
        elif not known[row]:
            buy[row] = sell[row] = Limit.NO_BOOK
        elif state.state is TradingState.REDUCING:
            buy[row] = Limit.REDUCING
        elif not market.account.reconciled:
            buy[row] = Limit.UNRECONCILED
        elif not market.fresh[row]:
            buy[row] = Limit.NOT_FRESH
    return buy, sell


def _free_lots(market: Market, row: int, rules: MarketRules | None) -> int:
    """Whole lots of the base asset that are free at the venue, floored: never more than is held."""
    if rules is None or rules.step <= 0 or not market.position[row] > 0.0:
        return 0
    instrument = market.instruments[row]
    free = market.account.free(instrument.venue, instrument.base)
    return max(0, int((free / rules.step).to_integral_value(rounding=ROUND_FLOOR)))


def _column(rules: list[MarketRules | None], name: str, default: float) -> FloatArray:
    values: list[Decimal | None] = [getattr(rule, name) if rule else None for rule in rules]
    return np.array([float(v) if v is not None and (v > 0 or default == 0.0) else default for v in values])


def _groups(keys: list[tuple[str, str]]) -> np.ndarray:
    """(S,) int64: equal keys share a number."""
    first: dict[tuple[str, str], int] = {}
    return np.array([first.setdefault(key, len(first)) for key in keys], dtype=np.int64)
