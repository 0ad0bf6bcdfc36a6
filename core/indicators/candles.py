"""The shape of the newest candle."""

import math

from core.indicators.series import CLOSES, HIGHS, LOWS, OPENS, TEMP, TRUE_RANGE
from core.indicators.spec import FeatureSpec
from core.indicators.windows import window_sum
from core.lean import lean
from core.messages import FloatArray

SPECS: tuple[FeatureSpec, ...] = (
    FeatureSpec("body", "-1..1", 1, "(close - open) / (high - low); 0 when flat", "candle shape", "BOP"),
    FeatureSpec("upper_wick", "0..1", 1, "share of the range above the body; 0 when flat", "candle shape"),
    FeatureSpec("lower_wick", "0..1", 1, "share of the range below the body; 0 when flat", "candle shape"),
    FeatureSpec(
        "engulfing",
        "-1..1",
        2,
        "the body covers that of the bar before, of the other colour: 1 rising, -1 falling, 0.8 of it when one end "
        "only touches; else 0",
        "Nison 1991",
        "CDLENGULFING / 100",
    ),
    FeatureSpec(
        "bar_size", "1", 61, "true range over its mean of 60 bars; 1 when flat", "own", "TRANGE / SMA(60) of it"
    ),
)
(_BODY, UPPER, LOWER, ENGULFING, SIZE) = range(5)


def write(w: FloatArray, base: int) -> None:
    """Fill the rows of SPECS, from row ``base`` on."""
    window_sum(w, TRUE_RANGE, 60, TEMP)
    _shapes(w, base)


@lean
def _shapes(w: FloatArray, base: int) -> None:
    n = w.shape[1]
    opened, high, low, close, true_range, usual = w[OPENS], w[HIGHS], w[LOWS], w[CLOSES], w[TRUE_RANGE], w[TEMP]
    body, upper, lower, engulfing, size = w[base], w[base + UPPER], w[base + LOWER], w[base + ENGULFING], w[base + SIZE]
    old_open, old_close = math.nan, math.nan
    for t in range(n):
        # Read before anything is chosen (``core.indicators.windows``).
        new_open, new_close, new_high, new_low = opened[t], close[t], high[t], low[t]
        wide, total = true_range[t], usual[t]
        height = new_high - new_low
        top = new_open if new_open > new_close else new_close
        bottom = new_close if new_open > new_close else new_open
        body[t] = (new_close - new_open) / height if height > 0.0 else 0.0
        upper[t] = (new_high - top) / height if height > 0.0 else 0.0
        lower[t] = (bottom - new_low) / height if height > 0.0 else 0.0
        size[t] = wide / (total / 60.0) if total > 0.0 else 1.0
        rising = new_close >= new_open
        sign = 1.0 if rising else -1.0
        other = (old_close >= old_open) != rising
        beyond = sign * (new_close - old_open)
        behind = sign * (old_close - new_open)
        covers = other and beyond >= 0.0 and behind >= 0.0 and (beyond > 0.0 or behind > 0.0)
        whole = 1.0 if beyond > 0.0 and behind > 0.0 else 0.8
        engulfing[t] = sign * whole if covers else 0.0
        old_open, old_close = new_open, new_close
