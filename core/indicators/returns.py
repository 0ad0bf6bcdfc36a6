"""Returns over several horizons, and how they scatter: volatilities, their asymmetry and their jumps."""

import math

from core.indicators.series import FLAT_RETURN, HIGHS, LOG, LOWS, OPENS, RET, TEMP, difference
from core.indicators.spec import FeatureSpec
from core.indicators.windows import window_sum
from core.lean import lean
from core.messages import FloatArray

HORIZONS = (1, 5, 15, 30, 60, 120, 240)
_PER_MINUTE = "log return per sqrt(minute)"
_RANGE_SOURCE = "Garman & Klass 1980, their practical estimator"

SPECS: tuple[FeatureSpec, ...] = (
    *(
        FeatureSpec(
            f"ret_{n}", "log return", n + 1, f"log(close / close {n} min ago)", "definition", f"log(1 + ROCP({n}))"
        )
        for n in HORIZONS
    ),
    *(
        FeatureSpec(
            f"rv_{n}",
            _PER_MINUTE,
            n,
            f"root mean square of the 1-minute log returns between the last {n} bars; 0 when flat",
            "realised variance, Andersen & Bollerslev 1998",
            "none: VAR and STDDEV take the mean out, which over minutes is noise",
        )
        for n in (15, 60, 240)
    ),
    FeatureSpec("parkinson_60", _PER_MINUTE, 60, "volatility from high and low; 0 when flat", "Parkinson 1980"),
    FeatureSpec(
        "garman_klass_60", _PER_MINUTE, 60, "volatility from open, high, low and close; 0 when flat", _RANGE_SOURCE
    ),
    FeatureSpec(
        "rogers_satchell_60",
        _PER_MINUTE,
        60,
        "volatility from open, high, low and close that a drift does not bias; 0 when flat",
        "Rogers & Satchell 1991",
    ),
    FeatureSpec(
        "downside_60",
        "0..1",
        61,
        "share of falling minutes in the realised variance of 60 returns; 0.5 when flat",
        "realised semivariance, Barndorff-Nielsen, Kinnebrock & Shephard 2010",
    ),
    FeatureSpec(
        "skew_60",
        "1",
        61,
        "skewness of 60 returns: sqrt(n) sum(r^3) / sum(r^2)^1.5; 0 when flat",
        "realised skewness, Amaya, Christoffersen, Jacobs & Vasquez 2015",
    ),
    FeatureSpec(
        "jump_60",
        "0..1",
        62,
        "share of jumps in the realised variance of 60 returns: 1 - bipower / realised variance, not below 0; 0 flat",
        "bipower variation, Barndorff-Nielsen & Shephard 2004",
    ),
    FeatureSpec(
        "autocorr_30",
        "-1..1",
        31,
        "sum(r_t r_t-1) / sum(r_t^2) over 30 log returns: continuation above, reversal below 0; 0 when flat",
        "lag-one autocorrelation about a mean of zero",
        "none: CORREL of the shifted series takes means out",
    ),
)
(PARKINSON, GARMAN_KLASS, ROGERS_SATCHELL, DOWNSIDE, SKEW, JUMP, AUTOCORR) = range(
    len(HORIZONS) + 3, len(HORIZONS) + 10
)

_A_PARKINSON = 1.0 / (4.0 * math.log(2.0))
_A_GARMAN = 2.0 * math.log(2.0) - 1.0


def write(w: FloatArray, base: int) -> None:
    """Fill the rows of SPECS, from row ``base`` on."""
    for k, minutes in enumerate(HORIZONS):
        difference(w, LOG, minutes, base + k)
    _powers(w)
    volatility = base + len(HORIZONS)
    window_sum(w, TEMP, 14, volatility)
    window_sum(w, TEMP, 59, volatility + 1)
    window_sum(w, TEMP, 239, volatility + 2)
    window_sum(w, TEMP, 60, TEMP + 5)
    window_sum(w, TEMP, 30, TEMP + 6)
    window_sum(w, TEMP + 1, 60, base + DOWNSIDE)
    window_sum(w, TEMP + 2, 60, base + SKEW)
    window_sum(w, TEMP + 3, 60, base + JUMP)
    window_sum(w, TEMP + 4, 29, base + AUTOCORR)
    _ratios(w, base)
    _ranges(w)
    window_sum(w, TEMP, 60, base + PARKINSON)
    window_sum(w, TEMP + 1, 60, base + GARMAN_KLASS)
    window_sum(w, TEMP + 2, 60, base + ROGERS_SATCHELL)
    _roots(w, base)


@lean
def _powers(w: FloatArray) -> None:
    """Squares (TEMP), falling squares, cubes, and products of neighbours without and with their sign."""
    n = w.shape[1]
    ret = w[RET]
    square, down, cube, pair, signed = w[TEMP], w[TEMP + 1], w[TEMP + 2], w[TEMP + 3], w[TEMP + 4]
    before = math.nan
    for t in range(n):
        now = ret[t]
        square[t] = now * now
        down[t] = now * now if now < 0.0 else 0.0
        cube[t] = now * now * now
        signed[t] = now * before
        pair[t] = abs(now) * abs(before)
        before = now


@lean
def _ratios(w: FloatArray, base: int) -> None:
    n = w.shape[1]
    at = base + len(HORIZONS)
    rv_15, rv_60, rv_240, hour, half = w[at], w[at + 1], w[at + 2], w[TEMP + 5], w[TEMP + 6]
    downside, skew, jump, autocorr = w[base + DOWNSIDE], w[base + SKEW], w[base + JUMP], w[base + AUTOCORR]
    for t in range(n):
        rv_15[t] = math.sqrt(rv_15[t] / 14.0)
        rv_60[t] = math.sqrt(rv_60[t] / 59.0)
        rv_240[t] = math.sqrt(rv_240[t] / 239.0)
        # Read before anything is chosen (``core.indicators.windows``).
        total, total_30, down, cubes = hour[t], half[t], downside[t], skew[t]
        pairs, signed = jump[t], autocorr[t]
        moved = total > 60.0 * FLAT_RETURN * FLAT_RETURN
        downside[t] = down / total if moved else 0.5
        skew[t] = math.sqrt(60.0) * cubes / (total * math.sqrt(total)) if moved else 0.0
        share = 1.0 - 0.5 * math.pi * pairs / total if moved else 0.0
        jump[t] = share if share > 0.0 else 0.0
        autocorr[t] = signed / total_30 if total_30 > 30.0 * FLAT_RETURN * FLAT_RETURN else 0.0


@lean
def _ranges(w: FloatArray) -> None:
    """What one bar's range says about variance, after Parkinson (TEMP), Garman & Klass, Rogers & Satchell."""
    n = w.shape[1]
    a, b, c = w[TEMP], w[TEMP + 1], w[TEMP + 2]
    log_close, opened, high, low = w[LOG], w[OPENS], w[HIGHS], w[LOWS]
    for t in range(n):
        if not math.isnan(log_close[t]):
            log_open = math.log(opened[t])
            up = math.log(high[t])
            down = math.log(low[t])
            close = log_close[t]
            height = up - down
            body = close - log_open
            a[t] = height * height
            b[t] = 0.5 * height * height - _A_GARMAN * body * body
            c[t] = (up - close) * (up - log_open) + (down - close) * (down - log_open)
        else:
            a[t] = math.nan
            b[t] = math.nan
            c[t] = math.nan


@lean
def _roots(w: FloatArray, base: int) -> None:
    n = w.shape[1]
    parkinson, garman, rogers = w[base + PARKINSON], w[base + GARMAN_KLASS], w[base + ROGERS_SATCHELL]
    for t in range(n):
        parkinson[t] = math.sqrt(parkinson[t] / 60.0 * _A_PARKINSON)
        # A bar whose open or close lies outside its range can make these sums negative.
        garman[t] = math.sqrt((garman[t] if garman[t] > 0.0 else 0.0) / 60.0)
        rogers[t] = math.sqrt((rogers[t] if rogers[t] > 0.0 else 0.0) / 60.0)
