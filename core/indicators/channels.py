"""Where the price stands in its recent range: bands, channels, oscillators and clouds over finite windows."""

import math

from core.indicators.series import CLOSES, HIGHS, LOWS, TEMP, TRUE_RANGE, TYPICAL
from core.indicators.spec import FeatureSpec
from core.indicators.windows import window_age, window_comoment, window_extreme, window_sum
from core.lean import lean
from core.messages import FloatArray

SPECS: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        "bollinger_b_20",
        "1",
        20,
        "%b: 0 at the lower band (2 deviations), 1 at the upper; 0.5 flat",
        "Bollinger",
        "(close - lower) / (upper - lower) of BBANDS(20, 2, 2)",
    ),
    FeatureSpec(
        "bollinger_width_20",
        "fraction",
        20,
        "(upper - lower band) / their middle; 0 flat",
        "Bollinger",
        "(upper - lower) / middle of BBANDS(20, 2, 2)",
    ),
    FeatureSpec(
        "sma_gap",
        "fraction",
        60,
        "mean close of 20 min / of 60 min - 1",
        "moving-average cross",
        "SMA(20) / SMA(60) - 1",
    ),
    FeatureSpec(
        "slope_30",
        "fraction per minute",
        30,
        "slope of the least-squares line through 30 closes, over the close; 0 flat",
        "least squares",
        "LINEARREG_SLOPE(30) / close",
    ),
    FeatureSpec(
        "stoch_k_14",
        "0..1",
        16,
        "slow %K: mean of 3 of (close - low of 14) / (high - low of 14); 0.5 where flat",
        "Lane's stochastic",
        "slowk of STOCH(14, 3, SMA, 3, SMA) / 100; a flat range counts 0 there",
    ),
    FeatureSpec(
        "stoch_d_14",
        "0..1",
        18,
        "slow %D: mean of 3 slow %K; 0.5 where flat",
        "Lane's stochastic",
        "slowd of STOCH(14, 3, SMA, 3, SMA) / 100; a flat range counts 0 there",
    ),
    FeatureSpec(
        "range_pos_60",
        "0..1",
        60,
        "close between the hour's low and high; 0.5 flat",
        "Lane's %K",
        "1 + WILLR(60) / 100",
    ),
    FeatureSpec(
        "range_pos_240",
        "0..1",
        240,
        "close between the low and high of 4 h; 0.5 flat",
        "Lane's %K",
        "1 + WILLR(240) / 100",
    ),
    FeatureSpec(
        "donchian_20",
        "1",
        21,
        "close in the channel of the 20 bars before: -1 at its low, 1 at its high, beyond it a breakout; 0 flat",
        "Donchian",
        "from MAX(high, 20) and MIN(low, 20) one bar earlier",
    ),
    FeatureSpec(
        "cci_20",
        "1",
        20,
        "(typical price - its mean) / (0.015 mean absolute deviation) / 100 over 20 bars; 0 flat",
        "commodity channel index, Lambert 1980",
        "CCI(20) / 100",
    ),
    FeatureSpec(
        "aroon_25",
        "-1..1",
        26,
        "(bars since the low - bars since the high) / 25 over 26 bars",
        "Chande 1995",
        "AROONOSC(25) / 100",
    ),
    FeatureSpec(
        "atr_ratio",
        "1",
        61,
        "mean true range of 14 bars over that of 60, plain means; 1 when flat",
        "Wilder 1978",
        "SMA(14) / SMA(60) of TRANGE",
    ),
    FeatureSpec(
        "ichimoku_cross",
        "fraction",
        26,
        "(middle of the range of 9 bars - of 26 bars) / close: conversion less base line",
        "Hosoda's Ichimoku",
    ),
    FeatureSpec(
        "ichimoku_cloud",
        "fraction",
        78,
        "how far the close is above (below) the cloud, over the close; 0 inside it. The cloud of this minute lies between"
        " the middles of 9 and 26 bars (their mean) and of 52 bars, both as they were 26 minutes ago",
        "Hosoda's Ichimoku",
    ),
)
(
    BOLLINGER_B,
    BOLLINGER_WIDTH,
    SMA_GAP,
    SLOPE,
    STOCH_K,
    STOCH_D,
    RANGE_60,
    RANGE_240,
    DONCHIAN,
    CCI,
    AROON,
    ATR_RATIO,
    CROSS,
    CLOUD,
) = range(14)


def write(w: FloatArray, base: int) -> None:
    """Fill the rows of SPECS, from row ``base`` on."""
    window_sum(w, CLOSES, 20, TEMP)
    window_sum(w, CLOSES, 60, TEMP + 1)
    window_comoment(w, CLOSES, CLOSES, 20, TEMP + 2)
    window_sum(w, TRUE_RANGE, 14, TEMP + 3)
    window_sum(w, TRUE_RANGE, 60, TEMP + 4)
    _bands(w, base)
    _slope(w, base + SLOPE)
    window_sum(w, TYPICAL, 20, TEMP)
    _deviation(w, base + CCI)
    for length, to in ((60, base + RANGE_60), (240, base + RANGE_240), (14, TEMP + 2)):
        window_extreme(w, HIGHS, 1.0, length, TEMP)
        window_extreme(w, LOWS, -1.0, length, TEMP + 1)
        _place(w, to)
    window_sum(w, TEMP + 2, 3, base + STOCH_K)
    _third(w, base + STOCH_K)
    window_sum(w, base + STOCH_K, 3, base + STOCH_D)
    _third(w, base + STOCH_D)
    window_extreme(w, HIGHS, 1.0, 20, TEMP)
    window_extreme(w, LOWS, -1.0, 20, TEMP + 1)
    window_age(w, HIGHS, 1.0, 26, TEMP + 2)
    window_age(w, LOWS, -1.0, 26, TEMP + 3)
    _breaks(w, base)
    for k, length in enumerate((9, 26, 52)):
        window_extreme(w, HIGHS, 1.0, length, TEMP + k)
        window_extreme(w, LOWS, -1.0, length, TEMP + 3 + k)
    _cloud(w, base)


@lean
def _bands(w: FloatArray, base: int) -> None:
    n = w.shape[1]
    close, short, long, moment, brief, wide = w[CLOSES], w[TEMP], w[TEMP + 1], w[TEMP + 2], w[TEMP + 3], w[TEMP + 4]
    place, width, gap, ratio = w[base + BOLLINGER_B], w[base + BOLLINGER_WIDTH], w[base + SMA_GAP], w[base + ATR_RATIO]
    for t in range(n):
        middle = short[t] / 20.0
        deviation = math.sqrt(moment[t] / 20.0)
        place[t] = 0.5 + (close[t] - middle) / (4.0 * deviation) if deviation > 0.0 else 0.5
        width[t] = 4.0 * deviation / middle
        gap[t] = 3.0 * short[t] / long[t] - 1.0
        ratio[t] = brief[t] / 14.0 / (wide[t] / 60.0) if wide[t] > 0.0 else 1.0


@lean
def _slope(w: FloatArray, to: int) -> None:
    """Sum of (k - mean k) x over sum of (k - mean k)^2, in pairs from both ends, so that a flat line gives 0."""
    n = w.shape[1]
    close, slope = w[CLOSES], w[to]
    m = max(n - 29, 0)
    tail = slope[29:]
    for t in range(n):
        slope[t] = 0.0
    for k in range(15):
        newer, older = close[29 - k :], close[k:]
        for t in range(m):
            tail[t] = tail[t] + (14.5 - k) * (newer[t] - older[t])
    for t in range(n):
        slope[t] = slope[t] / 2247.5 / close[t]


@lean
def _deviation(w: FloatArray, to: int) -> None:
    """Commodity channel index, from the sum of 20 typical prices in TEMP."""
    n = w.shape[1]
    typical, middle, spread, cci = w[TYPICAL], w[TEMP], w[TEMP + 1], w[to]
    for t in range(n):
        middle[t] = middle[t] / 20.0
        spread[t] = 0.0
    m = max(n - 19, 0)
    mean, total = middle[19:], spread[19:]
    for k in range(20):
        value = typical[k:]
        for t in range(m):
            total[t] = total[t] + abs(value[t] - mean[t])
    for t in range(n):
        # A mean of 20 equal prices may differ from them in the last digit: that is no deviation.
        moved = spread[t] > 20.0 * 1e-12 * middle[t]
        cci[t] = (typical[t] - middle[t]) / (0.015 * spread[t] / 20.0) / 100.0 if moved else 0.0


@lean
def _place(w: FloatArray, to: int) -> None:
    """Close between a low (TEMP + 1: 0) and a high (TEMP: 1); 0.5 where they are equal."""
    n = w.shape[1]
    close, high, low, out = w[CLOSES], w[TEMP], w[TEMP + 1], w[to]
    for t in range(n):
        height = high[t] - low[t]
        out[t] = (close[t] - low[t]) / height if height > 0.0 else 0.5


@lean
def _third(w: FloatArray, row: int) -> None:
    series = w[row]
    for t in range(w.shape[1]):
        series[t] = series[t] / 3.0


@lean
def _breaks(w: FloatArray, base: int) -> None:
    """The close in the channel of the bars before (TEMP, TEMP + 1), and the ages of high and low (TEMP + 2, + 3)."""
    n = w.shape[1]
    high, low, since_high, since_low = w[TEMP], w[TEMP + 1], w[TEMP + 2], w[TEMP + 3]
    close, donchian, aroon = w[CLOSES], w[base + DONCHIAN], w[base + AROON]
    top, bottom = math.nan, math.nan
    for t in range(n):
        height = top - bottom
        donchian[t] = ((close[t] - bottom) - (top - close[t])) / height if height > 0.0 else 0.0
        top, bottom = high[t], low[t]
        aroon[t] = (since_low[t] - since_high[t]) / 25.0


@lean
def _cloud(w: FloatArray, base: int) -> None:
    """From highs (TEMP, + 1, + 2) and lows (+ 3, + 4, + 5) of 9, 26 and 52 bars."""
    n = w.shape[1]
    close, cross, cloud = w[CLOSES], w[base + CROSS], w[base + CLOUD]
    high_9, high_26, high_52 = w[TEMP], w[TEMP + 1], w[TEMP + 2]
    low_9, low_26, low_52 = w[TEMP + 3], w[TEMP + 4], w[TEMP + 5]
    for t in range(n):
        line = (high_26[t] + low_26[t]) / 2.0
        cross[t] = ((high_9[t] + low_9[t]) / 2.0 - line) / close[t]
        if t < 26:
            cloud[t] = math.nan
            continue
        at = t - 26
        one = ((high_9[at] + low_9[at]) / 2.0 + (high_26[at] + low_26[at]) / 2.0) / 2.0
        two = (high_52[at] + low_52[at]) / 2.0
        top = one if one > two else two
        bottom = two if one > two else one
        over = (close[t] - top) / close[t] if close[t] > top else 0.0
        cloud[t] = (close[t] - bottom) / close[t] if close[t] < bottom else over
