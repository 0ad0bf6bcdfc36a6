"""Shocks, surges, stale markets and regimes, each from a market made to show it."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from core.bars import fill_gaps
from core.events import (
    LONG,
    REGIMES,
    SHOCK,
    STALE,
    SURGE,
    TREND,
    USUAL,
    VOLATILITY_RATIO,
    Detector,
    event_rules,
    is_stale,
    read_market,
    read_row,
    read_table,
    regime_of,
)
from core.messages import CLOSE, OPEN, VOLUME, Regime
from core.params import EventSettings
from tests.support.markets import BTC, ETH, SOL, flat, market, walk

DETECTOR = Detector(EventSettings())
ROWS = (BTC, ETH, SOL)


def three(*bars: np.ndarray, filler: np.ndarray | None = None):
    stack = np.stack(bars)
    quiet = np.zeros(stack.shape[:2], dtype=bool) if filler is None else filler
    return market(ROWS, mids=(100.0,) * 3, bars=stack, filler=quiet)


def wave(minutes: int, size: float = 1e-3) -> np.ndarray:
    """(T, 5) bars that step up and down by the same amount: volatility without any trend."""
    close = 100.0 * np.exp(size * (np.arange(minutes) % 2))
    return np.stack([close, close, close, close, np.full(minutes, 5.0)], axis=1)


def moved(bars: np.ndarray, minute: int, change: float) -> np.ndarray:
    """The bars with everything from ``minute`` on moved by a log return."""
    out = bars.copy()
    out[minute:, :4] *= math.exp(change)
    return out


def test_a_calm_market_says_nothing():
    found = DETECTOR.detect(three(wave(LONG), wave(LONG), wave(LONG)))
    assert found.events == ()
    assert found.regime is Regime.CALM


def test_a_shock_is_named_with_its_instrument_and_size():
    shocked = moved(wave(LONG), LONG - 1, 5e-3)
    found = DETECTOR.detect(three(wave(LONG), shocked, wave(LONG)))
    (event,) = found.events
    assert (event.kind, event.instrument) == ("volatility_shock", ETH)
    last = abs(math.log(shocked[-1, CLOSE] / shocked[-2, CLOSE]))
    assert event.size == pytest.approx(last / 1e-3, rel=1e-9)


def test_a_surge_is_counted_in_usual_volumes():
    loud = wave(LONG)
    loud[-1, VOLUME] = 35.0
    (event,) = DETECTOR.detect(three(loud, wave(LONG), wave(LONG))).events
    assert (event.kind, event.instrument, event.size) == ("volume_surge", BTC, 7.0)


def test_fillers_in_a_row_are_a_stale_market():
    filler = np.zeros((3, LONG), dtype=bool)
    filler[2, -3:] = True
    filler[1, -2:] = True
    filler[0, -9:-1] = True
    (event,) = DETECTOR.detect(three(wave(LONG), wave(LONG), wave(LONG), filler=filler)).events
    assert (event.kind, event.instrument, event.size) == ("stale_market", SOL, 3.0)


def test_the_median_instrument_makes_the_regime():
    wild = wave(LONG)
    wild[-15:, :4] = wave(15, size=5e-3)[:, :4]
    assert DETECTOR.detect(three(wild, wave(LONG), wave(LONG))).regime is Regime.CALM
    assert DETECTOR.detect(three(wild, wild, wave(LONG))).regime is Regime.TURBULENT
    up = wave(LONG)
    up[:, :4] *= np.exp(4e-4 * np.arange(LONG))[:, None]
    down = wave(LONG)
    down[:, :4] *= np.exp(-4e-4 * np.arange(LONG))[:, None]
    assert DETECTOR.detect(three(up, down, wave(LONG))).regime is Regime.TREND


def test_turbulence_outranks_trend():
    crash = wave(LONG)
    crash[-15:, :4] *= np.exp(-8e-3 * np.arange(1, 16))[:, None]
    assert DETECTOR.detect(three(crash, crash, crash)).regime is Regime.TURBULENT


def test_readings_are_what_they_say():
    bars = walk(LONG, 5)
    reading = read_row(bars, np.zeros(LONG, dtype=bool))
    returns = np.diff(np.log(bars[:, CLOSE]))
    root = lambda x: math.sqrt(np.mean(x**2))  # noqa: E731
    assert reading[SHOCK] == pytest.approx(abs(returns[-1]) / root(returns[-USUAL - 1 : -1]))
    assert reading[SURGE] == pytest.approx(bars[-1, VOLUME] / bars[-USUAL - 1 : -1, VOLUME].mean())
    assert reading[VOLATILITY_RATIO] == pytest.approx(root(returns[-15:]) / root(returns))
    assert reading[TREND] == pytest.approx(abs(returns[-USUAL:].sum()) / (root(returns[-USUAL:]) * math.sqrt(USUAL)))
    assert reading[STALE] == 0


def test_a_flat_market_is_calm_and_its_first_move_is_an_infinite_shock():
    still = flat(LONG)
    found = DETECTOR.detect(three(still, still, still))
    assert (found.regime, found.events) == (Regime.CALM, ())
    jump = still.copy()
    jump[-1] = [100.0, 101.0, 100.0, 101.0, 3.0]
    sizes = {event.kind: event.size for event in DETECTOR.detect(three(jump, still, still)).events}
    assert sizes == {"volatility_shock": math.inf, "volume_surge": math.inf}


def test_an_unknown_market_is_treated_as_turbulent_and_a_young_one_is_not_asked():
    nothing = np.full((LONG, 5), np.nan)
    found = DETECTOR.detect(three(nothing, nothing, nothing, filler=np.ones((3, LONG), dtype=bool)))
    assert found.regime is Regime.TURBULENT
    assert {event.kind for event in found.events} == {"stale_market"}
    young = walk(LONG, 3)
    young[: LONG - USUAL - 1] = np.nan
    reading = read_row(young, np.isnan(young[:, OPEN]))
    assert math.isnan(reading[VOLATILITY_RATIO])
    assert math.isnan(reading[SHOCK])
    assert math.isfinite(reading[TREND])


SCRIPT = """
import sys, numpy as np
from core.events import read_row
from core.events import LONG
from tests.support.markets import walk
sys.stdout.write(read_row(walk(LONG, 17), np.zeros(LONG, dtype=bool)).tobytes().hex())
"""


def test_compiled_and_uncompiled_agree_bit_for_bit():
    here = read_row(walk(LONG, 17), np.zeros(LONG, dtype=bool)).tobytes().hex()
    other = "0" if os.environ.get("NUMBA_DISABLE_JIT") == "1" else "1"
    env = {**os.environ, "NUMBA_DISABLE_JIT": other}
    answer = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    assert answer.stdout == here


def gappy(minutes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Filled bars and fillers of a market with a late start, gaps, an outage, quiet bars and one that shouts."""
    bars = walk(minutes, seed, gaps=0.02)
    rng = np.random.default_rng(seed)
    bars[rng.random(minutes) < 0.05, VOLUME] = 0.0
    bars[: 30 * seed] = np.nan
    bars[700:984] = np.nan
    bars[1_200:1_203, :4] *= 3.0
    bars[1_400, VOLUME] *= 100.0
    return fill_gaps(bars)


def test_a_table_is_its_rows_to_the_last_bit():
    for seed in range(3):
        bars, filler = gappy(1_600, seed)
        table = read_table(bars, filler)
        for t in (0, 1, 59, 61, 62, 100, 238, 239, 240, 241, 699, 702, 984, 1_023, 1_024, 1_025, 1_201, 1_400, 1_599):
            window = np.full((LONG, 5), np.nan)
            quiet = np.ones(LONG, dtype=bool)
            have = min(t + 1, LONG)
            window[-have:], quiet[-have:] = bars[t + 1 - have : t + 1], filler[t + 1 - have : t + 1]
            np.testing.assert_array_equal(table[t], read_row(window, quiet))


def test_a_longer_window_reads_the_same():
    bars, filler = gappy(1_600, 1)
    np.testing.assert_array_equal(read_row(bars[-LONG:], filler[-LONG:]), read_row(bars, filler))


def test_a_whole_market_is_its_minutes():
    settings = EventSettings(turbulent_ratio=1.1, trend_ratio=0.8)
    detector = Detector(settings)
    bars, filler = (np.stack(parts) for parts in zip(*(gappy(1_600, seed) for seed in range(3)), strict=True))
    regime, shock = read_market(bars, filler, event_rules(settings))
    assert set(regime) == {0, 1, 2}
    assert shock.any()
    for t in range(LONG - 1, 1_600, 7):
        seen = market(ROWS, mids=(1.0,) * 3, bars=bars[:, t + 1 - LONG : t + 1], filler=filler[:, t + 1 - LONG : t + 1])
        found = detector.detect(seen)
        assert REGIMES[regime[t]] is found.regime
        shocked = {event.instrument for event in found.events if event.kind == "volatility_shock"}
        assert [i in shocked for i in ROWS] == shock[:, t].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_a_market_that_stands_still_is_told_by_its_bars_as_by_its_fillers(seed: int):
    """What forbids buying (bars as recorded, or filled) and the event (fillers) are one rule."""
    rng = np.random.default_rng(seed)
    bars = np.stack([walk(60, seed), walk(60, seed + 10)])
    bars[rng.random(bars.shape[:2]) < 0.4, 4] = 0.0
    bars[rng.random(bars.shape[:2]) < 0.3] = np.nan
    filled, filler = fill_gaps(bars)
    readings = [read_table(filled[row], filler[row])[:, STALE] for row in range(2)]
    for minutes in (1, 2, 3, 7):
        for end in range(1, 61):
            for row in range(2):
                recorded, told = (bool(is_stale(known[row], end, minutes)) for known in (bars, filled))
                assert recorded is told is bool(readings[row][end - 1] >= minutes), (minutes, end)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 40, 41])
def test_the_regime_is_that_of_the_median_however_many_instruments_there_are(count: int):
    rules, rng = event_rules(EventSettings()), np.random.default_rng(count)
    limits = (rules.turbulent_ratio, rules.trend_ratio)
    seen = set()
    for _ in range(300):
        read = [limit * rng.choice([0.5, 0.999, 1.0, 1.001, 1.5], count) for limit in limits]
        for values in read:
            values[rng.random(count) < 0.2] = rng.choice([math.nan, math.inf])
        known = [values[np.isfinite(values)] for values in read]
        if not len(known[0]) or np.median(known[0]) > limits[0] or not len(known[1]):
            expected = Regime.TURBULENT
        else:
            expected = Regime.TREND if np.median(known[1]) > limits[1] else Regime.CALM
        assert REGIMES[regime_of(*read, rules)] is expected
        seen.add(expected)
    assert seen == set(Regime)
