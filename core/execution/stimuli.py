"""What can happen to the executor, as frozen facts. With the instructions they led to they make the journal."""

from dataclasses import dataclass
from decimal import Decimal

from core.execution.schedules.rule import Schedule
from core.messages import Approved, CancelOrder, Fill, Levels, OrderSnapshot, PlaceOrder, QueryOrder, Top
from core.protection import NO_EXITS, ExitRules
from core.units import Instrument, MarketRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """From here on these settings and venue rules hold."""

    slices: int
    slice_ms: int
    requery_ms: int
    rules: tuple[MarketRules, ...]
    schedule: Schedule | None = None
    """None in journals from before there were several: even slices in time."""
    exits: ExitRules = NO_EXITS
    stops_at: tuple[str, ...] = ()
    """Venues at which a stop order is left under each position."""
    pairs_at: tuple[str, ...] = ()
    """Those of them where it is one of a pair, if there is a take-profit (``core.execution.stops``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """A process took over what the journal says: whatever was on its way is of unknown outcome."""

    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a schedule knows of one market when a minute begins (``core.execution.conditions``)."""

    instrument: Instrument
    traded: float
    """Base units, in the minute that has just closed."""
    volume: float
    """Base units of a usual minute."""
    sigma: float
    """Log return of a minute."""
    rate: float
    """USDT of a quote unit."""
    curve: tuple[float, ...] = ()
    """The volume curve from this minute on, as long as a parent lives."""
    bid: float = 0.0
    """The touch at the decision; 0 where nobody asks for it."""
    ask: float = 0.0
    depth: Levels = ()
    """What crossing would walk at the decision."""
    queue: float = 0.0
    """Base units displayed at the touch on the own side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteStarted:
    """Risk has spoken on ``minute``; what it approved shall be worked."""

    minute: int
    now_ms: int
    approved: tuple[Approved, ...]
    conditions: tuple[Conditions, ...] = ()
    """Of what was approved, where the schedule looks at the market."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderWanted:
    """Send this one order and let it stand until it ends or is no longer wanted. Wishing again changes nothing."""

    order: PlaceOrder
    minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelWanted:
    """An order that was wanted is so no more: cancel what of it still stands."""

    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookSeen:
    """The best bid and ask of a market that an adaptive order is worked in; None: it shows no book."""

    instrument: Instrument
    top: Top | None
    depth: Levels = ()
    """What it would walk if it crossed, where more of it is left than the touch gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Time has passed: send the slices that are due, ask again about what is unknown."""

    now_ms: int
    awaited: tuple[str, ...] = ()
    """Client ids of orders whose answer is on its way (of exits, which wait for nobody's turn): they are not lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricesSeen:
    """The middle of the touch of these instruments, quote units: exits that are due go to work."""

    now_ms: int
    mids: tuple[tuple[Instrument, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingsSeen:
    """So much of these instruments' coins the venue says is there, free and locked, when our books agreed with it."""

    totals: tuple[tuple[Instrument, Decimal], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancesAgreed:
    """What the venues state of every balance is taken for what it must be after our fills so far: from here on a
    difference is one of after this, also over a restart (``core.execution.ledger``)."""

    totals: tuple[tuple[str, str, Decimal], ...]
    """(venue, asset, free and locked)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """Compare with the venue now: ask about every order that has not ended or lacks fills."""

    now_ms: int
    awaited: tuple[str, ...] = ()
    """As of ``Beat``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The venue answered a place request with the order."""

    snapshot: OrderSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRefused:
    """The venue said no to a place request."""

    client_id: str
    code: str
    text: str

    @property
    def would_take(self) -> bool:
        """A post-only order would have traded at once: the market came to its price first, and nothing is wrong."""
        return "immediately match" in self.text.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """A place request certainly did not take effect."""

    client_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeUnclear:
    """A place request may or may not have taken effect."""

    client_id: str
    text: str
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queried:
    """The venue answered a question: the order as it knows it, or None when it says it has no such order."""

    client_id: str
    snapshot: OrderSnapshot | None
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFailed:
    """A question got no answer; nothing is known that was not known before."""

    client_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDone:
    """The venue answered a cancel request with the order as it stands."""

    snapshot: OrderSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelFailed:
    """A cancel request was refused, did not arrive, or got no answer: the order is asked about at the next beat."""

    client_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FillSeen:
    """The venue's user stream told of a fill."""

    fill: Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSeen:
    """The venue's user stream told of an order."""

    snapshot: OrderSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSeen:
    """All orders open at the venue, ours and others'."""

    snapshots: tuple[OrderSnapshot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What had happened up to here was handed out in the report of ``minute``."""

    minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Send nothing new; cancel what is open."""

    now_ms: int
    awaited: tuple[str, ...] = ()
    """As of ``Beat``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted:
    """A person halted trading: what is being bought is given up, what is being sold goes on."""

    now_ms: int


Stimulus = (
    Configured
    | Restarted
    | MinuteStarted
    | BookSeen
    | OrderWanted
    | CancelWanted
    | Beat
    | PricesSeen
    | HoldingsSeen
    | BalancesAgreed
    | Reconcile
    | Placed
    | PlaceRefused
    | NotSent
    | OutcomeUnclear
    | Queried
    | QueryFailed
    | CancelDone
    | CancelFailed
    | FillSeen
    | SnapshotSeen
    | OpenSeen
    | Reported
    | Stopped
    | Halted
)
Instruction = PlaceOrder | CancelOrder | QueryOrder
