"""What is said of a finished walk-forward: its trials, the chance that choosing overfits, what each fold earned."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from config.identity import rules_hash
from core.bars import fill_gaps
from core.features import schema_hash
from core.messages import CLOSE, FloatArray
from core.params import MemberSettings
from core.units import DAY_MS, MINUTE_MS
from data.market import MarketCut
from tune.candidates import Track, annual_sharpe, returns, stitched
from tune.fold_store import Forecast
from tune.fold_work import FoldWork, growth_of
from tune.folds import Fold
from tune.result import Result
from tune.stats.overfitting import overfitting
from tune.trials import Trial, key_of


def trials_of(work: FoldWork, result: Result, tracks: Sequence[Track]) -> list[Trial]:
    """The run itself, and every candidate. Their keys leave the bars out: the same variant on more bars is no new one."""
    rules = rules_hash(work.settings)
    about: dict[str, Any] = {
        "instruments": tuple(map(str, result.instruments)),
        "first": int(result.minute[0]),
        "end": int(result.minute[-1]) + MINUTE_MS,
    }
    # How many candidates there were makes another choice, but no other candidate.
    plan = {name: getattr(work.plan, name) for name in work.plan.__slots__ if name != "candidates"}
    variant = [rules, schema_hash(), plan]
    made = [
        Trial(
            kind="walk-forward",
            what=f"rules {rules}, {len(work.tables)} candidates, seed {work.plan.seed}",
            key=key_of("walk-forward", len(work.tables), *variant),
            annual_sharpe=annual_sharpe(result.minute, growth_of(result)),
            **about,
        )
    ]
    if tracks:
        minute, growth = stitched(tracks)
        made += [
            Trial(
                kind="weights",
                what=f"weights {table.version} under rules {rules}",
                key=key_of("weights", table.to_json(), *variant),
                annual_sharpe=annual_sharpe(minute, row),
                **about,
            )
            for table, row in zip(work.tables, growth, strict=True)
        ]
    return made


def pbo_of(tracks: Sequence[Track]) -> float | None:
    """Probability that choosing the best candidate overfits; None with nothing to choose from."""
    found = overfitting(returns(*stitched(tracks))) if tracks else None
    return None if found is None else found.pbo


def net_of_folds(work: FoldWork, result: Result, folds: Sequence[Fold]) -> list[float]:
    """USDT that the one account made in each test part; NaN where it traded nothing there and held less than a smallest
    order, as a stopped account does: what the dust in it gained is no profit of anybody's decision."""
    growth = growth_of(result)
    ends = [int(np.searchsorted(result.minute, work.ms(f.test_end))) - 1 for f in folds]
    levels = [result.cash, *(float(growth[e]) * result.cash for e in ends)]
    nets = [after - before for before, after in pairwise(levels)]
    smallest, filled = float(work.settings.config.trade.min_order_usdt), result.fills["minute"].to_numpy()
    for number, (before, end) in enumerate(pairwise([-1, *ends])):
        begun, last = result.minute[before + 1], result.minute[end]
        held = result.invested[before + 1 : end + 1]
        if not ((filled >= begun) & (filled <= last)).any() and not (held >= smallest).any():
            nets[number] = math.nan
    return nets


def prices_of(market: MarketCut) -> tuple[np.ndarray, Callable[[int], FloatArray]]:
    """(minute (T,), the closes (T,) of one instrument) of the traded minutes, gaps filled."""
    start = (market.first_minute - market.start_minute) // MINUTE_MS
    minute = market.first_minute + np.arange(market.minutes, dtype=np.int64) * MINUTE_MS
    return minute, lambda row: fill_gaps(market.bars[row])[0][start:, CLOSE]


def note_of(work: FoldWork, number: int, fold: Fold, said: Forecast, why: str) -> str:
    """One fold for people."""

    def at(index: int) -> str:
        return str(np.datetime64(work.ms(index), "ms").astype("datetime64[m]")).replace("T", " ")

    names = [m.name for m in work.settings.rules.models.enabled]
    members = ", ".join(f"{n} {v}" for n, v in zip(names, said.versions, strict=True))
    days = (fold.test_end - fold.test_first) * MINUTE_MS / DAY_MS
    return (
        f"fold {number + 1}: learned {at(fold.train_first)} to {at(fold.train_end)}, tested {at(fold.test_first)} to "
        f"{at(fold.test_end)} UTC ({days:.1f} days); {why}; {members}"
    )


def caveats(work: FoldWork, left_out: Sequence[MemberSettings]) -> list[str]:
    """What a reader must know before the figures."""
    said = [f"{m.name} ({m.family}) was left out: it is not trained anew in each fold" for m in left_out]
    if work.source.synthetic:
        said.append("SYNTHETIC market: what is earned here says nothing of a real one")
    return said
