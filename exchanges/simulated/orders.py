"""An order at the simulated exchange, as asked and as it stands, and its trades.

Prices in ticks and quantities in steps of its market (ints); money in Decimal.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from core.units import Instrument, Side

ZERO = Decimal(0)


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIMIT_MAKER = "LIMIT_MAKER"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"

    @property
    def contingent(self) -> bool:
        """It waits for a price before it acts: what Binance calls an algo order."""
        return self not in (OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER)

    @property
    def at_market(self) -> bool:
        """It names no limit price."""
        return self in (OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT)


class Status(StrEnum):
    """Binance's words."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"
    REJECTED = "REJECTED"
    """Only in reports: an order that a cancel-replace could not place. No such order exists."""


LIVE = (Status.NEW, Status.PARTIALLY_FILLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a client asks for. Exactly one of ``quantity`` and ``quote_quantity``, the latter for MARKET only."""

    instrument: Instrument
    side: Side
    type: OrderType
    quantity: Decimal | None = None
    """Base units."""
    quote_quantity: Decimal | None = None
    """Quote units to spend or to get."""
    price: Decimal | None = None
    time_in_force: str = "GTC"
    client_id: str = ""
    """Empty: the exchange makes one."""
    stop_price: Decimal | None = None
    """Price at which a contingent order acts (or begins to trail)."""
    trailing_delta: int | None = None
    """Basis points that the price must turn back by before a contingent order acts."""
    stp: str = ""
    """Self-trade prevention (``selftrade.Stp``); empty: the market's default."""
    iceberg: Decimal | None = None
    """Quantity to show at a time; no market here takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One execution of one of our orders."""

    trade_id: int
    order_id: int
    client_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """One reduction of an order that kept its place in the queue."""

    execution_id: int
    old_client_id: str
    client_id: str
    old_steps: int
    steps: int
    at_ms: int


@dataclass(slots=True, kw_only=True)
class SimOrder:
    """One order and what became of it. Only the exchange changes it."""

    order_id: int
    client_id: str
    row: int
    instrument: Instrument
    side: Side
    type: OrderType
    time_in_force: str
    ticks: int
    """Limit price; 0 for a market order."""
    steps: int
    """Ordered quantity; for a market order by quote amount what was executed."""
    price: Decimal
    quote_quantity: Decimal = ZERO
    step: Decimal = ZERO
    executed: int = 0
    """Steps filled."""
    quote_executed: Decimal = ZERO
    status: Status = Status.NEW
    created_ms: int = 0
    updated_ms: int = 0
    expiry: str = ""
    """Why it expired, in Binance's words."""
    trades: list[Trade] = field(default_factory=list)
    locked: Decimal = ZERO
    """Of the asset it pays with, what is still set aside for it."""
    # Its place in the queue while it rests.
    ahead: int = 0
    passed: float = 0.0
    """Steps traded at its price since it came to rest."""
    rested: int = 0
    """Steps of ours filled from the queue."""
    working: bool = False
    rest_ms: int = 0
    # A contingent order's trigger.
    stop_price: Decimal = ZERO
    trailing_delta: int = 0
    lock_ticks: int = 0
    """Price at which money is set aside for a contingent order that names no limit."""
    extreme: float = 0.0
    """Best price since it began to trail; 0 before that."""
    trailing_ms: int = 0
    """When it began to trail; 0 before that."""
    list_id: int = -1
    """The order list it belongs to; -1: none."""
    stp: str = "EXPIRE_MAKER"
    prevented: int = 0
    """Steps that self-trade prevention took away."""
    match_id: int | None = None
    """Number of the newest match that was prevented."""
    working_ms: int = -1
    """When it came to the book; -1 while it waits for its trigger."""
    amendments: list["Amendment"] = field(default_factory=list)

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def remaining(self) -> int:
        return self.steps - self.executed - self.prevented

    @property
    def quantity(self) -> Decimal:
        return self.steps * self.step

    @property
    def prevented_quantity(self) -> Decimal:
        return self.prevented * self.step

    @property
    def executed_quantity(self) -> Decimal:
        return self.executed * self.step
