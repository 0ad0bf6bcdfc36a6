"""Who goes first when a venue's budget is short, and how much of it each may use."""

from enum import IntEnum


class Priority(IntEnum):
    """Urgency of a request; the smaller number goes first."""

    CANCEL = 0
    EXIT = 1
    ORDER = 2
    ACCOUNT = 3
    MARKET = 4
    HISTORY = 5


CEILING = {
    Priority.CANCEL: 1.00,
    Priority.EXIT: 0.95,
    Priority.ORDER: 0.85,
    Priority.ACCOUNT: 0.75,
    Priority.MARKET: 0.65,
    Priority.HISTORY: 0.50,
}
"""Share of the budget up to which each may spend; what lies above is kept for the more urgent."""


def ceiling(limit: int, priority: Priority) -> int:
    """Most that ``priority`` may have spent of ``limit``; at least 1, or a limit of one a window were never usable."""
    return max(1, int(limit * CEILING[priority]))
