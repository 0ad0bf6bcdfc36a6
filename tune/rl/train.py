"""Train the agent by PPO (Schulman et al. 2017, arXiv:1707.06347) with RLlib, from several seeds, and export its policy.

Every seed learns on the older part of the span and is judged on the newest, which none of them sees. The member that is
kept is all seeds together: the median of their votes, so that none was picked for its luck.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from torch import nn

from config.identity import rules_hash
from config.load import resolve_var
from config.settings import Settings
from core.errors import DataError
from core.familiarity import learn
from core.features import schema_hash
from core.params import SelectionSettings
from core.units import MINUTE_MS, Instrument
from data.artifacts import Artifact, ArtifactStore
from data.market import WARMUP_MINUTES, MarketCut, MarketSource, cut, limited_by
from serve.models.base import standardiser
from serve.models.guard import Guarded
from serve.models.rl import RlPolicy
from serve.models.threads import cap_threads
from tune.rl.checkpoints import Checkpoints
from tune.rl.gym_env import GymFleet
from tune.rl.judge import DAY_MINUTES, Judgement, greedy_growth, judge_agent
from tune.rl.levels import votes_of
from tune.rl.policy import RowPolicy, SharedPolicy
from tune.rl.runner import PpoLoop
from tune.rl.vector_env import CASH, EPISODE_MINUTES, AgentMarket, agent_market, known, market_features
from tune.train import CODE, KIND, Progress, Span, lower_priority
from tune.trials import key_of

AGENT = "rl"
HELD_OUT = 0.2
"""Share of the minutes, the newest, that the agent never trains on and is judged on."""
LEAST_MINUTES = 480
"""Minutes to learn from and to be judged on."""
CPUS = 1
"""What the trainer declares and uses: collecting and learning take turns in one process, on one thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How an agent learns."""

    iterations: int = 60
    environments: int = 128
    length: int = 64
    """Minutes of each environment an iteration."""
    minibatch: int = 1_024
    epochs: int = 4
    rate: float = 1e-3
    gamma: float = 0.97
    """An action shows its worth within the horizon, some 15 minutes."""
    lambda_: float = 0.95
    entropy: float = 1e-3
    episode: int = EPISODE_MINUTES
    look_every: int = 2
    """Iterations between looks at the held-out part, for the curve alone; nothing is chosen by it."""
    keep_every: int = 5
    """Iterations between checkpoints."""

    @property
    def samples(self) -> int:
        """Minutes of experience an iteration."""
        return self.environments * self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How one seed learnt; all (N,)."""

    seed: int
    samples: tuple[int, ...] = ()
    reward: tuple[float, ...] = ()
    """Mean reward of each iteration's experience, bps a day: with the chance in its actions."""
    held_samples: tuple[int, ...] = ()
    held: tuple[float, ...] = ()
    """Growth on the held-out part by its likeliest actions, bps a day, after all costs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """What ``train_agent`` leaves."""

    artifact: Artifact
    curves: tuple[Curve, ...]
    judgement: Judgement
    source: MarketSource
    instruments: tuple[Instrument, ...]


def worlds(settings: Settings, market: MarketCut, cash: Decimal = CASH) -> tuple[AgentMarket, AgentMarket]:
    """The part to learn on and the held-out part after it, with features standardised by the first alone."""
    features = market_features(market)
    learn_minutes = int(market.minutes * (1.0 - HELD_OUT))
    learn_end = (market.first_minute - market.start_minute) // MINUTE_MS + learn_minutes
    seen = features[:, :learn_end]
    mean, scale = standardiser(seen[known(seen)])
    first = replace(market, minutes=learn_minutes, bars=market.bars[:, :learn_end].copy(), content="")
    held_from = learn_end - WARMUP_MINUTES
    held = replace(
        market,
        start_minute=market.start_minute + held_from * MINUTE_MS,
        first_minute=market.first_minute + learn_minutes * MINUTE_MS,
        minutes=market.minutes - learn_minutes,
        bars=market.bars[:, held_from:].copy(),
        content="",
    )
    return (
        agent_market(settings, first, seen, mean, scale, cash),
        agent_market(settings, held, features[:, held_from:], mean, scale, cash),
    )


def configured(world: AgentMarket, seed: int, plan: Plan) -> PPOConfig:
    """RLlib's PPO for this agent, in one process: its memory, its threads and its niceness are ours."""
    return (
        PPOConfig()
        .environment(
            GymFleet,
            env_config={"world": world, "minutes": plan.episode},
            disable_env_checking=True,
        )
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=plan.environments,
            gym_env_vectorize_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
        )
        .resources(num_cpus_for_main_process=CPUS)
        .learners(num_learners=0)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=SharedPolicy))
        .training(
            train_batch_size_per_learner=plan.samples,
            minibatch_size=min(plan.minibatch, plan.samples),
            num_epochs=plan.epochs,
            lr=plan.rate,
            gamma=plan.gamma,
            lambda_=plan.lambda_,
            entropy_coeff=plan.entropy,
            vf_clip_param=1e4,
        )
        .debugging(seed=seed, log_level="ERROR")
    )


class Voice(nn.Module):
    """(N, F) standardised rows → (N, 2): the middle one of the policies' likeliest votes, and the log of how far they spread.

    The middle one (of an even number, the lower of the two), as votes are levels in their order: a mean lies between them.
    Where two of five want out and three want all, it asks for a part that none of them has learned to hold, and it moves
    whenever one of them changes its mind, which costs. An agent's levels are traded one after the other, not blended.
    """

    def __init__(self, policies: list[RowPolicy], rules: SelectionSettings) -> None:
        super().__init__()
        self.policies = nn.ModuleList(policies)
        self.register_buffer("votes", torch.tensor(votes_of(rules)))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        chances = torch.stack([torch.softmax(one(rows), dim=-1) for one in self.policies])
        votes: Any = self.votes
        said = votes[chances.argmax(dim=-1)].median(dim=0).values
        mean = (chances * votes).sum(dim=-1).mean(dim=0)
        square = (chances * votes**2).sum(dim=-1).mean(dim=0)
        width = 0.5 * torch.log((square - mean**2).clamp_min(1e-6))
        return torch.stack([said, width], dim=-1)


def export(policies: list[RowPolicy], world: AgentMarket) -> RlPolicy:
    """The trained policies as one traced torch module that needs neither RLlib nor Ray."""
    count = world.features.shape[2]
    selection = world.settings.rules.selection
    voice = Voice([_without_padding(one, count) for one in policies], selection).eval()
    traced = torch.jit.trace(voice, torch.zeros(2, count), check_trace=False)
    return RlPolicy(traced, world.mean, world.scale, selection.full_edge_bps)


def _without_padding(policy: RowPolicy, features: int) -> RowPolicy:
    """The policy over the features alone: the environment pads them to an even number with zeros."""
    out = RowPolicy(features)
    state = {k: v.detach().cpu().clone() for k, v in policy.state_dict().items()}
    state["body.0.weight"] = state["body.0.weight"][:, :features]
    out.load_state_dict(state)
    return out.eval()


def guarded(policy: RlPolicy, world: AgentMarket) -> Guarded:
    """With the guard that says how far it is to be believed: learned from the rows it trained on."""
    row, minute = np.nonzero(known(world.features))
    order = np.argsort(minute, kind="stable")
    row, minute = row[order], minute[order]
    return Guarded(policy, learn(world.features[row, minute], minute))


def learn_seed(
    learn_on: AgentMarket,
    held: AgentMarket,
    seed: int,
    plan: Plan,
    kept: Checkpoints,
    tell: Callable[[int], None] = lambda done: None,
) -> tuple[RowPolicy, Curve]:
    """Train one seed to the end, from its newest checkpoint on; gives its policy and how it learnt."""
    loop = PpoLoop(configured(learn_on, seed, plan))
    done, curve = 0, Curve(seed=seed)
    before = kept.load(seed)
    if before is not None:
        done, curve = before.done, Curve(**before.curve)
        loop.set_state(before.state)
    while done < plan.iterations:
        reward = loop.train() * DAY_MINUTES
        done += 1
        curve = replace(curve, samples=(*curve.samples, done * plan.samples), reward=(*curve.reward, reward))
        if done % plan.look_every == 0 or done == plan.iterations:
            growth = greedy_growth(loop.policy, held)
            curve = replace(curve, held_samples=(*curve.held_samples, done * plan.samples), held=(*curve.held, growth))
        if done % plan.keep_every == 0 or done == plan.iterations:
            kept.save(seed, done, asdict(curve), loop.get_state())
        tell(done)
    return loop.policy, curve


def train_agent(
    source: MarketSource,
    settings: Settings,
    span: Span,
    store: ArtifactStore,
    *,
    plan: Plan | None = None,
    seeds: int = 5,
    seed: int = 0,
    compare: bool = True,
    cash: Decimal = CASH,
    progress: Progress = lambda text, share: None,
) -> Trained:
    """Train ``seeds`` agents on the older part of the span, judge them on the newest, keep them together as an artifact of
    the rl member. A run that was killed is gone on with by the same call. ``compare``: with the other members too. ``cash``:
    USDT that the accounts begin with, in training and judging."""
    lower_priority(settings.config.resources.trainer_niceness)
    cap_threads()
    logging.getLogger("ray").setLevel(logging.ERROR)
    plan = plan or Plan()
    minutes, instruments = span.minutes - WARMUP_MINUTES, settings.config.trade.rows
    if minutes < LEAST_MINUTES:
        limited = limited_by(source, instruments, *source.lake.common_span(instruments))
        raise DataError(
            f"{span.minutes} minutes are too few for an agent; it needs {LEAST_MINUTES + WARMUP_MINUTES} in which every "
            f"instrument has bars{limited}"
        )
    market = cut(source, instruments, minutes, span.first_minute + WARMUP_MINUTES * MINUTE_MS)
    progress("computing features", 0.0)
    learn_on, held = worlds(settings, market, cash)
    name = next((m.name for m in settings.rules.models.members if m.family == "rl"), AGENT)
    key = key_of(
        *(source.name, list(map(str, instruments)), span.first_minute, span.minutes, schema_hash()),
        *(rules_hash(settings), str(cash), CODE, asdict(replace(plan, iterations=0))),
    )
    kept = Checkpoints(resolve_var(settings) / "rl" / key)
    policies, curves = [], []
    for number in range(seeds):

        def tell(done: int, number: int = number) -> None:
            share = (number + done / plan.iterations) / seeds
            learnt, all_of_it = done * plan.samples, plan.iterations * plan.samples
            progress(f"seed {number + 1} of {seeds}, {learnt:,} of its {all_of_it:,} minutes", 0.95 * share)

        tell(0)
        policy, curve = learn_seed(learn_on, held, seed + number, plan, kept, tell)
        policies.append(policy)
        curves.append(curve)
    progress("judging on held-out minutes", 0.95)
    member = guarded(export(policies, learn_on), learn_on)
    judgement = judge_agent(member, learn_on, held, tuple(c.held[-1] for c in curves), seed=seed, compare=compare)
    artifact = store.save(
        KIND,
        name,
        member.save,
        family="rl",
        schema=schema_hash(),
        span=(span.first_minute, span.end),
        instruments=tuple(map(str, instruments)),
        seed=seed,
        code=CODE,
        source=source.name,
        metrics=judgement.metrics,
        extra={
            "horizon": settings.rules.models.horizon_minutes,
            "plan": asdict(plan),
            "seeds": seeds,
            "cash": str(cash),
            "verdict": judgement.verdict.word,
            "curves": [asdict(curve) for curve in curves],
        },
    )
    kept.clear()
    progress("done", 1.0)
    return Trained(artifact=artifact, curves=tuple(curves), judgement=judgement, source=source, instruments=instruments)
