"""Which sources of mood and news a run on the wall clock asks, and where it writes down what they say."""

from pathlib import Path
from typing import TypedDict

from config.load import resolve_var
from config.settings import Settings
from data.headlines import heard_folder
from data.market import real_source
from data.sources.spec import SourceSpec, configured, recorded


class Sources(TypedDict):
    """Fields of a ``RunPlan``."""

    sentiment_url: str | None
    sources: tuple[SourceSpec, ...]
    news_dir: Path | None


def sources_of(settings: Settings, sim_url: str | None) -> Sources:
    """The configured ones, written down beside the lake; of a simulator its own, which are a record already."""
    asked = settings.config.sentiment
    if sim_url:
        return {"sentiment_url": sim_url, "sources": recorded(asked, sim_url), "news_dir": None}
    mood = asked.fear_greed_url if asked.enabled else None
    folder = heard_folder(real_source(resolve_var(settings)).lake.root)
    return {"sentiment_url": mood, "sources": configured(asked), "news_dir": folder}
