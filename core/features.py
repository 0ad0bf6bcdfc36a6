"""The features models read: what each is, in which unit, over which look-back; and how a row of them is taken.

Every feature looks back over a finite number of bars and never forward, and is free of scale (doubling all prices,
or all volumes, changes none). A flat market or one without volume gives a defined value; NaN says that a look-back
is not whole or holds an unknown bar, and nothing else.

A model stores ``schema_hash()``; a model whose hash differs was trained on other features and must not be asked.
"""

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from core import kernels
from core.messages import BoolArray, FloatArray

WINDOW = 240
"""Minutes of bars the longest feature needs; ``Market.bars`` holds as many."""
SEQUENCE = 64
"""Minutes of features handed to models."""
HISTORY = WINDOW + SEQUENCE - 1
"""Bars a cache must be restored with, so that its first minute has a whole sequence of features."""
CODE_VERSION = 1
"""Raise it when the arithmetic of a feature changes; every stored model then asks to be trained anew."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One feature, for people and for the schema hash."""

    name: str
    unit: str
    lookback: int
    """Bars needed, this minute's included; 0 needs none."""
    doc: str
    source: str


_OWN = "own"

FEATURES: tuple[FeatureSpec, ...] = (
    *(
        FeatureSpec(f"ret_{n}", "log return", n + 1, f"log(close / close {n} min ago)", "definition")
        for n in (1, 5, 15, 30, 60, 120)
    ),
    *(
        FeatureSpec(
            f"rv_{n}",
            "log return per sqrt(minute)",
            n,
            f"root mean square of the 1-minute log returns between the last {n} bars",
            "realised variance, Andersen & Bollerslev 1998",
        )
        for n in (15, 60, 240)
    ),
    FeatureSpec("parkinson_60", "log return per sqrt(minute)", 60, "volatility from high and low", "Parkinson 1980"),
    FeatureSpec(
        "volume_z_60", "standard deviations", 60, "volume against its last hour; 0 when it does not vary", _OWN
    ),
    FeatureSpec("volume_trend", "-1..1", 60, "(mean volume of 15 min - of 60 min) / their sum; 0 without volume", _OWN),
    *(
        FeatureSpec(
            f"vwap_dist_{n}",
            "log",
            n,
            f"log(close / volume-weighted typical price of {n} min); 0 without volume",
            "VWAP",
        )
        for n in (30, 120)
    ),
    FeatureSpec(
        "rsi_14",
        "-1..1",
        15,
        "(gains - losses) / (gains + losses) of 14 changes: RSI/50 - 1 with plain sums (Cutler's form), because "
        "Wilder's smoothing never forgets and so has no finite look-back; 0 when flat",
        "Wilder 1978, plain sums after Cutler",
    ),
    FeatureSpec(
        "ema_gap",
        "log",
        kernels.SLOW_BARS,
        "log(EMA 12 / EMA 26), weights cut after four spans and made to sum to 1",
        "Appel's MACD, finite weights",
    ),
    FeatureSpec("bollinger_b_20", "1", 20, "%b: 0 at the lower band, 1 at the upper; 0.5 flat", "Bollinger"),
    FeatureSpec("atr_ratio", "1", 61, "mean true range of 14 bars over that of 60; 1 when flat", "Wilder 1978"),
    FeatureSpec("body", "-1..1", 1, "(close - open) / (high - low); 0 when flat", "candle shape"),
    FeatureSpec("upper_wick", "0..1", 1, "share of the range above the body; 0 when flat", "candle shape"),
    FeatureSpec("lower_wick", "0..1", 1, "share of the range below the body; 0 when flat", "candle shape"),
    FeatureSpec("up_volume_15", "-1..1", 15, "(volume of rising - of falling bars) / volume; 0 without volume", _OWN),
    FeatureSpec("range_pos_60", "0..1", 60, "close between the hour's low and high; 0.5 when flat", "Lane's %K"),
    FeatureSpec("autocorr_30", "-1..1", 31, "lag-one autocorrelation of 30 log returns; 0 when flat", "definition"),
    FeatureSpec("day_sin", "-1..1", 0, "sine of the minute of the UTC day", "cyclic encoding"),
    FeatureSpec("day_cos", "-1..1", 0, "cosine of the minute of the UTC day", "cyclic encoding"),
    FeatureSpec("filler_share_30", "0..1", 30, "share of the last 30 bars in which nothing traded", _OWN),
)
N_FEATURES = len(FEATURES)
FEATURE_NAMES: tuple[str, ...] = tuple(spec.name for spec in FEATURES)

_LOOKBACKS = np.array([spec.lookback for spec in FEATURES], dtype=np.float64)

if N_FEATURES != kernels.N_OUT or max(spec.lookback for spec in FEATURES) > WINDOW:
    raise RuntimeError("core/features.py and core/kernels.py disagree: count or longest look-back")


def schema_hash() -> str:
    """SHA-256 (hex) over names, units, look-backs, window lengths and the code version."""
    schema = {
        "code": CODE_VERSION,
        "window": WINDOW,
        "sequence": SEQUENCE,
        "features": [[spec.name, spec.unit, spec.lookback] for spec in FEATURES],
    }
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


def feature_row(bars: FloatArray, filler: BoolArray, minute: int) -> FloatArray:
    """(F,) features of ``minute``, the last of ``bars`` (W, 5) and ``filler`` (W,); NaN when W < WINDOW."""
    bars, filler = _plain(bars, filler)
    return kernels.row(bars[-WINDOW:], filler[-WINDOW:], minute, WINDOW, _LOOKBACKS)


def feature_table(bars: FloatArray, filler: BoolArray, first_minute: int) -> FloatArray:
    """(T, F) features of each minute of ``bars`` (T, 5), gap-filled; ``first_minute`` opens row 0.

    Row t equals ``feature_row`` of the window that ends at t, bit for bit: the same kernel takes both. Rows before
    WINDOW bars exist are NaN.
    """
    bars, filler = _plain(bars, filler)
    return kernels.table(bars, filler, first_minute, WINDOW, _LOOKBACKS)


def _plain(bars: FloatArray, filler: BoolArray) -> tuple[FloatArray, BoolArray]:
    """One memory layout for the kernels (contiguous, writeable), so that numba compiles them once."""
    if bars.ndim != 2 or bars.shape[1] != 5 or filler.shape != bars.shape[:1]:
        raise ValueError(f"want bars (T, 5) and filler (T,), got {bars.shape} and {filler.shape}")
    return np.require(bars, np.float64, ["C", "W"]), np.require(filler, np.bool_, ["C", "W"])
