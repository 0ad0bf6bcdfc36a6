"""Were the entries better than random ones? The same trades, moved in time at random, at the same costs.

The null: what was held, for how long and of which instruments has nothing to do with what prices did next. Moving all
trades by one random distance (time taken as a circle) keeps their number, holding times, sizes and what was held
together with what, and breaks only the timing; drifting each trade alone would pretend that positions held at the
same time are independent chances, and so find significance in one lucky hour.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from core.messages import FloatArray
from core.units import MINUTE_MS
from tune.result import Result
from tune.stats.trades import Trip, trips_of

Closes = FloatArray | Callable[[int], FloatArray]
"""(P, S) closes, or what gives the (P,) of one instrument, so that not all need be in memory."""
RESOLUTION = 4
"""The median holding time must be this many times the distance of the known prices, else they cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RandomEntry:
    """The run's net profit against that of runs that entered at random."""

    trades: int
    resamples: int
    realised: float
    """USDT after all costs, of all trades; open ones at the last close."""
    random: FloatArray
    """(R,) USDT after the same fees, spread and impact, sorted."""
    p: float
    """Share of random runs that did at least as well, the real one counted among them: (1 + k) / (1 + R)."""

    @property
    def median(self) -> float:
        return float(np.median(self.random))


def random_entry(
    result: Result,
    rng: np.random.Generator,
    prices: tuple[np.ndarray, Closes] | None = None,
    resamples: int = 2_000,
    together: bool = True,
    trips: list[Trip] | None = None,
) -> RandomEntry | None:
    """p-value of the realised net profit; None without a trade or where prices are too sparse for the holding times.

    ``prices`` are (minute (P,) epoch ms increasing, close (P, S) quote units, or what gives one instrument's (P,)) of
    ``result.instruments``; by default those of ``result.grid``. One instrument's are held at a time. A moved trade begins with the same worth as the real one. ``together=False`` moves each
    trade by itself (see above why that flatters); ``trips`` are the result's where they are known already. The p-value counts the real run among the random ones, so it is
    never 0 (Davison & Hinkley 1997, "Bootstrap Methods and their Application", eq. 4.11).
    """
    minute, close = prices if prices is not None else (result.minute[result.grid], result.close)
    rows = {instrument.symbol: s for s, instrument in enumerate(result.instruments)}
    trips = [t for t in (trips_of(result) if trips is None else trips) if t.symbol in rows and t.bought > 0.0]
    if not trips or len(minute) < 2:
        return None
    distance = float(np.median(np.diff(minute))) / MINUTE_MS
    held = float(np.median([(t.exit_ms - t.entry_ms) / MINUTE_MS for t in trips]))
    if distance > 1.0 and held < RESOLUTION * distance:
        return None
    closes_of = close if callable(close) else lambda s: close[:, s]
    traded = sorted({rows[trip.symbol] for trip in trips})
    first = np.full(len(result.instruments), len(minute) - 1, dtype=np.int64)
    length = np.ones_like(first)
    for s in range(len(first)):
        known = _known(closes_of(s))
        first[s] = int(known.argmax()) if known.any() else len(minute) - 1
        length[s] = len(minute) - first[s]
    starts, at, units, row, scale = _legs(trips, rows, np.asarray(minute), first, length)
    shape = (resamples, 1) if together else (resamples, len(trips))
    moved = rng.integers(0, max(2, int(length.max())), shape)
    if together:
        # In order it is quicker to go through, and which run is which does not matter.
        moved.sort(axis=0)
    random = np.zeros(len(moved))
    for s in traded:
        prices_of_one = _carried(closes_of(s))[first[s] :]
        _add_profits(random, moved, starts, at, units, np.flatnonzero(row == s), scale, prices_of_one)
    random = np.sort(random - sum(t.fees + t.spread + t.impact for t in trips))
    realised = float(sum(t.net for t in trips))
    # Equal up to rounding counts as at least as well.
    better = int((random >= realised - 1e-9 * sum(t.paid for t in trips)).sum())
    return RandomEntry(
        trades=len(trips),
        resamples=resamples,
        realised=realised,
        random=random,
        p=(1 + better) / (1 + resamples),
    )


def _known(close: FloatArray) -> np.ndarray:
    return np.isfinite(close) & (close > 0.0)


def _carried(close: FloatArray) -> FloatArray:
    """(P,) the closes, each repeated over the gap after it; 1 before the first."""
    known = _known(close)
    at = np.maximum.accumulate(np.where(known, np.arange(len(close)), 0))
    return np.ascontiguousarray(np.where(known, close, 1.0)[at], dtype=np.float64)


def _legs(
    trips: list[Trip], rows: dict[str, int], minute: np.ndarray, first: np.ndarray, length: np.ndarray
) -> tuple[np.ndarray, np.ndarray, FloatArray, np.ndarray, FloatArray]:
    """The legs of all trips one after the other: bounds, positions since the instrument's first price, units."""
    starts = [0]
    at: list[int] = []
    units: list[float] = []
    for trip in trips:
        s = rows[trip.symbol]
        merged: dict[int, float] = {}
        for when, amount in trip.legs:
            place = int(np.searchsorted(minute, when, side="right")) - 1 - int(first[s])
            place = min(max(place, 0), int(length[s]) - 1)
            merged[place] = merged.get(place, 0.0) + amount
        last = max(merged)
        # What is left (paid as a fee in the coin, or dust) leaves with the last sale, as fees are counted apart.
        merged[last] -= sum(merged.values())
        at.extend(merged)
        units.extend(merged.values())
        starts.append(len(at))
    row = np.array([rows[t.symbol] for t in trips], dtype=np.int64)
    scale = np.array([t.usdt_per_quote for t in trips])
    return np.array(starts, dtype=np.int64), np.array(at, dtype=np.int64), np.array(units), row, scale


@njit(cache=True)
def _add_profits(out, moved, starts, at, units, trips, scale, prices):  # pragma: no cover
    """Add to (R,) ``out`` the USDT before costs of one instrument's ``trips``, trip k moved by moved[r, k] places on the
    circle of its ``prices``."""
    n = len(prices)
    for k in trips:
        begin = at[starts[k]]
        turn = prices[n - 1] / prices[0]
        column = k if moved.shape[1] > 1 else 0
        for r in range(len(moved)):
            there = (begin + moved[r, column]) % n
            profit = 0.0
            for j in range(starts[k], starts[k + 1]):
                place = there + at[j] - begin
                profit -= units[j] * (prices[place] if place < n else prices[place - n] * turn)
            out[r] += profit * scale[k] * prices[begin] / prices[there]
