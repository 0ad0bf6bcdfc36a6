"""How long work of several kinds will yet take, told from what each kind took so far."""

import time
from collections.abc import Callable, Mapping


class TimeLeft:
    """Counts what is done of each kind of work, and the time between its ``begin`` and its end.

    Kinds have units of their own (bars walked, samples a member learns from), so that a walk-forward's learning counts,
    which goes through no bars. ``clock`` gives seconds. It may be asked while another thread tells.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._took: dict[str, float] = {}
        self._first: dict[str, tuple[int, float]] = {}
        self._now: tuple[str, float] | None = None

    def plan(self, units: Mapping[str, int]) -> None:
        """All that is to be done, units by kind."""
        self._done, self._took = dict.fromkeys(units, 0), dict.fromkeys(units, 0.0)
        self._open, self._first = dict(units), {}

    def begin(self, kind: str) -> None:
        """From now on it is this that takes the time."""
        self._now = (kind, self._clock())

    def did(self, kind: str, units: int) -> None:
        """So much more is done, by work since the last ``begin`` or ``did`` of this kind."""
        now = self._clock()
        took = now - self._now[1] if self._now is not None and self._now[0] == kind else 0.0
        self._first.setdefault(kind, (units, took))
        self._took[kind] += took
        self._done[kind] += units
        self._open[kind] -= units
        self._now = (kind, now)

    def spare(self, kind: str, units: int) -> None:
        """So much need not be done: it was done before."""
        self._open[kind] -= units

    def pace(self, kind: str) -> float | None:
        """Seconds a unit took; None where none was done. The first piece, which has libraries loaded and kernels compiled,
        counts only until there is another."""
        done = self._done.get(kind, 0)
        if not done:
            return None
        units, took = self._first[kind]
        return (self._took[kind] - took) / (done - units) if done > units else took / units

    def left(self) -> float | None:
        """Seconds until all is done; None while some kind that is to come was never done."""
        total, now = 0.0, self._now
        for kind, units in self._open.items():
            if units <= 0:
                continue
            pace = self.pace(kind)
            if pace is None:
                return None
            of_kind = units * pace
            if now is not None and now[0] == kind:
                of_kind = max(0.0, of_kind - (self._clock() - now[1]))
            total += of_kind
        return total
