"""Results of runs that never happened, whose books balance: seeded walks, fills with every cost, equity that follows.

Prices walk, an account buys and sells a share of itself at them, each fill pays a delay, half a spread, an impact and
a fee, and equity is what cash and coins are worth. So costs, fills and equity agree as those of a real run do.
"""

from dataclasses import replace

import numpy as np
import polars as pl

from core.messages import TradingState
from core.units import MINUTE_MS, Instrument
from tune.result import FILLS, ORDERS, REGIMES, STATES, Costs, Result, Tables, grid_of

START_MS = 1_772_323_200_000
"""2026-03-01T00:00Z."""
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "DOGE/USDT", "ADA/USDT", "BNB/USDT", "TRX/USDT")
FEE = 0.001
HALF_SPREAD = 0.0002


def made_up_result(
    minutes: int = 3 * 1_440,
    symbols: int = 3,
    trades: int = 60,
    *,
    seed: int = 1,
    edge: float = 0.0,
    cash: float = 10_000.0,
    name: str = "made up",
    members: tuple[str, ...] = ("ridge", "tcn", "rules"),
    start_ms: int = START_MS,
    notes: tuple[str, ...] = (),
) -> Result:
    """A run of ``minutes`` minutes with about ``trades`` round trips; ``edge`` is the drift while held, a minute."""
    rng = np.random.default_rng(seed)
    instruments = tuple(Instrument("binance", symbol) for symbol in SYMBOLS[:symbols])
    entries = np.sort(rng.integers(0, max(minutes - 1, 1), trades)) if minutes > 1 else np.zeros(0, dtype=np.int64)
    held = np.maximum(1, rng.geometric(1 / 25, len(entries)))
    rows = rng.integers(0, symbols, len(entries))
    returns = 0.0006 * rng.standard_normal((minutes, symbols))
    planned: dict[int, list[tuple[int, float]]] = {}
    free_at = np.zeros(symbols, dtype=np.int64)
    for entry, minutes_held, row in zip(entries, held, rows, strict=True):
        leave = min(int(entry + minutes_held), minutes - 1)
        if entry < free_at[row] or leave <= entry:
            continue
        free_at[row] = leave + 1
        returns[entry + 1 : leave + 1, row] += edge
        planned.setdefault(int(entry), []).append((int(row), 1.0))
        planned.setdefault(leave, []).append((int(row), -1.0))
    close = 100.0 * (1 + np.arange(symbols)) * np.exp(np.cumsum(returns, axis=0))
    minute = start_ms + MINUTE_MS * np.arange(minutes, dtype=np.int64)
    books = _Books(cash, symbols, rng)
    equity, invested = np.empty(minutes), np.empty(minutes)
    worth = np.empty((minutes, symbols))
    for t in range(minutes):
        worth[t] = books.units * close[t]
        invested[t] = worth[t].sum()
        equity[t] = books.cash + invested[t]
        if t == minutes - 1:
            break
        for row, sign in planned.get(t, ()):
            books.trade(int(minute[t]), instruments[row], row, sign, float(close[t, row]), float(equity[t]))
    grid = grid_of(minutes)
    costs = books.costs(float(equity[-1] - equity[0]))
    weights = rng.dirichlet(np.full(len(members), 20.0), len(grid))
    shares = rng.dirichlet(np.ones(len(members)))
    return Result(
        name=name,
        market=f"{minutes:,} made-up minutes of {symbols} instruments",
        synthetic=True,
        instruments=instruments,
        members=members,
        cash=cash,
        minute=minute,
        equity=equity,
        invested=invested,
        regime=_spells(minutes, len(REGIMES), rng),
        state=np.full(minutes, STATES.index(TradingState.ACTIVE), dtype=np.int8),
        grid=grid,
        close=close[grid],
        worth=worth[grid],
        edge_bps=20.0 * rng.standard_normal((len(grid), symbols)),
        weights=weights,
        contribution=costs.gross * shares,
        tables=Tables(
            pl.DataFrame(books.fills, schema=FILLS, orient="row"),
            pl.DataFrame(books.orders, schema=ORDERS, orient="row"),
        ),
        costs=costs,
        settings={},
        notes=notes,
    )


def with_missed(result: Result, first: int, last: int) -> Result:
    """The same run with minutes ``first`` to ``last`` missed."""
    equity = result.equity.copy()
    equity[first : last + 1] = np.nan
    return replace(result, equity=equity)


class _Books:
    """Cash and coins, and a line in the books for everything that moved them."""

    def __init__(self, cash: float, symbols: int, rng: np.random.Generator) -> None:
        self.cash = cash
        self.units = np.zeros(symbols)
        self.fills: list[tuple] = []
        self.orders: list[tuple] = []
        self._rng = rng

    def trade(self, minute: int, instrument: Instrument, row: int, sign: float, mid: float, equity: float) -> None:
        """Buy a tenth of the equity in three slices, or sell all that is held in three."""
        quantity = 0.1 * equity / mid if sign > 0 else self.units[row]
        if quantity <= 0.0:
            return
        side = "buy" if sign > 0 else "sell"
        why = (
            f"edge {25 + 20 * self._rng.random():.1f} bps asks for the full share",
            f"10 % of {equity:,.2f} USDT at {mid:.4f} is {quantity:.6f} {instrument.base}",
        )
        order = len(self.orders)
        limit = mid * (1 + sign * 0.003)
        approved = (order, minute, instrument.symbol, side, quantity, limit, mid, 30.0, 0.1, equity, "calm", quantity)
        self.orders.append((*approved, list(why)))
        for slice_ in range(3):
            part = quantity / 3
            moved = mid * 0.0001 * self._rng.standard_normal()
            impact = mid * 0.00005 * self._rng.random()
            price = mid + moved + sign * (mid * HALF_SPREAD + impact)
            notional = part * price
            self.cash -= sign * notional + FEE * notional
            self.units[row] += sign * part
            lost = (notional * FEE, part * mid * HALF_SPREAD, part * impact, sign * part * moved)
            at = minute + MINUTE_MS + slice_ * 15_000 + 86
            self.fills.append((order, minute, at, instrument.symbol, side, part, price, notional, *lost, False))
        if sign < 0:
            self.units[row] = 0.0

    def costs(self, net: float) -> Costs:
        fees, spread, impact, delay = (float(sum(fill[column] for fill in self.fills)) for column in (8, 9, 10, 11))
        return Costs(
            gross=net + fees + spread + impact + delay, fees=fees, spread=spread, impact=impact, delay=delay, net=net
        )


def _spells(minutes: int, kinds: int, rng: np.random.Generator) -> np.ndarray:
    """(minutes,) a kind that lasts for some hours, then another."""
    starts = rng.random(minutes) < 1 / 240
    return (rng.integers(0, kinds, minutes)[np.maximum.accumulate(np.where(starts, np.arange(minutes), 0))]).astype(
        np.int8
    )
