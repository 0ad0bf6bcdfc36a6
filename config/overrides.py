"""Change single settings without editing the files: the environment and ``--set key=value``."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_origin

from config import faults, keys
from config.settings import Config, TradingRules
from core.errors import ConfigError

PREFIX = "MINUTEHAND__"
ROOTS: dict[str, Any] = {"config": Config, "rules": TradingRules}


@dataclass(frozen=True, slots=True)
class Override:
    """One changed value, and who changed it."""

    root: str
    """``config`` or ``rules``: which file it changes."""
    path: keys.Path
    text: str
    source: str
    """What the user is told: ``environment MINUTEHAND__TRADE__INVEST_PCT`` or ``--set trade.invest_pct``."""


def from_environ(environ: Mapping[str, str]) -> list[Override]:
    """Overrides named ``MINUTEHAND__TRADE__INVEST_PCT`` or, for the rules, ``MINUTEHAND__RULES__RISK__…``."""
    found = []
    for name in sorted(name for name in environ if name.upper().startswith(PREFIX)):
        parts = [part.lower() for part in name[len(PREFIX) :].split("__")]
        found.append(_routed(parts, environ[name], f"environment {name}"))
    return found


def from_command_line(overrides: Iterable[str]) -> list[Override]:
    """Overrides written ``trade.invest_pct=20``."""
    found = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {text}: write it as key=value, e.g. --set trade.invest_pct=20")
        found.append(_routed(key.strip().split("."), value.strip(), f"--set {key.strip()}"))
    return found


def _routed(parts: list[str], value: str, source: str) -> Override:
    if parts[0] in ROOTS and len(parts) > 1:
        return Override(parts[0], tuple(parts[1:]), value, source)
    for root, model in ROOTS.items():
        if parts[0] in keys.names(model, ()):
            return Override(root, tuple(parts), value, source)
    known = tuple(name for model in ROOTS.values() for name in keys.names(model, ()))
    close = faults.near(parts[0], known)
    hint = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
    raise ConfigError(f"{source}: there is no section {parts[0]!r}; {hint}")


def apply(override: Override, tree: dict[str, Any]) -> keys.Path:
    """Set the value inside ``tree`` (the JSON object of its file) and return where, list entries by index."""
    root = ROOTS[override.root]
    here: Any = tree
    done: keys.Path = ()
    for part in override.path[:-1]:
        place = _place(here, part, override, done)
        if isinstance(here, dict) and place not in here:
            here[place] = {}
        here = here[place]
        done = (*done, place)
    place = _place(here, override.path[-1], override, done)
    done = (*done, place)
    here[place] = _value(override.text, keys.walk(root, done))
    return done


def _place(here: Any, part: str | int, override: Override, done: keys.Path) -> str | int:
    if isinstance(here, dict):
        return part
    if isinstance(here, list):
        named = [i for i, entry in enumerate(here) if isinstance(entry, dict) and entry.get("name") == part]
        if named:
            return named[0]
        if str(part).isdigit() and int(part) < len(here):
            return int(part)
        entries = tuple(str(e.get("name", i)) if isinstance(e, dict) else str(i) for i, e in enumerate(here))
        close = faults.near(str(part), entries)
        hint = f"did you mean {close!r}?" if close else f"entries: {', '.join(entries)}"
        raise ConfigError(f"{override.source}: {keys.dotted(done)} has no entry {part!r}; {hint}")
    raise ConfigError(f"{override.source}: {keys.dotted(done)} is a single value and has no {part!r} inside")


def _value(text: str, wanted: Any) -> Any:
    """Text keeps being text where text is wanted; a list may be written with commas; the rest is JSON."""
    if wanted is str:
        return None if text == "null" else text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        if get_origin(wanted) in (tuple, list):
            return [part.strip() for part in text.split(",") if part.strip()]
        return text
