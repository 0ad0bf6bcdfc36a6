"""One way of collecting experience for PPO: seconds a sample of collecting and of learning, the same learner for all."""

import argparse
import logging
import statistics
import time
from typing import Any

import numpy as np
import torch
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from core.features import N_FEATURES
from tests.bench.peers.protocol import pin, report
from tests.bench.support.made_market import bars_of, market_of, names, settings_for
from tune.rl.runner import PpoLoop
from tune.rl.train import Plan, configured
from tune.rl.vector_env import agent_market

MINUTES, TURNS = 6_000, 3


class Clock:
    """Processor seconds spent in some methods of an object, outermost calls only."""

    def __init__(self, of: Any, methods: tuple[str, ...]) -> None:
        self.used = 0.0
        self._inside = False
        for name in methods:
            object.__setattr__(of, name, self._timed(getattr(of, name)))

    def _timed(self, method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return method(*args, **kwargs)
            self._inside, began = True, time.process_time()
            try:
                return method(*args, **kwargs)
            finally:
                self._inside = False
                self.used += time.process_time() - began

        return call


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("stock", "own"))
    parser.add_argument("count", type=int)
    parser.add_argument("samples", type=int)
    parser.add_argument("--core", type=int, default=None)
    args = parser.parse_args()
    pin(args.core)
    logging.getLogger("ray").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    instruments = names(1)
    market = market_of(instruments, bars_of(1, MINUTES))
    features = np.random.default_rng(0).normal(size=(1, MINUTES, N_FEATURES))
    world = agent_market(settings_for(instruments), market, features, np.zeros(N_FEATURES), np.ones(N_FEATURES))
    plan = Plan(environments=args.count, length=max(1, args.samples // args.count), minibatch=2_048)
    config = configured(world, 1, plan)
    stock = SingleAgentEnvRunner(config=config, worker_index=0, num_workers=0) if args.kind == "stock" else None
    loop = PpoLoop(config, stock)
    collect, learn, parts = [], [], {"network": [], "environment": []}
    env = loop.runner.env.unwrapped
    clocks = [
        Clock(loop.runner.module, ("logits", "values", "_forward")),
        # The stock runner steps gymnasium's face of the environment, ours the environment itself.
        Clock(env, ("step",)) if args.kind == "stock" else Clock(env.fleet, ("step",)),
    ]
    for turn in range(TURNS + 1):
        for clock in clocks:
            clock.used = 0.0
        before, began = loop.sampled, time.process_time()
        got = loop.collect()
        between = time.process_time()
        within = [clock.used for clock in clocks]
        loop.learn(got)
        # The first turn warms up. The stock runner collects a little more than it is asked for.
        if turn:
            collect.append((between - began) / (loop.sampled - before))
            for name, used in zip(parts, within, strict=True):
                parts[name].append(used / (loop.sampled - before))
            learn.append((time.process_time() - between) / (loop.sampled - before))
    report(
        samples=plan.samples,
        collect=statistics.median(collect),
        learn=statistics.median(learn),
        **{name: statistics.median(used) for name, used in parts.items()},
    )


if __name__ == "__main__":
    main()
