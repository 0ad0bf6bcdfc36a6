"""What happened at the simulated exchange while it was moved or traded on. Facts, in order of time."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from exchanges.simulated.orders import SimOrder, Trade


@dataclass(frozen=True, slots=True)
class BarClosed:
    """The bar of ``minute`` is final."""

    row: int
    minute: int


@dataclass(frozen=True, slots=True)
class BookMoved:
    """The time to look at the book of ``row`` again (it may be the same)."""

    row: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class OrderMoved:
    """An order changed. ``order`` is a copy as it stood then."""

    order: SimOrder
    kind: str
    """Binance's execution type: NEW, TRADE, CANCELED, EXPIRED, REPLACED, REJECTED, TRADE_PREVENTION."""
    execution_id: int
    at_ms: int
    trade: Trade | None = None
    cancel_id: str = ""
    """Client id of the cancel request, where one caused this."""
    former_id: str = ""
    """Client id the order had before an amendment."""
    counter_id: int | None = None
    """The other order of a match that was prevented."""
    lost: int = 0
    """Steps that this prevention took away."""
    reason: str = "NONE"
    """Why the order was rejected, in Binance's words."""


@dataclass(frozen=True, slots=True)
class AccountMoved:
    """Balances as they stand after a change: (asset, free, locked)."""

    balances: tuple[tuple[str, Decimal, Decimal], ...]
    at_ms: int


@dataclass(frozen=True, slots=True)
class ListMoved:
    """An order list began, or is done. ``orders`` as (order id, client id)."""

    list_id: int
    client_id: str
    row: int
    orders: tuple[tuple[int, str], ...]
    done: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class Transferred:
    """Something came into the account, or left it (negative), other than by trading."""

    asset: str
    amount: Decimal
    at_ms: int


Event = BarClosed | BookMoved | OrderMoved | AccountMoved | ListMoved | Transferred


class BookTop(NamedTuple):
    """Best bid and ask as displayed; a side that is empty shows zero."""

    bid: Decimal
    bid_qty: Decimal
    ask: Decimal
    ask_qty: Decimal
