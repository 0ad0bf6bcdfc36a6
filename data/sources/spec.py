"""Which sources are asked, where and how often: from the settings, or where a simulator serves recorded ones."""

from dataclasses import dataclass
from typing import Literal

from config.settings import SentimentSettings
from core.units import MINUTE_MS

KEY = "{key}"
"""Stands in an address for the source's key, which lies with the other secrets."""
RECORDED_FEED = "/news/rss"
RECORDED_FUNDING = "/news/funding"
RECORDED_TIMEOUT_S = 5.0
RECORDED_BYTES = 8 * 1_024 * 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """One source. Holds no secret: ``{key}`` is filled in where it is asked."""

    name: str
    kind: Literal["feed", "funding"]
    url: str
    every_ms: int
    timeout_s: float
    most_bytes: int
    recorded: bool = False
    """It says itself when its items could be known."""


def configured(settings: SentimentSettings) -> tuple[SourceSpec, ...]:
    """The sources that the settings name."""
    if not settings.enabled:
        return ()
    bounds = {"timeout_s": settings.timeout_s, "most_bytes": settings.max_kb * 1_024}
    every = settings.every_minutes * MINUTE_MS
    feeds = [
        SourceSpec(name=name, kind="feed", url=url, every_ms=every, **bounds)  # type: ignore[arg-type]
        for name, url in settings.feeds.items()
    ]
    if settings.funding_url:
        # A rate is settled every 8 hours: an hour apart is often enough.
        hourly = max(every, 60 * MINUTE_MS)
        feeds.append(
            SourceSpec(name="funding", kind="funding", url=settings.funding_url, every_ms=hourly, **bounds)  # type: ignore[arg-type]
        )
    return tuple(feeds)


def recorded(settings: SentimentSettings, base_url: str) -> tuple[SourceSpec, ...]:
    """The sources that a simulator at ``base_url`` serves, at its own time."""
    if not settings.enabled:
        return ()
    # Every minute of a market that runs looks anew, however its minutes fall.
    bounds = {
        "every_ms": MINUTE_MS // 2,
        "timeout_s": RECORDED_TIMEOUT_S,
        "most_bytes": RECORDED_BYTES,
        "recorded": True,
    }
    return (
        SourceSpec(name="recorded", kind="feed", url=base_url + RECORDED_FEED, **bounds),  # type: ignore[arg-type]
        SourceSpec(name="recorded_funding", kind="funding", url=base_url + RECORDED_FUNDING, **bounds),  # type: ignore[arg-type]
    )
