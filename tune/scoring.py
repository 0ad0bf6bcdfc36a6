"""What a set of ensemble weights would have earned, net of costs, by the selector's own rule.

A simple account: exposures are what the selector asks for, changed at the close of the minute at ``cost_bps`` of what
is turned over, and earn the next minute's return. Sizes, lots, schedules and the book are left to the backtest; this
ranks thousands of candidates, many at once.
"""

import numpy as np
from numba import njit

from core.events import REGIMES
from core.messages import BoolArray, FloatArray
from core.params import SelectionSettings
from core.selection import SelectionRules, WeightTable, held_back, is_held, selection_rules, wanted
from tune.history import History

COST_BPS = 11.0
"""Taker fee of 10 bps and about one for the spread."""
MINUTES_A_DAY = 1_440
MINUTES_AN_HOUR = 60
CAUTION = 0.5
"""Score is the mean over folds less this many standard deviations between folds."""


def edges(candidates: FloatArray, history: History) -> FloatArray:
    """(K, R, M) weights → (K, S, T) weighted mean forecasts; NaN where nobody with a weight spoke."""
    spoke = np.isfinite(history.mean_bps).any(axis=1)
    weight = candidates[:, history.regime, :].transpose(0, 2, 1) * spoke
    total = weight.sum(axis=1, keepdims=True)
    weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0.0)
    edge = np.zeros((len(candidates), *history.next_bps.shape))
    for m in range(len(history.members)):
        edge += weight[:, m, None, :] * np.nan_to_num(history.mean_bps[m], nan=0.0)
    known = np.isfinite(history.mean_bps).any(axis=0)
    return np.where(known & (total > 0.0), edge, np.nan)


def exposures(candidates: FloatArray, history: History, rules: SelectionSettings, invest: float) -> FloatArray:
    """(K, S, T) fractions of the investable equity held after each minute's decision; flat at the start of a fold."""
    out = np.empty((len(candidates), *history.next_bps.shape))
    starts = np.concatenate([[True], history.fold[1:] != history.fold[:-1]])
    _hold(edges(candidates, history), history.fresh, history.shock, starts, selection_rules(rules), invest, out)
    return out


@njit(cache=True)
def _hold(
    edge: FloatArray,
    fresh: BoolArray,
    shock: BoolArray,
    starts: BoolArray,
    rules: SelectionRules,
    invest: float,
    out: FloatArray,
) -> None:
    """The selector's rule over (K, S, T) edges; an exposure is what is held of an equity of 1 at a price of 1."""
    share = 1.0 / edge.shape[1]
    for k in range(edge.shape[0]):
        for i in range(edge.shape[1]):
            held = 0.0
            for t in range(edge.shape[2]):
                if starts[t]:
                    held = 0.0
                worth = held * invest
                target = wanted(edge[k, i, t], is_held(worth, worth, 1.0), fresh[i, t], share, rules)
                if shock[i, t]:
                    target = held_back(target, held, rules.shock_scale)
                if target == target:
                    held = target
                out[k, i, t] = held


def net_bps(held: FloatArray, history: History, cost_bps: float = COST_BPS) -> FloatArray:
    """(K, T) net return of each minute, basis points of the investable equity."""
    before = np.concatenate([np.zeros_like(held[:, :, :1]), held[:, :, :-1]], axis=2)
    starts = np.concatenate([[True], history.fold[1:] != history.fold[:-1]])
    before[:, :, starts] = 0.0
    turned = np.abs(held - before).sum(axis=1)
    return (held * history.next_bps).sum(axis=1) - turned * cost_bps


def judge(
    candidates: FloatArray, history: History, rules: SelectionSettings, invest: float
) -> tuple[FloatArray, FloatArray]:
    """(K,) scores and (K,) annual Sharpe ratios.

    The score is in net basis points a day of the investable equity: the mean over folds less a share of their spread.
    The Sharpe ratio is of hourly net returns, NaN where they do not vary.
    """
    net = net_bps(exposures(candidates, history, rules, invest), history)
    by_fold = [net[:, history.fold == f].mean(axis=1) * MINUTES_A_DAY for f in np.unique(history.fold)]
    hours = net.shape[1] // MINUTES_AN_HOUR
    hourly = net[:, : hours * MINUTES_AN_HOUR].reshape(len(net), hours, MINUTES_AN_HOUR).sum(axis=2)
    mean, spread = (hourly.mean(axis=1), hourly.std(axis=1)) if hours > 1 else (np.zeros(len(net)), np.zeros(len(net)))
    year = np.sqrt(365.0 * MINUTES_A_DAY / MINUTES_AN_HOUR)
    sharpe = np.divide(mean, spread, out=np.full(len(net), np.nan), where=spread > 0.0) * year
    return np.mean(by_fold, axis=0) - CAUTION * np.std(by_fold, axis=0), sharpe


def score(candidates: FloatArray, history: History, rules: SelectionSettings, invest: float) -> FloatArray:
    """(K,) scores of ``judge``."""
    return judge(candidates, history, rules, invest)[0]


def as_array(table: WeightTable, members: tuple[str, ...]) -> FloatArray:
    """(1, R, M) weights of a table."""
    return np.stack([table.weights(regime, members) for regime in REGIMES])[None]
