"""The panel: one silence costs one vote; precomputed and recorded forecasts are the same forecasts."""

import asyncio
from dataclasses import replace

import numpy as np

from core.features import N_FEATURES, SEQUENCE
from core.messages import FloatArray, Market, MemberVote, MinuteRecord, Votes
from core.units import MINUTE_MS
from serve.doorbell import Said
from serve.models.ridge import Ridge
from serve.models.rules import ChartRules
from serve.panel import LocalPanel, RecordedPanel, ServePanel, forecast_history
from tests.support.markets import BTC, ETH, MINUTE, market
from tests.support.samples import made_up

HORIZON = 15


def a_market(table: FloatArray | None = None, at: int = SEQUENCE - 1) -> Market:
    if table is None:
        table = np.random.default_rng(3).normal(scale=0.01, size=(2, SEQUENCE, N_FEATURES))
    window = table[:, at + 1 - SEQUENCE : at + 1]
    return market((BTC, ETH), mids=(100.0, 50.0), minute=MINUTE + at * MINUTE_MS, features=window)


def members() -> dict:
    ridge = Ridge()
    ridge.fit(made_up(edge=10.0))
    return {"ridge": (ridge, "v1"), "rules": (ChartRules(HORIZON), "v1")}


def test_history_in_batches_equals_one_by_one() -> None:
    table = np.random.default_rng(4).normal(size=(700, N_FEATURES))
    table[300, 2] = np.nan
    ridge = members()["ridge"][0]
    mean, stdev = forecast_history(ridge, table, 10, 690)
    assert np.isnan(mean[: SEQUENCE - 1 - 10]).all()
    for t in (SEQUENCE - 1, 299, 300, 301, 575, 689):
        one_mean, one_stdev = ridge.forecast(table[None, t + 1 - SEQUENCE : t + 1])
        np.testing.assert_array_equal([mean[t - 10], stdev[t - 10]], [one_mean[0], one_stdev[0]])


def test_a_precomputed_panel_votes_as_an_exact_one() -> None:
    table = np.random.default_rng(5).normal(scale=0.01, size=(2, 200, N_FEATURES))
    exact, fast = LocalPanel(members(), HORIZON), LocalPanel(members(), HORIZON)
    fast.precompute({BTC: (MINUTE, table[0]), ETH: (MINUTE, table[1])})
    for t in (SEQUENCE - 1, 120, 199):
        a, b = exact.forecast(a_market(table, t)), fast.forecast(a_market(table, t))
        assert a.spoke.all()
        np.testing.assert_array_equal(a.mean_bps, b.mean_bps)
        np.testing.assert_array_equal(a.stdev_bps, b.stdev_bps)


def test_outside_the_precomputed_minutes_the_panel_computes() -> None:
    panel = LocalPanel(members(), HORIZON)
    panel.precompute({BTC: (MINUTE, np.zeros((0, N_FEATURES)))})
    assert panel.forecast(a_market()).spoke.all()


class FakeCall:
    def __init__(self, seconds: float, answer: object) -> None:
        self.seconds, self.answer = seconds, answer

    async def remote(self, features: FloatArray, minute: int) -> Said:
        await asyncio.sleep(self.seconds)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Said(self.answer, np.ones(2), "v1", minute, None)


class FakeHandle:
    def __init__(self, seconds: float, answer: object) -> None:
        self.forecast = FakeCall(seconds, answer)


async def test_one_members_trouble_is_nobody_elses() -> None:
    handles = {
        "good": FakeHandle(0.0, np.array([5.0, 6.0])),
        "slow": FakeHandle(5.0, np.array([5.0, 6.0])),
        "broken": FakeHandle(0.0, RuntimeError("first line\nout of memory")),
        "nan": FakeHandle(0.0, np.array([np.nan, 1.0])),
        "short": FakeHandle(0.0, np.array([1.0])),
    }
    panel = ServePanel(handles, dict.fromkeys(handles, 0.05) | {"good": 1.0, "gone": 0.05}, HORIZON)
    votes = await panel.forecast(a_market())
    said = dict(zip(votes.members, votes.silence, strict=True))
    assert said["good"] == ""
    assert said["slow"] == "late: no answer within 50 ms"
    assert said["broken"] == "failed: RuntimeError: out of memory"
    assert said["nan"].startswith("not finite")
    assert said["short"].startswith("wrong shape")
    assert said["gone"].startswith("absent")
    assert list(votes.mean_bps[0]) == [5.0, 6.0]
    assert votes.took_ms < 1_000


def as_record(votes: Votes, trust: tuple[float, ...] = ()) -> MinuteRecord:
    said = tuple(
        MemberVote(
            member=name,
            version=votes.versions[row],
            spoke=bool(votes.spoke[row]),
            silence=votes.silence[row],
            weight=0.5,
            mean_bps=tuple(map(float, votes.mean_bps[row])),
            stdev_bps=tuple(map(float, votes.stdev_bps[row])),
            trust=trust,
        )
        for row, name in enumerate(votes.members)
    )
    return MinuteRecord(minute=votes.minute, trace="t", status="done", votes=said)


def test_how_far_a_vote_was_believed_is_played_back_too() -> None:
    """Where the market was unlike the training, as on the day of a halt."""
    seen = a_market()
    record = as_record(LocalPanel(members(), HORIZON).forecast(seen), trust=(0.25, 1.0))
    again = RecordedPanel.from_records([record], HORIZON).forecast(seen)
    assert again.trust is not None and again.trust.tolist() == [[0.25, 1.0]] * 2
    whole = RecordedPanel.from_records(
        [replace(record, votes=tuple(replace(v, trust=()) for v in record.votes))], HORIZON
    )
    told = whole.forecast(seen).trust
    assert told is not None and (told == 1.0).all()


def test_recorded_votes_are_played_back_to_the_last_digit() -> None:
    seen = a_market()
    record = as_record(LocalPanel(members(), HORIZON).forecast(seen))
    played = RecordedPanel.from_records([record], HORIZON)
    again = played.forecast(seen)
    np.testing.assert_array_equal(again.mean_bps, LocalPanel(members(), HORIZON).forecast(seen).mean_bps)
    assert again.versions == ("v1", "v1")
    other = played.forecast(market((BTC, ETH), mids=(100.0, 50.0), minute=MINUTE, features=seen.features))
    assert not other.spoke.any()
