"""Families of members by name. A family's module is imported when it is asked for, so that a replica that
serves a ridge regression does not carry torch (about 180 MB) in its process, nor LightGBM."""

import pickle
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

from core.errors import ConfigError, DataError
from serve.models.base import Member
from serve.models.guard import with_guard
from serve.models.hyper import defaults_of, made

FAMILIES = {
    "ridge": ("serve.models.ridge", "Ridge"),
    "lightgbm": ("serve.models.boosted", "Boosted"),
    "tcn": ("serve.models.tcn", "Tcn"),
    "gru": ("serve.models.gru", "Gru"),
    "patch": ("serve.models.patch", "Patch"),
    "rules": ("serve.models.rules", "ChartRules"),
    "sentiment": ("serve.models.sentiment", "SentimentMember"),
    "rl": ("serve.models.rl", "RlPolicy"),
}

NETWORKS = frozenset({"tcn", "gru", "patch"})
"""Torch networks over a sequence: they gain from a GPU."""
USES_TORCH = NETWORKS | {"rl"}
UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError),
    # The name of the error that torch's reader raises; nothing is unpickled here.
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)
"""What readers of npz, JSON, torch and trees raise at bytes that are not theirs."""


def _family(family: str) -> Any:
    if family not in FAMILIES:
        raise ConfigError(f"no model family {family!r}; there are: {', '.join(sorted(FAMILIES))}")
    module, name = FAMILIES[family]
    return getattr(import_module(module), name)


def hyper_parameters(family: str) -> dict[str, Any]:
    """Name → default of everything that ``new_member`` takes for this family."""
    return defaults_of(_family(family).Settings)


def new_member(family: str, **hyper: Any) -> Member:
    """An untrained member with these hyper-parameters; ConfigError names one that its family does not have."""
    found = _family(family)
    made(found.Settings, family, hyper)
    return found(**hyper)


def load_member(family: str, folder: Path) -> Member:
    """The member stored in an artifact's folder, with its guard. DataError names a folder that holds none."""
    found = _family(family)
    try:
        return with_guard(found.load(folder), folder)
    except UNREADABLE as error:
        text = (str(error).strip().splitlines() or [""])[0][:200]
        raise DataError(
            f"{folder}: holds no {family} member that can be read ({type(error).__name__}: {text}); train it again"
        ) from error
