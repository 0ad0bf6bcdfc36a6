"""How far what is heard lies behind the venue's own time, beyond the delay it always has.

The venue's clock and ours need not agree: the least delay seen lately (clock offset and network together) is what is
usual, and what comes later than that has waited, in the network or with us.
"""

MOST_BEHIND_MS = 20_000
BEHIND_FRAMES = 20
"""A stream so far behind its own pace, for so many frames that tell a time, is left for one that begins at the present."""
FORGET_MS = 600_000.0
"""Clocks drift by some seconds a day: the least delay of the last ten to twenty minutes counts."""


class Lag:
    """Fed with our monotonic time and the event's own, both in milliseconds."""

    def __init__(self) -> None:
        self.newest_ms = 0.0
        self._least = [float("inf"), float("inf")]
        """Of the running ten minutes, and of those before."""
        self._until = 0.0

    def behind_ms(self, now_ms: float, event_ms: float) -> float:
        """How much later than usual this event came. A time that is none (0 or below) counts as on time."""
        if event_ms <= 0:
            return 0.0
        if now_ms >= self._until:
            self._until = now_ms + FORGET_MS
            self._least = [float("inf"), self._least[0]]
        delay = now_ms - event_ms
        self._least[0] = min(self._least[0], delay)
        self.newest_ms = delay - min(self._least)
        return self.newest_ms


class Lateness:
    """Whether a stream has grown too old to be believed, from the times its frames tell."""

    def __init__(self) -> None:
        self._lag, self._late = Lag(), 0

    @property
    def behind_ms(self) -> float:
        """Of the newest frame that told a time."""
        return self._lag.newest_ms

    @property
    def too_old(self) -> bool:
        return self._late >= BEHIND_FRAMES

    def heard(self, now_ms: float, event_ms: float) -> bool:
        """A frame told its own time: whether what we hear is too old."""
        behind = self._lag.behind_ms(now_ms, event_ms)
        self._late = 0 if behind <= MOST_BEHIND_MS else self._late + 1
        return self.too_old

    def left(self) -> str:
        """The stream is left for a new one: why, in words. What is heard from now on is measured afresh."""
        reason = f"what comes is {self._lag.newest_ms / 1_000:.0f} s old"
        self._lag, self._late = Lag(), 0
        return reason
