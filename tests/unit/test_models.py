"""Members learn what is there, say about nothing where there is nothing, and survive the disk unchanged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import ConfigError, Defect
from core.features import FEATURE_NAMES, N_FEATURES, SEQUENCE
from serve.models.base import TrainingSet, shrinkage
from serve.models.registry import new_member
from serve.models.ridge import Ridge
from serve.models.rl import RlPolicy
from serve.models.rules import DEFAULTS, ChartRules, signals
from serve.models.tcn import Network, Tcn
from tests.support.samples import S, T, made_up


def some_windows(data: TrainingSet, n: int = 40) -> np.ndarray:
    return data.windows(np.linspace(0, data.size - 1, n).astype(int))


def test_ridge_finds_a_planted_edge() -> None:
    data = made_up(edge=10.0)
    ridge = Ridge()
    notes = ridge.fit(data)
    mean, stdev = ridge.forecast(some_windows(data))
    truth = 10.0 * some_windows(data)[:, -1, 0]
    assert np.corrcoef(mean, truth)[0, 1] > 0.95
    assert notes["shrink"] > 0.7
    assert 15 < stdev.mean() < 25


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ridge_is_about_silent_without_information(seed: int) -> None:
    data = made_up(edge=0.0, seed=seed)
    ridge = Ridge()
    ridge.fit(data)
    assert np.abs(ridge.forecast(some_windows(data))[0]).max() < 1.0


def test_tcn_finds_an_edge_that_a_single_row_does_not_hold() -> None:
    """The return follows the mean of feature 1 over the last 8 minutes: only a look at the sequence finds it."""
    data = made_up(edge=0.0)
    smooth = np.stack([np.convolve(row, np.ones(8), "full")[: row.size] / np.sqrt(8) for row in data.features[:, :, 1]])
    data.target_bps[:] = 20.0 * smooth + np.random.default_rng(5).normal(scale=10.0, size=smooth.shape)
    tcn = Tcn(steps=200, device="cpu")
    tcn.fit(data, seed=3)
    at = np.linspace(0, data.size - 1, 500).astype(int)
    mean, stdev = tcn.forecast(data.windows(at))
    truth = 20.0 * smooth[data.rows[at, 0], data.rows[at, 1]]
    assert np.corrcoef(mean, truth)[0, 1] > 0.6
    assert np.isfinite(stdev).all()
    assert (stdev > 0).all()


def test_tcn_equals_the_dilated_network_it_claims_to_be() -> None:
    """The stride-2 tree gives the newest output of causal kernel-2 convolutions with dilations 1, 2, 4, …"""
    torch.manual_seed(0)
    network = Network(N_FEATURES).double().eval()
    torch.nn.init.normal_(network.head.weight)
    x = torch.randn(4, SEQUENCE, N_FEATURES, dtype=torch.float64)
    h = torch.nn.functional.glu(network.enter(x.transpose(1, 2)), dim=1)
    for k, layer in enumerate(network.layers):
        step = 1 << k
        wide = torch.nn.functional.conv1d(h, layer.weight, layer.bias, dilation=step)
        h = h[:, :, step:] + torch.nn.functional.gelu(wide)
    expected = network.head(h[:, :, -1])
    assert torch.allclose(network(x), expected, rtol=0, atol=1e-12)


def test_tcn_learns_the_same_twice_and_leaves_the_global_generator_alone() -> None:
    data = made_up(edge=10.0).between(0, 700)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    one, two, other = Tcn(steps=30, device="cpu"), Tcn(steps=30, device="cpu"), Tcn(steps=30, device="cpu")
    one.fit(data, seed=4)
    two.fit(data, seed=4)
    other.fit(data, seed=5)
    x = torch.from_numpy(some_windows(data)[:, :, one.columns])
    assert torch.equal(one.network(x), two.network(x))
    assert not torch.equal(one.network(x), other.network(x))
    assert torch.equal(before, torch.get_rng_state())


def test_rules_speak_before_any_training_as_stated() -> None:
    x = np.zeros((1, SEQUENCE, N_FEATURES))
    x[0, -1, FEATURE_NAMES.index("rv_60")] = 1e-3
    x[0, -1, FEATURE_NAMES.index("range_pos_60")] = 1.0  # at the high of the hour: breakout = 1, nothing else
    mean, stdev = ChartRules(horizon=15).forecast(x)
    move = 1e-3 * np.sqrt(15) * 1e4
    assert mean[0] == pytest.approx(DEFAULTS[2] * move)
    assert stdev[0] == pytest.approx(move)


def test_rules_learn_the_price_of_a_signal() -> None:
    data = made_up(edge=0.0)
    breaks = signals(data.features.reshape(-1, 1, N_FEATURES))[:, 2].reshape(S, T)
    data.target_bps[:] += 8.0 * breaks
    rules = ChartRules()
    rules.fit(data)
    move = 5e-4 * np.sqrt(15) * 1e4
    # Believed less than it is worth, because 1,400 overlapping minutes are not much.
    assert 4.0 < rules.coefficients[2] * move < 8.5
    assert abs(rules.coefficients[1]) < 0.1


def test_a_confirmed_move_is_followed_and_fades() -> None:
    rows = np.zeros((1, 15, N_FEATURES))
    rows[:, :, FEATURE_NAMES.index("rv_60")] = 1e-3
    rows[0, 4, FEATURE_NAMES.index("ret_1")] = 1e-2
    assert signals(rows)[0, 3] == 0.0  # a move that nobody traded on
    rows[0, 4, FEATURE_NAMES.index("volume_z_60")] = 5.0
    assert signals(rows)[0, 3] == pytest.approx(5 / 15, rel=1e-3)


def test_rules_have_a_word_for_a_flat_market() -> None:
    x = np.zeros((2, SEQUENCE, N_FEATURES))
    x[:, -1, FEATURE_NAMES.index("range_pos_60")] = 0.5
    mean, stdev = ChartRules().forecast(x)
    assert (mean == 0).all()
    assert (stdev > 0).all()


def policy() -> RlPolicy:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(N_FEATURES, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).eval()
    traced = torch.jit.trace(net, torch.zeros(2, N_FEATURES))
    return RlPolicy(traced, np.zeros(N_FEATURES), np.ones(N_FEATURES), full_edge_bps=30.0)


@pytest.fixture(scope="module")
def fitted() -> dict[str, object]:
    data = made_up(edge=10.0)
    members = {family: new_member(family) for family in ("ridge", "rules")} | {"tcn": Tcn(steps=20, device="cpu")}
    for member in members.values():
        member.fit(data, 1)
    return members | {"rl": policy()}


@pytest.mark.parametrize("family", ["ridge", "tcn", "rules", "rl"])
def test_a_member_survives_the_disk(family: str, fitted: dict, tmp_path: Path) -> None:
    member = fitted[family]
    member.save(tmp_path)
    again = type(member).load(tmp_path)
    x = some_windows(made_up(edge=10.0))
    for a, b in zip(member.forecast(x), again.forecast(x), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("family", ["ridge", "tcn", "rules", "rl"])
def test_a_row_with_an_unknown_feature_is_unknown_and_alone(family: str, fitted: dict) -> None:
    x = some_windows(made_up(edge=10.0), 5)
    clean = fitted[family].forecast(x)[0]
    x[2, -1, 4] = np.nan
    mean, stdev = fitted[family].forecast(x)
    assert np.isnan(mean[2])
    assert np.isnan(stdev[2])
    np.testing.assert_array_equal(np.delete(mean, 2), np.delete(clean, 2))


@pytest.mark.parametrize(("family", "tolerance"), [("ridge", 0.0), ("rules", 0.0), ("tcn", 1e-9), ("rl", 1e-3)])
def test_an_answer_does_not_depend_on_who_else_was_asked(family: str, tolerance: float, fitted: dict) -> None:
    x = some_windows(made_up(edge=10.0))
    together = fitted[family].forecast(x)[0]
    alone = np.concatenate([fitted[family].forecast(x[i : i + 1])[0] for i in range(len(x))])
    np.testing.assert_allclose(together, alone, rtol=0, atol=tolerance)


def test_an_rl_member_says_where_it_learns() -> None:
    with pytest.raises(Defect, match="train --rl"):
        RlPolicy().fit(made_up(0.0))


def test_shrinkage_believes_truth_and_not_noise() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=2_000)
    assert shrinkage(truth, truth, 2_000) == pytest.approx(1.0)
    assert shrinkage(rng.normal(size=2_000), truth, 100) < 0.1
    assert shrinkage(-truth, truth, 2_000) == 0.0
    assert shrinkage(np.zeros(5), truth[:5], 5) == 0.0


def test_an_unknown_family_names_the_known() -> None:
    with pytest.raises(ConfigError, match="ridge, rl, rules, sentiment, tcn"):
        new_member("oracle")
