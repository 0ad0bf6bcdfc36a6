"""What becomes of an order that would trade with another one of the same account: self-trade prevention.

Source: binance-spot-api-docs, faqs/stp_faq.md. The mode of the order that comes decides. Expiring the makers is not
planned here: the order then takes what it takes, and whatever it would have met is taken out of its way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from core.units import Side
from exchanges.simulated.matching import Take, crosses
from exchanges.simulated.orders import SimOrder


class Stp(StrEnum):
    """Binance's words. TRANSFER needs a second account, so no market here allows it."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"
    DECREMENT = "DECREMENT"


class Meeting(NamedTuple):
    """An order meets one of its own account's: where, and over how much."""

    other: SimOrder
    ticks: int
    steps: int


@dataclass(frozen=True, slots=True)
class PreventedMatch:
    """A record of a trade that did not happen. Steps are None for a side that lost nothing."""

    match_id: int
    row: int
    taker_id: int
    maker_id: int
    mode: str
    ticks: int
    taker_steps: int | None
    maker_steps: int | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What an order does when it arrives, in order, and what ends it on the way."""

    parts: Sequence[Take | Meeting] = ()
    stopped_by: SimOrder | None = None
    """The own order at which it ends."""
    out_of_range: bool = False
    """There is more for it to take, at prices at which trading is not allowed."""

    @property
    def takes(self) -> list[Take]:
        return [part for part in self.parts if isinstance(part, Take)]

    @property
    def steps(self) -> int:
        return sum(part.steps for part in self.parts)


@dataclass(slots=True)
class _Walk:
    """Parts gathered, best price first."""

    left: int
    parts: list[Take | Meeting] = field(default_factory=list)

    def add(self, part: Take | Meeting) -> None:
        steps = min(part.steps, self.left)
        if steps > 0:
            self.parts.append(part._replace(steps=steps))
            self.left -= steps


def met_by(order: SimOrder, working: Sequence[SimOrder]) -> list[SimOrder]:
    """Own resting orders that an order may trade with, best price and oldest first."""
    met = [o for o in working if o.side is not order.side and crosses(order.side, order.ticks or None, o.ticks)]
    return sorted(met, key=lambda o: (o.ticks if order.side is Side.BUY else -o.ticks, o.order_id))


def plan_past_own(order: SimOrder, takes: Sequence[Take], met: Sequence[SimOrder], want: int) -> Plan:
    """Lay own orders among the market's levels ``takes``, which were found for ``want`` steps.

    At one price the market's quantity comes first: an own order stands behind it in the queue.
    """
    mode = Stp(order.stp)
    if mode is Stp.EXPIRE_MAKER or not met:
        return Plan(takes)
    if mode in (Stp.EXPIRE_TAKER, Stp.EXPIRE_BOTH):
        before = [t for t in takes if crosses(order.side, met[0].ticks, t.ticks)]
        filled = sum(t.steps for t in before) >= want
        return Plan(before, stopped_by=None if filled else met[0])
    walk, ahead = _Walk(want), list(takes)
    for other in met:
        while ahead and crosses(order.side, other.ticks, ahead[0].ticks):
            walk.add(ahead.pop(0))
        walk.add(Meeting(other, other.ticks, other.remaining))
    for take in ahead:
        walk.add(take)
    return Plan(walk.parts)
