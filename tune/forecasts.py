"""What trained members say of every minute of a cut, made in batches before the account goes through it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from config.settings import Settings
from core.units import MINUTE_MS
from data.artifacts import Artifact
from data.market import MarketCut, MarketSource
from serve.models.base import Member
from serve.models.registry import load_member
from tune.samples import forecast
from tune.simulate import Forecasts
from tune.spool import room_for


def forecasts_of(
    source: MarketSource,
    settings: Settings,
    market: MarketCut,
    found: Mapping[str, Artifact],
    walked: Callable[[int], None] = lambda minutes: None,
    folder: Path | None = None,
) -> Forecasts:
    """Forecasts over ``market.bars``; NaN before the first decided minute, and throughout of a member that is absent.

    ``walked`` is told how many minutes are forecast. Memory is that of one chunk of features, and of the answers where
    there is no ``folder`` to keep them in.
    """
    names = tuple(member.name for member in settings.rules.models.enabled)
    members: dict[str, Member] = {n: load_member(found[n].family, found[n].path) for n in names if n in found}
    history = (market.first_minute - market.start_minute) // MINUTE_MS
    rows, minutes = market.bars.shape[:2]
    bars = 0

    def counted(more: int) -> None:
        nonlocal bars
        bars += more
        walked(bars // rows)

    mean, stdev = (room_for((len(names), rows, minutes), folder, np.float32) for _ in range(2))
    mean[:] = stdev[:] = np.nan
    at = [names.index(name) for name in members]
    told = forecast(
        source.lake, market.instruments, market.start_minute, history, minutes, members, walked=counted, folder=folder
    )
    mean[at, :, history:], stdev[at, :, history:] = told
    versions = tuple(found[name].version if name in found else "" for name in names)
    return Forecasts(members=names, versions=versions, mean_bps=mean, stdev_bps=stdev)
