"""Hold the lake against a second reading of the venue: venues revise their history (0.5 % of the closes of April 2021
differ between two copies), and a disk may have its own ideas."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from actors.history.downloading import History
from core.units import MINUTE_MS, Instrument
from data.lake import Lake
from data.schema import VALUES

WINDOW = 200
"""Minutes of one reading: a page at either venue."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One minute of which lake and venue say different things."""

    minute: int
    what: str
    """A column's name; ``absent here`` or ``absent there``."""
    stored: float | None = None
    venue: float | None = None


@dataclass(slots=True)
class Compared:
    """One instrument's second reading."""

    instrument: Instrument
    minutes: int = 0
    """Bars of the lake that were read again."""
    differences: list[Difference] = field(default_factory=list)

    @property
    def bars(self) -> int:
        """How many minutes differ."""
        return len({d.minute for d in self.differences})


def windows(minutes: np.ndarray, sample: int | None, chance: np.random.Generator) -> list[tuple[int, int]]:
    """Spans to read again: all that hold stored minutes, or ``sample`` of them by chance, by time."""
    starts = np.unique(minutes // (WINDOW * MINUTE_MS)) * WINDOW * MINUTE_MS
    if sample is not None and sample < len(starts):
        starts = np.sort(chance.choice(starts, sample, replace=False))
    last = int(minutes[-1]) + MINUTE_MS
    return [(max(int(s), int(minutes[0])), min(int(s) + WINDOW * MINUTE_MS, last)) for s in starts]


async def compare(
    lake: Lake,
    gateway: History,
    instrument: Instrument,
    sample: int | None,
    chance: np.random.Generator,
    told: Callable[[int], None] = lambda minutes: None,
) -> Compared:
    """Read the venue's bars of the lake's minutes again. ``sample``: windows of 200 minutes; None reads everything."""
    found = Compared(instrument)
    minutes = lake.read(instrument, columns=("ts",))["ts"].to_numpy()
    if not len(minutes):
        return found
    for first, end in windows(minutes, sample, chance):
        frame = lake.read(instrument, first, end)
        theirs = {bar.minute: bar for bar in await gateway.history(instrument, first, (end - first) // MINUTE_MS)}
        rows = {row["ts"]: row for row in frame.iter_rows(named=True)}
        found.minutes += len(rows)
        found.differences += _differences(rows, theirs)
        told((end - first) // MINUTE_MS)
    return found


def _differences(rows: dict[int, dict], theirs: dict) -> list[Difference]:
    found: list[Difference] = []
    for minute in sorted(rows.keys() | theirs.keys()):
        ours, bar = rows.get(minute), theirs.get(minute)
        if ours is None:
            found.append(Difference(minute, "absent here"))
        elif bar is None:
            # A filler stands for a minute the venue has no bar of.
            found += [] if ours["filler"] else [Difference(minute, "absent there")]
        else:
            found += [
                Difference(minute, name, ours[name], getattr(bar, name))
                for name in VALUES
                if ours[name] != getattr(bar, name)
            ]
    return found


def total(reports: Sequence[Compared]) -> int:
    return sum(report.bars for report in reports)
