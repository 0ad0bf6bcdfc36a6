"""The agent learns by RLlib from whole arrays as it does from RLlib's own episodes, and leaves RLlib unchanged."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

from config.load import ROOT, load_settings
from core.features import N_FEATURES, SEQUENCE
from core.selection import Selector, WeightTable, selection_rules, wanted
from core.units import MINUTE_MS, Instrument
from data.artifacts import ArtifactStore
from data.lake import Lake
from data.market import WARMUP_MINUTES, MarketSource
from data.synthetic import SyntheticSpec, make_market, write_market
from serve.models.guard import Guarded
from serve.models.registry import load_member
from serve.models.threads import cap_threads
from serve.panel import LocalPanel
from tests.support.engines import HISTORY, cut_of, make_settings
from tune.backtest import make_backtest
from tune.rl import train as training
from tune.rl.gym_env import GymFleet
from tune.rl.judge import DAY_MINUTES, greedy_growth, growth_of, judge_agent, run_members, supervised
from tune.rl.levels import FULL, KEEP, LEVELS, OUT, votes_of
from tune.rl.page import write_page
from tune.rl.policy import RowCategorical, RowPolicy
from tune.rl.runner import PpoLoop, advantages
from tune.rl.train import CPUS, Plan, configured, export, train_agent, worlds
from tune.rl.vector_env import CASH, AgentMarket, VectorEnv, agent_market
from tune.train import Span

pytestmark = pytest.mark.ray
ROWS = tuple(Instrument("binance", f"{base}/USDT") for base in ("BTC", "ETH"))
WAVE = 24


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    cap_threads()


@pytest.fixture(scope="module")
def wave() -> AgentMarket:
    """One coin that rises and falls in turns, costs nothing to trade, and says beforehand which."""
    free = {f"costs__{part}": False for part in ("fees", "spread", "impact", "participation")}
    wide = {"risk__daily_loss_pct": 100, "risk__max_drawdown_pct": 100, "protection__stop_loss_pct": None}
    off = {"risk__max_position_volatility_pct": None, "risk__target_volatility_pct": None}
    settings = make_settings(1, **free, **wide, **off, execution__algorithm="immediate")
    minutes = HISTORY + 1_000
    rising = (np.arange(minutes + 2) // WAVE) % 2 == 0
    close = 1_000.0 * np.exp(np.cumsum(np.where(rising[:minutes], 1.0, -1.0) * 1e-3))
    opened = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    bars = np.stack([opened, high, low, close, np.full(minutes, 1e4)], axis=1)[None]
    market = cut_of(bars)
    features = np.stack([np.where(rising[1:-1], 1.0, -1.0), np.zeros(minutes)], axis=1)[None]
    return agent_market(settings, market, features, np.zeros(2), np.ones(2))


def learnt(world: AgentMarket, own: bool, seed: int, turns: int) -> list[float]:
    """Mean reward a minute of each turn of PPO, without a cluster: a runner, a learner, and the weights between them."""
    plan = Plan(environments=32, length=24, minibatch=256, epochs=4, episode=96, rate=3e-3)
    config = configured(world, seed, plan)
    loop = PpoLoop(config, None if own else SingleAgentEnvRunner(config=config, worker_index=0, num_workers=0))
    found = []
    for _ in range(turns):
        got = loop.collect()
        if own:
            assert got.env_steps() == plan.samples
            found.append(loop.runner.earned)
        else:
            found.append(sum(e.get_return() for e in got) / sum(map(len, got)))
        loop.learn(got)
    return found


def test_whole_arrays_teach_what_episodes_teach(wave: AgentMarket) -> None:
    curves = {own: np.array([learnt(wave, own, seed, 8) for seed in (1, 2)]) for own in (True, False)}
    # The same network acts by the same chance in the same minutes: the first turn is the same, and the others differ as
    # the batch's order does, which is shuffled.
    np.testing.assert_allclose(curves[True][:, 0], curves[False][:, 0], rtol=1e-6)
    for own, curve in curves.items():
        # It began without an opinion and found the wave.
        assert curve[:, -2:].mean() > curve[:, 0].mean() + 0.3, (own, curve)
    last = {own: curve[:, -3:].mean() for own, curve in curves.items()}
    spread = max(np.ptp(curve[:, -3:]) for curve in curves.values())
    assert abs(last[True] - last[False]) <= max(spread, 0.1), curves


def test_advantages_are_those_of_rllib() -> None:
    rng = np.random.default_rng(0)
    length, count = 12, 3
    reward, values = rng.normal(size=(length, count)), rng.normal(size=(length + 1, count))
    ended, cut = np.zeros((length, count)), np.zeros((length, count))
    ended[4, 0] = ended[9, 1] = 1.0
    cut[ended > 0] = rng.normal(size=2)
    found = advantages(reward, values, cut, ended, 0.95, 0.9)
    for e in range(count):
        ends = [*(np.flatnonzero(ended[:, e]) + 1), length]
        first = 0
        for end in ends:
            # Their connector adds one minute to each piece, which has only a value.
            follows = cut[end - 1, e] if ended[end - 1, e] else values[end, e]
            seen = np.append(values[first:end, e], follows)
            size = end - first + 1
            over = np.zeros(size)
            over[-2:] = 1.0
            target = compute_value_targets(
                values=seen,
                rewards=np.append(reward[first:end, e], 0.0),
                terminateds=np.zeros(size),
                truncateds=over,
                gamma=0.95,
                lambda_=0.9,
            )
            np.testing.assert_allclose(found[first:end, e], (target - seen)[:-1], rtol=1e-6)
            first = end


def test_actions_are_drawn_as_often_as_their_chance_and_never_when_masked() -> None:
    torch.manual_seed(0)
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2, 1e-30, 0.25, 0.25, 0.25, 0.25]])).repeat(20_000, 1)
    said = RowCategorical(logits)
    drawn = said.sample()
    often = [[float((drawn[:, s] == level).float().mean()) for level in range(4)] for s in range(2)]
    np.testing.assert_allclose(often, [[0.5, 0.3, 0.2, 0.0], [0.25] * 4], atol=0.02)
    torch.testing.assert_close(said.logp(torch.tensor([[0, 1]]).repeat(20_000, 1))[0].exp(), torch.tensor(0.125))
    assert float(said.kl(said).abs().max()) == 0.0


def test_gymnasium_sees_one_episode_after_the_other(wave: AgentMarket) -> None:
    env = GymFleet({"world": wave, "num_envs": 3, "minutes": 5})
    first, _ = env.reset(seed=4)
    keep = np.full((3, 1), KEEP)
    told = [env.step(keep) for _ in range(5)]
    assert [t[3].all() for t in told] == [False] * 4 + [True]
    obs, reward, terminated, truncated, _ = env.step(keep)
    assert not reward.any() and not terminated.any() and not truncated.any()
    assert obs.shape == first.shape == (3, 1, 2 + 2 + len(LEVELS))
    assert not np.array_equal(obs, told[-1][0])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory):
    base = load_settings(environ={})
    trade = base.config.trade.model_copy(update={"instruments": tuple(map(str, ROWS))})
    var = str(tmp_path_factory.mktemp("var"))
    return base.model_copy(update={"config": base.config.model_copy(update={"trade": trade, "var_dir": var})})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> MarketSource:
    root = tmp_path_factory.mktemp("market")
    spec = SyntheticSpec(seed=3, days=1, edge="planted", binance=("BTC", "ETH"), upbit=())
    write_market(make_market(spec), root)
    return MarketSource(name="small", root=root, lake=Lake(root), synthetic=True)


@pytest.fixture(scope="module")
def span(source: MarketSource) -> Span:
    first, last = source.lake.common_span(ROWS)
    return Span(first_minute=first, minutes=(last - first) // MINUTE_MS + 1)


def test_the_exported_policies_speak_for_their_likeliest_actions(wave: AgentMarket, tmp_path: Path) -> None:
    torch.manual_seed(1)
    policies = [RowPolicy(2) for _ in range(3)]
    for one in policies:
        torch.nn.init.normal_(one.head.weight, std=2.0)
    member = export(policies, wave)
    rows = np.random.default_rng(0).normal(size=(40, SEQUENCE, 2))
    rows[7, -1, 0] = np.nan
    mean, stdev = member.forecast(rows)
    full = wave.settings.rules.selection.full_edge_bps
    votes = np.array(votes_of(wave.settings.rules.selection)) * full
    with torch.no_grad():
        said = [one(torch.from_numpy(rows[:, -1].astype(np.float32))).argmax(dim=-1).numpy() for one in policies]
    known = np.arange(40) != 7
    middle = np.median([votes[s] for s in said], axis=0)
    np.testing.assert_allclose(mean[known], middle[known], rtol=1e-5)
    apart = np.ptp(said, axis=0) > 0
    assert apart.sum() > 5, "they are of one mind in everything"
    # What they say together is what one of them said, never something in between.
    assert np.isclose(mean[known][:, None], votes, rtol=1e-5).any(axis=1).all()
    assert np.isnan(mean[7]) and np.isnan(stdev[7])
    assert (stdev[known] > 0).all()
    assert len(set(np.concatenate(said)[:40])) > 1


def test_a_level_said_as_a_vote_is_what_the_selector_reads() -> None:
    rules = load_settings(environ={}).rules.selection
    votes = np.array(votes_of(rules)) * rules.full_edge_bps
    for held in (False, True):
        read = [wanted(float(v), held, True, 1.0, selection_rules(rules)) for v in votes]
        assert read[OUT] == 0.0
        assert read[FULL] == 1.0
        assert read[2] == pytest.approx(0.5)
        assert np.isnan(read[KEEP]) if held else read[KEEP] == 0.0


def test_a_training_that_was_killed_goes_on_and_leaves_a_guarded_member(
    source: MarketSource,
    settings,
    span: Span,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ArtifactStore(source.root / "artifacts")
    plan = Plan(
        iterations=2, environments=8, length=30, minibatch=120, epochs=2, episode=60, keep_every=1, look_every=1
    )

    class Killed(BaseException):
        pass

    def kill(text: str, share: float) -> None:
        if share > 0.6:
            raise Killed

    with pytest.raises(Killed):
        train_agent(source, settings, span, store, plan=plan, seeds=2, compare=False, progress=kill)
    assert not store.list("model")
    trained_turns = []
    original = PpoLoop.train
    monkeypatch.setattr(PpoLoop, "train", lambda self: trained_turns.append(1) or original(self))
    trained = train_agent(source, settings, span, store, plan=plan, seeds=2, compare=False)
    # The first seed was done and one turn of the second.
    assert len(trained_turns) == 1
    assert [len(curve.samples) for curve in trained.curves] == [2, 2]
    artifact = trained.artifact
    assert (artifact.kind, artifact.name, artifact.family) == ("model", "rl", "rl")
    assert {"holdout_bps", "flat_bps", "hold_BTC_bps", "seeds_median_bps_a_day"} <= set(artifact.metrics)
    assert trained.judgement.verdict.word in ("none", "unproven")
    page = write_page(tmp_path / "agent.html", trained).read_text(encoding="utf-8")
    assert "Learning curve" in page and "seed 1 alone" in page and "bps a day" in page and "http-equiv" in page
    folder = store.load(artifact.reference).path
    member = load_member("rl", folder)
    assert isinstance(member, Guarded)
    # What is unlike anything it has seen is not believed.
    usual, strange = np.zeros((1, SEQUENCE, N_FEATURES)), np.zeros((1, SEQUENCE, N_FEATURES))
    usual[:, -1] = member.member.mean
    strange[:, -1] = member.member.mean + 50.0 * member.member.scale
    assert member.trust(usual)[0] == 1.0
    assert member.trust(strange)[0] < 0.5
    # It votes on a desk of the ensemble as any other does.
    cut = replace(trained_market(settings, source, span), minutes=5)
    panel = LocalPanel({"rl": (member, artifact.version)}, 15)
    selector = Selector(settings.rules.selection, WeightTable.equal(("rl",)), ("rl",))
    records = list(make_backtest(settings, cut, panel, cash=CASH, selector=selector).run())
    assert [r.status for r in records] == ["done"] * 5
    assert all(r.votes[0].spoke and r.votes[0].version == artifact.version for r in records)
    # Whoever serves it has neither RLlib nor Ray in memory.
    asked = (
        "import sys, json, numpy as np; from pathlib import Path; from serve.models.registry import load_member\n"
        "from core.features import N_FEATURES, SEQUENCE\n"
        "load_member('rl', Path(sys.argv[1])).forecast(np.zeros((2, SEQUENCE, N_FEATURES)))\n"
        "print(json.dumps(sorted(m for m in sys.modules if m.split('.')[0] in ('ray', 'gymnasium'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def trained_market(settings, source: MarketSource, span: Span):
    market = training.cut(source, ROWS, span.minutes - WARMUP_MINUTES, span.first_minute + WARMUP_MINUTES * MINUTE_MS)
    return worlds(settings, market)[1].market


def test_the_agent_stands_beside_flat_holding_and_the_members_that_learned_on_the_same_minutes(
    settings, source: MarketSource, span: Span
) -> None:
    models = settings.rules.models
    ridge = models.model_copy(update={"members": tuple(m for m in models.members if m.family == "ridge")})
    settings = settings.model_copy(update={"rules": settings.rules.model_copy(update={"models": ridge})})
    market = training.cut(source, ROWS, span.minutes - WARMUP_MINUTES, span.first_minute + WARMUP_MINUTES * MINUTE_MS)
    first, held = worlds(settings, market)
    torch.manual_seed(3)
    member = export([RowPolicy(first.features.shape[2])], first)
    judged = judge_agent(member, first, held, (1.0, -2.0, 0.5))
    assert {"flat", "hold BTC", "supervised ensemble"} <= set(judged.rivals)
    # The others learned from the minutes before the held-out ones, and trade those by the same engine.
    assert judged.rivals["supervised ensemble"] == growth_of(run_members(supervised(first, 0), held))
    assert judged.rivals["flat"] == 0.0
    assert judged.result.minute[0] == held.market.first_minute
    low, middle, high = (judged.metrics[f"seeds_{one}_bps_a_day"] for one in ("lowest", "median", "highest"))
    assert (low, middle, high) == (-2.0, 0.5, 1.0)
    assert judged.verdict.word in ("none", "unproven")


def test_the_curve_is_what_the_likeliest_actions_earn_in_the_environment(wave: AgentMarket) -> None:
    torch.manual_seed(5)
    policy = RowPolicy(2)
    torch.nn.init.normal_(policy.head.weight, std=2.0)
    env = VectorEnv(wave, 1, whole=True, masked=False)
    obs = env.reset()
    first = env.equity[0]
    for _ in range(env.minutes):
        with torch.no_grad():
            action = policy(torch.from_numpy(obs[..., :2])).argmax(dim=-1)
        seen = env.step(action.numpy())
        obs = seen.obs
    earned = np.log(seen.equity[0] / first) * 1e4 * DAY_MINUTES / env.minutes
    assert earned != 0.0
    np.testing.assert_allclose(greedy_growth(policy, wave), earned, rtol=1e-9)


def test_an_agent_says_how_much_of_the_machine_it_takes(wave: AgentMarket) -> None:
    config = configured(wave, 1, Plan())
    assert (config.num_cpus_for_main_process, config.num_env_runners, config.num_learners) == (CPUS, 0, 0)
    assert config.enable_rl_module_and_learner and config.enable_env_runner_and_connector_v2
    assert torch.get_num_threads() == CPUS


def test_both_halves_are_standardised_by_the_first(settings, source: MarketSource, span: Span) -> None:
    market = training.cut(source, ROWS, span.minutes - WARMUP_MINUTES, span.first_minute + WARMUP_MINUTES * MINUTE_MS)
    first, held = worlds(settings, market)
    np.testing.assert_array_equal(first.mean, held.mean)
    assert first.market.minutes + held.market.minutes == market.minutes
    # What is decided first in the held-out part comes right after what was learned from.
    assert held.market.first_minute == market.first_minute + first.market.minutes * MINUTE_MS
    k = (held.market.first_minute - market.start_minute) // MINUTE_MS
    np.testing.assert_array_equal(held.market.bars[:, held.first], market.bars[:, k])
    np.testing.assert_array_equal(held.features[:, held.first], training.market_features(market)[:, k])
