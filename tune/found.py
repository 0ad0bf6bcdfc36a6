"""What a run of the compiled engine left behind: its logs, and what each fill was worth and cost."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from config.settings import Settings
from core.cost_gate import CostGate
from core.costs import UNITS, split_cost
from core.engine.tables import FILL_INTS, ORDER_FLOATS, Columns, IntArray, Tape, fraction_of
from core.lean import lean, pasted
from core.messages import BoolArray, FloatArray
from core.sizing import Caps, Rows
from core.units import Instrument, MarketRules
from data.market import MarketCut
from tune.exact_sum import correctly_rounded, exact_sum, two_sum
from tune.spool import room_for

ORDER, AT_MS, STEPS, TICKS, FEE, BID, ASK = range(len(FILL_INTS))
"""Columns of a log of fills."""
INDEX, ROW, LOTS = range(3)
"""Columns of a log of orders: what holds of an order's fills as well is not written down with each."""
MID = ORDER_FLOATS.index("mid")


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


class FillUnits(NamedTuple):
    """What a log's fills are counted in, by row."""

    num: IntArray
    """(S, 2) numerators of tick and step."""
    den: FloatArray
    """(S, 2) their denominators, powers of ten."""
    tick: FloatArray
    """(S,) quote units."""
    fee_in_quote: BoolArray
    """(S,); else a buy's fee is paid in the coin."""


def fill_units(rules: Sequence[MarketRules], fee_in_quote: BoolArray) -> FillUnits:
    """Of ``rules``, one a row."""
    grid = [(fraction_of(rule.tick), fraction_of(rule.step)) for rule in rules]
    return FillUnits(
        num=np.array([[tick[0], step[0]] for tick, step in grid], np.int64),
        den=np.array([[tick[1], step[1]] for tick, step in grid]),
        tick=np.array([float(rule.tick) for rule in rules]),
        fee_in_quote=fee_in_quote,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a run of the engine left behind; arrays as in ``core.engine.tables.Logs``."""

    name: str
    settings: Settings
    market: MarketCut
    tape: Tape
    rules: dict[Instrument, MarketRules]
    rows: Rows
    units: FillUnits
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
    worth: FloatArray | None
    """(G and more, 1) of the one position, where ``tune.simulated_result.worth_is_invested``; without the last minute's."""
    regime: np.ndarray
    orders: np.ndarray
    order_floats: FloatArray
    shares: FloatArray
    fills: np.ndarray
    usdt: float
    """Of a quote unit."""
    folder: Path | None
    """Where what is made of it may be kept; in memory without."""
    notes: tuple[str, ...]

    def filled_before(self, index: int) -> int:
        """How many of the fills are of orders of minutes before tape index ``index``."""
        # Orders are logged minute by minute, though an order's slices may lie between another's. numpy's own search
        # would copy a column first.
        return bisect_left(self.fills[:, ORDER], bisect_left(self.orders[:, INDEX], index))

    @cached_property
    def priced(self) -> Priced:
        """What each fill was worth and cost; made when somebody first asks."""
        out = room_for((len(Priced._fields), len(self.fills)), self.folder)
        _price(self.fills, self.orders, self.order_floats, *self.units, self.usdt, out)
        return Priced(*out)

    def lost(self, booked: int) -> tuple[float, float, float, float]:
        """(fees, spread, impact, delay) of the first ``booked`` fills, USDT, each the correctly rounded sum."""
        fees, spread, impact, delay, certain = _lost(
            self.fills[:booked], self.orders, self.order_floats, *self.units, self.usdt
        )
        if certain:
            return float(fees), float(spread), float(impact), float(delay)
        columns = (self.priced.fee, self.priced.spread, self.priced.impact, self.priced.delay)
        return tuple(exact_sum(column[:booked]) for column in columns)  # type: ignore[return-value]


@pasted
def _one(
    line: IntArray,
    orders: IntArray,
    floats: FloatArray,
    num: IntArray,
    den: FloatArray,
    tick: FloatArray,
    fee_in_quote: BoolArray,
    usdt: float,
) -> tuple[float, float, float, float, float, float, float]:
    """``Priced`` of one ``line`` of a log of fills; ``orders`` and ``floats`` are those of ``Logs``."""
    row, buying, ticks = orders[line[ORDER], ROW], orders[line[ORDER], LOTS] > 0, line[TICKS]
    quantity, price = line[STEPS] * num[row, 1] / den[row, 1], ticks * num[row, 0] / den[row, 0]
    fee = line[FEE] / float(UNITS)
    if buying and not fee_in_quote[row]:
        fee *= price
    delay, spread, impact = split_cost(
        buying, quantity, ticks, line[BID], line[ASK], tick[row], floats[line[ORDER], MID]
    )
    return quantity, price, quantity * price * usdt, fee * usdt, delay * usdt, spread * usdt, impact * usdt


@lean
def _price(
    log: IntArray,
    orders: IntArray,
    floats: FloatArray,
    num: IntArray,
    den: FloatArray,
    tick: FloatArray,
    fee_in_quote: BoolArray,
    usdt: float,
    out: FloatArray,
) -> None:
    """Write ``Priced`` of a log of fills (F, 7) to ``out`` (7, F)."""
    for k in range(log.shape[0]):
        quantity, price, money, fee, delay, spread, impact = _one(
            log[k], orders, floats, num, den, tick, fee_in_quote, usdt
        )
        out[0, k], out[1, k], out[2, k], out[3, k] = quantity, price, money, fee
        out[4, k], out[5, k], out[6, k] = delay, spread, impact


@lean
def _lost(
    log: IntArray,
    orders: IntArray,
    floats: FloatArray,
    num: IntArray,
    den: FloatArray,
    tick: FloatArray,
    fee_in_quote: BoolArray,
    usdt: float,
) -> tuple[float, float, float, float, bool]:
    """(fees, spread, impact, delay, whether all are correctly rounded) of a log of fills (F, 7): the sums of
    ``_price``'s columns, of which nothing is written down."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    lost_a, lost_b, lost_c, lost_d = 0.0, 0.0, 0.0, 0.0
    size_a, size_b, size_c, size_d = 0.0, 0.0, 0.0, 0.0
    for k in range(log.shape[0]):
        _, _, _, fee, delay, spread, impact = _one(log[k], orders, floats, num, den, tick, fee_in_quote, usdt)
        a, low = two_sum(a, fee)
        lost_a += low
        size_a += abs(low)
        b, low = two_sum(b, spread)
        lost_b += low
        size_b += abs(low)
        c, low = two_sum(c, impact)
        lost_c += low
        size_c += abs(low)
        d, low = two_sum(d, delay)
        lost_d += low
        size_d += abs(low)
    count = log.shape[0]
    certain = correctly_rounded(a, lost_a, size_a, count) and correctly_rounded(b, lost_b, size_b, count)
    certain = certain and correctly_rounded(c, lost_c, size_c, count) and correctly_rounded(d, lost_d, size_d, count)
    return a + lost_a, b + lost_b, c + lost_c, d + lost_d, certain


def counted(counts: np.ndarray, row: np.ndarray, units: list[Decimal]) -> FloatArray:
    """So many units of each row's grid, as the float64 of their Decimals."""
    fractions = [fraction_of(unit) for unit in units]
    num = np.array([n for n, _ in fractions], dtype=np.int64)
    den = np.array([d for _, d in fractions])
    return counts * num[row] / den[row]
