"""The records of a replay, a paper or live run, or an exact backtest, as a ``Result``: reported by the same code.

Fills in the records say what was paid. How much of it was spread, impact or delay is known only with the market they
were made in (``Touches``); without it all three stand under delay, and a note says so.

Records keep closes, not the mids that equity counts by: ``worth`` and ``invested`` are by the close, where the engine's
are by the mid. The mid lies between two prices on the tick grid and so beside the close, by less than a tick where no
order of ours has moved the book. Equity itself is in the records, the same to the last digit.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import polars as pl

from core.book import best_ticks, half_spread_of
from core.costs import split_cost, terms_of
from core.currency import usdt_of
from core.liquidity import half_spreads, hour_column
from core.messages import Approved, Fill, FloatArray, MinuteRecord, ProtectiveExit
from core.params import CostSettings
from core.path import place_of, price_at
from core.units import MINUTE_MS, Instrument, MarketRules, Side
from tune.result import FILLS, ORDERS, REGIMES, STATES, Result, Tables, grid_of
from tune.simulated_result import contributions, costs_of, spread_rest

UNSPLIT = "Spread, impact and delay are not told apart in these records: all three stand under delay."
NOT_OURS = "{} fills belong to no order of these records; their costs beyond the fee are not known."
OTHER_FEES = "{} fills paid their fee in a coin whose price is not in the records; it is not counted."


class Bars(Protocol):
    """Bars of a market: a ``MarketCut`` or a ``Tape``."""

    @property
    def instruments(self) -> tuple[Instrument, ...]: ...
    @property
    def start_minute(self) -> int: ...
    @property
    def bars(self) -> np.ndarray: ...


class Touches:
    """Best bid and ask of a recorded market at any instant, as the simulated exchange shows them."""

    def __init__(self, market: Bars, costs: CostSettings, rules: dict[Instrument, MarketRules]) -> None:
        terms = terms_of(costs)
        self._bars = np.ascontiguousarray(market.bars, dtype=np.float64)
        self._start = market.start_minute
        self._rows = {instrument: row for row, instrument in enumerate(market.instruments)}
        self._ticks = {instrument: float(rules[instrument].tick) for instrument in market.instruments}
        self._half = half_spreads(
            self._bars, market.start_minute, terms.half_spread_default_bps, terms.half_spread_max_bps
        )

    def at(self, instrument: Instrument, ms: int) -> tuple[int, int, float] | None:
        """(best bid, best ask) in ticks, and the tick; None where the market has no bar."""
        row = self._rows.get(instrument)
        if row is None:
            return None
        index, elapsed = place_of(self._start, ms, self._bars.shape[1])
        bar = self._bars[row, index]
        if not np.isfinite(bar).all():
            return None
        price = price_at(*(float(value) for value in bar[:4]), elapsed)
        bps = self._half[row, min(hour_column(self._start, ms), self._half.shape[1] - 1)]
        tick = self._ticks[instrument]
        bid, ask = best_ticks(price, half_spread_of(price, bps), tick)
        return bid, ask, tick


def result_of_records(
    records: Sequence[MinuteRecord],
    *,
    name: str,
    market: str,
    synthetic: bool,
    cash: float | None = None,
    settings: dict[str, Any] | None = None,
    touches: Touches | None = None,
    notes: Sequence[str] = (),
) -> Result:
    """The run that these records tell of. ``cash`` at the start is the first equity where it is not given.

    Missed minutes are in it, without equity; what came after the last decision is in its fills.
    """
    records = _with_rates(records)
    decided = [r for r in records if r.status in ("done", "missed")]
    done = [r for r in decided if r.status == "done"]
    instruments = done[0].instruments if done else ()
    members = tuple(vote.member for vote in done[0].votes) if done else ()
    minute = np.array([r.minute for r in decided], dtype=np.int64)
    equity = np.array([r.equity if r.status == "done" else np.nan for r in decided], dtype=np.float64)
    grid = grid_of(len(decided))
    at_grid = [decided[index] for index in grid]
    close = _table([r.close for r in at_grid], len(instruments))
    rates = _rates(at_grid, instruments)
    in_usdt = close * rates
    orders, shares, mids, parents = _orders(records, members)
    fills, said = _fills(records, orders, parents, touches)
    executed = np.zeros(len(orders))
    known = fills.filter(pl.col("order") >= 0)
    np.add.at(executed, known["order"].to_numpy(), known["quantity"].to_numpy())
    orders = orders.with_columns(pl.Series("executed", executed))
    last = int(minute[-1]) if len(minute) else 0
    costs = costs_of(equity, fills, last)
    numbers = {instrument.symbol: row for row, instrument in enumerate(instruments)}
    rows = np.array([[0, numbers[symbol]] for symbol in orders["symbol"]], dtype=np.int64).reshape(-1, 2)
    mine = known.filter(pl.col("symbol").is_in(list(numbers)))
    earned = contributions(rows, mids, shares, mine, last, _last_known(in_usdt))
    first = float(equity[np.isfinite(equity)][0]) if np.isfinite(equity).any() else 0.0
    return Result(
        name=name,
        market=market,
        synthetic=synthetic,
        instruments=instruments,
        members=members,
        cash=first if cash is None else cash,
        minute=minute,
        equity=equity,
        invested=np.array([_invested(r) for r in decided], dtype=np.float64),
        regime=np.array([_index(REGIMES, r.regime) for r in decided], dtype=np.int8),
        state=np.array([max(0, _index(STATES, r.state)) for r in decided], dtype=np.int8),
        grid=grid,
        close=close,
        rate=rates if _moved(rates) else None,
        worth=in_usdt * _table([r.position for r in at_grid], len(instruments)),
        edge_bps=_table([r.edge_bps for r in at_grid], len(instruments)),
        weights=_table([tuple(v.weight for v in r.votes) for r in at_grid], len(members)),
        contribution=spread_rest(earned, costs.gross),
        tables=Tables(fills, orders),
        costs=costs,
        settings=settings or {},
        notes=(*notes, *said, *((UNSPLIT,) if touches is None and len(fills) else ())),
    )


def _orders(
    records: Sequence[MinuteRecord], members: tuple[str, ...]
) -> tuple[pl.DataFrame, FloatArray, FloatArray, dict[str, int]]:
    """(``ORDERS``, each member's share of the edge (N, M), mids (N,) in USDT, client id → row)."""
    lines, shares, mids, by_intent = [], [], [], {}
    for record in records:
        places = {instrument: row for row, instrument in enumerate(record.instruments)}
        for one in record.approved:
            row = places[one.instrument]
            by_intent[one.intent_id] = len(lines)
            lines.append((len(lines), *_order(one, record, row)))
            mids.append(one.reference_price * usdt_of(record.rates, one.instrument.quote))
            shares.append(_shares(record, row, members))
        for sold in record.exits:
            by_intent.setdefault(sold.intent_id, len(lines))
            lines.append((len(lines), *_exit(sold)))
            mids.append(sold.reference_price * usdt_of(record.rates, sold.instrument.quote))
            shares.append([0.0] * len(members))
    frame = pl.DataFrame(lines, schema=ORDERS, orient="row")
    parents = {o.client_id: by_intent[o.intent_id] for r in records for o in r.orders if o.intent_id in by_intent}
    table = np.array(shares, dtype=np.float64).reshape(len(lines), len(members))
    return frame, table, np.array(mids, dtype=np.float64), parents


def _order(one: Approved, record: MinuteRecord, row: int) -> tuple:
    return (
        one.minute,
        one.instrument.symbol,
        one.side.value,
        float(one.quantity),
        float(one.limit_price),
        one.reference_price,
        record.edge_bps[row] if record.edge_bps else None,
        record.target[row] if record.target else None,
        record.equity,
        record.regime,
        0.0,
        list(one.arithmetic),
    )


def _exit(one: ProtectiveExit) -> tuple:
    return (
        one.minute,
        one.instrument.symbol,
        Side.SELL.value,
        float(one.quantity),
        float(one.limit_price),
        one.reference_price,
        None,
        0.0,
        None,
        "",
        0.0,
        list(one.arithmetic),
    )


def _shares(record: MinuteRecord, row: int, members: tuple[str, ...]) -> list[float]:
    """What each member's weighted forecast had in the edge; equal parts where there is none."""
    edge = record.edge_bps[row] if record.edge_bps else 0.0
    if not edge or not np.isfinite(edge):
        return [1.0 / len(members)] * len(members)
    said = {v.member: v.weight * v.mean_bps[row] if v.weight > 0.0 else 0.0 for v in record.votes}
    return [said.get(member, 0.0) / edge for member in members]


def _fills(
    records: Sequence[MinuteRecord], orders: pl.DataFrame, parents: dict[str, int], touches: Touches | None
) -> tuple[pl.DataFrame, list[str]]:
    """(``FILLS`` in time order, notes)."""
    decided, mids = orders["minute"].to_list(), orders["mid"].to_list()
    lines, strangers, unpriced = [], 0, 0
    told = ((fill, usdt_of(r.rates, fill.instrument.quote)) for r in records for fill in r.fills)
    for fill, rate in sorted(told, key=lambda pair: pair[0].at_ms):
        order = parents.get(fill.client_id, -1)
        quantity, price = float(fill.quantity), float(fill.price)
        fee = _fee(fill, price)
        unpriced += fee is None
        strangers += order < 0
        minute = decided[order] if order >= 0 else fill.at_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS
        lost = (0.0, 0.0, 0.0) if order < 0 else _lost(fill, mids[order], touches)
        delay, spread, impact = (part * rate for part in lost)
        what = (order, minute, fill.at_ms, fill.instrument.symbol, fill.side.value)
        worth = (quantity * price * rate, (fee or 0.0) * rate)
        lines.append((*what, quantity, price, *worth, spread, impact, delay, fill.maker))
    notes = [NOT_OURS.format(strangers)] * bool(strangers) + [OTHER_FEES.format(unpriced)] * bool(unpriced)
    return pl.DataFrame(lines, schema=FILLS, orient="row"), notes


def _fee(fill: Fill, price: float) -> float | None:
    """Worth of the fee in the quote currency; None when it was paid in a third coin."""
    if fill.fee_asset == fill.instrument.quote:
        return float(fill.fee)
    if fill.fee_asset == fill.instrument.base:
        return float(fill.fee) * price
    return None if fill.fee else 0.0


def _lost(fill: Fill, mid: float, touches: Touches | None) -> tuple[float, float, float]:
    """(delay, spread, impact) against the mid of the decision."""
    quantity, price = float(fill.quantity), float(fill.price)
    buying = fill.side is Side.BUY
    touch = touches.at(fill.instrument, fill.at_ms) if touches is not None else None
    if touch is None:
        return (1.0 if buying else -1.0) * (price - mid) * quantity, 0.0, 0.0
    bid, ask, tick = touch
    return split_cost(buying, quantity, round(price / tick), bid, ask, tick, mid)


def _invested(record: MinuteRecord) -> float:
    priced = zip(record.instruments, record.position, record.close, strict=True)
    worth = [p * (c * usdt_of(record.rates, i.quote)) for i, p, c in priced if p and np.isfinite(c)]
    return float(sum(worth)) if record.status == "done" else float("nan")


def _with_rates(records: Sequence[MinuteRecord]) -> Sequence[MinuteRecord]:
    """The records, those that decided nothing with the rates of the decision before: they keep none, and fills may be
    in them."""
    found, rates = list(records), ()
    for at, record in enumerate(found):
        if record.status == "done":
            rates = record.rates
        elif rates and not record.rates:
            found[at] = replace(record, rates=rates)
    return found


def _rates(records: Sequence[MinuteRecord], instruments: Sequence[Instrument]) -> FloatArray:
    """(G, S) USDT of each quote unit, minute by minute."""
    return np.array([[usdt_of(r.rates, i.quote) for i in instruments] for r in records]).reshape(
        len(records), len(instruments)
    )


def _moved(rates: FloatArray) -> bool:
    """Whether any quote currency was worth one thing in one minute and another in the next."""
    return any(len(np.unique(column[np.isfinite(column)])) > 1 for column in rates.T)


def _table(rows: Sequence[Sequence[float]], width: int) -> FloatArray:
    """(G, width); NaN where a record has none."""
    table = np.full((len(rows), width), np.nan)
    for at, row in enumerate(rows):
        if len(row) == width:
            table[at] = row
    return table


def _last_known(close: FloatArray) -> FloatArray:
    """(S,) the last finite close of each column; NaN where there is none."""
    found = np.full(close.shape[1], np.nan)
    for column in range(close.shape[1]):
        known = close[:, column][np.isfinite(close[:, column])]
        found[column] = known[-1] if len(known) else np.nan
    return found


def _index(names: tuple, name: str) -> int:
    return names.index(name) if name in names else -1
