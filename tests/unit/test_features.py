"""Features look back only, mean what they say, and are the same numbers compiled, uncompiled, live and in tables."""

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import features
from core.bars import fill_gaps
from core.features import FEATURE_NAMES, FEATURES, N_FEATURES, WINDOW, feature_row, feature_table, schema_hash
from core.messages import CLOSE, HIGH, LOW, OPEN, VOLUME
from core.units import MINUTE_MS
from tests.support.markets import MINUTE, flat, walk

HOUR = np.s_[-60:]


def reference(bars: np.ndarray, filler: np.ndarray, minute: int) -> dict[str, float]:
    """Every feature of the last bar, written down again the slow and obvious way with numpy."""
    o, h, low, c, v = (bars[:, k] for k in (OPEN, HIGH, LOW, CLOSE, VOLUME))
    r = np.diff(np.log(c))
    typical = (h + low + c) / 3
    true_range = np.maximum(h[1:], c[:-1]) - np.minimum(low[1:], c[:-1])
    change = np.diff(c)[-14:]
    out = {f"ret_{n}": math.log(c[-1] / c[-1 - n]) for n in (1, 5, 15, 30, 60, 120)}
    out |= {f"rv_{n}": math.sqrt(np.mean(r[-(n - 1) :] ** 2)) for n in (15, 60, 240)}
    out["parkinson_60"] = math.sqrt(np.mean(np.log(h[HOUR] / low[HOUR]) ** 2) / (4 * math.log(2)))
    out["volume_z_60"] = (v[-1] - v[HOUR].mean()) / v[HOUR].std()
    out["volume_trend"] = (v[-15:].mean() - v[HOUR].mean()) / (v[-15:].mean() + v[HOUR].mean())
    for n in (30, 120):
        out[f"vwap_dist_{n}"] = math.log(c[-1] / (np.sum(typical[-n:] * v[-n:]) / v[-n:].sum()))
    out["rsi_14"] = change.sum() / np.abs(change).sum()
    means = []
    for span in (12, 26):
        weights = (1 - 2 / (span + 1)) ** np.arange(4 * span)
        means.append(np.sum(weights * c[::-1][: 4 * span]) / weights.sum())
    out["ema_gap"] = math.log(means[0] / means[1])
    middle, deviation = c[-20:].mean(), c[-20:].std()
    out["bollinger_b_20"] = (c[-1] - (middle - 2 * deviation)) / (4 * deviation)
    out["atr_ratio"] = true_range[-14:].mean() / true_range[-60:].mean()
    height = h[-1] - low[-1]
    out["body"] = (c[-1] - o[-1]) / height
    out["upper_wick"] = (h[-1] - max(o[-1], c[-1])) / height
    out["lower_wick"] = (min(o[-1], c[-1]) - low[-1]) / height
    out["up_volume_15"] = np.sum(np.sign(c[-15:] - o[-15:]) * v[-15:]) / v[-15:].sum()
    out["range_pos_60"] = (c[-1] - low[HOUR].min()) / (h[HOUR].max() - low[HOUR].min())
    gap = r[-30:] - r[-30:].mean()
    out["autocorr_30"] = np.sum(gap[1:] * gap[:-1]) / np.sum(gap**2)
    angle = 2 * math.pi * (minute // MINUTE_MS % 1440) / 1440
    out["day_sin"], out["day_cos"] = math.sin(angle), math.cos(angle)
    out["filler_share_30"] = filler[-30:].mean()
    return out


@pytest.mark.parametrize("seed", range(5))
def test_every_feature_is_what_its_description_says(seed):
    bars, filler = fill_gaps(walk(WINDOW + 7, seed, gaps=0.05 if seed % 2 else 0.0))
    bars[-1] = walk(1, seed + 100, price=bars[-2, CLOSE])[0]  # the last bar is traded, so that it has a shape
    filler[-1] = False
    row = feature_row(bars, filler, MINUTE)
    expected = reference(bars, filler, MINUTE)
    assert set(expected) == set(FEATURE_NAMES)
    np.testing.assert_allclose(row, [expected[name] for name in FEATURE_NAMES], rtol=1e-9, atol=1e-12)


def test_a_table_is_rows_bit_for_bit():
    bars, filler = fill_gaps(walk(WINDOW + 300, 3, gaps=0.1))
    table = feature_table(bars, filler, MINUTE)
    assert np.isnan(table[: WINDOW - 1]).all()
    assert np.isfinite(table[WINDOW - 1 + 20 :]).all()
    for t in range(WINDOW - 1, len(bars)):
        window = slice(t + 1 - WINDOW, t + 1)
        np.testing.assert_array_equal(table[t], feature_row(bars[window], filler[window], MINUTE + t * MINUTE_MS))


@given(
    seed=st.integers(0, 10_000),
    gaps=st.sampled_from([0.0, 0.02, 0.5]),
    at=st.integers(WINDOW - 1, WINDOW + 79),
    price=st.sampled_from([1e-6, 1.0, 64_000.0]),
)
@settings(max_examples=40, deadline=None)
def test_the_future_changes_nothing_and_the_window_is_enough(seed, gaps, at, price):
    """At t: the whole history, the history cut at t, a future of other numbers, and the window alone, all agree."""
    bars, filler = fill_gaps(walk(WINDOW + 120, seed, price=price, gaps=gaps))
    whole = feature_table(bars, filler, MINUTE)[at]
    np.testing.assert_array_equal(whole, feature_table(bars[: at + 1], filler[: at + 1], MINUTE)[at])
    other, other_filler = bars.copy(), filler.copy()
    other[at + 1 :] = walk(len(bars) - at - 1, seed + 1, price=7.0, volatility=0.2)
    other_filler[at + 1 :] = ~other_filler[at + 1 :]
    np.testing.assert_array_equal(whole, feature_table(other, other_filler, MINUTE)[at])
    window = slice(at + 1 - WINDOW, at + 1)
    np.testing.assert_array_equal(whole, feature_row(bars[window], filler[window], MINUTE + at * MINUTE_MS))


@pytest.mark.parametrize("spec", FEATURES, ids=lambda spec: spec.name)
def test_a_feature_reads_exactly_its_look_back(spec):
    """Bars older than the look-back change nothing, the oldest bar inside it matters, and unknown there is NaN."""
    index = FEATURE_NAMES.index(spec.name)
    bars, filler = fill_gaps(walk(WINDOW, 11))
    value = feature_row(bars, filler, MINUTE)[index]
    older = bars.copy()
    older[: WINDOW - spec.lookback] = walk(WINDOW, 5, price=900.0, volatility=0.1)[: WINDOW - spec.lookback]
    assert feature_row(older, filler, MINUTE)[index] == value
    if spec.lookback:
        oldest = WINDOW - spec.lookback
        touched, flags = bars.copy(), filler.copy()
        touched[oldest] *= [1.01, 1.5, 0.6, 1.02, 9.0]
        flags[oldest] = True
        assert feature_row(touched, flags, MINUTE)[index] != value
        unknown = bars.copy()
        unknown[oldest] = np.nan
        assert math.isnan(feature_row(unknown, filler, MINUTE)[index])
        unknown = bars.copy()
        unknown[: max(oldest, 0)] = np.nan
        assert feature_row(unknown, filler, MINUTE)[index] == value


@pytest.mark.parametrize("volume", [0.0, 3.0])
@pytest.mark.parametrize("price", [1e-8, 0.1, 64_123.45])
def test_a_flat_market_has_defined_features(price, volume):
    bars = flat(WINDOW, price, volume)
    row = dict(zip(FEATURE_NAMES, feature_row(bars, bars[:, VOLUME] == 0, MINUTE), strict=True))
    assert all(math.isfinite(value) for value in row.values())
    neutral = {"bollinger_b_20": 0.5, "range_pos_60": 0.5, "atr_ratio": 1.0, "filler_share_30": float(volume == 0)}
    for name, value in row.items():
        if not name.startswith("day_"):
            assert value == pytest.approx(neutral.get(name, 0.0), abs=1e-14), name


def test_a_moving_market_without_volume_has_defined_features():
    bars = walk(WINDOW, 4)
    bars[:, VOLUME] = 0.0
    assert np.isfinite(feature_row(bars, np.ones(WINDOW, dtype=bool), MINUTE)).all()


@pytest.mark.parametrize("by", [2.0**-20, 1024.0, 3.7])
def test_features_have_no_scale(by):
    bars, filler = fill_gaps(walk(WINDOW, 8, gaps=0.1))
    base = feature_row(bars, filler, MINUTE)
    for columns in (np.s_[:4], np.s_[4:]):
        scaled = bars.copy()
        scaled[:, columns] *= by
        np.testing.assert_allclose(feature_row(scaled, filler, MINUTE), base, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("fault", [math.nan, math.inf, -1.0, 0.0])
def test_an_impossible_price_makes_nan_not_nonsense(fault):
    bars, filler = fill_gaps(walk(WINDOW, 9))
    bars[-3, HIGH] = fault
    row = dict(zip(FEATURE_NAMES, feature_row(bars, filler, MINUTE), strict=True))
    assert math.isnan(row["ret_5"])
    assert math.isnan(row["rv_240"])
    assert math.isfinite(row["ret_1"])
    assert math.isfinite(row["day_sin"])


def test_too_short_a_window_is_nan_throughout():
    bars, filler = fill_gaps(walk(WINDOW - 1, 1))
    assert np.isnan(feature_row(bars, filler, MINUTE)).all()
    assert feature_table(bars[:0], filler[:0], MINUTE).shape == (0, N_FEATURES)


def test_the_wrong_shape_is_refused():
    bars, filler = fill_gaps(walk(WINDOW, 1))
    with pytest.raises(ValueError, match="want bars"):
        feature_row(bars[:, :4], filler, MINUTE)
    with pytest.raises(ValueError, match="want bars"):
        feature_table(bars, filler[1:], MINUTE)


def test_the_schema_hash_follows_names_units_look_backs_and_code(monkeypatch):
    before = schema_hash()
    assert before == schema_hash()
    monkeypatch.setattr(features, "CODE_VERSION", features.CODE_VERSION + 1)
    assert schema_hash() != before
    monkeypatch.undo()
    for change in (("other", "log return", 2), ("ret_1", "bps", 2), ("ret_1", "log return", 3)):
        changed = (features.FeatureSpec(*change, "", ""), *FEATURES[1:])
        monkeypatch.setattr(features, "FEATURES", changed)
        assert schema_hash() != before


HASH_SCRIPT = """
import hashlib, sys
from core.bars import fill_gaps
from core.features import WINDOW, feature_table
from tests.support.markets import MINUTE, walk
bars, filler = fill_gaps(walk(WINDOW + 20, 21, gaps=0.05))
sys.stdout.write(hashlib.sha256(feature_table(bars, filler, MINUTE).tobytes()).hexdigest())
"""


def test_compiled_and_uncompiled_agree_bit_for_bit():
    bars, filler = fill_gaps(walk(WINDOW + 20, 21, gaps=0.05))
    here = hashlib.sha256(feature_table(bars, filler, MINUTE).tobytes()).hexdigest()
    other = "0" if os.environ.get("NUMBA_DISABLE_JIT") == "1" else "1"
    answer = subprocess.run(
        [sys.executable, "-c", HASH_SCRIPT],
        env={**os.environ, "NUMBA_DISABLE_JIT": other},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == here
