"""A strange market is noticed and lowers a member's say, smoothly; the market it learned from does not."""

from dataclasses import replace

import numpy as np
import pytest

from core.bars import fill_gaps
from core.familiarity import MARKET_FEATURES, learn
from core.features import FEATURE_NAMES, LOOKBACK, SEQUENCE, feature_table
from core.record import _trust
from core.votes import Answer, assemble_votes
from serve.models.guard import FILE, Guarded
from serve.models.registry import load_member
from serve.panel import LocalPanel, forecast_history
from tests.support.markets import BTC, ETH, MINUTE, market, walk
from tests.support.samples import made_up
from tune.train import fit_on


def rows_of(seed: int, volatility: float = 1e-3, minutes: int = 3_000) -> np.ndarray:
    """(N, F) feature rows of a random walk."""
    bars, filler = fill_gaps(
        np.stack([walk(minutes + LOOKBACK, seed, volatility=volatility), walk(minutes + LOOKBACK, 9)])
    )
    return feature_table(bars, filler, MINUTE)[0, LOOKBACK:]


@pytest.fixture(scope="module")
def seen():
    rows = rows_of(1)
    return learn(rows, np.arange(len(rows))), rows


def test_what_was_learned_from_is_believed(seen) -> None:
    guard, rows = seen
    assert (guard.trust(rows) == 1.0).mean() >= 0.99
    assert guard.trust(rows).mean() > 0.995


def test_the_same_kind_of_market_at_another_time_is_no_alarm(seen) -> None:
    guard, _ = seen
    assert (guard.trust(rows_of(2)) == 1.0).mean() > 0.97


def test_a_market_five_times_as_wild_is_strange_and_one_ten_times_stranger(seen) -> None:
    guard, _ = seen
    five, ten = (float(guard.trust(rows_of(3, 1e-3 * by)).mean()) for by in (5.0, 10.0))
    assert ten < five < 0.6


def test_trust_falls_smoothly_and_without_a_step(seen) -> None:
    guard, rows = seen
    typical = rows[100]
    away = typical + np.linspace(0.0, 12.0, 2_000)[:, None] * guard.scale
    trust = guard.trust(away)
    assert trust[0] == 1.0
    assert trust[-1] < 0.1
    assert (np.diff(trust) <= 1e-12).all()
    assert np.abs(np.diff(trust)).max() < 0.03


def test_time_mood_and_what_never_moved_are_not_read(seen) -> None:
    guard, rows = seen
    other = rows[:50].copy()
    other[:, MARKET_FEATURES:] += 100.0
    constant = np.flatnonzero(rows.std(axis=0) == 0.0)
    other[:, constant] += 100.0
    np.testing.assert_array_equal(guard.distance(other), guard.distance(rows[:50]))
    assert FEATURE_NAMES[MARKET_FEATURES] == "hour_sin"


def test_an_unknown_feature_is_not_believed_and_a_row_is_judged_alone(seen) -> None:
    guard, rows = seen
    some = rows[:40].copy()
    some[3, 0] = np.nan
    trust = guard.trust(some)
    assert trust[3] == 0.0
    for k in range(40):
        assert guard.trust(some[k : k + 1])[0] == trust[k]


def test_a_trained_member_carries_its_guard_through_the_disk_and_says_less_in_a_strange_market(tmp_path) -> None:
    data = made_up(edge=10.0)
    member, _ = fit_on("ridge", data, 1)
    assert isinstance(member, Guarded)
    member.save(tmp_path)
    back = load_member("ridge", tmp_path)
    windows = data.windows(np.arange(0, 200))
    plain, stdev = member.member.forecast(windows)
    mean, same = back.forecast(windows)
    np.testing.assert_array_equal(stdev, same)
    assert (mean == plain).mean() > 0.97
    strange = windows.copy()
    strange[:, :, 1:MARKET_FEATURES] *= 4.0
    assert np.abs(back.forecast(strange)[0]).mean() < 0.3 * np.abs(member.member.forecast(strange)[0]).mean()
    (tmp_path / FILE).unlink()
    assert not isinstance(load_member("ridge", tmp_path), Guarded)


def test_the_vote_and_its_record_say_how_far_a_member_was_believed() -> None:
    data = made_up(edge=10.0)
    member, _ = fit_on("ridge", data, 1)
    features = data.windows(np.array([10, 20]))
    features[1, :, 1:MARKET_FEATURES] *= 4.0
    now = market((BTC, ETH), mids=(100.0, 50.0), features=features)
    votes = LocalPanel({"ridge": (member, "v1")}, 15).forecast(now)
    assert votes.trust is not None
    assert votes.trust[0, 0] == 1.0 > votes.trust[0, 1] > 0.0
    assert _trust(votes, 0) == tuple(votes.trust[0])
    calm = replace(votes, trust=np.ones((1, 2)))
    assert _trust(calm, 0) == ()
    alone = member.member.forecast(features)[0]
    assert votes.mean_bps[0, 1] == alone[1] * votes.trust[0, 1]


def test_a_history_in_batches_is_believed_as_minute_by_minute() -> None:
    data = made_up(edge=10.0)
    data.features[0, 700:, 1:MARKET_FEATURES] *= 3.0
    member, _ = fit_on("ridge", made_up(edge=10.0), 1)
    mean, _ = forecast_history(member, data.features[0], 0, 900)
    for t in (SEQUENCE, 500, 699, 700, 850):
        alone = member.forecast(data.features[0, None, t - SEQUENCE + 1 : t + 1])[0][0]
        assert mean[t] == alone


def test_a_forecast_expires_with_its_minute() -> None:
    now = market((BTC,))
    old = Answer(mean_bps=np.zeros(1), stdev_bps=np.ones(1), version="v1", minute=now.minute - 60_000)
    votes = assemble_votes(now, {"ridge": old}, ("ridge",), 15)
    assert not votes.spoke[0]
    assert votes.silence[0].startswith("stale")
