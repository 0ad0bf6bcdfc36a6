"""The agent's world is the bot's own minute, and what it learned leaves RLlib unchanged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

from config.load import load_settings
from core.events import Detector
from core.features import N_FEATURES, SEQUENCE
from core.messages import Intents
from core.selection import Selector, WeightTable
from core.units import MINUTE_MS, Instrument
from data.artifacts import ArtifactStore
from data.lake import Lake
from data.market import WARMUP_MINUTES, MarketCut, MarketSource
from data.synthetic import SyntheticSpec, make_market, write_market
from serve.models.registry import load_member
from serve.panel import LocalPanel
from tune.backtest import make_backtest
from tune.rl.env import CASH, MinuteEnv, World
from tune.rl.train import evaluate, export, make_algorithm, train_agent, worlds
from tune.train import Span

pytestmark = pytest.mark.ray
ROWS = tuple(Instrument("binance", f"{base}/USDT") for base in ("BTC", "ETH"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> MarketSource:
    root = tmp_path_factory.mktemp("market")
    write_market(make_market(SyntheticSpec(seed=3, days=1, edge="planted")), root)
    return MarketSource(name="small", root=root, lake=Lake(root), synthetic=True)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory):
    base = load_settings(environ={})
    trade = base.config.trade.model_copy(update={"instruments": tuple(map(str, ROWS))})
    var = str(tmp_path_factory.mktemp("var"))
    return base.model_copy(update={"config": base.config.model_copy(update={"trade": trade, "var_dir": var})})


@pytest.fixture(scope="module")
def span(source: MarketSource) -> Span:
    first, last = source.lake.common_span(ROWS)
    return Span(first_minute=first, minutes=(last - first) // MINUTE_MS + 1)


@pytest.fixture(scope="module")
def world(source: MarketSource, settings, span: Span) -> tuple[World, World]:
    market = MarketCut(
        instruments=ROWS,
        start_minute=span.first_minute,
        first_minute=span.first_minute + WARMUP_MINUTES * MINUTE_MS,
        minutes=span.minutes - WARMUP_MINUTES,
        bars=source.lake.window(ROWS, span.first_minute, span.minutes),
        synthetic=True,
        sentiment=(),
    )
    return worlds(settings, market)


class Spy(Selector):
    """The real selector, remembering which market it was shown."""

    def choose(self, market, events, votes) -> Intents:
        self.seen = market
        return super().choose(market, events, votes)


def test_the_agent_sees_what_the_desk_sees(world: tuple[World, World]) -> None:
    env = MinuteEnv({"world": world[0], "minutes": 40})
    spy = Spy(world[0].settings.rules.selection, WeightTable.equal(("rl",)), ("rl",))
    env._selector = spy
    env.reset(seed=5)
    for _ in range(40):
        before = env.raw_features().copy()
        env.step(np.zeros(2))
        np.testing.assert_array_equal(spy.seen.features[:, -1], before)


def test_doing_nothing_costs_nothing_and_churning_costs_fees(world: tuple[World, World]) -> None:
    still, churn = MinuteEnv({"world": world[0], "minutes": 60}), MinuteEnv({"world": world[0], "minutes": 60})
    still.reset(seed=5)
    churn.reset(seed=5)
    assert sum(still.step(np.full(2, -1.0))[1] for _ in range(60)) == 0.0
    rewards = [churn.step(np.full(2, 1.0 if k // 5 % 2 == 0 else -1.0))[1] for k in range(60)]
    fees = sum(float(f.fee) for r in churn.records for f in r.fills if f.fee_asset == "USDT")
    assert fees > 0
    assert sum(rewards) < 0
    assert sum(len(r.fills) for r in churn.records) >= 10


def test_rewards_add_up_to_the_growth_of_the_account(world: tuple[World, World]) -> None:
    env = MinuteEnv({"world": world[0], "minutes": 50})
    env.reset(seed=1)
    rng = np.random.default_rng(0)
    total = sum(env.step(rng.uniform(-1, 1, 2))[1] for _ in range(50))
    assert total == pytest.approx(np.log(env._equity / float(CASH)) * 1e4)
    last = env.records[-1]
    assert last.status == "done"
    assert last.state == "active"


def test_limits_hold_the_agent_as_they_hold_the_bot(world: tuple[World, World]) -> None:
    rules = world[0].settings.rules
    tight = rules.model_copy(update={"risk": rules.risk.model_copy(update={"max_position_pct": 2.0})})
    held = replace(world[0], settings=world[0].settings.model_copy(update={"rules": tight}))
    env = MinuteEnv({"world": held, "minutes": 30})
    env.reset(seed=2)
    for _ in range(30):
        env.step(np.ones(2))
    worth = [np.array(r.position) * np.array(r.close) for r in env.records]
    assert np.max(worth) > 0
    assert np.max(worth) < 0.021 * float(CASH)


def test_an_episode_ends_and_the_same_seed_gives_the_same(world: tuple[World, World]) -> None:
    runs = []
    for _ in range(2):
        env = MinuteEnv({"world": world[0], "minutes": 20})
        first, _ = env.reset(seed=9)
        out = [env.step(np.full(2, 0.9)) for _ in range(20)]
        assert [o[3] for o in out] == [False] * 19 + [True]
        runs.append((first, [o[1] for o in out]))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]


def test_the_exported_policy_is_the_trained_one(ray_cluster: None, world: tuple[World, World], tmp_path: Path) -> None:
    algorithm = make_algorithm(world[0], seed=1, steps=240)
    try:
        before = {k: v.clone() for k, v in algorithm.get_module().policy.state_dict().items()}
        algorithm.train()
        module = algorithm.get_module()
        assert any(not torch.equal(v, before[k]) for k, v in module.policy.state_dict().items())
        policy = export(algorithm, world[0])
        features = np.random.default_rng(0).normal(size=(2, SEQUENCE, N_FEATURES))
        features[:, -1] = world[0].mean + features[:, -1] * world[0].scale
        policy.save(tmp_path)
        mean, width = load_member("rl", tmp_path).forecast(features)
        z = np.clip((features[:, -1] - world[0].mean) / world[0].scale, -6, 6).astype(np.float32)
        with torch.no_grad():
            said = module.forward_inference({Columns.OBS: torch.from_numpy(z)[None]})[Columns.ACTION_DIST_INPUTS][0]
        full = world[0].settings.rules.selection.full_edge_bps
        np.testing.assert_allclose(mean, np.clip(said[:2].numpy(), -1, 1) * full, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(width, np.exp(said[2:].numpy()) * full, rtol=1e-5)
    finally:
        algorithm.stop()


def test_a_trained_agent_is_a_member_of_the_ensemble(
    ray_cluster: None, source: MarketSource, settings, span: Span, world: tuple[World, World]
) -> None:
    store = ArtifactStore(source.root / "artifacts")
    artifact = train_agent(source, settings, span, store, iterations=1, seed=2, steps=240)
    assert (artifact.kind, artifact.name, artifact.family) == ("model", "rl", "rl")
    assert {"holdout_bps", "holdout_fills"} <= set(artifact.metrics)
    member = load_member("rl", store.load(artifact.reference).path)
    assert evaluate(member, world[1])["holdout_bps"] == pytest.approx(artifact.metrics["holdout_bps"])
    # The member votes on a desk of the ensemble as any other does.
    cut = replace(world[1].market, minutes=5)
    panel = LocalPanel({"rl": (member, artifact.version)}, 15)
    selector = Selector(settings.rules.selection, WeightTable.equal(("rl",)), ("rl",))
    test = make_backtest(settings, cut, panel, cash=CASH, selector=selector)
    assert isinstance(test.desk.detector, Detector)
    records = list(test.run())
    assert [r.status for r in records] == ["done"] * 5
    assert all(r.votes[0].spoke and r.votes[0].version == artifact.version for r in records)
