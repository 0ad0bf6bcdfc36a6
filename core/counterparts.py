"""The same coin at another venue, and the rate between their currencies.

Apart from the features that read it, as whoever only converts money needs no compiler in its process.
"""

from collections.abc import Sequence

from core.units import Instrument


def counterparts(instruments: Sequence[Instrument]) -> tuple[tuple[int, int, float], ...]:
    """For each instrument (row of the same coin at another venue, row of the exchange rate, power of that rate).

    Row -1: there is none. With equal quotes no rate is needed; else it is a row such as USDT/KRW, at any venue.
    """
    return tuple(_counterpart(own, instruments) for own in instruments)


def _counterpart(own: Instrument, instruments: Sequence[Instrument]) -> tuple[int, int, float]:
    others = [row for row, one in enumerate(instruments) if one.base == own.base and one.venue != own.venue]
    for row in others:
        if instruments[row].quote == own.quote:
            return row, -1, 0.0
    for row in others:
        for rate, one in enumerate(instruments):
            if (one.base, one.quote) == (instruments[row].quote, own.quote):
                return row, rate, -1.0
            if (one.base, one.quote) == (own.quote, instruments[row].quote):
                return row, rate, 1.0
    return -1, -1, 0.0
