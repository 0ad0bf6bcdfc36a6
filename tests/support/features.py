"""Every feature of the last bar written down again, the slow and obvious way with numpy, for tests to compare with."""

import math

import numpy as np

from core.extras import Extras
from core.indicators import news
from core.indicators.spec import ANCHOR_BARS, BLOCK_MINUTES
from core.messages import CLOSE, HIGH, LOW, OPEN, VOLUME
from core.units import MINUTE_MS

HOUR = np.s_[-60:]


def reference(bars: np.ndarray, filler: np.ndarray, minute: int, extras: Extras, s: int) -> dict[str, float]:
    """Features by name of instrument ``s``; bars (S, T, 5) all known, T >= LOOKBACK."""
    o, h, low, c, v = (bars[s, :, k] for k in (OPEN, HIGH, LOW, CLOSE, VOLUME))
    out = prices(o, h, low, c, v) | bands(h, low, c) | recursive(bars[s], minute)
    out |= shapes(o, h, low, c) | crossed(bars, filler, s)
    of_day = minute // MINUTE_MS % 1440
    week = (minute // MINUTE_MS + 3 * 1440) % 10_080
    for name, place, period in (("hour", of_day % 60, 60), ("day", of_day, 1440), ("week", week, 10_080)):
        angle = 2 * math.pi * place / period
        out[f"{name}_sin"], out[f"{name}_cos"] = math.sin(angle), math.cos(angle)
    out["fear_greed"] = extras.mood[-1] / 50 - 1
    out["fear_greed_known"] = 1.0
    hour = extras.premium[s, HOUR]
    out["premium"] = float(np.nan_to_num(hour[-1]))
    out["premium_gap_60"] = hour[-1] - hour.mean() if np.isfinite(hour).all() else 0.0
    out["premium_known"] = np.isfinite(hour).mean()
    for k, spec in enumerate(news.SPECS):
        out[spec.name] = 0.0 if extras.news is None else extras.news[s, -1, k]
    out["is_filler"] = float(filler[s, -1])
    out["filler_share_30"] = filler[s, -30:].mean()
    return out


def prices(o: np.ndarray, h: np.ndarray, low: np.ndarray, c: np.ndarray, v: np.ndarray) -> dict[str, float]:
    """Returns, volatilities and volumes."""
    r = np.diff(np.log(c))
    typical = (h + low + c) / 3
    out = {f"ret_{n}": math.log(c[-1] / c[-1 - n]) for n in (1, 5, 15, 30, 60, 120, 240)}
    out |= {f"rv_{n}": math.sqrt(np.mean(r[-(n - 1) :] ** 2)) for n in (15, 60, 240)}
    height, body = np.log(h / low)[HOUR], np.log(c / o)[HOUR]
    out["parkinson_60"] = math.sqrt(np.mean(height**2) / (4 * math.log(2)))
    out["garman_klass_60"] = math.sqrt(np.mean(0.5 * height**2 - (2 * math.log(2) - 1) * body**2))
    up, down = np.log(h / c) * np.log(h / o), np.log(low / c) * np.log(low / o)
    out["rogers_satchell_60"] = math.sqrt(np.mean((up + down)[HOUR]))
    hour = r[HOUR]
    out["downside_60"] = np.sum(hour[hour < 0] ** 2) / np.sum(hour**2)
    out["skew_60"] = math.sqrt(60) * np.sum(hour**3) / np.sum(hour**2) ** 1.5
    out["jump_60"] = max(0.0, 1 - math.pi / 2 * np.sum(np.abs(r[HOUR] * r[-61:-1])) / np.sum(hour**2))
    out["autocorr_30"] = np.sum(r[-29:] * r[-30:-1]) / np.sum(r[-30:] ** 2)
    out["volume_z_60"] = (v[-1] - v[HOUR].mean()) / v[HOUR].std()
    out["volume_trend"] = (v[-15:].mean() - v[HOUR].mean()) / (v[-15:].mean() + v[HOUR].mean())
    for n in (15, 60):
        out[f"up_volume_{n}"] = np.sum(np.sign(c[-n:] - o[-n:]) * v[-n:]) / v[-n:].sum()
    z = np.array([r[t - 1] / math.sqrt(np.mean(r[t - 59 : t] ** 2)) for t in range(len(c) - 30, len(c))])
    out["bulk_imbalance_30"] = np.sum(z / np.sqrt(2 + z**2) * v[-30:]) / v[-30:].sum()
    out["obv_60"] = np.sum(np.sign(np.diff(c)[HOUR]) * v[HOUR]) / v[HOUR].sum()
    place = np.divide((c - low) - (h - c), h - low, out=np.zeros_like(c), where=h > low)
    out["chaikin_20"] = np.sum((place * v)[-20:]) / v[-20:].sum()
    change, flow = np.diff(typical)[-14:], (typical * v)[-14:]
    out["mfi_14"] = np.sum(np.sign(change) * flow) / np.sum(flow[change != 0])
    thin = [np.abs(r[-n:]).sum() / v[-n:].sum() for n in (15, 60)]
    out["illiquidity_trend"] = (thin[0] - thin[1]) / (thin[0] + thin[1])
    for n in (30, 120, 240):
        out[f"vwap_dist_{n}"] = c[-1] / (np.sum(typical[-n:] * v[-n:]) / v[-n:].sum()) - 1
    return out


def _middle(h: np.ndarray, low: np.ndarray, n: int, ago: int = 0) -> float:
    end = len(h) - ago
    return (h[end - n : end].max() + low[end - n : end].min()) / 2


def bands(h: np.ndarray, low: np.ndarray, c: np.ndarray) -> dict[str, float]:
    """Channels and oscillators over finite windows."""
    typical = (h + low + c) / 3
    true_range = np.maximum(h[1:], c[:-1]) - np.minimum(low[1:], c[:-1])
    middle, deviation = c[-20:].mean(), c[-20:].std()
    out = {"bollinger_b_20": (c[-1] - (middle - 2 * deviation)) / (4 * deviation)}
    out["bollinger_width_20"] = 4 * deviation / middle
    out["sma_gap"] = c[-20:].mean() / c[HOUR].mean() - 1
    out["slope_30"] = np.polyfit(np.arange(30), c[-30:] - c[-1], 1)[0] / c[-1]
    raw = []
    for t in range(len(c) - 5, len(c)):
        top, bottom = h[t - 13 : t + 1].max(), low[t - 13 : t + 1].min()
        raw.append((c[t] - bottom) / (top - bottom))
    slow = [np.mean(raw[k : k + 3]) for k in range(3)]
    out["stoch_k_14"], out["stoch_d_14"] = slow[-1], np.mean(slow)
    for n in (60, 240):
        out[f"range_pos_{n}"] = (c[-1] - low[-n:].min()) / (h[-n:].max() - low[-n:].min())
    top, bottom = h[-21:-1].max(), low[-21:-1].min()
    out["donchian_20"] = (c[-1] - (top + bottom) / 2) / ((top - bottom) / 2)
    mean = typical[-20:].mean()
    out["cci_20"] = (typical[-1] - mean) / (0.015 * np.abs(typical[-20:] - mean).mean()) / 100
    since = [int(np.argmax(x[::-1])) for x in (h[-26:], -low[-26:])]
    out["aroon_25"] = (since[1] - since[0]) / 25
    out["atr_ratio"] = true_range[-14:].mean() / true_range[HOUR].mean()
    out["ichimoku_cross"] = (_middle(h, low, 9) - _middle(h, low, 26)) / c[-1]
    cloud = sorted([(_middle(h, low, 9, 26) + _middle(h, low, 26, 26)) / 2, _middle(h, low, 52, 26)])
    inside = min(max(c[-1], cloud[0]), cloud[1])
    out["ichimoku_cloud"] = (c[-1] - inside) / c[-1]
    return out


def smooth(values: np.ndarray, period: int, share: float) -> np.ndarray:
    """A plain mean until ``period`` values are in, then exponential with ``share``."""
    out, mean = [], 0.0
    for k, value in enumerate(values, 1):
        mean += (value - mean) * (1 / k if k <= period else share)
        out.append(mean)
    return np.array(out)


def recursive(bars: np.ndarray, minute: int) -> dict[str, float]:
    """Smoothed from the anchor of the minute's block on."""
    into = minute // MINUTE_MS % BLOCK_MINUTES
    part = bars[len(bars) - 1 - into - ANCHOR_BARS :]
    h, low, c = part[:, HIGH], part[:, LOW], part[:, CLOSE]
    fast, slow = smooth(c, 12, 2 / 13), smooth(c, 26, 2 / 27)
    signal = smooth(fast - slow, 9, 0.2)
    out = {"ema_gap": fast[-1] / slow[-1] - 1, "macd_signal": signal[-1] / c[-1]}
    out["macd_hist"] = (fast[-1] - slow[-1] - signal[-1]) / c[-1]
    true_range = np.maximum(h[1:], c[:-1]) - np.minimum(low[1:], c[:-1])
    change, up, down = np.diff(c), np.diff(h), -np.diff(low)

    def wilder(x: np.ndarray) -> np.ndarray:
        return smooth(x, 14, 1 / 14)

    gain, loss = wilder(np.maximum(change, 0)), wilder(np.maximum(-change, 0))
    out["rsi_14"] = (gain[-1] - loss[-1]) / (gain[-1] + loss[-1])
    wide, near = wilder(true_range), smooth(true_range, 10, 0.1)
    out["natr_14"] = wide[-1] / c[-1]
    plus, minus = wilder(np.where((up > down) & (up > 0), up, 0)), wilder(np.where((down > up) & (down > 0), down, 0))
    moved = plus + minus > 0
    out["adx_14"] = wilder((np.abs(plus - minus)[moved]) / (plus + minus)[moved])[-1]
    out["di_gap_14"] = (plus[-1] - minus[-1]) / wide[-1]
    out["keltner_20"] = (c[-1] - smooth(c, 20, 2 / 21)[-1]) / (2 * near[-1])
    upper = lower = (h[0] + low[0]) / 2
    rising = True
    for t in range(1, len(c)):
        middle = (h[t] + low[t]) / 2
        upper = middle + 3 * near[t - 1] if middle + 3 * near[t - 1] < upper or c[t - 1] > upper else upper
        lower = middle - 3 * near[t - 1] if middle - 3 * near[t - 1] > lower or c[t - 1] < lower else lower
        rising = c[t] >= lower if rising else c[t] > upper
    out["supertrend_10"] = (c[-1] - (lower if rising else upper)) / c[-1]
    return out


def shapes(o: np.ndarray, h: np.ndarray, low: np.ndarray, c: np.ndarray) -> dict[str, float]:
    height = h[-1] - low[-1]
    true_range = np.maximum(h[1:], c[:-1]) - np.minimum(low[1:], c[:-1])
    out = {"body": (c[-1] - o[-1]) / height, "bar_size": true_range[-1] / true_range[HOUR].mean()}
    out["upper_wick"] = (h[-1] - max(o[-1], c[-1])) / height
    out["lower_wick"] = (min(o[-1], c[-1]) - low[-1]) / height
    colour = [1 if c[k] >= o[k] else -1 for k in (-2, -1)]
    ends = sorted([(c[-1] - o[-2]) * colour[1], (c[-2] - o[-1]) * colour[1]])
    covers = colour[0] != colour[1] and ends[0] >= 0 and ends[1] > 0
    out["engulfing"] = (colour[1] * (1.0 if ends[0] > 0 else 0.8)) if covers else 0.0
    return out


def crossed(bars: np.ndarray, filler: np.ndarray, s: int) -> dict[str, float]:
    """Against the market and its leader."""
    r = np.diff(np.log(bars[:, :, CLOSE]), axis=1)
    traded = ~filler[:, 1:]
    count = traded.sum(axis=0)
    market = np.divide((r * traded).sum(axis=0), count, out=np.zeros(r.shape[1]), where=count > 0)
    scatter = (((r - market) ** 2) * traded).sum(axis=0) / np.maximum(count, 1)
    own, leader = r[s], r[0]
    out = {f"market_ret_{n}": market[-n:].sum() for n in (15, 60)}
    both = np.cov(own[-240:], market[-240:])
    out["beta_240"] = both[0, 1] / both[1, 1]
    out["corr_60"] = np.corrcoef(own[HOUR], market[HOUR])[0, 1]
    for n in (15, 60):
        out[f"residual_{n}"] = own[-n:].sum() - out["beta_240"] * market[-n:].sum()
    out["dispersion_15"] = math.sqrt(scatter[-15:].mean())
    moved = r[:, -15:].sum(axis=1)
    out["breadth_15"] = float(np.mean(np.where(np.abs(moved) < 1e-12, 0, np.sign(moved))))
    out["leader_ret_1"], out["leader_ret_5"] = leader[-1], leader[-5:].sum()
    out["leader_gap_5"] = leader[-5:].sum() - own[-5:].sum()
    out["lead_corr_60"] = np.corrcoef(own[HOUR], leader[-61:-1])[0, 1]
    out["leader_known"] = float(not filler[0, -1])
    out["peers"] = float(np.delete(~filler[:, -1], s).mean())
    return out
