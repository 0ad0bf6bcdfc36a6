"""What is written down about a feature: for people, for the mask of unknown values, and for the schema hash."""

from dataclasses import dataclass

ANCHOR_BARS = 300
"""Bars that a recursive indicator is run in over, before the block of minutes it is wanted for."""
BLOCK_MINUTES = 480
"""Length of the blocks in which recursive indicators start anew; blocks begin at multiples of it since the epoch."""
LOOKBACK = ANCHOR_BARS + BLOCK_MINUTES
"""Bars, this minute's included, on which no feature of a minute depends beyond."""
REACH = 241
"""Bars of the longest feature that is not recursive."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One feature."""

    name: str
    unit: str
    lookback: int
    """Bars it is a function of, this minute's included: a known value is exact, an unknown bar among them makes it NaN.
    0 needs none. ``ANCHORED`` is said by recursive ones: all bars since their anchor, LOOKBACK at most."""
    doc: str
    source: str
    talib: str = "none"
    """The TA-Lib function it is made of, and how; or why TA-Lib has none that is equal."""

    @property
    def anchored(self) -> bool:
        return self.lookback == ANCHORED


ANCHORED = LOOKBACK
"""Look-back of a recursive indicator: from ANCHOR_BARS bars before the first minute of its block on."""
