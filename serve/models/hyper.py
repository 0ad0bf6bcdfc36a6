"""Hyper-parameters by name: which a family has, and values from outside (settings, a search, a file) made into them."""

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from core.errors import ConfigError

S = TypeVar("S")


def defaults_of(settings: type) -> dict[str, Any]:
    """Name → default value of every hyper-parameter of a ``Settings`` class."""
    return {
        f.name: f.default if f.default is not MISSING else f.default_factory()  # type: ignore[misc]
        for f in fields(settings)
    }


def made(settings: type[S], family: str, values: Mapping[str, Any]) -> S:
    """``settings`` with these values in place of defaults; ConfigError naming one that is not there or does not fit."""
    known = defaults_of(settings)
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ConfigError(
                f"family {family!r} has no hyper-parameter {name!r}{hint}; it has: {', '.join(known) or 'none'}"
            )
        wanted = type(known[name])
        fits = isinstance(value, wanted) or (
            isinstance(value, int | float) and (wanted is float or (wanted is int and float(value).is_integer()))
        )
        if not fits or isinstance(value, bool) is not (wanted is bool):
            raise ConfigError(f"family {family!r}: {name} is {value!r}; a {wanted.__name__} is expected")
        if isinstance(value, int | float) and not value >= 0:
            raise ConfigError(f"family {family!r}: {name} is {value!r}; it cannot be negative")
    return settings(**{name: type(known[name])(value) for name, value in values.items()})
