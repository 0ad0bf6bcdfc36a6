"""Rules that know their future, each in a way that real ones did: what the checks must catch, by name."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.bars import fill_gaps
from core.messages import CLOSE, OPEN, Detected, FloatArray, Intents, Market, Votes
from core.params import SelectionSettings
from core.selection import Selector, WeightTable
from core.units import MINUTE_MS
from data.market import MarketCut
from serve.models.base import TrainingSet, standardiser
from serve.models.ridge import Ridge
from tune.folds import Fold, walk_forward

CENTRE = 4
"""Minutes on each side of a centred mean."""
HOUR = 60


def closes(market: MarketCut) -> FloatArray:
    """(S, T) closes, gaps filled."""
    return fill_gaps(market.bars)[0][:, :, CLOSE]


def next_return(market: MarketCut) -> dict[str, FloatArray]:
    """A return shifted the wrong way: one bar of the future."""
    close = closes(market)
    ahead = np.full_like(close, np.nan)
    ahead[:, :-1] = np.log(close[:, 1:] / close[:, :-1])
    return {"shifted_return": ahead}


def centred_mean(market: MarketCut) -> dict[str, FloatArray]:
    """A moving average that is centred, as ``numpy.convolve`` and pandas' ``center=True`` make it."""
    close = closes(market)
    weights = np.ones(2 * CENTRE + 1) / (2 * CENTRE + 1)
    mean = np.stack([np.convolve(row, weights, mode="same") for row in close])
    return {"centred_mean": close / mean - 1.0}


def scaled_on_everything(market: MarketCut) -> dict[str, FloatArray]:
    """A z-score whose mean and deviation were taken from the whole sample, test minutes included."""
    change = np.diff(np.log(closes(market)), axis=1, prepend=np.nan)
    mean, deviation = np.nanmean(change, axis=1), np.nanstd(change, axis=1)
    return {"z_return": (change - mean[:, None]) / deviation[:, None]}


def hourly_close(market: MarketCut) -> dict[str, FloatArray]:
    """An hour's close, stamped with the hour it is of and filled forward: known up to an hour too early."""
    close = closes(market)
    filled = np.array(close)
    for start in range(0, close.shape[1], HOUR):
        filled[:, start : start + HOUR] = close[:, min(start + HOUR, close.shape[1]) - 1, None]
    return {"hourly_close": close / filled - 1.0}


def revised_mood(market: MarketCut) -> dict[str, FloatArray]:
    """Mood readings by the day they are of, not by when they could be known: a revision filled backwards."""
    minutes = market.bars.shape[1]
    now = market.start_minute + MINUTE_MS * np.arange(1, minutes + 1)
    value = np.full(minutes, np.nan)
    for knowable, reading in market.sentiment:
        value[now >= knowable - HOUR * MINUTE_MS] = reading
    return {"mood": np.tile(value, (len(market.instruments), 1))}


def unpurged(horizon: int, folds: int = 2):
    """Folds that learn up to the minute before their test part: the last targets lie inside it."""

    def make(data: TrainingSet, minutes: int) -> tuple[Fold, ...]:
        return walk_forward(minutes, folds, purge=0, first=data.first)

    return make


class ScaledOnEverything(Ridge):
    """A member that takes its scale from the whole feature table it was handed, not from the samples it may learn
    from: the table also holds the minutes it will be judged on."""

    family = "scaled on everything"

    def fit(self, data: TrainingSet, seed: int = 0) -> dict[str, float]:
        notes = super().fit(data, seed)
        seen = data.features.reshape(-1, data.features.shape[2])
        self.mean, self.scale = standardiser(seen[np.isfinite(seen).all(axis=1)])
        return notes


class PeekingSelector:
    """Buys what opens higher in the next minute. It was given the whole market to 'look up prices' in."""

    def __init__(self, market: MarketCut, members: Sequence[str]) -> None:
        self._market = market
        self._honest = Selector(SelectionSettings(), WeightTable.equal(members), members)

    def choose(self, market: Market, events: Detected, votes: Votes) -> Intents:
        following = (market.minute - self._market.start_minute) // MINUTE_MS + 1
        said = self._honest.choose(market, events, votes)
        if following >= self._market.bars.shape[1]:
            return said
        rises = self._market.bars[:, following, OPEN] * 1.0001 > market.close
        return replace(said, target=np.where(rises, 1.0 / len(market.instruments), 0.0))
