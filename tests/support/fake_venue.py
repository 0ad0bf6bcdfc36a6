"""A venue to test executors against: exact accounts, scripted misfortunes, Binance's rule about repeated client ids."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from core.errors import ExchangeRefused, ExchangeUnavailable, OutcomeUnknown
from core.messages import (
    AccountState,
    Approved,
    Balance,
    CancelOrder,
    Fill,
    OrderSnapshot,
    OrderState,
    PlaceOrder,
    ShownBook,
    Top,
)
from core.units import MINUTE_MS, Instrument, MarketRules, Side

BTC = Instrument("binance", "BTC/USDT")
ETH = Instrument("binance", "ETH/USDT")
MINUTE = 29_000_000 * MINUTE_MS
FEE = Decimal("0.001")

SOL, XRP, ADA = (Instrument("binance", f"{base}/USDT") for base in ("SOL", "XRP", "ADA"))

MANY = {
    instrument: MarketRules(
        instrument=instrument,
        tick=Decimal("0.01"),
        step=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        max_qty=Decimal(1000),
        min_notional=Decimal(5),
    )
    for instrument in (BTC, ETH, SOL, XRP, ADA)
}
RULES = {instrument: MANY[instrument] for instrument in (BTC, ETH)}


@dataclass
class Held:
    """One order as the venue holds it."""

    placed: PlaceOrder
    venue_id: str
    state: OrderState = OrderState.OPEN
    fills: list[Fill] = field(default_factory=list)

    @property
    def executed(self) -> Decimal:
        return sum((f.quantity for f in self.fills), Decimal(0))

    @property
    def open(self) -> bool:
        return self.state in (OrderState.OPEN, OrderState.PARTIAL)


class FakeVenue:
    """Fills at the limit price. ``script`` holds one outcome for each place request to come; ``fill`` when it is empty.

    Outcomes: ``fill``, ``half`` (half fills, the rest expires), ``none`` (all expires), ``rest`` (stays open),
    ``unavailable`` (nothing happened), ``refuse``, ``lost-before`` (no answer, not placed), ``lost-fill``,
    ``lost-half``, ``lost-none``, ``lost-rest`` (placed, no answer), ``silent`` (filled, the answer carries no fills).
    A client id is taken again once its earlier order is no longer open, and then executes again.
    """

    name = "binance"

    def __init__(
        self,
        script: Iterable[str] = (),
        cash: Decimal = Decimal(1_000_000),
        rules: Mapping[Instrument, MarketRules] = RULES,
    ) -> None:
        self.stated = rules
        self.script = deque(script)
        self.history: list[Held] = []
        self.balances: dict[str, Decimal] = {"USDT": cash, "BTC": Decimal(100), "ETH": Decimal(100)}
        self.calls: list[tuple[str, str]] = []
        self.hidden_queries = 0
        """So many questions are still answered "no such order"."""
        self.down = False
        """Questions, cancels and the account are not served."""
        self.now_ms = 0
        self.mids: dict[Instrument, float] = {}
        """Middles of the books shown; none where there is no entry."""
        self._trades = 0

    def rules(self) -> dict[Instrument, MarketRules]:
        return dict(self.stated)

    def account(self) -> AccountState:
        self._served("account", "")
        balances = tuple(Balance(venue=self.name, asset=a, free=v, locked=Decimal(0)) for a, v in self.balances.items())
        return AccountState(at_ms=self.now_ms, balances=balances)

    def place(self, order: PlaceOrder) -> OrderSnapshot:
        self.calls.append(("place", order.client_id))
        outcome = self.script.popleft() if self.script else "fill"
        if outcome == "unavailable":
            raise ExchangeUnavailable("the venue is busy")
        if outcome == "refuse":
            raise ExchangeRefused("Filter failure: PERCENT_PRICE_BY_SIDE", code="-1013")
        if outcome == "lost-before":
            raise OutcomeUnknown("timed out")
        if any(held.open for held in self.history if held.placed.client_id == order.client_id):
            raise ExchangeRefused("Duplicate order sent.", code="-2010")
        held = Held(order, venue_id=str(len(self.history) + 1))
        self.history.append(held)
        self._work(held, outcome.removeprefix("lost-"))
        if outcome.startswith("lost-"):
            raise OutcomeUnknown("timed out")
        snapshot = self._snapshot(held)
        return replace(snapshot, fills=()) if outcome == "silent" else snapshot

    def cancel(self, order: CancelOrder) -> OrderSnapshot:
        self._served("cancel", order.client_id)
        held = self._latest(order.client_id)
        if held is None or not held.open:
            raise ExchangeRefused("Unknown order sent.", code="-2011")
        held.state = OrderState.CANCELLED
        return self._snapshot(held)

    def query(self, client_id: str, instrument: Instrument) -> OrderSnapshot | None:
        self._served("query", client_id)
        if self.hidden_queries:
            self.hidden_queries -= 1
            return None
        held = self._latest(client_id)
        return None if held is None else replace(self._snapshot(held), fills=())

    def open_orders(self) -> tuple[OrderSnapshot, ...]:
        self._served("open_orders", "")
        return tuple(self._snapshot(held) for held in self.history if held.open)

    def fills(self, client_id: str, instrument: Instrument) -> tuple[Fill, ...]:
        self._served("fills", client_id)
        held = self._latest(client_id)
        return () if held is None else tuple(held.fills)

    def tops(self, instruments: Sequence[Instrument]) -> dict[Instrument, Top]:
        self._served("tops", "")
        return {
            i: Top(bid=self.mids[i] - 0.01, bid_qty=1.0, ask=self.mids[i] + 0.01, ask_qty=1.0, at_ms=self.now_ms)
            for i in instruments
            if i in self.mids
        }

    def books(self, instruments: Sequence[Instrument]) -> dict[Instrument, ShownBook]:
        """The touch alone."""
        self._served("books", "")
        return {
            i: ShownBook(bids=((mid - 0.01, 1.0),), asks=((mid + 0.01, 1.0),), at_ms=self.now_ms)
            for i in instruments
            if (mid := self.mids.get(i)) is not None
        }

    def trade(self, client_id: str, quantity: Decimal) -> Fill:
        """Let a resting order fill; the fill as the user stream would tell it."""
        held = self._latest(client_id)
        assert held is not None
        fill = self._fill(held, quantity)
        held.state = OrderState.FILLED if held.executed == held.placed.quantity else OrderState.PARTIAL
        return fill

    def executed(self) -> dict[str, Decimal]:
        """Executed by client id, over every life of the id."""
        totals: dict[str, Decimal] = {}
        for held in self.history:
            totals[held.placed.client_id] = totals.get(held.placed.client_id, Decimal(0)) + held.executed
        return totals

    def sent_twice(self) -> list[str]:
        """Client ids that the venue accepted more than once."""
        names = [held.placed.client_id for held in self.history]
        return sorted({name for name in names if names.count(name) > 1})

    def count(self, call: str) -> int:
        return sum(1 for name, _ in self.calls if name == call)

    def _served(self, call: str, client_id: str) -> None:
        self.calls.append((call, client_id))
        if self.down:
            raise ExchangeUnavailable("the venue is away")

    def _latest(self, client_id: str) -> Held | None:
        return next((h for h in reversed(self.history) if h.placed.client_id == client_id), None)

    def _work(self, held: Held, outcome: str) -> None:
        quantity = held.placed.quantity
        step = MANY[held.placed.instrument].step
        if outcome in ("fill", "silent"):
            # In two trades, as a real book would.
            first = (quantity / 2) // step * step
            for part in (first, quantity - first):
                if part:
                    self._fill(held, part)
            held.state = OrderState.FILLED
        elif outcome == "half":
            part = (quantity / 2) // step * step
            if part:
                self._fill(held, part)
            held.state = OrderState.EXPIRED
        elif outcome == "none":
            held.state = OrderState.EXPIRED
        elif outcome != "rest":
            raise AssertionError(f"unknown outcome {outcome!r}")

    def _fill(self, held: Held, quantity: Decimal) -> Fill:
        order = held.placed
        self._trades += 1
        value = quantity * order.price
        sign = 1 if order.side is Side.BUY else -1
        self._change(order.instrument.base, sign * quantity)
        self._change(order.instrument.quote, -sign * value)
        fee = value * FEE
        self._change(order.instrument.quote, -fee)
        fill = Fill(
            client_id=order.client_id,
            instrument=order.instrument,
            trade_id=str(self._trades),
            side=order.side,
            quantity=quantity,
            price=order.price,
            fee=fee,
            fee_asset=order.instrument.quote,
            maker=False,
            at_ms=self.now_ms,
        )
        held.fills.append(fill)
        return fill

    def _change(self, asset: str, amount: Decimal) -> None:
        self.balances[asset] = self.balances.get(asset, Decimal(0)) + amount

    def _snapshot(self, held: Held) -> OrderSnapshot:
        return OrderSnapshot(
            client_id=held.placed.client_id,
            venue_id=held.venue_id,
            instrument=held.placed.instrument,
            side=held.placed.side,
            state=held.state,
            quantity=held.placed.quantity,
            price=held.placed.price,
            executed=held.executed,
            at_ms=self.now_ms,
            fills=tuple(held.fills),
        )


class AsyncFakeVenue:
    """The same venue with awaited calls (``core.ports.Venue``)."""

    def __init__(self, inner: FakeVenue) -> None:
        self.inner = inner
        self.name = inner.name

    async def rules(self) -> dict[Instrument, MarketRules]:
        return self.inner.rules()

    async def account(self) -> AccountState:
        return self.inner.account()

    async def place(self, order: PlaceOrder) -> OrderSnapshot:
        return self.inner.place(order)

    async def cancel(self, order: CancelOrder) -> OrderSnapshot:
        return self.inner.cancel(order)

    async def query(self, client_id: str, instrument: Instrument) -> OrderSnapshot | None:
        return self.inner.query(client_id, instrument)

    async def open_orders(self) -> tuple[OrderSnapshot, ...]:
        return self.inner.open_orders()

    async def fills(self, client_id: str, instrument: Instrument) -> tuple[Fill, ...]:
        return self.inner.fills(client_id, instrument)

    async def tops(self, instruments: Sequence[Instrument]) -> dict[Instrument, Top]:
        return self.inner.tops(instruments)

    async def books(self, instruments: Sequence[Instrument]) -> dict[Instrument, ShownBook]:
        return self.inner.books(instruments)


class MemoryJournal:
    """A journal in memory; ``broken`` makes it refuse, ``crash_at`` kills the process before or after that append."""

    def __init__(self, entries: Iterable[tuple[str, bytes]] = ()) -> None:
        self.entries = list(entries)
        self.appends = 0
        self.broken: Exception | None = None
        self.crash_before: int | None = None
        self.crash_after: int | None = None

    def append(self, entries: list[tuple[str, bytes]]) -> None:
        if self.broken is not None:
            raise self.broken
        self.appends += 1
        if self.appends == self.crash_before:
            raise Crash
        self.entries.extend(entries)
        if self.appends == self.crash_after:
            raise Crash

    def replay(self) -> list[tuple[str, bytes]]:
        return list(self.entries)


class Crash(BaseException):
    """The process dies here: nothing may catch it."""


def approved(
    quantity: str,
    side: Side = Side.BUY,
    instrument: Instrument = BTC,
    minute: int = MINUTE,
    price: str = "100",
) -> Approved:
    """An intent that risk let through."""
    return Approved(
        intent_id=f"{minute}-{instrument.symbol}",
        minute=minute,
        instrument=instrument,
        side=side,
        quantity=Decimal(quantity),
        limit_price=Decimal(price),
        reference_price=float(price),
        arithmetic=("by hand",),
    )
