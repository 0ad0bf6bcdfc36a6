"""What an agent is worth on minutes it has not seen: beside doing nothing, holding, and the other members."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from core.bars import fill_gaps
from core.messages import CLOSE, FloatArray
from core.selection import WeightTable
from serve.models.base import Member, TrainingSet
from serve.panel import forecast_history
from tune.buy_and_hold import benchmarks
from tune.dataset import forward_return_bps, half_spread_bps, net_return_bps, sample_rows
from tune.result import Result
from tune.rl.levels import LEVELS
from tune.rl.vector_env import AgentMarket
from tune.simulate import Forecasts, simulate, simulate_targets
from tune.train import fit_on
from tune.verdict import Verdict, judge

DAY_MINUTES = 1440.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """Figures of the held-out part, after all costs."""

    result: Result
    """The agent alone, as a member on the desk."""
    verdict: Verdict
    rivals: dict[str, float]
    """Growth of the others, bps: flat, what was held, the supervised ensemble."""
    seeds: tuple[float, ...]
    """Growth of each seed alone, bps a day."""

    @property
    def metrics(self) -> dict[str, float]:
        found = {
            "holdout_bps": growth_of(self.result),
            "holdout_fills": float(self.result.counts.fills),
            "holdout_exposure": float(np.nanmean(self.result.invested / self.result.equity)),
            "seeds_median_bps_a_day": float(np.median(self.seeds)),
            "seeds_lowest_bps_a_day": float(min(self.seeds)),
            "seeds_highest_bps_a_day": float(max(self.seeds)),
        }
        return found | {f"{name.replace(' ', '_')}_bps": growth for name, growth in self.rivals.items()}


def growth_of(result: Result) -> float:
    """Log growth of equity, bps."""
    equity = result.equity[np.isfinite(result.equity)]
    return float(np.log(equity[-1] / equity[0]) * 1e4) if len(equity) else 0.0


def greedy_growth(policy: nn.Module, world: AgentMarket) -> float:
    """Growth of one account over the whole world by the likeliest actions of one policy, bps a day.

    The policy does not see what is held, so all its actions are known at once and the backtest runs them.
    """
    shown = world.shown()
    with torch.inference_mode():
        action = policy(torch.from_numpy(shown)).argmax(dim=-1).numpy()
    target = np.array(LEVELS)[action] / shown.shape[1]
    result = simulate_targets(
        world.settings, world.market, target, cash=world.cash, regimes=False, prepared=world.prepared
    )
    return growth_of(result) * DAY_MINUTES / max(1, world.market.minutes - 1)


def run_members(members: dict[str, Member], world: AgentMarket) -> Result:
    """A backtest of these members over the world, equally weighted, as the desk would run them."""
    rows, minutes, _ = world.features.shape
    mean, stdev = np.full((len(members), rows, minutes), np.nan), np.full((len(members), rows, minutes), np.nan)
    for number, member in enumerate(members.values()):
        for row in range(rows):
            mean[number, row], stdev[number, row] = forecast_history(member, world.features[row], 0, minutes)
    forecasts = Forecasts(members=tuple(members), versions=("held-out",) * len(members), mean_bps=mean, stdev_bps=stdev)
    return simulate(
        world.settings,
        world.market,
        forecasts,
        cash=world.cash,
        weights=WeightTable.equal(tuple(members)),
        name=" + ".join(members),
        prepared=world.prepared,
    )


def supervised(learn_on: AgentMarket, seed: int) -> dict[str, Member]:
    """The enabled members that learn from samples, fitted on what the agent learnt on."""
    models = learn_on.settings.rules.models
    bars, filler = fill_gaps(learn_on.market.bars)
    half = half_spread_bps(bars, filler, learn_on.market.start_minute)
    target = net_return_bps(forward_return_bps(bars[:, :, CLOSE], models.horizon_minutes), half)
    data = TrainingSet(
        features=learn_on.features,
        target_bps=target,
        rows=sample_rows(learn_on.features, target, filler),
        first_minute=learn_on.market.start_minute,
        horizon=models.horizon_minutes,
    )
    return {m.name: fit_on(m.family, data, seed, m.hyper)[0] for m in models.enabled if m.family != "rl"}


def judge_agent(
    agent: Member,
    learn_on: AgentMarket,
    held: AgentMarket,
    seeds: tuple[float, ...],
    *,
    seed: int = 0,
    compare: bool = True,
) -> Judgement:
    """Run the agent over the held-out part, alone on the desk, and the others beside it."""
    result = run_members({"rl": agent}, held)
    rivals = {"flat": 0.0}
    for one in benchmarks(result):
        rivals[one.name] = float(np.log1p(one.total_return) * 1e4)
    if compare:
        rivals["supervised ensemble"] = growth_of(run_members(supervised(learn_on, seed), held))
    return Judgement(
        result=result,
        verdict=judge(result, seed=seed, prices=_minutes_of(held)),
        rivals=rivals,
        seeds=seeds,
    )


def _minutes_of(world: AgentMarket) -> tuple[np.ndarray, FloatArray]:
    """(minute (P,), close (P, S)) of the decided minutes."""
    market = world.market
    first = market.bars.shape[1] - market.minutes
    bars, _ = fill_gaps(market.bars)
    return world.prepared.minute, bars[:, first:, CLOSE].T
