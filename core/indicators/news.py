"""What headlines say of a coin and of the market, how much is written, and the funding rate.

A headline counts from ``NEWS_DELAY_MS`` after it could be known, whole when it was just published and half as much every
two hours, until it is a day old. The sum over minutes is taken item by item in the order in which they became known, so that one minute
alone has the very number of a table over years. None of this depends on bars, so it stands beside the block kernels.
"""

from collections.abc import Sequence

import numpy as np

from core.indicators.spec import FeatureSpec
from core.messages import FloatArray
from core.news import FUNDING_LASTS_MS, HEADLINE_LASTS_MS, NEWS_DELAY_MS, News
from core.units import MINUTE_MS, Instrument

HALF_LIFE_MINUTES = 120
_LASTS = HEADLINE_LASTS_MS // MINUTE_MS
_DECAY = 0.5 ** (np.arange(_LASTS) / HALF_LIFE_MINUTES)

SPECS: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        "news_score",
        "-1..1",
        0,
        "sum of w·score over sum of w + 1, of the headlines that name the coin; w halves every 120 min; 0 without any",
        "Hutto & Gilbert 2014 (VADER) with words of our own",
    ),
    FeatureSpec("news_attention", "log", 0, "log(1 + sum of w) of the headlines that name the coin", "own"),
    FeatureSpec("market_news_score", "-1..1", 0, "as news_score, of the headlines that name no coin", "as news_score"),
    FeatureSpec("market_news_attention", "log", 0, "log(1 + sum of w) of the headlines that name no coin", "own"),
    FeatureSpec("news_known", "0 or 1", 0, "mask: some headline of the last 24 hours is known", "mask"),
    FeatureSpec(
        "funding_rate",
        "bps",
        0,
        "funding rate of the coin's perpetual for one interval; 0 unknown",
        "the futures venue",
    ),
    FeatureSpec("funding_known", "0 or 1", 0, "mask: a funding rate not older than 12 hours is known", "mask"),
)
COUNT = len(SPECS)
(SCORE, ATTENTION, MARKET_SCORE, MARKET_ATTENTION, KNOWN, FUNDING, FUNDING_KNOWN) = range(COUNT)
_MARKET = ""
"""The base of what names no coin."""


def columns(news: News, instruments: Sequence[Instrument], first_minute: int, minutes: int) -> FloatArray:
    """(S, T, 7) the features of SPECS for the minutes from ``first_minute`` (epoch ms) on, in force at their closes."""
    out = np.zeros((len(instruments), minutes, COUNT))
    if not minutes or not news:
        return out
    weight = {base: np.zeros(minutes) for base in (_MARKET, *(i.base for i in instruments))}
    told = {base: np.zeros(minutes) for base in weight}
    heard = np.zeros(minutes, dtype=np.bool_)
    for one in news.headlines:
        start, age = _in_force_from(one.knowable_ms, first_minute), one.age_ms // MINUTE_MS
        first, end = max(start, 0), min(start + _LASTS - age, minutes)
        if first >= end:
            continue
        part, fading = slice(first, end), _DECAY[first - start + age : end - start + age]
        heard[part] = True
        for base in one.bases or (_MARKET,):
            if base in weight:
                weight[base][part] += fading
                told[base][part] += fading * one.score
    for row, instrument in enumerate(instruments):
        for base, score, attention in ((instrument.base, SCORE, ATTENTION), (_MARKET, MARKET_SCORE, MARKET_ATTENTION)):
            out[row, :, score] = told[base] / (weight[base] + 1.0)
            out[row, :, attention] = np.log1p(weight[base])
    out[:, :, KNOWN] = heard
    _fund(news, instruments, first_minute, out)
    return out


def _fund(news: News, instruments: Sequence[Instrument], first_minute: int, out: FloatArray) -> None:
    lasts, minutes = FUNDING_LASTS_MS // MINUTE_MS, out.shape[1]
    for row, instrument in enumerate(instruments):
        for rate in news.funding:
            start = _in_force_from(rate.knowable_ms, first_minute)
            if rate.base != instrument.base or start >= minutes or start + lasts <= 0:
                continue
            # A newer one replaces it from its own minute on; both last as long.
            part = slice(max(start, 0), max(start + lasts, 0))
            out[row, part, FUNDING] = rate.rate_bps
            out[row, part, FUNDING_KNOWN] = 1.0


def _in_force_from(knowable_ms: int, first_minute: int) -> int:
    """Index of the first minute whose close is not before ``knowable_ms`` and the delay."""
    return -((first_minute - knowable_ms - NEWS_DELAY_MS) // MINUTE_MS) - 1
