"""Transaction cost analysis: what each parent order lost against its decision, part by part, to the last digit.

The measure is the implementation shortfall of Perold (1988), "The Implementation Shortfall: Paper versus Reality",
Journal of Portfolio Management 14(3): what the order would have earned had all of it traded at the decision's mid,
free of charge, less what it did earn. Its parts are those of Wagner & Edwards (1993), "Best Execution", Financial
Analysts Journal 49(1), with the price of the fills taken apart at the touch they met:

- delay: the mid moved between the decision and the first order sent (of what was filled);
- timing: it moved further until each fill;
- spread: half of it, paid by a taker and earned by a maker;
- impact: how far behind the touch it was filled;
- fees; and opportunity: what the part that was not filled would have earned until the order's end.

Amounts are Decimals of exact arithmetic, in USDT at the decision's rate: the parts add up to the shortfall, which is
computed on its own.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from itertools import pairwise

from core.currency import usdt_of
from core.messages import Approved, Fill, MinuteRecord, OrderReport
from core.units import BPS, MINUTE_MS, Instrument, Side

ZERO, CENT = Decimal(0), Decimal("0.01")
PARTS = ("delay", "timing", "spread", "impact", "fees", "opportunity")
_EXACT = Context(prec=120, rounding=ROUND_HALF_EVEN)
"""More digits than products of prices, quantities and rates have: nothing is rounded."""

Touch = Callable[[Instrument, int], tuple[Decimal, Decimal] | None]
"""(best bid, best ask) of an instrument at an instant (epoch ms), quote units; None where it is not known."""


Ends = dict[tuple[int, Instrument], tuple[int, Decimal | None, Decimal]]
"""(minute, instrument) → when the next decision was, the close that this one saw (None: none), and the one it saw."""


def no_touch(instrument: Instrument, ms: int) -> tuple[Decimal, Decimal] | None:
    """Of a run that kept no prices beside its decisions'."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided: an approved order, or a protective exit (all of its orders in one minute)."""

    intent_id: str
    minute: int
    at_ms: int
    instrument: Instrument
    side: Side
    quantity: Decimal
    limit_price: Decimal
    reference_price: float
    """Mid at the decision."""
    arithmetic: tuple[str, ...]
    expected: tuple[float, ...] = ()
    """As in ``Approved``; empty for an exit."""
    exit: str = ""
    """Why, of a protective exit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """One order that was decided and what became of it. Prices in quote units."""

    decided: Decided
    rate: Decimal
    """USDT of a quote unit at the decision."""
    decision: Decimal
    """Mid at the decision."""
    arrival: Decimal
    """Mid when the first order was sent; the decision's where nothing was sent, or the mid is not known."""
    arrived_ms: int | None
    """When that was; None where nothing was sent."""
    end: Decimal
    """Mid at the order's end; the decision's where it is not known."""
    orders: tuple[OrderReport, ...]
    """As they were last reported."""
    fills: tuple[Fill, ...]
    touches: tuple[tuple[Decimal, Decimal] | None, ...]
    """(bid, ask) that each fill met."""
    edge_bps: float
    schedule: str = ""
    unpriced: int = 0
    """Fills whose fee was paid in a coin whose price is not known; it is not counted."""

    @property
    def executed(self) -> Decimal:
        """Base units."""
        return sum((fill.quantity for fill in self.fills), ZERO)

    @property
    def notional(self) -> Decimal:
        """USDT that was decided upon."""
        return self.decided.quantity * self.decision * self.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """What one parent, or several together, lost: USDT, above zero is a loss."""

    delay: Decimal = ZERO
    timing: Decimal = ZERO
    spread: Decimal = ZERO
    impact: Decimal = ZERO
    fees: Decimal = ZERO
    opportunity: Decimal = ZERO
    total: Decimal = ZERO
    """The implementation shortfall, computed on its own: paper less reality."""
    notional: Decimal = ZERO
    """USDT decided upon."""
    filled: Decimal = ZERO
    """USDT of it that was filled, at the decision's mid."""
    parents: int = 0

    def __add__(self, other: "Shortfall") -> "Shortfall":
        with localcontext(_EXACT):
            sums = {
                name: getattr(self, name) + getattr(other, name) for name in (*PARTS, "total", "notional", "filled")
            }
        return Shortfall(**sums, parents=self.parents + other.parents)

    def bps(self, name: str) -> float:
        """A part, or ``total``, in bps of what was decided upon; NaN of nothing."""
        return float(getattr(self, name) / self.notional) * BPS if self.notional else float("nan")

    def cents(self) -> dict[str, Decimal]:
        """The parts and the total in whole cents that still add up: what rounding leaves goes to the largest part."""
        with localcontext(_EXACT):
            total = self.total.quantize(CENT)
            parts = {name: getattr(self, name).quantize(CENT) for name in PARTS}
            rest = total - sum(parts.values())
            largest = max(parts, key=lambda name: abs(parts[name]))
            parts[largest] += rest
        return {**parts, "total": total}


def shortfall_of(parent: Parent) -> Shortfall:
    """What one parent lost. Where a fill's touch is not known, all it lost beyond delay and fee is timing."""
    decided = parent.decided
    with localcontext(_EXACT):
        sign = Decimal(1 if decided.side is Side.BUY else -1)
        delay = timing = spread = impact = fees = earned = ZERO
        for fill, touch in zip(parent.fills, parent.touches, strict=True):
            bid, ask = touch if touch is not None else (fill.price, fill.price)
            mid, half = (bid + ask) / 2, (ask - bid) / 2
            delay += sign * (parent.arrival - parent.decision) * fill.quantity
            timing += sign * (mid - parent.arrival) * fill.quantity
            paid = -half if fill.maker else half
            spread += paid * fill.quantity
            impact += (sign * (fill.price - mid) - paid) * fill.quantity
            fee = fee_in_quote(fill)
            fees += fee if fee is not None else ZERO
            earned += sign * (parent.end - fill.price) * fill.quantity
        moved = sign * (parent.end - parent.decision)
        unfilled = decided.quantity - parent.executed
        lost = {
            "delay": delay,
            "timing": timing,
            "spread": spread,
            "impact": impact,
            "fees": fees,
            "opportunity": moved * unfilled,
            # Paper: all of it at the decision's mid. Reality: the fills, and their fees.
            "total": moved * decided.quantity - (earned - fees),
            "notional": decided.quantity * parent.decision,
            "filled": parent.executed * parent.decision,
        }
        return Shortfall(**{name: amount * parent.rate for name, amount in lost.items()}, parents=1)


def fee_in_quote(fill: Fill) -> Decimal | None:
    """Worth of a fill's fee in its quote currency; None when it was paid in a third coin."""
    if fill.fee_asset == fill.instrument.quote:
        return fill.fee
    if fill.fee_asset == fill.instrument.base:
        return fill.fee * fill.price
    return None if fill.fee else ZERO


def sum_of(shortfalls: Iterable[Shortfall]) -> Shortfall:
    """Several parents as one."""
    total = Shortfall()
    for one in shortfalls:
        total = total + one
    return total


def parents_of(
    records: Sequence[MinuteRecord], touch: Touch, sent_ms: Mapping[str, int], schedule: str = ""
) -> list[Parent]:
    """Every approved order and protective exit of these records, in their order. ``sent_ms``: intent id → when its first order was sent,
    where a journal tells (else the decision). One whose currency had no
    rate is left out. A parent ends at the next decision; what is not filled by then is decided
    anew."""
    reports: dict[str, dict[str, OrderReport]] = {}
    parent_of: dict[str, str] = {}
    fills: dict[str, dict[tuple[str, str], Fill]] = {}
    for record in records:
        for report in record.orders:
            reports.setdefault(report.intent_id, {})[report.client_id] = report
            parent_of[report.client_id] = report.intent_id
    for record in records:
        for fill in record.fills:
            if fill.client_id in parent_of:
                of_parent = fills.setdefault(parent_of[fill.client_id], {})
                of_parent[str(fill.instrument), fill.trade_id] = fill
    ends = _ends(records)
    found = []
    for record in records:
        for one in decided_in(record):
            row = record.instruments.index(one.instrument) if one.instrument in record.instruments else -1
            known = row >= 0 and len(record.edge_bps) > row and not one.exit
            edge = record.edge_bps[row] if known else float("nan")
            rate = Decimal(repr(usdt_of(record.rates, one.instrument.quote)))
            if not rate.is_finite():
                continue
            mine = tuple(sorted(fills.get(one.intent_id, {}).values(), key=lambda f: (f.at_ms, f.trade_id)))
            orders = tuple(reports.get(one.intent_id, {}).values())
            found.append(_parent(one, rate, edge, orders, mine, touch, sent_ms.get(one.intent_id), ends, schedule))
    return found


def decided_in(record: MinuteRecord) -> list[Decided]:
    """What one record says was decided: by the ensemble, then by protection (what it chased in one minute is one)."""
    found = [decided_of(one) for one in record.approved]
    exits: dict[str, Decided] = {}
    for one in sorted(record.exits, key=lambda one: one.at_ms):
        # Later attempts ask for what the first one left.
        exits.setdefault(
            one.intent_id,
            Decided(
                intent_id=one.intent_id,
                minute=one.minute,
                at_ms=one.at_ms,
                instrument=one.instrument,
                side=Side.SELL,
                quantity=one.quantity,
                limit_price=one.limit_price,
                reference_price=one.reference_price,
                arithmetic=one.arithmetic,
                exit=one.reason,
            ),
        )
    return [*found, *exits.values()]


def decided_of(one: Approved) -> Decided:
    return Decided(
        intent_id=one.intent_id,
        minute=one.minute,
        at_ms=one.minute + MINUTE_MS,
        instrument=one.instrument,
        side=one.side,
        quantity=one.quantity,
        limit_price=one.limit_price,
        reference_price=one.reference_price,
        arithmetic=one.arithmetic,
        expected=one.expected,
    )


def _parent(
    one: Decided,
    rate: Decimal,
    edge: float,
    orders: tuple[OrderReport, ...],
    fills: tuple[Fill, ...],
    touch: Touch,
    sent: int | None,
    ends: Ends,
    schedule: str,
) -> Parent:
    decision = Decimal(repr(one.reference_price))
    decided_ms = one.at_ms
    arrived = sent if sent is not None else (decided_ms if orders else None)
    # What is sent at the decision meets the very prices it was decided upon.
    met = touch(one.instrument, arrived) if arrived is not None and arrived > decided_ms else None
    end_ms, end = _end_of(one, decision, ends)
    last = touch(one.instrument, end_ms)
    return Parent(
        decided=one,
        rate=rate,
        decision=decision,
        arrival=_middle(met, decision),
        arrived_ms=arrived,
        end=_middle(last, end),
        orders=orders,
        fills=fills,
        touches=tuple(touch(fill.instrument, fill.at_ms) or _assumed(fill, one) for fill in fills),
        edge_bps=float(edge),
        schedule=one.exit or schedule,
        unpriced=sum(fee_in_quote(fill) is None for fill in fills),
    )


def _end_of(one: Decided, decision: Decimal, ends: Ends) -> tuple[int, Decimal]:
    """When the parent ended, and at which mid as far as the records tell: the decision's, moved as the closes moved. A close
    lies up to half a spread beside the mid, which would else be charged to every order that was not filled."""
    found = ends.get((one.minute, one.instrument))
    if found is None:
        return one.minute + 2 * MINUTE_MS, decision
    end_ms, before, close = found
    if one.exit or before is None:
        return end_ms, close
    with localcontext(_EXACT):
        return end_ms, decision + close - before


def _assumed(fill: Fill, one: Decided) -> tuple[Decimal, Decimal] | None:
    """Where no prices were kept: that a taker met a spread as wide as the decision saw, at the touch."""
    if not one.expected or fill.maker:
        return None
    with localcontext(_EXACT):
        width = 2 * Decimal(repr(one.expected[0])) / Decimal(BPS) * Decimal(repr(one.reference_price))
        return (fill.price - width, fill.price) if fill.side is Side.BUY else (fill.price, fill.price + width)


def _middle(touch: tuple[Decimal, Decimal] | None, otherwise: Decimal) -> Decimal:
    if touch is None:
        return otherwise
    with localcontext(_EXACT):
        return (touch[0] + touch[1]) / 2


def _ends(records: Sequence[MinuteRecord]) -> Ends:
    """Missing after the last decision."""
    found: Ends = {}
    done = [record for record in records if record.status == "done"]
    for record, after in pairwise(done):
        known = dict(zip(record.instruments, record.close, strict=True))
        for instrument, close in zip(after.instruments, after.close, strict=True):
            if close == close:
                before = known.get(instrument, math.nan)
                was = Decimal(repr(before)) if before == before else None
                found[record.minute, instrument] = (after.minute + MINUTE_MS, was, Decimal(repr(close)))
    return found
