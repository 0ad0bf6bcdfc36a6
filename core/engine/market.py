"""Reading the tape: the touch that is shown, the book that an order meets, and what a venue turns away."""

import math

from core.book import ANY, LEVELS, best_ticks, half_spread_of, levels_from, room_of, spacing
from core.checks import lot_ok, notional_ok, percent_price_ok
from core.costs import Terms
from core.engine.tables import (
    ASK,
    AVERAGE,
    AVERAGE_MINUTES,
    BID,
    FILLABLE,
    GAP,
    GAP_UNIT,
    MAX_LOTS,
    MIN_LOTS,
    MIN_NOTIONAL,
    MOST_UNITS,
    MULTIPLIER_DOWN,
    MULTIPLIER_UP,
    NOTHING,
    PRICE_SENT,
    QUOTED,
    STEP,
    STEPS,
    TAKEN_MINUTE,
    TAKEN_SUM,
    TICK,
    TICK_DEN,
    TICK_NUM,
    TICKS,
    UNIT,
    Grids,
    IntArray,
    Tape,
)
from core.lean import inlined, inner, lean, pasted
from core.liquidity import VOLUME_MINUTES, hour_column
from core.messages import CLOSE, HIGH, LOW, OPEN, VOLUME, FloatArray
from core.path import place_of, price_at
from core.units import MINUTE_MS

SELL, BUY = 0, 1


@pasted
def as_price(ticks: int, num: int, den: float) -> float:
    """The float64 of so many ticks: correctly rounded, as the Decimal's is."""
    return ticks * num / den


@pasted
def minute_of(tape: Tape, ms: int) -> int:
    """Index of the minute that ``ms`` lies in (a boundary: the one it opens); T and above after the end."""
    return max(0, (ms - tape.start_minute) // MINUTE_MS)


@inlined
def traded_lately(bars: FloatArray, e: int) -> bool:
    """Whether anything traded in the minutes before ``e`` that a book's depth follows; else there is no book."""
    times = 0
    for k in range(max(0, e - VOLUME_MINUTES), e):
        if bars[k, VOLUME] > 0.0:
            times += 1
    return times > 0


@pasted
def touch_around(price: float, half_bps: float, tick: float, num: int, den: float) -> tuple[float, float]:
    """(bid, ask) around ``price``, the float64 of their Decimals, of a book of which we took nothing."""
    bid, ask = best_ticks(price, half_spread_of(price, half_bps), tick)
    return as_price(bid, num, den), as_price(ask, num, den)


@inlined
def middle(price: float, half_bps: float, tick: float, num: int, den: float) -> float:
    """Middle of the touch around ``price``, as the float64 of its two prices' Decimals gives it."""
    bid, ask = touch_around(price, half_bps, tick, num, den)
    return (bid + ask) / 2.0


@pasted
def price_now(tape: Tape, row: int, ms: int) -> float:
    """Price at ``ms``; NaN in a minute without a bar."""
    index, elapsed = place_of(tape.start_minute, ms, tape.bars.shape[1])
    bar = tape.bars[row, index]
    if math.isnan(bar[VOLUME]):
        return math.nan
    return price_at(bar[OPEN], bar[HIGH], bar[LOW], bar[CLOSE], elapsed)


@pasted
def half_now(tape: Tape, row: int, ms: int, price: float) -> float:
    """Half the spread in force, quote units."""
    column = min(hour_column(tape.start_minute, ms), tape.half_bps.shape[1] - 1)
    return half_spread_of(price, tape.half_bps[row, column])


@inlined
def book_at(
    tape: Tape,
    grids: Grids,
    terms: Terms,
    row: int,
    buying: bool,
    e: int,
    price: float,
    best: int,
    level: IntArray,
    enough: int,
) -> int:
    """Write the levels that an order meets in minute ``e``, from ``best`` ticks up to ``enough`` steps, to ``level``; gives
    how many."""
    volume, sigma = tape.liquidity[row, e, 0], tape.liquidity[row, e, 1]
    tick, step = grids.floats[row, TICK], grids.floats[row, STEP]
    ticks, steps = level[TICKS], level[STEPS]
    return levels_from(best, buying, price, tick, step, volume, sigma, terms.depth, ticks, steps, enough)


@inner
def shown_mid(tape: Tape, grids: Grids, terms: Terms, taken: IntArray, level: IntArray, row: int, index: int) -> float:
    """Middle of ``shown_touch``."""
    e = index + 1
    if taken[SELL, TAKEN_MINUTE] != e and taken[BUY, TAKEN_MINUTE] != e:
        return tape.shown[row, index]
    bid, ask = shown_touch(tape, grids, terms, taken, level, row, index)
    return (bid + ask) / 2.0


@inner
def shown_touch(
    tape: Tape, grids: Grids, terms: Terms, taken: IntArray, level: IntArray, row: int, index: int
) -> tuple[float, float]:
    """(bid, ask) shown at the close of minute ``index``, which has a bar and a book, quote units; NaN if we emptied one.

    An order so late in the minute that its latency carried it into the next one met that minute's book: what it
    took (``taken`` (2, LEVELS + 2) of this row) is not shown.
    """
    e = index + 1
    price = tape.bars[row, index, CLOSE]
    bps = tape.half_bps[row, hour_column(tape.start_minute, tape.start_minute + e * MINUTE_MS)]
    return left_touch(tape, grids, terms, taken, level, row, e, price, half_spread_of(price, bps))


@inlined
def mid_now(tape: Tape, grids: Grids, terms: Terms, taken: IntArray, level: IntArray, row: int, ms: int) -> float:
    """Middle of the touch shown at ``ms``, inside a minute; NaN without a bar or a book, or where we emptied a side."""
    ms = min(ms, tape.start_minute + tape.bars.shape[1] * MINUTE_MS)
    price, e = price_now(tape, row, ms), minute_of(tape, ms)
    if math.isnan(price) or not traded_lately(tape.bars[row], e):
        return math.nan
    bid, ask = left_touch(tape, grids, terms, taken, level, row, e, price, half_now(tape, row, ms, price))
    return (bid + ask) / 2.0


@inner
def left_touch(
    tape: Tape,
    grids: Grids,
    terms: Terms,
    taken: IntArray,
    level: IntArray,
    row: int,
    e: int,
    price: float,
    half: float,
) -> tuple[float, float]:
    """(bid, ask) that our orders left of the book of minute ``e`` around ``price``; NaN where a side is empty."""
    num, den = grids.ints[row, TICK_NUM], grids.floats[row, TICK_DEN]
    low, high = best_ticks(price, half, grids.floats[row, TICK])
    if taken[SELL, TAKEN_MINUTE] != e and taken[BUY, TAKEN_MINUTE] != e:
        return as_price(low, num, den), as_price(high, num, den)
    bid, ask = math.nan, math.nan
    everything = ANY + 0 * e  # no literal (core.lean)
    for side in (SELL, BUY):
        count = book_at(tape, grids, terms, row, side == BUY, e, price, high if side == BUY else low, level, everything)
        mine = taken[side, TAKEN_MINUTE] == e
        best = 0
        for k in range(count):
            if best == 0 and level[STEPS, k] - (taken[side, k] if mine else 0) > 0:
                best = level[TICKS, k]
        shown = as_price(best, num, den) if best != 0 else math.nan
        if side == BUY:
            ask = shown
        else:
            bid = shown
    return bid, ask


@inlined
def quote_at(tape: Tape, grids: Grids, terms: Terms, row: int, sent_ms: int, out: FloatArray) -> None:
    """Write what the market shows to an order sent at ``sent_ms`` to ``out`` (QUOTED,): all that it meets but for what we
    took ourselves."""
    e = min(minute_of(tape, sent_ms), tape.bars.shape[1])
    total, known = 0.0, 0
    for k in range(max(0, e - AVERAGE_MINUTES), e):
        if not math.isnan(tape.seen[row, k, CLOSE]):
            total += tape.seen[row, k, CLOSE]
            known += 1
    now = price_now(tape, row, sent_ms)
    out[AVERAGE], out[PRICE_SENT], out[FILLABLE] = total / known if known else now, now, NOTHING
    at_ms = sent_ms + terms.latency_ms
    e = minute_of(tape, at_ms)
    if e >= tape.bars.shape[1] or math.isnan(tape.bars[row, e, VOLUME]):
        return
    price = price_now(tape, row, at_ms)
    if math.isnan(price):
        return
    tick, step = grids.floats[row, TICK], grids.floats[row, STEP]
    bid, ask = best_ticks(price, half_now(tape, row, at_ms, price), tick)
    gap, unit = spacing(price, tick, step, tape.liquidity[row, e, 0], tape.liquidity[row, e, 1], terms.depth, LEVELS)
    out[FILLABLE] = float(room_of(tape.bars[row, e, VOLUME], terms.share, step, terms.halts))
    out[BID], out[ASK], out[GAP], out[GAP_UNIT] = float(bid), float(ask), float(gap), unit


@lean
def fill_quotes(tape: Tape, grids: Grids, terms: Terms, slice_ms: int, out: FloatArray) -> None:
    """Write ``Tape.quotes`` of slots ``slice_ms`` apart to ``out``."""
    for row in range(out.shape[0]):
        for index in range(out.shape[1]):
            sent_ms = tape.start_minute + (index + 1) * MINUTE_MS
            for slot in range(out.shape[2] // QUOTED):
                own = out[row, index, slot * QUOTED : (slot + 1) * QUOTED]
                quote_at(tape, grids, terms, row, sent_ms + slot * slice_ms, own)


@inlined
def turned_away(grids: Grids, row: int, average: float, now: float, ticks: int, steps: int) -> bool:
    """Whether the venue refuses a limit order: its filters, held against the ``average`` price of late, or a market that
    stands still, without a price ``now``."""
    if not percent_price_ok(ticks, grids.floats[row, TICK], average, MULTIPLIER_DOWN, MULTIPLIER_UP):
        return True
    if not lot_ok(steps, grids.ints[row, MIN_LOTS], grids.ints[row, MAX_LOTS]):
        return True
    ints = grids.ints[row]
    if not notional_ok(steps, ticks, ints[UNIT], ints[MIN_NOTIONAL], ints[MOST_UNITS]):
        return True
    return math.isnan(now)


@pasted
def forget_taken(taken: IntArray, e: int) -> None:
    """Start counting what one side of ours takes (LEVELS + 2,) anew when it was of another minute than ``e``."""
    if taken[TAKEN_MINUTE] != e:
        for k in range(LEVELS):
            taken[k] = 0
        taken[TAKEN_SUM], taken[TAKEN_MINUTE] = 0, e
