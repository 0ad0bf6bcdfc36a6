"""What one run is: everything an actor needs to start, or to start again after it died."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from config.settings import ExchangeSettings, Settings
from config.watch import ConfigSource
from data.sources.spec import SourceSpec

Mode = Literal["replay", "paper", "live"]
ClockMode = Literal["lockstep", "speed", "wall"]

NAMESPACE = "minutehand"
"""Ray namespace of all our actors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Settings and addresses of one run. Holds paths to secrets, never secrets."""

    run_id: str
    mode: Mode
    settings: Settings
    root: Path
    """Project folder: workers import from here."""
    run_dir: Path
    """Journal, risk state, records, report: ``var/runs/<run_id>``, or ``var/live/<instance>`` for real money, where they
    go on from run to run."""
    log_dir: Path
    artifacts_dir: Path
    redis_url: str
    keys_path: Path
    """API keys of this run (the user's own, or the simulator's test pair), readable by the owner only."""
    notices_path: Path | None = None
    """Private file with the notification addresses; None = ``keys_path``."""
    instance: str
    """Goes into every client order id; orders of another instance are never touched."""
    clock: ClockMode
    orders_at: Mapping[str, ExchangeSettings] = field(default_factory=dict)
    """By venue: where orders go when that is not where the market is watched (paper)."""
    speed: float = 1.0
    """Market time per wall time: 0 in lockstep, N in a replay at N times, 1 on the wall clock."""
    sim_urls: tuple[str, ...] = ()
    """Base URLs of the simulated exchanges whose clocks drive a replay."""
    sentiment_url: str | None = None
    """Publisher of the mood index; None asks nobody."""
    sources: tuple[SourceSpec, ...] = ()
    """Feeds of headlines and funding rates."""
    news_dir: Path | None = None
    """Where what they say is written down; None (recorded sources): nowhere."""
    first_minute: int | None = None
    """First minute to decide (replay); None = from now on."""
    minutes: int | None = None
    """How many to decide; None = until stopped."""
    synthetic: bool = False
    config_source: ConfigSource | None = None
    """Where the settings were read, to look at how much is traded again every minute; None = never."""
    weights_version: str | None = None
    """Artifact reference of the tuned weights; None = the defaults of trading_rules.json."""
    impact_version: str | None = None
    """Artifact reference of the law of impact learnt from our own fills; None = the prior."""
    deadline_s: float = 20.0
    """Wall time a minute may take before it counts as missed."""

    @property
    def serving_dir(self) -> Path:
        """Where each deployed member's served version is noted."""
        return self.run_dir / "serving"

    @property
    def judges_versions(self) -> bool:
        """Members' versions are held against each other in this run, and what is found goes into the registry. A replay
        only does so when asked: it trades the past, often with models of then."""
        champions = self.settings.config.champions
        return champions.shadow and (self.mode != "replay" or champions.in_replay)

    @property
    def member_names(self) -> tuple[str, ...]:
        return tuple(m.name for m in self.settings.rules.models.enabled)
