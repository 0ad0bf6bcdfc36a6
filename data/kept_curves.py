"""Volume curves in a run's folder. Apart from how they are learnt: the executor only reads them, and comes up, or back after
its death, without the lake's libraries.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.errors import DataError
from core.messages import FloatArray
from core.units import Instrument

FILE = "volume_curves.npz"


def keep(run_dir: Path, instruments: Sequence[Instrument], curves: FloatArray) -> None:
    """Write curves into a run's folder."""
    np.savez(run_dir / FILE, instruments=np.array([str(i) for i in instruments]), curves=curves)


def kept(run_dir: Path) -> dict[Instrument, FloatArray]:
    """The curves in a run's folder; none where it has none. Raises DataError for a file that cannot be read."""
    path = run_dir / FILE
    try:
        with np.load(path, allow_pickle=False) as found:
            names, curves = found["instruments"].tolist(), found["curves"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); remove it, and the schedule's volume curve is even"
        ) from None
    return {Instrument.parse(name): np.ascontiguousarray(row) for name, row in zip(names, curves, strict=True)}
