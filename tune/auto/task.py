"""What a search is about, as its processes read it: the market, the cut of its time, how much is learned from.

It lies in the search's folder, so that a process of a trial needs no more than that folder's name.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from core.errors import DataError
from core.features import HISTORY
from core.units import MINUTE_MS, Instrument
from data.lake import Lake
from tune.auto.space import FAMILIES, Space
from tune.dataset import SPREAD_BARS, also_of
from tune.folds import Fold, walk_forward
from tune.stored_set import content_of

FILE = "task.json"
FOLDS = 4
HELD_OUT = 0.2
"""Share of the time at its end that no trial sees: the finalists are judged on it, once."""
FIRST_SHARE = 0.5
"""Share of the searched time that the first fold learns on."""
LEAST_TEST = 240
"""Minutes of a test part: fewer hold no more than a handful of forecasts that do not overlap."""
LOOK_BACK = HISTORY - 1
NINTHS = (1, 3, 9)
"""Rungs: how many ninths of the samples a trial learns from before it is judged and, if it is among the worse, ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One search. Times are minute indices from ``origin``."""

    lake: str
    """Folder of the bars."""
    instruments: tuple[str, ...]
    origin: int
    """Open of minute index 0, epoch ms."""
    minutes: int
    """All of them that have a known return."""
    horizon: int
    searched: int
    """Trials see [0, searched); what follows is held out."""
    folds: tuple[Fold, ...]
    purge: int
    seed: int = 0
    samples: int = 60_000
    """A fold of a whole trial learns from about as many at most."""
    judged: int = 3_000
    """And is judged on about as many at most, evenly over its test part: forecasts of minutes that lie closer than half a
    horizon tell nearly the same twice."""

    @property
    def rows(self) -> tuple[Instrument, ...]:
        return tuple(Instrument.parse(text) for text in self.instruments)

    @property
    def final(self) -> Fold:
        """Learn on all that was searched, be judged on what was held out."""
        return Fold(LOOK_BACK, self.searched - self.purge, self.searched, self.minutes)

    @property
    def shortest_past_days(self) -> float:
        """Days that the first fold learns from."""
        return (self.folds[0].train_end - self.folds[0].train_first) / 1_440

    def ms(self, index: int) -> int:
        return self.origin + index * MINUTE_MS

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        try:
            stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
            stored["instruments"] = tuple(stored["instruments"])
            stored["folds"] = tuple(
                Fold(**{**fold, "left_out": tuple(map(tuple, fold["left_out"]))}) for fold in stored["folds"]
            )
            return cls(**stored)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{folder / FILE}: not the description of a search ({error})") from None


def cut(
    lake: Path, instruments: Iterable[Instrument], origin: int, minutes: int, *, horizon: int, purge: int, seed: int
) -> Task:
    """Cut ``minutes`` from ``origin`` on into folds and a part held out; DataError when they are too few."""
    usable = minutes - horizon
    searched = LOOK_BACK + int((usable - LOOK_BACK) * (1.0 - HELD_OUT))
    test = int((searched - LOOK_BACK) * (1.0 - FIRST_SHARE)) // FOLDS
    names = tuple(map(str, instruments))
    if test < LEAST_TEST:
        least = LOOK_BACK + horizon + int(LEAST_TEST * FOLDS / (1.0 - FIRST_SHARE) / (1.0 - HELD_OUT)) + FOLDS
        raise DataError(
            f"{minutes:,} minutes of {', '.join(names)} are too few for a search: it needs {least:,} "
            f"({least / 1_440:.1f} days), of which features look back {LOOK_BACK:,}; import more days or ask for a longer "
            "span (--days)"
        )
    return Task(
        lake=str(lake),
        instruments=names,
        origin=origin,
        minutes=usable,
        horizon=horizon,
        searched=searched,
        folds=walk_forward(searched, FOLDS, purge=purge, first=LOOK_BACK, first_share=FIRST_SHARE, embargo=purge),
        purge=purge,
        seed=seed,
    )


def key_of(task: Task, space: Space, code: str) -> str:
    """Names a search by all that its trials depend on: equal data, cut, families, ranges and code give the same one, so
    that it goes on where it was."""
    lake = Lake(Path(task.lake))
    start, end = task.ms(-SPREAD_BARS), task.ms(task.minutes + task.horizon)
    content = {
        "task": asdict(task) | {"lake": ""},
        "data": content_of(lake, task.rows, start, end),
        "horizons": also_of(task.horizon),
        "code": code,
        "space": {name: [repr(r) for r in (*space.ranges(name), *FAMILIES[name].ranges)] for name in space.families},
        "rungs": NINTHS,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]
