"""What an agent may ask for of each instrument, and how that is said as a vote.

A level is a part of the instrument's share. As a vote it lies where the selector reads it so (``core.selection.wanted``):
below the exit for nothing, between exit and entry for what is held, above the entry for a part of the full share.
"""

from core.params import SelectionSettings

LEVELS = (0.0, float("nan"), 0.5, 1.0)
"""Parts of the share; NaN keeps what is held."""
OUT, KEEP, HALF, FULL = range(4)


def votes_of(rules: SelectionSettings) -> tuple[float, ...]:
    """(K,) the votes that ask for ``LEVELS``, as parts of ``full_edge_bps``."""
    full = float(rules.full_edge_bps)
    entry, leave = rules.entry_edge_bps / full, rules.exit_edge_bps / full
    return -1.0, (entry + leave) / 2.0, max(0.5, entry), 1.0
