"""The trades that everybody sees: what the bars do not record is made from the way the price took through them.

``A_MINUTE`` trades stand for one minute. They lie on the path of ``core.path``: the first is at the open, one at each
extreme, the last at the close, and their quantities add up to the bar's volume, so bars built from them are the bars
they came from. Trades are numbered from 1 without a hole. Own fills are not among them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

from core.costs import UNIT
from core.messages import Bar
from core.path import KNOT_1, KNOT_2, price_at
from core.units import MINUTE_MS, MarketRules, floor_to_step, to_decimal
from exchanges.simulated.market import A_MINUTE, MarketSource

GAP_MS = MINUTE_MS // A_MINUTE
LAST_MS = MINUTE_MS - 1
"""The last trade of a minute comes a millisecond before its end: the end itself belongs to the next one."""
EXACT = (0, KNOT_1, KNOT_2, LAST_MS)
"""Where the path meets one of the bar's four prices, which are taken as they are."""


@dataclass(frozen=True, slots=True)
class Print:
    """One public trade."""

    number: int
    price: Decimal
    quantity: Decimal
    at_ms: int
    seller_took: bool
    """The buyer was the one who waited."""


class PublicTrades:
    """Trades of every market, made when asked for; the same whenever they are asked for.

    ``tick_at`` (row, price) tells the price step where it is not that of the market's rules.
    """

    def __init__(
        self,
        market: MarketSource,
        rules: Sequence[MarketRules],
        tick_at: Callable[[int, float], Decimal] | None = None,
    ) -> None:
        self._market = market
        self._steps = [rule.step for rule in rules]
        self._tick_at = tick_at or (lambda row, price: rules[row].tick)

    def between(self, row: int, after_ms: int, upto_ms: int) -> list[Print]:
        """Trades later than ``after_ms`` and not later than ``upto_ms``, oldest first."""
        found: list[Print] = []
        minute = max(after_ms + 1, self._market.start_ms) // MINUTE_MS * MINUTE_MS
        while minute <= upto_ms:
            found += [p for p in self.minute(row, minute) if after_ms < p.at_ms <= upto_ms]
            minute += MINUTE_MS
        return found

    def since(self, row: int, from_ms: int, upto_ms: int, count: int) -> list[Print]:
        """The first ``count`` trades from ``from_ms`` on, oldest first."""
        found: list[Print] = []
        minute = max(from_ms, self._market.start_ms) // MINUTE_MS * MINUTE_MS
        while minute <= upto_ms and len(found) < count:
            found += [p for p in self.minute(row, minute) if from_ms <= p.at_ms <= upto_ms]
            minute += MINUTE_MS
        return found[:count]

    def newest(self, row: int, upto_ms: int, count: int) -> list[Print]:
        """The last ``count`` trades, oldest first."""
        found: list[Print] = []
        minute = upto_ms // MINUTE_MS * MINUTE_MS
        while minute >= self._market.start_ms and len(found) < count:
            found = [p for p in self.minute(row, minute) if p.at_ms <= upto_ms] + found
            minute -= MINUTE_MS
        return found[-count:]

    def numbered(self, row: int, number: int, upto_ms: int, count: int) -> list[Print]:
        """The first ``count`` trades from ``number`` on, oldest first."""
        want = (max(number, 1) - 1) // A_MINUTE
        low, high = 0, max(0, (upto_ms - self._market.start_ms) // MINUTE_MS)
        # The first minute before whose end more than ``want`` minutes have traded.
        while low < high:
            middle = (low + high) // 2
            if self._market.minutes_traded(row, self._market.start_ms + (middle + 1) * MINUTE_MS) > want:
                high = middle
            else:
                low = middle + 1
        found = self.since(row, self._market.start_ms + low * MINUTE_MS, upto_ms, count + A_MINUTE)
        return [p for p in found if p.number >= number][:count]

    def minute(self, row: int, minute: int) -> list[Print]:
        """All trades of one minute, also those still to come; none where nothing, or next to nothing, was traded."""
        bar = self._market.bar(row, minute, minute + MINUTE_MS)
        volume = Decimal(0) if bar is None else to_decimal(bar.volume)
        part = (volume / A_MINUTE).quantize(UNIT, ROUND_DOWN)
        if bar is None or not part:
            return []
        # Whole lots, as at a venue, where there is one for each.
        part = floor_to_step(part, self._steps[row]) or part
        number = self._market.minutes_traded(row, minute) * A_MINUTE
        found: list[Print] = []
        for k in range(A_MINUTE):
            offset, size = (k * GAP_MS, part) if k < A_MINUTE - 1 else (LAST_MS, volume - (A_MINUTE - 1) * part)
            price = self._price(row, bar, offset)
            rising = price > found[-1].price if found else bar.close >= bar.open
            same = bool(found) and price == found[-1].price
            found.append(Print(number + k + 1, price, size, minute + offset, k % 2 == 1 if same else not rising))
        return found

    def _price(self, row: int, bar: Bar, offset: int) -> Decimal:
        elapsed = offset + 1 if offset == LAST_MS else offset
        price = to_decimal(price_at(bar.open, bar.high, bar.low, bar.close, elapsed))
        if offset in EXACT:
            return price
        tick = self._tick_at(row, bar.close)
        # A bar's extremes may lie off the grid (old orders keep their price): nothing trades beyond them.
        near = (price / tick).to_integral_value(ROUND_HALF_EVEN) * tick
        return min(max(near, to_decimal(bar.low)), to_decimal(bar.high))
