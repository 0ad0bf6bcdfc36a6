"""A run around one member, small enough to live through days of market in seconds, with the parts that decide being real.

The panel asks the replica as it asks Serve's; the registry's watch, the shadow, the recorder and the news are those of a
run. Made up are the market, whose next return follows feature 0 by an edge that the test sets, and the way to the replica.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from actors.metrics import Metrics, no_sink
from actors.model_watch import ModelWatch, Served
from actors.recorder import Recorder
from actors.shadow import Shadow
from core.features import FEATURE_NAMES, N_FEATURES, SEQUENCE, WINDOW
from core.messages import Market, MinuteRecord, ModelStep, Notice, Reports, TradingState, Verdicts
from core.params import ChampionSettings, MemberSettings
from core.units import BPS, MINUTE_MS, Instrument
from data.artifacts import Artifact, ArtifactStore
from data.records import RecordStore
from serve.panel import ServePanel
from tests.support import markets
from tests.support.served import Handle, kept, replica_of

COINS = tuple(Instrument("binance", f"C{number}/USDT") for number in range(10))
NOISE_BPS = 20.0
RV_60 = FEATURE_NAMES.index("rv_60")


class Unshown:
    """A hot state that nobody looks at."""

    def publish_record(self, record: MinuteRecord) -> int:
        return record.minute

    def publish_state(self, state: dict) -> int:
        return 1

    def records(self) -> list[MinuteRecord]:
        return []

    def health(self) -> dict[str, dict]:
        return {}


@dataclass
class Story:
    """One run. ``horizon``: minutes; blocks of the score are four times as long."""

    folder: Path
    settings: ChampionSettings
    horizon: int = 1
    edge: float = 0.0
    """Basis points that follow on each unit of feature 0."""
    number: int = 0
    notices: list[Notice] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = ArtifactStore(self.folder / "artifacts")
        self._rng = np.random.default_rng(11)
        self._close = np.full(len(COINS), 100.0)
        self._members = (MemberSettings(name="ridge", family="ridge"),)

    def keep(self, member, **changes: object) -> Artifact:
        return kept(self.store, member, extra={"horizon": self.horizon}, **changes)

    async def begin(self, artifact: Artifact) -> None:
        self.handle = Handle(replica_of(self.store, artifact, self.folder))
        await self.start_parts()

    async def start_parts(self) -> None:
        """As after a restart of every part but the replica: what they know, they know from disk."""
        self.panel = ServePanel({"ridge": self.handle}, {"ridge": 20.0}, self.horizon)
        member = {"ridge": Served(handle=self.handle, family="ridge")}
        seen = self.folder / "seen.json"
        self.watch = ModelWatch(self.store, member, horizon=self.horizon, run="story", seen=seen)
        await self.watch.begin()
        self.shadow = Shadow(self.store, self._members, self.settings, horizon=self.horizon, memory_mb=100_000)
        records = RecordStore(self.folder / "records")
        tell = self.notices.append
        self.recorder = Recorder(store=records, hot=Unshown(), metrics=Metrics(no_sink), tell=tell, about={})

    async def minutes(self, count: int) -> None:
        for _ in range(count):
            await self._minute()

    async def until(self, kind: str, most: int) -> ModelStep:
        """Minutes until a step of this kind is in the registry; AssertionError after ``most``."""
        before = len(self.steps(kind))
        for _ in range(most):
            await self._minute()
            if len(self.steps(kind)) > before:
                return self.steps(kind)[-1]
        raise AssertionError(f"nothing was {kind} within {most} minutes: {[s.kind for s in self.steps()]}")

    def steps(self, kind: str = "") -> list[ModelStep]:
        return [s for s in self.shadow._registry.steps("ridge") if kind in ("", s.kind)]

    async def _minute(self) -> None:
        market = self._market()
        self.watch.minute = market.minute
        votes = await self.panel.forecast(market)
        votes = replace(votes, steps=self.watch.told(market.minute))
        self.shadow.observe(market, votes)
        self._record(market, votes)
        await self.watch.look()

    def _market(self) -> Market:
        """What follows on this minute's features shows in the next one's close."""
        minute = markets.MINUTE + self.number * MINUTE_MS
        features = np.zeros((len(COINS), SEQUENCE, N_FEATURES))
        features[:, -1] = self._rng.normal(size=(len(COINS), N_FEATURES))
        features[:, :, RV_60] = 5e-4
        bars = np.repeat(self._close[:, None, None], WINDOW, axis=1).repeat(5, axis=2)
        market = markets.market(
            COINS, mids=tuple(self._close), minute=minute, bars=bars, features=features, trace=f"{minute:x}"
        )
        moved = self.edge * features[:, -1, 0] + self._rng.normal(scale=NOISE_BPS, size=len(COINS))
        self._close = self._close * np.exp(moved / BPS)
        self.number += 1
        return market

    def _record(self, market: Market, votes) -> None:
        tick = markets.tick(market.minute)
        nothing = {"minute": market.minute, "trace": market.trace}
        self.recorder.record(
            tick,
            market,
            markets.detected(market),
            votes,
            markets.intents(market, (0.0,) * len(COINS)),
            Verdicts(**nothing, state=TradingState.ACTIVE, state_reason="", approved=(), refused=()),
            Reports(**nothing, orders=(), fills=()),
        )
