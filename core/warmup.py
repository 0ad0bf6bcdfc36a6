"""Every part tried once on a flat market, so that the rules it calls are compiled and loaded before the first minute.

Compiled rules are loaded (or, on a fresh machine, compiled) when a process first calls them, which takes milliseconds
to many seconds. Each ``load_`` calls all that one part calls in a minute; nothing of it reaches a venue or a record.
"""

from dataclasses import replace
from decimal import Decimal

import numpy as np

from core.cache import Cache
from core.coin_split import SplitRules
from core.coins import coins_at_venues
from core.cost_gate import Seen, cost_gate, cost_lines
from core.events import Detector
from core.execution.conditions import conditions_of
from core.execution.schedules.adaptive import Sight, choose
from core.execution.schedules.rule import FIRST, due_lots, jitter_of, next_stage, schedule_of
from core.execution.schedules.twap import least_order
from core.execution.schedules.volume_curve import shares_ahead
from core.execution.split import Quotes, plan_split
from core.features import HISTORY, N_FEATURES, SEQUENCE, WINDOW
from core.impact import IMPACT_MINUTES, flow_at
from core.messages import AccountState, Detected, Intents, Market, MarketSlice, MinuteTick, Regime, Votes
from core.params import CostSettings, ExecutionSettings, ProtectionSettings, RiskSettings, TradeSettings
from core.protection import collar_at, due_at, entry_after, exit_rules, exit_ticks, is_on
from core.risk import Risk
from core.round_trips import TRIP, count_fill
from core.selection import Selector
from core.units import MINUTE_MS, Instrument, MarketRules, Side
from core.votes import Answer, assemble_votes

_NOBODY = AccountState(at_ms=0, balances=())


def flat_market(instruments: tuple[Instrument, ...]) -> Market:
    """Nothing held, nothing moving, every price 1; not fresh, so nothing can be bought on it."""
    rows = len(instruments)
    bars = np.ones((rows, WINDOW, 5))
    # As every market's are: what is compiled for an array that may be written to is compiled again for one that may not.
    bars.flags.writeable = False
    return Market(
        minute=0,
        now_ms=60_000,
        trace="warm-up",
        instruments=instruments,
        bars=bars,
        filler=np.zeros((rows, WINDOW), dtype=np.bool_),
        features=np.zeros((rows, SEQUENCE, N_FEATURES)),
        bid=np.ones(rows),
        ask=np.ones(rows),
        fresh=np.zeros(rows, dtype=np.bool_),
        account=AccountState(at_ms=0, balances=()),
        equity=1.0,
        cash=np.zeros(rows),
        position=np.zeros(rows),
        quote_rate=np.ones(rows),
    )


def no_intents(rows: int) -> Intents:
    """No opinion about anything."""
    nothing = np.full(rows, np.nan)
    return Intents(
        minute=0,
        trace="warm-up",
        regime=Regime.CALM,
        weights=(),
        weights_version="",
        edge_bps=nothing,
        spread_bps=nothing,
        target=nothing,
    )


def flat_votes(market: Market, members: tuple[str, ...]) -> Votes:
    """Every member says that nothing will move."""
    rows = len(market.instruments)
    said = Answer(mean_bps=np.zeros(rows), stdev_bps=np.ones(rows), version="warm-up")
    return assemble_votes(market, dict.fromkeys(members, said), members, 1)


def load_cache(instruments: tuple[Instrument, ...]) -> None:
    """Features of a history, then of one minute after it."""
    rows, last = len(instruments), HISTORY * MINUTE_MS
    cache = Cache(instruments)
    cache.restore(np.ones((rows, HISTORY, 5)), np.zeros((rows, HISTORY), dtype=np.bool_), last)
    minute = last + MINUTE_MS
    nothing = MarketSlice(
        minute=minute, instruments=instruments, bars=(None,) * rows, tops=(None,) * rows, late=instruments
    )
    cache.observe(MinuteTick(minute=minute, now_ms=minute + MINUTE_MS, trace="warm-up"), nothing, _NOBODY)


def load_detector(detector: Detector, instruments: tuple[Instrument, ...]) -> None:
    detector.detect(flat_market(instruments))


def load_selector(selector: Selector, instruments: tuple[Instrument, ...], members: tuple[str, ...]) -> None:
    """``members`` are the selector's."""
    market = flat_market(instruments)
    calm = Detected(minute=market.minute, trace=market.trace, regime=Regime.CALM, events=())
    selector.choose(market, calm, flat_votes(market, members))


def load_risk(trade: TradeSettings, limits: RiskSettings, rules: dict[Instrument, MarketRules]) -> None:
    """Sizing, limits, and what an order would move; on a copy whose state is thrown away."""
    market = flat_market(tuple(rules))
    gate = cost_gate(ExecutionSettings(), CostSettings())
    Risk(trade, limits, rules, gate=gate).review(market, no_intents(len(rules)))
    flow_at(np.array(market.bars[0]), len(market.bars[0]) - 1, IMPACT_MINUTES)
    if coins_at_venues(tuple(rules)):
        whole = Risk(trade, limits, rules, gate=gate, split=SplitRules(1.0, {}, 0.0))
        one_of_each = np.ones(len(rules))
        for intents in (
            no_intents(len(rules)),
            replace(no_intents(len(rules)), target=one_of_each, edge_bps=one_of_each),
        ):
            whole.review(market, intents)
        pair = np.ones((1, 2))
        levels = pair[:, :, None].copy()
        quotes = Quotes(levels, levels, pair, pair, pair, pair, pair, pair, pair, pair)
        plan_split(quotes, np.array([True]), np.ones(1), np.ones(1), 1.0)
    one = np.ones(1)
    cost_lines(gate, Seen(one, one, one, one), 0.001, 0, 1.0, 1.0, True)


def load_execution() -> None:
    """How an order is cut into slices, by every kind of schedule, and when a position is protected."""
    exits = exit_rules(ProtectionSettings(), RiskSettings())
    exit_ticks(entry_after(1.0, 1.0, 1.0, 1.0), 1.0, collar_at(0, exits))
    due_at(1.0, 1.0, 0, 1.0, 0, exits)
    is_on(exits)
    count_fill(np.zeros(TRIP), True, 1.0, 1.0, 1.0)
    one, where = Decimal(1), Instrument("none", "A/B")
    rules = MarketRules(instrument=where, tick=one, step=one, min_qty=one, max_qty=one, min_notional=one)
    schedule = schedule_of(ExecutionSettings(algorithm="vwap", horizon_minutes=2, jitter_seconds=1))
    (seen,) = conditions_of(flat_market((where,)), {where: Side.BUY}, schedule)
    share, ahead = shares_ahead(np.array(seen.curve), 0, schedule.minutes)
    stage = next_stage(schedule, FIRST, False, 0, 1.0, seen.traded, seen.volume, seen.sigma, 1.0, share, ahead)
    due_lots(schedule, stage, 0, 1, 1, least_order(rules, one), 1)
    jitter_of(1, 1, 0, schedule.jitter_s)
    choose(Sight(0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0))
