"""The ensemble's tuned weights, as artifacts."""

import json

from core.errors import DataError
from core.selection import WeightTable
from data.artifacts import ArtifactStore

KIND, NAME, FILE = "weights", "ensemble", "weights.json"


def newest_weights(store: ArtifactStore, before: int) -> str | None:
    """Reference of the newest weights that were tuned on bars closed by ``before`` (epoch ms); None without any."""
    artifact = store.latest(KIND, NAME, ends_by=before)
    return None if artifact is None else f"{KIND}/{NAME}/{artifact.version}"


def read_weights(store: ArtifactStore, reference: str) -> WeightTable:
    """The table behind a reference. Raises DataError naming the file when it is not one."""
    path = store.load(reference).path / FILE
    try:
        return WeightTable.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is no table of weights ({error}); tune again: python3 run.py tune") from error
