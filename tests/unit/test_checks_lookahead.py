"""Whatever knows its future is caught, by name and by how far it looked; what does not is left in peace."""

import numpy as np
import pytest

from config.load import load_settings
from config.settings import Settings
from core.errors import ConfigError
from core.features import HISTORY
from core.messages import FloatArray
from core.units import MINUTE_MS
from data.market import MarketCut
from serve.models.registry import FAMILIES
from tests.support import cheats
from tests.support.markets import BTC, ETH, MINUTE
from tests.support.trending import trending
from tune.check_command import _chosen
from tune.checks.account_subjects import decisions_subject, engine_subject
from tune.checks.changes import CHANGES
from tune.checks.lookahead import Leak, Looked, Subject, look
from tune.checks.subjects import features_subject, labels_subject, member_subject, our_subjects
from tune.folds import walk_forward

HORIZON = 15


def a_market(minutes: int = HISTORY + 400, gaps: float = 0.02) -> MarketCut:
    return MarketCut(
        instruments=(BTC, ETH),
        start_minute=MINUTE,
        first_minute=MINUTE + HISTORY * MINUTE_MS,
        minutes=minutes - HISTORY,
        bars=np.stack([trending(minutes, seed, gaps=gaps) for seed in (1, 2)]),
        synthetic=True,
        sentiment=tuple((MINUTE + k * 60 * MINUTE_MS + 1_000, 40.0 + k) for k in range(minutes // 60)),
    )


@pytest.fixture(scope="module")
def market() -> MarketCut:
    return a_market()


@pytest.fixture(scope="module")
def settings() -> Settings:
    made = load_settings()
    trade = made.config.trade.model_copy(update={"instruments": (str(BTC), str(ETH))})
    return made.model_copy(update={"config": made.config.model_copy(update={"trade": trade})})


def caught(rule, market: MarketCut, cuts: int = 3, seed: int = 1) -> Leak:
    found = look(features_subject("cheats", rule), market, cuts=cuts, seed=seed)
    assert len(found.leaks) == 1
    return found.leaks[0]


def test_a_return_shifted_the_wrong_way_looks_one_bar_ahead(market: MarketCut) -> None:
    leak = caught(cheats.next_return, market)
    assert (leak.nearest, leak.farthest, leak.open_ended) == (1, 1, False)
    assert leak.cut_minute - leak.minute == MINUTE_MS
    assert "cheats: shifted_return of binance:BTC/USDT at " in str(leak)
    assert str(leak).endswith("it looks 1 bar ahead")


def test_a_centred_mean_looks_half_its_width_ahead(market: MarketCut) -> None:
    leak = caught(cheats.centred_mean, market)
    assert (leak.nearest, leak.farthest) == (1, cheats.CENTRE)
    assert "centred_mean" in str(leak)
    assert f"it looks 1 to {cheats.CENTRE} bars ahead" in str(leak)


def test_a_scale_fitted_on_everything_looks_to_the_end(market: MarketCut) -> None:
    leak = caught(cheats.scaled_on_everything, market)
    assert leak.open_ended
    assert leak.farthest > 300
    assert "z_return" in str(leak)


@pytest.mark.parametrize("seed", range(5))
def test_an_hour_known_before_it_is_over_is_caught_wherever_the_cut_falls(market: MarketCut, seed: int) -> None:
    leak = caught(cheats.hourly_close, market, seed=seed)
    assert 1 <= leak.farthest < cheats.HOUR
    assert "hourly_close" in str(leak)


def test_a_mood_filled_in_before_it_was_known_is_caught(market: MarketCut) -> None:
    assert "mood" in str(caught(cheats.revised_mood, market, cuts=6))


def test_a_label_that_overlaps_its_fold_is_caught(market: MarketCut) -> None:
    minutes = market.bars.shape[1]
    cheat = labels_subject("labels", cheats.unpurged(HORIZON), minutes=minutes, market=market, horizon=HORIZON)
    found = look(cheat, market)
    assert [leak.where.column for leak in found.leaks] == ["target of fold 1", "target of fold 2"]
    for leak in found.leaks:
        assert leak.where.rows == HORIZON, "the last targets of the training part, each a bar further"
        assert (leak.nearest, leak.farthest) == (1, 1), "the earliest of them just touches the test part"
        assert "labels: target of fold" in str(leak)


def test_purged_folds_learn_from_nothing_of_their_test_part(market: MarketCut) -> None:
    minutes = market.bars.shape[1]
    for purge, leaks in ((HORIZON, 0), (HORIZON - 1, 2)):
        subject = labels_subject(
            "labels",
            lambda data, minutes, purge=purge: walk_forward(minutes, 2, purge=purge, first=data.first),
            minutes=minutes,
            market=market,
            horizon=HORIZON,
        )
        assert len(look(subject, market).leaks) == leaks


def test_a_rule_that_peeks_at_the_next_open_is_caught_in_its_decisions(market: MarketCut, settings: Settings) -> None:
    minutes = market.bars.shape[1]
    rules = decisions_subject(
        settings,
        ("rules",),
        HORIZON,
        minutes - 60,
        minutes,
        1,
        selector=cheats.PeekingSelector,
    )
    found = look(rules, market, cuts=2)
    columns = {leak.where.column for leak in found.leaks}
    assert "target" in columns
    assert not columns & {"input_hash", "votes", "events", "regime"}, "what it saw was honest, what it wanted was not"
    target = next(leak for leak in found.leaks if leak.where.column == "target")
    assert (target.nearest, target.farthest) == (1, 1)


def test_a_member_scaled_on_what_it_is_judged_on_is_caught(market: MarketCut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "scaled", ("tests.support.cheats", "ScaledOnEverything"))
    minutes = market.bars.shape[1]
    for family, leaks in (("scaled", {"what it learned", "stdev_bps"}), ("ridge", set())):
        found = look(member_subject(family, HORIZON, minutes - 180, minutes, 1, thorough=False), market)
        assert {leak.where.column for leak in found.leaks} - {"mean_bps"} == leaks


def test_nothing_of_ours_knows_its_future(market: MarketCut, settings: Settings) -> None:
    for subject in our_subjects(settings, market, seed=1):
        found = look(subject, market, cuts=2)
        assert [str(leak) for leak in found.leaks] == []
        assert found.compared >= 4, subject.name


def test_the_decisions_that_are_compared_include_orders_and_fills(market: MarketCut, settings: Settings) -> None:
    """A check over minutes in which nothing happens would prove nothing."""
    decisions = our_subjects(settings, market, seed=1)[-1]
    answers = decisions.ask(market)
    for field in ("approved", "orders", "fills", "target"):
        assert len(set(answers[field].values)) > 2, field


def test_a_stop_that_another_future_touches_is_no_leak(market: MarketCut, settings: Settings) -> None:
    """It is decided inside the minute that follows, by prices of that minute."""
    tight = settings.rules.protection.model_copy(update={"stop_loss_pct": 0.05})
    rules = settings.rules.model_copy(update={"protection": tight})
    subject = engine_subject(settings.model_copy(update={"rules": rules}), market.bars.shape[1])
    answers = subject.ask(market)
    assert sum(text != "" for text in answers["exits"].values) > 5
    assert sum(text != "" for text in answers["orders"].values) > 5
    assert [str(leak) for leak in look(subject, market, cuts=12).leaks] == []


@pytest.mark.parametrize("change", CHANGES)
def test_another_future_leaves_the_past_as_it_was(change: str) -> None:
    market = a_market(HISTORY + 50)
    cut = HISTORY + (50 if change == "appended" else 20)
    other = CHANGES[change](market, cut, 1)
    np.testing.assert_array_equal(other.bars[:, :cut], market.bars[:, :cut])
    now = MINUTE + cut * MINUTE_MS
    assert [s for s in other.sentiment if s[0] <= now] == [s for s in market.sentiment if s[0] <= now]
    assert other.minutes == other.bars.shape[1] - HISTORY
    again = CHANGES[change](market, cut, 1)
    np.testing.assert_array_equal(other.bars, again.bars)


def test_the_same_seed_tries_the_same_futures(market: MarketCut) -> None:
    one, two = (look(features_subject("cheats", cheats.centred_mean), market, seed=4) for _ in range(2))
    assert one.leaks == two.leaks


def test_an_answer_that_goes_missing_is_a_leak(market: MarketCut) -> None:
    """A name that is only there because of what came later."""

    def rule(cut: MarketCut) -> dict[str, FloatArray]:
        names = ("a", "b") if cut.bars.shape[1] >= market.bars.shape[1] else ("a",)
        return {name: np.zeros(cut.bars.shape[:2]) for name in names}

    found: Looked = look(features_subject("names", rule), market)
    assert [leak.where.right for leak in found.leaks] == ["no answer"]


def test_a_market_too_short_to_cut_is_refused() -> None:
    with pytest.raises(ConfigError, match="more --minutes"):
        look(Subject(name="features", ask=lambda m: {}, first=HISTORY + 9), a_market(HISTORY + 10))


def test_only_takes_a_name_or_a_part_of_one() -> None:
    names = ["features", "member ridge", "member tcn", "decisions"]
    assert _chosen(None, names) == set(names)
    assert _chosen(["member"], names) == {"member ridge", "member tcn"}
    assert _chosen(["features", "tcn"], names) == {"features", "member tcn"}
    with pytest.raises(ConfigError, match="did you mean 'features'"):
        _chosen(["fetures"], names)
