"""The work of one fold: learn on its past, forecast its test part, let every candidate trade it. Kept when done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np

from config.identity import rules_hash
from config.settings import Settings
from core.features import schema_hash
from core.messages import FloatArray
from core.selection import WeightTable
from core.units import MINUTE_MS
from data.market import WARMUP_MINUTES, MarketCut, MarketSource
from serve.models.base import Member
from tune.candidates import Track
from tune.dataset import SPREAD_BARS, also_of
from tune.fold_store import FoldStore, Forecast, key_of
from tune.folds import Fold
from tune.pieces import Pieces
from tune.prepared import Prepared, mapped_cut, prepare, store_of
from tune.result import Result
from tune.samples import draw, forecast
from tune.simulate import Forecasts, simulate
from tune.stored_set import content_of
from tune.train import CODE, fit_on

HISTORY = max(WARMUP_MINUTES, 1_500)
"""Minutes before the first traded one that the account sees: features, and a day for the spread's estimate."""


READING, TRADING = "reading", "trading"
"""Kinds of work: bars made into features, to learn from or to forecast; bars that an account goes through."""


def learning(member: str) -> str:
    """The kind of work that a member's learning is."""
    return f"learning {member}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the time is cut and how much is learned from it. Times in minutes."""

    folds: int = 5
    test: int | None = None
    """Length of a test part, instead of a number of folds."""
    window: int | None = None
    """Learn on that many minutes before each test part (rolling); None: on all before it (anchored)."""
    purge: int | None = None
    """Not learned from before each test part; None: the forecast horizon, which is what its targets reach."""
    embargo: int | None = None
    """Left out of later learning after each test part; None: the forecast horizon."""
    first_share: float = 0.5
    """Share of the time that the first fold learns on."""
    samples: int = 200_000
    """At most about so many samples a fold, drawn evenly over its time."""
    candidates: int = 8
    """Tables of ensemble weights to choose from; 1: the configured weights, nothing is chosen."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Who is told of the work. It is of several kinds: ``READING`` and ``TRADING``, whose units are bars (symbol-minutes)
    gone through, and what ``learning`` names, whose units are samples."""

    say: Callable[[str], None] = lambda text: None
    plan: Callable[[Mapping[str, int]], None] = lambda units: None
    """Told once, before all else, how many units of each kind there are."""
    begin: Callable[[str], None] = lambda kind: None
    """From now on it is work of this kind."""
    did: Callable[[str, int], None] = lambda kind, units: None
    spare: Callable[[str, int], None] = lambda kind, units: None
    """So many units were done by an earlier run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldWork:
    """What the folds of one walk-forward have in common."""

    source: MarketSource
    settings: Settings
    plan: Plan
    store: FoldStore
    origin: int
    """Open time of minute index 0, epoch ms."""
    tables: tuple[WeightTable, ...]
    """Candidates; the first is the configured one."""
    cash: Decimal
    progress: Progress

    def ms(self, index: int) -> int:
        """Epoch ms of a minute index."""
        return self.origin + index * MINUTE_MS

    def bars(self, fold: Fold) -> tuple[int, int]:
        """Symbol-minutes to learn from and to be tested on."""
        rows = len(self.settings.config.trade.rows)
        return rows * (fold.train_end - fold.train_first), rows * (fold.test_end - fold.test_first)

    def work_of(self, folds: Sequence[Fold]) -> dict[str, int]:
        """Units of each kind of work that these folds are, and the one account after them."""
        rows, choice = len(self.settings.config.trade.rows), len(self.tables) > 1
        traded = rows * (folds[-1].test_end - folds[0].test_first)
        return {
            READING: sum(sum(self.bars(fold)) for fold in folds),
            TRADING: traded * (1 + choice * len(self.tables)),
            **{learning(m.name): sum(map(self.samples, folds)) for m in self.settings.rules.models.enabled},
        }

    def samples(self, fold: Fold) -> int:
        """That a member learns from in the fold, at most."""
        return min(self.plan.samples, self.bars(fold)[0])

    def learn(self, number: int, fold: Fold, where: str) -> Forecast:
        """The fold's forecasts: from disk, or by learning on its past."""
        key, say, progress = self.key(fold), self.progress.say, self.progress
        instruments, models = self.settings.config.trade.rows, self.settings.rules.models
        walked = partial(progress.did, READING)
        kept = self.store.forecast(number, key)
        if kept is not None:
            say(f"{where}: done before")
            progress.spare(READING, sum(self.bars(fold)))
            for one in models.enabled:
                progress.spare(learning(one.name), self.samples(fold))
            return kept
        say(f"{where}: reading the past")
        progress.begin(READING)
        data = draw(
            self.source.lake,
            instruments,
            self.origin,
            fold,
            horizon=models.horizon_minutes,
            also=also_of(models.horizon_minutes),
            most=self.plan.samples,
            seed=self.plan.seed,
            walked=walked,
        )
        members: dict[str, Member] = {}
        notes: dict[str, dict[str, float]] = {}
        for one in models.enabled:
            say(f"{where}: {one.name} learns from {data.size:,} samples")
            progress.begin(learning(one.name))
            members[one.name], notes[one.name] = fit_on(one.family, data, self.plan.seed, one.hyper)
            progress.did(learning(one.name), self.samples(fold))
        about = {
            "learned_ms": [self.ms(fold.train_first), self.ms(fold.train_end)],
            "left_out_ms": [list(map(self.ms, pair)) for pair in fold.left_out],
            "test_ms": [self.ms(fold.test_first), self.ms(fold.test_end)],
            "samples": data.size,
            "instruments": list(map(str, instruments)),
            "schema": schema_hash(),
        }
        # What was learned from is not needed any more; the forecasts take its place.
        del data
        say(f"{where}: forecasts")
        progress.begin(READING)
        mean, stdev = forecast(
            self.source.lake,
            instruments,
            self.origin,
            fold.test_first,
            fold.test_end,
            members,
            walked=walked,
            folder=self.store.root,
        )
        return self.store.keep_forecast(number, key, members, notes, mean, stdev, about)

    def track(self, number: int, fold: Fold, said: Forecast, where: str) -> Track:
        """What every candidate earns in the fold, on an account of its own that starts flat."""
        tables = [table.to_json() for table in self.tables]
        rules = rules_hash(self.settings)
        key = key_of({"fold": self.key(fold), "rules": rules, "cash": str(self.cash), "tables": tables, "code": CODE})
        _, tested = self.bars(fold)
        kept = self.store.track(number, key)
        if kept is not None:
            self.progress.spare(TRADING, tested * len(self.tables))
            return kept
        market, prepared = self.market(fold.test_first, fold.test_end)
        forecasts = self.joined([said])
        growth = []
        self.progress.begin(TRADING)
        for count, table in enumerate(self.tables, 1):
            self.progress.say(f"{where}: weights {count} of {len(self.tables)}")
            result = simulate(
                self.settings, market, forecasts, cash=self.cash, weights=table, name=table.version, prepared=prepared
            )
            growth.append(growth_of(whole(result, market.minutes)))
            self.progress.did(TRADING, tested)
        track = Track(minute=result.minute, growth=np.stack(growth))
        self.store.keep_track(number, key, track)
        return track

    def market(self, first: int, end: int) -> tuple[MarketCut, Prepared]:
        """The traded minute indices [first, end), behind ``HISTORY`` minutes, mapped from files beside the lake."""
        store, rows, noted = store_of(self.source), self.settings.config.trade.rows, list[str]()
        market = mapped_cut(self.source, rows, self.ms(first), end - first, HISTORY, store, noted)
        return market, prepare(self.settings, market, store, noted)

    def joined(self, found: Sequence[Forecast]) -> Forecasts:
        """Forecasts of consecutive folds, behind ``HISTORY`` minutes of silence."""
        names = tuple(m.name for m in self.settings.rules.models.enabled)
        versions = found[0].versions if len(found) == 1 else tuple(f"{len(found)} folds" for _ in names)
        return Forecasts(
            members=names,
            versions=versions,
            mean_bps=Pieces([f.mean_bps for f in found], HISTORY),
            stdev_bps=Pieces([f.stdev_bps for f in found], HISTORY),
        )

    def key(self, fold: Fold) -> str:
        """Of all that a fold's members and forecasts depend on: bars, features, families, seed, cut."""
        start, end = self.ms(fold.train_first - SPREAD_BARS), self.ms(fold.test_end)
        models = self.settings.rules.models
        content: dict[str, Any] = {
            **content_of(self.source.lake, self.settings.config.trade.rows, start, end),
            "code": CODE,
            "members": [(m.name, m.family, sorted(m.hyper.items())) for m in models.enabled],
            "horizon": [models.horizon_minutes, *also_of(models.horizon_minutes)],
            "seed": self.plan.seed,
            "samples": self.plan.samples,
            "fold": [self.origin, fold.train_first, fold.train_end, fold.test_first, fold.test_end, fold.left_out],
        }
        return key_of(content)


def whole(result: Result, minutes: int) -> Result:
    """The result of a run to its end. One that Ctrl-C cut short is no result here: raises KeyboardInterrupt."""
    if result.minutes < minutes:
        raise KeyboardInterrupt
    return result


def growth_of(result: Result) -> FloatArray:
    """(T,) equity over the cash at the start; a missed minute repeats the one before."""
    equity = result.equity / result.cash
    at = np.maximum.accumulate(np.where(np.isfinite(equity), np.arange(len(equity)), 0))
    return np.nan_to_num(equity[at], nan=1.0)
