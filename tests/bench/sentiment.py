"""Does sentiment add anything? Information coefficients with bootstrap bands, and the ensemble with and without it.

Bars, moods and headlines are imported from ``--data`` (folders of bars, and a folder ``sentiment``) into a lake of their own,
as ``data import`` does. For each folder of bars:

* what each input, known at a minute, has to do with the return that followed (Spearman, all symbols and minutes pooled);
* what the member ``sentiment`` forecasts out of fold, and what the equal-weighted ensemble of ``--members`` forecasts with
  and without it.

Bands are 95 %, of the circular block bootstrap over days (blocks of 5 days): minutes of a day share one mood, so days are
what is counted. A band that holds 0 has found nothing. Not measured: what it would earn; a gain that is not there before
costs is not there after them.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from config.argument_types import whole
from core.errors import DataError
from core.features import FEATURE_NAMES
from core.messages import FloatArray
from core.units import DAY_MS, MINUTE_MS
from data.headline_scores import lexicon
from data.headlines import load_news
from data.import_report import ImportOptions
from data.importing import import_path
from data.lake import Lake
from serve.models.base import TrainingSet
from tests.bench.support.processes import ROOT
from tests.support.table import table
from tune.dataset import training_set
from tune.folds import walk_forward
from tune.train import out_of_fold

NAME = "sentiment"
INPUTS = {
    "fear_greed": "fear_greed_known",
    "news_score": "news_known",
    "market_news_score": "news_known",
    "news_attention": "news_known",
    "funding_rate": "funding_known",
    "premium": "premium_known",
}
"""Each with its mask: only minutes in which it is known are looked at."""
LEAST_DAYS = 20
HORIZONS = (15, 60, 1_440)
BLOCK_DAYS = 5
RESAMPLES = 2_000
FOLDS = 4
IC_HEADINGS = ("bars", "input", "horizon min", "days", "IC", "95 % band", "found")
GAIN_HEADINGS = ("bars", "forecast", "days", "IC", "95 % band", "MSE over that of silence")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench sentiment", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--bars", default="binance_2023-03,binance_2025-05,upbit_2025-09,binance_2026-03")
    parser.add_argument("--members", default="ridge,rules", help="the ensemble beside it (default ridge,rules)")
    parser.add_argument("--horizon", type=whole(1), default=15, help="of the members (default 15)")
    parser.add_argument("--seed", type=whole(0), default=1)
    args = parser.parse_args(argv)
    if not (args.data / "sentiment").is_dir():
        print(f"{args.data / 'sentiment'}: not there; name a folder with --data")
        return 1
    ics: list[tuple[str, ...]] = []
    gains: list[tuple[str, ...]] = []
    for name in args.bars.split(","):
        with tempfile.TemporaryDirectory() as folder:
            lake = Lake(Path(folder))
            for part in (args.data / name, args.data / "sentiment"):
                import_path(lake, part, ImportOptions())
            instruments = lake.instruments()
            first, last = lake.common_span(instruments)
            minutes = (last - first) // MINUTE_MS + 1
            rng = np.random.default_rng(args.seed)
            for horizon in HORIZONS:
                data = training_set(lake, instruments, first, minutes, horizon)
                ics += [(name, *row) for row in _inputs(data, horizon, rng)]
            data = training_set(lake, instruments, first, minutes, args.horizon)
            gains += [(name, *row) for row in _ensemble(data, minutes, args.members.split(","), args.seed, rng)]
            overlap = _overlap(lake.root, first, last)
            print(f"{name}: {len(instruments)} symbols, {minutes / 1_440:.0f} days, {overlap} headlines in force")
    print("\nWhat an input has to do with the return that followed (before costs)\n")
    print(table(IC_HEADINGS, ics))
    print("\nOut of fold, the members' horizon\n")
    print(table(GAIN_HEADINGS, gains))
    _scores(args.data / "sentiment")
    return 0


def _overlap(root: Path, first: int, last: int) -> int:
    return len(load_news(root).between(first, last).headlines)


def _inputs(data: TrainingSet, horizon: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    rows = []
    last, y = data.last, data.y
    day = data.rows[:, 1] * MINUTE_MS // DAY_MS
    for name, mask in INPUTS.items():
        told = last[:, FEATURE_NAMES.index(mask)] > 0.0
        x = last[told, FEATURE_NAMES.index(name)]
        known = len(np.unique(day[told]))
        if known < LEAST_DAYS or np.ptp(x) == 0.0:
            rows.append((name, str(horizon), str(known), "–", "–", f"known on fewer than {LEAST_DAYS} days"))
            continue
        ic, low, high, days = coefficient(x, y[told], day[told], rng)
        verdict = "yes" if low > 0.0 or high < 0.0 else "no"
        rows.append((name, str(horizon), str(days), f"{ic:+.4f}", f"{low:+.4f} … {high:+.4f}", verdict))
    return rows


def _ensemble(
    data: TrainingSet, minutes: int, members: list[str], seed: int, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    folds = walk_forward(minutes, FOLDS, purge=data.horizon, first=data.first)
    at = data.rows[:, 0], data.rows[:, 1]
    said = {}
    for family in (*members, "sentiment"):
        try:
            said[family] = out_of_fold(family, data, folds, seed, lambda text, share: None)[0][at]
        except DataError as error:
            return [(f"not measured: {error}", "", "", "", "")]
    tested = np.isfinite(np.stack([said[m] for m in members])).all(axis=0)
    without = np.mean([said[m] for m in members], axis=0)
    all_of_them = np.stack([said[m] for m in (*members, "sentiment")])
    told = np.isfinite(all_of_them[-1])
    together = np.where(told, np.where(told, all_of_them, 0.0).mean(axis=0), without)
    y, day = data.y[tested], data.rows[tested, 1] * MINUTE_MS // DAY_MS
    rows = []
    for name, forecast in (("sentiment alone", said["sentiment"]), ("without it", without), ("with it", together)):
        x = np.nan_to_num(forecast[tested], nan=0.0)
        mse = float(np.mean((y - x) ** 2) / np.mean(y**2))
        if np.ptp(x) == 0.0:
            rows.append((name, str(len(np.unique(day))), "–", "always 0", f"{mse:.6f}"))
            continue
        ic, low, high, days = coefficient(x, y, day, rng)
        rows.append((name, str(days), f"{ic:+.4f}", f"{low:+.4f} … {high:+.4f}", f"{mse:.6f}"))
    gain, low, high = gain_of(together[tested], without[tested], y, day, rng)
    rows.append(("gain of it", str(len(np.unique(day))), f"{gain:+.4f}", f"{low:+.4f} … {high:+.4f}", ""))
    return rows


def coefficient(
    x: FloatArray, y: FloatArray, day: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float, int]:
    """Spearman's coefficient of x and y (N,), its 95 % band, and how many days there are."""
    sums = by_day(x, y, day)
    drawn = resampled(len(sums), rng)
    found = np.quantile([of_sums(sums[d].sum(axis=0)) for d in drawn], (0.025, 0.975))
    return of_sums(sums.sum(axis=0)), float(found[0]), float(found[1]), len(sums)


def gain_of(
    more: FloatArray, less: FloatArray, y: FloatArray, day: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float]:
    """By how much the coefficient of ``more`` is above that of ``less``, with a band over the same days."""
    a, b = by_day(more, y, day), by_day(less, y, day)
    each = [of_sums(a[d].sum(axis=0)) - of_sums(b[d].sum(axis=0)) for d in resampled(len(a), rng)]
    low, high = np.quantile(each, (0.025, 0.975))
    return of_sums(a.sum(axis=0)) - of_sums(b.sum(axis=0)), float(low), float(high)


def by_day(x: FloatArray, y: FloatArray, day: np.ndarray) -> FloatArray:
    """(D, 3) sums of xy, xx, yy of centred ranks, a day a row."""
    a, b = ranks(x), ranks(y)
    _, at = np.unique(day, return_inverse=True)
    return np.stack([np.bincount(at, weights=w) for w in (a * b, a * a, b * b)], axis=1)


def of_sums(sums: FloatArray) -> float:
    power = float(sums[1] * sums[2])
    return float(sums[0]) / power**0.5 if power > 0.0 else 0.0


def ranks(values: FloatArray) -> FloatArray:
    """Average ranks, centred."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    found = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return found - found.mean()


def resampled(days: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Days of each resample: blocks of consecutive ones from a circle."""
    starts = rng.integers(0, days, (RESAMPLES, -(-days // BLOCK_DAYS)))
    return [((s[:, None] + np.arange(BLOCK_DAYS)) % days).ravel()[:days] for s in starts]


def _scores(folder: Path) -> None:
    """How the lexicon agrees with what others said of the same headlines; no price is in it."""
    for path in sorted(folder.glob("news_*.parquet")):
        frame = pl.read_parquet(path)
        column = next((c for c in ("polarity", "score") if c in frame.columns), None)
        if column is None:
            continue
        frame = frame.drop_nulls(["headline", column])
        ours = np.array([lexicon().score(title) for title in frame["headline"]])
        theirs = frame[column].to_numpy().astype(np.float64)
        a, b = ranks(ours), ranks(theirs)
        silent = float(np.mean(ours == 0.0))
        print(
            f"\n{path.name}: {len(ours):,} headlines; the lexicon's rank correlation with the file's own {column!r} is "
            f"{float(a @ b / np.sqrt((a @ a) * (b @ b))):+.2f}; it says nothing of {silent:.0%} of them"
        )
