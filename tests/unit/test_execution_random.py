"""The machine under any order of news: truthful, late, doubled, contradictory. Its books must hold at every step."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from core.execution.machine import ExecutionMachine
from core.execution.stimuli import (
    Beat,
    BookSeen,
    CancelDone,
    CancelFailed,
    CancelWanted,
    Conditions,
    FillSeen,
    Halted,
    MinuteStarted,
    NotSent,
    OpenSeen,
    OrderWanted,
    OutcomeUnclear,
    Placed,
    PlaceRefused,
    Queried,
    QueryFailed,
    Reconcile,
    Reported,
    Restarted,
    SnapshotSeen,
    Stopped,
)
from core.messages import Fill, OrderSnapshot, OrderState, PlaceOrder, Top
from core.orders import client_id
from core.params import ExecutionSettings
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import BTC, ETH, MINUTE, RULES, approved

STATED = [
    OrderState.OPEN,
    OrderState.PARTIAL,
    OrderState.FILLED,
    OrderState.CANCELLED,
    OrderState.EXPIRED,
    OrderState.REJECTED,
]
KINDS = [
    "minute",
    "wanted",
    "wanted no more",
    "beat",
    "beat",
    "book",
    "reconcile",
    "fill",
    "fill",
    "snapshot",
    "placed",
    "queried",
    "absent",
    "refused",
    "duplicate",
    "unsent",
    "unclear",
    "cancelled",
    "cancel failed",
    "query failed",
    "open",
    "reported",
    "restarted",
    "stopped",
    "halted",
]
ALGORITHMS = ("immediate", "twap", "vwap", "pov", "is", "adaptive", "adaptive")
ACTIONS = st.tuples(
    st.sampled_from(KINDS), st.integers(0, 50), st.integers(0, 10), st.sampled_from(STATED), st.integers(0, 6)
)


class World:
    """Turns drawn numbers into stimuli about the orders that the machine has sent."""

    def __init__(self, algorithm: str = "twap", minutes: int = 1) -> None:
        settings = ExecutionSettings(
            algorithm=algorithm,
            slices=3,
            slice_seconds=15,
            horizon_minutes=1 if algorithm == "immediate" else minutes,
            reprice_seconds=4,
            urgency=0.3,
        )
        self.machine = ExecutionMachine(settings, RULES, "main")
        self.now_ms = MINUTE + MINUTE_MS
        self.minute = MINUTE
        self.sent: list[PlaceOrder] = []
        self.counted: dict[tuple, Fill] = {}

    def handle(self, stimulus) -> None:
        for instruction in self.machine.handle(stimulus):
            if isinstance(instruction, PlaceOrder):
                assert instruction.client_id not in {o.client_id for o in self.sent}, "sent twice"
                assert not self.machine.stopped
                self.allow(instruction)
                self.sent.append(instruction)
        self.machine.validate()

    def allow(self, order: PlaceOrder) -> None:
        """On the grid, not below the smallest order, not past the limit, and with its fellows not above the intent."""
        rules = RULES[order.instrument]
        assert order.price % rules.tick == 0 and order.quantity % rules.step == 0
        parent = self.machine.books.current.get(order.instrument)
        if order.intent_id == "hand" or parent is None:
            return
        assert order.quantity >= rules.min_qty and order.quantity * order.price >= rules.min_notional
        limit = parent.limit_price
        assert order.price <= limit if order.side is Side.BUY else order.price >= limit
        assert parent.executed + parent.open <= parent.quantity + parent.over
        # So what all its orders lock, with fees, is never above what the intent was sized to cost.
        fee = 1 + rules.taker_fee
        locked = sum((o.open_quantity * o.placed.price * fee for o in parent.orders), Decimal(0))
        assert locked <= (parent.quantity - parent.executed + parent.over) * limit * fee or order.side is Side.SELL

    def fill(self, order: PlaceOrder, tenths: int, number: int) -> Fill:
        return Fill(
            client_id=order.client_id,
            instrument=order.instrument,
            trade_id=f"{order.client_id}/{number}",
            side=order.side,
            quantity=order.quantity * (tenths + 1) / 10,
            price=order.price,
            fee=Decimal(0),
            fee_asset="USDT",
            maker=False,
            at_ms=self.now_ms,
        )

    def snapshot(self, order: PlaceOrder, tenths: int, state: OrderState, fills: tuple[Fill, ...]) -> OrderSnapshot:
        return OrderSnapshot(
            client_id=order.client_id,
            venue_id="1",
            instrument=order.instrument,
            side=order.side,
            state=state,
            quantity=order.quantity,
            price=order.price,
            executed=order.quantity * tenths / 10,
            at_ms=self.now_ms,
            fills=fills,
        )

    def act(self, kind: str, which: int, tenths: int, state: OrderState, number: int) -> None:
        if kind == "minute":
            self.minute += (number % 3) * MINUTE_MS
            self.now_ms = max(self.now_ms, self.minute + MINUTE_MS)
            side = Side.BUY if which % 2 else Side.SELL
            intents = [approved(str(Decimal(tenths * 7 + 1) / 20), side, minute=self.minute)]
            if number % 2:
                intents.append(approved("0.777", Side.BUY, ETH, minute=self.minute))
            seen = tuple(
                Conditions(
                    instrument=intent.instrument,
                    traded=40.0,
                    volume=40.0,
                    sigma=1e-3,
                    rate=1.0,
                    curve=(1.0, 2.0, 0.5),
                    bid=99.9,
                    ask=100.1,
                )
                for intent in intents
            )
            return self.handle(
                MinuteStarted(minute=self.minute, now_ms=self.now_ms, approved=tuple(intents), conditions=seen)
            )
        if kind == "book":
            bid = 99.0 + 0.2 * tenths
            top = Top(bid=bid, bid_qty=1.0, ask=bid + 0.02 * (number + 1), ask_qty=1.0, at_ms=self.now_ms)
            return self.handle(BookSeen(instrument=BTC, top=top if which % 5 else None))
        if kind == "wanted":
            name = client_id("main", "hand", MINUTE, "BTC/USDT", which % 8)
            side = Side.BUY if tenths % 2 else Side.SELL
            quantity, price = Decimal(tenths + 1) / 1_000, Decimal(100)
            order = PlaceOrder(
                client_id=name, intent_id="hand", instrument=BTC, side=side, quantity=quantity, price=price
            )
            return self.handle(OrderWanted(order=order, minute=self.minute))
        if kind == "beat":
            self.now_ms += number * 4_000
            return self.handle(Beat(now_ms=self.now_ms))
        simple = {
            "reconcile": Reconcile(now_ms=self.now_ms),
            "reported": Reported(minute=self.minute),
            "restarted": Restarted(now_ms=self.now_ms),
            "stopped": Stopped(now_ms=self.now_ms),
            "halted": Halted(now_ms=self.now_ms),
        }.get(kind)
        if simple is not None:
            return self.handle(simple)
        if not self.sent:
            return None
        order = self.sent[-1 - which % min(len(self.sent), 6)]
        return self.handle(self.about(order, kind, tenths, state, number))

    def about(self, order: PlaceOrder, kind: str, tenths: int, state: OrderState, number: int):
        name = order.client_id
        fill = self.fill(order, tenths, number)
        told = self.snapshot(order, tenths, state, (fill,) if number % 2 and tenths else ())
        return {
            "wanted no more": CancelWanted(client_id=name),
            "fill": FillSeen(fill=fill),
            "snapshot": SnapshotSeen(snapshot=told),
            "placed": Placed(snapshot=told),
            "queried": Queried(client_id=name, snapshot=told, now_ms=self.now_ms),
            "absent": Queried(client_id=name, snapshot=None, now_ms=self.now_ms),
            "refused": PlaceRefused(client_id=name, code="-1", text="no"),
            "duplicate": PlaceRefused(client_id=name, code="-2010", text="Duplicate order sent."),
            "unsent": NotSent(client_id=name, text="busy"),
            "unclear": OutcomeUnclear(client_id=name, text="timed out", now_ms=self.now_ms),
            "cancelled": CancelDone(snapshot=replace(told, state=OrderState.CANCELLED)),
            "cancel failed": CancelFailed(client_id=name, text="timed out"),
            "query failed": QueryFailed(client_id=name, text="away"),
            "open": OpenSeen(snapshots=(replace(told, state=OrderState.OPEN, fills=()),)),
        }[kind]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ALGORITHMS), st.integers(1, 3), st.lists(ACTIONS, min_size=1, max_size=60))
def test_the_books_hold_under_any_order_of_news(algorithm, minutes, actions):
    world = World(algorithm, minutes)
    world.act("minute", 1, 9, OrderState.OPEN, 1)
    for action in actions:
        world.act(*action)
    # Every distinct trade counted once, whatever was told and how often.
    machine = world.machine
    counted = sum((t.bought + t.sold for t in machine.books.totals.values()), Decimal(0))
    distinct = {(f.instrument, f.trade_id): f for o in machine.books.orders.values() for f in o.fills}
    assert counted == sum((f.quantity for f in distinct.values()), Decimal(0))
    for instrument in (BTC, ETH):
        total = machine.books.totals.get(instrument)
        if total is not None:
            expected = total.bought - total.sold
            assert machine.books.flows.get(("binance", instrument.base), Decimal(0)) == expected


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ALGORITHMS), st.lists(ACTIONS, min_size=1, max_size=40))
def test_the_same_stimuli_give_the_same_instructions_and_books(algorithm, actions):
    first, second = World(algorithm, 2), World(algorithm, 2)
    for world in (first, second):
        world.act("minute", 1, 9, OrderState.OPEN, 1)
        for action in actions:
            world.act(*action)
    assert first.sent == second.sent
    assert first.machine.report(0, "") == second.machine.report(0, "")
    assert first.machine.faults == second.machine.faults
    assert first.machine.version == second.machine.version
