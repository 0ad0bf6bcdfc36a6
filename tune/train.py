"""Train ensemble members on the lake, judge them out of fold, keep them as artifacts."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.errors import DataError
from core.features import schema_hash
from core.messages import FloatArray
from core.params import MemberSettings, ModelSettings
from core.units import MINUTE_MS, Instrument
from data.artifacts import Artifact, ArtifactStore
from data.lake import Lake
from data.model_registry import CANDIDATE, fitting
from serve.models.base import Member, TrainingSet
from serve.models.guard import Guarded
from serve.models.registry import new_member
from serve.panel import forecast_history
from tune.array_store import ArrayStore
from tune.dataset import BarSource, also_of, training_set
from tune.folds import Fold, walk_forward
from tune.stored_set import stored_set
from tune.trials import Trial, TrialLog, key_of

KIND = "model"
CODE = "0.2.0"
"""Of what training makes; an artifact of another is made anew."""
ASKED = "asked"
"""In an artifact: the hyper-parameters that the settings named when it was trained."""
FOLDS = 2
LEAST_SAMPLES = 150
NORMAL_80 = 1.2815515655446004
"""An 80 % interval of the normal distribution reaches this many standard deviations."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole that is done, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Minutes to learn from."""

    first_minute: int
    minutes: int

    @property
    def end(self) -> int:
        """Close of the last minute, epoch ms."""
        return self.first_minute + self.minutes * MINUTE_MS


def lower_priority(niceness: int) -> None:
    """Give way to the live actors. Called first in every process that trains. Never raises its own priority."""
    if hasattr(os, "nice"):
        os.nice(max(0, niceness - os.nice(0)))


def score(mean: FloatArray, stdev: FloatArray, target: FloatArray) -> dict[str, float]:
    """Out-of-sample quality of forecasts, each (N,), basis points.

    ``ic``: Spearman rank correlation; ``mse_vs_zero``: mean squared error over that of always saying zero
    (below 1 is better than silence); ``coverage_80``: share of targets inside the 80 % interval.
    """
    if len(mean) < 3:
        return {"n": float(len(mean)), "ic": 0.0, "mse_vs_zero": 1.0, "coverage_80": 0.0}
    silent = float(np.mean(target**2))  # 0 where no price moved: there is nothing to be better at
    # A member that always says the same has no ranking to correlate.
    ic = 0.0 if np.ptp(mean) == 0.0 else float(np.corrcoef(_ranks(mean), _ranks(target))[0, 1])
    return {
        "n": float(len(mean)),
        "ic": ic,
        "mse_vs_zero": float(np.mean((target - mean) ** 2)) / silent if silent > 0.0 else 1.0,
        "coverage_80": float(np.mean(np.abs(target - mean) <= NORMAL_80 * stdev)),
    }


def _ranks(values: FloatArray) -> FloatArray:
    """Average ranks of ties."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]


def fit_on(
    family: str, data: TrainingSet, seed: int, hyper: Mapping[str, Any] | None = None
) -> tuple[Member, dict[str, float]]:
    """A new member of a family, fitted, with its guard. Raises DataError when there is too little to learn from."""
    if data.size < LEAST_SAMPLES:
        raise DataError(f"{data.size} samples are too few to train a {family} member; import more days")
    member = new_member(family, **(hyper or {}))
    try:
        notes = member.fit(data, seed)
    except ValueError as error:
        raise DataError(f"a {family} member cannot learn from this: {error}; import more days") from error
    return Guarded.taught(member, data), notes


def out_of_fold(
    family: str,
    data: TrainingSet,
    folds: tuple[Fold, ...],
    seed: int,
    progress: Progress,
    hyper: Mapping[str, Any] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """(S, T) mean and stdev of forecasts that each come from a member that had not seen that fold; NaN elsewhere."""
    mean = np.full(data.target_bps.shape, np.nan)
    stdev = np.full(data.target_bps.shape, np.nan)
    for k, fold in enumerate(folds):
        progress(f"{family}: fold {k + 1} of {len(folds)}", k / (len(folds) + 1))
        member, _ = fit_on(family, data.between(fold.train_first, fold.train_end), seed, hyper)
        for s in range(len(mean)):
            forecast = forecast_history(member, data.features[s], fold.test_first, fold.test_end)
            mean[s, fold.test_first : fold.test_end], stdev[s, fold.test_first : fold.test_end] = forecast
    return mean, stdev


def train_members(
    lake: BarSource,
    instruments: tuple[Instrument, ...],
    span: Span,
    members: tuple[MemberSettings, ...],
    store: ArtifactStore,
    *,
    horizon: int,
    seed: int = 0,
    source: str = "",
    progress: Progress = lambda text, share: None,
    log: TrialLog | None = None,
    cache: ArrayStore | None = None,
) -> tuple[Artifact, ...]:
    """Fit each member on the whole span after judging its family on walk-forward folds; keep each as an artifact.

    They learn ``HORIZONS`` beside the vote's. With a ``cache`` features are mapped from it, and so bounded in memory;
    without one they are made in memory. ``rl`` members learn in ``tune.rl`` and are not taken here. With a ``log`` each judged variant is a trial; a member
    that is merely needed and missing is not one.
    """
    progress("reading bars, computing features", 0.0)
    data, version = samples_of(lake, instruments, span, horizon, cache, seed)
    folds = walk_forward(span.minutes, FOLDS, purge=horizon, first=data.first)
    made = []
    for number, settings in enumerate(members):

        def part(text: str, share: float, number: int = number) -> None:
            progress(text, (number + share) / len(members))

        mean, stdev = out_of_fold(settings.family, data, folds, seed, part, settings.hyper)
        judged = data.where(np.isfinite(mean[data.rows[:, 0], data.rows[:, 1]]))
        at = judged.rows[:, 0], judged.rows[:, 1]
        metrics = score(mean[at], stdev[at], judged.y)
        part(f"{settings.name}: on the whole span", FOLDS / (FOLDS + 1))
        member, notes = fit_on(settings.family, data, seed, settings.hyper)
        made.append(
            store.save(
                KIND,
                settings.name,
                member.save,
                family=settings.family,
                schema=schema_hash(),
                span=(span.first_minute, span.end),
                instruments=tuple(map(str, instruments)),
                seed=seed,
                code=CODE,
                source=source or lake.root.name,
                metrics=metrics | notes,
                extra={
                    "horizon": horizon,
                    "samples": data.size,
                    "folds": FOLDS,
                    "data": version,
                    "horizons": data.horizons,
                    "hyper": asdict(member.settings),
                    ASKED: settings.hyper,
                },
            )
        )
    if log is not None:
        log.append([_trial(artifact, horizon) for artifact in made])
    progress("done", 1.0)
    return tuple(made)


def samples_of(
    lake: BarSource,
    instruments: tuple[Instrument, ...],
    span: Span,
    horizon: int,
    cache: ArrayStore | None = None,
    seed: int = 0,
) -> tuple[TrainingSet, str]:
    """(what members learn from, its version; empty where it is made in memory)."""
    also = also_of(horizon)
    if cache is None or not isinstance(lake, Lake):
        return training_set(lake, instruments, span.first_minute, span.minutes, horizon, also), ""
    return stored_set(lake, instruments, span.first_minute, span.minutes, horizon, also, cache, code=CODE, seed=seed)


def _trial(artifact: Artifact, horizon: int) -> Trial:
    """A trained variant. It was judged by its forecasts, not by an account: it counts, without a Sharpe ratio."""
    return Trial(
        kind="model",
        what=f"{artifact.name} ({artifact.family}), horizon {horizon}, seed {artifact.seed}, ic {artifact.metrics['ic']:.4f}",
        key=key_of(
            "model",
            artifact.name,
            artifact.family,
            horizon,
            artifact.seed,
            artifact.schema,
            CODE,
            artifact.extra["hyper"],
        ),
        instruments=artifact.instruments,
        first=artifact.span[0],
        end=artifact.span[1],
    )


def usable(horizon: int, member: MemberSettings) -> Callable[[Artifact], bool]:
    """Whether a stored model is of this family, forecasts this horizon, was written as this version reads, and learnt
    with the hyper-parameters that the settings name, and no others; what a search found has its own beside them."""

    def fits(artifact: Artifact) -> bool:
        if artifact.extra.get(CANDIDATE):
            learnt = artifact.extra.get("hyper", {})
            asked = {name: learnt.get(name) for name in member.hyper}
        else:
            asked = artifact.extra.get(ASKED, {})
        return (
            artifact.family == member.family
            and artifact.extra.get("horizon") == horizon
            and artifact.code == CODE
            and asked == member.hyper
        )

    return fits


def ensure_members(
    lake: BarSource,
    instruments: tuple[Instrument, ...],
    span: Span,
    models: ModelSettings,
    store: ArtifactStore,
    *,
    seed: int = 0,
    source: str = "",
    before: int | None = None,
    progress: Progress = lambda text, share: None,
    cache: ArrayStore | None = None,
) -> dict[str, Artifact]:
    """The champion of every enabled member, or the newest usable artifact, training on ``span`` those that have none.

    ``before`` (epoch ms): take only artifacts whose data ended by then, so that a replay or backtest that starts
    there never meets a member that has seen its future. An ``rl`` member without an artifact stays out of the
    answer (and so silent): it is trained on request, by ``train --rl``.
    """
    found: dict[str, Artifact] = {}
    for member in models.enabled:
        where = usable(models.horizon_minutes, member)
        artifact = fitting(store, member.name, schema=schema_hash(), where=where, ends_by=before)
        if artifact is not None:
            # A damaged one is said, not quietly trained over.
            found[member.name] = store.load(artifact.reference, schema=schema_hash())
    missing = tuple(m for m in models.enabled if m.name not in found and m.family != "rl")
    if missing:
        trained = train_members(
            lake,
            instruments,
            span,
            missing,
            store,
            horizon=models.horizon_minutes,
            seed=seed,
            source=source,
            progress=progress,
            cache=cache,
        )
        found |= {artifact.name: artifact for artifact in trained}
    return {m.name: found[m.name] for m in models.enabled if m.name in found}
