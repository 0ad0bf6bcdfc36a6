"""Read the settings: both files, then the environment, then ``--set``; faults become one clear line."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config import faults, keys
from config.files import read_json, shown
from config.overrides import ROOTS, Override, apply, from_command_line, from_environ
from config.settings import Config, Settings, TradingRules
from core.errors import ConfigError
from core.near_symbols import near_symbol

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder."""
CONFIG_DIR_VARIABLE = "MINUTEHAND_CONFIG_DIR"
FILES = {"config": "config.json", "rules": "trading_rules.json"}


def load_settings(
    config_dir: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
) -> Settings:
    """Return the settings of this run.

    ``config_dir`` holds both files; by default the folder that ``MINUTEHAND_CONFIG_DIR`` names, else ``config/``.
    ``environ`` defaults to the process environment; ``overrides`` are texts like ``trade.invest_pct=20``, which win
    over it. Raises ConfigError, one line.
    """
    environ = os.environ if environ is None else environ
    folder = Path(config_dir or environ.get(CONFIG_DIR_VARIABLE) or ROOT / "config")
    changes = [*from_environ(environ), *from_command_line(overrides)]
    return Settings(
        config=_load("config", Config, folder, changes), rules=_load("rules", TradingRules, folder, changes)
    )


def _load(root: str, model: Any, folder: Path, changes: list[Override]) -> Any:
    name = shown((folder / FILES[root]).absolute(), ROOT)
    remedy = _remedy(folder, name)
    tree = read_json(folder / FILES[root], name, remedy)
    tree.pop("$schema", None)
    sources: dict[keys.Path, str] = {}
    for change in changes:
        if change.root == root:
            sources[apply(change, tree)] = change.source
    try:
        # Strict JSON mode: lists become tuples and numbers Decimals, but "20" is no number and true is not 1.
        return model.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        others = {FILES[other]: ROOTS[other] for other in FILES if other != root}
        path, text = faults.explain(model, error, others)
        source = next((said for place, said in sources.items() if place[: len(path)] == path[: len(place)]), name)
        raise ConfigError(f"{source}: {keys.dotted(path)} {text}" if path else f"{source}: {text}") from None


def _remedy(folder: Path, name: str) -> str:
    """What to do about a settings file that is not there."""
    both = " and ".join(FILES.values())
    if folder.resolve() == (ROOT / "config").resolve():
        return f"take it back with 'git checkout {name}', or name the folder that holds it by {CONFIG_DIR_VARIABLE}"
    if not folder.is_dir():
        return (
            f"there is no folder {folder} either: give --config-dir (or {CONFIG_DIR_VARIABLE}) a folder that holds {both}, "
            "or leave it out to take config/ of the project"
        )
    return f"this folder has to hold {both}: copy them from config/ of the project and change the copies"


def check_symbols(settings: Settings, known: Mapping[str, set[str]]) -> None:
    """Raise ConfigError for the first instrument that its venue does not list.

    ``known`` maps a venue to the unified symbols it lists, e.g. ``{"binance": {"BTC/USDT", …}}``.
    """
    for index, row in enumerate(settings.config.trade.rows):
        listed = known.get(row.venue)
        where = f"config.json: trade.instruments[{index}] = {faults.show(str(row))}"
        if listed is None:
            raise ConfigError(
                f"{where}: {row.venue} was not reached, known venues: {', '.join(sorted(known)) or 'none'}"
            )
        if row.symbol not in listed:
            close = near_symbol(row.symbol, listed)
            hint = f"did you mean {row.venue}:{close}?" if close else f"it lists {len(listed)} other symbols"
            raise ConfigError(f"{where}: {row.venue} lists no {row.symbol}; {hint}")


def resolve_var(settings: Settings) -> Path:
    """Absolute path of the run-time folder (lake, journals, artifacts, logs). It need not exist yet."""
    return (ROOT / settings.config.var_dir).resolve()


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every verb with settings shares."""
    group = parser.add_argument_group("settings")
    change = "change one setting for this run, e.g. --set trade.invest_pct=20 (may be repeated)"
    group.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help=change)
    where = "folder with config.json and trading_rules.json (default: config)"
    group.add_argument("--config-dir", type=Path, default=None, metavar="FOLDER", help=where)


def from_arguments(args: argparse.Namespace) -> Settings:
    """Settings for a verb whose parser got ``arguments``."""
    return load_settings(args.config_dir, overrides=args.overrides)


def var_of(args: argparse.Namespace) -> Path:
    """As ``resolve_var`` for verbs that look at a running bot, or end it: they need no more of the settings than this
    folder, and a file that somebody broke meanwhile must not keep them from it. Its fault is told on standard error."""
    try:
        return resolve_var(from_arguments(args))
    except ConfigError as error:
        folder = Path(args.config_dir or os.environ.get(CONFIG_DIR_VARIABLE) or ROOT / "config")
        named = [
            c.text for c in (*from_environ(os.environ), *from_command_line(args.overrides)) if c.path == ("var_dir",)
        ]
        if not named:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                named.append(json.loads((folder / FILES["config"]).read_text(encoding="utf-8-sig")).get("var_dir"))
        text = named[-1] if named and isinstance(named[-1], str) else Config.model_fields["var_dir"].default
        print(f"warning: the settings cannot be used as they are: {error}", file=sys.stderr)
        return (ROOT / text).resolve()
