"""Trains an agent as ``train --rl`` does, with the small plan of a test: a process to be killed. ``VAR MARKET_ROOT``."""

import sys
from pathlib import Path

from config.load import load_settings
from config.settings import Settings
from core.units import MINUTE_MS, Instrument
from data.artifacts import ArtifactStore
from data.lake import Lake
from data.market import MarketSource
from tune.rl.train import Plan, Trained, train_agent
from tune.train import Span

ROWS = tuple(Instrument("binance", f"{base}/USDT") for base in ("BTC", "ETH"))
PLAN = Plan(iterations=8, environments=16, length=48, minibatch=256, epochs=2, episode=100, keep_every=1, look_every=2)


def settings_in(var: Path) -> Settings:
    base = load_settings(environ={})
    trade = base.config.trade.model_copy(update={"instruments": tuple(map(str, ROWS))})
    return base.model_copy(update={"config": base.config.model_copy(update={"trade": trade, "var_dir": str(var)})})


def trained(var: Path, root: Path) -> Trained:
    source = MarketSource(name="small", root=root, lake=Lake(root), synthetic=True)
    first, last = source.lake.common_span(ROWS)
    span = Span(first_minute=first, minutes=(last - first) // MINUTE_MS + 1)
    store = ArtifactStore(var / "artifacts")
    return train_agent(source, settings_in(var), span, store, plan=PLAN, seeds=1, compare=False)


if __name__ == "__main__":
    trained(Path(sys.argv[1]), Path(sys.argv[2]))
