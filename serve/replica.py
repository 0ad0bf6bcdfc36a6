"""One member in its own process: the version that answers, and the one that will from a minute on.

Which version answers is a function of the minute that is asked about, so however many ask, in whatever order, one minute
never hears two versions. A new version is loaded and tried beside the one that answers (``serve.load_check``); only then is
it given the first minute that nobody has asked about yet. One that fails leaves everything as it is.
"""

import asyncio
import json
import logging
import math
import os
import threading
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from core.features import schema_hash
from core.messages import FloatArray
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from serve.doorbell import Door, Said
from serve.gpu import cap_memory
from serve.half import halved
from serve.load_check import Bounds, Passed, Unfit, load_checked
from serve.models.base import Member
from serve.models.guard import Trusting
from serve.models.registry import load_member
from serve.shared_rows import Place, Reader

log = logging.getLogger(__name__)

KIND = "model"
KEPT_MINUTES = 2
"""For how long after its last minute the former version is kept, for calls that are late."""
PATIENCE_S = 30.0
"""A forecast that takes longer hangs: Serve, told so when it asks how the replica is, starts it anew."""


@dataclass(frozen=True, slots=True)
class _Reign:
    """A version, and the first minute (epoch ms) it answers for."""

    member: Member
    version: str
    minute: int


class MemberReplica:
    """A plain class; ``serve.app.deploy_members`` makes it a deployment."""

    def __init__(
        self,
        name: str,
        family: str,
        store_root: str,
        pin: str,
        bounds: Bounds,
        gpu_share: float = 0.0,
        door: str = "",
    ) -> None:
        """``pin`` names the file that holds the version to serve, so that a restarted replica serves the version
        that was last taken, not the one it was first deployed with. ``door``: where calls from this machine come in
        (``serve.doorbell``); empty: through Serve alone."""
        self._name = name
        self._family = family
        self._store = ArtifactStore(Path(store_root))
        self._pin = Path(pin)
        self._bounds = bounds
        # Before anything is loaded: torch is imported by those alone that have a share.
        self._capped = gpu_share > 0.0 and cap_memory(gpu_share, import_module("torch"))
        self._taking = asyncio.Lock()
        self._shared = Reader()
        self._deciding = threading.Lock()
        """Which version answers is decided and changed by one thread at a time: Serve's or the door's."""
        self._speaking = threading.Lock()
        """Members need not bear two callers at once."""
        self._newest = 0
        pinned = read_pin(self._pin)
        now = self._begun(pinned["version"], pinned["from"])
        before = pinned["before"] and self._begun(pinned["before"], 0)
        self._reigns = (before, now) if before else (now,)
        self._door = self._opened(Path(door)) if door else None

    def _opened(self, path: Path) -> Door | None:
        """Last of all, as whoever knocks is answered."""
        try:
            return Door(path, self._at_the_door)
        except OSError as error:
            log.warning(
                "%s has no door (%s); it is asked through Serve, which takes some milliseconds longer",
                self._name,
                error,
            )
            return None

    def _begun(self, version: str, minute: int) -> _Reign:
        """A version that was accepted before: here it may be slow, on a machine that starts, and where it fails its check
        it is loaded all the same, as the vote passes over what it says."""
        try:
            member, passed = self._load_checked(version, replace(self._bounds, deadline_ms=math.inf))
            return _Reign(member, passed.version, minute)
        except Unfit as error:
            log.warning("%s serves, but: %s", self._name, error)
        artifact = self._store.load(f"{KIND}/{self._name}/{version}", schema=schema_hash())
        return _Reign(load_member(self._family, artifact.path), artifact.version, minute)

    def _load_checked(self, version: str, bounds: Bounds) -> tuple[Member, Passed]:
        reference = f"{KIND}/{self._name}/{version}"
        member, passed = load_checked(self._store, reference, self._family, schema_hash(), bounds)
        if self._capped and device_of(member) == "cuda":
            member, found = halved(member, import_module("torch"))
            log.info("%s: %s", passed.version, found)
        return member, passed

    async def forecast(self, features: FloatArray, minute: int) -> Said:
        """(S, L, F) features → what the version of that minute says of them."""
        return self._said(features, minute)

    def _at_the_door(self, place: Place, minute: int) -> Said | None:
        """The same, of features that lie in memory; None where they do not (any more)."""
        rows = self._shared.rows(place)
        if rows is None:
            return None
        said = self._said(rows, minute)
        return said if self._shared.holds(place) else None

    def _said(self, rows: FloatArray, minute: int) -> Said:
        with self._deciding:
            self._newest = max(self._newest, minute)
            reign = self._of(minute)
        with self._speaking:
            mean, stdev = reign.member.forecast(rows)
            trust = reign.member.trust(rows) if isinstance(reign.member, Trusting) else None
        return Said(mean, stdev, reign.version, minute, trust)

    def _of(self, minute: int) -> _Reign:
        former, *later = self._reigns
        for now in later:
            if minute < now.minute:
                return former
            if minute >= now.minute + KEPT_MINUTES * MINUTE_MS:
                self._reigns = (now,)
            return now
        return former

    async def take(self, version: str, after: int = 0) -> tuple[str, int]:
        """Load and try ``version`` beside the one that answers, then let it answer from the first minute on that nobody
        has asked about (nor asked before ``after``, epoch ms: a replica that died knows nothing of earlier calls). Gives
        its whole name and that minute. Raises Unfit when it must not serve."""
        async with self._taking:
            with self._deciding:
                self._newest = max(self._newest, after)
            if version == self._reigns[-1].version:
                return version, self._reigns[-1].minute
            member, passed = await asyncio.to_thread(self._load_checked, version, self._bounds)
            minute = -1
            while not self._enthroned(member, passed.version, minute):
                # Whatever was asked while the pin was written was answered by the version before.
                with self._deciding:
                    minute, before = self._next(), self._answering().version
                await asyncio.to_thread(write_pin, self._pin, passed.version, minute, before)
            log.info("%s: %s answers from %d on (%.1f ms)", self._name, passed.version, minute, passed.took_ms)
            return passed.version, minute

    def _enthroned(self, member: Member, version: str, minute: int) -> bool:
        """From ``minute`` on it answers; False where somebody has asked about that minute meanwhile."""
        with self._deciding:
            if minute != self._next():
                return False
            before = self._answering()
            self._reigns = (_Reign(before.member, before.version, 0), _Reign(member, version, minute))
            return True

    def _next(self) -> int:
        """First minute nobody has asked about; not before a version's that was taken and has not come yet."""
        return max(self._newest + MINUTE_MS if self._newest else 0, self._reigns[-1].minute)

    def _answering(self) -> _Reign:
        """Who answers for the newest minute."""
        return self._of(self._newest)

    async def version(self) -> str:
        """The newest one taken."""
        return self._reigns[-1].version

    async def health(self) -> dict[str, Any]:
        """Process, versions that are loaded, and where the newest one computes."""
        loaded = [reign.version for reign in self._reigns]
        return {"pid": os.getpid(), "versions": loaded, "device": device_of(self._reigns[-1].member)}

    def check_health(self) -> None:
        """What Serve asks every other second. Raises RuntimeError where a forecast hangs at the door."""
        if self._door is not None:
            self._door.look(PATIENCE_S)

    async def pid(self) -> int:
        """Process id, for tests that kill it."""
        return os.getpid()


def device_of(member: Member) -> str:
    """``cpu`` or ``cuda``: where a member, or the one under its guard, computes."""
    device = getattr(getattr(member, "member", member), "device", "cpu")
    return str(device).partition(":")[0]


def write_pin(path: Path, version: str, minute: int = 0, before: str = "") -> None:
    """Store atomically which version answers, from which minute on, and which before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps({"version": version, "from": minute, "before": before}), encoding="utf-8")
    os.replace(draft, path)


def read_pin(path: Path) -> dict[str, Any]:
    """``version``, ``from`` and ``before``, as ``write_pin`` stored them."""
    return {"from": 0, "before": ""} | json.loads(path.read_text(encoding="utf-8"))
