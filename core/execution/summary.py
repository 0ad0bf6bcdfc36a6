"""The books in plain text, to be compared with the venue's own and shown to people."""

from decimal import Decimal
from typing import Any

from core.execution.machine import ExecutionMachine


def summary(machine: ExecutionMachine) -> dict[str, Any]:
    """What the books hold; amounts are decimal text.

    ``totals`` by symbol (bought and sold in base units, paid and received in quote units, fills), ``flows`` net by
    ``venue:asset`` with fees, ``orders`` executed quantity and ``states`` by client id for the orders still kept,
    ``unsettled`` client ids, ``faults``.
    """
    books = machine.books
    return {
        "totals": {
            instrument.symbol: {
                "bought": _text(total.bought),
                "sold": _text(total.sold),
                "paid": _text(total.paid),
                "received": _text(total.received),
                "fills": total.fills,
            }
            for instrument, total in books.totals.items()
        },
        "flows": {f"{venue}:{asset}": _text(amount) for (venue, asset), amount in books.flows.items()},
        "orders": {client_id: _text(order.executed) for client_id, order in books.orders.items()},
        "states": {client_id: order.state.value for client_id, order in books.orders.items()},
        "unsettled": [o.client_id for o in machine.unsettled() if machine.must_end(o.client_id)],
        "faults": list(machine.faults),
    }


def _text(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
