"""The features models read: their registry, and how they are taken, over history and for the live minute.

What each is stands beside its arithmetic, in ``core.indicators``: name, unit, look-back, definition, source, and how it
compares with TA-Lib. Every feature looks back over a finite number of bars (LOOKBACK at most) and never forward, and is
free of scale: doubling all prices, or all volumes, changes none. A flat market, or one without volume, gives a defined
value; NaN says that a look-back is not whole or holds an unknown bar, and nothing else. Where something may be missing
for good (other instruments, the mood, the news, a second venue), a mask beside it says so.

A model stores ``schema_hash()``; a model whose hash differs was trained on other features and must not be asked.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from core.extras import Extras
from core.indicators import blocks, context, news
from core.indicators.spec import ANCHOR_BARS, BLOCK_MINUTES
from core.indicators.spec import LOOKBACK as LOOKBACK
from core.indicators.spec import FeatureSpec as FeatureSpec
from core.messages import BoolArray, FloatArray
from core.units import MINUTE_MS

WINDOW = 240
"""Minutes of bars in ``Market.bars``, for rules that look at prices themselves."""
SEQUENCE = 64
"""Minutes of features handed to models."""
HISTORY = LOOKBACK + SEQUENCE - 1
"""Bars a cache must be restored with, so that its first minute has a whole sequence of features."""
CODE_VERSION = 2
"""Raise it when the arithmetic of a feature changes; every stored model then asks to be trained anew."""

FEATURES: tuple[FeatureSpec, ...] = (*blocks.SPECS, *news.SPECS)
N_FEATURES = len(FEATURES)
FEATURE_NAMES: tuple[str, ...] = tuple(spec.name for spec in FEATURES)

# An anchored indicator knows itself whether its look-back is whole.
_NEEDS = np.array([0 if spec.anchored else spec.lookback for spec in blocks.SPECS], dtype=np.float64)
_CLOCK = context.clock_table()
NEWS = np.s_[blocks.COUNT :]
"""The columns that come from headlines and funding, not from bars."""

if len(set(FEATURE_NAMES)) < N_FEATURES or max(spec.lookback for spec in FEATURES) > LOOKBACK:
    raise RuntimeError("core/indicators: two features have one name, or one looks back beyond LOOKBACK")


def schema_hash() -> str:
    """SHA-256 (hex) over names, units, look-backs, window lengths and the code version."""
    schema = {
        "code": CODE_VERSION,
        "window": WINDOW,
        "sequence": SEQUENCE,
        "anchor": [ANCHOR_BARS, BLOCK_MINUTES],
        "features": [[spec.name, spec.unit, spec.lookback] for spec in FEATURES],
    }
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


def features_told() -> tuple[str, ...]:
    """Each feature in words, in their order: what a model of another schema is compared with, to name the difference."""
    return tuple(f"{spec.name}, {spec.unit}, looks back {spec.lookback}" for spec in FEATURES)


def first_difference(stored: Sequence[str]) -> str:
    """Where features that were told by ``features_told`` begin to differ from these; empty where they do not, or where
    none were told."""
    for number, (theirs, ours) in enumerate(zip_longest(stored, features_told(), fillvalue="none"), start=1):
        if stored and theirs != ours:
            return f"its feature {number} is {theirs!r}, here {ours!r}"
    return ""


def feature_table(bars: FloatArray, filler: BoolArray, first_minute: int, extras: Extras | None = None) -> FloatArray:
    """(S, T, F) features of each minute of ``bars`` (S, T, 5), gap-filled; ``first_minute`` (epoch ms) opens column 0.

    Column t equals ``feature_rows`` of the LOOKBACK bars that end at t, bit for bit: the same kernel takes both. A
    feature is NaN until its look-back is whole; all are known from LOOKBACK bars on.
    """
    bars, filler, extras = _plain(bars, filler, extras)
    out = np.empty((*filler.shape, N_FEATURES))
    blocks.table(bars, filler, extras.mood, extras.premium, first_minute // MINUTE_MS, _NEEDS, _CLOCK, out)
    if extras.news is not None:
        out[:, :, NEWS] = extras.news
    return out


def feature_rows(bars: FloatArray, filler: BoolArray, minute: int, extras: Extras | None = None) -> FloatArray:
    """(S, F) features of ``minute``, the last of ``bars`` (S, N, 5); with N >= LOOKBACK all that can be known are."""
    bars, filler, extras = _plain(bars, filler, extras)
    rows, size = filler.shape
    out = np.empty((rows, 1, N_FEATURES))
    blocks.block(
        bars,
        filler,
        extras.mood,
        extras.premium,
        minute // MINUTE_MS - (size - 1),
        size - 1,
        size,
        _NEEDS,
        _CLOCK,
        out,
        0,
    )
    if extras.news is not None:
        out[:, 0, NEWS] = extras.news[:, -1]
    return out[:, 0]


def _plain(bars: FloatArray, filler: BoolArray, extras: Extras | None) -> tuple[FloatArray, BoolArray, Extras]:
    """One memory layout for the kernels (contiguous, writeable), so that numba compiles them once."""
    if bars.ndim != 3 or bars.shape[2] != 5 or filler.shape != bars.shape[:2]:
        raise ValueError(f"want bars (S, T, 5) and filler (S, T), got {bars.shape} and {filler.shape}")
    extras = extras or Extras.unknown(*filler.shape)
    if extras.mood.shape != filler.shape[1:] or extras.premium.shape != filler.shape:
        raise ValueError(
            f"want mood (T,) and premium (S, T) of the bars' {filler.shape}, "
            f"got {extras.mood.shape} and {extras.premium.shape}"
        )
    if extras.news is not None and extras.news.shape != (*filler.shape, news.COUNT):
        raise ValueError(f"want news (S, T, {news.COUNT}) of the bars' {filler.shape}, got {extras.news.shape}")
    plain = Extras(
        np.require(extras.mood, np.float64, ["C", "W"]), np.require(extras.premium, np.float64, ["C", "W"]), extras.news
    )
    return np.require(bars, np.float64, ["C", "W"]), np.require(filler, np.bool_, ["C", "W"]), plain
