"""What is learned from, made once, kept beside the lake and mapped from there: memory is that of a piece.

Features of 50 symbols over a month are 1.5 GB, and a search trains on them in many processes. They are computed piece by
piece into files named by all that they depend on (bars, news, mood, features, code), and every process maps the same
ones. That name is the version of the data: a model's artifact holds it.
"""

from typing import Any

import numpy as np

from core.errors import DataError
from core.features import N_FEATURES, SEQUENCE, schema_hash
from core.units import MINUTE_MS, Instrument
from data.headlines import load_news
from data.lake import Lake
from data.schema import META_CONTENT, read_metadata
from serve.models.base import TrainingSet
from tune.array_store import Arrays, ArrayStore
from tune.dataset import SPREAD_BARS, check_length, check_size, readings_of, sample_rows
from tune.fold_store import key_of
from tune.samples import block_offsets, in_drawn_blocks, walk

FORMAT = 1
MOST_SAMPLES = 200_000
"""Samples learned from at most, drawn evenly over time and instruments: with more, nothing was learned better, and what is
gathered of each (its newest feature row) stays below 150 MB."""


def content_of(lake: Lake, instruments: tuple[Instrument, ...], start: int, end: int) -> dict[str, Any]:
    """All in a lake that features and targets of these instruments in [start, end) (epoch ms) depend on."""
    news = load_news(lake.root)
    return {
        "bars": {
            str(i): [(p.name, read_metadata(p).get(META_CONTENT)) for p in lake.files(i, start, end)]
            for i in instruments
        },
        "news": [(h.key, h.knowable_ms, h.score) for h in news.headlines if h.knowable_ms < end],
        "funding": [(f.knowable_ms, f.base, f.rate_bps) for f in news.funding if f.knowable_ms < end],
        "mood": [reading for reading in readings_of(lake.root) if reading[0] < end],
        "schema": schema_hash(),
    }


def stored_set(
    lake: Lake,
    instruments: tuple[Instrument, ...],
    first_minute: int,
    minutes: int,
    horizon: int,
    also: tuple[int, ...],
    store: ArrayStore,
    *,
    code: str,
    most: int = MOST_SAMPLES,
    seed: int = 0,
    piece: int | None = None,
) -> tuple[TrainingSet, str]:
    """What ``train`` learns from: (``tune.dataset.training_set`` of the same minutes, and of what bars before them tell, with arrays mapped from ``store`` and at most about ``most`` of
    its samples; the version of the data). ``piece``: minutes computed at a time, by default what 128 MB hold."""
    check_length(minutes, horizon)
    end = first_minute + minutes * MINUTE_MS
    content = content_of(lake, instruments, first_minute - SPREAD_BARS * MINUTE_MS, end)
    about = [FORMAT, code, list(map(str, instruments)), first_minute, minutes, horizon, list(also)]
    version = key_of({"set": about} | content)
    shape = (len(instruments), minutes)
    shapes = {"features": (*shape, N_FEATURES), "filler": shape} | {f"ahead_{h}": shape for h in (horizon, *also)}

    def fill(into: Arrays) -> None:
        for name in (f"ahead_{h}" for h in (horizon, *also)):
            into[name][:] = np.nan
        # Bars end with the span: targets that would reach beyond it are not known.
        last = minutes - horizon
        for chunk in walk(lake, instruments, first_minute, 0, last, horizon=horizon, also=also, minutes=piece):
            at = slice(chunk.first, chunk.end)
            into["features"][:, at] = chunk.features[:, SEQUENCE - 1 :]
            into["filler"][:, at] = chunk.filler
            into[f"ahead_{horizon}"][:, at] = chunk.target_bps
            for h, ahead in chunk.also.items():
                into[f"ahead_{h}"][:, at] = ahead
        for chunk in walk(lake, instruments, first_minute, last, minutes, minutes=piece):
            at = slice(chunk.first, chunk.end)
            into["features"][:, at] = chunk.features[:, SEQUENCE - 1 :]
            into["filler"][:, at] = chunk.filler

    needed = 8 * sum(int(np.prod(shape)) for shape in shapes.values())
    if needed > store.most_bytes:
        raise DataError(
            f"features of {len(instruments)} instruments over {minutes / 1_440:.0f} days take {needed / 2**30:.1f} GB on "
            f"disk, {store.most_bytes / 2**30:.0f} GB may be kept: learn from fewer days, or let backtest --walk-forward "
            f"draw from all of them"
        )
    arrays, _ = store.get(version, shapes, fill)
    data = TrainingSet(
        features=arrays["features"],
        target_bps=arrays[f"ahead_{horizon}"],
        rows=sample_rows(arrays["features"], arrays[f"ahead_{horizon}"], arrays["filler"] != 0.0),
        first_minute=first_minute,
        horizon=horizon,
        also={h: arrays[f"ahead_{h}"] for h in also},
    )
    check_size(data, instruments, lake.root)
    return thinned(data, most, seed), version


def thinned(data: TrainingSet, most: int, seed: int = 0) -> TrainingSet:
    """Up to about ``most`` of the samples, in whole blocks an instrument, evenly over time, as ``tune.samples.draw`` takes
    them."""
    share = min(1.0, most / max(data.size, 1))
    if share >= 1.0:
        return data
    offset = block_offsets(data.features.shape[0], seed)[data.rows[:, 0]]
    return data.where(in_drawn_blocks(data.first_minute // MINUTE_MS + data.rows[:, 1], share, offset))
