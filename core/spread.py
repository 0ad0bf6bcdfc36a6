"""The bid-ask spread, estimated from bars: EDGE.

Source: Ardia, Guidotti & Kroencke (2024), "Efficient Estimation of Bid-Ask Spreads from Open, High, Low, and Close
Prices", Journal of Financial Economics 161, 103916. Its estimate is a ratio of means of products of log returns, so
it is kept here as ``MOMENTS`` sums over pairs of neighbouring bars: sums of hours add up to the sums of a day, and a
day's estimate costs no second look at its bars. Held to the authors' own package by a test.

An estimate over a day of a market whose spread is far below its minutes' noise is mostly that noise, and its root
errs on the dear side: half a spread of 0.02 bps for BTC/USDT and 0.07 for ETH/USDT in 2025, where recorded books show
0.003 and 0.019. Where every bar opens at the close before it (made-up markets do), there is no spread to be seen.
"""

import math

import numpy as np

from core.lean import lean, pasted
from core.messages import CLOSE, HIGH, LOW, OPEN, FloatArray

MOMENTS = 34
"""Sums that ``add_pair`` keeps. The first is the number of pairs."""
LEAST_TRADED = 2
"""Pairs in which something traded, below which there is no estimate."""


@lean
def add_pair(bars: FloatArray, k: int, sums: FloatArray) -> None:
    """Add bar ``k`` of one instrument's ``bars`` (T, 5), and its pair with the bar before, to ``sums`` (MOMENTS,).

    A bar that is NaN, or not positive, adds nothing; a pair needs both bars.
    """
    add_pairs(bars, k, k + 1, sums)


@lean
def add_pairs(bars: FloatArray, first: int, end: int, sums: FloatArray) -> None:
    """``add_pair`` of the bars [first, end), in the order of time; each bar's logarithms are taken once."""
    known = 0 < first <= bars.shape[0] and bars[first - 1, LOW] > 0.0
    h1 = low1 = c1 = 0.0
    if known:
        h1, low1, c1 = math.log(bars[first - 1, HIGH]), math.log(bars[first - 1, LOW]), math.log(bars[first - 1, CLOSE])
    for k in range(first, end):
        if not bars[k, LOW] > 0.0:
            known = False
            continue
        o, h, low, c = (
            math.log(bars[k, OPEN]),
            math.log(bars[k, HIGH]),
            math.log(bars[k, LOW]),
            math.log(bars[k, CLOSE]),
        )
        if k > 0:
            r1 = (h + low) / 2.0 - o
            sums[1] += 1.0
            sums[2] += r1
            if known:
                _add(bars, k, o, r1, h1, low1, c1, (h + low) / 2.0, sums)
        known, h1, low1, c1 = True, h, low, c


@pasted
def _add(
    bars: FloatArray, k: int, o: float, r1: float, h1: float, low1: float, c1: float, m: float, sums: FloatArray
) -> None:
    """The moments of one pair; logarithms of this bar's open and middle, and of the bar before."""
    m1 = (h1 + low1) / 2.0
    r2, r3, r4, r5 = o - m1, m - c1, c1 - m1, o - c1
    traded = 1.0 if bars[k, HIGH] != bars[k, LOW] or bars[k, LOW] != bars[k - 1, CLOSE] else 0.0
    opens = (1.0 if bars[k, OPEN] != bars[k, HIGH] else 0.0) + (1.0 if bars[k, OPEN] != bars[k, LOW] else 0.0)
    closes = (1.0 if bars[k - 1, CLOSE] != bars[k - 1, HIGH] else 0.0) + (
        1.0 if bars[k - 1, CLOSE] != bars[k - 1, LOW] else 0.0
    )
    sums[0] += 1.0
    sums[3] += r3
    sums[4] += r5
    sums[5] += traded
    sums[6] += traded * opens
    sums[7] += traded * closes
    # Of the two estimators' means.
    sums[8] += r1 * r2
    sums[9] += traded * r2
    sums[10] += r3 * r4
    sums[11] += traded * r4
    sums[12] += r1 * r5
    sums[13] += traded * r5
    sums[14] += r5 * r4
    # Of the first one's mean square.
    sums[15] += r1 * r1 * r2 * r2
    sums[16] += traded * r1 * r2 * r2
    sums[17] += traded * r2 * r2
    sums[18] += r1 * r2 * r3 * r4
    sums[19] += traded * r1 * r2 * r4
    sums[20] += traded * r3 * r2 * r4
    sums[21] += traded * r2 * r4
    sums[22] += r3 * r3 * r4 * r4
    sums[23] += traded * r3 * r4 * r4
    sums[24] += traded * r4 * r4
    # Of the second one's.
    sums[25] += r1 * r1 * r5 * r5
    sums[26] += traded * r1 * r5 * r5
    sums[27] += traded * r5 * r5
    sums[28] += r1 * r5 * r5 * r4
    sums[29] += traded * r1 * r5 * r4
    sums[30] += traded * r5 * r5 * r4
    sums[31] += traded * r5 * r4
    sums[32] += r5 * r5 * r4 * r4
    sums[33] += traded * r5 * r4 * r4


@lean
def edge_of(sums: FloatArray) -> float:
    """The spread, as a share of the price, from sums of ``add_pair``; NaN when prices hardly moved.

    The root of the estimated square; of its size where chance made it negative, as the authors' package does.
    """
    pairs = sums[0]
    if pairs < 1.0 or sums[5] < LEAST_TRADED or sums[6] == 0.0 or sums[7] == 0.0:
        return math.nan
    pt = sums[5] / pairs
    p, q = -4.0 / (sums[6] / pairs), -4.0 / (sums[7] / pairs)
    # What is taken off each return where something traded, so that its mean is zero.
    a, b, c = sums[2] / sums[1] / pt, sums[3] / pairs / pt, sums[4] / pairs / pt
    e1 = (p * (sums[8] - a * sums[9]) + q * (sums[10] - b * sums[11])) / pairs
    e2 = (p * (sums[12] - a * sums[13]) + q * (sums[14] - c * sums[11])) / pairs
    square1 = (
        p * p * (sums[15] - 2.0 * a * sums[16] + a * a * sums[17])
        + 2.0 * p * q * (sums[18] - b * sums[19] - a * sums[20] + a * b * sums[21])
        + q * q * (sums[22] - 2.0 * b * sums[23] + b * b * sums[24])
    ) / pairs
    square2 = (
        p * p * (sums[25] - 2.0 * a * sums[26] + a * a * sums[27])
        + 2.0 * p * q * (sums[28] - c * sums[29] - a * sums[30] + a * c * sums[31])
        + q * q * (sums[32] - 2.0 * c * sums[33] + c * c * sums[24])
    ) / pairs
    v1, v2 = square1 - e1 * e1, square2 - e2 * e2
    total = v1 + v2
    square = (v2 * e1 + v1 * e2) / total if total > 0.0 else (e1 + e2) / 2.0
    return math.sqrt(abs(square))


def edge(bars: FloatArray) -> float:
    """The spread of one instrument over ``bars`` (T, 5), as a share of the price (0.01 = 1 %); NaN below 3 bars."""
    if bars.shape[0] < 3:
        return math.nan
    sums = np.zeros(MOMENTS)
    for k in range(1, bars.shape[0]):
        add_pair(bars, k, sums)
    return edge_of(sums)
