"""The member that reads mood and news: it finds what is there, is about silent where nothing is, and does not vote blind."""

import numpy as np
import pytest

from core.features import FEATURE_NAMES, SEQUENCE
from core.votes import assemble_votes
from serve.models.base import TrainingSet
from serve.models.registry import load_member, new_member
from serve.models.sentiment import SentimentMember
from serve.panel import LocalPanel
from tests.support.markets import market
from tests.support.samples import S, T, made_up

KNOWN = [FEATURE_NAMES.index(name) for name in ("fear_greed_known", "news_known", "funding_known")]
NEWS = FEATURE_NAMES.index("news_score")


def told(edge: float, seed: int = 1) -> TrainingSet:
    """The return is ``edge`` × the news of the coin, which stay for 30 minutes, plus noise of 20 bps."""
    data = made_up(0.0, seed)
    rng = np.random.default_rng(seed + 100)
    data.features[:, :, KNOWN] = 1.0
    data.features[:, :, NEWS] = np.repeat(rng.normal(0.0, 0.3, (S, T // 30)), 30, axis=1)
    data.target_bps[:] = edge * data.features[:, :, NEWS] + rng.normal(scale=20.0, size=(S, T))
    return data


def some(data: TrainingSet) -> np.ndarray:
    return data.windows(np.arange(0, data.size, 50))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_finds_news_that_move_the_price(seed) -> None:
    data = told(40.0, seed)
    member = SentimentMember()
    notes = member.fit(data)
    mean, stdev = member.forecast(some(data))
    truth = 40.0 * some(data)[:, -1, NEWS]
    assert np.corrcoef(mean, truth)[0, 1] > 0.9
    assert notes["shrink"] > 0.5
    assert 15.0 < stdev.mean() < 26.0


@pytest.mark.parametrize("seed", range(1, 6))
def test_it_says_about_nothing_where_news_move_nothing(seed) -> None:
    member = SentimentMember()
    member.fit(told(0.0, seed))
    mean, _ = member.forecast(some(told(0.0, seed)))
    assert np.abs(mean).mean() < 1.5


def test_without_mood_and_news_it_has_no_vote() -> None:
    data = told(40.0)
    member = SentimentMember()
    member.fit(data)
    blind = some(data)
    blind[::2][:, :, KNOWN] = 0.0
    mean, stdev = member.forecast(blind)
    assert np.isnan(mean[::2]).all()
    assert np.isnan(stdev[::2]).all()
    assert np.isfinite(mean[1::2]).all()
    row = blind[1:2].copy()
    row[:, :, KNOWN[0]] = 0.0  # headlines alone will do
    assert np.isfinite(member.forecast(row)[0]).all()


def test_trained_where_nothing_was_known_it_has_no_opinion() -> None:
    data = told(40.0)
    data.features[:, :, KNOWN] = 0.0
    member = SentimentMember()
    notes = member.fit(data)
    assert (notes["shrink"], notes["known"]) == (0.0, 0.0)
    assert (member.forecast(some(told(40.0)))[0] == 0.0).all()


def test_its_silence_is_in_the_votes_with_a_reason() -> None:
    data = told(40.0)
    data.features[:, :, KNOWN] = 0.0
    member = SentimentMember()
    member.fit(data)
    now = market(features=data.windows(np.arange(1)))
    votes = LocalPanel({"sentiment": (member, "v1")}, 15).forecast(now)
    assert not votes.spoke[0]
    assert votes.silence[0].startswith("not finite")
    assert assemble_votes(now, {}, ("sentiment",), 15).silence[0].startswith("absent")


def test_a_row_is_answered_alike_alone_and_among_others_and_after_the_disk(tmp_path) -> None:
    data = told(40.0)
    member = new_member("sentiment")
    member.fit(data, 0)
    rows = some(data)
    together = member.forecast(rows)
    member.save(tmp_path)
    back = load_member("sentiment", tmp_path)
    for k in range(0, len(rows), 7):
        alone = back.forecast(rows[k : k + 1])
        assert (alone[0][0], alone[1][0]) == (together[0][k], together[1][k])
    assert rows.shape[1] == SEQUENCE
