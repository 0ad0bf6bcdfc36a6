"""What a finished fold leaves on disk: its members, their forecasts of its test part, and what each candidate earned.

A fold is one folder named by a key of all that its content depends on. It appears by one rename when it is whole, so a
run that was killed finds either a finished fold or none, and never does a finished one again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from core.errors import DataError, TimedOut
from data.artifacts import sha256_of
from serve.models.base import Member
from tune.candidates import Track

HEAD, MEAN, STDEV = "fold.json", "mean_bps.npy", "stdev_bps.npy"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecast:
    """What the members of one fold said of its test part."""

    versions: tuple[str, ...]
    mean_bps: np.ndarray
    """(M, S, T) float32, basis points; NaN where nobody could be asked. Read from disk as it is needed."""
    stdev_bps: np.ndarray
    notes: dict[str, dict[str, float]]
    """Member → what its training had to say."""


def key_of(content: Any) -> str:
    """Twelve digits that equal contents share."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]


class FoldStore:
    """Finished folds under one folder. Written by one process at a time: whoever writes holds ``lock``."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Raises TimedOut when another process works on these folds."""
        self.root.mkdir(parents=True, exist_ok=True)
        held = FileLock(self.root / ".lock")
        try:
            held.acquire(timeout=0)
        except Timeout:
            raise TimedOut(
                f"{self.root}: another walk-forward of this market is running; wait for it, or stop it (what it has done is kept)"
            ) from None
        try:
            yield
        finally:
            held.release()

    def forecast(self, number: int, key: str) -> Forecast | None:
        """What the fold of this key left; None where it is not finished. DataError when it is damaged."""
        folder = self.folder(number, key)
        try:
            head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DataError(f"{folder}: not readable ({error}); delete it and the fold is computed again") from None
        if head.get("format") != FORMAT:
            return None
        for name, digest in head["files"].items():
            if not (folder / name).exists() or sha256_of(folder / name) != digest:
                raise DataError(f"{folder / name}: damaged; delete {folder} and the fold is computed again")
        return Forecast(
            versions=tuple(head["versions"]),
            mean_bps=np.load(folder / MEAN, mmap_mode="r"),
            stdev_bps=np.load(folder / STDEV, mmap_mode="r"),
            notes=head["notes"],
        )

    def keep_forecast(
        self,
        number: int,
        key: str,
        members: Mapping[str, Member],
        notes: dict[str, dict[str, float]],
        mean_bps: np.ndarray,
        stdev_bps: np.ndarray,
        about: Mapping[str, Any],
    ) -> Forecast:
        """Write a finished fold, and give it back as ``forecast`` does."""
        folder = self.folder(number, key)
        draft = self._draft(folder)
        versions = []
        for name, member in members.items():
            place = draft / name
            place.mkdir()
            member.save(place)
            files = {p.name: sha256_of(p) for p in sorted(place.iterdir())}
            versions.append(f"fold{number}.{key_of(files)[:8]}")
        np.save(draft / MEAN, mean_bps.astype(np.float32, copy=False))
        np.save(draft / STDEV, stdev_bps.astype(np.float32, copy=False))
        head = {
            "format": FORMAT,
            "key": key,
            "versions": versions,
            "members": list(members),
            "notes": notes,
            "files": {name: sha256_of(draft / name) for name in (MEAN, STDEV)},
            "about": dict(about),
        }
        (draft / HEAD).write_text(json.dumps(head, indent=1, default=float), encoding="utf-8")
        self._seal(draft, folder)
        found = self.forecast(number, key)
        assert found is not None
        return found

    def track(self, number: int, key: str) -> Track | None:
        """What the candidates' accounts did in the fold, judged under the rules of this key."""
        path = self._track(number, key)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as stored:
            return Track(minute=stored["minute"], growth=stored["growth"])

    def keep_track(self, number: int, key: str, track: Track) -> None:
        path = self._track(number, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        np.savez(draft, minute=track.minute, growth=track.growth)
        os.replace(draft, path)

    def folder(self, number: int, key: str) -> Path:
        """Where a finished fold lies."""
        return self.root / f"fold-{number:02d}-{key}"

    def _track(self, number: int, key: str) -> Path:
        return self.root / f"candidates-{number:02d}-{key}.npz"

    def _draft(self, folder: Path) -> Path:
        draft = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        return draft

    def _seal(self, draft: Path, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)
