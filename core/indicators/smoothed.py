"""Recursive indicators: averages that never quite forget, and trends that remember their side.

Strictly these look back for ever. Here they are *anchored*: time is cut into blocks of BLOCK_MINUTES (absolute, the
same for everyone), and for the minutes of a block the recursion starts ANCHOR_BARS bars before the block begins. So a
value is a function of at most LOOKBACK bars, the same live and in a table, bit for bit, and a table costs one step a
minute (one and a half, with the run-in). What is forgotten by starting there weighs (13/14)^300 = 2e-10 in the slowest
average used (Wilder's of 14), so the values equal those of TA-Lib over the whole history to better than 1e-6 of their
size. (In a halt nothing is forgotten: indices that are ratios keep their value, and a run-in that lies in one is short.)

Averages begin as the plain mean of what there is until their period is full, as TA-Lib's do. A bar that is not known
ends the recursion: NaN until the next block whose run-in is known.
"""

import math

from core.indicators.series import is_known
from core.indicators.spec import ANCHORED, FeatureSpec
from core.lean import inner, lean
from core.messages import CLOSE, HIGH, LOW, FloatArray


def _spec(name: str, unit: str, doc: str, source: str, talib: str) -> FeatureSpec:
    return FeatureSpec(name, unit, ANCHORED, doc, source, talib)


_WILDER = "Wilder 1978"

SPECS: tuple[FeatureSpec, ...] = (
    _spec("ema_gap", "fraction", "EMA 12 / EMA 26 - 1", "Appel's MACD, as a fraction", "PPO(12, 26, EMA) / 100"),
    _spec(
        "macd_signal",
        "fraction",
        "EMA 9 of (EMA 12 - EMA 26), over the close",
        "Appel's MACD",
        "macdsignal of MACD(12, 26, 9) / close",
    ),
    _spec(
        "macd_hist",
        "fraction",
        "(EMA 12 - EMA 26) less its EMA 9, over the close",
        "Appel's MACD",
        "macdhist of MACD(12, 26, 9) / close",
    ),
    _spec(
        "rsi_14",
        "-1..1",
        "(average gain - average loss) / their sum: RSI / 50 - 1; 0 when flat",
        _WILDER,
        "RSI(14) / 50 - 1",
    ),
    _spec("natr_14", "fraction", "average true range / close", _WILDER, "NATR(14) / 100"),
    _spec("adx_14", "0..1", "strength of the trend, either way; 0 when flat", _WILDER, "ADX(14) / 100"),
    _spec(
        "di_gap_14",
        "-1..1",
        "plus less minus directional indicator: which way it trends; 0 when flat",
        _WILDER,
        "(PLUS_DI(14) - MINUS_DI(14)) / 100",
    ),
    _spec(
        "keltner_20",
        "1",
        "(close - EMA 20) / (2 ATR 10): -1 at the lower, 1 at the upper line; 0 when flat",
        "Keltner's channel in Raschke's form",
        "from EMA(20) and ATR(10)",
    ),
    _spec(
        "supertrend_10",
        "fraction",
        "(close - trailing line) / close, above 0 in an up-trend: the line lies 3 ATR 10 from the middle of the bar, "
        "moves only with the trend, and changes sides when the close crosses it",
        "Seban's Supertrend",
        "none: not in TA-Lib",
    ),
)
(EMA_GAP, SIGNAL, HISTOGRAM, RSI, NATR, ADX, DI_GAP, KELTNER, SUPERTREND) = range(9)


@inner
def _share(count: float, period: float, share: float) -> float:
    """Weight of the newest value: a plain mean until ``period`` values are in, then ``share``."""
    return 1.0 / count if count <= period else share


@lean
def write(bars: FloatArray, s: int, anchor: int, first: int, end: int, to: int, w: FloatArray, base: int) -> None:
    """Fill the rows of SPECS for the bars [first, end) of instrument ``s``, from column ``to`` on.

    ``anchor`` is the index where the recursion starts; when it lies before the bars, all is NaN.
    """
    for k in range(9):
        for t in range(to, to + end - first):
            w[base + k, t] = math.nan
    if anchor < 0:
        return
    fast = slow = signal = middle = gain = loss = wide = near = plus = minus = strength = 0.0
    before_high = before_low = before = 0.0
    upper = lower = 0.0
    rising = True
    count = 0.0
    trends = 0.0
    for at in range(anchor, end):
        if not is_known(bars, s, at):
            return
        high, low, close = bars[s, at, HIGH], bars[s, at, LOW], bars[s, at, CLOSE]
        count += 1.0
        fast += (close - fast) * _share(count, 12.0, 2.0 / 13.0)
        slow += (close - slow) * _share(count, 26.0, 2.0 / 27.0)
        middle += (close - middle) * _share(count, 20.0, 2.0 / 21.0)
        gap = fast - slow
        signal += (gap - signal) * _share(count, 9.0, 0.2)
        if count > 1.0:
            top = high if high > before else before
            bottom = low if low < before else before
            true_range = top - bottom
            steps = count - 1.0
            wilder = _share(steps, 14.0, 1.0 / 14.0)
            change = close - before
            up = high - before_high
            down = before_low - low
            gain += ((change if change > 0.0 else 0.0) - gain) * wilder
            loss += ((-change if change < 0.0 else 0.0) - loss) * wilder
            wide += (true_range - wide) * wilder
            near += (true_range - near) * _share(steps, 10.0, 0.1)
            plus += ((up if up > down and up > 0.0 else 0.0) - plus) * wilder
            minus += ((down if down > up and down > 0.0 else 0.0) - minus) * wilder
            if plus + minus > 0.0:
                trends += 1.0
                strength += (abs(plus - minus) / (plus + minus) - strength) * _share(trends, 14.0, 1.0 / 14.0)
            heart = (high + low) / 2.0
            over = heart + 3.0 * near
            under = heart - 3.0 * near
            # A line moves only towards the price, until the close of the bar before had crossed it.
            upper = over if over < upper or before > upper else upper
            lower = under if under > lower or before < lower else lower
            rising = close >= lower if rising else close > upper
        else:
            upper = lower = (high + low) / 2.0
        before_high, before_low, before = high, low, close
        if at >= first:
            t = to + at - first
            w[base + EMA_GAP, t] = fast / slow - 1.0
            w[base + SIGNAL, t] = signal / close
            w[base + HISTOGRAM, t] = (gap - signal) / close
            w[base + RSI, t] = (gain - loss) / (gain + loss) if gain + loss > 0.0 else 0.0
            w[base + NATR, t] = wide / close
            w[base + ADX, t] = strength
            w[base + DI_GAP, t] = (plus - minus) / wide if wide > 0.0 else 0.0
            w[base + KELTNER, t] = (close - middle) / (2.0 * near) if near > 0.0 else 0.0
            w[base + SUPERTREND, t] = (close - (lower if rising else upper)) / close
