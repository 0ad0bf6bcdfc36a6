"""Did an account keep its limits? Recomputed from its fills and the market's closes alone.

An auditor's second opinion: nothing of ours that sizes, judges or sends an order is used here, only what the exchange
says was traded. Positions and cash are exact (Decimal); they are marked each minute at the bar's close, while the bot
marks at the mid of the book, so a comparison allows ``tolerance`` of the amount, and a loss limit counts as breached
for certain only ``LOSS_MARGIN`` beyond itself.

A limit on exposure binds what is bought: a price that rises over what is held crosses it without anybody's doing. Such
minutes are no crossings; they are counted in ``Checked.risen``. Sells are never held back by a limit, so of them only
what cannot be (more than was held) and the price are judged: those of the ensemble by the price that was decided upon,
protective exits, which a moving price sets off, by the lowest of the minute that they were sold in. Pauses after losses
are reckoned beside it (``pause_checker``).

Above 400 lines because an auditor is read as one: nothing of what he judges by may stand elsewhere.

By hand: ``python -m tests.support.exposure_checker var/runs/RUN`` over the folder that a replay left.
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.pause_checker import Pauses, broken

MINUTE = 60_000
DAY = 1_440 * MINUTE
ZERO = Decimal(0)
TOLERANCE = 2e-3
"""Of an amount: the mid lies up to half a tick from the close, on both sides of a comparison."""
LOSS_MARGIN = 0.02
"""Percentage points."""
CLOSING_MINUTES = 30
"""Minutes with trade after a loss limit by which everything held is to be sold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One fill, in the exchange's words."""

    at_ms: int
    symbol: str
    """BASE/QUOTE."""
    buy: bool
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    client_id: str
    """The fourth of its parts is the decided minute since the epoch, base 36."""

    @property
    def minute(self) -> int:
        """Open time of the bar that was decided upon; when the name does not say, the last that had closed."""
        parts = self.client_id.split("-")
        try:
            return int(parts[3], 36) * MINUTE
        except (IndexError, ValueError):
            return self.at_ms // MINUTE * MINUTE - MINUTE

    @property
    def protects(self) -> bool:
        """Sold by a stop or another exit of its own, not by the ensemble: the third part of the name says so."""
        parts = self.client_id.split("-")
        return not self.buy and len(parts) > 3 and parts[2] != "ens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Per cent of equity where not named otherwise; what the settings of the run say."""

    invest_pct: float
    max_order_pct: float
    max_position_pct: float
    max_gross_pct: float
    daily_loss_pct: float
    max_drawdown_pct: float
    max_order_usdt: float
    """Infinite: none."""
    daily_loss_usdt: float
    max_orders_per_minute: int
    max_orders_per_day: int
    collar_bps: float
    exit_collar_bps: float
    """Of protective exits, whose limit is moved away until they fill."""
    closes: bool
    """A loss limit sells what is held."""
    min_order: float
    """USDT; less than twice of it may be left to lie."""
    pauses: Pauses
    stale_minutes: int
    """Without a trade, after which nothing is bought."""

    @classmethod
    def of_settings(cls, told: Mapping[str, Any]) -> "Limits":
        """From the settings as ``run.json`` holds them."""
        risk, trade = told["rules"]["risk"], told["config"]["trade"]
        same = ("max_order_pct", "max_position_pct", "max_gross_pct", "daily_loss_pct", "max_drawdown_pct")
        return cls(
            **{name: float(risk[name]) for name in (*same, "collar_bps")},
            exit_collar_bps=float(told["rules"]["protection"]["max_collar_bps"]),
            invest_pct=float(trade["invest_pct"]),
            **{
                name: math.inf if risk[name] is None else float(risk[name])
                for name in ("max_order_usdt", "daily_loss_usdt")
            },
            max_orders_per_minute=int(risk["max_orders_per_minute"]),
            max_orders_per_day=int(risk["max_orders_per_day"]),
            pauses=Pauses.of_settings(risk),
            closes=risk["on_loss_limit"] == "close",
            min_order=float(trade["min_order_usdt"]),
            stale_minutes=int(told["rules"]["events"]["stale_minutes"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Closes:
    """What the market said: a close a minute, NaN where there was no bar."""

    symbols: tuple[str, ...]
    start: int
    """Open time of the first minute, epoch ms."""
    close: np.ndarray
    """(S, T) quote units."""
    volume: np.ndarray
    """(S, T) base units."""
    low: np.ndarray
    """(S, T) quote units."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A limit was not kept."""

    at_ms: int
    limit: str
    symbol: str
    found: float
    allowed: float

    def __str__(self) -> str:
        when = np.datetime64(self.at_ms, "ms").astype("datetime64[s]")
        return f"{when} {self.symbol} {self.limit}: {self.found:.6g}, allowed {self.allowed:.6g}"


@dataclass(slots=True)
class Checked:
    """What was found. ``crossings`` empty is the point; the rest says that it means something."""

    crossings: list[Crossing] = field(default_factory=list)
    minutes: int = 0
    buys: int = 0
    sells: int = 0
    exits: int = 0
    """Protective sells, beside ``sells``."""
    nearest: dict[str, float] = field(default_factory=dict)
    """By limit: the largest share of what it allows that buying came to."""
    risen: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By limit: minutes in which prices alone had lifted what is held above it, and the most, per cent of equity."""
    breach: tuple[int, str] | None = None
    """Minute (open time) and name of the first loss limit that was breached for certain."""
    lowest: float = 0.0
    """Worst equity, per cent of the first."""
    equity: list[float] = field(default_factory=list)
    """By minute, USDT."""

    def text(self) -> str:
        """For a person."""
        near = ", ".join(f"{name} {share:.1%}" for name, share in sorted(self.nearest.items()))
        risen = ", ".join(f"{name} {n} min up to {top:.2f}%" for name, (n, top) in sorted(self.risen.items()))
        lines = [
            f"{self.minutes} minutes, {self.buys} buys, {self.sells} sells, {self.exits} protective; equity ended at "
            f"{self.equity[-1]:.2f}, lowest {self.lowest:+.2f}% of the start",
            f"of what each limit allows, buying used at most: {near or 'nothing'}",
            f"above a limit by prices alone: {risen or 'never'}",
            f"loss limit: {self.breach[1]} at {np.datetime64(self.breach[0], 'ms')}"
            if self.breach
            else "loss limit: none",
        ]
        first = {crossing.limit: crossing for crossing in reversed(self.crossings)}
        lines += [f"CROSSED {crossing}, and more" for crossing in first.values()]
        return "\n".join([*lines, f"{len(self.crossings)} crossings"])


@dataclass(slots=True)
class _Decision:
    """The account as it stood when a minute was decided."""

    equity: float
    price: np.ndarray
    fresh: np.ndarray
    standing: np.ndarray
    """(S,) where nothing had traded for long."""
    bought: dict[str, float] = field(default_factory=dict)
    """USDT by symbol, at the prices paid."""
    orders: set[tuple[str, bool]] = field(default_factory=set)


class _Account:
    """One run over the minutes."""

    def __init__(self, market: Closes, limits: Limits, cash: Decimal, tolerance: float) -> None:
        self.market, self.limits, self.tolerance = market, limits, tolerance
        self.row = {symbol: row for row, symbol in enumerate(market.symbols)}
        self.base = [symbol.partition("/")[0] for symbol in market.symbols]
        self.cash = cash
        self.held = [ZERO] * len(market.symbols)
        self.decisions: dict[int, _Decision] = {}
        self.found = Checked()
        self.peak = self.day_start = math.nan
        self.day = -1
        self.orders: dict[int, set[tuple[int, str, bool]]] = {}
        """By UTC day."""
        self.closing = 0

    def decide(self, minute: int) -> None:
        """The bar of ``minute`` has closed: mark the account, judge its losses and what it holds."""
        k = (minute - self.market.start) // MINUTE
        known = self.market.close[:, : k + 1]
        fresh = np.isfinite(known[:, -1])
        price = np.array([_last(row) for row in known])
        worth = np.array([float(q) for q in self.held])
        worth = np.where(worth == 0.0, 0.0, worth * price)
        equity = float(self.cash) + float(worth.sum())
        self.decisions = {m: d for m, d in self.decisions.items() if m >= minute - MINUTE}
        lately = self.market.volume[:, max(0, k + 1 - self.limits.stale_minutes) : k + 1]
        standing = ~(np.nan_to_num(lately) > 0.0).any(axis=1)
        self.decisions[minute] = _Decision(equity, price, fresh, standing)
        found = self.found
        found.minutes += 1
        found.equity.append(equity)
        found.lowest = min(found.lowest, (equity / found.equity[0] - 1.0) * 100.0)
        self._risen(worth, equity)
        self._losses(minute, equity)
        if found.breach is not None and self.limits.closes:
            self._closed(minute, k, worth, fresh)

    def _risen(self, worth: np.ndarray, equity: float) -> None:
        limits = self.limits
        shares = {
            "max_position_pct": (float(worth.max()), limits.max_position_pct),
            "max_gross_pct": (float(worth.sum()), limits.max_gross_pct),
        }
        for name, (amount, allowed) in shares.items():
            share = amount / equity * 100.0
            if share > allowed * (1.0 + self.tolerance):
                count, most = self.found.risen.get(name, (0, 0.0))
                self.found.risen[name] = (count + 1, max(most, share))

    def _losses(self, minute: int, equity: float) -> None:
        self.peak = equity if math.isnan(self.peak) else max(self.peak, equity)
        if minute // DAY != self.day:
            self.day, self.day_start = minute // DAY, equity
        if self.found.breach is not None:
            return
        for name, base, allowed in (
            ("daily_loss_pct", self.day_start, self.limits.daily_loss_pct),
            ("max_drawdown_pct", self.peak, self.limits.max_drawdown_pct),
        ):
            if (1.0 - equity / base) * 100.0 > allowed + LOSS_MARGIN:
                self.found.breach = (minute, name)
                return
        if self.day_start - equity > self.limits.daily_loss_usdt + LOSS_MARGIN / 100.0 * self.day_start:
            self.found.breach = (minute, "daily_loss_usdt")

    def _closed(self, minute: int, k: int, worth: np.ndarray, fresh: np.ndarray) -> None:
        """Once a loss limit was breached, what is held goes while there is trade."""
        self.closing += bool(fresh.all() and (self.market.volume[:, k] > 0.0).all())
        if self.closing != CLOSING_MINUTES:
            return
        for row, left in enumerate(worth):
            if left >= 2.0 * self.limits.min_order:
                self.cross(minute + MINUTE, "still held after a loss limit", row, float(left), 0.0)

    def take(self, trade: Trade) -> None:
        """Book a fill, and judge it by the account of the minute that it was decided in."""
        row, found = self.row[trade.symbol], self.found
        value = trade.quantity * trade.price
        self.held[row] += trade.quantity if trade.buy else -trade.quantity
        self.cash += -value if trade.buy else value
        if trade.fee_asset == self.base[row]:
            self.held[row] -= trade.fee
        else:
            self.cash -= trade.fee
        if self.held[row] < 0:
            self.cross(trade.at_ms, "sold more than was held", row, float(self.held[row]), 0.0)
        if self.cash < 0:
            self.cross(trade.at_ms, "spent more than there was", row, float(self.cash), 0.0)
        if trade.protects:
            found.exits += 1
            lowest = float(self.market.low[row, (trade.at_ms - self.market.start) // MINUTE])
            below = (1.0 - float(trade.price) / lowest) * 1e4
            self._within(trade.at_ms, "exit_collar_bps", row, below, self.limits.exit_collar_bps)
            return
        decision = self.decisions.get(trade.minute)
        if decision is None:
            late = (trade.at_ms - trade.minute - MINUTE) / MINUTE
            self.cross(trade.at_ms, "filled outside its minute", row, late, 1.0)
            return
        decision.orders.add((trade.symbol, trade.buy))
        self._within(trade.at_ms, "max_orders_per_minute", row, len(decision.orders), self.limits.max_orders_per_minute)
        today = self.orders.setdefault(trade.minute // DAY, set())
        today.add((trade.minute, trade.symbol, trade.buy))
        self._within(trade.at_ms, "max_orders_per_day", row, len(today), self.limits.max_orders_per_day)
        self._price(trade, row, float(decision.price[row]))
        if trade.buy:
            found.buys += 1
            self._bought(trade, row, decision, float(value))
        else:
            found.sells += 1

    def _price(self, trade: Trade, row: int, reference: float) -> None:
        """A limit lies at most the collar from the mid, and a fill is never worse than its limit."""
        away = (float(trade.price) / reference - 1.0) * (1.0 if trade.buy else -1.0) * 1e4
        self._within(trade.at_ms, "collar_bps", row, away, self.limits.collar_bps, slack=self.tolerance * 1e4)

    def _bought(self, trade: Trade, row: int, decision: _Decision, value: float) -> None:
        limits, at, equity = self.limits, trade.at_ms, decision.equity
        if not decision.fresh[row]:
            self.cross(at, "bought without a bar", row, value, 0.0)
        if decision.standing[row]:
            self.cross(at, "bought where nothing traded", row, value, 0.0)
        if self.found.breach is not None and trade.minute >= self.found.breach[0]:
            self.cross(at, f"bought after {self.found.breach[1]}", row, value, 0.0)
        if not equity > 0.0:
            self.cross(at, "bought without equity", row, value, 0.0)
            return
        decision.bought[trade.symbol] = spent = decision.bought.get(trade.symbol, 0.0) + value
        worth = [float(q) * float(p) if q else 0.0 for q, p in zip(self.held, decision.price, strict=True)]
        for name, amount, allowed in (
            ("max_order_pct", spent, limits.max_order_pct),
            ("max_position_pct", worth[row], limits.max_position_pct),
            ("max_gross_pct", sum(worth), limits.max_gross_pct),
            ("invest_pct", sum(worth), limits.invest_pct),
        ):
            self._within(at, name, row, amount, allowed / 100.0 * equity)
        if math.isfinite(limits.max_order_usdt):
            self._within(at, "max_order_usdt", row, spent, limits.max_order_usdt)

    def _within(self, at: int, name: str, row: int, amount: float, allowed: float, slack: float = 0.0) -> None:
        self.found.nearest[name] = max(self.found.nearest.get(name, 0.0), amount / allowed if allowed else math.inf)
        if amount > allowed * (1.0 + self.tolerance) + slack:
            self.cross(at, name, row, amount, allowed)

    def cross(self, at: int, name: str, row: int, amount: float, allowed: float) -> None:
        self.found.crossings.append(Crossing(at, name, self.market.symbols[row], amount, allowed))


def check(
    trades: Iterable[Trade],
    market: Closes,
    limits: Limits,
    *,
    cash: Decimal,
    first_minute: int,
    minutes: int,
    tolerance: float = TOLERANCE,
) -> Checked:
    """Go through ``minutes`` decided minutes from ``first_minute`` (open time) and every fill between them.

    ``cash``: USDT at the start, beside which nothing was held. Raises ValueError for a fill that is none: a symbol
    without prices, an amount that is not positive.
    """
    account = _Account(market, limits, cash, tolerance)
    queue: Sequence[Trade] = sorted(trades, key=lambda trade: trade.at_ms)
    for trade in queue:
        if trade.symbol not in account.row or not (trade.quantity > 0 and trade.price > 0 and trade.fee >= 0):
            raise ValueError(f"not a fill of {', '.join(market.symbols)}: {trade}")
    at = 0
    for k in range(minutes + 1):
        minute = first_minute + k * MINUTE
        while at < len(queue) and (k == minutes or queue[at].at_ms < minute + MINUTE):
            account.take(queue[at])
            at += 1
        if k < minutes:
            account.decide(minute)
    for trade, pause in broken(queue, limits.pauses):
        left = (pause.until_ms - trade.minute - MINUTE) / MINUTE
        account.cross(trade.at_ms, pause.name, account.row[trade.symbol], left, 0.0)
    return account.found


def _last(closes: np.ndarray) -> float:
    """The newest that is known; NaN without any."""
    known = closes[np.isfinite(closes)]
    return float(known[-1]) if known.size else math.nan


def trades_of(statement: Mapping[str, Any]) -> list[Trade]:
    """The fills of an exchange's statement, as a replay leaves it."""
    return [
        Trade(
            at_ms=int(told["at_ms"]),
            symbol=told["symbol"],
            buy=told["side"] == "buy",
            quantity=Decimal(told["quantity"]),
            price=Decimal(told["price"]),
            fee=Decimal(told["fee"]),
            fee_asset=told["fee_asset"],
            client_id=told["client_id"],
        )
        for told in statement["trades"]
    ]


def check_run(run_dir: Path, **changed: float) -> Checked:
    """Check a finished replay at one exchange from what it left in its folder. ``changed``: limits that were raised while
    it ran; what held before is not told apart."""
    told = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    (statement,) = (json.loads(path.read_text(encoding="utf-8")) for path in run_dir.glob("statement-*.json"))
    with np.load(run_dir / "tape.npz", allow_pickle=False) as tape:
        symbols = tuple(str(name).partition(":")[2] for name in tape["instruments"])
        bars, start = tape["bars"], int(tape["start_minute"])
    market = Closes(symbols=symbols, start=start, close=bars[:, :, 3], volume=bars[:, :, 4], low=bars[:, :, 2])
    first = int(told["first_minute"])
    return check(
        trades_of(statement),
        market,
        replace(Limits.of_settings(told["settings"]), **changed),
        cash=Decimal(told["cash"]),
        first_minute=first,
        minutes=bars.shape[1] - (first - start) // MINUTE,
    )


if __name__ == "__main__":
    result = check_run(Path(sys.argv[1]))
    print(result.text())
    raise SystemExit(1 if result.crossings else 0)
