"""The agent's environment: steps a second of many accounts of one coin, with observations, by how often they trade."""

import argparse
import time

import numpy as np

from core.features import N_FEATURES
from tests.bench.peers.protocol import pin, report
from tests.bench.support.engine_job import WIDE
from tests.bench.support.made_market import bars_of, market_of, names, settings_for
from tune.rl.levels import FULL, HALF, KEEP, OUT
from tune.rl.vector_env import VectorEnv, agent_market

MINUTES = 20_000
ROWS = (
    ("keeps what it holds", 0.0, False, 4_096),
    ("asks for another level once an hour", 1 / 60, False, 4_096),
    ("once an hour", 1 / 60, False, 256),
    ("once in 15 minutes", 1 / 15, False, 4_096),
    ("a random action every minute", 1.0, False, 4_096),
    ("once an hour, masked", 1 / 60, True, 4_096),
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--steps", type=int, default=1_000_000)
    args = parser.parse_args()
    pin(args.core)
    instruments = names(1)
    settings = settings_for(instruments, *WIDE)
    market = market_of(instruments, bars_of(1, MINUTES))
    rng = np.random.default_rng(1)
    features = rng.normal(size=(1, MINUTES, N_FEATURES))
    world = agent_market(settings, market, features, np.zeros(N_FEATURES), np.ones(N_FEATURES))
    shown, rows = world.shown(), []
    for what, chance, masked, count in ROWS:
        env = VectorEnv(world, count, masked=masked, shown=shown)
        env.reset()
        turns = max(30, args.steps // count)
        changed = rng.random((turns, count, 1)) < chance
        action = np.where(changed, rng.choice([OUT, HALF, FULL], (turns, count, 1)), KEEP)
        # Half of them hold something when the clock starts.
        env.step(np.where(np.arange(count)[:, None] % 2, FULL, KEEP))
        fills, began = 0, time.process_time()
        for k in range(turns):
            fills += int(env.step(action[k]).fills.sum())
        used = time.process_time() - began
        done = turns * count
        rows.append({"what": what, "count": count, "rate": done / used, "fills": fills / done})
    report(rows=rows)


if __name__ == "__main__":
    main()
