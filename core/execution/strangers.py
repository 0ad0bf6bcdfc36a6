"""Orders that carry our name and are not in the books, as far as the venue's word describes them."""

from core.messages import Fill, OrderSnapshot, PlaceOrder, TimeInForce

STRANGER = "stranger"
"""Intent of an order with our name that the books did not know."""


def from_snapshot(snapshot: OrderSnapshot) -> PlaceOrder:
    """The order that a venue's statement describes, for one we did not know."""
    return PlaceOrder(
        client_id=snapshot.client_id,
        intent_id=STRANGER,
        instrument=snapshot.instrument,
        side=snapshot.side,
        quantity=snapshot.quantity,
        price=snapshot.price,
        time_in_force=TimeInForce.GTC,
    )


def from_fill(fill: Fill) -> PlaceOrder:
    """The least order that a fill can belong to, for one we did not know; a query completes it."""
    return PlaceOrder(
        client_id=fill.client_id,
        intent_id=STRANGER,
        instrument=fill.instrument,
        side=fill.side,
        quantity=fill.quantity,
        price=fill.price,
        time_in_force=TimeInForce.GTC,
    )
