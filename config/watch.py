"""How much is traded may be changed while the bot runs: the files of the settings are looked at again every minute.

Only what sizes an order is taken over (``RELOADED``); everything else waits for a restart, and is told so. A file that
cannot be read, or holds what is not allowed, changes nothing: what held before holds on.
"""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.load import CONFIG_DIR_VARIABLE, FILES, ROOT, load_settings
from config.meanings import flat
from config.overrides import PREFIX
from config.settings import Settings
from core.errors import ConfigError
from core.messages import SETTINGS_REFUSED
from core.params import TradeSettings

RELOADED = ("invest_pct", "min_order_usdt", "max_pct", "capital_pct", "capital_usdt")
"""Keys of ``trade`` that a running bot takes over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSource:
    """Where a run's settings came from, so that they can be read again."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    """The variables that change settings, as they were when the run began."""
    overrides: tuple[str, ...] = ()
    """Texts of ``--set``. Both win over the files, so what they name does not change in mid-run."""

    @classmethod
    def from_arguments(cls, args: argparse.Namespace, environ: Mapping[str, str] | None = None) -> "ConfigSource":
        """Of a verb whose parser got ``config.load.arguments``."""
        environ = os.environ if environ is None else environ
        folder = Path(args.config_dir or environ.get(CONFIG_DIR_VARIABLE) or ROOT / "config").absolute()
        ours = {name: value for name, value in environ.items() if name.upper().startswith(PREFIX)}
        return cls(folder=folder, environ=ours, overrides=tuple(args.overrides))

    def load(self) -> Settings:
        """Raises ConfigError."""
        return load_settings(self.folder, self.environ, self.overrides)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a look at the file found."""

    trade: TradeSettings
    """What holds from now on."""
    lines: tuple[str, ...]
    """For people and the record: what changed, what waits, or why nothing did."""
    refused: bool = False
    """The file cannot be used as it stands."""


class TradeWatch:
    """Watches one run's files. ``trade`` is what the run was planned with."""

    def __init__(self, source: ConfigSource, trade: TradeSettings) -> None:
        self._source = source
        self._paths = tuple(source.folder / name for name in FILES.values())
        self._fault = ""
        self._settings: Settings | None = None
        self._trade = trade
        # Never looked: a process that was started again takes over what its forerunner had.
        self._stamp: tuple[tuple[int, int] | None, ...] = ()

    def look(self) -> Change | None:
        """Read the files if one was written to since the last look; None where there is nothing new to tell."""
        stamp = tuple(_stamped(path) for path in self._paths)
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            found = self._source.load()
        except ConfigError as error:
            before, self._fault = self._fault, "; ".join(str(error).splitlines())
            if self._fault == before:
                return None  # saved again with the same fault: told once
            return Change(trade=self._trade, lines=(f"{SETTINGS_REFUSED}{self._fault}",), refused=True)
        lines = [*self._taken_over(found), *self._waiting(found)]
        if self._fault and not lines:
            lines.append("back to what holds, the files can be used again")
        self._settings, self._fault = found, ""
        return Change(trade=self._trade, lines=tuple(lines)) if lines else None

    def _taken_over(self, found: Settings) -> list[str]:
        new = {name: getattr(found.config.trade, name) for name in RELOADED}
        lines = [
            f"trade.{name} {_shown(getattr(self._trade, name))} → {_shown(value)}"
            for name, value in new.items()
            if value != getattr(self._trade, name)
        ]
        if lines:
            # What is wanted of other instruments than those that are traded waits with them.
            new["max_pct"] = {k: v for k, v in new["max_pct"].items() if k in self._trade.instruments}
            self._trade = self._trade.model_copy(update=new)
        return lines

    def _waiting(self, found: Settings) -> list[str]:
        if self._settings is None:
            return []
        before, after = flat(self._settings), flat(found)
        taken = tuple(f"trade.{name}" for name in RELOADED)
        keys = [k for k in sorted(before.keys() | after.keys()) if before.get(k) != after.get(k)]
        return [f"{key} waits for a restart" for key in keys if not key.startswith(taken)]


def _stamped(path: Path) -> tuple[int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v:g}" for k, v in value.items()) or "none"
    return "none" if value is None else f"{value:g}"
