"""The agent's environment: steps a second of many accounts of one coin, with observations, by how often they trade.

A step is one account's decision and minute: its order worked, its account marked to market, its observation written.
"""

import argparse
import statistics
import time
from decimal import Decimal

import numpy as np

from core.features import N_FEATURES
from tests.bench.peers.protocol import pin, report
from tests.bench.support.engine_job import WIDE
from tests.bench.support.made_market import bars_of, market_of, names, settings_for
from tune.rl.levels import FULL, HALF, KEEP, LEVELS, OUT
from tune.rl.vector_env import VectorEnv, agent_market

MINUTES, ACCOUNTS, PIECE = 20_000, 1_024, 20
CASH = Decimal(100_000)
"""USDT an account begins with: that of the figures that are told, which another amount would make others of."""
RANDOM = "a random one of its four actions every minute"
ROWS = (
    ("keeps what it holds", 0.0, "twap"),
    ("another level once an hour", 1 / 60, "twap"),
    ("another level once in 15 minutes", 1 / 15, "twap"),
    (RANDOM, 1.0, "twap"),
    (f"{RANDOM}, sent at once", 1.0, "immediate"),
)
"""What is done, how often, and how an order is sent: in the project's slices, or at once, as the peers do."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--steps", type=int, default=1_000_000)
    args = parser.parse_args()
    pin(args.core)
    instruments = names(1)
    market = market_of(instruments, bars_of(1, MINUTES))
    rng = np.random.default_rng(1)
    features = rng.normal(size=(1, MINUTES, N_FEATURES))
    worlds = {}
    for algorithm in {algorithm for *_, algorithm in ROWS}:
        settings = settings_for(instruments, *WIDE, f"execution.algorithm={algorithm}")
        worlds[algorithm] = agent_market(
            settings, market, features, np.zeros(N_FEATURES), np.ones(N_FEATURES), cash=CASH
        )
    shown, rows = worlds["twap"].shown(), []
    turns = max(2 * PIECE, args.steps // ACCOUNTS // PIECE * PIECE)
    for what, chance, algorithm in ROWS:
        shape = (turns, ACCOUNTS, 1)
        changed = rng.random(shape) < chance
        action = np.where(changed, rng.choice([OUT, HALF, FULL], shape), KEEP)
        if chance == 1.0:
            action = rng.integers(0, len(LEVELS), shape)
        for masked in (False, True):
            env = VectorEnv(worlds[algorithm], ACCOUNTS, masked=masked, shown=shown)
            env.reset()
            # Half of them hold something when the clock starts.
            env.step(np.where(np.arange(ACCOUNTS)[:, None] % 2, FULL, KEEP))
            fills, traded, used = 0, 0, []
            for first in range(0, turns, PIECE):
                began = time.process_time()
                for k in range(first, first + PIECE):
                    filled = env.step(action[k]).fills
                    fills += int(filled.sum())
                    traded += int(np.count_nonzero(filled))
                used.append((time.process_time() - began) / (PIECE * ACCOUNTS))
            done = turns * ACCOUNTS
            # The median of many pieces: what else runs on the machine disturbs some of them.
            rate = 1.0 / statistics.median(used)
            rows.append(
                {
                    "what": what,
                    "random": chance == 1.0,
                    "masked": masked,
                    "count": ACCOUNTS,
                    "rate": rate,
                    "traded": traded / done,
                    "fills": fills / done,
                }
            )
    report(rows=rows)


if __name__ == "__main__":
    main()
