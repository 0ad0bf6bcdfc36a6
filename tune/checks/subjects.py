"""What is checked for knowledge of its future: every feature, event, label, model and decision there is.

Each subject runs the very code that backtest, training and the live bot run, on the market it is given.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from config.settings import Settings
from core.bars import fill_gaps
from core.events import event_rules, read_market, read_table
from core.features import FEATURE_NAMES, HISTORY, N_FEATURES, WINDOW
from core.liquidity import HOUR_MS, half_spreads, liquidity_at
from core.messages import FloatArray
from core.units import BPS, MINUTE_MS
from data.market import MarketCut
from serve.models.base import Member, TrainingSet
from serve.models.registry import NETWORKS
from serve.models.rl import RlPolicy
from serve.panel import PRECOMPUTED_TOLERANCE_BPS, forecast_history
from tune.checks.account_subjects import decisions_subject, engine_subject
from tune.checks.answers import Answers, Column, by_minute
from tune.checks.changes import CHANGES, SAME_LENGTH, minutes_of
from tune.checks.lookahead import Ask, Subject
from tune.checks.sources import CutLake, samples_of, table_of
from tune.folds import Fold, walk_forward
from tune.samples import LOOK_BACK, draw, forecast
from tune.train import fit_on

FOLDS = 3
LEARNED_SHARE = 0.45
"""Share of the minutes after the look-backs that members learn from; the rest is forecast."""
BATCHED_BPS = PRECOMPUTED_TOLERANCE_BPS
"""A network (float32) asked about another number of minutes at once adds in another order; far below what is traded on."""
WALKED = 2
"""Folds of the walk-forward that is checked."""
PIECE = 300
"""Minutes it takes at a time: several pieces, so that what lies across their edges is seen."""
DRAWN = 2_000
QUICK_TO_FIT = ("ridge", "rules")
SLOW_TO_FIT = NETWORKS | {"lightgbm"}
READINGS = ("shock", "surge", "stale", "volatility_ratio", "trend")
Folds = Callable[[TrainingSet, int], tuple[Fold, ...]]
"""(data, minutes) → folds."""


def our_subjects(
    settings: Settings, market: MarketCut, seed: int, *, thorough: bool = False, wide: MarketCut | None = None
) -> tuple[Subject, ...]:
    """All there are, the quick ones first. Members and decisions need some hundred minutes more than HISTORY.

    ``wide``: the same minutes with the same coins at other venues, for the features that look there.
    """
    horizon = settings.rules.models.horizon_minutes
    families = tuple(dict.fromkeys(m.family for m in settings.rules.models.enabled if m.family != "rl"))
    test_first = HISTORY + int((minutes_of(market) - HISTORY) * LEARNED_SHARE) + horizon
    minutes = minutes_of(market)
    return (
        Subject(name="bars", ask=_bars, first=2, about="filled gaps and the mask of fillers"),
        features_subject("features", _features, market=wide, about=f"{len(FEATURE_NAMES)} features"),
        Subject(name="events", ask=_events(settings), first=WINDOW, about="detector's readings, shocks and regime"),
        Subject(name="costs", ask=_costs(settings), first=2, about="volume, volatility and spread that are charged"),
        labels_subject("labels", _our_folds(horizon), minutes=minutes, market=market, horizon=horizon),
        walk_subject(horizon, minutes, seed),
        *(member_subject(family, horizon, test_first, minutes, seed, thorough=thorough) for family in families),
        policy_subject(seed),
        engine_subject(settings, minutes),
        decisions_subject(settings, families, horizon, test_first, minutes, seed, thorough=thorough),
    )


def features_subject(
    name: str,
    rule: Callable[[MarketCut], dict[str, FloatArray]],
    *,
    first: int = WINDOW,
    about: str = "",
    market: MarketCut | None = None,
) -> Subject:
    """A subject of any features: ``rule`` gives (S, T) values by name, each knowing the bars up to its minute."""

    def ask(market: MarketCut) -> Answers:
        labels = tuple(map(str, market.instruments))
        return {column: by_minute(values.T, labels=labels) for column, values in rule(market).items()}

    return Subject(name=name, ask=ask, first=first, about=about, market=market)


def labels_subject(name: str, folds: Folds, *, minutes: int, market: MarketCut, horizon: int) -> Subject:
    """What each fold learns from, features and targets: none of it may use a bar at or after its test part."""

    def ask(changed: MarketCut) -> Answers:
        return fold_answers(changed, folds, horizon)

    data = samples_of(market, horizon)
    starts = tuple(sorted({fold.test_first for fold in folds(data, minutes)}))
    return Subject(
        name=name,
        ask=ask,
        tries=tuple((change, start) for change in SAME_LENGTH for start in starts),
        about=f"features and targets that {len(starts)} folds learn from",
    )


def fold_answers(market: MarketCut, folds: Folds, horizon: int) -> Answers:
    """(T, S) targets and (T, S x F) features of each fold's training part, NaN where it does not learn."""
    data = samples_of(market, horizon)
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


def walk_subject(horizon: int, minutes: int, seed: int) -> Subject:
    """What a walk-forward draws from the past of each fold, piece by piece, and what it forecasts after it."""
    folds = walk_forward(minutes, WALKED, purge=horizon, first=LOOK_BACK, embargo=horizon)

    def ask(market: MarketCut) -> Answers:
        lake, origin, found = CutLake(market), market.start_minute, {}
        shape = market.bars.shape[:2]
        labels = tuple(map(str, market.instruments))
        for number, fold in enumerate(folds, 1):
            about = {"horizon": horizon, "most": DRAWN, "seed": seed, "minutes": PIECE}
            data = draw(lake, market.instruments, origin, fold, **about)
            target = np.full(shape, np.nan)
            seen = np.full((*shape, data.last.shape[1]), np.nan)
            target[data.rows[:, 0], data.rows[:, 1]] = data.y
            seen[data.rows[:, 0], data.rows[:, 1]] = data.last
            at = np.arange(shape[1])
            known = np.full(len(at), fold.test_first - 1)
            found[f"target of fold {number}"] = Column(values=target.T, at=at, known=known, labels=labels)
            flat = seen.transpose(1, 0, 2).reshape(len(at), -1)
            found[f"features of fold {number}"] = Column(values=flat, at=at, known=known)
            members = {family: fit_on(family, data, seed)[0] for family in QUICK_TO_FIT}
            said = forecast(lake, market.instruments, origin, fold.test_first, fold.test_end, members, minutes=PIECE)
            for kind, values in zip(("mean_bps", "stdev_bps"), said, strict=True):
                for member, one in zip(members, values, strict=True):
                    name = f"{kind} of {member} in fold {number}"
                    found[name] = by_minute(one.T, first=fold.test_first, labels=labels)
        return found

    cuts = [cut for fold in folds for cut in (fold.test_first, (fold.test_first + fold.test_end) // 2)]
    return Subject(
        name="walk-forward",
        ask=ask,
        tries=tuple((change, cut) for change in SAME_LENGTH for cut in cuts),
        about=f"what {len(folds)} folds draw to learn from, and what they forecast",
    )


def member_subject(family: str, horizon: int, test_first: int, minutes: int, seed: int, *, thorough: bool) -> Subject:
    """Fitted on the minutes before ``test_first`` (less one horizon), forecasting those after: fit included.

    A family that takes long to fit is fitted for one other future only, unless ``thorough``.
    """

    def ask(market: MarketCut) -> Answers:
        data = samples_of(market, horizon)
        member, _ = fit_on(family, data.between(data.first, test_first - horizon), seed)
        end, labels = minutes_of(market), tuple(map(str, market.instruments))
        said = [forecast_history(member, rows, test_first, end) for rows in data.features]
        mean, stdev = (np.stack(part, axis=1) for part in zip(*said, strict=True))
        about = {"first": test_first, "labels": labels, "tolerance": BATCHED_BPS if family in NETWORKS else 0.0}
        # What was learned is compared as well: a member that distrusts itself forecasts zero whatever it has seen.
        return {
            "what it learned": by_minute(np.array([_digest(member)], dtype=object), first=test_first - 1),
            "mean_bps": by_minute(mean, **about),
            "stdev_bps": by_minute(stdev, **about),
        }

    # The first cut leaves one forecast before it: whatever reaches into the fit from there on shows at once.
    early, middle = test_first + 1, (test_first + minutes) // 2
    few = family in SLOW_TO_FIT and not thorough
    tries = (("shocked", early),) if few else tuple((c, at) for c in CHANGES for at in (early, middle))
    return Subject(
        name=f"member {family}",
        ask=ask,
        tries=tries,
        about=f"fit and {minutes - test_first} minutes of forecasts after it",
    )


def _digest(member: Member) -> str:
    """SHA-256 (hex) of the files that a member is kept in."""
    digest = hashlib.sha256()
    with TemporaryDirectory() as folder:
        member.save(Path(folder))
        for path in sorted(Path(folder).iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def policy_subject(seed: int) -> Subject:
    """An agent's policy as it is served, with drawn weights: training one takes an hour and is not repeated here."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = torch.jit.trace(torch.nn.Linear(N_FEATURES, 2), torch.zeros(1, N_FEATURES))
    policy = RlPolicy(drawn, np.zeros(N_FEATURES), np.ones(N_FEATURES))

    def ask(market: MarketCut) -> Answers:
        table, labels = table_of(market), tuple(map(str, market.instruments))
        said = [forecast_history(policy, rows, 0, table.shape[1]) for rows in table]
        mean, stdev = (np.stack(part, axis=1) for part in zip(*said, strict=True))
        about = {"labels": labels, "tolerance": PRECOMPUTED_TOLERANCE_BPS}
        return {"mean_bps": by_minute(mean, **about), "stdev_bps": by_minute(stdev, **about)}

    return Subject(name="member rl", ask=ask, first=HISTORY + 2, about="forecasts of a policy with drawn weights")


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
