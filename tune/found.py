"""What a run of the compiled engine left behind: its logs, and what each fill was worth and cost."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from config.settings import Settings
from core.cost_gate import CostGate
from core.costs import UNITS, split_cost
from core.engine.market import BUY
from core.engine.tables import FILL_INTS, Columns, IntArray, Tape, fraction_of
from core.lean import lean
from core.messages import FloatArray
from core.sizing import Caps, Rows
from core.units import Instrument, MarketRules
from data.market import MarketCut
from tune.spool import room_for

ORDER, INDEX, AT_MS, ROW, SIDE, STEPS, TICKS, FEE, BID, ASK = range(len(FILL_INTS))
"""Columns of a log of fills."""


class Priced(NamedTuple):
    """(F,) of every fill: base units, quote units a base unit, then USDT."""

    quantity: FloatArray
    price: FloatArray
    money: FloatArray
    fee: FloatArray
    """At the fill's price where it was paid in the coin."""
    delay: FloatArray
    spread: FloatArray
    impact: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a run of the engine left behind; arrays as in ``core.engine.tables.Logs``."""

    name: str
    settings: Settings
    market: MarketCut
    tape: Tape
    rules: dict[Instrument, MarketRules]
    rows: Rows
    caps: Caps
    gate: CostGate
    members: tuple[str, ...]
    cash: object
    minutes: int
    minute: IntArray
    """Open times of the traded minutes, of which ``minutes`` are done."""
    close: FloatArray
    """(G, S) last known closes at the minutes that are written down in full."""
    columns: Columns
    regime: np.ndarray
    orders: np.ndarray
    order_floats: FloatArray
    shares: FloatArray
    fills: np.ndarray
    priced: Priced
    notes: tuple[str, ...]


def priced_of(
    log: IntArray,
    mid: FloatArray,
    rules: list[MarketRules],
    fee_in_quote: np.ndarray,
    usdt: float = 1.0,
    folder: Path | None = None,
) -> Priced:
    """``Priced`` of a log of fills (F, 10); ``mid`` (O,) of the orders, ``usdt`` what a quote unit is worth. In a file
    where there is a ``folder``."""
    tick, step = ([fraction_of(getattr(rule, name)) for rule in rules] for name in ("tick", "step"))
    num = np.array([[tick_num, step_num] for (tick_num, _), (step_num, _) in zip(tick, step, strict=True)], np.int64)
    den = np.array([[tick_den, step_den] for (_, tick_den), (_, step_den) in zip(tick, step, strict=True)])
    size = np.array([float(rule.tick) for rule in rules])
    out = room_for((len(Priced._fields), len(log)), folder)
    _price(log, np.ascontiguousarray(mid), num, den, size, fee_in_quote, out)
    if usdt != 1.0:
        out[2:] *= usdt
    return Priced(*out)


@lean
def _price(
    log: IntArray,
    mid: FloatArray,
    num: IntArray,
    den: FloatArray,
    tick: FloatArray,
    fee_in_quote: np.ndarray,
    out: FloatArray,
) -> None:
    for k in range(log.shape[0]):
        row, buying, ticks = log[k, ROW], log[k, SIDE] == BUY, log[k, TICKS]
        quantity, price = log[k, STEPS] * num[row, 1] / den[row, 1], ticks * num[row, 0] / den[row, 0]
        fee = log[k, FEE] / float(UNITS)
        if buying and not fee_in_quote[row]:
            fee *= price
        delay, spread, impact = split_cost(
            buying, quantity, ticks, log[k, BID], log[k, ASK], tick[row], mid[log[k, ORDER]]
        )
        out[0, k], out[1, k], out[2, k], out[3, k] = quantity, price, quantity * price, fee
        out[4, k], out[5, k], out[6, k] = delay, spread, impact


def counted(counts: np.ndarray, row: np.ndarray, units: list[Decimal]) -> FloatArray:
    """So many units of each row's grid, as the float64 of their Decimals."""
    fractions = [fraction_of(unit) for unit in units]
    num = np.array([n for n, _ in fractions], dtype=np.int64)
    den = np.array([d for _, d in fractions])
    return counts * num[row] / den[row]
