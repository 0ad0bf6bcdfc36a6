"""One execution on a venue's public tape, as streams tell it."""

import msgspec


class Trade(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Prices and quantities in quote and base units; times are the venue's."""

    id: int
    """The venue's number of it, ascending within a market."""
    price: float
    quantity: float
    at_ms: int
    sold: bool
    """The taker sold (the buyer was resting)."""
