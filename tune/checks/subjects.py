"""What is checked for knowledge of its future: every feature, event, label, model and decision there is.

Each subject runs the very code that backtest, training and the live bot run, on the market it is given.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from config.settings import Settings
from core.bars import fill_gaps
from core.events import event_rules, read_market, read_table
from core.features import FEATURE_NAMES, HISTORY, WINDOW
from core.liquidity import HOUR_MS, half_spreads, liquidity_at
from core.messages import FloatArray, MinuteRecord
from core.params import MemberSettings
from core.ports import SelectorPart
from core.units import BPS, MINUTE_MS, Instrument
from data.market import MarketCut
from serve.models.base import Member, TrainingSet
from serve.panel import LocalPanel
from tune.backtest import make_backtest
from tune.checks.answers import Answers, Column, by_minute
from tune.checks.changes import CHANGES, SAME_LENGTH, minutes_of
from tune.checks.feature_tables import table_of
from tune.checks.lookahead import Ask, Subject
from tune.dataset import training_set
from tune.folds import Fold, walk_forward
from tune.parity import COMPARED, exact
from tune.train import fit_on, out_of_fold

FOLDS = 3
LEARNED_SHARE = 0.45
"""Share of the minutes after the look-backs that members learn from; the rest is forecast."""
DECIDED = 60
"""Minutes of the backtest whose decisions are compared."""
CASH = Decimal(10_000)
HEAVY_CUTS = 2
BATCHED_BPS = 1e-9
"""A network asked about another number of minutes at once adds in another order; far below what is traded on."""
SLOW_TO_FIT = frozenset({"tcn"})
READINGS = ("shock", "surge", "stale", "volatility_ratio", "trend")
AFTER = ("orders", "fills")
"""Of a record, what happened after its decision: the first slice meets the market of the minute that follows."""

_RETURN = FEATURE_NAMES.index("ret_5")

Folds = Callable[[TrainingSet, int], tuple[Fold, ...]]
"""(data, minutes) → folds."""


class Follower:
    """Expects the last minutes' return to go on, everywhere and always: opinions enough to trade on."""

    family = "follower"

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        mean = features[:, -1, _RETURN] * BPS
        return mean, np.full_like(mean, 10.0)


class CutLake:
    """A market cut as the source of bars that training reads."""

    root = Path("checked market")

    def __init__(self, market: MarketCut) -> None:
        self._market = market

    def window(self, instruments: tuple[Instrument, ...], first_minute: int, minutes: int) -> FloatArray:
        start = (first_minute - self._market.start_minute) // MINUTE_MS
        return np.array(self._market.bars[:, start : start + minutes])


def our_subjects(settings: Settings, market: MarketCut, seed: int, *, thorough: bool = False) -> tuple[Subject, ...]:
    """All there are, the quick ones first. Members and decisions need some hundred minutes more than HISTORY."""
    horizon = settings.rules.models.horizon_minutes
    families = tuple(dict.fromkeys(m.family for m in settings.rules.models.enabled if m.family != "rl"))
    test_first = HISTORY + int((minutes_of(market) - HISTORY) * LEARNED_SHARE) + horizon
    return (
        Subject(name="bars", ask=_bars, first=2, about="filled gaps and the mask of fillers"),
        features_subject("features", _features, about=f"{len(FEATURE_NAMES)} features"),
        Subject(name="events", ask=_events(settings), first=WINDOW, about="detector's readings, shocks and regime"),
        Subject(
            name="costs",
            ask=_costs(settings),
            first=2,
            about="volume, volatility and spread that trading is charged by",
        ),
        labels_subject("labels", _our_folds(horizon), minutes=minutes_of(market), market=market, horizon=horizon),
        *(
            member_subject(family, horizon, test_first, minutes_of(market), seed, thorough=thorough)
            for family in families
        ),
        decisions_subject(settings, families, horizon, test_first, minutes_of(market), seed, thorough=thorough),
    )


def features_subject(
    name: str, rule: Callable[[MarketCut], dict[str, FloatArray]], *, first: int = WINDOW, about: str = ""
) -> Subject:
    """A subject of any features: ``rule`` gives (S, T) values by name, each knowing the bars up to its minute."""

    def ask(market: MarketCut) -> Answers:
        labels = tuple(map(str, market.instruments))
        return {column: by_minute(values.T, labels=labels) for column, values in rule(market).items()}

    return Subject(name=name, ask=ask, first=first, about=about)


def labels_subject(name: str, folds: Folds, *, minutes: int, market: MarketCut, horizon: int) -> Subject:
    """What each fold learns from, features and targets: none of it may use a bar at or after its test part."""

    def ask(changed: MarketCut) -> Answers:
        return fold_answers(changed, folds, horizon)

    data = _training(market, horizon)
    starts = tuple(sorted({fold.test_first for fold in folds(data, minutes)}))
    return Subject(
        name=name,
        ask=ask,
        tries=tuple((change, start) for change in SAME_LENGTH for start in starts),
        about=f"features and targets that {len(starts)} folds learn from",
    )


def fold_answers(market: MarketCut, folds: Folds, horizon: int) -> Answers:
    """(T, S) targets and (T, S x F) features of each fold's training part, NaN where it does not learn."""
    data = _training(market, horizon)
    labels = tuple(map(str, market.instruments))
    each = tuple(f"{label} {feature}" for label in labels for feature in FEATURE_NAMES)
    at = np.arange(data.target_bps.shape[1])
    found: dict[str, Column] = {}
    for number, fold in enumerate(folds(data, minutes_of(market)), 1):
        learned = data.between(fold.train_first, fold.train_end).rows
        used = np.zeros(data.target_bps.shape, dtype=np.bool_)
        used[learned[:, 0], learned[:, 1]] = True
        known = np.full(len(at), fold.test_first - 1)
        targets = np.where(used, data.target_bps, np.nan)
        seen = np.where(used[:, :, None], data.features, np.nan).transpose(1, 0, 2).reshape(len(at), -1)
        found[f"target of fold {number}"] = Column(values=targets.T, at=at, known=known, labels=labels)
        found[f"features of fold {number}"] = Column(values=seen, at=at, known=known, labels=each)
    return found


def member_subject(family: str, horizon: int, test_first: int, minutes: int, seed: int, *, thorough: bool) -> Subject:
    """Fitted on the minutes before ``test_first`` (less one horizon), forecasting those after: fit included.

    A family that takes long to fit is fitted for two other futures only, unless ``thorough``.
    """

    def ask(market: MarketCut) -> Answers:
        data = _training(market, horizon)
        fold = Fold(data.first, test_first - horizon, test_first, minutes_of(market))
        mean, stdev = out_of_fold(family, data, (fold,), seed, lambda text, share: None)
        labels = tuple(map(str, market.instruments))
        about = {"first": test_first, "labels": labels, "tolerance": BATCHED_BPS if family == "tcn" else 0.0}
        return {
            "mean_bps": by_minute(mean[:, test_first:].T, **about),
            "stdev_bps": by_minute(stdev[:, test_first:].T, **about),
        }

    # The first cut leaves one forecast before it: whatever reaches into the fit from there on shows at once.
    early, middle = test_first + 1, (test_first + minutes) // 2
    few = family in SLOW_TO_FIT and not thorough
    tries = (
        (("shocked", early), ("truncated", middle))
        if few
        else tuple((c, at) for c in CHANGES for at in (early, middle))
    )
    return Subject(
        name=f"member {family}",
        ask=ask,
        tries=tries,
        about=f"fit and {minutes - test_first} minutes of forecasts after it",
    )


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
    eager = settings.rules.selection.model_copy(
        update={"entry_edge_bps": 1e-3, "exit_edge_bps": 0.0, "full_edge_bps": 1.0}
    )
    learned = tuple(m for m in settings.rules.models.enabled if m.family in families)
    members = (*learned, MemberSettings(name=Follower.family, family="rules"))
    rules = settings.rules.model_copy(
        update={"selection": eager, "models": settings.rules.models.model_copy(update={"members": members})}
    )
    eager_settings = settings.model_copy(update={"rules": rules})
    first = max(test_first, minutes - DECIDED)
    fitted: dict[str, Member | Follower] = {}

    def ask(market: MarketCut) -> Answers:
        if not fitted:
            past = _training(replace(market, bars=market.bars[:, :test_first]), horizon)
            fitted.update({m.name: fit_on(m.family, past, seed)[0] for m in learned})
            fitted[Follower.family] = Follower()
        panel = LocalPanel({name: (member, "checked") for name, member in fitted.items()}, horizon)
        rule = selector(market, tuple(m.name for m in members)) if selector else None
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


def _bars(market: MarketCut) -> Answers:
    bars, filler = fill_gaps(market.bars)
    labels = tuple(map(str, market.instruments))
    names = ("open", "high", "low", "close", "volume")
    return {name: by_minute(bars[:, :, k].T, labels=labels) for k, name in enumerate(names)} | {
        "filler": by_minute(filler.T, labels=labels)
    }


def _features(market: MarketCut) -> dict[str, FloatArray]:
    table = table_of(market)
    return {name: table[:, :, f] for f, name in enumerate(FEATURE_NAMES)}


def _events(settings: Settings) -> Ask:
    rules = event_rules(settings.rules.events)

    def ask(market: MarketCut) -> Answers:
        bars, filler = fill_gaps(market.bars)
        labels = tuple(map(str, market.instruments))
        read = np.stack([read_table(bars[row], filler[row]) for row in range(len(bars))])
        regime, shock = read_market(bars, filler, rules)
        return {name: by_minute(read[:, :, k].T, labels=labels) for k, name in enumerate(READINGS)} | {
            "regime": by_minute(regime),
            "in shock": by_minute(shock.T, labels=labels),
        }

    return ask


def _costs(settings: Settings) -> Ask:
    """What an order sent at the close of each minute is charged by; a spread holds for an hour from its estimate on."""
    rules = settings.rules.costs
    floor = rules.min_volatility_bps / BPS

    def ask(market: MarketCut) -> Answers:
        labels = tuple(map(str, market.instruments))
        bars = np.array(market.bars)
        rows, minutes = bars.shape[:2]
        read = np.array([[liquidity_at(bars[row], t + 1, floor) for row in range(rows)] for t in range(minutes)])
        half = half_spreads(bars, market.start_minute, rules.half_spread_default_bps, rules.half_spread_max_bps)
        began = (market.start_minute // HOUR_MS + np.arange(half.shape[1])) * HOUR_MS
        hour = (began - market.start_minute) // MINUTE_MS
        return {
            "usual volume": by_minute(read[:, :, 0], labels=labels),
            "volatility": by_minute(read[:, :, 1], labels=labels),
            "half spread": Column(values=half.T, at=hour, known=hour - 1, labels=labels),
        }

    return ask


def _our_folds(horizon: int) -> Folds:
    return lambda data, minutes: walk_forward(minutes, FOLDS, purge=horizon, first=data.first)


def _training(market: MarketCut, horizon: int) -> TrainingSet:
    return training_set(CutLake(market), market.instruments, market.start_minute, minutes_of(market), horizon)
