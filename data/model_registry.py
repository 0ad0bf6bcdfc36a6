"""The registry of models: which version of each member is champion, and every step that led there.

It lies beside the versions, in ``<artifacts>/model/registry.jsonl``: one line of JSON a step, appended only, on disk
before it takes effect. Scores of challengers lie in ``scores.jsonl`` in the same way. Several processes may write (a
person's command beside a running bot): a lock lets one at a time, and each decides on what stands there then.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from core.champions import Standing, standing
from core.errors import DataError, TimedOut
from core.messages import ModelStep
from core.reasons import from_plain, to_plain
from core.shadow import BlockScore
from data import plain
from data.artifacts import Artifact, ArtifactStore

KIND = "model"
STEPS, SCORES = "registry.jsonl", "scores.jsonl"
CANDIDATE = "candidate"
"""In a version's ``extra``: found by a search. Nobody takes it before somebody promoted it."""
WAIT_S = 30.0
T = TypeVar("T")
Rule = Callable[[Standing], ModelStep | None]
"""What to do, given where the member stands."""


class ModelRegistry:
    """Steps and scores under one folder (of an artifact store: ``<artifacts>/model``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / STEPS

    @classmethod
    def of(cls, store: ArtifactStore) -> "ModelRegistry":
        """The registry of a store's own models."""
        return cls(store.root / KIND)

    def steps(self, member: str | None = None) -> tuple[ModelStep, ...]:
        """All steps (of a member), oldest first. Raises DataError naming a line that is none."""
        read = _read(self.path, ModelStep)
        return tuple(_worded_again(s, self.path) for s in read if member is None or s.member == member)

    def standing(self, member: str) -> Standing:
        return self._standing(member, self.steps(member))

    def take(self, member: str, rule: Rule) -> ModelStep | None:
        """Let ``rule`` say what happens to ``member``, given how it stands now, and write that down.

        Nobody else writes in between. A step without a time gets the file system's. None where there is nothing to do.
        """
        with self._writing(STEPS) as when_ms:
            step = rule(self._standing(member, self.steps(member)))
            if step is None:
                return None
            if not step.at_ms:
                step = replace(step, at_ms=when_ms)
            said = to_plain(step.why)
            step = replace(step, said=json.dumps(said, ensure_ascii=False) if said else "")
            _append(self.path, [step])
            return step

    def scores(self) -> tuple[BlockScore, ...]:
        """Every block's score once: of two runs that scored the same one, the first."""
        found: dict[tuple[str, str, str, int], BlockScore] = {}
        for block in _read(self.folder / SCORES, BlockScore):
            found.setdefault((block.member, block.champion, block.challenger, block.begins_ms), block)
        return tuple(found.values())

    def keep_scores(self, blocks: Iterable[BlockScore]) -> None:
        with self._writing(SCORES):
            _append(self.folder / SCORES, blocks)

    def stamp(self) -> tuple[int, int]:
        """Changes whenever a step was written; cheap."""
        try:
            told = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return told.st_mtime_ns, told.st_size

    def _standing(self, member: str, steps: Iterable[ModelStep]) -> Standing:
        try:
            return standing(steps, member)
        except ValueError as error:
            raise DataError(f"{self.path}: {error}; written by a newer version? Update the bot") from None

    @contextmanager
    def _writing(self, name: str) -> Iterator[int]:
        """Nobody else writes while inside; gives the time of the file system, epoch ms."""
        lock = self.folder / f".{name}.lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(lock, timeout=WAIT_S):
                os.utime(lock)
                yield lock.stat().st_mtime_ns // 1_000_000
        except Timeout as error:
            raise TimedOut(f"{self.folder / name}: another process is writing to it since {WAIT_S:.0f} s") from error
        except OSError as error:
            raise DataError(f"{self.folder / name}: cannot be written ({error.strerror or error})") from error


def fitting(
    store: ArtifactStore,
    member: str,
    *,
    schema: str,
    where: Callable[[Artifact], bool],
    ends_by: int | None = None,
) -> Artifact | None:
    """The version of ``member`` to begin with: the champion where it may be used, else the newest that may, is not out and
    is no mere candidate of a search; None without any.

    May be used: of this feature schema, by ``where``, and with data that ended by ``ends_by`` (epoch ms).
    """
    now = ModelRegistry.of(store).standing(member)

    def may(artifact: Artifact) -> bool:
        return where(artifact) and artifact.version not in now.out and not artifact.extra.get(CANDIDATE)

    def is_champion(artifact: Artifact) -> bool:
        return where(artifact) and artifact.version == now.champion

    found = store.latest(KIND, member, schema=schema, ends_by=ends_by, where=is_champion) if now.champion else None
    return found or store.latest(KIND, member, schema=schema, ends_by=ends_by, where=may)


def _worded_again(step: ModelStep, path: Path) -> ModelStep:
    """The step with the reason that it was written with; an older version wrote its text alone."""
    try:
        return replace(step, why=from_plain(step.why, json.loads(step.said))) if step.said else step
    except (ValueError, DataError) as error:
        raise DataError(f"{path}: a step of {step.member}: {error}") from None


def _read(path: Path, kind: type[T]) -> list[T]:
    """Whole lines. A last one without its end was cut off by a crash, before it took effect."""
    try:
        *whole, _cut_off = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text ({error}); restore it from a copy") from None
    found = []
    for number, line in enumerate(whole, start=1):
        try:
            found.append(plain.loads(kind, line))
        except DataError as error:
            raise DataError(f"{path}: line {number}: {error}") from None
    return found


def _append(path: Path, messages: Iterable[object]) -> None:
    """On disk when this returns. Cuts off first what a crash left of a line."""
    text = "".join(plain.dumps(message) + "\n" for message in messages)
    with path.open("a+b") as file:
        file.seek(0)
        stored = file.read()
        whole = stored.rfind(b"\n") + 1
        if whole < len(stored):
            file.truncate(whole)
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
