"""What does not come from the instrument's prices: the time, the mood, another venue's price, and which minutes are stand-ins.

The clock's table is (6, minutes of a week), computed once, so that compiled and uncompiled code read the same numbers.
"""

import math

import numpy as np

from core.indicators.series import FILLER, MOOD, PREMIUM, TEMP
from core.indicators.spec import FeatureSpec
from core.indicators.windows import window_sum
from core.lean import lean
from core.messages import FloatArray

WEEK_MINUTES = 7 * 1_440
_MONDAY = 3 * 1_440
"""1970-01-01 was a Thursday: so many minutes after a Monday."""


def _cycle(name: str, what: str) -> tuple[FeatureSpec, FeatureSpec]:
    return (
        FeatureSpec(f"{name}_sin", "-1..1", 0, f"sine of the minute of the {what}", "cyclic encoding"),
        FeatureSpec(f"{name}_cos", "-1..1", 0, f"cosine of the minute of the {what}", "cyclic encoding"),
    )


SPECS: tuple[FeatureSpec, ...] = (
    *_cycle("hour", "hour"),
    *_cycle("day", "UTC day"),
    *_cycle("week", "UTC week (from Monday)"),
    FeatureSpec(
        "fear_greed", "-1..1", 0, "the mood index known at this minute: value / 50 - 1; 0 unknown", "alternative.me"
    ),
    FeatureSpec("fear_greed_known", "0 or 1", 0, "mask: a mood index not older than two days is known", "mask"),
    FeatureSpec(
        "premium",
        "log",
        1,
        "log(own price / the other venue's price of the same coin), both in one currency: the kimchi premium between won "
        "and dollar, the funding-free basis between equal quotes; 0 unknown",
        "Choi, Lehar & Stauffer 2018 (the kimchi premium)",
    ),
    FeatureSpec("premium_gap_60", "log", 60, "premium less its mean of 60 min; 0 where one of them is unknown", "own"),
    FeatureSpec("premium_known", "0..1", 60, "mask: share of the last 60 min in which the premium is known", "mask"),
    FeatureSpec("is_filler", "0 or 1", 1, "mask: nothing traded this minute, the bar repeats the last close", "mask"),
    FeatureSpec("filler_share_30", "0..1", 30, "share of the last 30 bars in which nothing traded", "mask"),
)
(FEAR_GREED, FEAR_GREED_KNOWN, PREMIUM_NOW, PREMIUM_GAP, PREMIUM_KNOWN, IS_FILLER, FILLER_SHARE) = range(6, 13)


def clock_table() -> FloatArray:
    """(6, WEEK_MINUTES): sine and cosine of hour, day and week, by minute of the week from Thursday 00:00 UTC on."""
    minutes = range(WEEK_MINUTES)
    rows = []
    for period, shift in ((60, 0), (1_440, 0), (WEEK_MINUTES, _MONDAY)):
        angles = [2.0 * math.pi * ((m + shift) % period) / period for m in minutes]
        rows += [[math.sin(angle) for angle in angles], [math.cos(angle) for angle in angles]]
    return np.array(rows)


def write(w: FloatArray, base: int) -> None:
    """Fill the rows of SPECS that are not equal for all instruments, ``base`` being the first of SPECS."""
    _copy(w, base)
    window_sum(w, FILLER, 30, base + FILLER_SHARE)
    window_sum(w, TEMP, 60, base + PREMIUM_KNOWN)
    window_sum(w, base + PREMIUM_NOW, 60, base + PREMIUM_GAP)
    _scale(w, base)


@lean
def write_shared(w: FloatArray, base: int, first_minute: int, clock: FloatArray) -> None:
    """Fill the others of SPECS: the clock and the mood. ``first_minute`` counts minutes since the epoch."""
    at = first_minute % WEEK_MINUTES
    mood, fear, fear_known = w[MOOD], w[base + FEAR_GREED], w[base + FEAR_GREED_KNOWN]
    for t in range(w.shape[1]):
        for k in range(6):
            w[base + k, t] = clock[k, at]
        at = at + 1 if at + 1 < WEEK_MINUTES else 0
        heard = not math.isnan(mood[t])
        fear[t] = mood[t] / 50.0 - 1.0 if heard else 0.0
        fear_known[t] = 1.0 if heard else 0.0


@lean
def _copy(w: FloatArray, base: int) -> None:
    """Values with their masks; whether the premium is known goes into TEMP too."""
    premium, have, filler, is_filler, now = w[PREMIUM], w[TEMP], w[FILLER], w[base + IS_FILLER], w[base + PREMIUM_NOW]
    for t in range(w.shape[1]):
        seen = not math.isnan(premium[t])
        now[t] = premium[t] if seen else 0.0
        have[t] = 1.0 if seen else 0.0
        is_filler[t] = filler[t]


@lean
def _scale(w: FloatArray, base: int) -> None:
    """Sums to shares; the premium's sum of 60 minutes to its distance from their mean."""
    n = w.shape[1]
    now, gap, known, share = (
        w[base + PREMIUM_NOW],
        w[base + PREMIUM_GAP],
        w[base + PREMIUM_KNOWN],
        w[base + FILLER_SHARE],
    )
    for t in range(n):
        share[t] = share[t] / 30.0
        gap[t] = now[t] - gap[t] / 60.0 if known[t] == 60.0 else 0.0
        known[t] = known[t] / 60.0
