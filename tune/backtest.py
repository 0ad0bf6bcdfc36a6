"""A backtest: the minute of the live bot, on a LocalDesk, over a recorded market with the exchange simulated in-process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from config.settings import Settings
from core.bars import fill_gaps
from core.cache import Cache
from core.coin_split import split_rules
from core.cost_gate import cost_gate
from core.currency import REPORTING_CURRENCY
from core.desk import LocalDesk
from core.events import Detector
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.impact import PRIOR, ImpactLaw
from core.messages import MinuteRecord
from core.orders import REPLAY_INSTANCE
from core.ports import Journal, ModelsPart, SelectorPart
from core.protection import exit_rules
from core.record import closing_record
from core.risk import Risk, RiskState
from core.selection import Selector, WeightTable
from core.session import decision_ms, run_session
from core.units import MINUTE_MS
from data.market import MarketCut, market_curves
from data.quote_worth import known_worth
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.tape import Tape

VENUE = "binance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """A desk ready to run, and the venue it trades at."""

    desk: LocalDesk
    venue: SimulatedVenue
    executor: LocalExecutor
    settings: Settings
    first_minute: int
    minutes: int

    def run(self) -> Iterator[MinuteRecord]:
        """The minutes, one record each; last, if anything happened after the last decision, what did."""
        rules = self.settings.rules
        yield from run_session(self.desk, self.first_minute, self.minutes, rules.execution, rules.protection)
        end = self.first_minute + self.minutes * MINUTE_MS
        self.executor.stop(self.venue.now_ms())
        rest = self.executor.closing()
        if rest.orders or rest.fills or rest.exits:
            yield closing_record(end, rest)


def make_tape(market: MarketCut) -> Tape:
    """The market as the simulated exchange plays it."""
    return Tape(market.instruments, market.start_minute, market.bars, market.synthetic, market.sentiment, market.news)


def make_backtest(
    settings: Settings,
    market: MarketCut,
    models: ModelsPart,
    *,
    cash: Decimal,
    weights: WeightTable | None = None,
    selector: SelectorPart | None = None,
    keep: Callable[[MinuteRecord], object] = lambda record: None,
    journal: Journal | None = None,
    law: ImpactLaw = PRIOR,
) -> Backtest:
    """Wire a LocalDesk over ``market``, with ``cash`` USDT at the start.

    ``models`` gives the votes (a LocalPanel, or recorded votes). ``selector`` replaces the ensemble's (the RL
    environment puts its action there). ``journal`` keeps what the executor does, as live. ``law``:
    what is believed of impact.
    """
    rules = settings.rules
    worth = known_worth(market.worth, market.instruments)
    venue = SimulatedVenue.of_tape(
        make_tape(market),
        {worth.currency: worth.units(cash)},
        start_ms=decision_ms(market.first_minute) - MINUTE_MS,
        name=market.instruments[0].venue,
        costs=rules.costs,
        rates=lambda now_ms: () if worth.currency == REPORTING_CURRENCY else (worth.rate(now_ms),),
    )
    cache = Cache(market.instruments, rules.risk.max_book_age_ms)
    history = (market.first_minute - market.start_minute) // MINUTE_MS
    past = market.bars[:, :history]
    filled, filler = fill_gaps(past)
    cache.restore(filled, filler, market.first_minute - MINUTE_MS)
    exits = exit_rules(rules.protection, rules.risk)
    machine = ExecutionMachine(rules.execution, venue.rules(), REPLAY_INSTANCE, exits=exits, law=law)
    curves = dict(zip(market.instruments, market_curves(market), strict=True))
    executor = LocalExecutor(machine, venue, journal, curves)
    members = tuple(m.name for m in rules.models.enabled)
    table = weights or WeightTable.default(members, rules.selection.default_weights)
    desk = LocalDesk(
        cache=cache,
        market=venue,
        detector=Detector(rules.events),
        models=models,
        selector=selector or Selector(rules.selection, table, members, coins=rules.execution.split),
        risk=Risk(
            settings.config.trade,
            rules.risk,
            venue.rules(),
            RiskState(),
            gate=cost_gate(rules.execution, rules.costs, law),
            split=split_rules(rules.execution, rules.costs, law),
            stale_minutes=rules.events.stale_minutes,
        ),
        executor=executor,
        keep=keep,
    )
    return Backtest(
        desk=desk,
        venue=venue,
        executor=executor,
        settings=settings,
        first_minute=market.first_minute,
        minutes=market.minutes,
    )


def percentiles(records: list[MinuteRecord]) -> list[tuple[str, float, float]]:
    """(step, p50 ms, p99 ms) over the minutes that ran."""
    by_step: dict[str, list[float]] = {}
    for record in records:
        for step, took in record.timings:
            by_step.setdefault(step, []).append(took)
    return [(step, float(np.percentile(v, 50)), float(np.percentile(v, 99))) for step, v in by_step.items()]
