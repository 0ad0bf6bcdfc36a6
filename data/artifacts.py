"""Trained things on disk: models and ensemble weights, versioned, hashed, written whole or not at all.

One version is one folder ``<root>/<kind>/<name>/v0001`` with its files and a ``meta.json`` that holds each
file's SHA-256. A folder appears by a single rename after everything in it is on disk, so a reader never sees
half a version and a crash leaves only a ``.tmp-`` folder that nobody reads.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.features import features_told, first_difference, schema_hash

META = "meta.json"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One stored version. ``span`` is the data it learned from, [first, end) in epoch ms."""

    kind: str
    name: str
    version: str
    """``v0001.1f2e3d4c``: the number in its folder, and the start of the digest over its files."""
    family: str
    created_ms: int
    schema: str
    """Hash of the feature schema it was trained on; empty when it reads no features."""
    span: tuple[int, int]
    instruments: tuple[str, ...]
    seed: int
    code: str
    """Version of the code that made it."""
    source: str = ""
    """What data it learned from, in words (e.g. the name of the lake)."""
    metrics: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    """The features of its schema, in words; empty when it reads none, or was made before they were told."""
    files: dict[str, str] = field(default_factory=dict)
    """File name → SHA-256."""
    path: Path = Path()
    """Folder it lies in; not part of the stored text."""

    @property
    def reference(self) -> str:
        """What ``ArtifactStore.load`` takes: ``kind/name/version``."""
        return f"{self.kind}/{self.name}/{self.version}"


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ArtifactStore:
    """Versions of ``kind/name`` under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def save(
        self,
        kind: str,
        name: str,
        write: Callable[[Path], None],
        *,
        family: str,
        schema: str,
        span: tuple[int, int],
        instruments: tuple[str, ...],
        seed: int,
        code: str,
        created_ms: int | None = None,
        source: str = "",
        metrics: dict[str, float] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Artifact:
        """Let ``write(folder)`` fill a new version, seal it with hashes, and make it visible at once.

        Without ``created_ms`` the version is as old as its folder says.
        """
        parent = self._folder(kind, name)
        parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".tmp-", dir=parent))
        try:
            write(draft)
            files = {p.name: sha256_of(p) for p in sorted(draft.iterdir()) if p.is_file()}
            if not files:
                raise DataError(f"{kind}/{name}: nothing was written for this version; its writer must leave a file")
            digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:8]
            for path in draft.iterdir():
                _to_disk(path)
            number = 1 + max(self._numbers(kind, name), default=0)
            while True:
                final = parent / f"v{number:04d}"
                artifact = Artifact(
                    kind=kind,
                    name=name,
                    version=f"{final.name}.{digest}",
                    family=family,
                    created_ms=draft.stat().st_mtime_ns // 1_000_000 if created_ms is None else created_ms,
                    schema=schema,
                    span=span,
                    instruments=instruments,
                    seed=seed,
                    code=code,
                    source=source,
                    metrics=metrics or {},
                    extra=extra or {},
                    features=features_told() if schema == schema_hash() else (),
                    files=files,
                    path=final,
                )
                (draft / META).write_text(_dump(artifact), encoding="utf-8")
                _to_disk(draft / META)
                try:
                    # Two writers may want one number; the rename lets only one have it.
                    os.rename(draft, final)
                except OSError:
                    if not final.exists():
                        raise
                    number += 1
                    continue
                _to_disk(parent)
                return artifact
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def load(self, reference: str, *, schema: str | None = None) -> Artifact:
        """``kind/name/version``, or the newest of ``kind/name``, every file checked; DataError names what is wrong.

        ``schema`` is the feature schema the reader has; an artifact of another is refused.
        """
        kind, name, version = (*reference.split("/"), "", "")[:3]
        if not version:
            newest = self.latest(kind, name)
            if newest is None:
                raise DataError(f"no {kind}/{name} in {self.root}; train one with: python3 run.py train")
            version = newest.version
        artifact = self._meta(self._folder(kind, name) / version.partition(".")[0])
        if "." in version and artifact.version != version:
            raise DataError(f"{artifact.path}: holds version {artifact.version}, expected {version}")
        for file, expected in artifact.files.items():
            path = artifact.path / file
            if not path.is_file():
                raise DataError(f"{path}: missing from {artifact.reference}; train it again")
            if (found := sha256_of(path)) != expected:
                raise DataError(f"{path}: damaged, SHA-256 is {found[:12]}…, expected {expected[:12]}…; train it again")
        if schema is not None and artifact.schema != schema:
            differs = first_difference(artifact.features)
            raise DataError(
                f"{artifact.path}: trained on feature schema {artifact.schema[:12] or 'none'}, "
                f"expected {schema[:12]}{differs and f' ({differs})'}; train it again with: python3 run.py train"
            )
        return artifact

    def latest(
        self,
        kind: str,
        name: str,
        *,
        schema: str | None = None,
        ends_by: int | None = None,
        where: Callable[[Artifact], bool] | None = None,
    ) -> Artifact | None:
        """Newest version, or None. With ``schema`` only of that feature schema; with ``ends_by`` (epoch ms) only
        one whose data ended by then, so that a test on later data does not meet a model that has seen it."""
        for number in sorted(self._numbers(kind, name), reverse=True):
            artifact = self._meta(self._folder(kind, name) / f"v{number:04d}")
            if schema is not None and artifact.schema != schema:
                continue
            if ends_by is not None and artifact.span[1] > ends_by:
                continue
            if where is None or where(artifact):
                return artifact
        return None

    def _folder(self, kind: str, name: str) -> Path:
        for part in (kind, name):
            if not part or part.startswith(".") or "/" in part or "\\" in part:
                raise DataError(f"{part!r} cannot name an artifact: letters, digits, - and _ only")
        return self.root / kind / name

    def _numbers(self, kind: str, name: str) -> list[int]:
        folders = _folders(self._folder(kind, name))
        return [int(f[1:]) for f in folders if f[0] == "v" and f[1:].isdigit()]

    def _meta(self, folder: Path) -> Artifact:
        path = folder / META
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{path}: missing; no such version is stored") from None
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error}); remove the folder and train again") from None
        if stored.pop("format", None) != FORMAT:
            raise DataError(f"{path}: written by another version of this program (format is not {FORMAT})")
        try:
            stored["span"] = tuple(stored["span"])
            stored["instruments"] = tuple(stored["instruments"])
            stored["features"] = tuple(stored.get("features", ()))
            return Artifact(**stored, path=folder)
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: not the description of an artifact ({error})") from None

    # Last, because its name hides the builtin in every annotation that follows it.
    def list(self, kind: str | None = None) -> tuple[Artifact, ...]:
        """All versions (of a kind), by kind, name and number."""
        kinds = [kind] if kind else sorted(_folders(self.root))
        found = []
        for one in kinds:
            for name in sorted(_folders(self.root / one)):
                found += [self._meta(self._folder(one, name) / f"v{n:04d}") for n in sorted(self._numbers(one, name))]
        return tuple(found)


def _dump(artifact: Artifact) -> str:
    stored = asdict(artifact)
    del stored["path"]
    return json.dumps({"format": FORMAT} | stored, indent=1, sort_keys=True) + "\n"


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return [p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _to_disk(path: Path) -> None:
    """fsync a file or folder. Windows cannot open a folder for it, and does not need to."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
