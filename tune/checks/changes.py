"""Other futures: the same market up to a cut, and something else after it.

A cut is a minute index: bars before it are the past and stay as they are, what comes from it on is changed. Mood
readings and news that become knowable after the past's last close are of the future too. The same seed makes the same
future.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from core.messages import CLOSE, VOLUME, FloatArray
from core.news import FundingRate, Headline, News
from core.units import MINUTE_MS
from data.market import MarketCut

LEVEL = 0.3
"""Prices after a shock start this far away (standard deviation of the log), so that no level stays what it was."""
STEP = 0.01
"""Their one-minute moves: several times any market's."""
VOLUME_SPREAD = 2.0
HALTED = 0.5
"""Share of the minutes that a halt takes out of each instrument; the first instrument never trades again."""
APPENDED = 64
"""Minutes that ``append`` adds."""

Change = Callable[[MarketCut, int, int], MarketCut]
"""(market, cut, seed) → the market with another future."""


def minutes_of(market: MarketCut) -> int:
    """T, the bars there are, history included."""
    return market.bars.shape[1]


def history_of(market: MarketCut) -> int:
    """Bars before the first minute to decide."""
    return (market.first_minute - market.start_minute) // MINUTE_MS


def truncate(market: MarketCut, cut: int, seed: int) -> MarketCut:
    """Nothing after the cut."""
    return _of(market, market.bars[:, :cut], _known(market, cut), market.news.between(0, _now(market, cut)))


def shock(market: MarketCut, cut: int, seed: int) -> MarketCut:
    """Wild noise at other prices and volumes after the cut, and another mood."""
    bars = np.array(market.bars)
    bars[:, cut:] = _noise(market, cut, bars.shape[1] - cut, seed)
    return _of(market, bars, _other_mood(market, cut, seed), _other_news(market, cut, seed))


def halt(market: MarketCut, cut: int, seed: int) -> MarketCut:
    """As ``shock``, but in half of the minutes no bar or no volume, and the first instrument delisted."""
    changed = shock(market, cut, seed)
    bars = np.array(changed.bars)
    future = bars[:, cut:]
    chance = np.random.default_rng([seed, cut, 2]).random(future.shape[:2])
    still = chance < HALTED / 2
    future[still, :CLOSE] = future[still, CLOSE, None]
    future[still, VOLUME] = 0.0
    future[(chance >= HALTED / 2) & (chance < HALTED)] = np.nan
    future[0] = np.nan
    return _of(market, bars, changed.sentiment, changed.news)


def append(market: MarketCut, cut: int, seed: int) -> MarketCut:
    """The whole market and more minutes after it; the cut is its end."""
    more = _noise(market, minutes_of(market), APPENDED, seed)
    end = minutes_of(market)
    mood, news = _other_mood(market, end, seed), _other_news(market, end, seed)
    return _of(market, np.concatenate([market.bars, more], axis=1), mood, news)


def one_bar(market: MarketCut, index: int, seed: int) -> MarketCut:
    """Only the bar at ``index`` is another one; before and after all stays."""
    bars = np.array(market.bars)
    bars[:, index] = _noise(market, index, 1, seed)[:, 0]
    return _of(market, bars, market.sentiment, market.news)


def past_changed(market: MarketCut, start: int, seed: int) -> MarketCut:
    """The mirror image: another past before ``start``, with quiet minutes in it, and the same bars from there on."""
    bars = np.array(market.bars)
    bars[:, :start] = _noise(market, 0, start, seed)
    still = np.random.default_rng([seed, start, 4]).random(bars[:, :start].shape[:2]) < HALTED / 2
    bars[:, :start][still, VOLUME] = 0.0
    return replace(market, bars=bars)


CHANGES: dict[str, Change] = {"truncated": truncate, "shocked": shock, "halted": halt, "appended": append}
SAME_LENGTH = ("shocked", "halted")
"""For subjects whose answers are laid out by how long the market is, such as folds."""


def _noise(market: MarketCut, cut: int, count: int, seed: int) -> FloatArray:
    """(S, count, 5) sound bars, unlike the ones they take the place of."""
    rng = np.random.default_rng([seed, cut, 1])
    rows = len(market.instruments)
    price, volume = np.ones((rows, 1)), np.ones((rows, 1))
    for row in range(rows):
        past = market.bars[row, : cut or None]
        known = np.flatnonzero(np.isfinite(past[:, CLOSE]))
        if known.size:
            price[row], volume[row] = past[known[-1], CLOSE], max(float(np.nanmean(past[:, VOLUME])), 1e-9)
    start = price * np.exp(rng.normal(0.0, LEVEL, (rows, 1)))
    close = start * np.exp(np.cumsum(rng.normal(0.0, STEP, (rows, count)), axis=1))
    opened = np.concatenate([start, close[:, :-1]], axis=1)
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0.0, STEP, (rows, count))))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0.0, STEP, (rows, count))))
    traded = volume * np.exp(rng.normal(0.0, VOLUME_SPREAD, (rows, count)))
    return np.stack([opened, high, low, close, traded], axis=2)


def _of(market: MarketCut, bars: FloatArray, mood: tuple[tuple[int, float], ...], news: News) -> MarketCut:
    minutes = max(0, bars.shape[1] - history_of(market))
    return replace(market, bars=bars, minutes=minutes, sentiment=mood, news=news)


def _now(market: MarketCut, cut: int) -> int:
    """The close of the bar before the cut."""
    return market.start_minute + cut * MINUTE_MS


def _known(market: MarketCut, cut: int) -> tuple[tuple[int, float], ...]:
    """Readings that the decision at the close of the bar before the cut may know."""
    now = _now(market, cut)
    return tuple((ms, value) for ms, value in market.sentiment if ms <= now)


def _other_mood(market: MarketCut, cut: int, seed: int) -> tuple[tuple[int, float], ...]:
    known = _known(market, cut)
    rng = np.random.default_rng([seed, cut, 3])
    later = tuple((ms, float(rng.integers(0, 101))) for ms, _ in market.sentiment[len(known) :])
    now = _now(market, cut)
    return (*known, *later) if later else (*known, (now + MINUTE_MS, float(rng.integers(0, 101))))


def _other_news(market: MarketCut, cut: int, seed: int) -> News:
    """What was known stays; a moment after the close there is loud news of every coin, and other funding rates."""
    rng = np.random.default_rng([seed, cut, 5])
    now, bases = _now(market, cut), tuple(sorted({i.base for i in market.instruments}))
    known = market.news.between(0, now)
    loud = [
        Headline(knowable_ms=now + 1, key=f"other-{k}", source="check", title="", bases=about, score=rng.uniform(-1, 1))
        for k, about in enumerate((bases, (), bases[:1]))
    ]
    rates = [FundingRate(knowable_ms=now + 1, base=base, rate_bps=float(rng.normal(0.0, 20.0))) for base in bases]
    return News.of((*known.headlines, *loud), (*known.funding, *rates))
