"""What the core needs of the outside, as protocols. Each has a hand-written fake in ``tests/support``."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from core.messages import (
    AccountState,
    Bar,
    CancelOrder,
    Detected,
    Fill,
    Intents,
    Market,
    MinuteRecord,
    MinuteTick,
    OrderSnapshot,
    PlaceOrder,
    Reports,
    ShownBook,
    Top,
    Verdicts,
    Votes,
)
from core.standing import ClockReading, KeyRights
from core.units import Instrument, MarketRules


class CachePart(Protocol):
    def observe(self, tick: MinuteTick) -> Market: ...


class DetectorPart(Protocol):
    def detect(self, market: Market) -> Detected: ...


class ModelsPart(Protocol):
    def forecast(self, market: Market) -> Votes: ...


class SelectorPart(Protocol):
    def choose(self, market: Market, events: Detected, votes: Votes) -> Intents: ...


class RiskPart(Protocol):
    def review(self, market: Market, intents: Intents) -> Verdicts: ...


class ExecutorPart(Protocol):
    def execute(self, market: Market, verdicts: Verdicts) -> Reports: ...


class RecorderPart(Protocol):
    def record(
        self,
        tick: MinuteTick,
        market: Market,
        events: Detected,
        votes: Votes,
        intents: Intents,
        verdicts: Verdicts,
        reports: Reports,
    ) -> MinuteRecord: ...


class Desk(Protocol):
    """The seven parts of one trading minute. On a LocalDesk they are plain objects, on a RayDesk they are handles."""

    @property
    def cache(self) -> CachePart: ...

    @property
    def detector(self) -> DetectorPart: ...

    @property
    def models(self) -> ModelsPart: ...

    @property
    def selector(self) -> SelectorPart: ...

    @property
    def risk(self) -> RiskPart: ...

    @property
    def executor(self) -> ExecutorPart: ...

    @property
    def recorder(self) -> RecorderPart: ...


class Venue(Protocol):
    """Trading at one venue, asynchronous (live, paper, replay).

    Every call may raise ``ExchangeUnavailable`` (nothing happened), ``ExchangeRefused`` (the venue said no) or,
    for ``place`` and ``cancel`` only, ``OutcomeUnknown``.
    """

    name: str

    async def rules(self) -> dict[Instrument, MarketRules]: ...

    async def account(self) -> AccountState: ...

    async def place(self, order: PlaceOrder) -> OrderSnapshot: ...

    async def cancel(self, order: CancelOrder) -> OrderSnapshot: ...

    async def query(self, client_id: str, instrument: Instrument) -> OrderSnapshot | None:
        """The order as the venue knows it, or None when it says it has no such order."""
        ...

    async def open_orders(self) -> tuple[OrderSnapshot, ...]: ...

    async def fills(self, client_id: str, instrument: Instrument) -> tuple[Fill, ...]: ...

    async def tops(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Top]:
        """Best bid and ask, asked now; none for an instrument whose book is empty on a side."""
        ...

    async def books(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, ShownBook]:
        """The same of the best ``LEVELS_SHOWN`` levels; a request an instrument at some venues."""
        ...


class Gateway(Venue, Protocol):
    """A venue reached over its own wire, with what only such a one can tell. Same errors, and ``ConfigError`` for a
    missing key and for an instrument that the venue does not list."""

    instruments: tuple[Instrument, ...]
    holds_stops: bool
    """It takes orders with a ``stop_price``; others refuse them."""
    holds_pairs: bool
    """It takes those with a ``pair_price``, of which one cancels the other."""

    def now_ms(self) -> int:
        """The venue's time as we know it, right only after the first call."""
        ...

    async def server_time_ms(self) -> int:
        """The venue's clock, asked now."""
        ...

    async def sync_clock(self) -> None: ...

    async def measure_clock(self, clock: "Clock | None" = None) -> ClockReading:
        """How the venue's clock stands to ours, and whether that is within what the settings allow."""
        ...

    async def rights(self) -> KeyRights:
        """What our key may do, as far as the venue tells."""
        ...

    async def history(self, instrument: Instrument, first_minute: int, count: int) -> list[Bar]:
        """Up to ``count`` closed bars from ``first_minute`` on, oldest first; minutes the venue has none for are left
        out, and the open one never comes."""
        ...

    async def close(self) -> None: ...


class StreamState(Protocol):
    """What became of a stream's connections so far."""

    connected: bool
    lives: int
    frames: int
    last_end: str


class Stream(Protocol):
    """A venue's stream, kept up until it is closed. What it hears goes to the callbacks it was made with."""

    faults: Mapping[str, int]
    """Frames not used, by kind."""
    last_fault: str

    @property
    def state(self) -> StreamState: ...

    async def run(self) -> None:
        """Stream until ``close``. Raises ``ExchangeRefused`` where trying again cannot help."""
        ...

    async def close(self) -> None: ...

    async def subscribed(self) -> None:
        """Returns when the current connection is subscribed."""
        ...


class MarketFeed(Stream, Protocol):
    """Public data: final bars and tops of book."""

    @property
    def tops(self) -> Mapping[Instrument, Top]:
        """The latest best bid and ask; none for an instrument without a book, and none at all while disconnected."""
        ...

    def renew(self, instrument: Instrument, reason: str) -> None:
        """A new connection in place of the one that carries ``instrument``, beside it until it is heard."""
        ...


class AccountFeed(Stream, Protocol):
    """Private data: orders, fills and balances as they change."""


class LocalVenue(Protocol):
    """The same calls, in-process and immediate (backtest, RL environment). Same errors."""

    name: str

    def rules(self) -> dict[Instrument, MarketRules]: ...

    def account(self) -> AccountState: ...

    def place(self, order: PlaceOrder) -> OrderSnapshot: ...

    def cancel(self, order: CancelOrder) -> OrderSnapshot: ...

    def query(self, client_id: str, instrument: Instrument) -> OrderSnapshot | None: ...

    def open_orders(self) -> tuple[OrderSnapshot, ...]: ...

    def fills(self, client_id: str, instrument: Instrument) -> tuple[Fill, ...]: ...

    def tops(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Top]: ...

    def books(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, ShownBook]: ...


class Journal(Protocol):
    """Durable, append-only, single writer. ``append`` returns after the entries are on disk."""

    def append(self, entries: list[tuple[str, bytes]]) -> None:
        """Store (kind, payload) entries atomically."""
        ...

    def replay(self) -> list[tuple[str, bytes]]: ...


class Clock(Protocol):
    """The market's clock: wall time when live, the simulated exchange's when replaying."""

    def now_ms(self) -> int: ...


ZERO = Decimal(0)
