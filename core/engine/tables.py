"""What the engine runs on, as plain arrays and numbers: markets on their grids, rules, an account, logs.

Amounts are int64 counts of 1e-8 of an asset, prices counts of ticks, quantities counts of steps: the numbers of the
simulated exchange's Decimals. Their float64 values are correctly rounded, as a Decimal's are, below ``EXACT`` units.

Above 400 lines because every table of the engine is laid out here, each column beside its meaning.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from core.book import LEVELS
from core.ceilings import CeilingRules, ceiling_rules
from core.cost_gate import CostGate, cost_gate
from core.costs import UNITS, Terms, terms_of, units_of
from core.errors import ConfigError
from core.execution.schedules.rule import Schedule, jitter_seed, schedule_of
from core.guards import GuardRules, Guards, guard_rules, make_guards
from core.impact import PRIOR, ImpactLaw
from core.lean import plain
from core.loss_limits import ACTIVE, NO_DAY, LossLimits, Mark, loss_limits
from core.messages import BoolArray, FloatArray
from core.params import (
    CostSettings,
    EventSettings,
    ExecutionSettings,
    ProtectionSettings,
    RiskSettings,
    SelectionSettings,
    TradeSettings,
)
from core.protection import ExitRules, exit_rules, is_on
from core.risk import groups, is_tradable
from core.selection import SelectionRules, selection_rules
from core.sizing import COIN, PURSE, ROW_FLOATS, ROW_INTS, Caps, Rows, empty_rows, sizing_room
from core.units import BPS, MINUTE_MS, Instrument, MarketRules
from core.volatility import ROOM

IntArray = np.ndarray
EXACT = 2**53
"""Units of 1e-8 up to which an amount's float64 is the correctly rounded one."""
MAX_NOTIONAL, MAX_NOTIONAL_KRW = 9_000_000, 1_000_000_000
MULTIPLIER_UP, MULTIPLIER_DOWN, AVERAGE_MINUTES = 5.0, 0.2, 5
"""The simulated venue's limits (``exchanges.simulated.filters.Limits``), held to them by a test."""


AVERAGE, PRICE_SENT, FILLABLE, BID, ASK, GAP, GAP_UNIT = range(7)
NOTHING = -1.0
"""In place of the room where nothing can fill."""
QUOTED = 8
"""Columns of a quote: a line of a processor's cache."""
NO_QUOTES = np.zeros((0, 0, 0))


class Tape(NamedTuple):
    """The market: S instruments, T minutes."""

    bars: FloatArray
    """(S, T, 5), NaN where there is no bar; what trades are made of."""
    seen: FloatArray
    """The same; it differs only with halts switched off: there ``bars`` are filled, and this is what was recorded."""
    liquidity: FloatArray
    """(S, T + 1, 2) volume and sigma of ``core.liquidity.liquidity_at`` before each minute (``liquidity_table``)."""
    half_bps: FloatArray
    """(S, H) half spreads (``core.liquidity.half_spreads``)."""
    shown: FloatArray
    """(S, T) middle of the touch at each minute's close, NaN without a book (``core.engine.shown.shown_table``)."""
    extremes: FloatArray
    """(S, B, 2) lowest and highest price of each block of ``bars`` (``core.engine.prepared.fill_extremes``)."""
    volatility: FloatArray
    """(S, T) a year, as each minute's close shows it (``core.volatility.volatility_table``); (S, 0): worked out when asked."""
    start_minute: int
    """Open of minute 0, epoch ms."""
    quotes: FloatArray = NO_QUOTES
    """(S, T, K * QUOTED) what the market shows to an order sent in each of K slots of the minute after each
    (``core.engine.market.quote_at``): average price of late, price now, steps of room, bid and ask in ticks, spacing of
    the book; (0, 0, 0): worked out when asked."""


TICK, STEP, TICK_DEN = range(3)
TICK_NUM, STEP_UNITS, UNIT, MIN_LOTS, MAX_LOTS, MIN_NOTIONAL, RATE, FEE_IN_QUOTE, QUOTE, BASE, MOST_UNITS = range(11)


class Grids(NamedTuple):
    """One row an instrument: its grid, its fees, and which balances it trades."""

    floats: FloatArray
    """(S, 3): tick, step, and tick's denominator: tick == TICK_NUM / TICK_DEN exactly, a power of ten."""
    ints: IntArray
    """(S, 11): tick's numerator; units of base in a step; units of quote in one tick x step; smallest and largest
    order in lots; smallest in units of quote; taker fee in 1e-8; whether it is paid in quote; the balances' indices;
    largest order in units of quote."""


class Rules(NamedTuple):
    """The rules of the whole account."""

    caps: Caps
    """``equity`` is each minute's."""
    losses: LossLimits
    selection: SelectionRules
    terms: Terms
    schedule: Schedule
    guards: GuardRules
    max_orders_per_day: float
    gate: CostGate
    exits: ExitRules
    ceilings: CeilingRules
    stale_minutes: int


LIFE_SIDE, LIFE_INDEX, LIFE_AGE, LIFE_DONE = range(4)
PASSED, NOW, AHEAD, KAPPA = range(4)


class Courses(NamedTuple):
    """Where each instrument's parent stands in its schedule (``core.execution.schedules.rule.Stage``)."""

    seed: IntArray
    """(S,) of its jitter."""
    curve: FloatArray
    """(S, 1440) volume curves; (S, 0) where the schedule reads none."""
    life: IntArray
    """(S, 4): 1 for a buy, 0 for a sell; the minute it was last worked in (-2: never); its age; lots done in its life."""
    stage: FloatArray
    """(S, 4): passed, now, ahead, kappa."""


class Account(NamedTuple):
    """What is carried from minute to minute; the arrays change in place."""

    units: IntArray
    """(A,) balances, quotes first, in the order that ``core.cache`` adds them up."""
    amount: FloatArray
    """(A,) the same as float64."""
    close: FloatArray
    """(S,) last known closes."""
    taken: IntArray
    """(S, 2, LEVELS + 2) steps that sells (0) and buys (1) of ours took of each level in one minute; then their sum;
    then which minute."""
    entry: FloatArray
    """(S, 2) average entry price of what is held (0: nothing that can be sold), and the highest price seen since."""
    exits: IntArray
    """(S, 5) units held by our own fills; when the position was opened; the exit at work; orders it has sent; when the
    next may leave."""
    courses: Courses
    guards: Guards
    """Open round trips, and what pauses buying."""
    today: IntArray
    """(2,) UTC day number and orders of that day."""


ENTRY, PEAK = range(2)
HELD, SINCE, DUE, ATTEMPTS, NEXT = range(5)
TAKEN_SUM, TAKEN_MINUTE = LEVELS, LEVELS + 1

MEAN, STDEV = range(2)
ASKED, SHOCK = range(2)
REGIME, TABLE = range(2)


class Said(NamedTuple):
    """What is asked for, minute by minute, from ``first`` on (an index into the tape's minutes)."""

    first: int
    ensemble: bool
    """Votes are weighed; else ``target`` is wanted as it stands, when it is asked for."""
    votes: FloatArray
    """(2, M, S, N) mean and stdev, bps."""
    flags: BoolArray
    """(2, S, N): a forecast could be asked for; in a volatility shock."""
    which: IntArray
    """(2, N): the regime; which table of weights holds."""
    weights: FloatArray
    """(K, R, M) tables."""
    asked_from: IntArray
    """(S,) where the targets of a row begin in ``asked_at`` and ``target``."""
    asked_at: IntArray
    """(E,) at which index into the tape's minutes each is asked for, increasing within a row and ``NEVER`` at its end: a
    strategy that trades asks for something once in many minutes, and nobody reads the others."""
    target: FloatArray
    """(E,); NaN, as in all other minutes, keeps what is held."""


NEVER = 2**62
"""A minute that no tape has."""


EQUITY, INVESTED = range(2)
WORTH, EDGE = range(2)


class Columns(NamedTuple):
    """What is written down of every minute from index ``first`` on, and of every ``stride``-th of them."""

    first: int
    stride: int
    minutes: FloatArray
    """(2, N) equity, invested."""
    state: IntArray
    """(N,) int8, made as zeros: the state of an account that no limit has touched (ACTIVE) is not written."""
    grid: FloatArray
    """(G, 2, S) worth, edge."""
    weights: FloatArray
    """(G, M)"""


ORDER_INTS = ("index", "row", "lots", "ticks", "limit", "regime", "due", "attempt", "at_ms", "since_ms")
ORDER_FLOATS = (
    *("mid", "edge_bps", "target", "equity", "held", "price", "asked", "allowed", "half_bps"),
    *("volatility", "kelly", "joint"),
)
FILL_INTS = ("order", "at_ms", "steps", "ticks", "fee", "bid", "ask")


class Logs(NamedTuple):
    """Preallocated; the loop returns when the next minute might not fit."""

    orders: IntArray
    """(O, 10) ``ORDER_INTS``; lots are negative for a sell; the last four are an exit's, ``due`` is 0 for other orders."""
    floats: FloatArray
    """(O, 12) ``ORDER_FLOATS``; of an exit ``price`` is the entry, ``asked`` the peak."""
    shares: FloatArray
    """(O, M) what each member's weighted forecast had in the edge."""
    fills: IntArray
    """(F, 7) ``FILL_INTS``; ``order`` counts from 0 over the whole run, the fee in units of what it is paid in, bid
    and ask are the touch it met, in ticks."""


WANTED, POSITION, PAID_FROM, FREE_LOTS, SEEN_MID, SEEN_EDGE, SEEN_SPREAD, CALM_LOW, CALM_HIGH, BUY_SCALE = range(
    len(ROW_FLOATS), len(ROW_FLOATS) + 10
)
FRESH, IS_ASKED, TRADABLE = range(3)
ROW, ORDER, LIMIT, UNSENT, BUYS, QUANTITY, BEFORE, AGE, LEAST, NEXT_ASKED, SENT, SLOT = range(12)
TICKS, STEPS, PART_LEVEL, PART_STEPS = range(4)


class Scratch(NamedTuple):
    """Room to work in, so that a minute allocates nothing."""

    floats: FloatArray
    """(25, S): the sizing's ``ROW_FLOATS``, then target, position, cash, sellable lots, mid, edge and its spread,
    between which prices a position needs no looking after, and which part of the target may be bought."""
    ints: IntArray
    """(5, S): the sizing's ``ROW_INTS``."""
    flags: BoolArray
    """(3, S): fresh, asked, tradable."""
    votes: FloatArray
    """(2, M, S)"""
    weights: FloatArray
    """(M,)"""
    spoke: BoolArray
    """(M,)"""
    worth: FloatArray
    """(A,)"""
    parent: IntArray
    """(S, 12): row, order, limit in ticks, unsent lots, 1 for a buy, lots wanted, lots done before in its life, its age,
    and the lots of its smallest order, of those at work this minute; and, of each instrument, up to which minute it is
    known that nothing is asked of it (``core.engine.coast``); and, in the first row, when what is worked now is sent, and
    in which slot."""
    level: IntArray
    """(4, LEVELS): a book's ticks and steps, and what an order takes of which."""
    sizing: FloatArray
    """(5, G) and (2, G) and (S,): ``core.sizing.sizing_room``."""
    sizing_flags: BoolArray
    limits: IntArray
    costs: FloatArray
    """(3, S) of ``core.cost_gate.Seen``: half spread, volume, sigma; of rows with an order."""
    returns: FloatArray
    """(S + 2, ROOM) and (3, S): room and answer of ``core.ceilings.set_ceilings``."""
    told: FloatArray
    quote: FloatArray
    """(QUOTED,) of one order."""


def fraction_of(value: Decimal) -> tuple[int, float]:
    """(numerator, denominator): the value exactly, the denominator a power of ten."""
    sign, digits, exponent = value.normalize().as_tuple()
    number = int("".join(map(str, digits))) * (-1 if sign else 1)
    power = int(exponent)
    return (number * 10**power, 1.0) if power >= 0 else (number, float(10**-power))


def assets_of(instruments: Sequence[Instrument]) -> dict[tuple[str, str], int]:
    """(venue, asset) -> index, in the order in which ``core.cache`` adds up what they are worth."""
    found: dict[tuple[str, str], int] = {}
    for instrument in instruments:
        found.setdefault((instrument.venue, instrument.quote), len(found))
    for instrument in instruments:
        found.setdefault((instrument.venue, instrument.base), len(found))
    return found


def make_grids(
    instruments: Sequence[Instrument], rules: Mapping[Instrument, MarketRules], fee_in_quote: Mapping[Instrument, bool]
) -> Grids:
    """Raises ConfigError for a grid that cannot be counted in whole units."""
    assets = assets_of(instruments)
    known = [rules[i] for i in instruments]
    for rule in known:
        if not is_tradable(rule):
            raise ConfigError(f"{rule.instrument}: the market rules do not let it be traded (status {rule.status})")
        for what, value in (("step", rule.step * UNITS), ("tick x step", rule.tick * rule.step * UNITS)):
            if value % 1 or value < 1:
                raise ConfigError(f"{rule.instrument}: {what} is not a whole number of 1e-8; use a coarser grid")
    ticks = [fraction_of(rule.tick) for rule in known]
    return Grids(
        floats=np.array([[float(r.tick), float(r.step), den] for r, (_, den) in zip(known, ticks, strict=True)]),
        ints=np.array(
            [
                [
                    num,
                    units_of(r.step),
                    units_of(r.tick * r.step),
                    math.ceil(r.min_qty / r.step),
                    int(r.max_qty // r.step),
                    units_of(r.min_notional),
                    units_of(r.taker_fee),
                    int(fee_in_quote[i]),
                    assets[i.venue, i.quote],
                    assets[i.venue, i.base],
                    (MAX_NOTIONAL_KRW if i.quote == "KRW" else MAX_NOTIONAL) * UNITS,
                ]
                for i, r, (num, _) in zip(instruments, known, ticks, strict=True)
            ],
            dtype=np.int64,
        ),
    )


def make_rows(
    instruments: Sequence[Instrument],
    rules: Mapping[Instrument, MarketRules],
    trade: TradeSettings,
    usdt: float = 1.0,
) -> Rows:
    """The sizing rows' columns that stay. ``usdt``: what a unit of the quote currency is worth, all instruments' one."""
    known = [rules[i] for i in instruments]
    rows, _, _ = empty_rows(len(known))
    rows.rate[:] = usdt
    for name in ("step", "tick", "min_qty", "max_qty", "min_notional"):
        getattr(rows, name)[:] = [float(getattr(rule, name)) for rule in known]
    rows.fee[:] = [float(rule.taker_fee) for rule in known]
    rows.most[:] = [trade.most_of(i) for i in instruments]
    rows.purse[:] = groups([(i.venue, i.quote) for i in instruments])
    rows.coin[:] = groups([(i.venue, i.base) for i in instruments])
    return rows


def make_rules(
    trade: TradeSettings,
    limits: RiskSettings,
    selection: SelectionSettings,
    execution: ExecutionSettings,
    costs: CostSettings,
    protection: ProtectionSettings,
    events: EventSettings,
    law: ImpactLaw = PRIOR,
) -> Rules:
    return Rules(
        caps=Caps(
            equity=math.nan,
            invest=trade.invest_pct / 100.0,
            min_order=float(trade.min_order_usdt),
            max_order=limits.max_order_pct / 100.0,
            max_position=limits.max_position_pct / 100.0,
            max_gross=limits.max_gross_pct / 100.0,
            band=limits.rebalance_band_pct / 100.0,
            collar=limits.collar_bps / BPS,
            max_orders=float(limits.max_orders_per_minute),
            max_order_usdt=math.inf if limits.max_order_usdt is None else float(limits.max_order_usdt),
        ),
        losses=loss_limits(trade, limits),
        selection=selection_rules(selection),
        terms=terms_of(costs),
        schedule=schedule_of(execution, law),
        guards=guard_rules(limits),
        max_orders_per_day=float(limits.max_orders_per_day),
        ceilings=ceiling_rules(limits),
        gate=cost_gate(execution, costs, law),
        exits=exit_rules(protection, limits),
        stale_minutes=events.stale_minutes,
    )


@plain
def looks_of(rules: Rules) -> int:
    """At how many instants of a minute positions are looked after, at most."""
    beats = rules.schedule.slices * (rules.schedule.jitter_s + 1)
    return beats + MINUTE_MS // rules.exits.look_ms if is_on(rules.exits) else 0


def make_account(
    instruments: Sequence[Instrument],
    balances: Mapping[str, Decimal],
    curves: FloatArray | None = None,
    instance: str = "",
) -> Account:
    """An account with ``balances`` by asset; raises ConfigError for one that is no amount, or that no float64 holds to the
    last unit.

    ``curves`` (S, 1440) where the schedule reads them, ``instance`` whose jitter it is.
    """
    assets = assets_of(instruments)
    for asset, balance in balances.items():
        if not (balance.is_finite() and balance >= 0):
            raise ConfigError(f"{asset}: an account cannot begin with {balance}; begin with 0 or more")
    counted = [units_of(balances.get(asset, Decimal(0))) for _, asset in assets]
    for (_, asset), amount in zip(assets, counted, strict=True):
        if amount >= EXACT:
            raise ConfigError(f"{asset}: a balance above {EXACT // UNITS} cannot be counted exactly; start with less")
    units = np.array(counted, dtype=np.int64)
    rows = len(instruments)
    return Account(
        units=units,
        amount=units / float(UNITS),
        close=np.full(rows, math.nan),
        taken=np.full((rows, 2, LEVELS + 2), -1, dtype=np.int64),
        entry=np.zeros((rows, 2)),
        exits=np.zeros((rows, 5), dtype=np.int64),
        courses=Courses(
            seed=np.array([jitter_seed(instance, i) for i in instruments], dtype=np.int64),
            curve=np.zeros((rows, 0)) if curves is None else np.ascontiguousarray(curves, dtype=np.float64),
            life=np.full((rows, 4), -2, dtype=np.int64),
            stage=np.zeros((rows, 4)),
        ),
        guards=make_guards(rows),
        today=np.array([NO_DAY, 0]),
    )


def fresh_mark() -> Mark:
    """A state that has seen nothing yet."""
    return Mark(ACTIVE, False, False, math.nan, NO_DAY, math.nan, math.nan)


def log_room(rows: int, rules: Rules, least: int) -> tuple[int, int]:
    """For how many orders and fills logs have room: ``least`` of each, and at least two minutes' worst."""
    looks = looks_of(rules)
    return max(least, 2 * rows * (1 + looks)), max(least, 2 * rows * (rules.schedule.slices + looks) * LEVELS)


def make_logs(
    room: tuple[int, int], members: int, make: Callable[[tuple[int, ...], type], np.ndarray] = np.empty
) -> Logs:
    """Logs with ``room`` for so many orders and fills; ``make`` makes an array of anything, of a shape and a kind."""
    orders, fills = room
    return Logs(
        orders=make((orders, len(ORDER_INTS)), np.int64),
        floats=make((orders, len(ORDER_FLOATS)), np.float64),
        shares=make((orders, members), np.float64),
        fills=make((fills, len(FILL_INTS)), np.int64),
    )


def make_scratch(rows: Rows, assets: int, members: int) -> Scratch:
    count = len(rows.target)
    floats = np.zeros((len(ROW_FLOATS) + 10, count))
    floats[: len(ROW_FLOATS)] = rows[: len(ROW_FLOATS)]
    floats[SEEN_EDGE] = floats[SEEN_SPREAD] = math.nan
    floats[BUY_SCALE] = 1.0
    ints = np.zeros((len(ROW_INTS), count), dtype=np.int64)
    ints[PURSE], ints[COIN] = rows.purse, rows.coin
    flags = np.zeros((3, count), dtype=np.bool_)
    flags[TRADABLE] = True
    sizing, flags_of_coins, limits = sizing_room(rows.coin, rows.purse)
    return Scratch(
        floats=floats,
        ints=ints,
        flags=flags,
        votes=np.zeros((2, members, count)),
        weights=np.zeros(members),
        spoke=np.zeros(members, dtype=np.bool_),
        worth=np.zeros(assets),
        parent=np.zeros((count, 12), dtype=np.int64),
        level=np.zeros((4, LEVELS), dtype=np.int64),
        sizing=sizing,
        sizing_flags=flags_of_coins,
        limits=limits,
        costs=np.full((3, count), math.nan),
        returns=np.zeros((count + 2, ROOM)),
        told=np.full((3, count), math.nan),
        quote=np.zeros(QUOTED),
    )


def make_columns(
    first: int,
    minutes: FloatArray,
    stride: int,
    rows: int,
    members: int,
    room: Callable[[tuple[int, ...]], FloatArray] = np.empty,
) -> Columns:
    """For the minutes from tape index ``first`` on, of which ``minutes`` (2, N) takes what is noted of each; every
    ``stride``-th and the last in full."""
    count = minutes.shape[1]
    grid = (count - 1 + stride - 1) // stride + 1 if count else 0
    return Columns(
        first=first,
        stride=stride,
        minutes=minutes,
        state=np.zeros(count, dtype=np.int8),
        grid=room((grid, 2, rows)),
        weights=np.zeros((grid, members)),
    )
