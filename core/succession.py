"""When a challenger takes over, and when a champion has to go: the rules, over what the shadow has found.

One step at a time, most urgent first; each says in its words what it rests on. The evidence is that of ``core/shadow.py``,
which may be looked at after every block without being fooled by it. A champion's *band* is what the version before it does
in the same minutes: its live score has fallen below it when the version before is better with the stated confidence.
"""

from collections.abc import Mapping, Sequence

from core.champions import ADVISED, CHALLENGED, CONFIRMED, PROMOTED, ROLLED_BACK, Standing, challengers
from core.messages import ModelStep
from core.params import ChampionSettings
from core.reasons import Reason, counted
from core.shadow import Evidence, Pair

BY = "shadow"


def opponents(now: Standing, stored: Sequence[str], settings: ChampionSettings) -> tuple[str, ...]:
    """Versions that forecast beside the champion: those that challenge it, and the one before it while it is watched."""
    held = challengers(now, stored, settings.challengers)
    return (*held, now.former) if now.watched and now.former else held


def next_step(
    member: str,
    now: Standing,
    stored: Sequence[str],
    evidence: Mapping[Pair, Evidence],
    settings: ChampionSettings,
    silent: int = 0,
) -> ModelStep | None:
    """What happens to ``member`` next; None when nothing does.

    ``stored``: its versions that may be served. ``silent``: minutes in a row in which the champion lost its vote while
    the version before it spoke.
    """
    if not now.champion:
        return None

    def step(kind: str, version: str, why: str) -> ModelStep:
        return ModelStep(kind=kind, member=member, version=version, before=now.champion, by=BY, why=why)

    if now.watched and now.former:
        found = evidence.get((member, now.champion, now.former), Evidence())
        if silent >= settings.silent_minutes:
            return step(ROLLED_BACK, now.former, Reason("lost_its_vote", count=str(silent)))
        if found.capital >= found.needed(settings.rollback_confidence_pct / 100):
            why = Reason("fell_below_band", evidence=told(found, settings.rollback_confidence_pct))
            return step(ROLLED_BACK, now.former, why)
        if found.minutes >= settings.watch_minutes:
            return step(
                CONFIRMED,
                now.champion,
                Reason("watched_to_the_end", evidence=told(found, settings.rollback_confidence_pct)),
            )
    for version in challengers(now, stored, settings.challengers):
        if version not in now.challenged:
            return step(CHALLENGED, version, Reason("beside", champion=now.champion))
        found = evidence.get((member, now.champion, version), Evidence())
        tried = len(now.challenged)
        if found.capital >= found.needed(settings.confidence_pct / 100, tried):
            why = Reason("better_in_shadow", evidence=told(found, settings.confidence_pct, tried))
            if settings.promotion == "automatic":
                return step(PROMOTED, version, why)
            if version not in now.advised:
                return step(ADVISED, version, why)
    return None


def told(found: Evidence, confidence_pct: float, tried: int = 1) -> Reason:
    """The evidence in words."""
    among = {"tried": str(tried)} if tried > 1 else {}
    return Reason(
        "evidence_among" if among else "evidence",
        score=f"{found.score:+.3f}",
        minutes=counted(found.minutes, "minute"),
        blocks=counted(found.blocks, "block"),
        capital=f"{found.capital:.3g}",
        needed=f"{found.needed(confidence_pct / 100, tried):.3g}",
        confidence=f"{confidence_pct:g}",
        **among,
    )
