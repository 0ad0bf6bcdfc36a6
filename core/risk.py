"""Risk: the only maker of ``Approved``. Limits that are on by default, and a state that outlives the process.

States: ACTIVE trades; REDUCING only sells; HALTED, a person's, buys nothing either, and ends at once what is being
bought (``core.execution.machine``). What reduces a position passes in each of them, as cancels and protective exits do,
which do not pass through here. Only a person resumes. A breached loss limit (daily loss, drawdown from the highest
equity; both marked to market every minute) moves ACTIVE to REDUCING and, unless ``on_loss_limit`` is ``hold``, closes
what is held, in orders within the order limit; also in HALTED, which stays, and no halt ends that. A new UTC day starts
a new daily loss, and changes no state. Resuming starts both measures anew, or the old peak would reduce again at once,
and ends every pause. What reconciliation finds to have come or gone by no trade of ours moves the measures with it, so
that a deposit is no profit and a withdrawal no loss, also where it was made while the bot was down.

Guards (``core.guards``) pause buying for a while after losses. A late minute, a clock that ran away, and too many cancels
buy nothing in that minute. Sales are counted, and held back by none of these.

What is not known errs to less exposure: without a positive, finite equity, a fresh bar, a trade in the last
``events.stale_minutes``, a book or a reconciled account nothing is bought; without a book nothing is sold either, as
there is no price to bound the sale by.

Live trading has a starting cap on top (``core.starting_cap``): less may be invested than ``invest_pct`` says.
"""

import math
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal

import numpy as np

from core.ceilings import ceiling_lines, ceiling_rules, ceilings_of
from core.coin_split import CoinPlan, SplitRules, hold_together, split_coins
from core.cost_gate import CostGate, Seen, cost_gate, cost_lines, estimate_of, gate_rows, worth_line
from core.errors import Defect
from core.execution.estimate import half_spread_of_touch
from core.guards import GuardBook, guard_rules, until_ms
from core.impact import IMPACT_MINUTES, flow_at
from core.loss_limits import (
    STATES,
    block_stale,
    fill_into,
    loss_limits,
    managed,
)
from core.messages import Approved, FloatArray, Intents, Market, Refused, TradingState, Verdicts
from core.params import CostSettings, EventSettings, ExecutionSettings, RiskSettings, TradeSettings
from core.reasons import Reason
from core.refusals import allowance_words, asked_words, pause_words, state_words
from core.risk_state import BY_LIMIT, RiskState, marked
from core.sizing import (
    LIMIT_NAMES,
    Caps,
    IntArray,
    Limit,
    Rows,
    Sized,
    arithmetic,
    empty_rows,
    limit_name,
    size_rows,
)
from core.starting_cap import LiveDay, StartingCap
from core.units import BPS, DAY_MS, MINUTE_MS, Instrument, MarketRules, Side


class Risk:
    """Reviews each minute's intents. ``rules`` are the venues' own; an instrument without them is not traded. ``gate``
    says what a forecast must pay for, by default that of the default settings; ``split`` how a coin at several venues is
    split (None: each of its markets is a position of its own); after ``stale_minutes`` in which nothing traded nothing
    is bought."""

    def __init__(
        self,
        trade: TradeSettings,
        limits: RiskSettings,
        rules: dict[Instrument, MarketRules],
        state: RiskState | None = None,
        cap: StartingCap | None = None,
        gate: CostGate | None = None,
        split: SplitRules | None = None,
        stale_minutes: int = EventSettings().stale_minutes,
    ) -> None:
        self._cap = cap
        self._stale_minutes = stale_minutes
        self._trade = trade
        self._limits = limits
        self._rules = dict(rules)
        self._state = state or RiskState()
        self._guards = GuardBook(self._state.guards)
        self._gate = gate or cost_gate(ExecutionSettings(), CostSettings())
        self._split = split
        self._coins: CoinPlan | None = None

    @property
    def state(self) -> RiskState:
        """To be stored before a verdict leaves."""
        return self._state

    @property
    def trade(self) -> TradeSettings:
        """By which it sizes now."""
        return self._trade

    def set_trade(self, trade: TradeSettings) -> None:
        """Size by these settings from the next minute on; the instruments stay."""
        self._trade = trade

    @property
    def cap(self) -> StartingCap | None:
        """Of live trading; to be stored before a verdict leaves."""
        return self._cap

    def day_over(self, seen: LiveDay) -> None:
        """Let a finished day of live trading move the starting cap."""
        if self._cap is not None:
            self._cap = self._cap.after(seen)

    def set_rules(self, rules: dict[Instrument, MarketRules]) -> None:
        """Use the venues' new rules from the next minute on."""
        self._rules = dict(rules)

    def halt(self, by: str, reason: str, at_ms: int) -> None:
        """Buy nothing until a person resumes; what a loss limit closes it goes on closing."""
        self._state = self._state.changed(TradingState.HALTED, by, reason, at_ms)

    def reduce(self, by: str, reason: str, at_ms: int) -> None:
        """Let only sells through until a person resumes. A halted account stays halted."""
        if self._state.state is not TradingState.HALTED:
            self._state = self._state.changed(TradingState.REDUCING, by, reason, at_ms)

    def resume(self, by: str, at_ms: int) -> None:
        """Trade again; daily loss and drawdown are measured from the next minute's equity, and no guard holds."""
        self._guards.clear()
        anew = {"closing": False, "peak_equity": None, "day": None, "day_equity": None, "day_money": None}
        self._state = self._state.changed(
            TradingState.ACTIVE, by, Reason("resumed"), at_ms, guards=self._guards.to_json(), **anew
        )

    def review(self, market: Market, intents: Intents) -> Verdicts:
        """Size every intent and judge it. Raises Defect when the intents are not this market's."""
        if intents.minute != market.minute or intents.target.shape != (len(market.instruments),):
            raise Defect(
                f"intents of minute {intents.minute}, shape {intents.target.shape}, for the market of "
                f"{market.minute} with {len(market.instruments)} instruments"
            )
        if market.account.rules:
            self._rules = {rule.instrument: rule for rule in market.account.rules}
        state = marked(self._state, market, self._trade, self._limits)
        day = market.minute // DAY_MS
        if self._cap is not None and state.by == BY_LIMIT and self._state.by != BY_LIMIT:
            self._cap = self._cap.fallen(state.reason)
        if state.minute != market.minute:
            state = replace(state, minute=market.minute, orders=0)
        if state.orders_day != day:
            state = replace(state, orders_day=day, orders_today=0)
        self._guards.rows(market.instruments)
        if self._guards.take(market.account.closed, guard_rules(self._limits)):
            state = replace(state, guards=self._guards.to_json())
        self._state = state
        rows, floats, ints = self._rows(market, intents, state)
        caps = self._caps(market, state)
        coins = split_coins(market, intents.edge_bps, rows, caps, self._split, intents.buy_scale, self._gate)
        intents = replace(intents, edge_bps=coins.edge, buy_scale=coins.buy_scale)
        told = ceilings_of(floats, ints, caps, ceiling_rules(self._limits), market, intents)
        hold_together(coins, rows, caps)
        self._coins = coins
        sized = size_rows(rows, caps)
        seen = seen_of(market, intents, sized)
        sized = gate_rows(rows, caps, self._gate, seen, sized)
        approved: list[Approved] = []
        refused: list[Refused] = []
        for row in range(len(market.instruments)):
            if sized.lots[row]:
                approved.append(self._approve(market, rows, caps, sized, seen, told, row))
            elif Limit(int(sized.limit[row])) in LIMIT_NAMES:
                refused.append(self._refuse(market, rows, caps, sized, seen, told, row))
        count = len(approved)
        self._state = replace(state, orders=state.orders + count, orders_today=state.orders_today + count)
        return Verdicts(
            minute=market.minute,
            trace=market.trace,
            state=state.state,
            state_reason=state.reason,
            approved=tuple(approved),
            refused=tuple(refused),
            coins=tuple(coins.decisions),
        )

    def _caps(self, market: Market, state: RiskState) -> Caps:
        limits = self._limits
        return Caps(
            equity=self._managed(market),
            invest=self._invest(market),
            min_order=float(self._trade.min_order_usdt),
            max_order=limits.max_order_pct / 100.0,
            max_position=limits.max_position_pct / 100.0,
            max_gross=limits.max_gross_pct / 100.0,
            band=limits.rebalance_band_pct / 100.0,
            collar=limits.collar_bps / BPS,
            max_orders=float(max(0, self._orders_left(state)[0])),
            max_order_usdt=math.inf if limits.max_order_usdt is None else float(limits.max_order_usdt),
        )

    def _orders_left(self, state: RiskState) -> tuple[int, Reason]:
        """How many more approvals there may be, and what allows no more."""
        limits = self._limits
        minute = (
            limits.max_orders_per_minute - state.orders,
            Reason("orders_a_minute", count=str(limits.max_orders_per_minute)),
        )
        day = (
            limits.max_orders_per_day - state.orders_today,
            Reason("orders_a_day", count=str(limits.max_orders_per_day)),
        )
        return min(minute, day, key=lambda left: left[0])

    def _managed(self, market: Market) -> float:
        """The part of the equity that is the bot's to manage, USDT."""
        rules = loss_limits(self._trade, self._limits)
        return managed(float(market.equity), rules.capital, rules.capital_usdt)

    def _invest(self, market: Market) -> float:
        """Fraction of equity that the ensemble may use."""
        invest = self._trade.invest_pct / 100.0
        return invest if self._cap is None else self._cap.invest(invest, self._managed(market))

    def _arithmetic(
        self, market: Market, rows: Rows, caps: Caps, sized: Sized, told: FloatArray, row: int, rules: MarketRules
    ) -> tuple[str, ...]:
        lines = arithmetic(rows, caps, sized, row, rules)
        ceilings = ceiling_lines(ceiling_rules(self._limits), *(float(v) for v in told[:, row]))
        coin = self._coins.lines(market, row) if self._coins is not None else ()
        lines = (*coin, *lines[:2], *ceilings, *lines[2:])
        if self._cap is None or not self._cap.binds:
            return lines
        return (self._cap.line(self._trade.invest_pct / 100.0, self._managed(market)), *lines)

    def _rows(self, market: Market, intents: Intents, state: RiskState) -> tuple[Rows, FloatArray, IntArray]:
        rules = [self._rules.get(instrument) for instrument in market.instruments]
        rows, floats, ints = empty_rows(len(rules))
        rows.rate[:] = market.quote_rate
        rows.step[:], rows.tick[:] = _column(rules, "step", 1.0), _column(rules, "tick", 1.0)
        for column, name in ((rows.min_qty, "min_qty"), (rows.max_qty, "max_qty"), (rows.min_notional, "min_notional")):
            column[:] = _column(rules, name, 0.0)
        rows.fee[:] = _column(rules, "taker_fee", 0.0)
        rows.most[:] = [self._trade.most_of(i) for i in market.instruments]
        rows.purse[:] = groups([(i.venue, i.quote) for i in market.instruments])
        rows.coin[:] = groups([(i.venue, i.base) for i in market.instruments])
        fill_into(
            floats,
            ints,
            _floats(intents.target),
            _floats(market.position),
            np.array([float(_free_lots(market, row, rule)) for row, rule in enumerate(rules)]),
            _floats(market.mid),
            _floats(market.close),
            _floats(market.cash),
            np.array(market.fresh, dtype=np.bool_),
            np.array([is_tradable(rule) for rule in rules], dtype=np.bool_),
            bool(market.account.reconciled),
            STATES.index(state.state),
            state.closing,
            self._guards.rows(market.instruments).ints,
            market.minute + MINUTE_MS,
        )
        lately = _floats(market.bars[:, -self._stale_minutes :])
        block_stale(ints, lately, lately.shape[1], self._stale_minutes)
        block = self._block(market)
        if block:
            rows.buy_block[rows.buy_block == 0] = int(block)
        if market.premium_bps is not None:
            dear = (rows.buy_block == 0) & (market.premium_bps > self._limits.max_premium_bps)
            rows.buy_block[dear] = int(Limit.PREMIUM)
        return rows, floats, ints

    def _block(self, market: Market) -> Limit | None:
        """What forbids every purchase of this minute."""
        account, limits = market.account, self._limits
        if market.now_ms - market.minute - MINUTE_MS > limits.max_decision_delay_ms:
            return Limit.LATE
        if account.clock_offset_ms is not None and not abs(account.clock_offset_ms) <= account.clock_allowed_ms:
            return Limit.CLOCK
        if account.cancels > limits.max_cancels_per_minute:
            return Limit.MAX_CANCELS
        return None

    def _approve(
        self, market: Market, rows: Rows, caps: Caps, sized: Sized, seen: Seen, told: FloatArray, row: int
    ) -> Approved:
        instrument = market.instruments[row]
        rules = self._rules[instrument]
        lots = abs(int(sized.lots[row]))
        side = Side.BUY if sized.lots[row] > 0 else Side.SELL
        if side is Side.SELL:
            lots = min(lots, _free_lots(market, row, rules))
        quantity = lots * rules.step
        lines = self._arithmetic(market, rows, caps, sized, told, row, rules)
        fee = float(rows.fee[row])
        worth = float(rows.mid[row]) * float(rows.rate[row])
        expected = estimate_of(self._gate, seen, fee, row, float(quantity), worth)
        known = math.isfinite(expected.total)
        lines += cost_lines(self._gate, seen, fee, row, float(quantity), worth, side is Side.BUY)
        return Approved(
            intent_id=intent_id(market.minute, instrument),
            minute=market.minute,
            instrument=instrument,
            side=side,
            quantity=quantity,
            limit_price=int(sized.ticks[row]) * rules.tick,
            reference_price=float(rows.mid[row]),
            arithmetic=lines,
            edge_bps=float(np.nan_to_num(seen.edge[row], nan=0.0)),
            expected=(*expected, float(seen.volume[row]), float(seen.sigma[row])) if known else (),
        )

    def _allowance(self, limit: Limit, sized: Sized, row: int, market: Market) -> Reason:
        match limit:
            case Limit.HALTED | Limit.REDUCING:
                return state_words(self._state.state.value, self._state.since_ms, self._state.reason)
            case Limit.STALE:
                return Reason("no_trade", minutes=str(self._stale_minutes))
            case Limit.MAX_ORDERS:
                return self._orders_left(self._state)[1]
            case Limit.CONSECUTIVE_LOSSES | Limit.STOP_GUARD | Limit.LOW_PROFIT | Limit.COOLDOWN:
                return pause_words(limit, self._limits, until_ms(self._guards.rows(market.instruments), row, limit))
            case _:
                return allowance_words(limit, float(sized.allowed[row]), row, market, self._trade, self._limits)

    def _refuse(
        self, market: Market, rows: Rows, caps: Caps, sized: Sized, seen: Seen, told: FloatArray, row: int
    ) -> Refused:
        instrument = market.instruments[row]
        limit = Limit(int(sized.limit[row]))
        rules = self._rules.get(instrument)
        capped = limit is Limit.INVEST and self._cap is not None and self._cap.binds
        name = "starting_cap" if capped else limit_name(limit, caps, float(rows.most[row]))
        lines = self._arithmetic(market, rows, caps, sized, told, row, rules) if rules else ()
        allowance = self._allowance(limit, sized, row, market)
        if limit is Limit.COST:
            lines += (worth_line(self._gate, seen, float(rows.fee[row]), row, 0.0),)
        return Refused(
            intent_id=intent_id(market.minute, instrument),
            minute=market.minute,
            instrument=instrument,
            reason=Reason("held", name=name, asked=asked_words(sized, row), allowed=allowance),
            arithmetic=lines,
        )


def seen_of(market: Market, intents: Intents, sized: Sized) -> Seen:
    """What the minute shows of the cost of trading; volume and sigma only of rows with an order."""
    rows = len(market.instruments)
    seen = Seen(_floats(intents.edge_bps), np.empty(rows), np.full(rows, math.nan), np.full(rows, math.nan))
    for row in range(rows):
        seen.half_spread[row] = half_spread_of_touch(float(market.bid[row]), float(market.ask[row]))
        if sized.lots[row]:
            bars = _floats(market.bars[row])
            seen.volume[row], seen.sigma[row] = flow_at(bars, bars.shape[0] - 1, IMPACT_MINUTES)
    return seen


def intent_id(minute: int, instrument: Instrument) -> str:
    """One intent a minute and instrument."""
    return f"{minute}:{instrument}"


def is_tradable(rule: MarketRules | None) -> bool:
    """The venue gives rules that a size can be counted in, and trades it now."""
    return rule is not None and rule.status == "TRADING" and rule.step > 0 and rule.tick > 0


def _floats(values: FloatArray) -> FloatArray:
    """One memory layout for the kernels (contiguous, writeable), so that numba compiles them once."""
    return np.array(values, dtype=np.float64, order="C")


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


def groups(keys: list[tuple[str, str]]) -> np.ndarray:
    """(S,) int64: equal keys share a number."""
    first: dict[tuple[str, str], int] = {}
    return np.array([first.setdefault(key, len(first)) for key in keys], dtype=np.int64)
