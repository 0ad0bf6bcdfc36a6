"""Minutes in which nothing is asked for: what is held is marked to market, and nothing else can happen.

The same rules as in ``core.engine.loop``, in a loop small enough for the processor's registers. It stops before any
minute that might need more than that, and leaves it to the other.
"""

import math

from core.engine.market import middle
from core.engine.tables import CLOSES, EDGE, EQUITY, INVESTED, STATE, TICK, TICK_DEN, TICK_NUM, WORTH, IntArray
from core.lean import lean
from core.liquidity import hour_column
from core.messages import CLOSE, VOLUME, FloatArray
from core.units import MINUTE_MS


@lean
def coast(
    recorded: FloatArray,
    half_bps: FloatArray,
    start_minute: int,
    asked: FloatArray,
    asked_first: int,
    grid_floats: FloatArray,
    grid_ints: IntArray,
    rate: FloatArray,
    position: FloatArray,
    close: FloatArray,
    mid: FloatArray,
    minutes: FloatArray,
    grid: FloatArray,
    minutes_first: int,
    stride: int,
    purse: float,
    state: int,
    low: float,
    high: float,
    first: int,
    end: int,
) -> int:
    """Write minutes from tape index ``first`` up to ``end`` at most; gives the index of the first one not written.

    ``purse`` is the worth of the quote balance that pays for every row, ``low`` and ``high`` the equities between which
    marking to market changes nothing, ``asked`` (N, S) the targets from index ``asked_first`` on. A row that is held
    must have traded in the minute.
    """
    grid_row = (first - minutes_first + stride - 1) // stride
    next_row = minutes_first + grid_row * stride
    for index in range(first, end):
        equity, invested = purse, 0.0
        held = False
        for i in range(position.shape[0]):
            target = asked[index - asked_first, i]
            volume = recorded[i, index, VOLUME]
            if position[i] > 0.0:
                if target == target or not volume > 0.0:
                    return index
                price = recorded[i, index, CLOSE]
                bps = half_bps[i, hour_column(start_minute, start_minute + (index + 1) * MINUTE_MS)]
                mid[i] = middle(price, bps, grid_floats[i, TICK], grid_ints[i, TICK_NUM], grid_floats[i, TICK_DEN])
                worth = position[i] * (mid[i] * rate[i])
                equity += worth
                invested += worth
                close[i] = price
                held = True
            else:
                if target > 0.0:
                    return index
                if volume == volume:
                    close[i] = recorded[i, index, CLOSE]
        if held and not low < equity <= high:
            return index
        c = index - minutes_first
        minutes[c, EQUITY], minutes[c, INVESTED], minutes[c, STATE] = equity, invested, state
        if index == next_row:
            for i in range(position.shape[0]):
                grid[grid_row, CLOSES, i] = close[i]
                grid[grid_row, WORTH, i] = position[i] * (mid[i] * rate[i]) if position[i] > 0.0 else 0.0
                grid[grid_row, EDGE, i] = math.nan
            grid_row += 1
            next_row += stride
    return end
