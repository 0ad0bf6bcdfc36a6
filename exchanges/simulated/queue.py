"""The place of a resting order among the others of a real book, moved by what that book and its trades show.

A new order stands behind everything displayed at its price. What is known afterwards is only what is shown:

- a trade at its price eats the queue before it, and only then fills it;
- a trade through its price fills it, for as much as was traded: who traded there would have met it first;
- displayed size below the queue shortens the queue. That some of a level is cancelled says nothing of who cancelled,
  so all who did are taken to have stood behind us, until what is displayed is less than what stood before us: the
  latest that the queue can become shorter.

Books and trades come on streams of their own. When the book is the first to show what a trade took, that trade, coming
within ``late_ms`` after it, is counted against what the book has shown already and eats no more of the queue.
Prices in ticks, quantities in steps.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from core.units import Side
from exchanges.simulated.orders import SimOrder


@dataclass(slots=True)
class Place:
    """Where one order stands."""

    order: SimOrder
    ahead: int | None
    """Steps of others before it; None as long as its price was not displayed: then nothing at its price fills it."""
    exact: bool
    """Trades of its market are heard: they alone fill it."""
    reached: int = 0
    """Steps that trades came to and that are not filled yet; whoever fills them takes them from here."""
    shrunk: int = 0
    """Steps by which the display shortened the queue, as long as a trade may be on its way that explains them."""
    shrunk_ms: int = 0

    @property
    def wanting(self) -> int:
        """Steps that are still to be reached."""
        return self.order.remaining - self.reached

    def show(self, size: int, now_ms: int) -> None:
        """So much is displayed at its price."""
        if self.ahead is None:
            self.ahead = size
        elif size < self.ahead:
            self.shrunk, self.shrunk_ms = self.shrunk + self.ahead - size, now_ms
            self.ahead = size

    def meet(self, steps: int, at_price: bool, now_ms: int, late_ms: int) -> int:
        """A trade of ``steps`` at its price, or through it; how much of that is ours."""
        if at_price:
            if self.ahead is None:
                return 0
            if now_ms - self.shrunk_ms > late_ms:
                self.shrunk = 0
            known = min(steps, self.shrunk)
            self.shrunk -= known
            eaten = min(steps - known, self.ahead)
            self.ahead -= eaten
            steps -= known + eaten
        else:
            self.ahead = 0
        ours = max(0, min(steps, self.wanting))
        self.reached += ours
        return ours


def pass_trade(
    places: Iterable[Place], ticks: int, steps: int, sold: bool, at_ms: int, now_ms: int, late_ms: int
) -> None:
    """Let a trade pass over our resting orders of its market, best price first and oldest first.

    ``sold``: the taker sold. ``at_ms``: the venue's time of it; an order that came later has no part in it. All our
    orders together never get more than was traded.
    """
    left = steps
    for place in sorted(places, key=lambda p: -p.order.ticks if p.order.side is Side.BUY else p.order.ticks):
        order = place.order
        beyond = order.ticks - ticks if order.side is Side.BUY else ticks - order.ticks
        met = beyond > 0 or (beyond == 0 and sold is (order.side is Side.BUY))
        if met and order.working and at_ms >= order.rest_ms:
            left -= place.meet(left, beyond == 0, now_ms, late_ms)
