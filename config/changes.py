"""What a change of the settings allows that was not allowed before, key by key, in words and in money."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.faults import without_password
from config.load import load_settings
from config.meanings import Flat, Meaning, Way, flat, meaning_of, number, shown, usdt
from config.settings import Settings
from core.errors import ConfigError
from core.params import TradeSettings

KEPT = "settings.json"
"""What a paper or live run leaves in its folder: the settings it ran with."""
REPLAY = "run.json"
CHANGED = "changed.json"
"""What a run took over of ``trade`` while it ran."""
UNKNOWN = "a key that this version does not know"
HEADINGS = {
    "more": "allows MORE than before",
    "less": "allows less than before",
    "either": "changes what is traded; whether that is more or less, no rule can tell",
    "test": "changes what a backtest, replay or paper run says, not what live may do",
    "none": "changes nothing that is traded",
}
"""What a change does, the dangerous first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key that has another value now."""

    key: str
    what: str
    old: str
    """With its unit, as people read it; empty where there was none."""
    new: str
    old_usdt: float | None
    new_usdt: float | None
    effect: str
    """``more``, ``less``, ``either``, ``test`` or ``none``."""

    @property
    def effect_words(self) -> str:
        return HEADINGS[self.effect]

    def line(self) -> str:
        """``risk.max_order_pct: 10 % → 20 %   (one order is at most: 500.00 → 1,000.00 USDT)``."""
        money = ""
        if self.old_usdt is not None or self.new_usdt is not None:
            old, new = (_money(value) for value in (self.old_usdt, self.new_usdt))
            money = f": {old} → {new} USDT"
        return f"{self.key}: {self.old or '(not there)'} → {self.new or '(not there)'}   ({self.what}{money})"


def changes(old: Flat, new: Flat, equity: float) -> list[Change]:
    """Every key that differs, the dangerous ones first. A key that only one side has differs too."""
    found = [_change(key, old, new, equity) for key in dict.fromkeys([*new, *old]) if old.get(key) != new.get(key)]
    order = list(HEADINGS)
    return sorted(found, key=lambda change: order.index(change.effect))


def _change(key: str, old: Flat, new: Flat, equity: float) -> Change:
    meaning = meaning_of(key)
    before, after = old.get(key), new.get(key)
    if isinstance(before, list) and isinstance(after, list):
        # What stands on both sides says nothing of the change.
        gone, come = [v for v in before if v not in after], [v for v in after if v not in before]
        texts = (f"without {', '.join(map(str, gone))}" if gone else "", f"with {', '.join(map(str, come))}")
        said = (texts[0] or "all of them", texts[1] if come else "nothing more")
    else:
        said = (shown(key, before) if key in old else "", shown(key, after) if key in new else "")
    return Change(
        key=key,
        what=meaning.what if meaning is not None else UNKNOWN,
        old=said[0],
        new=said[1],
        # Beside what stands now, or one change would show in the money of others as well.
        old_usdt=usdt(key, {**new, key: before}, equity) if key in old else None,
        new_usdt=usdt(key, new, equity) if key in new else None,
        effect="either" if meaning is None or key not in old or key not in new else effect(meaning, before, after),
    )


def effect(meaning: Meaning, before: Any, after: Any) -> str:
    """What going from one value to the other does."""
    fixed = {Way.EITHER: "either", Way.TEST: "test", Way.NONE: "none"}
    if meaning.way in fixed:
        return fixed[meaning.way]
    if isinstance(before, list) and isinstance(after, list):
        # Whatever else was taken away: what has come was not allowed before.
        rises: bool | None = any(value not in before for value in after)
        if not rises and all(value in after for value in before):
            return "none"
    else:
        low, high = _level(meaning, before), _level(meaning, after)
        rises = None if low is None or high is None else high > low
    if rises is None:
        return "either"
    return "more" if rises == (meaning.way is Way.MORE) else "less"


def _level(meaning: Meaning, value: Any) -> float | None:
    """A number that rises with what the value says; a limit that is taken away is at its dangerous end."""
    if not isinstance(value, bool) and value == meaning.off:
        return math.inf if meaning.way is Way.MORE else -math.inf
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value in meaning.ranks:
        return float(meaning.ranks[value])
    return number(value)


def _money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


# What a run was made with


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Settings as something else has them: a run, or a folder of settings."""

    name: str
    settings: Flat
    at_ms: int = 0
    mode: str = ""


def keep_settings(run_dir: Path, settings: Settings, mode: str, run_id: str, at_ms: int) -> None:
    """Leave the settings in the folder of a run. They hold no secret but the address of Redis, which is cut.

    Raises ConfigError when the folder is another mode's: paper and live never share a journal."""
    claim(run_dir, mode)
    tree = settings.model_dump(mode="json")
    tree["config"]["redis_url"] = without_password(tree["config"]["redis_url"])
    told = {"mode": mode, "run_id": run_id, "at_ms": at_ms, "settings": tree}
    draft = run_dir / f"{KEPT}.part"
    draft.write_text(json.dumps(told, indent=1), encoding="utf-8")
    draft.replace(run_dir / KEPT)
    (run_dir / CHANGED).unlink(missing_ok=True)


def keep_change(run_dir: Path, trade: TradeSettings, minute: int) -> None:
    """Leave what a running bot took over of ``trade`` in mid-run, beside what it began with."""
    draft = run_dir / f"{CHANGED}.part"
    draft.write_text(json.dumps({"minute": minute, "trade": trade.model_dump(mode="json")}, indent=1), encoding="utf-8")
    draft.replace(run_dir / CHANGED)


def claim(run_dir: Path, mode: str) -> None:
    """Raise ConfigError when the folder holds the journal of another mode."""
    told = _read(run_dir / KEPT)
    if told is not None and told.get("mode") != mode:
        raise ConfigError(
            f"{run_dir} holds a {told.get('mode')} run, and {mode} never goes on from another mode's journal; "
            "move it aside, or name another instance"
        )


def kept_in(run_dir: Path, *, at_end: bool = False) -> Kept | None:
    """The settings that a run began with, or ended with (``at_end``); None where there are none that can be read."""
    for name in (KEPT, REPLAY):
        told = _read(run_dir / name)
        if told is not None and isinstance(told.get("settings"), Mapping):
            mode = str(told.get("mode", "replay"))
            changed = (_read(run_dir / CHANGED) or {}) if at_end else {}
            words = ", with what changed in mid-run" if changed else ""
            return Kept(
                name=f"the {mode} run {told.get('run_id', run_dir.name)}{words}",
                settings=_with(told["settings"], changed.get("trade")),
                at_ms=int(told.get("at_ms", 0)),
                mode=mode,
            )
    return None


def _with(tree: Mapping[str, Any], trade: Any) -> dict[str, Any]:
    """The settings as one level, with another ``trade`` where there is one."""
    if not isinstance(trade, Mapping):
        return flat(tree)
    return flat({**tree, "config": {**tree.get("config", {}), "trade": trade}})


def newest_replay(var: Path) -> Kept | None:
    """The newest replay that left its settings; folders are named by when they began."""
    folders = sorted((path.parent for path in (var / "runs").glob(f"*/{REPLAY}")), reverse=True)
    return next((kept for folder in folders if (kept := kept_in(folder, at_end=True)) is not None), None)


def newest_kept(var: Path, modes: Iterable[str] = ("paper", "live")) -> Kept | None:
    """The newest run of these modes that left its settings."""
    wanted = set(modes)
    folders = [path.parent for pattern in ("runs/*", "live/*") for path in var.glob(f"{pattern}/{KEPT}")]
    found = [kept for folder in folders if (kept := kept_in(folder, at_end=True)) is not None and kept.mode in wanted]
    return max(found, key=lambda kept: kept.at_ms, default=None)


def settings_at(named: Path, var: Path) -> Kept:
    """What ``--against`` names: a run's folder or its id, a folder with both settings files, or one of these files.

    The environment does not change what such a folder says. Raises ConfigError for anything else."""
    places = [named, var / "runs" / named, var / "live" / named]
    for place in (p.parent if p.is_file() else p for p in places if p.exists()):
        if (kept := kept_in(place, at_end=True)) is not None:
            return kept
        if (place / "config.json").is_file():
            return Kept(name=str(place), settings=flat(load_settings(place, environ={})))
    raise ConfigError(
        f"--against {named}: is neither a run that kept its settings (a folder of {var / 'runs'} or {var / 'live'}, or "
        "its name) nor a folder with config.json and trading_rules.json"
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None
