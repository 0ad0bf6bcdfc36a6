"""Members learn what is there, say about nothing where there is nothing, and survive the disk unchanged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import ConfigError, DataError, Defect
from core.features import FEATURE_NAMES, N_FEATURES, SEQUENCE
from serve.models.base import TrainingSet, shrinkage
from serve.models.registry import FAMILIES, USES_TORCH, hyper_parameters, load_member, new_member
from serve.models.ridge import Ridge
from serve.models.rl import RlPolicy
from serve.models.rules import DEFAULTS, ChartRules, signals
from serve.models.tcn import Network
from serve.panel import PRECOMPUTED_TOLERANCE_BPS
from tests.support.samples import S, T, made_up

NETWORKS = ("tcn", "gru", "patch")
SHORT = {family: {"steps": 30} for family in NETWORKS} | {"lightgbm": {"trees": 20}}


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


@pytest.mark.parametrize("family", NETWORKS)
def test_a_network_finds_an_edge_that_a_single_row_does_not_hold(family: str) -> None:
    """The return follows the mean of one feature over the last 8 minutes: only a look at the sequence finds it."""
    data = made_up(edge=0.0)
    seen = data.features[:, :, FEATURE_NAMES.index("ret_1")]
    smooth = np.stack([np.convolve(row, np.ones(8), "full")[: row.size] / np.sqrt(8) for row in seen])
    data.target_bps[:] = 20.0 * smooth + np.random.default_rng(5).normal(scale=10.0, size=smooth.shape)
    member = new_member(family, steps=150)
    member.fit(data, seed=3)
    at = np.linspace(0, data.size - 1, 500).astype(int)
    mean, stdev = member.forecast(data.windows(at))
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
    h = (network.enter(x) * torch.sigmoid(network.gate(x))).transpose(1, 2)
    for k, layer in enumerate(network.layers):
        step, channels = 1 << k, h.shape[1]
        kernel = layer.weight.view(channels, 2, channels).transpose(1, 2)
        wide = torch.nn.functional.conv1d(h, kernel, layer.bias, dilation=step)
        h = h[:, :, step:] + torch.nn.functional.gelu(wide)
    expected = network.head(h[:, :, -1])
    assert torch.allclose(network(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", [*NETWORKS, "lightgbm"])
def test_a_family_learns_the_same_twice_and_leaves_the_global_generator_alone(family: str) -> None:
    data, x = made_up(edge=40.0).between(0, 900), some_windows(made_up(edge=40.0))
    torch.manual_seed(123)
    before = torch.get_rng_state()

    def said(seed: int) -> np.ndarray:
        member = new_member(family, **SHORT[family])
        member.fit(data, seed)
        return np.stack(member.forecast(x))

    one = said(4)
    np.testing.assert_array_equal(one, said(4))
    assert not np.array_equal(one, said(5))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("family", [*NETWORKS, "rl"])
def test_a_torch_member_computes_in_the_threads_that_were_declared(
    family: str, fitted: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted[family].save(tmp_path)
    before = torch.get_num_threads()
    try:
        for declared, threads in (("2", 2), ("1", 1), ("many", 1)):
            monkeypatch.setenv("OMP_NUM_THREADS", declared)
            torch.set_num_threads(3)
            load_member(family, tmp_path)
            assert torch.get_num_threads() == threads
            if family != "rl":
                torch.set_num_threads(3)
                new_member(family, steps=1).fit(made_up(edge=0.0).between(0, 300), 1)
                assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


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
    data.features[:, :, FEATURE_NAMES.index("news_known")] = 1.0
    members = {family: new_member(family, **SHORT.get(family, {})) for family in FAMILIES if family != "rl"}
    for member in members.values():
        member.fit(data, 1)
    return members | {"rl": policy()}


def known_windows(n: int = 40) -> np.ndarray:
    """As what they were fitted on: some news is known, so that everybody has something to say."""
    x = some_windows(made_up(edge=10.0), n)
    x[:, :, FEATURE_NAMES.index("news_known")] = 1.0
    return x


@pytest.mark.parametrize("family", FAMILIES)
def test_a_member_survives_the_disk(family: str, fitted: dict, tmp_path: Path) -> None:
    member = fitted[family]
    member.save(tmp_path)
    again = load_member(family, tmp_path)
    assert again.settings == member.settings
    x = known_windows()
    for a, b in zip(member.forecast(x), again.forecast(x), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_row_with_an_unknown_or_infinite_feature_is_unknown_and_alone(
    family: str, broken: float, fitted: dict
) -> None:
    x = known_windows(5)
    clean = fitted[family].forecast(x)[0]
    x[2, -1, FEATURE_NAMES.index("ret_1")] = broken
    mean, stdev = fitted[family].forecast(x)
    assert np.isfinite(clean).all()
    assert np.isnan(mean[2])
    assert np.isnan(stdev[2])
    np.testing.assert_allclose(np.delete(mean, 2), np.delete(clean, 2), rtol=0, atol=PRECOMPUTED_TOLERANCE_BPS)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_does_not_depend_on_who_else_was_asked(family: str, fitted: dict) -> None:
    x = known_windows()
    together = np.stack(fitted[family].forecast(x))
    alone = np.concatenate([np.stack(fitted[family].forecast(x[i : i + 1])) for i in range(len(x))], axis=1)
    exact = family not in USES_TORCH
    np.testing.assert_allclose(together, alone, rtol=0, atol=0.0 if exact else PRECOMPUTED_TOLERANCE_BPS)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "gone"])
def test_a_damaged_checkpoint_is_named(family: str, damage: str, fitted: dict, tmp_path: Path) -> None:
    fitted[family].save(tmp_path)
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            noise = bytes(range(256)) * 4
            path.write_bytes({"cut": whole[: len(whole) // 2], "noise": noise, "empty": b""}[damage])
    with pytest.raises(DataError, match=f"holds no {family} member that can be read.*train it again"):
        load_member(family, tmp_path)


FULL = {
    "tcn": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    "gru": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "patch": RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
}
"""A GPU without memory speaks in several tongues; to each family its own."""


@pytest.mark.parametrize("family", NETWORKS)
def test_a_full_gpu_costs_the_gpu_and_not_the_vote(
    family: str, fitted: dict, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    member, x = fitted[family], known_windows()
    before = member.forecast(x)
    whole, calls = type(member.network).forward, []

    def full_once(self: torch.nn.Module, seen: torch.Tensor) -> torch.Tensor:
        calls.append(len(seen))
        if len(calls) == 1:
            raise FULL[family]
        return whole(self, seen)

    monkeypatch.setattr(type(member.network), "forward", full_once)
    after = member.forecast(x)
    assert member.device.type == "cpu"
    assert "memory is full while forecasting" in caplog.text
    np.testing.assert_array_equal(before, after)
    # And a training that meets it goes on, with the result it would have had.
    calls.clear()
    fresh = new_member(family, **SHORT[family])
    fresh.fit(made_up(edge=10.0), 2)
    plain = new_member(family, **SHORT[family])
    plain.fit(made_up(edge=10.0), 2)
    np.testing.assert_array_equal(fresh.forecast(x), plain.forecast(x))


def test_what_is_no_want_of_memory_is_not_taken_for_it(fitted: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: torch.nn.Module, seen: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)")

    monkeypatch.setattr(type(fitted["tcn"].network), "forward", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        fitted["tcn"].forecast(known_windows(2))


def test_hyper_parameters_are_named_and_checked() -> None:
    assert hyper_parameters("gru")["hidden"] == 24
    assert new_member("gru", hidden=8.0).settings.hidden == 8
    with pytest.raises(ConfigError, match=r"'gru' has no hyper-parameter 'hiden' \(did you mean 'hidden'\?\)"):
        new_member("gru", hiden=8)
    with pytest.raises(ConfigError, match=r"hidden is 1\.5; a int is expected"):
        new_member("gru", hidden=1.5)
    with pytest.raises(ConfigError, match="penalty is -1; it cannot be negative"):
        new_member("ridge", penalty=-1)
    with pytest.raises(ConfigError, match="width 30 must be a multiple of heads 4"):
        new_member("patch", width=30).fit(made_up(edge=0.0), 1)


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
    with pytest.raises(ConfigError, match="gru, lightgbm, patch, ridge, rl, rules, sentiment, tcn"):
        new_member("oracle")


def test_fixed_rules_learn_nothing_and_say_what_they_were_told() -> None:
    data = made_up(edge=50.0)
    rules = ChartRules(fixed=2.0)
    assert rules.fit(data) == {"fixed": 2.0}
    assert rules.coefficients.tolist() == [2.0] * len(DEFAULTS)
    recent = data.windows(np.arange(20))
    told, _ = rules.forecast(recent)
    assert told == pytest.approx(ChartRules(horizon=data.horizon).forecast(recent)[0] * 2.0 / DEFAULTS[0])
