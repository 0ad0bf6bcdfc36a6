"""The law of impact as learnt from our own fills, as artifacts."""

import json
from pathlib import Path

from core.errors import DataError
from core.execution.calibration import Calibration
from core.impact import PRIOR, ImpactLaw
from data.artifacts import Artifact, ArtifactStore

KIND, FILE = "impact", "law.json"
REAL, SIMULATED = "real", "simulated"
"""Names: learnt from fills of a real exchange, or of a simulated one, which tell of its assumptions only."""


def keep_law(
    store: ArtifactStore,
    found: Calibration,
    *,
    real: bool,
    span: tuple[int, int],
    instruments: tuple[str, ...],
    source: str,
) -> Artifact:
    """Store a new version; ``span`` is from the first fill to after the last, epoch ms."""
    law = found.law

    def write(folder: Path) -> None:
        (folder / FILE).write_text(
            json.dumps({**law._asdict(), "orders": found.orders}, indent=1) + "\n", encoding="utf-8"
        )

    return store.save(
        KIND,
        REAL if real else SIMULATED,
        write,
        family="square root and linear",
        schema="",
        span=span,
        instruments=instruments,
        seed=0,
        code="1",
        source=source,
        metrics={**law._asdict(), "orders": float(found.orders), "scale_bps": found.scale_bps},
    )


def newest_law(store: ArtifactStore, before: int, *, real_only: bool) -> str | None:
    """Reference of the newest law whose fills had ended by ``before`` (epoch ms); one of real fills where there is one.
    None without any. With ``real_only`` simulated fills do not count."""
    for name in (REAL,) if real_only else (REAL, SIMULATED):
        artifact = store.latest(KIND, name, ends_by=before)
        if artifact is not None:
            return f"{KIND}/{name}/{artifact.version}"
    return None


def read_law(store: ArtifactStore, reference: str | None) -> ImpactLaw:
    """The law behind a reference, the prior for None. Raises DataError naming the file when it is not one."""
    if reference is None:
        return PRIOR
    path = store.load(reference).path / FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        law = ImpactLaw(*(float(told[name]) for name in ImpactLaw._fields))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: is no law of impact ({error}); make it anew: python3 run.py tca --calibrate"
        ) from error
    if not all(0.0 < value < 1e3 for value in law):
        raise DataError(f"{path}: {law} is no law of impact; remove that version, or python3 run.py tca --calibrate")
    return law
