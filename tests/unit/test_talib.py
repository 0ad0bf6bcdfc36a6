"""Where TA-Lib has an indicator, ours equals it: on made-up bars, and on real ones where they are at hand.

TA-Lib runs once over the whole history, ours as live does. A feature over a finite window agrees to 1e-9 of its usual
size; a recursive one to 1e-6, because it begins 300 bars before its block and TA-Lib at the beginning of history.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib

from core.bars import fill_gaps
from core.features import FEATURE_NAMES, FEATURES, LOOKBACK, feature_table
from core.messages import CLOSE, HIGH, LOW, OPEN, VOLUME
from core.units import MINUTE_MS
from tests.support.markets import MINUTE, walk

MINUTES = 4_000
SMA = 0
EMA = 1


class Columns:
    """One instrument's bars and what several formulas share."""

    def __init__(self, bars: np.ndarray) -> None:
        self.o, self.h, self.l, self.c, self.v = (
            np.ascontiguousarray(bars[:, k]) for k in (OPEN, HIGH, LOW, CLOSE, VOLUME)
        )

    @property
    def hlc(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.h, self.l, self.c

    @property
    def returns(self) -> np.ndarray:
        return np.concatenate([[0.0], np.diff(np.log(self.c))])


def ago(x: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([np.full(n, np.nan), x[:-n]])


def ad_gain(k: Columns) -> np.ndarray:
    line = talib.AD(k.h, k.l, k.c, k.v)
    return (line - ago(line, 20)) / talib.SUM(k.v, 20)


def obv_gain(k: Columns) -> np.ndarray:
    line = talib.OBV(k.c, k.v)
    return (line - ago(line, 60)) / talib.SUM(k.v, 60)


def trend_of_volume(k: Columns) -> np.ndarray:
    recent, usual = talib.SMA(k.v, 15), talib.SMA(k.v, 60)
    return (recent - usual) / (recent + usual)


def bollinger(k: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return talib.BBANDS(k.c, 20, 2, 2, SMA)


def donchian(k: Columns) -> np.ndarray:
    top, bottom = ago(talib.MAX(k.h, 20), 1), ago(talib.MIN(k.l, 20), 1)
    return (2 * k.c - top - bottom) / (top - bottom)


def keltner(k: Columns) -> np.ndarray:
    return (k.c - talib.EMA(k.c, 20)) / (2 * talib.ATR(*k.hlc, 10))


def true_range(k: Columns) -> np.ndarray:
    # TA-Lib begins with a NaN, which its averages would never let go.
    return np.nan_to_num(talib.TRANGE(*k.hlc))


def beta_to_itself(k: Columns) -> np.ndarray:
    prices = np.cumprod(1.0 + k.returns)
    return talib.BETA(prices, prices, 240)


FORMULAS: dict[str, Callable[[Columns], np.ndarray]] = {
    **{f"ret_{n}": lambda k, n=n: np.log1p(talib.ROCP(k.c, n)) for n in (1, 5, 15, 30, 60, 120, 240)},
    "volume_z_60": lambda k: (k.v - talib.SMA(k.v, 60)) / talib.STDDEV(k.v, 60),
    "volume_trend": trend_of_volume,
    "obv_60": obv_gain,
    "chaikin_20": ad_gain,
    "mfi_14": lambda k: talib.MFI(*k.hlc, k.v, 14) / 50 - 1,
    "bollinger_b_20": lambda k: (k.c - bollinger(k)[2]) / (bollinger(k)[0] - bollinger(k)[2]),
    "bollinger_width_20": lambda k: (bollinger(k)[0] - bollinger(k)[2]) / bollinger(k)[1],
    "sma_gap": lambda k: talib.SMA(k.c, 20) / talib.SMA(k.c, 60) - 1,
    "slope_30": lambda k: talib.LINEARREG_SLOPE(k.c, 30) / k.c,
    "stoch_k_14": lambda k: talib.STOCH(*k.hlc, 14, 3, SMA, 3, SMA)[0] / 100,
    "stoch_d_14": lambda k: talib.STOCH(*k.hlc, 14, 3, SMA, 3, SMA)[1] / 100,
    "range_pos_60": lambda k: 1 + talib.WILLR(*k.hlc, 60) / 100,
    "range_pos_240": lambda k: 1 + talib.WILLR(*k.hlc, 240) / 100,
    "donchian_20": donchian,
    "cci_20": lambda k: talib.CCI(*k.hlc, 20) / 100,
    "aroon_25": lambda k: talib.AROONOSC(k.h, k.l, 25) / 100,
    "atr_ratio": lambda k: talib.SMA(true_range(k), 14) / talib.SMA(true_range(k), 60),
    "ema_gap": lambda k: talib.PPO(k.c, 12, 26, EMA) / 100,
    "macd_signal": lambda k: talib.MACD(k.c, 12, 26, 9)[1] / k.c,
    "macd_hist": lambda k: talib.MACD(k.c, 12, 26, 9)[2] / k.c,
    "rsi_14": lambda k: talib.RSI(k.c, 14) / 50 - 1,
    "natr_14": lambda k: talib.NATR(*k.hlc, 14) / 100,
    "adx_14": lambda k: talib.ADX(*k.hlc, 14) / 100,
    "di_gap_14": lambda k: (talib.PLUS_DI(*k.hlc, 14) - talib.MINUS_DI(*k.hlc, 14)) / 100,
    "keltner_20": keltner,
    "body": lambda k: talib.BOP(k.o, *k.hlc),
    "engulfing": lambda k: talib.CDLENGULFING(k.o, *k.hlc) / 100,
    "bar_size": lambda k: true_range(k) / talib.SMA(true_range(k), 60),
    "beta_240": beta_to_itself,
    "corr_60": lambda k: talib.CORREL(k.returns, k.returns, 60),
    "lead_corr_60": lambda k: talib.CORREL(k.returns, np.concatenate([[0.0], k.returns[:-1]]), 60),
}

REAL = 1e-7
"""On real bars: TA-Lib keeps running sums, and volumes of 1e8 leave their rounding behind."""
ANCHORED = {spec.name for spec in FEATURES if spec.anchored}


@dataclass(frozen=True)
class Compared:
    """A market's columns and what ours says of it."""

    columns: Columns
    filler: np.ndarray
    table: np.ndarray

    @classmethod
    def of(cls, bars: np.ndarray) -> "Compared":
        filled, filler = fill_gaps(bars)
        return cls(Columns(filled), filler, feature_table(filled[None], filler[None], MINUTE)[0])

    def farthest(self, name: str) -> float:
        """The largest distance from TA-Lib over the feature's root mean square, where both speak of the same."""
        ours = self.table[LOOKBACK:, FEATURE_NAMES.index(name)]
        with np.errstate(invalid="ignore", divide="ignore"):
            theirs = FORMULAS[name](self.columns)[LOOKBACK:]
        same = np.isfinite(theirs) & ~undefined(name, self.columns, self.filler)[LOOKBACK:]
        assert same.mean() > 0.8
        return float(np.max(np.abs(theirs - ours)[same]) / np.sqrt(np.mean(ours**2)))


@cache
def made_up(seed: int, price: float) -> Compared:
    bars = walk(MINUTES, seed, price=price)
    bars[:, VOLUME] += 0.1  # a money flow below 1 is none to TA-Lib
    return Compared.of(bars)


@cache
def real(path: Path) -> Compared:
    frame = pl.read_parquet(path).head(20_000)
    minutes = (frame["ts"].to_numpy() - frame["ts"][0]) // MINUTE_MS
    bars = np.full((minutes[-1] + 1, 5), np.nan)
    bars[minutes] = frame.select("open", "high", "low", "close", "volume").to_numpy()
    return Compared.of(bars)


def undefined(name: str, k: Columns, filler: np.ndarray) -> np.ndarray:
    """Minutes of which TA-Lib does not say what we say, as the features' texts state."""
    flat = np.zeros(len(k.c), dtype=bool)
    if name.startswith("stoch_"):  # a flat range counts 0 there, 0.5 here
        return talib.SUM((talib.MAX(k.h, 14) == talib.MIN(k.l, 14)).astype(float), 5) > 0.5
    if name.startswith("range_pos_"):
        n = int(name.rsplit("_", 1)[1])
        return talib.MAX(k.h, n) == talib.MIN(k.l, n)
    if name == "mfi_14":  # no flow above 1 is 0 there
        return talib.SUM((k.h + k.l + k.c) / 3 * k.v, 14) < 1.0
    if name in ("volume_trend", "obv_60", "chaikin_20"):  # what its running sum of no volume left behind
        return talib.MAX(k.v, 60) == 0.0
    if name in ("bollinger_b_20", "volume_z_60"):  # a difference of squares, of which rounding is all that is left
        x, n = (k.c, 20) if name == "bollinger_b_20" else (k.v, 60)
        return talib.STDDEV(x, n) < 1e-6 * talib.SMA(x, n)
    if name in ANCHORED:  # in a halt nothing is forgotten, so a run-in that lies in one is short
        return talib.SUM(filler.astype(float), LOOKBACK) > 0.5
    return flat


def test_every_feature_that_names_a_talib_function_is_compared():
    named = {spec.name for spec in FEATURES if not spec.talib.startswith("none")}
    assert named == set(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
def test_ours_is_talibs(name: str):
    for market in (made_up(1, 100.0), made_up(2, 64_000.0)):
        assert market.farthest(name) < (1e-6 if name in ANCHORED else 1e-9)


def test_a_pair_has_talibs_beta_and_correlation():
    """With two instruments the market is their mean, and the second follows the leader."""
    bars = np.stack([walk(MINUTES, seed, price=100.0) for seed in (3, 4)])
    common = np.exp(np.cumsum(np.random.default_rng(9).normal(0.0, 1e-3, MINUTES)))
    bars[:, :, :4] *= common[None, :, None]
    table = feature_table(bars, np.zeros(bars.shape[:2], dtype=bool), MINUTE)[1, LOOKBACK:]
    own, leader = Columns(bars[1]).returns, Columns(bars[0]).returns
    market = (leader + own) / 2
    expected = {
        "beta_240": talib.BETA(np.cumprod(1 + market), np.cumprod(1 + own), 240),
        "corr_60": talib.CORREL(own, market, 60),
        "lead_corr_60": talib.CORREL(own, np.concatenate([[0.0], leader[:-1]]), 60),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(
            table[:, FEATURE_NAMES.index(name)], values[LOOKBACK:], rtol=0, atol=1e-8, err_msg=name
        )


@pytest.mark.shared
@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT"])
def test_ours_is_talibs_on_real_bars(symbol: str, name: str, shared_data: Path):
    """Two weeks with a halt of the exchange in them; Dogecoin's price moves by few ticks."""
    market = real(shared_data / "binance_2023-03" / "binance" / f"{symbol}.parquet")
    assert market.farthest(name) < (1e-6 if name in ANCHORED else REAL)
