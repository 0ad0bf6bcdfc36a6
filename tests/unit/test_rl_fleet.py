"""Many accounts stepped at once are worth, minute by minute, what the backtest of the same actions says."""

import argparse
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from core.sizing import COIN
from core.units import MINUTE_MS
from data.market import MarketCut
from tests.support.engines import make_market, make_settings
from tune import backtest_command, train_command
from tune.rl.levels import FULL, KEEP, LEVELS, OUT
from tune.rl.vector_env import VectorEnv, agent_market
from tune.simulate import simulate_targets

CASH = Decimal(10_000)
WIDE = {"risk__daily_loss_pct": 100, "risk__max_drawdown_pct": 100}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    "one coin, all costs": ({}, {"rows": 1, "minutes": 240}, 0.2),
    "three coins, gaps": (WIDE, {"rows": 3, "minutes": 200, "gaps": 0.1, "seed": 5}, 0.3),
    "markets stand still": (
        {**WIDE, "events__stale_minutes": 2},
        {"rows": 2, "minutes": 240, "still": 0.05, "gaps": 0.02, "seed": 9},
        0.3,
    ),
    "a loss limit closes": ({"risk__daily_loss_pct": 0.2}, {"rows": 2, "minutes": 200, "seed": 2}, 0.3),
    "stops, profits, times": (
        {
            **WIDE,
            "protection__stop_loss_pct": 0.5,
            "protection__take_profit_pct": 0.5,
            "protection__time_stop_minutes": 20,
        },
        {"rows": 2, "minutes": 240, "seed": 3},
        0.1,
    ),
    "a trailing stop": ({**WIDE, "protection__trailing_stop_pct": 0.4}, {"rows": 1, "minutes": 200, "seed": 4}, 0.1),
    "late into the next minute": (
        {**WIDE, "execution__slices": 12, "execution__slice_seconds": 5, "costs__latency_ms": 9000},
        {"rows": 2, "minutes": 120, "seed": 6},
        0.4,
    ),
    "at once, in a thin market": (
        {**WIDE, "execution__algorithm": "immediate"},
        {"rows": 2, "minutes": 200, "seed": 7, "money": 300.0},
        0.3,
    ),
}


def world_of(rows: int, minutes: int, rules: dict[str, Any], **market: Any):
    settings = make_settings(rows, **rules)
    cut = make_market(rows, minutes, **market)
    features = np.random.default_rng(0).normal(size=(*cut.bars.shape[:2], 5))
    return agent_market(settings, cut, features, np.zeros(5), np.ones(5)), settings, cut


def engine_equity(settings, cut: MarketCut, target: np.ndarray) -> np.ndarray:
    first = (cut.first_minute - cut.start_minute) // MINUTE_MS
    asked = np.full((cut.bars.shape[1], target.shape[1]), np.nan)
    asked[first:] = target
    return simulate_targets(settings, cut, asked, cash=CASH, regimes=False).equity


@pytest.mark.parametrize("case", CASES)
def test_an_episode_is_worth_what_the_backtest_of_its_actions_says(case: str) -> None:
    rules, market, chance = CASES[case]
    world, settings, cut = world_of(rules=rules, **market)
    rng = np.random.default_rng(11)
    count, rows, minutes = 4, len(cut.instruments), cut.minutes
    # The fourth account never asks for anything.
    asked = rng.random((minutes, count, rows)) < chance
    asked[:, 3] = False
    target = np.where(asked, rng.choice([0.0, 0.3, 0.5, 1.0], (minutes, count, rows)) / rows, np.nan)
    env = VectorEnv(world, count, cash=CASH, whole=True)
    env.reset()
    found = [env.equity.copy()]
    for k in range(minutes - 1):
        found.append(env.step_targets(target[k]).equity.copy())
    found = np.array(found)
    for e in range(count):
        np.testing.assert_array_equal(found[:, e], engine_equity(settings, cut, target[:, e]))
    assert np.ptp(found[:, 0]) > 0
    assert np.ptp(found[:, 3]) == 0


def test_an_account_begins_as_that_of_a_backtest_and_its_limits_bite_as_there() -> None:
    parser = argparse.ArgumentParser()
    train_command.arguments(parser)
    other = argparse.ArgumentParser()
    backtest_command.arguments(other)
    assert parser.parse_args([]).cash == other.parse_args([]).cash
    rules = {**WIDE, "risk__max_order_pct": 100, "risk__max_position_pct": 100, "risk__max_order_usdt": 5_000}
    world, settings, cut = world_of(1, 60, rules)
    shares = {}
    for cash in (CASH, Decimal(100_000)):
        own = replace(world, cash=cash)
        env = VectorEnv(own, 1, whole=True)
        env.reset()
        assert (env.equity == float(cash)).all()
        shares[cash] = float(env.step_targets(np.ones((1, 1))).obs[0, 0, -len(LEVELS) - 2])
        asked = np.full((cut.bars.shape[1], 1), np.nan)
        asked[own.first] = 1.0
        backtest = simulate_targets(settings, cut, asked, cash=own.cash, regimes=False)
        assert env.equity[0] == backtest.equity[1]
    assert VectorEnv(world, 1).cash == parser.parse_args([]).cash
    # Half of the smaller account is one order, and a twentieth of the larger.
    assert shares[CASH] > 5 * shares[Decimal(100_000)] > 0


def test_episodes_begin_anew_by_themselves_and_alike_for_one_seed() -> None:
    world, _, _ = world_of(2, 200, {})
    runs = []
    for _ in range(2):
        env = VectorEnv(world, 8, minutes=30, cash=CASH)
        rng = np.random.default_rng(3)
        env.reset(seed=5)
        starts = env.fleet.at[:, 0].copy()
        told = []
        for k in range(1, 66):
            seen = env.step(rng.integers(0, len(LEVELS), (8, 2)))
            assert seen.ended.all() == (k % 30 == 0)
            if seen.ended.any():
                assert (env.equity == float(CASH)).all()
                assert not (env.fleet.at[:, 0] == starts).all()
                shares = seen.last[:, :, -len(LEVELS) - 2]
                assert (seen.obs[:, :, -len(LEVELS) - 2] == 0).all() and (shares >= 0).all() and shares.any()
            told.append((seen.reward.copy(), seen.obs.copy()))
        runs.append(told)
    for (one, first), (other, second) in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(first, second)


def test_the_observation_is_the_minute_that_is_decided() -> None:
    world, _, cut = world_of(2, 100, {})
    env = VectorEnv(world, 1, cash=CASH, whole=True)
    obs = env.reset()
    shown = world.shown()
    for _ in range(40):
        k = int(env.fleet.at[0, 0])
        np.testing.assert_array_equal(obs[0, :, :6], shown[k])
        position = env.fleet.amount[0, 1:] * cut.bars[:, k, 3] / env.equity[0]
        np.testing.assert_allclose(obs[0, :, 6], position, rtol=2e-3)
        np.testing.assert_allclose(obs[0, 0, 7] + obs[0, :, 6].sum(), 1.0, rtol=1e-5)
        obs = env.step(np.full((1, 2), FULL)).obs
    assert (position > 0).all()


def test_a_reward_is_growth_less_the_penalty() -> None:
    world, _, _ = world_of(1, 100, {})
    plain, averse = (VectorEnv(world, 2, cash=CASH, whole=True, risk_aversion=a) for a in (0.0, 50.0))
    plain.reset(), averse.reset()
    action = np.array([[FULL], [OUT]])
    for _ in range(30):
        first, second = plain.step(action), averse.step(action)
        np.testing.assert_array_equal(first.reward, first.growth)
        np.testing.assert_allclose(second.reward, second.growth - 25.0 * (second.growth / 1e4) ** 2 * 1e4)
    assert averse.seen.growth[0] != 0
    assert averse.seen.growth[1] == 0


TIGHT: dict[str, dict[str, Any]] = {
    "as they come": {},
    "a daily loss": {"risk__daily_loss_pct": 0.2},
    "all positions together": {"risk__target_volatility_pct": 3, "risk__max_position_volatility_pct": None},
    "two positions together": {"risk__target_volatility_pct": 25, "risk__max_position_volatility_pct": None},
    "each position": {"risk__max_position_volatility_pct": 2},
    "trimmed at its cap": {"risk__max_position_pct": 6, "risk__rebalance_band_pct": 0.01, "risk__max_gross_pct": 15},
    "trimmed, and one order a minute": {
        "risk__max_position_pct": 6,
        "risk__rebalance_band_pct": 0.01,
        "trade__min_order_usdt": 5,
        "risk__max_orders_per_minute": 1,
    },
    "few orders": {"risk__max_orders_per_day": 20},
    "nothing trades": {"events__stale_minutes": 2},
    "pauses": {"risk__cooldown_minutes": 5, "risk__max_consecutive_losses": 2},
    "no ceilings": {"risk__max_position_volatility_pct": None, "risk__target_volatility_pct": None},
    "a large smallest order": {"trade__min_order_usdt": 600, "risk__max_order_pct": 100},
    "orders hardly larger than the smallest": {"risk__max_order_usdt": 51, "trade__min_order_usdt": 50},
    "no collar": {"risk__collar_bps": 0, "risk__rebalance_band_pct": 0.01},
    "a part of the account": {"trade__capital_pct": 10, "risk__max_gross_pct": 30},
    "a loss that holds": {"risk__daily_loss_pct": 0.2, "risk__on_loss_limit": "hold"},
    "one coin for all": {"risk__max_gross_pct": 20},
}


@pytest.mark.parametrize("case", TIGHT)
def test_the_mask_is_what_the_sizing_of_all_says(case: str) -> None:
    rules = {"risk__daily_loss_pct": 100, "risk__max_drawdown_pct": 100, **TIGHT[case]}
    still = 0.08 if "events__stale_minutes" in rules else 0.0
    world, _, _ = world_of(3, 200, rules, gaps=0.05, seed=8, still=still)
    # Without the table of volatilities the sizing is asked for every level, and no bounds (tune.rl.mask).
    slow = replace(world, tape=world.prepared.tape)
    envs = [VectorEnv(one, 48, cash=CASH, whole=True) for one in (world, slow)]
    for env in envs:
        if case == "one coin for all":
            env._scratch.ints[COIN] = 0
        env.reset()
    rng = np.random.default_rng(4)
    refused = 0
    for _ in range(120):
        # Positions of any size, and such as the levels lead to.
        target = np.where(rng.random((48, 3)) < 0.5, rng.choice([0.0, 0.5, 1.0], (48, 3)), rng.random((48, 3))) / 3.0
        target[rng.random((48, 3)) > 0.4] = np.nan
        first, second = (env.step_targets(target) for env in envs)
        np.testing.assert_array_equal(first.obs, second.obs)
        np.testing.assert_array_equal(first.equity, second.equity)
        refused += int((first.obs[:, :, -len(LEVELS) :] == 0).sum())
    assert 0 < refused < 120 * 48 * 3 * (len(LEVELS) - 1)


def test_what_the_limits_would_refuse_is_masked() -> None:
    world, _, _ = world_of(1, 200, {"risk__daily_loss_pct": 0.1, "risk__on_loss_limit": "hold"})
    env = VectorEnv(world, 1, cash=CASH, whole=True)
    mask = env.reset()[0, 0, -len(LEVELS) :]
    assert mask.tolist() == [1, 1, 1, 1]
    refused = False
    for k in range(150):
        before = mask.copy()
        held = env.fleet.amount[0, 1]
        seen = env.step(np.array([[FULL if k % 8 < 4 else OUT]]))
        if not before[FULL]:
            # Nothing was bought that the mask said would be refused.
            assert env.fleet.amount[0, 1] <= held
            refused = True
        mask = seen.obs[0, 0, -len(LEVELS) :]
        assert mask[KEEP] == 1
    assert refused
    assert env.fleet.marks[0, 0] != 0, "the loss limit was reached"
