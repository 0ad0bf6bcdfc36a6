"""Minutes in which nothing is asked for: what is held is marked to market, and nothing else can happen.

The same rules as in ``core.engine.loop``, for a stretch of minutes at once, row by row, so that the processor does
several of them in one step. It stops before any minute that might need more than that, and leaves it to the other.
"""

import math

from core.engine.prefetch import prefetch
from core.engine.tables import AVERAGE_MINUTES, CLOSES, EDGE, EQUITY, INVESTED, WORTH, IntArray
from core.lean import inlined, pasted
from core.loss_limits import LossLimits, managed
from core.messages import CLOSE, HIGH, LOW, VOLUME, FloatArray
from core.sizing import Caps, risen_above

LEAST, MOST = 64, 512
"""Minutes of a stretch: the first, and the longest. Each is twice as long as the one before."""


@inlined
def coast(
    shown: FloatArray,
    recorded: FloatArray,
    bars: FloatArray,
    protecting: bool,
    calm_low: FloatArray,
    calm_high: FloatArray,
    liquidity: FloatArray,
    asked: FloatArray,
    asked_first: int,
    rate: FloatArray,
    most: FloatArray,
    caps: Caps,
    losses: LossLimits,
    position: FloatArray,
    close: FloatArray,
    minutes: FloatArray,
    states: IntArray,
    grid: FloatArray,
    minutes_first: int,
    stride: int,
    purse: float,
    state: int,
    settled: bool,
    low: float,
    high: float,
    first: int,
    end: int,
) -> int:
    """Write minutes from tape index ``first`` up to ``end`` at most; gives the index of the first one not written.

    ``purse`` is the worth of the quote balance that pays for every row, ``low`` and ``high`` the equities between which
    marking to market changes nothing (nor does it where nothing is held and the account is ``settled``: marked since
    it last traded), ``asked`` (S, N) the targets from index ``asked_first`` on. A row that is held must show a book and
    stay within its cap (``most`` (S,), ``caps``, of what is managed under ``losses``), and where positions are protected the bar after each minute (of ``bars``) stays above ``calm_low`` (S,) and below
    ``calm_high``.
    What an order in the first minute that is asked for will read of ``recorded`` and ``liquidity`` is fetched ahead.
    """
    index, size = first, LEAST
    grid_row = (first - minutes_first + stride - 1) // stride
    next_row = minutes_first + grid_row * stride
    whole = True
    while whole and index < end:
        upto = min(index + size, end)
        size = min(2 * size, MOST)
        stop = upto
        for i in range(position.shape[0]):
            stop = index + _unasked(asked[i, index - asked_first : stop - asked_first], position[i] > 0.0)
        if stop < upto:
            for i in range(position.shape[0]):
                if asked[i, stop - asked_first] == asked[i, stop - asked_first]:
                    for k in range(stop - AVERAGE_MINUTES + 1, stop + 2):
                        prefetch(recorded, i, k, CLOSE)
                    prefetch(recorded, i, stop + 1, VOLUME)
                    prefetch(liquidity, i, stop + 1, 0)
        if protecting:
            for i in range(position.shape[0]):
                if calm_low[i] > 0.0 or calm_high[i] < math.inf:
                    stop = index + _untouched(bars[i, index + 1 : stop + 1], calm_low[i], calm_high[i])
        c = index - minutes_first
        equity, invested = minutes[EQUITY, c : c + stop - index], minutes[INVESTED, c : c + stop - index]
        for k in range(equity.shape[0]):
            equity[k] = purse
            invested[k] = 0.0
        held = False
        for i in range(position.shape[0]):
            if position[i] > 0.0:
                held = True
                seen = shown[i, index:stop]
                for k in range(seen.shape[0]):
                    worth = position[i] * (seen[k] * rate[i])
                    equity[k] += worth
                    invested[k] += worth
        if held or not settled:
            stop = index + _unmoved(equity, low, high)
        for i in range(position.shape[0]):
            if position[i] > 0.0:
                stop = index + _capped(shown[i, index:stop], equity, position[i] * rate[i], most[i], caps, losses)
        if state != 0:
            states[c : c + stop - index] = state
        while next_row < stop:
            k = next_row
            for i in range(position.shape[0]):
                grid[grid_row, CLOSES, i] = _last_known(recorded[i, first : k + 1], close[i])
                grid[grid_row, WORTH, i] = position[i] * (shown[i, k] * rate[i]) if position[i] > 0.0 else 0.0
                grid[grid_row, EDGE, i] = math.nan
            grid_row += 1
            next_row += stride
        whole = stop == upto
        index = stop
    for i in range(position.shape[0]):
        close[i] = _last_known(recorded[i, first:index], close[i])
    return index


@pasted
def _unasked(asked: FloatArray, held: bool) -> int:
    """How many minutes of one row's targets pass before something is asked of it."""
    hits = 0
    if held:
        for k in range(asked.shape[0]):
            hits += asked[k] == asked[k]
    else:
        for k in range(asked.shape[0]):
            hits += asked[k] > 0.0
    if hits == 0:
        return asked.shape[0]
    k = 0
    while not (asked[k] > 0.0 or (held and asked[k] == asked[k])):
        k += 1
    return k


@pasted
def _untouched(bars: FloatArray, low: float, high: float) -> int:
    """How many of ``bars`` (N, 5) pass before one that comes near a stop or a profit; a missing one does not."""
    hits = 0
    for k in range(bars.shape[0]):
        hits += (bars[k, LOW] <= low) | (bars[k, HIGH] >= high)
    if hits == 0:
        return bars.shape[0]
    k = 0
    while not (bars[k, LOW] <= low or bars[k, HIGH] >= high):
        k += 1
    return k


@pasted
def _unmoved(equity: FloatArray, low: float, high: float) -> int:
    """How many minutes pass before one that must be marked, or whose worth is not known."""
    hits = 0
    for k in range(equity.shape[0]):
        hits += (equity[k] > low) & (equity[k] <= high)
    if hits == equity.shape[0]:
        return hits
    k = 0
    while low < equity[k] <= high:
        k += 1
    return k


@pasted
def _capped(shown: FloatArray, equity: FloatArray, coins: float, most: float, caps: Caps, losses: LossLimits) -> int:
    """How many minutes pass before one in which a position may have risen above its cap (``core.sizing.risen_above``).

    ``coins`` USDT a quote unit of price. A hair earlier, beyond any doubt of rounding.
    """
    coins *= 1.0 + 1e-12
    for k in range(shown.shape[0]):
        own = managed(equity[k], losses.capital, losses.capital_usdt)
        if risen_above(coins * shown[k], most, own, caps) > 0.0:
            return k
    return shown.shape[0]


@pasted
def _last_known(bars: FloatArray, before: float) -> float:
    """The last known close of ``bars`` (N, 5), else what it was ``before``."""
    k = bars.shape[0] - 1
    while k >= 0 and bars[k, VOLUME] != bars[k, VOLUME]:
        k -= 1
    return bars[k, CLOSE] if k >= 0 else before
