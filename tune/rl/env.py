"""The agent's world: the very minute of the bot, with the agent's action in the place of the ensemble's votes.

One step is one minute of a backtest. The action, one number in [-1, 1] an instrument, is a vote of
``action · full_edge_bps``; selection, sizing, risk limits, TWAP schedule, fees and fills are those of the backtest,
because they are the backtest. The observation is the newest feature row of each instrument, standardised.
Reward: log growth of equity from this decision to the next, in basis points.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

import gymnasium
import numpy as np

from config.settings import Settings
from core.bars import fill_gaps
from core.features import N_FEATURES
from core.messages import BoolArray, FloatArray, Market, MinuteRecord, Votes
from core.minute import run_minute
from core.selection import Selector, WeightTable
from core.session import beat_times, decision_ms, tick_of
from core.units import BPS, MINUTE_MS
from core.votes import Answer, assemble_votes
from data.market import MarketCut
from serve.models.base import standardise
from tune.backtest import Backtest, make_backtest
from tune.dataset import tables

AGENT = "rl"
CASH = Decimal(100_000)
EPISODE_MINUTES = 240
UNSURE_BPS = 1.0
"""Stated stdev of an action's vote; the selector's rule does not look at it."""


class ActionPanel:
    """``core.ports.ModelsPart`` whose only member says what the agent does."""

    def __init__(self, full_edge_bps: float, horizon: int) -> None:
        self.action: FloatArray = np.zeros(0)
        self._full_edge_bps = full_edge_bps
        self._horizon = horizon

    def forecast(self, market: Market) -> Votes:
        mean = self.action * self._full_edge_bps
        answer = Answer(mean_bps=mean, stdev_bps=np.full_like(mean, UNSURE_BPS), version="acting", minute=market.minute)
        return assemble_votes(market, {AGENT: answer}, (AGENT,), self._horizon)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """What episodes are cut from: a market with its features, and the trading rules."""

    settings: Settings
    market: MarketCut
    features: FloatArray
    """(S, T, F), over all of ``market.bars``."""
    mean: FloatArray
    scale: FloatArray

    @property
    def history(self) -> int:
        """Minutes of bars before the first that may be decided."""
        return (self.market.first_minute - self.market.start_minute) // MINUTE_MS


def market_features(market: MarketCut) -> FloatArray:
    """(S, T, F) of all bars of a cut, by the live rule."""
    bars, filler = fill_gaps(market.bars)
    return tables(market.instruments, bars, filler, market.start_minute, market.sentiment, market.news)


class MinuteEnv(gymnasium.Env):
    """Episodes of some hours at random places of the world, or over all of it (``whole``)."""

    metadata: dict = {"render_modes": []}  # noqa: RUF012 (gymnasium's own form)

    def __init__(self, config: dict) -> None:
        """``config``: ``world`` (World), ``minutes`` an episode, ``whole`` (start at the first minute, no chance)."""
        self.world: World = config["world"]
        self.whole: bool = config.get("whole", False)
        available = self.world.market.minutes - 1
        self.minutes = available if self.whole else min(config.get("minutes", EPISODE_MINUTES), available)
        rows = len(self.world.market.instruments)
        self.observation_space = gymnasium.spaces.Box(-10.0, 10.0, (rows, N_FEATURES), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (rows,), np.float32)
        rules = self.world.settings.rules
        self._panel = ActionPanel(rules.selection.full_edge_bps, rules.models.horizon_minutes)
        self._selector = Selector(rules.selection, WeightTable.equal((AGENT,)), (AGENT,))
        self.records: list[MinuteRecord] = []
        self._backtest: Backtest | None = None
        self._equity = float(CASH)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[FloatArray, dict]:
        super().reset(seed=seed)
        slack = self.world.market.minutes - 1 - self.minutes
        start = 0 if self.whole or slack < 1 else int(self.np_random.integers(0, slack + 1))
        market = self.world.market
        cut = replace(
            market,
            start_minute=market.start_minute + start * MINUTE_MS,
            first_minute=market.first_minute + start * MINUTE_MS,
            minutes=self.minutes + 1,
            bars=market.bars[:, start : start + self.world.history + self.minutes + 1],
        )
        self.records = []
        self._backtest = make_backtest(
            self.world.settings, cut, self._panel, cash=CASH, selector=self._selector, keep=self.records.append
        )
        self._at = start + self.world.history
        self._minute = cut.first_minute
        self._end = cut.first_minute + self.minutes * MINUTE_MS
        self._backtest.venue.advance_to(decision_ms(self._minute))
        self._equity = self._worth()
        return self._observe(), {}

    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict]:
        backtest = self._backtest
        if backtest is None:
            raise RuntimeError("reset() comes before step()")
        self._panel.action = np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0)
        run_minute(backtest.desk, tick_of(self._minute))
        rules = self.world.settings.rules
        for now in beat_times(self._minute, rules.execution, rules.protection):
            backtest.venue.advance_to(now)
            backtest.executor.beat(now)
        self._minute += MINUTE_MS
        self._at += 1
        backtest.venue.advance_to(decision_ms(self._minute))
        before, self._equity = self._equity, self._worth()
        reward = float(np.log(self._equity / before) * BPS)
        return self._observe(), reward, False, self._minute >= self._end, {}

    def raw_features(self) -> FloatArray:
        """(S, F) newest features of the minute that is to be decided."""
        return self.world.features[:, self._at]

    def _observe(self) -> FloatArray:
        z = standardise(self.raw_features(), self.world.mean, self.world.scale)
        return np.nan_to_num(z, nan=0.0).astype(np.float32)

    def _worth(self) -> float:
        """Equity now, at the middle of the book, USDT; a coin without a book at its last close."""
        backtest = self._backtest
        assert backtest is not None
        account = backtest.venue.account()
        total = float(account.total("binance", "USDT"))
        seen = backtest.venue.slice(self._minute)
        for row, (instrument, top) in enumerate(zip(seen.instruments, seen.tops, strict=True)):
            held = float(account.total(instrument.venue, instrument.base))
            if held:
                total += held * ((top.bid + top.ask) / 2.0 if top else self._last_close(row))
        return total

    def _last_close(self, row: int) -> float:
        close = self.world.market.bars[row, : self._at + 1, 3]
        return float(close[np.isfinite(close)][-1])


def known(features: FloatArray) -> BoolArray:
    """(S, T): all features of the minute are defined."""
    return np.isfinite(features).all(axis=2)
