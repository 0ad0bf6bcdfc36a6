"""What a training that is killed goes on from: one file a seed, written whole or not at all."""

import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = "2"
"""Of the file: one of another format begins the seed anew."""


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
        with fresh.open("wb") as file:
            pickle.dump((FORMAT, done, curve, state), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)

    def load(self, seed: int) -> Checkpoint | None:
        """The newest of a seed; None without one, or with one that cannot be read: then the seed begins anew."""
        try:
            # Our own file, in our own folder: nobody else's pickle is read.
            format_, *parts = pickle.loads(self._path(seed).read_bytes())  # noqa: S301
            return Checkpoint(*parts) if format_ == FORMAT else None
        except FileNotFoundError:
            return None
        except (pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError, ImportError):
            return None

    def clear(self) -> None:
        """The training is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, seed: int) -> Path:
        return self.folder / f"seed-{seed}.pkl"
