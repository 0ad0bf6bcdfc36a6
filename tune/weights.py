"""Search the ensemble's weights, per regime, with Ray Tune, and keep the result as an artifact.

A candidate costs milliseconds and a trial a quarter of a second, so a trial judges a whole batch: the candidate
that the search proposes and seeded variations around it. The newest fold takes no part in the search: on it the
found weights are held against equal ones.
"""

import hashlib
import json
import math
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optuna import logging as optuna_logging
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from ray import tune as ray_tune
from ray.tune.search.optuna import OptunaSearch

from config.load import resolve_var
from config.settings import Settings
from core.errors import DataError
from core.events import REGIMES
from core.features import schema_hash
from core.messages import FloatArray
from core.params import SelectionSettings
from core.selection import WeightTable
from data.artifacts import Artifact, ArtifactStore
from data.market import MarketSource
from tune.cluster import own_ray
from tune.history import FOLDS, History, fingerprint, make_history
from tune.scoring import as_array, judge, score
from tune.searches import taken_up
from tune.train import CODE, Progress, Span, lower_priority
from tune.trials import Trial, TrialLog, key_of

KIND, NAME, FILE = "weights", "ensemble", "weights.json"
BATCH = 32
"""Candidates a trial."""
SPREAD = 0.25
"""Variations are the proposal times the exponential of normal draws of this size."""
DIGITS = 4
CONCURRENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to. Scores are net basis points a day of the investable equity."""

    artifact: Artifact
    table: WeightTable
    trials: int
    interrupted: bool
    metrics: dict[str, float]


def parameter(regime: int, member: str) -> str:
    return f"{REGIMES[regime].value}:{member}"


def proposal(config: dict[str, float], members: tuple[str, ...]) -> FloatArray:
    """(R, M) weights of a trial's parameters, each regime summing to 1."""
    raw = np.array([[config[parameter(r, m)] for m in members] for r in range(len(REGIMES))]) + 1e-6
    return raw / raw.sum(axis=1, keepdims=True)


def variations(centre: FloatArray, rng: np.random.Generator, count: int = BATCH) -> FloatArray:
    """(count, R, M): the centre itself first, then draws around it."""
    many = centre * np.exp(SPREAD * rng.normal(size=(count, *centre.shape)))
    many[0] = centre
    return many / many.sum(axis=2, keepdims=True)


class WeightTrial(ray_tune.Trainable):
    """One trial: judges a batch and reports its best. Reused for the next trial, so its start is paid once."""

    def setup(
        self, config: dict, history: History, rules: SelectionSettings, invest: float, seed: int, niceness: int
    ) -> None:
        lower_priority(niceness)
        self._history, self._rules, self._invest, self._seed = history, rules, invest, seed
        self._config = config

    def reset_config(self, new_config: dict) -> bool:
        self._config = new_config
        return True

    def step(self) -> dict:
        centre = proposal(self._config, self._history.members)
        # The draws depend on the proposal alone: a trial that is run again after a crash gives the same answer.
        digest = hashlib.sha256(centre.tobytes()).digest()
        rng = np.random.default_rng([self._seed, int.from_bytes(digest[:8], "big")])
        candidates = variations(centre, rng)
        scores, sharpes = judge(candidates, self._history, self._rules, self._invest)
        best = int(np.argmax(scores))
        return {
            "score": float(scores[best]),
            "weights": candidates[best].tolist(),
            "judged": [
                (key_of(np.round(c, DIGITS).tolist()), float(s)) for c, s in zip(candidates, sharpes, strict=True)
            ],
            "done": True,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        return None

    def load_checkpoint(self, checkpoint: object) -> None:
        return None


LISTENERS: dict[str, Progress] = {}
"""Search folder → who is told. Tune pickles its callbacks to disk and reads them back when a search is taken up again;
a progress bar does not survive that, a name does."""


class Reporter(ray_tune.Callback):
    """Tells how many trials are done."""

    def __init__(self, trials: int, folder: str) -> None:
        self._trials, self._folder = trials, folder

    def on_trial_result(self, iteration: int, trials: list, trial: object, result: dict, **info: object) -> None:
        # Counted from Tune's own list, which knows the trials of before a restart; a trial has one result.
        known = [t.last_result["score"] for t in trials if t is not trial and "score" in t.last_result]
        scores = [*known, result["score"]]
        text = f"trial {len(scores)} of {self._trials}, best {max(scores):.2f} bps a day"
        LISTENERS.get(self._folder, _nobody)(text, 0.5 + 0.5 * min(1.0, len(scores) / self._trials))


def _nobody(text: str, share: float) -> None:
    return None


def search(
    history: History,
    settings: Settings,
    folder: Path,
    *,
    trials: int,
    minutes: float,
    seed: int,
    progress: Progress,
    judged: Callable[[list[tuple[str, float]]], object] = lambda candidates: None,
) -> tuple[FloatArray, int, bool]:
    """Best (R, M) weights, trials done, and whether it was cut short (by the time limit or Ctrl-C).

    State is kept under ``folder``; the same search goes on from there. ``judged`` is given (key, annual Sharpe ratio)
    of every candidate of every trial, earlier starts' included. Raises DataError when no trial ended.
    """
    # Tune by default writes its state too seldom for a search of minutes to be taken up again.
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    rules = settings.rules.selection
    trainable = ray_tune.with_parameters(
        WeightTrial,
        history=history,
        rules=rules,
        invest=settings.config.trade.invest_pct / 100.0,
        seed=seed,
        niceness=settings.config.resources.trainer_niceness,
    )
    trainable = ray_tune.with_resources(trainable, {"cpu": 1})
    tuner = taken_up(folder / f"trials-{trials}", trainable)
    if tuner is None:
        names = [parameter(r, m) for r in range(len(REGIMES)) for m in history.members]
        # Given to the search itself, not to the tuner: a search taken up before its first trial keeps it only so.
        space = {name: FloatDistribution(0.0, 1.0) for name in names}
        tuner = ray_tune.Tuner(
            trainable,
            tune_config=ray_tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=trials,
                max_concurrent_trials=CONCURRENT,
                time_budget_s=minutes * 60.0,
                reuse_actors=True,
                search_alg=OptunaSearch(space, metric="score", mode="max", sampler=TPESampler(seed=seed)),
            ),
            run_config=ray_tune.RunConfig(
                name=f"trials-{trials}",
                storage_path=str(folder.resolve()),
                verbose=0,
                callbacks=[Reporter(trials, str(folder))],
            ),
        )
    LISTENERS[str(folder)] = progress
    # Tune prints to stdout what belongs on stderr; stdout is for the answer.
    with redirect_stdout(sys.stderr):
        results = tuner.fit()
    ended = [r for r in results if r.metrics and "weights" in r.metrics]
    if not ended:
        raise DataError(f"{folder}: no trial of the weight search ended; give it more --minutes")
    judged([(str(key), float(sharpe)) for r in ended for key, sharpe in r.metrics.get("judged", ())])
    best = max(ended, key=lambda r: r.metrics["score"])
    return np.array(best.metrics["weights"]), len(ended), len(ended) < trials


def decide(found: FloatArray, history: History, settings: Settings) -> tuple[WeightTable, dict[str, float]]:
    """The table to use and what each part of the history says of it.

    Found weights stand only if they beat equal ones on the folds they were searched on and do not lose to them on the
    held-out one (the one thing it decides), and only in regimes that occurred; else equal ones stay.
    """
    members, rules, invest = history.members, settings.rules.selection, settings.config.trade.invest_pct / 100.0
    searched = history.part(history.fold < history.fold.max())
    held_out = history.part(history.fold == history.fold.max())
    equal = as_array(WeightTable.equal(members), members)
    seen = np.isin(np.arange(len(REGIMES)), searched.regime)
    tuned = np.where(seen[:, None], found, 1.0 / len(members)).round(DIGITS)[None]
    metrics = {
        "score": float(score(tuned, searched, rules, invest)[0]),
        "equal_score": float(score(equal, searched, rules, invest)[0]),
        "holdout_score": float(score(tuned, held_out, rules, invest)[0]),
        "holdout_equal_score": float(score(equal, held_out, rules, invest)[0]),
    }
    better = metrics["score"] > metrics["equal_score"] and metrics["holdout_score"] >= metrics["holdout_equal_score"]
    chosen = tuned[0] if better else equal[0] / len(members)
    by_regime = {
        regime.value: dict(zip(members, map(float, row), strict=True))
        for regime, row in zip(REGIMES, chosen, strict=True)
    }
    digest = hashlib.sha256(json.dumps(by_regime, sort_keys=True).encode()).hexdigest()[:8]
    metrics["beats_equal"] = float(better)
    return WeightTable(f"{'tuned' if better else 'equal'}-{digest}", by_regime), metrics


def trials_of(
    candidates: list[tuple[str, float]], settings: Settings, members: tuple[tuple[str, str], ...], span: Span
) -> list[Trial]:
    """The candidates of a search as lines of the tuning log. Their keys leave the bars out: the same weights of the
    same members under the same rules, judged again on more bars, are no new trial."""
    rules = settings.rules
    variant = [
        schema_hash(),
        members,
        rules.models.horizon_minutes,
        rules.selection.model_dump(mode="json"),
        rules.events.model_dump(mode="json"),
        settings.config.trade.model_dump(mode="json"),
    ]
    return [
        Trial(
            kind="weights",
            what=f"weights {weights} of {', '.join(name for name, _ in members)} in a search",
            key=key_of("search", weights, variant),
            annual_sharpe=sharpe if math.isfinite(sharpe) else None,
            instruments=settings.config.trade.instruments,
            first=span.first_minute,
            end=span.end,
        )
        for weights, sharpe in candidates
    ]


def tune_weights(
    source: MarketSource,
    settings: Settings,
    span: Span,
    store: ArtifactStore,
    *,
    trials: int,
    minutes: float,
    seed: int = 0,
    progress: Progress = lambda text, share: None,
    ray: Callable = own_ray,
) -> Found:
    """Forecast out of fold, search, decide, store. Taken up again where it was left if nothing has changed."""
    members = tuple((m.name, m.family) for m in settings.rules.models.enabled if m.family != "rl")
    instruments = settings.config.trade.rows
    bars = source.lake.window(instruments, span.first_minute, span.minutes)
    folder = source.root / "tune" / fingerprint(bars, settings, members, seed)
    kept = folder / "history.npz"
    if kept.exists():
        history = History.load(kept)
    else:
        history = make_history(source.lake, settings, span, members, seed, lambda t, s: progress(t, s * 0.5))
        history.save(kept)
    searched = history.part(history.fold < history.fold.max())
    with ray(resolve_var(settings), CONCURRENT):
        found, ended, interrupted = search(
            searched,
            settings,
            folder,
            trials=trials,
            minutes=minutes,
            seed=seed,
            progress=progress,
            judged=lambda candidates: TrialLog(source.root).append(trials_of(candidates, settings, members, span)),
        )
    table, metrics = decide(found, history, settings)
    artifact = store.save(
        KIND,
        NAME,
        lambda path: (path / FILE).write_text(json.dumps(table.to_json(), indent=1), encoding="utf-8") and None,
        family="weights",
        schema=schema_hash(),
        span=(span.first_minute, span.end),
        instruments=tuple(map(str, instruments)),
        seed=seed,
        code=CODE,
        source=source.name,
        metrics=metrics,
        extra={"trials": ended, "batch": BATCH, "folds": FOLDS, "interrupted": interrupted},
    )
    return Found(artifact=artifact, table=table, trials=ended, interrupted=interrupted, metrics=metrics)
