"""Train the agent by PPO (Schulman et al. 2017, arXiv:1707.06347) with RLlib, and export its policy without it."""

import logging
from pathlib import Path

import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from config.load import resolve_var
from config.settings import Settings
from core.errors import DataError
from core.features import N_FEATURES, schema_hash
from core.messages import FloatArray
from core.units import MINUTE_MS
from data.artifacts import Artifact, ArtifactStore
from data.market import WARMUP_MINUTES, MarketCut, MarketSource, cut
from serve.models.base import standardiser
from serve.models.rl import RlPolicy
from serve.models.threads import cap_threads
from tune.cluster import own_ray
from tune.rl.env import AGENT, CASH, MinuteEnv, World, known, market_features
from tune.rl.policy import RowPolicy, SharedPolicy
from tune.train import CODE, KIND, Progress, Span, lower_priority

HELD_OUT = 0.2
"""Share of the minutes, the newest, that the agent never trains on and is judged on."""
STEPS = 960
"""Minutes of experience an iteration: four episodes."""
LEAST_MINUTES = 480
"""Two episodes to learn from, less what is held out."""


def worlds(settings: Settings, market: MarketCut) -> tuple[World, World]:
    """The part to learn on and the held-out part after it, with features standardised by the first alone."""
    features = market_features(market)
    learn_minutes = int(market.minutes * (1.0 - HELD_OUT))
    learn_end = (market.first_minute - market.start_minute) // MINUTE_MS + learn_minutes
    seen = features[:, :learn_end]
    mean, scale = standardiser(seen[known(seen)])
    learn = MarketCut(
        instruments=market.instruments,
        start_minute=market.start_minute,
        first_minute=market.first_minute,
        minutes=learn_minutes,
        bars=market.bars[:, :learn_end],
        synthetic=market.synthetic,
        sentiment=market.sentiment,
        news=market.news,
    )
    held_from = learn_end - WARMUP_MINUTES
    held = MarketCut(
        instruments=market.instruments,
        start_minute=market.start_minute + held_from * MINUTE_MS,
        first_minute=market.first_minute + learn_minutes * MINUTE_MS,
        minutes=market.minutes - learn_minutes,
        bars=market.bars[:, held_from:],
        synthetic=market.synthetic,
        sentiment=market.sentiment,
        news=market.news,
    )
    first = World(settings=settings, market=learn, features=seen, mean=mean, scale=scale)
    return first, World(settings=settings, market=held, features=features[:, held_from:], mean=mean, scale=scale)


def make_algorithm(world: World, seed: int, steps: int = STEPS) -> PPO:
    """PPO in this very process: no environment runners, so that its memory and its niceness are ours."""
    config = (
        PPOConfig()
        .environment(MinuteEnv, env_config={"world": world})
        .env_runners(num_env_runners=0, num_cpus_per_env_runner=1)
        .learners(num_learners=0)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=SharedPolicy))
        .training(
            train_batch_size_per_learner=steps,
            minibatch_size=min(240, steps),
            num_epochs=6,
            lr=1e-3,
            # An action shows its worth within the horizon, some 15 minutes.
            gamma=0.95,
            lambda_=0.9,
            entropy_coeff=1e-3,
            vf_clip_param=1e4,
        )
        .debugging(seed=seed, log_level="ERROR")
    )
    return config.build_algo()


def export(algorithm: PPO, world: World) -> RlPolicy:
    """The trained policy as a traced torch module that needs neither RLlib nor Ray."""
    trained: RowPolicy = algorithm.get_module().policy
    policy = RowPolicy(N_FEATURES)
    policy.load_state_dict({k: v.detach().cpu() for k, v in trained.state_dict().items()})
    traced = torch.jit.trace(policy.eval(), torch.zeros(2, N_FEATURES), check_trace=False)
    return RlPolicy(traced, world.mean, world.scale, world.settings.rules.selection.full_edge_bps)


def evaluate(policy: RlPolicy, world: World) -> dict[str, float]:
    """Run the world from end to end with the policy's mean action, after all costs."""
    env = MinuteEnv({"world": world, "whole": True})
    env.reset(seed=0)
    total, exposure, done = 0.0, [], False
    while not done:
        mean, _ = policy.forecast(env.raw_features()[:, None, :])
        action: FloatArray = np.nan_to_num(mean / policy.full_edge_bps, nan=-1.0)
        _, reward, _, done, _ = env.step(action)
        total += reward
        exposure.append(float(np.maximum(action, 0.0).mean()))
    fills = sum(len(record.fills) for record in env.records)
    return {"holdout_bps": total, "holdout_fills": float(fills), "holdout_exposure": float(np.mean(exposure))}


def train_agent(
    source: MarketSource,
    settings: Settings,
    span: Span,
    store: ArtifactStore,
    *,
    iterations: int,
    seed: int = 0,
    steps: int = STEPS,
    progress: Progress = lambda text, share: None,
) -> Artifact:
    """Train on the older part of the span, judge on the newest, keep the policy as an artifact of the rl member."""
    lower_priority(settings.config.resources.trainer_niceness)
    cap_threads()
    logging.getLogger("ray").setLevel(logging.ERROR)
    minutes = span.minutes - WARMUP_MINUTES
    if minutes < LEAST_MINUTES:
        raise DataError(f"{span.minutes} minutes are too few for an agent; it needs {LEAST_MINUTES + WARMUP_MINUTES}")
    instruments = settings.config.trade.rows
    market = cut(source, instruments, minutes, span.first_minute + WARMUP_MINUTES * MINUTE_MS)
    progress("computing features", 0.0)
    learn, held = worlds(settings, market)
    returns: list[float] = []
    with own_ray(resolve_var(settings), cpus=2):
        progress("building the agent", 0.0)
        algorithm = make_algorithm(learn, seed, steps)
        try:
            for k in range(iterations):
                progress(f"iteration {k + 1} of {iterations}", (k + 0.5) / (iterations + 1))
                result = algorithm.train()
                if (value := result["env_runners"].get("episode_return_mean")) is not None:
                    returns.append(float(value))
            policy = export(algorithm, learn)
        finally:
            algorithm.stop()
    progress("judging on held-out minutes", iterations / (iterations + 1))
    metrics = evaluate(policy, held)
    if returns:
        metrics |= {"first_return_bps": returns[0], "last_return_bps": returns[-1]}
    name = next((m.name for m in settings.rules.models.members if m.family == "rl"), AGENT)
    progress("done", 1.0)

    def write(folder: Path) -> None:
        policy.save(folder)

    return store.save(
        KIND,
        name,
        write,
        family="rl",
        schema=schema_hash(),
        span=(span.first_minute, span.end),
        instruments=tuple(map(str, instruments)),
        seed=seed,
        code=CODE,
        source=source.name,
        metrics=metrics,
        extra={
            "horizon": settings.rules.models.horizon_minutes,
            "iterations": iterations,
            "steps": steps,
            "cash": str(CASH),
            "episode_returns_bps": returns,
        },
    )
