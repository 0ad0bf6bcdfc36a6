"""What a schedule must know of the market when a minute begins, read off the market that was decided upon.

It goes into the journal with the minute, so that a replay of the journal cuts the same slices.
"""

from collections.abc import Mapping

from core.execution.schedules.rule import ADAPTIVE, EVEN, TIME, VOLUME_CURVE, Schedule
from core.execution.stimuli import BookSeen, Conditions
from core.impact import IMPACT_MINUTES, flow_at
from core.messages import VOLUME, FloatArray, Market, ShownBook, Top
from core.units import MINUTE_MS, Instrument, Side

Curves = Mapping[Instrument, FloatArray]
"""(1440,) volume curves (``core.execution.schedules.volume_curve``)."""


def conditions_of(
    market: Market,
    wanted: Mapping[Instrument, Side],
    schedule: Schedule,
    curves: Curves | None = None,
    books: Mapping[Instrument, ShownBook] | None = None,
) -> tuple[Conditions, ...]:
    """Of each market of ``wanted``, in which an order of that side begins; none where the schedule looks at no market. An instrument without a curve has an
    even one; ``books`` are newer than the market's touch, and deeper."""
    if schedule.kind in (EVEN, TIME):
        return ()
    return tuple(
        _conditions(market, i, side, schedule, curves or {}, (books or {}).get(i)) for i, side in wanted.items()
    )


def _conditions(
    market: Market, instrument: Instrument, side: Side, schedule: Schedule, curves: Curves, book: ShownBook | None
) -> Conditions:
    row = market.instruments.index(instrument)
    bars = market.bars[row]
    volume, sigma = flow_at(bars, bars.shape[0] - 1, IMPACT_MINUTES)
    ahead: tuple[float, ...] = ()
    if schedule.kind == VOLUME_CURVE:
        first, curve = market.minute // MINUTE_MS + 1, curves.get(instrument)
        minutes = range(first, first + schedule.minutes)
        ahead = tuple(1.0 if curve is None else float(curve[m % len(curve)]) for m in minutes)
    bid, ask = 0.0, 0.0
    if book is not None:
        bid, ask = book.top.bid, book.top.ask
    elif schedule.kind == ADAPTIVE:
        bid, ask = float(market.bid[row]), float(market.ask[row])
    return Conditions(
        instrument=instrument,
        traded=float(bars[-1, VOLUME]),
        volume=float(volume),
        sigma=float(sigma),
        rate=float(market.quote_rate[row]),
        curve=ahead,
        bid=bid,
        ask=ask,
        depth=() if book is None else book.met_by(side),
        queue=0.0 if book is None else book.beside(side)[0][1],
    )


def book_seen(instrument: Instrument, top: Top | None, book: ShownBook | None, side: Side | None) -> BookSeen:
    """What an adaptive parent on ``side`` is shown; the ``book``, where one was asked for, is the newer of the two."""
    if book is None or side is None:
        return BookSeen(instrument=instrument, top=top)
    return BookSeen(instrument=instrument, top=book.top, depth=book.met_by(side))
