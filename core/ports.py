"""What the core needs of the outside, as protocols. Each has a hand-written fake in ``tests/support``."""

from decimal import Decimal
from typing import Protocol

from core.messages import (
    AccountState,
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
    Verdicts,
    Votes,
)
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
