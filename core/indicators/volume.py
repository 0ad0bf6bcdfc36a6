"""Who trades, how much, and at which price: volume, order-flow imbalance read from bars, and volume-weighted prices."""

import math

from core.indicators.series import CLOSES, HIGHS, LOWS, OPENS, RET, TEMP, TYPICAL, VOLUMES, difference
from core.indicators.spec import FeatureSpec
from core.indicators.windows import window_comoment, window_sum
from core.lean import lean
from core.messages import FloatArray

VWAP_MINUTES = (30, 120, 240)
_QUIET = "0 without volume"

SPECS: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        "volume_z_60",
        "standard deviations",
        60,
        "volume against its last hour; 0 when it does not vary",
        "own",
        "(volume - SMA(60)) / STDDEV(60)",
    ),
    FeatureSpec(
        "volume_trend",
        "-1..1",
        60,
        f"(mean volume of 15 min - of 60 min) / their sum; {_QUIET}",
        "own",
        "from SMA(15) and SMA(60) of volume",
    ),
    FeatureSpec("up_volume_15", "-1..1", 15, f"(volume of rising - of falling bars) / volume; {_QUIET}", "own"),
    FeatureSpec("up_volume_60", "-1..1", 60, f"(volume of rising - of falling bars) / volume; {_QUIET}", "own"),
    FeatureSpec(
        "bulk_imbalance_30",
        "-1..1",
        89,
        "(bought - sold) / volume of 30 min, each bar's volume split by its return over the volatility of the hour up "
        f"to it: 2 F(r / rv_60) - 1 = z / sqrt(2 + z^2), with F Student's t of 2 degrees of freedom; {_QUIET}",
        "bulk volume classification, Easley, Lopez de Prado & OPENS'Hara 2012",
    ),
    FeatureSpec(
        "obv_60",
        "-1..1",
        61,
        f"on-balance volume gained in 60 minutes over the volume of these minutes; {_QUIET}",
        "Granville 1963",
        "(OBV - OBV 60 min ago) / sum of volume; OBV itself has no look-back and no scale",
    ),
    FeatureSpec(
        "chaikin_20",
        "-1..1",
        20,
        "Chaikin's money flow: volume weighted by where the close lies in the bar (-1 at the low, 1 at the high); "
        f"{_QUIET}",
        "Chaikin's accumulation/distribution",
        "(AD - AD 20 min ago) / sum of volume",
    ),
    FeatureSpec(
        "mfi_14",
        "-1..1",
        15,
        f"(money flow at rising - at falling typical prices) / all of it, over 14 bars: MFI / 50 - 1; {_QUIET}",
        "money flow index, Quong & Soudack 1989",
        "MFI(14) / 50 - 1 where the flow is above 1 quote unit; below that TA-Lib says 0 (-1 here)",
    ),
    FeatureSpec(
        "illiquidity_trend",
        "-1..1",
        61,
        "a = sum |r| / sum volume over 15 min, b over 60 min: (a - b) / (a + b), above 0 when less volume moves the "
        f"price further than usual; {_QUIET} or movement",
        "Amihud 2002, as a ratio without scale",
    ),
    *(
        FeatureSpec(
            f"vwap_dist_{n}", "fraction", n, f"close / volume-weighted typical price of {n} min - 1; {_QUIET}", "VWAP"
        )
        for n in VWAP_MINUTES
    ),
)
(VOLUME_Z, TREND, UP_15, UP_60, BULK, OBV, CHAIKIN, MFI, ILLIQUIDITY, VWAP) = range(10)


_HOUR, _QUARTER, _HALF, _SCORE = TEMP, TEMP + 1, TEMP + 2, TEMP + 3
_A, _B, _C, _D, _E = TEMP + 4, TEMP + 5, TEMP + 6, TEMP + 7, TEMP + 8


def write(w: FloatArray, base: int, rv_60: int) -> None:
    """Fill the rows of SPECS, from row ``base`` on; row ``rv_60`` holds that feature already."""
    window_sum(w, VOLUMES, 60, _HOUR)
    window_sum(w, VOLUMES, 15, _QUARTER)
    window_sum(w, VOLUMES, 30, _HALF)
    window_sum(w, VOLUMES, 20, _SCORE)
    window_comoment(w, VOLUMES, VOLUMES, 60, base + VOLUME_Z)
    _split(w, rv_60)
    window_sum(w, _A, 15, base + UP_15)
    window_sum(w, _A, 60, base + UP_60)
    window_sum(w, _B, 20, base + CHAIKIN)
    window_sum(w, _C, 30, base + BULK)
    _shares(w, base)
    difference(w, TYPICAL, 1, _A)
    difference(w, CLOSES, 1, _B)
    _flows(w)
    window_sum(w, _B, 60, base + OBV)
    window_sum(w, _A, 14, base + MFI)
    window_sum(w, _C, 14, _A)
    window_sum(w, _D, 15, _B)
    window_sum(w, _D, 60, base + ILLIQUIDITY)
    _balances(w, base)
    for k, minutes in enumerate(VWAP_MINUTES):
        window_sum(w, _E, minutes, _A)
        window_sum(w, VOLUMES, minutes, _B)
        _weighted(w, base + VWAP + k)


@lean
def _split(w: FloatArray, rv_60: int) -> None:
    """Each bar's volume signed by its body (_A), by where it closed (_B), and by its return in bulk (_C)."""
    n = w.shape[1]
    opened, high, low, close, volume, ret = w[OPENS], w[HIGHS], w[LOWS], w[CLOSES], w[VOLUMES], w[RET]
    signed, placed, bought, volatility = w[_A], w[_B], w[_C], w[rv_60]
    for t in range(n):
        traded = volume[t]
        gap = close[t] - opened[t]
        signed[t] = traded if gap > 0.0 else -traded if gap < 0.0 else 0.0
        height = high[t] - low[t]
        place = (close[t] - low[t]) - (high[t] - close[t])
        placed[t] = traded * (place / height) if height > 0.0 else 0.0
        size = ret[t] / volatility[t] if volatility[t] > 0.0 else 0.0
        bought[t] = traded * (size / math.sqrt(2.0 + size * size))


@lean
def _shares(w: FloatArray, base: int) -> None:
    """Volume against its usual size, and signed volume as a share of all."""
    n = w.shape[1]
    volume, hour, quarter, half, score = w[VOLUMES], w[_HOUR], w[_QUARTER], w[_HALF], w[_SCORE]
    z, trend, up_15, up_60 = w[base + VOLUME_Z], w[base + TREND], w[base + UP_15], w[base + UP_60]
    chaikin, bulk = w[base + CHAIKIN], w[base + BULK]
    for t in range(n):
        # Read before anything is chosen (``core.indicators.windows``).
        now, moment, of_60, of_15, of_30, of_20 = volume[t], z[t], hour[t], quarter[t], half[t], score[t]
        rising_15, rising_60, placed, bought = up_15[t], up_60[t], chaikin[t], bulk[t]
        usual = of_60 / 60.0
        recent = of_15 / 15.0
        z[t] = (now - usual) / math.sqrt(moment / 60.0) if moment > 0.0 else 0.0
        trend[t] = (recent - usual) / (recent + usual) if recent + usual > 0.0 else 0.0
        up_15[t] = rising_15 / of_15 if of_15 > 0.0 else 0.0
        up_60[t] = rising_60 / of_60 if of_60 > 0.0 else 0.0
        chaikin[t] = placed / of_20 if of_20 > 0.0 else 0.0
        bulk[t] = bought / of_30 if of_30 > 0.0 else 0.0


@lean
def _flows(w: FloatArray) -> None:
    """From the changes of the typical price (_A) and of the close (_B): money flow signed (_A) and not (_C), volume
    signed by the close (_B), the return's size (_D), and all money that changed hands (_E)."""
    n = w.shape[1]
    volume, typical, ret = w[VOLUMES], w[TYPICAL], w[RET]
    money, signed, gross, moved, value = w[_A], w[_B], w[_C], w[_D], w[_E]
    for t in range(n):
        flow = typical[t] * volume[t]
        gap, change = money[t], signed[t]
        tie = 1e-12 * typical[t]  # two bars of other prices with one sum: their difference is rounding
        money[t] = flow if gap > tie else -flow if gap < -tie else 0.0
        gross[t] = flow if gap > tie or gap < -tie else 0.0
        signed[t] = volume[t] if change > 0.0 else -volume[t] if change < 0.0 else 0.0
        moved[t] = abs(ret[t])
        value[t] = flow


@lean
def _balances(w: FloatArray, base: int) -> None:
    n = w.shape[1]
    hour, quarter, gross, short = w[_HOUR], w[_QUARTER], w[_A], w[_B]
    obv, mfi, thin = w[base + OBV], w[base + MFI], w[base + ILLIQUIDITY]
    for t in range(n):
        obv[t] = obv[t] / hour[t] if hour[t] > 0.0 else 0.0
        mfi[t] = mfi[t] / gross[t] if gross[t] > 0.0 else 0.0
        # a against b without dividing: |r| of 15 min x volume of 60 min, |r| of 60 min x volume of 15 min.
        a = short[t] * hour[t]
        b = thin[t] * quarter[t]
        thin[t] = (a - b) / (a + b) if quarter[t] > 0.0 and a + b > 0.0 else 0.0


@lean
def _weighted(w: FloatArray, to: int) -> None:
    """Distance of the close from money (_A) over volume (_B)."""
    n = w.shape[1]
    close, money, traded, out = w[CLOSES], w[_A], w[_B], w[to]
    for t in range(n):
        out[t] = close[t] * traded[t] / money[t] - 1.0 if money[t] > 0.0 else 0.0
