"""What the search for weights looks at: out-of-fold votes of every minute, its regime, and the return that followed."""

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np

from config.settings import Settings
from core.bars import fill_gaps
from core.events import event_rules, read_market
from core.features import WINDOW, schema_hash
from core.messages import CLOSE, BoolArray, FloatArray
from core.params import EventSettings
from data.lake import Lake
from tune.dataset import forward_return_bps, training_set
from tune.folds import walk_forward
from tune.train import Progress, Span, out_of_fold

FOLDS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """T judged minutes of S instruments and M members; every array is plain, so that it crosses processes."""

    members: tuple[str, ...]
    mean_bps: FloatArray
    """(M, S, T) forecasts by members that had not seen their fold."""
    next_bps: FloatArray
    """(S, T) log return of the minute that followed."""
    fresh: BoolArray
    """(S, T): the minute had a traded bar."""
    shock: BoolArray
    """(S, T): in a volatility shock."""
    regime: np.ndarray
    """(T,) index into ``REGIMES``."""
    fold: np.ndarray
    """(T,) number of the walk-forward fold."""

    def part(self, keep: BoolArray) -> "History":
        """Only the minutes selected by a (T,) mask."""
        return History(
            members=self.members,
            mean_bps=self.mean_bps[:, :, keep],
            next_bps=self.next_bps[:, keep],
            fresh=self.fresh[:, keep],
            shock=self.shock[:, keep],
            regime=self.regime[keep],
            fold=self.fold[keep],
        )

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp.npz")
        np.savez(draft, **{f.name: np.asarray(getattr(self, f.name)) for f in fields(self)})
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return cls(members=tuple(map(str, arrays.pop("members"))), **arrays)


def fingerprint(bars: FloatArray, settings: Settings, members: tuple[tuple[str, str], ...], seed: int) -> str:
    """Names a search: equal bars, members, rules and seed give the same one, so that it can be taken up again."""
    rules = settings.rules
    text = repr((schema_hash(), rules.selection, rules.events, rules.models.horizon_minutes, members, seed))
    return hashlib.sha256(text.encode() + np.ascontiguousarray(bars).tobytes()).hexdigest()[:12]


def readings(bars: FloatArray, filler: BoolArray, events: EventSettings) -> tuple[np.ndarray, BoolArray]:
    """(T,) regime index and (S, T) shocks of every minute, by the live detector's rule; -1 before its window is whole."""
    regime, shock = read_market(bars, filler, event_rules(events))
    regime[: WINDOW - 1], shock[:, : WINDOW - 1] = -1, False
    return regime, shock


def make_history(
    lake: Lake,
    settings: Settings,
    span: Span,
    members: tuple[tuple[str, str], ...],
    seed: int,
    progress: Progress = lambda text, share: None,
) -> History:
    """Train every (name, family) on each fold's past, forecast its future, and put both beside what happened."""
    instruments = settings.config.trade.rows
    horizon = settings.rules.models.horizon_minutes
    data = training_set(lake, instruments, span.first_minute, span.minutes, horizon)
    folds = walk_forward(span.minutes, FOLDS, purge=horizon, first=data.first)
    bars, filler = fill_gaps(lake.window(instruments, span.first_minute, span.minutes))
    progress("reading regimes", 0.0)
    regime, shock = readings(bars, filler, settings.rules.events)
    mean = np.stack([out_of_fold(family, data, folds, seed, progress)[0] for _, family in members])
    following = forward_return_bps(bars[:, :, CLOSE], 1)
    fold = np.full(span.minutes, -1)
    for number, one in enumerate(folds):
        fold[one.test_first : one.test_end] = number
    judged = (fold >= 0) & (regime >= 0) & np.isfinite(following).all(axis=0)
    whole = History(
        members=tuple(name for name, _ in members),
        mean_bps=mean,
        next_bps=following,
        fresh=~filler,
        shock=shock,
        regime=regime,
        fold=fold,
    )
    return whole.part(judged)
