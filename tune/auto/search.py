"""The search itself: Optuna proposes, Ray Tune runs, and successive halving (ASHA) ends early what is among the worse.

Optuna's tree-structured Parzen estimator is seeded; with several trials at once the order in which they end is not, so
two searches of one seed are alike, not equal. What is asked of Ray is in ``tune.auto.trial``.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from optuna import logging as optuna_logging
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from ray import tune as ray_tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from core.errors import BotError
from tune.auto.budget import Budget
from tune.auto.space import MB, Space
from tune.auto.task import NINTHS
from tune.auto.trial import SearchTrial
from tune.searches import taken_up

STARTING_DRAWS = 10
"""Trials that are drawn evenly before the estimator has anything to go by."""
CHECKPOINT_S = "3"
"""Tune by default writes its state too seldom for a search of minutes to be taken up again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the search is."""

    done: int
    running: int
    best: float | None = None
    """Gain of the highest score so far, nats, of those that learned from as many samples as any did: as the leaderboard
    will tell it, without what breaks ties."""
    ninths: int = 0
    """How many that is."""


Told = Callable[[Standing], object]
LISTENERS: dict[str, Told] = {}
"""Search folder → who is told. Tune pickles its callbacks and reads them back when a search is taken up again; a progress
bar does not survive that, a name does."""
ENDS: dict[str, float] = {}
"""Search folder → when its time is over, on ``time.monotonic``; by name for the same reason."""


class Reporter(ray_tune.Callback):
    """Tells how the trials stand."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def on_step_end(self, iteration: int, trials: list, **info: object) -> None:
        told = LISTENERS.get(self._folder)
        if told is None:
            return
        ended = [t for t in trials if t.status in ("TERMINATED", "ERROR")]
        known = [t.last_result for t in trials if t.last_result and t.last_result.get("status") == "ok"]
        # One that an earlier version of this program left behind told no gain.
        ninths, _, best = max(
            ((r["ninths"], r["score"], r.get("gain", r["score"])) for r in known), default=(0, 0, None)
        )
        told(Standing(len(ended), sum(t.status == "RUNNING" for t in trials), best, ninths))


class OutOfTime(ray_tune.Stopper):
    """Ends the search when its time is over."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __call__(self, trial_id: str, result: dict) -> bool:
        return False

    def stop_all(self) -> bool:
        return time.monotonic() >= ENDS.get(self._folder, float("inf"))


def search(
    folder: Path,
    space: Space,
    budget: Budget,
    *,
    deadline: float,
    seed: int,
    niceness: int,
    most_trials: int | None = None,
    told: Told = lambda standing: None,
) -> bool:
    """Search until ``deadline`` (on ``time.monotonic``) or ``most_trials``; whether it came to that end (else: Ctrl-C).

    What was found stands in ``tune.auto.records``; a search that was left in ``folder`` goes on. Needs Ray to run.
    """
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", CHECKPOINT_S)
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    optuna_logging.set_verbosity(optuna_logging.ERROR)
    where = str(folder.resolve())
    last = [Standing(0, 0)]

    def heard(now: Standing) -> None:
        last[0] = now
        told(now)

    ENDS[where], LISTENERS[where] = deadline, heard
    trainable = ray_tune.with_parameters(
        SearchTrial,
        folder=where,
        limit=budget.trial_bytes,
        threads=budget.threads,
        niceness=niceness,
        deadline=deadline,
        seconds=budget.step_seconds,
    )
    trainable = ray_tune.with_resources(trainable, {"cpu": budget.threads})
    # Another budget is another run of Tune; what is on record is not done again in it.
    name = f"tune-{budget.at_once}x{budget.threads}-{budget.trial_bytes // MB}-{most_trials or 'all'}"
    tuner = taken_up(folder / name, trainable) or ray_tune.Tuner(
        trainable,
        tune_config=ray_tune.TuneConfig(
            metric="score",
            mode="max",
            num_samples=most_trials or -1,
            max_concurrent_trials=budget.at_once,
            reuse_actors=True,
            search_alg=OptunaSearch(
                space, metric="score", mode="max", points_to_evaluate=space.starts(), sampler=_sampler(seed)
            ),
            scheduler=ASHAScheduler(
                time_attr="ninths", max_t=NINTHS[-1], grace_period=NINTHS[0], reduction_factor=NINTHS[1] // NINTHS[0]
            ),
        ),
        run_config=ray_tune.RunConfig(
            name=name,
            storage_path=where,
            verbose=0,
            callbacks=[Reporter(where)],
            stop=OutOfTime(where),
        ),
    )
    # Tune prints to stdout what belongs on stderr; stdout is for the answer.
    try:
        with redirect_stdout(sys.stderr):
            results = tuner.fit()
    except (RayError, TuneError) as error:
        text = (str(error).strip().splitlines() or [""])[0][:300]
        raise BotError(
            f"Ray ended in the middle of the search ({type(error).__name__}: {text}); what is done is kept, the same command "
            "goes on"
        ) from error
    if time.monotonic() >= deadline:
        return True
    ended = max(last[0].done, sum(bool(r.metrics) for r in results))
    return most_trials is not None and ended >= most_trials


def _sampler(seed: int) -> TPESampler:
    """Groups: a family's parameters are modelled together, and apart from other families'. Constant liar: who is still
    running counts as no better than known, so that two at once do not try the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTING_DRAWS)
