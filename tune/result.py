"""What a backtest found: columns over its minutes, its orders and fills, and where the money went.

One shape for every driver (the compiled engine, a LocalDesk, the records of a replay or a live run), so that
statistics, verdict and report are computed by the same code from all of them.
"""

import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from core.errors import DataError
from core.messages import FloatArray, Regime, TradingState
from core.units import Instrument

REGIMES = tuple(Regime)
STATES = tuple(TradingState)
FORMAT = 1
"""Version of the folder that ``Result.save`` writes."""
TABLES = ("columns.npz", "fills.parquet", "orders.parquet")
"""The files of that folder beside ``result.json``."""

FILLS: dict[str, Any] = {
    "order": pl.Int64,
    "minute": pl.Int64,
    "at_ms": pl.Int64,
    "symbol": pl.String,
    "side": pl.String,
    "quantity": pl.Float64,
    "price": pl.Float64,
    "notional_usdt": pl.Float64,
    "fee_usdt": pl.Float64,
    "spread_usdt": pl.Float64,
    "impact_usdt": pl.Float64,
    "delay_usdt": pl.Float64,
    "maker": pl.Boolean,
}
"""One row a fill. ``order`` is the row of its parent in ``orders``; ``minute`` the decided minute; costs are what the
fill lost against the mid at the decision: ``delay`` (the mid moved until it acted, negative when it moved in favour),
``spread`` (half of it), ``impact`` (levels eaten and rounding to the tick), ``fee`` in USDT at the fill's price."""

ORDERS: dict[str, Any] = {
    "order": pl.Int64,
    "minute": pl.Int64,
    "symbol": pl.String,
    "side": pl.String,
    "quantity": pl.Float64,
    "limit_price": pl.Float64,
    "mid": pl.Float64,
    "edge_bps": pl.Float64,
    "target": pl.Float64,
    "equity": pl.Float64,
    "regime": pl.String,
    "executed": pl.Float64,
    "why": pl.List(pl.String),
}
"""One row an approved intent; ``why`` is its arithmetic, line by line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """USDT, of the whole run. ``gross - fees - spread - impact - delay == net``; costs are positive when they hurt."""

    gross: float = 0.0
    """Profit had every fill been made at the mid of its decision, free of charge."""
    fees: float = 0.0
    spread: float = 0.0
    impact: float = 0.0
    delay: float = 0.0
    net: float = 0.0
    """Last equity less the first."""

    def cents(self) -> dict[str, float]:
        """The lines rounded to the cent so that they still add up: what rounding leaves goes to the largest line."""
        net = round(self.net, 2)
        lines = {name: round(getattr(self, name), 2) for name in ("fees", "spread", "impact", "delay")}
        gross = round(self.gross, 2)
        rest = round(gross - sum(lines.values()) - net, 2)
        if rest:
            largest = max(lines, key=lambda name: abs(lines[name]))
            lines[largest] = round(lines[largest] + rest, 2)
        return {"gross": gross, **lines, "net": net}


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was traded."""

    orders: int = 0
    buys: int = 0
    """Orders that buy."""
    fills: int = 0


class Tables:
    """The tables of a result: at hand, or made when somebody first looks, as most runs are only asked for numbers.

    Pickled as they are when made. What they are made from is let go when both are.
    """

    __slots__ = ("_counts", "_fills", "_orders")

    def __init__(
        self,
        fills: pl.DataFrame | Callable[[], pl.DataFrame],
        orders: pl.DataFrame | Callable[[], pl.DataFrame],
        counts: Counts | None = None,
    ) -> None:
        """``counts`` are needed where the tables are not at hand."""
        self._fills, self._orders, self._counts = fills, orders, counts

    @property
    def fills(self) -> pl.DataFrame:
        """Columns ``FILLS``, in time order."""
        if not isinstance(self._fills, pl.DataFrame):
            self._fills = self._fills()
        return self._fills

    @property
    def orders(self) -> pl.DataFrame:
        """Columns ``ORDERS``, in time order."""
        if not isinstance(self._orders, pl.DataFrame):
            self._orders = self._orders()
        return self._orders

    @property
    def counts(self) -> Counts:
        if self._counts is None:
            buys = int((self.orders["side"] == "buy").sum())
            self._counts = Counts(orders=self.orders.height, buys=buys, fills=self.fills.height)
        return self._counts

    def __reduce__(self) -> tuple[Any, ...]:
        return Tables, (self.fills, self.orders, self.counts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """A finished run of T minutes over S instruments and M members."""

    name: str
    market: str
    """In words: which market, how long."""
    synthetic: bool
    instruments: tuple[Instrument, ...]
    members: tuple[str, ...]
    cash: float
    """USDT at the start."""
    minute: np.ndarray
    """(T,) int64 open times of the decided minutes, epoch ms, increasing."""
    equity: FloatArray
    """(T,) USDT at the decision of each minute; NaN where the minute was missed."""
    invested: FloatArray
    """(T,) USDT worth of what was held, priced as ``worth`` is."""
    regime: np.ndarray
    """(T,) int8 index into ``REGIMES``; -1 unknown."""
    state: np.ndarray
    """(T,) int8 index into ``STATES``."""
    grid: np.ndarray
    """(G,) int64 indices into ``minute`` at which the (G, .) columns are taken: every one in a short run, some in a
    long one, so that memory follows the minutes and not minutes x instruments."""
    close: FloatArray
    """(G, S) last closes, quote units."""
    worth: FloatArray
    """(G, S) USDT worth of each position: at the mid that equity counts by in the engine's results, at the close in
    those made from records, which keep no mids."""
    edge_bps: FloatArray
    """(G, S) weighted forecast."""
    weights: FloatArray
    """(G, M) weights used."""
    contribution: FloatArray
    """(M,) USDT of gross profit, shared out by what each member's weighted forecast had in the entry's edge."""
    tables: Tables
    """``fills`` and ``orders``."""
    costs: Costs
    settings: dict[str, Any] = field(default_factory=dict)
    """The rules it ran under, as JSON."""
    notes: tuple[str, ...] = ()
    """What a reader must know, e.g. that it was interrupted."""
    rate: FloatArray | None = None
    """(G, S) USDT of a quote unit, NaN where not known; None where it is one number through the whole run, as in every
    backtest."""

    @property
    def minutes(self) -> int:
        return len(self.minute)

    @property
    def fills(self) -> pl.DataFrame:
        """Columns ``FILLS``, in time order."""
        return self.tables.fills

    @property
    def orders(self) -> pl.DataFrame:
        """Columns ``ORDERS``, in time order."""
        return self.tables.orders

    @property
    def counts(self) -> Counts:
        """Known without making a table."""
        return self.tables.counts

    def save(self, folder: Path) -> Path:
        """Write the folder that ``load`` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)}
        np.savez(folder / "columns.npz", **arrays)
        self.fills.write_parquet(folder / "fills.parquet")
        self.orders.write_parquet(folder / "orders.parquet")
        head = {
            "format": FORMAT,
            "name": self.name,
            "market": self.market,
            "synthetic": self.synthetic,
            "instruments": [str(i) for i in self.instruments],
            "members": list(self.members),
            "cash": self.cash,
            "costs": asdict(self.costs),
            "settings": self.settings,
            "notes": list(self.notes),
        }
        (folder / "result.json").write_text(json.dumps(head, indent=1), encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; DataError names the folder and what is wrong with it."""
        try:
            head = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            if head.pop("format") != FORMAT:
                raise DataError(f"{folder}: written by another version of this program; run the backtest again")
            with np.load(folder / "columns.npz", allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            return cls(
                **arrays,
                tables=Tables(pl.read_parquet(folder / "fills.parquet"), pl.read_parquet(folder / "orders.parquet")),
                instruments=tuple(Instrument.parse(text) for text in head.pop("instruments")),
                members=tuple(head.pop("members")),
                costs=Costs(**head.pop("costs")),
                notes=tuple(head.pop("notes")),
                **head,
            )
        except FileNotFoundError as error:
            missing = Path(error.filename).name if error.filename else "a part of it"
            raise DataError(f"{folder}: no result of a backtest in it ({missing} is missing)") from None
        except KeyError as error:
            raise DataError(f"{folder}: the result lacks {error}; run the backtest again") from error
        except (TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
            raise DataError(f"{folder}: the result cannot be read ({error}); run the backtest again") from error


def stopped(result: Result) -> np.ndarray:
    """(T,) whether a limit or a halt let nothing be bought, of the minutes that were decided."""
    return np.isfinite(result.equity) & (result.state > STATES.index(TradingState.ACTIVE))


def empty_fills() -> pl.DataFrame:
    return pl.DataFrame(schema=FILLS)


def empty_orders() -> pl.DataFrame:
    return pl.DataFrame(schema=ORDERS)


@lru_cache(maxsize=8)
def grid_of(minutes: int, most: int = 20_000) -> np.ndarray:
    """(G,) evenly strided indices, at most ``most`` of them, the last one included; read-only."""
    grid = np.arange(0, minutes, stride_of(minutes, most), dtype=np.int64)
    if minutes and grid[-1] != minutes - 1:
        grid = np.append(grid, minutes - 1)
    grid.setflags(write=False)
    return grid


def stride_of(minutes: int, most: int = 20_000) -> int:
    """Minutes from one row of ``grid_of`` to the next."""
    return max(1, math.ceil(minutes / most))
