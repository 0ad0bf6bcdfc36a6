"""Taking up a search that Ray Tune left: of weights, or of models."""

import logging
import shutil
from pathlib import Path
from pickle import UnpicklingError

from ray import tune as ray_tune

log = logging.getLogger(__name__)


def taken_up(path: Path, trainable: object) -> ray_tune.Tuner | None:
    """The search that was left under ``path``, or None where there is none or it cannot be read."""
    if not ray_tune.Tuner.can_restore(path):
        return None
    try:
        return ray_tune.Tuner.restore(str(path), trainable, resume_unfinished=True, restart_errored=True)
    except (EOFError, ValueError, UnpicklingError) as error:
        # Killed while writing its state: the caller begins anew with what is on its own records, the ruins are kept.
        log.warning("the search left in %s cannot be taken up: %s", path, error)
        ruins = path.with_name(path.name + ".torn")
        shutil.rmtree(ruins, ignore_errors=True)
        path.rename(ruins)
        return None
