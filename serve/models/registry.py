"""Families of members by name. A family's module is imported when it is asked for, so that a replica that
serves a ridge regression does not carry torch (about 180 MB) in its process."""

from importlib import import_module
from pathlib import Path

from core.errors import ConfigError
from serve.models.base import Member
from serve.models.guard import with_guard

FAMILIES = {
    "ridge": ("serve.models.ridge", "Ridge"),
    "tcn": ("serve.models.tcn", "Tcn"),
    "rules": ("serve.models.rules", "ChartRules"),
    "sentiment": ("serve.models.sentiment", "SentimentMember"),
    "rl": ("serve.models.rl", "RlPolicy"),
}

USES_TORCH = frozenset({"tcn", "rl"})


def _family(family: str) -> type:
    if family not in FAMILIES:
        raise ConfigError(f"no model family {family!r}; there are: {', '.join(sorted(FAMILIES))}")
    module, name = FAMILIES[family]
    return getattr(import_module(module), name)


def new_member(family: str) -> Member:
    """An untrained member."""
    return _family(family)()


def load_member(family: str, folder: Path) -> Member:
    """The member stored in an artifact's folder, with its guard."""
    return with_guard(_family(family).load(folder), folder)
