"""Made-up markets: seeded, labelled, and honest about whether anything in them can be earned.

The model, per minute t and asset a (all draws from generators seeded by (seed, asset, purpose), so that a further
asset changes no other):

* volatility state: two states (calm, turbulent), Markov, common to all; a daily curve in volatility and volume;
* fair-value return R = beta_a * F + E_a + J + D, simple returns; F common, E own, J jumps, all symmetric around zero
  given the past, so without D the price is a martingale;
* D is the planted edge. At an *informed minute* of asset a (volume ``INFORMED_VOLUME`` times usual and a move of
  ``INFORMED_SIGMAS`` usual sizes or more) the price drifts on in the direction of that minute's bar, evenly over
  the next ``horizon`` minutes, ``edge_bps`` in all (before costs). With ``edge="none"`` informed minutes look the
  same and nothing follows;
* bars: close = fair value on the tick grid, open = the close before, high and low from the maximum and minimum of a
  Brownian bridge, M = (x + sqrt(x^2 - 2 v ln U)) / 2 for a bridge from 0 to x with variance v (Glasserman,
  Monte Carlo Methods in Financial Engineering, 2003, section 6.4);
* volume: log-normal, times the daily curve, the state and the size of the move; 0.00001 base units a step;
* Upbit: the fair value times the USDT/KRW rate times exp(premium), both wandering without drift;
* silence: the Binance way an empty minute is a flat bar with volume 0, the Upbit way there is no bar at all; a halt
  stops a whole venue (flat empty bars, then a hole), fair value moving on meanwhile.

Rounding to ticks makes observed closes bounce by less than a tick (0.5 KRW on USDT/KRW is 3.6 bps; below 1 bp
for the Binance pairs); that, and closes that stand still over an empty minute, is all there is to predict when the
edge is ``none``.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import DataError
from core.units import BPS, DAY_MS, MINUTE_MS, Instrument
from data.lake import Lake
from data.schema import VALUES
from data.sentiment import SentimentSeries, daily_series, store_series
from data.synthetic_spec import (
    ASSETS,
    CALM_MINUTES,
    FACTOR_SHARE,
    INFORMED_CHANCE,
    INFORMED_SIGMAS,
    INFORMED_VOLUME,
    JUMP_SIGMAS,
    JUMPS_A_DAY,
    KRW_TICKS,
    MINUTES_A_DAY,
    MODEL_VERSION,
    PREMIUM_SIGMA,
    RATE_SIGMA,
    STATE_SCALE,
    TURBULENT_MINUTES,
    UPBIT_EMPTY,
    UPBIT_SHARE,
    USDT_KRW,
    SyntheticSpec,
)
from data.verify import MARKET_FILE


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticMarket:
    """A market that never was. T minutes from ``spec.start_ms``; NaN where there is no bar."""

    spec: SyntheticSpec
    bars: dict[Instrument, np.ndarray]
    """(T, 5) float64 open, high, low, close, volume."""
    sentiment: SentimentSeries
    turbulent: np.ndarray
    """(T,) bool, the volatility state."""
    premium: np.ndarray
    """(T,) log of BTC/KRW over BTC/USDT times USDT/KRW, before rounding."""
    truth_bps: dict[Instrument, np.ndarray] = field(default_factory=dict)
    """(T,) planted drift of the ``horizon`` minutes after each close, as far as it is known then: the best forecast."""

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return tuple(self.bars)

    def array(self, instruments: Sequence[Instrument]) -> np.ndarray:
        """(S, T, 5) in the order asked for; DataError for an instrument that is not in the market."""
        for instrument in instruments:
            if instrument not in self.bars:
                raise DataError(
                    f"synthetic market {self.spec.name!r} has no {instrument}; it has {', '.join(map(str, self.bars))}"
                )
        return np.stack([self.bars[i] for i in instruments])


def make_market(spec: SyntheticSpec) -> SyntheticMarket:
    """Make the whole market in memory (0.1 s for 3 days of 8 instruments)."""
    minutes = spec.minutes
    turbulent = _states(spec)
    pace = _daily_curve(minutes) * np.where(turbulent, STATE_SCALE[1], STATE_SCALE[0])
    factor = _generator(spec, "factor").standard_normal(minutes)
    rate = USDT_KRW * _walk(RATE_SIGMA * _generator(spec, "rate").standard_normal(minutes))
    premium = np.cumsum(PREMIUM_SIGMA * _generator(spec, "premium").standard_normal(minutes)) + 0.01
    halted = {venue: _halts(spec, venue) for venue in ("binance", "upbit")}
    bars: dict[Instrument, np.ndarray] = {}
    truth: dict[Instrument, np.ndarray] = {}
    kit = {}
    for base in dict.fromkeys((*spec.binance, *spec.upbit)):
        kit[base] = _fair_value(spec, base, factor, pace)
    for base in spec.binance:
        value, sigma, surge, coming = kit[base]
        instrument = Instrument("binance", f"{base}/USDT")
        asset = ASSETS[base]
        market = _Quoting(value, sigma, surge, float(asset.ticks_per_unit), asset.turnover / value[0], asset.empty)
        bars[instrument] = _bars(spec, instrument, market, pace, halted["binance"])
        truth[instrument] = coming
    for base in spec.upbit:
        value, sigma, surge, coming = kit[base]
        instrument = Instrument("upbit", f"{base}/KRW")
        asset = ASSETS[base]
        won = value * rate * np.exp(premium)
        quantity = asset.turnover * UPBIT_SHARE / value[0]
        market = _Quoting(won, sigma, surge, _krw_ticks(float(won[0])), quantity, asset.empty * UPBIT_EMPTY)
        bars[instrument] = _bars(spec, instrument, market, pace, halted["upbit"])
        truth[instrument] = coming
    if spec.upbit:
        instrument = Instrument("upbit", "USDT/KRW")
        market = _Quoting(rate, np.full(minutes, RATE_SIGMA), np.ones(minutes), 2.0, 200_000.0, 0.002)
        bars[instrument] = _bars(spec, instrument, market, pace, halted["upbit"])
        truth[instrument] = np.zeros(minutes)
    return SyntheticMarket(spec, bars, _sentiment(spec), turbulent, premium, truth)


def write_market(market: SyntheticMarket, root: Path) -> Lake:
    """Store the market as a lake of its own under ``root``, with ``market.json`` beside; returns the lake.

    A root that holds another market (or anything else of the kind) is refused rather than mixed with.
    """
    root, spec = Path(root), market.spec
    described = describe(market)
    path = root / MARKET_FILE
    if path.exists():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: can not be read ({error}); delete {root} and make the market again") from error
        if stored != described:
            raise DataError(
                f"{root}: holds another synthetic market (seed {stored.get('seed')}); choose another name or delete it"
            )
    lake = Lake(root)
    if not path.exists() and lake.instruments():
        raise DataError(f"{root}: holds bars but no {MARKET_FILE}: no synthetic market is written there")
    # Before the bars: what a crash leaves behind is labelled, and completed by the same command.
    try:
        root.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: could not be written ({error}); is the disk full or the folder read-only?") from error
    ts = spec.start_ms + np.arange(spec.minutes, dtype=np.int64) * MINUTE_MS
    for instrument, bars in market.bars.items():
        there = np.isfinite(bars[:, 0])
        columns = {name: bars[there, at] for at, name in enumerate(VALUES)}
        lake.write(instrument, pl.DataFrame({"ts": ts[there], **columns}), "synthetic", spec.label)
    store_series(root, market.sentiment)
    return lake


def describe(market: SyntheticMarket) -> dict[str, object]:
    """What ``market.json`` says: that it is synthetic, how it was made, and what can be earned in it."""
    spec = market.spec
    words = {
        "planted": f"after a minute with {INFORMED_VOLUME:g} times the usual volume or more and a move of at least "
        f"{INFORMED_SIGMAS:g} usual sizes, the price goes on in that minute's direction: {spec.edge_bps:g} bps over "
        f"the next {spec.horizon} minutes, evenly, before costs; about once an hour and asset",
        "none": "a martingale: nothing can be earned, costs are lost",
    }
    settings = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(spec).items()}
    return {
        "synthetic": True,
        "model_version": MODEL_VERSION,
        **settings,
        "edge_in_words": words[spec.edge],
        "instruments": [str(instrument) for instrument in market.instruments],
        "minutes": spec.minutes,
        "end_ms": spec.start_ms + spec.minutes * MINUTE_MS,
    }


@dataclass(frozen=True, slots=True)
class _Quoting:
    """How one venue quotes one asset: (T,) fair value and usual move, ticks per quote unit, volume, silence."""

    value: np.ndarray
    sigma: np.ndarray
    surge: np.ndarray
    ticks_per_unit: float
    quantity: float
    empty: float


def _generator(spec: SyntheticSpec, *purpose: str) -> np.random.Generator:
    return np.random.default_rng([spec.seed, *(zlib.crc32(word.encode()) for word in purpose)])


def _walk(returns: np.ndarray) -> np.ndarray:
    """(T,) product of 1 + R: a martingale when R is symmetric given the past."""
    return np.cumprod(1.0 + np.clip(returns, -0.5, 0.5))


def _states(spec: SyntheticSpec) -> np.ndarray:
    """(T,) bool: turbulent. Markov, drawn as geometric lengths of stay."""
    rng = _generator(spec, "states")
    count = 2 + int(4 * spec.minutes / min(CALM_MINUTES, TURBULENT_MINUTES))
    means = np.where(np.arange(count) % 2 == 0, CALM_MINUTES, TURBULENT_MINUTES)
    return np.repeat(np.arange(count) % 2 == 1, rng.geometric(1.0 / means))[: spec.minutes]


def _daily_curve(minutes: int) -> np.ndarray:
    """(T,) around 1: quiet at 04 UTC, busy when Europe and America overlap (a peak at 15 UTC)."""
    hour = (np.arange(minutes) % MINUTES_A_DAY) / 60.0
    return 1.0 + 0.3 * np.cos(2 * np.pi * (hour - 15.0) / 24.0) + 0.1 * np.cos(4 * np.pi * (hour - 14.0) / 24.0)


def _fair_value(
    spec: SyntheticSpec, base: str, factor: np.ndarray, pace: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(T,) fair value in USDT at each minute's end, usual move, volume multiple, planted drift still to come in bps."""
    asset, minutes = ASSETS[base], spec.minutes
    rng = _generator(spec, "asset", base)
    sigma = asset.sigma * pace
    own = rng.standard_normal(minutes)
    common = asset.beta * np.sqrt(FACTOR_SHARE)
    shock = common * factor + np.sqrt(1.0 - FACTOR_SHARE) * own
    jumped = rng.random(minutes) < JUMPS_A_DAY / MINUTES_A_DAY
    shock = shock + jumped * JUMP_SIGMAS * rng.standard_normal(minutes)
    informed = rng.random(minutes) < INFORMED_CHANCE
    way = np.where(rng.random(minutes) < 0.5, -1.0, 1.0)
    strong = way * (INFORMED_SIGMAS + 0.5 * np.abs(rng.standard_normal(minutes)))
    shock = np.where(informed, strong, shock)
    step = spec.edge_bps / BPS / spec.horizon if spec.edge == "planted" else 0.0
    signal = np.where(informed, way, 0.0)
    drift = np.zeros(minutes)
    coming = np.zeros(minutes)
    for ahead in range(1, spec.horizon + 1):
        drift[ahead:] += step * signal[:-ahead]
        # At a close, an informed minute `ahead - 1` minutes old has the rest of its horizon still before it.
        late = ahead - 1
        coming[late:] += step * (spec.horizon - late) * BPS * signal[: minutes - late]
    surge = np.where(informed, INFORMED_VOLUME, 1.0) * (1.0 + 0.5 * np.minimum(np.abs(shock), 6.0))
    return asset.price * _walk(sigma * shock + drift), sigma, surge, coming


def _bars(
    spec: SyntheticSpec, instrument: Instrument, market: _Quoting, pace: np.ndarray, halt: np.ndarray
) -> np.ndarray:
    """(T, 5) bars of one instrument, NaN where there is none. ``halt``: 0 trading, 1 flat and empty, 2 no bar."""
    rng = _generator(spec, "bars", str(instrument))
    minutes = spec.minutes
    silent = (rng.random(minutes) < market.empty) | (halt > 0)
    silent[0] = False
    # The last close that traded stands until somebody trades again.
    seen = np.maximum.accumulate(np.where(silent, 0, np.arange(minutes)))
    close = np.log(market.value[seen])
    opened = np.concatenate([np.log(market.value[:1]), close[:-1]])
    move = close - opened
    variance = market.sigma**2
    up = (move + np.sqrt(move**2 - 2.0 * variance * np.log1p(-rng.random(minutes)))) / 2.0
    down = (move - np.sqrt(move**2 - 2.0 * variance * np.log1p(-rng.random(minutes)))) / 2.0
    ticks = market.ticks_per_unit
    grid = np.rint(np.exp(np.stack([opened, opened + up, opened + down, close])) * ticks)
    grid[1] = np.maximum(grid[1], np.maximum(grid[0], grid[3]))
    grid[2] = np.maximum(1.0, np.minimum(grid[2], np.minimum(grid[0], grid[3])))
    noise = np.exp(0.6 * rng.standard_normal(minutes) - 0.18)
    volume = np.maximum(1.0, np.rint(market.quantity * pace * market.surge * noise * 1e5)) / 1e5
    # One whole number over another is the float nearest to the decimal, so that prices survive the wire.
    bars = np.column_stack([*(grid / ticks), volume])
    bars[silent] = np.column_stack([np.repeat(bars[silent, 3][:, None], 4, axis=1), np.zeros(int(silent.sum()))])
    gone = halt == 2
    if instrument.venue == "upbit":
        gone = gone | silent
    bars[gone] = np.nan
    return bars


def _krw_ticks(price: float) -> float:
    """Ticks per KRW at ``price``; one tick for the whole market, chosen by its first price."""
    tick = next(tick for floor, tick in KRW_TICKS if price >= floor)
    return 1.0 / tick if tick >= 1 else float(round(1.0 / tick))


def _halts(spec: SyntheticSpec, venue: str) -> np.ndarray:
    """(T,) 0 trading, 1 halted with flat empty bars, 2 halted without bars. At least one halt in two days or more."""
    rng = _generator(spec, "halts", venue)
    out = np.zeros(spec.minutes, dtype=np.int8)
    if spec.halts_a_day <= 0:
        return out
    count = int(rng.poisson(spec.halts_a_day * spec.days)) or int(spec.days >= 2)
    for _ in range(count):
        start = int(rng.integers(MINUTES_A_DAY // 4, spec.minutes))
        flat, hole = int(rng.integers(2, 15)), int(rng.integers(5, 40))
        out[start : start + flat] = 1
        out[start + flat : start + flat + hole] = 2
    return out


def _sentiment(spec: SyntheticSpec) -> SentimentSeries:
    """A mood a day, wandering around 50 and blind to prices; the day before the start is known at the start."""
    noise = _generator(spec, "sentiment").standard_normal(spec.days + 2)
    mood, level = np.empty(spec.days + 2), 0.0
    for day, shock in enumerate(noise):
        level = 0.9 * level + 7.0 * shock
        mood[day] = level
    stamps = spec.start_ms + (np.arange(spec.days + 2, dtype=np.int64) - 1) * DAY_MS
    series = daily_series(stamps, np.rint(np.clip(50.0 + mood, 3, 97)))
    return SentimentSeries(series.knowable_ms, series.value, spec.label)
