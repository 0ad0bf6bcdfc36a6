"""The desk of one process: the seven parts called directly (backtest, tests, the RL environment).

The parts are the very objects that the live actors hold; what differs is only who carries the messages.
"""

from collections.abc import Callable
from typing import Protocol

from core.cache import Cache
from core.messages import (
    AccountState,
    Detected,
    Intents,
    Market,
    MarketSlice,
    MinuteRecord,
    MinuteTick,
    Reports,
    Verdicts,
    Votes,
)
from core.ports import DetectorPart, ExecutorPart, ModelsPart, RiskPart, SelectorPart
from core.record import make_record


class LocalMarket(Protocol):
    """A market in this process, moved by whoever runs the session."""

    def advance_to(self, ms: int) -> object: ...

    def slice(self, minute: int) -> MarketSlice: ...


class LocalExecution(ExecutorPart, Protocol):
    """The synchronous executor: also beats between minutes and states the account."""

    def beat(self, now_ms: int) -> object: ...

    def account(self, now_ms: int) -> AccountState: ...


class LocalCache:
    """Joins what the market and the account show into the cache, as the RayDesk does over handles."""

    def __init__(self, cache: Cache, market: LocalMarket, executor: LocalExecution) -> None:
        self._cache = cache
        self._market = market
        self._executor = executor

    def observe(self, tick: MinuteTick) -> Market:
        return self._cache.observe(tick, self._market.slice(tick.minute), self._executor.account(tick.now_ms))


class LocalRecorder:
    """Makes the record and hands it on."""

    def __init__(self, keep: Callable[[MinuteRecord], object]) -> None:
        self._keep = keep

    def record(
        self,
        tick: MinuteTick,
        market: Market,
        events: Detected,
        votes: Votes,
        intents: Intents,
        verdicts: Verdicts,
        reports: Reports,
    ) -> MinuteRecord:
        record = make_record(tick, market, events, votes, intents, verdicts, reports)
        self._keep(record)
        return record


class LocalDesk:
    """``core.ports.Desk`` over plain objects."""

    def __init__(
        self,
        *,
        cache: Cache,
        market: LocalMarket,
        detector: DetectorPart,
        models: ModelsPart,
        selector: SelectorPart,
        risk: RiskPart,
        executor: LocalExecution,
        keep: Callable[[MinuteRecord], object] = lambda record: None,
    ) -> None:
        self.market = market
        self.cache = LocalCache(cache, market, executor)
        self.detector = detector
        self.models = models
        self.selector = selector
        self.risk = risk
        self.executor = executor
        self.recorder = LocalRecorder(keep)
