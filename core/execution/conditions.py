"""What a schedule must know of the market when a minute begins, read off the market that was decided upon.

It goes into the journal with the minute, so that a replay of the journal cuts the same slices.
"""

from collections.abc import Iterable, Mapping

from core.execution.schedules.rule import ADAPTIVE, EVEN, TIME, VOLUME_CURVE, Schedule
from core.execution.stimuli import Conditions
from core.impact import IMPACT_MINUTES, flow_at
from core.messages import VOLUME, FloatArray, Market
from core.units import MINUTE_MS, Instrument

Curves = Mapping[Instrument, FloatArray]
"""(1440,) volume curves (``core.execution.schedules.volume_curve``)."""


def conditions_of(
    market: Market, instruments: Iterable[Instrument], schedule: Schedule, curves: Curves | None = None
) -> tuple[Conditions, ...]:
    """Of each of ``instruments``; none where the schedule looks at no market. An instrument without a curve has an
    even one."""
    if schedule.kind in (EVEN, TIME):
        return ()
    return tuple(_conditions(market, instrument, schedule, curves or {}) for instrument in instruments)


def _conditions(market: Market, instrument: Instrument, schedule: Schedule, curves: Curves) -> Conditions:
    row = market.instruments.index(instrument)
    bars = market.bars[row]
    volume, sigma = flow_at(bars, bars.shape[0] - 1, IMPACT_MINUTES)
    ahead: tuple[float, ...] = ()
    if schedule.kind == VOLUME_CURVE:
        first, curve = market.minute // MINUTE_MS + 1, curves.get(instrument)
        minutes = range(first, first + schedule.minutes)
        ahead = tuple(1.0 if curve is None else float(curve[m % len(curve)]) for m in minutes)
    booked = schedule.kind == ADAPTIVE
    return Conditions(
        instrument=instrument,
        traded=float(bars[-1, VOLUME]),
        volume=float(volume),
        sigma=float(sigma),
        rate=float(market.quote_rate[row]),
        curve=ahead,
        bid=float(market.bid[row]) if booked else 0.0,
        ask=float(market.ask[row]) if booked else 0.0,
    )
