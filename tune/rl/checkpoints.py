"""What a training that is killed goes on from: one file a seed, written whole or not at all, and read whole or not at all."""

import hashlib
import logging
import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

HEAD = b"minutehand agent 3\n"
"""Before the digest of the rest: a file of another format begins its seed anew."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    done: int
    """Iterations."""
    curve: dict[str, Any]
    state: dict[str, Any]
    """Of ``tune.rl.runner.PpoLoop``: network, optimiser, counters, generators of chance, and the episodes it is in."""


class Checkpoints:
    """Those of one plan on one market, under a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, seed: int, done: int, curve: dict[str, Any], state: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(seed)
        fresh = path.with_suffix(".tmp")
        whole = pickle.dumps((done, curve, state))
        with fresh.open("wb") as file:
            file.write(HEAD + hashlib.sha256(whole).digest() + whole)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)

    def load(self, seed: int) -> Checkpoint | None:
        """The newest of a seed; None without one, or with one that is not as it was written: then the seed begins anew,
        and a warning says so. What a disk has damaged is not even unpickled: it could be read as anything."""
        path = self._path(seed)
        try:
            told = path.read_bytes()
        except FileNotFoundError:
            return None
        at = len(HEAD) + hashlib.sha256().digest_size
        if told[:at] != HEAD + hashlib.sha256(told[at:]).digest():
            log.warning("%s: not a checkpoint of this version, or damaged; the seed begins anew", path)
            return None
        # Our own file, in our own folder, as we wrote it: nobody else's pickle is read.
        return Checkpoint(*pickle.loads(told[at:]))  # noqa: S301

    def clear(self) -> None:
        """The training is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, seed: int) -> Path:
        return self.folder / f"seed-{seed}.pkl"
