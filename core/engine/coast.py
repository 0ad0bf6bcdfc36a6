"""Minutes in which nothing is asked for: what is held is marked to market, and nothing else can happen.

The same rules as in ``core.engine.loop``, for a stretch of minutes at once, row by row, so that the processor does
several of them in one step. It stops before any minute that might need more than that, and leaves it to the other.
"""

import math

from core.engine.prefetch import prefetch
from core.engine.prepared import BLOCK
from core.engine.tables import AVERAGE_MINUTES, EDGE, EQUITY, INVESTED, NEXT_ASKED, WORTH, IntArray
from core.lean import inlined, pasted
from core.loss_limits import LossLimits, managed
from core.messages import CLOSE, HIGH, LOW, VOLUME, FloatArray
from core.sizing import Caps, risen_above

MOST = 512
"""Minutes of a stretch at most."""
SMALLEST = 5e-324
"""The smallest number above 0."""
NEARLY = 1.0 + 1e-12
STEP = 16
"""Minutes that are marked in one step."""


@inlined
def coast(
    shown: FloatArray,
    recorded: FloatArray,
    bars: FloatArray,
    extremes: FloatArray,
    protecting: bool,
    calm_low: FloatArray,
    calm_high: FloatArray,
    liquidity: FloatArray,
    asked_at: IntArray,
    asked: FloatArray,
    parent: IntArray,
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
    grid_row: int,
    first: int,
    end: int,
) -> tuple[int, int]:
    """Write minutes from tape index ``first`` up to ``end`` at most, and rows of the grid from ``grid_row`` on; gives the
    index of the first minute, and the first row, not written.

    ``purse`` is the worth of the quote balance that pays for every row, ``low`` and ``high`` the equities between which
    marking to market changes nothing (nor does it where nothing is held and the account is ``settled``: marked since
    it last traded), ``asked_at`` and ``asked`` (E,) are when which targets are asked for, as in ``Said``; of ``parent``, which
    is ``Scratch.parent``, ``NEXT_ASKED`` is read and moved on. A row that is held must show a book and
    stay within its cap (``most`` (S,), ``caps``, of what is managed under ``losses``), and where positions are protected the bar after each minute (of ``bars``) stays above ``calm_low`` (S,) and below
    ``calm_high``.
    What an order in the first minute that is asked for will read of ``recorded`` and ``liquidity`` is fetched ahead, and
    of the one behind it.
    ``extremes`` (S, B, 2) of the bars as in ``Tape``.
    """
    index = first
    next_row = minutes_first + grid_row * stride
    whole = True
    while whole and index < end:
        upto = min(index + MOST, end)
        stop = upto
        for i in range(position.shape[0]):
            n = next_asked(asked_at, parent[i, NEXT_ASKED], index)
            parent[i, NEXT_ASKED] = n
            # What is not held cannot be sold: to ask for nothing of it is passed over.
            least = -math.inf if position[i] > 0.0 else SMALLEST
            while asked_at[n] < stop and not asked[n] >= least:
                n += 1
            if asked_at[n] < stop:
                stop = asked_at[n]
                _fetch(recorded, liquidity, i, stop)
        ordered = stop if stop < upto else upto + 1
        if protecting:
            for i in range(position.shape[0]):
                if calm_low[i] > 0.0 or calm_high[i] < math.inf:
                    stop = _untouched(bars[i], extremes[i], index + 1, stop + 1, calm_low[i], calm_high[i]) - 1
        c = index - minutes_first
        # Whole steps: what is written behind ``stop`` is written again when its minute comes.
        size = (stop - index + STEP - 1) // STEP * STEP
        size = min(size, min(shown.shape[1] - index, minutes.shape[1] - c))
        equity, invested = minutes[EQUITY, c : c + size], minutes[INVESTED, c : c + size]
        held, odd = 0, 1
        for i in range(position.shape[0]):
            held += position[i] > 0.0
        if held == 1:
            for i in range(position.shape[0]):
                if position[i] > 0.0:
                    prices = shown[i, index : index + size]
                    odd = _mark_alone(
                        prices, position[i], rate[i], purse, low, high, most[i], caps, losses, equity, invested
                    )
        elif held > 1:
            first_one = True
            for i in range(position.shape[0]):
                if position[i] > 0.0:
                    # The first one held adds to the purse alone, the others to what stands there.
                    _mark(shown[i, index : index + size], position[i], rate[i], first_one, purse, equity, invested)
                    first_one = False
        else:
            # The same in every minute: one look tells of all of them.
            odd = 0 if settled or (purse > low and purse <= high) else 1
            for k in range(equity.shape[0]):
                equity[k], invested[k] = purse, 0.0
        if odd > 0:
            equity = equity[: stop - index]
            stop = index + _unmoved(equity, low, high)
            for i in range(position.shape[0]):
                if position[i] > 0.0:
                    stop = index + _capped(shown[i, index:stop], equity, position[i] * rate[i], most[i], caps, losses)
        if state != 0:
            states[c : c + stop - index] = state
        while next_row < stop:
            for i in range(position.shape[0]):
                worth = position[i] * (shown[i, next_row] * rate[i]) if position[i] > 0.0 else 0.0
                grid[grid_row, WORTH, i], grid[grid_row, EDGE, i] = worth, math.nan
            grid_row += 1
            next_row += stride
        if stop == ordered:
            for i in range(position.shape[0]):
                # While this order is worked what the next one reads comes, which takes longer than the minutes between.
                n = next_asked(asked_at, parent[i, NEXT_ASKED], stop + 1)
                if asked_at[n] < end:
                    _fetch(recorded, liquidity, i, asked_at[n])
        whole = stop == upto
        index = stop
    for i in range(position.shape[0]):
        # Where the next minute has a bar, that is the last known close: nobody waits for another.
        if index >= recorded.shape[1] or index == end or recorded[i, index, VOLUME] != recorded[i, index, VOLUME]:
            close[i] = _last_known(recorded[i, first:index], close[i])
    return index, grid_row


@inlined
def _fetch(recorded: FloatArray, liquidity: FloatArray, row: int, index: int) -> None:
    """Ask for what an order of minute ``index`` reads."""
    for k in range(index - AVERAGE_MINUTES + 1, index + 2):
        prefetch(recorded, row, k, CLOSE)
    prefetch(liquidity, row, index + 1, 0)


@pasted
def next_asked(asked_at: IntArray, after: int, index: int) -> int:
    """The first place from ``after`` on, in the same row's part of ``asked_at``, that is not of a minute before ``index``."""
    while asked_at[after] < index:
        after += 1
    return after


@pasted
def _untouched(bars: FloatArray, extremes: FloatArray, first: int, end: int, low: float, high: float) -> int:
    """Which minute of [first, end) is the first whose bar comes near a stop or a profit, ``end`` for none; a missing one
    does not. ``extremes`` (B, 2) of ``bars`` (T, 5) are looked at first: they are in most cases far from both."""
    near = 0
    for block in range(first // BLOCK, (end - 1) // BLOCK + 1):
        near += (extremes[block, 0] <= low) | (extremes[block, 1] >= high)
    k = end if near == 0 else first
    while k < end and not (bars[k, LOW] <= low or bars[k, HIGH] >= high):
        k += 1
    return k


@pasted
def _mark_alone(
    shown: FloatArray,
    position: float,
    rate: float,
    purse: float,
    low: float,
    high: float,
    most: float,
    caps: Caps,
    losses: LossLimits,
    equity: FloatArray,
    invested: FloatArray,
) -> int:
    """``_mark`` of the only row that is held; gives in how many minutes ``_unmoved`` or ``_capped`` would stop."""
    coins, odd = position * rate * NEARLY, 0
    for k in range(shown.shape[0]):
        worth = position * (shown[k] * rate)
        now = purse + worth
        equity[k], invested[k] = now, worth
        own = managed(now, losses.capital, losses.capital_usdt)
        odd += (risen_above(coins * shown[k], most, own, caps) > 0.0) | (not (now > low) & (now <= high))
    return odd


@pasted
def _mark(
    shown: FloatArray,
    position: float,
    rate: float,
    alone: bool,
    purse: float,
    equity: FloatArray,
    invested: FloatArray,
) -> None:
    """Add what is held of a row to both; ``alone``: to nothing but the ``purse``."""
    if alone:
        for k in range(shown.shape[0]):
            worth = position * (shown[k] * rate)
            equity[k] = purse + worth
            invested[k] = worth
    else:
        for k in range(shown.shape[0]):
            worth = position * (shown[k] * rate)
            equity[k] += worth
            invested[k] += worth


@pasted
def _unmoved(equity: FloatArray, low: float, high: float) -> int:
    """How many minutes pass before one that must be marked, or whose worth is not known."""
    size = equity.shape[0]
    at = size
    for k in range(size):
        at = min(at, size if (equity[k] > low) & (equity[k] <= high) else k)
    return at


@pasted
def _capped(shown: FloatArray, equity: FloatArray, coins: float, most: float, caps: Caps, losses: LossLimits) -> int:
    """How many minutes pass before one in which a position may have risen above its cap (``core.sizing.risen_above``).

    ``coins`` USDT a quote unit of price. A hair earlier, beyond any doubt of rounding.
    """
    coins *= NEARLY
    size = shown.shape[0]
    at = size
    for k in range(size):
        own = managed(equity[k], losses.capital, losses.capital_usdt)
        at = min(at, k if risen_above(coins * shown[k], most, own, caps) > 0.0 else size)
    return at


@pasted
def _last_known(bars: FloatArray, before: float) -> float:
    """The last known close of ``bars`` (N, 5), else what it was ``before``."""
    k = bars.shape[0] - 1
    while k >= 0 and bars[k, VOLUME] != bars[k, VOLUME]:
        k -= 1
    return bars[k, CLOSE] if k >= 0 else before
