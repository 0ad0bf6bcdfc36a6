"""Until when the members of a run learnt, and which of them are old: a version says nothing of that by its name."""

from collections.abc import Mapping
from datetime import UTC, datetime

from core.units import DAY_MS
from data.artifacts import ArtifactStore
from serve.app import KIND


def learnt_until(store: ArtifactStore, versions: Mapping[str, str]) -> dict[str, int]:
    """Member → end of the bars that its version learnt from, epoch ms."""
    return {name: store.load(f"{KIND}/{name}/{version}").span[1] for name, version in versions.items()}


def until_words(until_ms: int | None, begins_ms: int) -> str:
    """Behind a version's name: until when it learnt, and how long that is before ``begins_ms``."""
    if until_ms is None:
        return ""
    return f" (trained until {datetime.fromtimestamp(until_ms / 1000, UTC):%Y-%m-%d}, {_before(until_ms, begins_ms)})"


def too_old(known: Mapping[str, int], begins_ms: int, most_days: float) -> list[str]:
    """One line where members learnt from bars that ended more than ``most_days`` (``live.max_lake_age_days``) before."""
    old = {name: until for name, until in known.items() if begins_ms - until > most_days * DAY_MS}
    if not old:
        return []
    oldest = min(old.values())
    return [
        f"{', '.join(old)} learnt from bars that ended up to {_before(oldest, begins_ms)} the first minute, more than "
        f"live.max_lake_age_days = {most_days:g}: what they know is of another market. A former run left them; "
        f"python3 run.py train --before-ms {begins_ms} makes newer ones (with this run's --data or --market, and --set)"
    ]


def _before(until_ms: int, begins_ms: int) -> str:
    days = (begins_ms - until_ms) / DAY_MS
    return f"{days:.0f} days before" if days >= 2 else f"{days * 24:.0f} hours before"
