"""Round trips from the fills of a run, and what luck in their order could have made of them.

A trade is a position of one instrument from flat to flat. A bot that trims and adds within a position therefore has
one trade and not ten that rise and fall together: counts of trades are counts of things that could go either way.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numba import njit

from core.messages import FloatArray
from tune.result import REGIMES, Result

DUST = 0.02
"""A position is closed once what is left of it is below this share of its largest size: a lot that is too small for
the venue to sell."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

TRADES: dict[str, pl.DataType] = {
    "trade": pl.Int64(),
    "symbol": pl.String(),
    "entry_ms": pl.Int64(),
    "exit_ms": pl.Int64(),
    "minutes": pl.Int64(),
    "quantity": pl.Float64(),
    "entry_price": pl.Float64(),
    "exit_price": pl.Float64(),
    "bought_usdt": pl.Float64(),
    "gross_usdt": pl.Float64(),
    "fees_usdt": pl.Float64(),
    "spread_usdt": pl.Float64(),
    "impact_usdt": pl.Float64(),
    "delay_usdt": pl.Float64(),
    "net_usdt": pl.Float64(),
    "net_return": pl.Float64(),
    "equity_share": pl.Float64(),
    "regime": pl.String(),
    "fills": pl.Int64(),
    "entry_order": pl.Int64(),
    "exit_order": pl.Int64(),
    "open": pl.Boolean(),
}
"""One row a trade, in order of entry. ``entry_ms`` and ``exit_ms`` are the decided minutes of its first and last fill;
``quantity`` all that was bought, base units; prices are averages in quote units. ``gross_usdt`` is before every cost,
``net_usdt`` after all; ``net_return`` is net over what was bought, ``equity_share`` net over the account at entry.
``regime`` is the market's at entry. An open trade is valued at the last close."""


def round_trips(result: Result) -> pl.DataFrame:
    """The trades of a run, columns ``TRADES``; without fills an empty frame.

    Fees are counted by their worth. Where a venue takes them in the coin bought, less can be sold than was bought:
    that difference closes with the position and is not counted twice. What is sold without having been bought in the
    run (a holding from before) has no cost and makes no trade.
    """
    return _frame(trips_of(result), result)


def trips_of(result: Result) -> list["Trip"]:
    """The positions of a run in order of entry; what is still held at the end is closed at the last close."""
    closed: list[Trip] = []
    trips: dict[str, Trip] = {}
    for fill in result.fills.iter_rows(named=True):
        symbol = fill["symbol"]
        trip = trips.get(symbol)
        if fill["side"] == "buy":
            if trip is None:
                trip = trips[symbol] = Trip(symbol, fill)
            trip.buy(fill)
        elif trip is not None:
            trip.sell(fill)
            if trip.flat:
                closed.append(trips.pop(symbol))
    last_close = {
        i.symbol: float(result.close[-1, s]) if len(result.close) else np.nan for s, i in enumerate(result.instruments)
    }
    last_rate: dict[str, float] = {}
    if result.rate is not None and len(result.rate):
        # As in equity, what is held counts by its currency's rate at the end, not by that of its last fill.
        known = zip(result.instruments, result.rate[-1], strict=True)
        last_rate = {i.symbol: float(rate) for i, rate in known if np.isfinite(rate)}
    for trip in trips.values():
        trip.usdt_per_quote = last_rate.get(trip.symbol, trip.usdt_per_quote)
        trip.mark(last_close.get(trip.symbol, np.nan), int(result.minute[-1]))
        closed.append(trip)
    closed.sort(key=lambda t: (t.entry_ms, t.symbol))
    return closed


class Trip:
    """One position from its first buy on, as it grows and shrinks; money in USDT, units of the base asset."""

    def __init__(self, symbol: str, fill: dict) -> None:
        self.symbol = symbol
        self.entry_ms = self.exit_ms = fill["minute"]
        self.entry_order = self.exit_order = fill["order"]
        self.bought = self.sold = self.peak = self.fee_units = 0.0
        self.paid = self.received = self.paid_quote = self.received_quote = 0.0
        self.fees = self.spread = self.impact = self.delay = 0.0
        self.legs: list[tuple[int, float]] = []
        """(decided minute, units bought or, below 0, sold)."""
        self.fills = 0
        self.usdt_per_quote = 1.0
        self.open = False

    @property
    def held(self) -> float:
        return self.bought - self.sold

    @property
    def flat(self) -> bool:
        return self.held <= DUST * self.peak + self.fee_units

    def buy(self, fill: dict) -> None:
        self.bought += fill["quantity"]
        self.legs.append((fill["minute"], fill["quantity"]))
        self.paid += fill["notional_usdt"]
        self.paid_quote += fill["quantity"] * fill["price"]
        if fill["notional_usdt"] > 0.0:
            self.fee_units += max(0.0, fill["fee_usdt"]) / fill["notional_usdt"] * fill["quantity"]
        self.peak = max(self.peak, self.held)
        self._costs(fill, 1.0)

    def sell(self, fill: dict) -> None:
        # Dust of an earlier position may go with this one: its cost was written off with that one.
        share = min(1.0, self.held / fill["quantity"]) if fill["quantity"] > 0.0 else 0.0
        self.sold += share * fill["quantity"]
        self.legs.append((fill["minute"], -share * fill["quantity"]))
        self.received += share * fill["notional_usdt"]
        self.received_quote += share * fill["quantity"] * fill["price"]
        self.exit_ms, self.exit_order = fill["minute"], fill["order"]
        self._costs(fill, share)

    def mark(self, close: float, minute: int) -> None:
        """Value what is still held at ``close``, as if it had been sold there for nothing."""
        self.open = True
        self.exit_ms, self.exit_order = minute, None
        price = close if np.isfinite(close) else self.paid_quote / self.bought
        held = max(0.0, self.held - self.fee_units)
        self.received += held * price * self.usdt_per_quote
        self.received_quote += held * price
        self.sold += held
        self.legs.append((minute, -held))

    def _costs(self, fill: dict, share: float) -> None:
        self.fills += 1
        self.fees += fill["fee_usdt"] * share
        self.spread += fill["spread_usdt"] * share
        self.impact += fill["impact_usdt"] * share
        self.delay += fill["delay_usdt"] * share
        in_quote = fill["quantity"] * fill["price"]
        if in_quote > 0.0:
            self.usdt_per_quote = fill["notional_usdt"] / in_quote

    @property
    def net(self) -> float:
        """Cash back less what the sold part had cost, less all fees by worth."""
        cost = self.paid * min(1.0, self.sold / self.bought) if self.bought > 0.0 else 0.0
        return self.received - cost - self.fees


def _frame(trips: list[Trip], result: Result) -> pl.DataFrame:
    where = np.searchsorted(result.minute, [t.entry_ms for t in trips]) if trips else []
    rows = []
    for number, (trip, at) in enumerate(zip(trips, where, strict=True)):
        at = min(int(at), len(result.minute) - 1)
        equity, regime = float(result.equity[at]), int(result.regime[at])
        net = trip.net
        rows.append(
            (
                number, trip.symbol, trip.entry_ms, trip.exit_ms, (trip.exit_ms - trip.entry_ms) // 60_000,
                trip.bought, trip.paid_quote / trip.bought,
                trip.received_quote / trip.sold if trip.sold > 0.0 else None,
                trip.paid, net + trip.fees + trip.spread + trip.impact + trip.delay,
                trip.fees, trip.spread, trip.impact, trip.delay, net,
                net / trip.paid if trip.paid > 0.0 else None,
                net / equity if np.isfinite(equity) and equity > 0.0 else net / result.cash if result.cash > 0 else None,
                str(REGIMES[regime]) if 0 <= regime < len(REGIMES) else None,
                trip.fills, trip.entry_order, trip.exit_order, trip.open,
            )
        )  # fmt: skip
    return pl.DataFrame(rows, schema=TRADES, orient="row")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MonteCarlo:
    """What else the same trades could have led to: quantiles by ``QUANTILES`` of equity (USDT) and drawdown (share)."""

    trades: int
    resamples: int
    end: float
    """Equity after the trades as they came, each a share of the account at its entry."""
    drawdown: float
    """Largest fall between trades as they came."""
    reshuffled_drawdown: dict[float, float]
    """The same trades in random order; their end is the same."""
    resampled_end: dict[float, float]
    """As many trades drawn from them with replacement."""
    resampled_drawdown: dict[float, float]
    loss: float
    """Share of the resampled runs that end below the cash they began with."""


def monte_carlo(
    trades: pl.DataFrame, cash: float, rng: np.random.Generator, resamples: int = 2_000
) -> MonteCarlo | None:
    """Reshuffle and resample the trades of a run; None below two trades.

    Each trade is taken as the share of the account it earned (``equity_share``) and compounded, one after the other;
    trades held at the same time are so treated as if one followed the other.
    """
    shares = trades["equity_share"].drop_nulls().to_numpy() if len(trades) else np.zeros(0)
    if len(shares) < 2 or cash <= 0.0:
        return None
    growth = np.maximum(1.0 + shares, 0.0)
    ends, falls, shuffled = np.empty(resamples), np.empty(resamples), np.empty(resamples)
    _play(growth, rng, ends, falls, shuffled)
    end, fall = _end_and_fall(growth)
    return MonteCarlo(
        trades=len(growth),
        resamples=resamples,
        end=cash * float(end),
        drawdown=float(fall),
        reshuffled_drawdown=_quantiles(shuffled),
        resampled_end={q: cash * v for q, v in _quantiles(ends).items()},
        resampled_drawdown=_quantiles(falls),
        loss=float(np.mean(ends < 1.0)),
    )


@njit(cache=True)
def _end_and_fall(growth):  # pragma: no cover
    """Last value and largest fall of (n,) growth factors compounded from 1."""
    value = peak = 1.0
    fall = 0.0
    for factor in growth:
        value *= factor
        peak = max(peak, value)
        fall = max(fall, 1.0 - value / peak)
    return value, fall


@njit(cache=True)
def _play(growth, rng, ends, falls, shuffled):  # pragma: no cover
    """Draw the trades with replacement, and shuffle them, as often as ``ends`` is long."""
    n = len(growth)
    drawn = np.empty(n)
    order = growth.copy()
    for b in range(len(ends)):
        for i in range(n):
            drawn[i] = growth[int(rng.random() * n)]
            j = i + int(rng.random() * (n - i))
            order[i], order[j] = order[j], order[i]
        ends[b], falls[b] = _end_and_fall(drawn)
        shuffled[b] = _end_and_fall(order)[1]


def _quantiles(values: FloatArray) -> dict[float, float]:
    return dict(zip(QUANTILES, (float(v) for v in np.quantile(values, QUANTILES)), strict=True))
