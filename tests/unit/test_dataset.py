"""Samples: features as live computes them, the return that followed, and nothing that is not known."""

from pathlib import Path

import numpy as np
import pytest

from core.bars import fill_gaps
from core.errors import DataError
from core.features import LOOKBACK, N_FEATURES, SEQUENCE, feature_rows
from core.messages import CLOSE, VOLUME
from core.params import MemberSettings, ModelSettings
from core.units import MINUTE_MS, Instrument
from data.artifacts import ArtifactStore
from tests.support.markets import BTC, ETH, MINUTE, walk
from tune.dataset import forward_return_bps, sample_rows, training_set
from tune.train import Span, ensure_members, score, train_members

HORIZON = 15


class FakeLake:
    """Bars in memory, as a lake gives them."""

    root = Path("fake")

    def __init__(self, bars: np.ndarray) -> None:
        self.bars = bars

    def window(self, instruments: tuple[Instrument, ...], first_minute: int, minutes: int) -> np.ndarray:
        start = (first_minute - MINUTE) // MINUTE_MS
        return self.bars[: len(instruments), start : start + minutes].copy()


def a_lake(minutes: int = 2_000, gaps: float = 0.02) -> FakeLake:
    return FakeLake(np.stack([walk(minutes, seed, gaps=gaps) for seed in (1, 2)]))


def test_a_sample_is_what_live_would_have_seen_and_what_followed() -> None:
    lake = a_lake()
    data = training_set(lake, (BTC, ETH), MINUTE, 2_000, HORIZON)
    bars, filler = fill_gaps(lake.bars)
    symbol, t = map(int, data.rows[data.size // 2])
    seen = np.s_[:, t + 1 - LOOKBACK : t + 1]
    live = feature_rows(bars[seen], filler[seen], MINUTE + t * MINUTE_MS)[symbol]
    window = data.windows(np.array([data.size // 2]))[0]
    assert window.shape == (SEQUENCE, N_FEATURES)
    np.testing.assert_array_equal(window[-1], live)
    expected = np.log(bars[symbol, t + HORIZON, CLOSE] / bars[symbol, t, CLOSE]) * 1e4
    assert data.y[data.size // 2] == pytest.approx(expected)
    assert data.minute_of(t) == MINUTE + t * MINUTE_MS


def test_every_sample_is_whole_traded_and_has_a_future() -> None:
    data = training_set(a_lake(gaps=0.05), (BTC, ETH), MINUTE, 2_000, HORIZON)
    assert np.isfinite(data.y).all()
    assert np.isfinite(data.windows(np.arange(data.size))).all()
    assert data.rows[:, 1].max() < 2_000 - HORIZON
    assert (np.diff(data.rows[:, 1]) >= 0).all()
    filler = fill_gaps(a_lake(gaps=0.05).bars)[1]
    assert not filler[data.rows[:, 0], data.rows[:, 1]].any()


def test_changing_the_future_changes_no_feature() -> None:
    lake = a_lake()
    before = training_set(lake, (BTC, ETH), MINUTE, 2_000, HORIZON)
    lake.bars[:, 1_500:] *= 1.5
    after = training_set(lake, (BTC, ETH), MINUTE, 2_000, HORIZON)
    np.testing.assert_array_equal(before.features[:, :1_500], after.features[:, :1_500])


def test_forward_returns_end_where_the_future_is_unknown() -> None:
    ahead = forward_return_bps(np.array([[100.0, 101.0, 102.0]]), 2)
    assert ahead[0, 0] == pytest.approx(np.log(1.02) * 1e4)
    assert np.isnan(ahead[0, 1:]).all()


def test_one_unknown_feature_takes_out_the_samples_that_would_see_it() -> None:
    features = np.zeros((1, 300, N_FEATURES))
    features[0, 100, 2] = np.nan
    rows = sample_rows(features, np.zeros((1, 300)), np.zeros((1, 300), dtype=bool))
    minutes = set(rows[:, 1].tolist())
    assert minutes == set(range(SEQUENCE - 1, 300)) - set(range(100, 100 + SEQUENCE))


def test_too_short_a_span_says_what_is_needed() -> None:
    with pytest.raises(DataError, match="too few to learn from"):
        training_set(a_lake(), (BTC, ETH), MINUTE, 700, HORIZON)


def test_bars_without_any_volume_teach_nothing() -> None:
    lake = a_lake()
    lake.bars[..., VOLUME] = 0.0
    with pytest.raises(
        DataError, match=r"no minute of binance:BTC/USDT.* can be learned from: .*Is the volume missing"
    ):
        training_set(lake, (BTC, ETH), MINUTE, 2_000, HORIZON)


def test_figures_of_a_perfect_and_of_a_silent_forecast() -> None:
    target = np.random.default_rng(0).normal(scale=10.0, size=500)
    perfect = score(target, np.full(500, 10.0), target)
    assert perfect["ic"] == pytest.approx(1.0)
    assert perfect["mse_vs_zero"] == 0.0
    silent = score(np.zeros(500), np.full(500, 10.0), target)
    assert silent["ic"] == 0.0
    assert silent["mse_vs_zero"] == 1.0
    assert silent["coverage_80"] == pytest.approx(0.8, abs=0.05)


def test_nothing_is_better_than_silence_where_no_price_moved() -> None:
    assert score(np.zeros(50), np.full(50, 10.0), np.zeros(50))["mse_vs_zero"] == 1.0


MODELS = ModelSettings(
    members=(
        MemberSettings(name="ridge", family="ridge"),
        MemberSettings(name="rules", family="rules"),
        MemberSettings(name="rl", family="rl"),
    )
)
SPAN = Span(first_minute=MINUTE, minutes=2_000)


def test_training_stores_each_member_with_its_figures(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    said: list[float] = []
    made = train_members(
        a_lake(),
        (BTC, ETH),
        SPAN,
        MODELS.members[:2],
        store,
        horizon=15,
        progress=lambda text, share: said.append(share),
    )
    assert [a.name for a in made] == ["ridge", "rules"]
    assert {"ic", "mse_vs_zero", "coverage_80", "shrink"} <= set(made[0].metrics)
    assert made[0].span == (MINUTE, MINUTE + 2_000 * MINUTE_MS)
    assert said == sorted(said)
    assert said[-1] == 1.0


def test_only_what_is_missing_is_trained(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    first = ensure_members(a_lake(), (BTC, ETH), SPAN, MODELS, store)
    again = ensure_members(a_lake(), (BTC, ETH), SPAN, MODELS, store)
    assert list(first) == ["ridge", "rules"]  # the agent learns only when asked
    assert {n: a.version for n, a in first.items()} == {n: a.version for n, a in again.items()}


def test_another_hyper_parameter_is_another_model(tmp_path: Path) -> None:
    store, say = ArtifactStore(tmp_path), MemberSettings(name="rules", family="rules", hyper={"fixed": 5.0})
    first = ensure_members(a_lake(), (BTC, ETH), SPAN, MODELS, store)
    loud = ensure_members(a_lake(), (BTC, ETH), SPAN, ModelSettings(members=(say,)), store)
    assert loud["rules"].version != first["rules"].version
    assert loud["rules"].extra["hyper"]["fixed"] == 5.0
    again = ensure_members(a_lake(), (BTC, ETH), SPAN, ModelSettings(members=(say,)), store)
    assert again["rules"].version == loud["rules"].version
    assert ensure_members(a_lake(), (BTC, ETH), SPAN, MODELS, store)["rules"].version == first["rules"].version


def test_a_damaged_member_is_said_not_trained_over(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    made = ensure_members(a_lake(), (BTC, ETH), SPAN, MODELS, store)
    (made["rules"].path / "rules.json").write_text("{}")
    with pytest.raises(DataError, match=r"rules\.json: damaged"):
        ensure_members(a_lake(), (BTC, ETH), SPAN, MODELS, store)


def test_a_member_that_has_seen_the_replayed_minutes_is_not_used(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    ensure_members(a_lake(), (BTC, ETH), SPAN, MODELS, store)
    earlier = Span(first_minute=MINUTE, minutes=1_700)
    found = ensure_members(a_lake(), (BTC, ETH), earlier, MODELS, store, before=earlier.end)
    assert all(a.span[1] <= earlier.end for a in found.values())
    assert found["ridge"].version.startswith("v0002")
