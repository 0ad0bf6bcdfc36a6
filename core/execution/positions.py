"""What the bot holds by its own fills: how much, entered at what price and when. The books keep them; exits watch them.

A position is open from its first buy until a sale leaves less than the venue's smallest order. What is left then is dust:
it stays in the account, is told once, and is part of whatever is bought next.
"""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from core.execution.schedules.twap import least_lots_of
from core.messages import Fill, WrittenOff
from core.ports import ZERO
from core.protection import NOT_DUE, entry_after
from core.units import Instrument, MarketRules, Side


@dataclass(slots=True)
class Position:
    """One instrument's. Prices in quote units a base unit."""

    quantity: Decimal = ZERO
    """Base units, less the fees that were taken from them."""
    entry: float = 0.0
    """Average price of the buys, fees left out; 0 while nothing is open."""
    peak: float = 0.0
    """Highest price seen since, kept where a trailing stop asks for it."""
    since_ms: int = 0
    """Time of the first buy."""
    due: int = NOT_DUE
    """The exit at work (``core.protection.Due``)."""
    due_ms: int = 0
    """Since when."""
    attempts: int = 0
    """Orders that it has sent."""
    last: str = ""
    """Client id of the newest of them."""
    next_ms: int = 0
    """When the next one may leave."""
    stop: str = ""
    """Client id of the newest stop order left at the venue."""
    stop_ms: int = 0
    """When it was sent."""
    alone: bool = False
    """The venue turned a pair down: its stop is left without a take-profit beside it."""

    @property
    def open(self) -> bool:
        return self.entry > 0.0

    def close(self) -> None:
        """Nothing that can be sold is left."""
        self.entry = self.peak = 0.0
        self.since_ms = self.due_ms = self.attempts = self.next_ms = 0
        self.due = NOT_DUE
        self.last = ""
        self.alone = False


class Positions:
    """By instrument. ``rules`` are those in force; without them a position is open until nothing is left of it."""

    def __init__(self) -> None:
        self.rules: dict[Instrument, MarketRules] = {}
        self.held: dict[Instrument, Position] = {}
        self._dust: dict[Instrument, float] = {}
        """Where a position ended with a rest that nobody was told of, and at which price."""

    def open(self) -> list[Instrument]:
        """Where something is held that can be sold, in order of name."""
        return sorted(instrument for instrument, position in self.held.items() if position.open)

    def take(self, fill: Fill) -> None:
        """Book a fill that was not counted before."""
        position = self.held.setdefault(fill.instrument, Position())
        price = float(fill.price)
        fee = fill.fee if fill.fee_asset == fill.instrument.base else ZERO
        if fill.side is Side.BUY:
            self._dust.pop(fill.instrument, None)
            if position.open:
                held, bought = float(position.quantity), float(fill.quantity)
                position.entry = entry_after(position.entry, held, bought, price)
            else:
                position.entry = position.peak = price
                position.since_ms = fill.at_ms
            position.quantity += fill.quantity - fee
            return
        position.quantity = max(position.quantity - fill.quantity - fee, ZERO)
        if position.open and self.is_dust(fill.instrument, position.quantity, fill.price):
            self.write_off(fill.instrument, price)

    def is_dust(self, instrument: Instrument, quantity: Decimal, price: Decimal) -> bool:
        """Less than the venue takes in one order at this price."""
        rules = self.rules.get(instrument)
        if rules is None:
            return quantity <= 0
        return lots_of(quantity, rules) < least_lots_of(rules, price)

    def write_off(self, instrument: Instrument, price: float) -> None:
        """End a position whose rest cannot be sold."""
        position = self.held[instrument]
        position.close()
        if position.quantity > 0:
            self._dust[instrument] = price

    def shrink(self, instrument: Instrument, total: Decimal) -> bool:
        """The account holds less than the fills say: somebody took it away. True when that changed anything."""
        position = self.held.get(instrument)
        if position is None or position.quantity <= total:
            return False
        position.quantity = total
        if position.open and self.is_dust(instrument, total, Decimal(repr(position.entry))):
            position.close()
        return True

    def take_dust(self) -> list[WrittenOff]:
        """What was written off and not taken from here before."""
        found = [
            WrittenOff(instrument=instrument, quantity=self.held[instrument].quantity, price=price)
            for instrument, price in self._dust.items()
        ]
        self._dust = {}
        return found


def lots_of(quantity: Decimal, rules: MarketRules) -> int:
    """Whole lots, rounded down."""
    return int((quantity / rules.step).to_integral_value(rounding=ROUND_FLOOR))
