"""Features look back only, mean what they say, and are the same numbers compiled, uncompiled, live and in tables."""

import hashlib
import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import features
from core.bars import fill_gaps
from core.extras import Extras
from core.features import FEATURE_NAMES, FEATURES, LOOKBACK, N_FEATURES, feature_rows, feature_table, schema_hash
from core.indicators.spec import ANCHOR_BARS, BLOCK_MINUTES, REACH
from core.messages import CLOSE, HIGH, VOLUME
from core.units import MINUTE_MS
from tests.support.feature_page import page
from tests.support.features import reference
from tests.support.markets import MINUTE, flat, walk


def several(minutes: int, seed: int, *, gaps: float = 0.0, rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Gap-filled (S, T, 5) bars of instruments that move together, partly, and their fillers."""
    bars = np.stack([walk(minutes, seed * 10 + s, price=100.0 * 10.0**s, gaps=gaps) for s in range(rows)])
    common = np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 1e-3, minutes)))
    bars[:, :, :4] *= common[None, :, None]
    return fill_gaps(bars)


def extras_of(bars: np.ndarray, seed: int = 0) -> Extras:
    """A mood that becomes known on the way, and premia with holes."""
    rng = np.random.default_rng(seed)
    mood = np.full(bars.shape[1], np.nan)
    mood[bars.shape[1] // 4 :] = 30.0
    mood[bars.shape[1] // 2 :] = 55.0
    premium = rng.normal(0.02, 0.003, bars.shape[:2])
    premium[rng.random(premium.shape) < 0.01] = np.nan
    news = rng.normal(0.0, 1.0, (*bars.shape[:2], 7))
    return Extras(mood, premium, news)


def cut(extras: Extras, part: slice) -> Extras:
    return Extras(extras.mood[part], extras.premium[:, part], extras.news[:, part])


def test_the_library_is_large_and_every_feature_is_written_down():
    assert N_FEATURES >= 60
    assert len(set(FEATURE_NAMES)) == N_FEATURES
    for spec in FEATURES:
        assert spec.name and spec.unit and spec.doc and spec.source and spec.talib
        assert 0 <= spec.lookback <= LOOKBACK
        assert spec.anchored or spec.lookback <= REACH


def test_the_page_of_features_is_the_registry_itself():
    written = Path(__file__).resolve().parents[2] / "docs" / "features.md"
    assert written.read_text(encoding="utf-8") == page(), "python3 -m tests.support.feature_page > docs/features.md"


@pytest.mark.parametrize("seed", range(4))
def test_every_feature_is_what_its_description_says(seed):
    bars, filler = several(LOOKBACK + 7, seed, gaps=0.05 if seed % 2 else 0.0)
    for s in range(3):  # the last bar is traded, so that it has a shape
        bars[s, -1] = walk(1, seed + 100 + s, price=bars[s, -2, CLOSE])[0]
    filler[:, -1] = False
    extras = extras_of(bars, seed)
    if seed % 2 == 0:
        extras = Extras(extras.mood, np.nan_to_num(extras.premium, nan=0.01), extras.news)
    found = feature_rows(bars, filler, MINUTE, extras)
    for s in range(3):
        expected = reference(bars, filler, MINUTE, extras, s)
        assert set(expected) == set(FEATURE_NAMES)
        for name, value in zip(FEATURE_NAMES, found[s], strict=True):
            assert value == pytest.approx(expected[name], rel=1e-7, abs=1e-11), name


@pytest.mark.parametrize("first", [0, 100, BLOCK_MINUTES - 1])
def test_a_table_is_rows_bit_for_bit(first):
    start = MINUTE - MINUTE % (BLOCK_MINUTES * MINUTE_MS) + first * MINUTE_MS
    bars, filler = several(LOOKBACK + BLOCK_MINUTES + 40, 3, gaps=0.1)
    extras = extras_of(bars)
    table = feature_table(bars, filler, start, extras)
    assert np.isfinite(table[:, LOOKBACK - 1 + 40 :]).all()
    for t in range(LOOKBACK - 1, bars.shape[1], 7):
        part = slice(t + 1 - LOOKBACK, t + 1)
        row = feature_rows(bars[:, part], filler[:, part], start + t * MINUTE_MS, cut(extras, part))
        np.testing.assert_array_equal(table[:, t], row)


@given(
    seed=st.integers(0, 10_000),
    gaps=st.sampled_from([0.0, 0.02, 0.5]),
    at=st.integers(LOOKBACK - 1, LOOKBACK + 500),
    cut_at=st.integers(0, 300),
)
@settings(max_examples=25, deadline=None)
def test_neither_the_future_nor_how_much_past_there_is_changes_a_value(seed, gaps, at, cut_at):
    """At t: the whole history, the history cut at t, a future of other numbers, a history begun later: all agree."""
    bars, filler = several(LOOKBACK + 520, seed, gaps=gaps)
    extras = extras_of(bars)
    whole = feature_table(bars, filler, MINUTE, extras)
    past = slice(0, at + 1)
    ended = feature_table(bars[:, past], filler[:, past], MINUTE, cut(extras, past))
    np.testing.assert_array_equal(whole[:, past], ended)
    other, other_filler = bars.copy(), filler.copy()
    other[:, at + 1 :] *= 7.0
    other_filler[:, at + 1 :] = ~other_filler[:, at + 1 :]
    np.testing.assert_array_equal(ended, feature_table(other, other_filler, MINUTE, extras)[:, past])
    rest = slice(cut_at, None)
    begun = feature_table(bars[:, rest], filler[:, rest], MINUTE + cut_at * MINUTE_MS, cut(extras, rest))
    known = np.isfinite(begun)
    np.testing.assert_array_equal(begun[known], whole[:, rest][known])
    assert known[:, LOOKBACK + 40 :].all() or gaps == 0.5


class Asked:
    """One feature of the second instrument at the last bar of a market, and what it would be with other bars."""

    def __init__(self, size: int, seed: int, index: int) -> None:
        self.bars, self.filler = several(size, seed)
        self.premium = np.nan_to_num(extras_of(self.bars).premium, nan=0.01)
        self.index = index
        self.value = self(slice(0, 0), 1.0)

    def __call__(self, part: slice, factors: object) -> float:
        bars, filler, premium = self.bars.copy(), self.filler.copy(), self.premium.copy()
        bars[:, part] *= np.array(factors)
        filler[:, part] = True
        premium[:, part] = math.nan
        mood = np.full(premium.shape[1], 40.0)
        return float(feature_rows(bars, filler, MINUTE, Extras(mood, premium))[1, self.index])


TOUCH = ((1.01, 1.5, 0.6, 1.02, 9.0), (0.9, 1.9, 0.5, 1.07, 0.1), (0.97, 1.4, 0.7, 0.9, 2.0))


@pytest.mark.parametrize("spec", [s for s in FEATURES if not s.anchored], ids=lambda spec: spec.name)
def test_a_feature_reads_exactly_its_look_back(spec):
    """Bars older than the look-back change nothing, the oldest bar inside it matters, and unknown there is NaN."""
    index = FEATURE_NAMES.index(spec.name)
    size = REACH + 20
    oldest = size - spec.lookback
    mattered = False
    # Up and down, on several markets: some features see no more than the sign of a change, or are seldom not 0.
    for seed, power in itertools.product(range(11, 31), (1, -1)):
        ask = Asked(size, seed, index)
        assert ask(slice(0, oldest), [3.0, 3.3, 2.5, 3.1, 9.0]) == ask.value
        assert ask(slice(0, oldest), math.nan) == ask.value
        if spec.lookback:
            assert math.isnan(ask(slice(oldest, oldest + 1), math.nan))
            mattered |= ask(slice(oldest, oldest + 1), np.array(TOUCH)[:, None] ** power) != ask.value
        if mattered:
            break
    assert mattered == bool(spec.lookback) or spec.name == "engulfing"  # next test


def test_a_candle_engulfs_the_one_before_or_not():
    bars, filler = several(30, 1, rows=1)
    index = FEATURE_NAMES.index("engulfing")

    def ask(old: tuple[float, float], new: tuple[float, float]) -> float:
        for at, (opened, close) in ((-2, old), (-1, new)):
            bars[0, at] = (opened, max(opened, close) + 1.0, min(opened, close) - 1.0, close, 5.0)
        return float(feature_rows(bars, filler, MINUTE)[0, index])

    assert ask((101.0, 100.0), (99.0, 102.0)) == 1.0
    assert ask((101.0, 100.0), (100.0, 102.0)) == 0.8
    assert ask((100.0, 101.0), (102.0, 99.0)) == -1.0
    assert ask((100.0, 101.0), (101.0, 99.0)) == -0.8
    assert ask((101.0, 100.0), (100.0, 101.0)) == 0.0
    assert ask((100.0, 101.0), (99.0, 102.0)) == 0.0


@pytest.mark.parametrize("spec", [s for s in FEATURES if s.anchored], ids=lambda spec: spec.name)
def test_a_recursive_feature_starts_at_the_anchor_of_its_block(spec):
    index = FEATURE_NAMES.index(spec.name)
    bars, filler = several(LOOKBACK, 12, rows=1)
    into = 40  # minutes from the beginning of the block to the last bar
    minute = MINUTE - MINUTE % (BLOCK_MINUTES * MINUTE_MS) + into * MINUTE_MS
    anchor = LOOKBACK - 1 - into - ANCHOR_BARS
    value = feature_rows(bars, filler, minute)[0, index]
    older = bars.copy()
    older[:, :anchor] = np.nan
    assert feature_rows(older, filler, minute)[0, index] == value
    older[:, anchor] = np.nan
    assert math.isnan(feature_rows(older, filler, minute)[0, index])
    assert math.isnan(feature_rows(bars[:, anchor + 1 :], filler[:, anchor + 1 :], minute)[0, index])
    touched = bars.copy()
    touched[:, -30] *= np.array([1.02, 1.05, 0.9, 0.95, 1.0])
    assert feature_rows(touched, filler, minute)[0, index] != value


NEUTRAL = {
    "bollinger_b_20": 0.5,
    "range_pos_60": 0.5,
    "range_pos_240": 0.5,
    "stoch_k_14": 0.5,
    "stoch_d_14": 0.5,
    "atr_ratio": 1.0,
    "bar_size": 1.0,
    "downside_60": 0.5,
    "beta_240": 1.0,
}


@pytest.mark.parametrize("volume", [0.0, 3.0])
@pytest.mark.parametrize("price", [1e-8, 0.1, 64_123.45])
def test_a_flat_market_has_defined_features(price, volume):
    bars = flat(LOOKBACK, price, volume)[None]
    row = dict(zip(FEATURE_NAMES, feature_rows(bars, bars[:, :, VOLUME] == 0, MINUTE)[0], strict=True))
    quiet = float(volume == 0)
    neutral = NEUTRAL | {"filler_share_30": quiet, "is_filler": quiet, "leader_known": 1.0 - quiet}
    for name, value in row.items():
        if not name.startswith(("hour_", "day_", "week_")):
            assert value == pytest.approx(neutral.get(name, 0.0), abs=1e-13), name


def test_a_moving_market_without_volume_has_defined_features():
    bars = walk(LOOKBACK, 4)[None].copy()
    bars[:, :, VOLUME] = 0.0
    assert np.isfinite(feature_rows(bars, np.ones((1, LOOKBACK), dtype=bool), MINUTE)).all()


@pytest.mark.parametrize("by", [2.0**-20, 1024.0, 3.7])
def test_features_have_no_scale(by):
    bars, filler = several(LOOKBACK, 8, gaps=0.1)
    base = feature_rows(bars, filler, MINUTE)
    for columns in (np.s_[:, :, :4], np.s_[:, :, 4:]):
        scaled = bars.copy()
        scaled[columns] *= by
        np.testing.assert_allclose(feature_rows(scaled, filler, MINUTE), base, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("fault", [math.nan, math.inf, -1.0, 0.0])
def test_an_impossible_price_makes_nan_not_nonsense(fault):
    bars, filler = several(LOOKBACK, 9)
    bars[1, -3, HIGH] = fault
    found = feature_rows(bars, filler, MINUTE)
    row = dict(zip(FEATURE_NAMES, found[1], strict=True))
    assert all(math.isnan(row[name]) for name in ("ret_5", "rv_240", "rsi_14", "supertrend_10", "vwap_dist_30"))
    assert all(math.isfinite(row[name]) for name in ("ret_1", "day_sin", "body", "fear_greed"))
    assert np.isfinite(found[0]).all()  # another's fault is nobody else's


def test_an_instrument_listed_on_the_way_is_unknown_and_then_whole():
    listed = 300
    bars, filler = several(listed + 2 * LOOKBACK, 6)
    bars[2, :listed] = np.nan
    table = feature_table(bars, filler, MINUTE)
    rest = [i for i, spec in enumerate(FEATURES) if spec.lookback]
    assert np.isnan(table[2, :listed][:, rest]).all()
    assert np.isfinite(table[2, listed + LOOKBACK - 1 :]).all()
    assert np.isfinite(table[:2, LOOKBACK - 1 :]).all()
    peers = FEATURE_NAMES.index("peers")
    assert table[0, listed - 1, peers] == 0.5
    assert table[0, listed, peers] == 1.0


def test_a_missing_leader_is_said_by_its_mask():
    bars, filler = several(LOOKBACK, 5)
    bars[0] = np.nan
    filler[0] = True
    row = dict(zip(FEATURE_NAMES, feature_rows(bars, filler, MINUTE)[1], strict=True))
    assert (row["leader_known"], row["leader_ret_1"], row["lead_corr_60"]) == (0.0, 0.0, 0.0)
    assert row["peers"] == 0.5
    assert all(math.isfinite(value) for value in row.values())


def test_alone_the_market_is_oneself():
    bars, filler = several(LOOKBACK, 2, rows=1)
    row = dict(zip(FEATURE_NAMES, feature_rows(bars, filler, MINUTE)[0], strict=True))
    assert row["peers"] == 0.0
    assert row["beta_240"] == pytest.approx(1.0)
    assert row["corr_60"] == pytest.approx(1.0)
    assert row["residual_15"] == pytest.approx(0.0, abs=1e-12)
    assert row["dispersion_15"] == 0.0


def test_what_lies_outside_the_bars_is_masked_not_zero():
    bars, filler = several(LOOKBACK, 2, rows=1)
    names = ("fear_greed", "fear_greed_known", "premium", "premium_gap_60", "premium_known")
    at = [FEATURE_NAMES.index(name) for name in names]
    assert feature_rows(bars, filler, MINUTE)[0, at].tolist() == [0.0] * 5
    known = Extras(np.full(LOOKBACK, 75.0), np.full((1, LOOKBACK), 0.03))
    known.premium[0, -1] = 0.05
    found = feature_rows(bars, filler, MINUTE, known)[0, at]
    np.testing.assert_allclose(found, [0.5, 1.0, 0.05, 0.05 - (59 * 0.03 + 0.05) / 60, 1.0])
    known.premium[0, -2] = np.nan
    assert feature_rows(bars, filler, MINUTE, known)[0, at].tolist() == [0.5, 1.0, 0.05, 0.0, 59 / 60]


def test_too_short_a_history_is_nan_where_it_is_too_short():
    bars, filler = several(30, 1)
    row = dict(zip(FEATURE_NAMES, feature_rows(bars, filler, MINUTE)[0], strict=True))
    for spec in FEATURES:
        assert math.isfinite(row[spec.name]) == (spec.lookback <= 30), spec.name
    assert feature_table(bars[:, :0], filler[:, :0], MINUTE).shape == (3, 0, N_FEATURES)
    one = feature_rows(bars[:, :1], filler[:, :1], MINUTE)
    assert np.isfinite(one).sum() == 3 * sum(spec.lookback <= 1 for spec in FEATURES)


def test_the_wrong_shape_is_refused():
    bars, filler = several(LOOKBACK, 1)
    with pytest.raises(ValueError, match="want bars"):
        feature_rows(bars[:, :, :4], filler, MINUTE)
    with pytest.raises(ValueError, match="want bars"):
        feature_table(bars, filler[:, 1:], MINUTE)
    with pytest.raises(ValueError, match="want mood"):
        feature_table(bars, filler, MINUTE, Extras.unknown(3, 5))


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
from core.features import feature_rows, feature_table
from tests.support.markets import MINUTE
from tests.unit.test_features import extras_of, several
bars, filler = several(340, 21, gaps=0.05, rows=2)
start = MINUTE - MINUTE % (480 * 60_000) + 170 * 60_000
table = feature_table(bars, filler, start, extras_of(bars))
sys.stdout.write(hashlib.sha256(table.tobytes()).hexdigest())
"""


def test_compiled_and_uncompiled_agree_bit_for_bit():
    bars, filler = several(340, 21, gaps=0.05, rows=2)
    start = MINUTE - MINUTE % (480 * MINUTE_MS) + 170 * MINUTE_MS
    table = feature_table(bars, filler, start, extras_of(bars))
    assert np.isfinite(table[:, 315:]).all()  # the recursive ones too: a block begins at bar 310
    other = "0" if os.environ.get("NUMBA_DISABLE_JIT") == "1" else "1"
    answer = subprocess.run(
        [sys.executable, "-c", HASH_SCRIPT],
        env={**os.environ, "NUMBA_DISABLE_JIT": other},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == hashlib.sha256(table.tobytes()).hexdigest()
