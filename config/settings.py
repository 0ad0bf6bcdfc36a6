"""Typed, frozen, closed settings: the shape of ``config.json`` and ``trading_rules.json``.

An unknown key is an error. Units are in the names: ``_pct`` is per cent (0..100), ``_bps`` basis points,
``_ms``/``_s``/``_minutes`` times, ``_usdt`` money in the reporting currency. Each part of the bot is given
only its own section. ``config/load.py`` reads the files and turns faults into one clear line.
"""

import re
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, model_validator

from core.params import (
    ChampionSettings,
    CostSettings,
    EventSettings,
    ExecutionSettings,
    LiveSettings,
    ModelSettings,
    ProtectionSettings,
    RiskSettings,
    Section,
    SelectionSettings,
    TradeSettings,
)


def _address(text: str, schemes: tuple[str, ...], path: bool, example: str) -> str:
    """An address of a host, without a key, a question or a fragment in it; ``path``: whether it has one."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != -1
    except ValueError:
        usable = False
    if not usable or any(c <= " " or c == "\x7f" for c in text):
        raise ValueError(f"is no address; write it like {example}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"is more than an address; write it like {example}")
    if bool(parts.path.strip("/")) != path:
        raise ValueError(f"{'ends too early' if path else 'must end with the port'}; write it like {example}")
    return text


def rest_address(text: str) -> str:
    """``http://host:port``; ValueError says what is wrong."""
    return _address(text, ("http", "https"), False, "http://127.0.0.1:8500")


def _stream_address(text: str) -> str:
    return _address(text, ("ws", "wss"), True, "ws://127.0.0.1:8500/stream (as run.py sim prints it)")


RestUrl = Annotated[str, AfterValidator(rest_address)]
StreamUrl = Annotated[str, AfterValidator(_stream_address)]


class ExchangeSettings(Section):
    """Where one venue is reached. The defaults are the real one; a simulator is set by URL, by all three of them."""

    rest_url: RestUrl | None = None
    """``http://host:port`` of a simulator; None = the venue itself."""
    stream_url: StreamUrl | None = None
    """``ws://host:port/stream`` (Upbit: ``…/websocket/v1``) of a simulator; None = the venue itself."""
    user_stream_url: StreamUrl | None = None
    """``ws://host:port/ws-api/v3`` (Upbit: ``…/websocket/v1/private``) of a simulator; None = the venue itself."""
    recv_window_ms: Annotated[int, Field(ge=100, le=60_000)] = 5_000
    """How old a signed request may be when Binance reads it; Upbit's carry no time."""
    max_clock_offset_ms: Annotated[int, Field(ge=50, le=10_000)] = 1_000
    timeout_ms: Annotated[int, Field(ge=500, le=60_000)] = 10_000


class ResourceSettings(Section):
    """How much of this machine the bot may use."""

    object_store_mb: Annotated[int, Field(ge=100, le=64_000)] = 500
    gpu_fraction: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of one GPU, and of its memory, for each model deployment; less where all would take more than nine tenths.
    Ignored, and said so, where there is no GPU."""
    member_memory_mb: Annotated[int, Field(ge=100, le=256_000)] = 3_000
    """What a model's process may take; a version that takes more is not taken over."""
    torch_threads: Annotated[int, Field(ge=1, le=64)] = 1
    trainer_niceness: Annotated[int, Field(ge=0, le=19)] = 10


class DashboardSettings(Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8420
    """0 takes a free port and prints it."""


class RaySettings(Section):
    address: str = "local"
    """``local`` starts a cluster of our own; ``auto`` or ``host:port`` joins a running one."""
    dashboard: bool = True
    dashboard_port: Annotated[int, Field(ge=0, le=65_535)] = 8265


class NotificationSettings(Section):
    """Apprise targets. Each URL is a secret and is never shown."""

    languages: tuple[Literal["en", "ko"], ...] = ("en", "ko")
    min_severity: Literal["info", "warning", "critical"] = "warning"
    queue_size: Annotated[int, Field(ge=1, le=10_000)] = 200


class GrafanaSettings(Section):
    url: str | None = None
    folder: str = "Minutehand"


class LogSettings(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_mb: Annotated[int, Field(ge=1, le=10_000)] = 20
    keep: Annotated[int, Field(ge=1, le=100)] = 5


def _source_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]{1,40}", text):
        raise ValueError(f"a source's name is of a-z, 0-9, - and _, not {text!r}")
    return text


def _source_url(text: str) -> str:
    """An address without a key in it. What is wrong is said without the address, which may hold one."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("not a web address (want http:// or https://)")
    named = {name.lower() for name, value in parse_qsl(parts.query) if value != "{key}"}
    if parts.username or parts.password or named & _KEY_NAMES:
        raise ValueError("the address holds a key; write {key} there and put it into api_keys.json under source_keys")
    return text


_KEY_NAMES = frozenset({"key", "apikey", "api_key", "api-key", "token", "auth", "auth_token", "access_token", "secret"})
SourceName = Annotated[str, AfterValidator(_source_name)]
SourceUrl = Annotated[str, AfterValidator(_source_url)]


class SentimentSettings(Section):
    """Which sources outside of the exchanges are asked, and how gently. A replay asks none of them."""

    enabled: bool = True
    """Off: nothing is fetched, and models see masks."""
    fear_greed_url: SourceUrl | None = "https://api.alternative.me"
    """Publisher of the fear-and-greed index; null asks nobody."""
    feeds: dict[SourceName, SourceUrl] = Field(
        default={
            "cointelegraph": "https://cointelegraph.com/rss",
            "coindesk": "https://www.coindesk.com/arc/outboundfeeds/rss/",
            "decrypt": "https://decrypt.co/feed",
        },
        max_length=50,
    )
    """RSS or Atom feeds by name; ``{key}`` in an address stands for the key of that name in api_keys.json."""
    funding_url: SourceUrl | None = "https://fapi.binance.com/fapi/v1/premiumIndex"
    """Funding rates of perpetuals, in Binance's format; null asks nobody."""
    every_minutes: Annotated[int, Field(ge=1, le=1_440)] = 5
    timeout_s: Annotated[float, Field(ge=0.5, le=60)] = 10.0
    max_kb: Annotated[int, Field(ge=10, le=20_000)] = 2_048
    """A larger answer is not read."""
    scorer: Literal["lexicon", "transformer"] = "lexicon"
    transformer: str | None = None
    """Folder of a text classifier for ``transformer``, which needs the package transformers."""


class RetrainingSettings(Section):
    """New versions trained beside trading; they challenge, they never vote at once."""

    every_hours: Annotated[float, Field(ge=0, le=8_760)] = 0
    """0 trains nothing by itself."""
    days: Annotated[float, Field(gt=0, le=3_650)] = 30
    """Newest days to learn from."""
    cpus: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads it computes with, and what it claims of Ray's CPUs."""
    memory_mb: Annotated[int, Field(ge=500, le=256_000)] = 4_000
    """Private memory of its process (on Linux the kernel's limit); one that wants more fails, and the bot goes on."""


class Config(Section):
    """``config/config.json``: what to trade, where, and with which resources."""

    trade: TradeSettings
    live: LiveSettings = LiveSettings()
    exchanges: dict[Literal["binance", "upbit"], ExchangeSettings] = Field(
        default={"binance": ExchangeSettings(), "upbit": ExchangeSettings()}
    )
    resources: ResourceSettings = ResourceSettings()
    redis_url: str = "embedded"
    """``embedded`` runs a private Redis from a package; or ``redis://…`` / ``unix://…`` of your own."""
    var_dir: str = "var"
    """Where the lake, journals, artifacts, logs and reports live; relative to the project."""
    dashboard: DashboardSettings = DashboardSettings()
    ray: RaySettings = RaySettings()
    notifications: NotificationSettings = NotificationSettings()
    grafana: GrafanaSettings = GrafanaSettings()
    logs: LogSettings = LogSettings()
    champions: ChampionSettings = ChampionSettings()
    retraining: RetrainingSettings = RetrainingSettings()
    sentiment: SentimentSettings = SentimentSettings()

    @model_validator(mode="after")
    def _venues_are_configured(self) -> "Config":
        for row in self.trade.rows:
            if row.venue not in self.exchanges:
                raise ValueError(f"trade.instruments names {row}, but exchanges has no {row.venue!r}")
        return self


class TradingRules(Section):
    """``config/trading_rules.json``: models, weights, limits, execution, and exits that protect positions, and what a
    simulated trade costs."""

    models: ModelSettings
    events: EventSettings = EventSettings()
    selection: SelectionSettings = SelectionSettings()
    risk: RiskSettings = RiskSettings()
    execution: ExecutionSettings = ExecutionSettings()
    protection: ProtectionSettings = ProtectionSettings()
    costs: CostSettings = CostSettings()


class Settings(Section):
    """Both files together."""

    config: Config
    rules: TradingRules
