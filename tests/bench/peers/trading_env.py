"""gym-trading-env: one environment, a random position of three every minute, fee 0.1 %, as in its documentation."""

import argparse
import time
from importlib.metadata import version

import gym_trading_env  # noqa: F401  (registers its environment)
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
    index = pd.date_range("2024-01-01", periods=len(close), freq="min")
    bars = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0}, index=index)
    bars["feature_close"] = bars["close"].pct_change()
    bars = bars.dropna()
    env = gym.make("TradingEnv", name="bench", df=bars, positions=[0, 0.5, 1], trading_fees=0.001, verbose=0).unwrapped
    env.reset(seed=1)
    action = rng.integers(0, 3, args.steps)
    began = time.process_time()
    for k in range(args.steps):
        _, _, over, cut, _ = env.step(int(action[k]))
        if over or cut:
            env.reset()
    report(peer="gym-trading-env", version=version("gym-trading-env"), rate=args.steps / (time.process_time() - began))
