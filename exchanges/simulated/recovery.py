"""What simulated orders took from a real book, coming back little by little.

The real exchange does not know of orders that are matched here: its next update, 100 ms later, shows everything again. A
real taker's depth comes back in seconds. So the volume that our orders took is missing from the front of that side of the
book, best price first, and halves every ``half_life_ms``: the exponential recovery of Obizhaeva & Wang 2013 ("Optimal
trading strategy and supply/demand dynamics", Journal of Financial Markets 16), read off displayed levels instead of a
block of even depth.

As there, what is missing goes with the touch and does not stay at a price: half of all best prices of recorded BTC and
ETH books stood for less than 5 ms, so a memory by price forgets before anybody asks. Others' trades do not fill it, and
nothing of it stays for good. Quantities in steps; times never fall.
"""

from exchanges.simulated.ladder import Levels


class Recovery:
    """One side of one book."""

    def __init__(self, half_life_ms: float) -> None:
        """``half_life_ms``: 0 = what is shown anew is whole."""
        self._half_life_ms = half_life_ms
        self._missing, self._at_ms = 0.0, 0
        self._fresh, self._fresh_ms = 0, 0
        """Taken from the book as it is shown now: whoever matches counts that himself."""

    def took(self, steps: int, ms: int) -> None:
        self._fresh, self._fresh_ms = self._fresh + steps, ms

    def anew(self) -> None:
        """Another book is shown: what was taken from the last one is missing in it."""
        if self._fresh and self._half_life_ms > 0.0:
            self._missing, self._at_ms = self.missing(self._fresh_ms) + self._fresh, max(self._fresh_ms, self._at_ms)
        self._fresh = 0

    def missing(self, ms: int) -> float:
        """Steps taken from earlier books that are not back yet."""
        if not self._missing:
            return 0.0
        return self._missing * 0.5 ** (max(0, ms - self._at_ms) / self._half_life_ms)

    def lessen(self, levels: Levels, ms: int) -> Levels:
        """Levels, best first, less what is missing. Emptied ones keep their place."""
        left = round(self.missing(ms))
        if left <= 0:
            return levels
        rest = []
        for ticks, steps in levels:
            gone = min(left, steps)
            left -= gone
            rest.append((ticks, steps - gone))
        return tuple(rest)
