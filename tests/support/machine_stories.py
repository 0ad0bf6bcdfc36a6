"""One machine in a story: what it is told and what it holds. Its books are checked after every stimulus."""

from dataclasses import replace
from decimal import Decimal

from core.execution.machine import ExecutionMachine
from core.execution.stimuli import (
    MinuteStarted,
    OutcomeUnclear,
    Placed,
)
from core.messages import Fill, OrderSnapshot, OrderState, PlaceOrder, QueryOrder
from core.params import ExecutionSettings
from core.units import MINUTE_MS
from tests.support.fake_venue import BTC, MINUTE, RULES, approved

CLOSE = MINUTE + MINUTE_MS
SETTINGS = ExecutionSettings(slices=3, slice_seconds=15)


class Checked(ExecutionMachine):
    """A machine that checks its books after every stimulus."""

    def handle(self, stimulus):
        out = super().handle(stimulus)
        self.validate()
        return out


def machine(**settings):
    return Checked(ExecutionSettings(**{"slices": 3, "slice_seconds": 15} | settings), RULES, "main")


def begin(m, *intents, minute=MINUTE, now_ms=None):
    now_ms = minute + MINUTE_MS if now_ms is None else now_ms
    return m.handle(MinuteStarted(minute=minute, now_ms=now_ms, approved=intents))


def snapshot(order: PlaceOrder, state: OrderState, executed="0", fills=(), **changes) -> OrderSnapshot:
    base = OrderSnapshot(
        client_id=order.client_id,
        venue_id="1",
        instrument=order.instrument,
        side=order.side,
        state=state,
        quantity=order.quantity,
        price=order.price,
        executed=Decimal(executed),
        at_ms=0,
        fills=tuple(fills),
    )
    return replace(base, **changes)


def fill(order: PlaceOrder, quantity, trade_id="t1", **changes) -> Fill:
    base = Fill(
        client_id=order.client_id,
        instrument=order.instrument,
        trade_id=trade_id,
        side=order.side,
        quantity=Decimal(quantity),
        price=order.price,
        fee=Decimal(0),
        fee_asset="USDT",
        maker=False,
        at_ms=0,
    )
    return replace(base, **changes)


def filled(order: PlaceOrder, trade_id=None) -> Placed:
    done = fill(order, order.quantity, trade_id or f"trade of {order.client_id}")
    return Placed(snapshot=snapshot(order, OrderState.FILLED, order.quantity, [done]))


def parent(m, instrument=BTC, minute=MINUTE):
    return m.books.parents[minute, instrument]


def order(m, placed):
    return m.books.orders[placed.client_id]


def parts(p):
    return {"executed": p.executed, "open": p.open, "unsent": p.unsent, "abandoned": p.abandoned}


def lose(m, quantity="0.9"):
    (first,) = begin(m, approved(quantity))
    out = m.handle(OutcomeUnclear(client_id=first.client_id, text="timed out", now_ms=CLOSE))
    assert out == [QueryOrder(client_id=first.client_id, instrument=BTC)]
    return first
