"""One way of collecting experience for PPO: seconds a sample of collecting and of learning, the same learner for all."""

import argparse
import logging
import statistics
import time

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
    collect, learn = [], []
    for turn in range(TURNS + 1):
        before, began = loop.sampled, time.process_time()
        got = loop.collect()
        between = time.process_time()
        loop.learn(got)
        # The first turn warms up. The stock runner collects a little more than it is asked for.
        if turn:
            collect.append((between - began) / (loop.sampled - before))
            learn.append((time.process_time() - between) / (loop.sampled - before))
    report(samples=plan.samples, collect=statistics.median(collect), learn=statistics.median(learn))


if __name__ == "__main__":
    main()
