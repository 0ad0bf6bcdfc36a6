"""gym-anytrading: one environment, a random action (sell or buy) every minute, as in its documentation."""

import argparse
import time
from importlib.metadata import version

import gym_anytrading  # noqa: F401  (registers its environments)
import gymnasium as gym
import numpy as np
import pandas as pd
from protocol import pin, report

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", type=int)
    parser.add_argument("--core", type=int, default=None)
    args = parser.parse_args()
    pin(args.core)
    rng = np.random.default_rng(7)
    close = 1000.0 * np.exp(np.cumsum(5e-4 * rng.standard_normal(args.steps + 1_000)))
    bars = pd.DataFrame({"Open": close, "High": close, "Low": close, "Close": close, "Volume": np.ones(len(close))})
    env = gym.make("stocks-v0", df=bars, frame_bound=(10, len(bars)), window_size=10).unwrapped
    env.reset(seed=1)
    action = rng.integers(0, 2, args.steps)
    began = time.process_time()
    for k in range(args.steps):
        _, _, over, cut, _ = env.step(int(action[k]))
        if over or cut:
            env.reset()
    report(peer="gym-anytrading", version=version("gym-anytrading"), rate=args.steps / (time.process_time() - began))
