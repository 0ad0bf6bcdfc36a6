"""The account under check: every decision of a LocalDesk, and everything the compiled engine tells."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import numpy as np
import polars as pl

from config.settings import Settings
from core.features import FEATURE_NAMES, HISTORY
from core.messages import FloatArray, MinuteRecord
from core.params import MemberSettings
from core.ports import SelectorPart
from core.selection import WeightTable
from core.units import BPS, MINUTE_MS
from data.market import MarketCut
from serve.models.base import Member
from serve.panel import LocalPanel
from tune.backtest import make_backtest
from tune.checks.answers import Answers, Column, by_minute
from tune.checks.changes import minutes_of
from tune.checks.lookahead import Subject
from tune.checks.sources import samples_of, table_of
from tune.parity import COMPARED, exact
from tune.result import Result
from tune.simulate import Forecasts, simulate
from tune.train import fit_on

DECIDED = 60
"""Minutes of the backtest whose decisions are compared."""
CASH = Decimal(10_000)
HEAVY_CUTS = 2
AFTER = ("orders", "fills")
"""Of a record, what happened after its decision: the first slice meets the market of the minute that follows."""
_RETURN = FEATURE_NAMES.index("ret_5")


class Follower:
    """Expects the last minutes' return to go on, everywhere and always: opinions enough to trade on."""

    family = "follower"
    stdev_bps = 10.0

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        mean = features[:, -1, _RETURN] * BPS
        return mean, np.full_like(mean, self.stdev_bps)


def engine_subject(settings: Settings, minutes: int) -> Subject:
    """The account of the compiled engine, over forecasts that follow the last minutes' return."""
    eager_settings = _eager(settings, (Follower.family,))

    def ask(market: MarketCut) -> Answers:
        following = table_of(market)[None, :, :, _RETURN] * BPS
        forecasts = Forecasts(
            members=(Follower.family,),
            versions=("checked",),
            mean_bps=following,
            stdev_bps=np.where(np.isfinite(following), Follower.stdev_bps, np.nan),
        )
        run = replace(
            market,
            first_minute=market.start_minute + HISTORY * MINUTE_MS,
            minutes=minutes_of(market) - HISTORY,
        )
        table = WeightTable.equal((Follower.family,))
        return result_answers(simulate(eager_settings, run, forecasts, cash=CASH, weights=table), HISTORY)

    return Subject(
        name="engine",
        ask=ask,
        first=HISTORY + 2,
        about=f"equity, targets, orders and fills of {minutes - HISTORY} minutes, compiled",
    )


def result_answers(result: Result, first: int) -> Answers:
    """A column for each that a result of an ensemble has by minute, and one of the orders and of the fills that a
    decision led to.

    What an order became is known only after its minute, so ``executed`` goes with the fills. So does a protective exit
    (``exits``): it stands beside the newest decision, but is made of the prices of the minute that follows it.
    """
    labels = tuple(map(str, result.instruments))
    at = first + np.asarray(result.grid)
    columns = {
        name: by_minute(getattr(result, name), first=first) for name in ("equity", "invested", "regime", "state")
    }
    for name in ("close", "worth", "edge_bps"):
        columns[name] = Column(values=getattr(result, name), at=at, known=at, labels=labels)
    # Nobody forecast a protective exit, and no regime is noted with it.
    protective = pl.col("edge_bps").is_nan() & (pl.col("regime") == "")
    orders = result.orders.drop("order", "executed")
    after = result.orders.select("minute", "symbol", "executed")
    fills = result.fills.drop("order")
    for name, table, reach in (
        ("orders", orders.filter(~protective), 0),
        ("exits", orders.filter(protective), 1),
        ("executed", after, 1),
        ("fills", fills, 1),
    ):
        told: dict[int, list[str]] = {}
        for row in table.iter_rows():
            told.setdefault(row[table.columns.index("minute")], []).append(exact(tuple(map(_plain, row))))
        texts = np.array(["; ".join(told.get(int(minute), ())) for minute in result.minute], dtype=object)
        columns[name] = by_minute(texts, first=first, reach=reach)
    return columns


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _eager(settings: Settings, names: tuple[str, ...]) -> Settings:
    """Settings under which these members trade on next to no edge; what is not configured is a rule."""
    eager = settings.rules.selection.model_copy(
        update={"entry_edge_bps": 1e-3, "exit_edge_bps": 0.0, "full_edge_bps": 1.0, "default_weights": {}}
    )
    known = {m.name: m for m in settings.rules.models.enabled}
    members = tuple(known.get(name) or MemberSettings(name=name, family="rules") for name in names)
    models = settings.rules.models.model_copy(update={"members": members})
    execution = settings.rules.execution.model_copy(update={"cost_gate": "off"})
    rules = settings.rules.model_copy(update={"selection": eager, "models": models, "execution": execution})
    return settings.model_copy(update={"rules": rules})


def decisions_subject(
    settings: Settings,
    families: tuple[str, ...],
    horizon: int,
    test_first: int,
    minutes: int,
    seed: int,
    *,
    thorough: bool = False,
    selector: Callable[[MarketCut, tuple[str, ...]], SelectorPart] | None = None,
) -> Subject:
    """Every field of every record of a backtest, whose members learned before it and ask for little edge.

    Beside them votes a member that always has an opinion, so that orders flow whatever the others learned.
    ``selector`` makes another rule for the wanted exposures, from the market it will trade and the names of the members.
    """
    learned = tuple(m for m in settings.rules.models.enabled if m.family in families)
    names = (*(m.name for m in learned), Follower.family)
    eager_settings = _eager(settings, names)
    first = max(test_first, minutes - DECIDED)
    fitted: dict[str, Member | Follower] = {}

    def ask(market: MarketCut) -> Answers:
        if not fitted:
            past = samples_of(replace(market, bars=market.bars[:, :test_first]), horizon)
            fitted.update({m.name: fit_on(m.family, past, seed)[0] for m in learned})
            fitted[Follower.family] = Follower()
        panel = LocalPanel({name: (member, "checked") for name, member in fitted.items()}, horizon)
        rule = selector(market, names) if selector else None
        begun = market.start_minute + first * MINUTE_MS
        run = replace(market, first_minute=begun, minutes=minutes_of(market) - first)
        records = list(make_backtest(eager_settings, run, panel, cash=CASH, selector=rule).run())
        return record_answers(records, market.start_minute)

    return Subject(
        name="decisions",
        ask=ask,
        first=first + 2,
        most_cuts=1_000 if thorough else HEAVY_CUTS,
        about=f"votes, targets, verdicts and orders of {minutes - first} minutes on a LocalDesk",
    )


def record_answers(records: list[MinuteRecord], start_minute: int) -> Answers:
    """A column a field of the records; orders and fills may know the minute in which they are worked."""
    at = np.array([(r.minute - start_minute) // MINUTE_MS for r in records], dtype=np.int64)
    return {
        name: Column(
            values=np.array([exact(getattr(r, name)) for r in records], dtype=object),
            at=at,
            known=at + (1 if name in AFTER else 0),
        )
        for name in COMPARED
        if name != "minute"
    }
