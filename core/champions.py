"""Who speaks for a member: the champion among its versions, who challenges it, and how that came about.

A member's standing is nothing but the sum of its steps, in order. A step names a version; what each kind does:

- ``started``: a run began with this version as champion, because none was named or the named one does not fit.
- ``challenged``: the version forecasts in shadow from now on.
- ``promoted``: it is the champion now; the one before it goes on in shadow and is *watched* against it.
- ``advised``: it is better with the stated confidence, and the settings leave it to a person to promote it.
- ``confirmed``: the watch is over, the champion stays.
- ``rolled_back``: this version, which was champion before, is champion again; the one that it relieves is out.
- ``rejected``: the version is out: it challenges no more.
- ``serving``: a running bot answers with it from a minute on, which it names.
- ``refused``: a running bot could not take the champion over, for the reason it gives, and keeps what it has.

A person promotes and rolls back (``run.py models``), and the shadow of a running bot does (``core/succession.py``). The last
two kinds say what a bot made of that; they change no standing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from core.messages import ModelStep

STARTED, CHALLENGED, PROMOTED, ADVISED = "started", "challenged", "promoted", "advised"
CONFIRMED, ROLLED_BACK, REJECTED = "confirmed", "rolled_back", "rejected"
SERVING, REFUSED = "serving", "refused"
KINDS = (STARTED, CHALLENGED, PROMOTED, ADVISED, CONFIRMED, ROLLED_BACK, REJECTED, SERVING, REFUSED)
CROWNING = frozenset({STARTED, PROMOTED, ROLLED_BACK})
"""Kinds after which another version may be champion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A member's versions as they stand."""

    path: tuple[str, ...] = ()
    """The champions that led to this one, which is last; a roll-back goes back along it."""
    since_ms: int = 0
    """When the champion took its place."""
    watched: bool = False
    """The champion was promoted a while ago, and the one before it is still held against it."""
    out: frozenset[str] = frozenset()
    """Versions that challenge no more and are not started with."""
    challenged: tuple[str, ...] = ()
    """Versions that were held against this champion in shadow; how many bears on what their evidence must be."""
    advised: frozenset[str] = frozenset()

    @property
    def champion(self) -> str:
        """The version that serves; empty where none was ever named."""
        return self.path[-1] if self.path else ""

    @property
    def former(self) -> str:
        """The champion before this one; empty where there is none to go back to."""
        return self.path[-2] if len(self.path) > 1 else ""

    def after(self, step: ModelStep) -> "Standing":
        """The standing when ``step`` has happened. Raises ValueError for a kind that is none."""
        if step.kind == STARTED:
            return Standing(path=(step.version,), since_ms=step.at_ms, out=self.out - {step.version})
        if step.kind == PROMOTED:
            path = tuple(v for v in self.path if v != step.version)
            out = self.out - {step.version}
            return Standing(path=(*path, step.version), since_ms=step.at_ms, watched=bool(path), out=out)
        if step.kind == ROLLED_BACK:
            if step.version not in self.path:
                out = (self.out | set(self.path)) - {step.version}
                return Standing(path=(step.version,), since_ms=step.at_ms, out=out)
            at = self.path.index(step.version)
            out = (self.out | set(self.path[at + 1 :])) - {step.version}
            return Standing(path=self.path[: at + 1], since_ms=step.at_ms, out=out)
        if step.kind == CHALLENGED:
            return replace(self, challenged=tuple(dict.fromkeys((*self.challenged, step.version))))
        if step.kind == ADVISED:
            return replace(self, advised=self.advised | {step.version})
        if step.kind == CONFIRMED:
            return replace(self, watched=False)
        if step.kind == REJECTED:
            return replace(self, out=self.out | {step.version})
        if step.kind in (SERVING, REFUSED):
            return self
        raise ValueError(f"{step.kind!r} is no step; there are {', '.join(KINDS)}")


def standing(steps: Iterable[ModelStep], member: str) -> Standing:
    """Where ``member`` stands after ``steps`` (those of other members are passed over)."""
    found = Standing()
    for step in steps:
        if step.member == member:
            found = found.after(step)
    return found


def number_of(version: str) -> int:
    """3 of ``v0003.1f2e3d4c``; 0 where it has none."""
    digits = version.partition(".")[0].removeprefix("v")
    return int(digits) if digits.isdigit() else 0


def challengers(now: Standing, stored: Iterable[str], most: int) -> tuple[str, ...]:
    """Which of the ``stored`` versions are held against the champion: the newest ``most`` that came after it and are
    not out, newest first."""
    newer = [v for v in stored if number_of(v) > number_of(now.champion) and v not in now.out and v not in now.path]
    return tuple(sorted(newer, key=number_of, reverse=True)[:most])
