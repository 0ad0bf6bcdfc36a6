"""Who loses a vote, and the reason that is kept."""

import math
from dataclasses import replace

import numpy as np
import pytest

from core.votes import ABSENT, Answer, Silence, assemble_votes
from tests.support.markets import BTC, ETH, MINUTE, market

SEEN = market((BTC, ETH), mids=(100.0, 50.0))
GOOD = Answer(
    mean_bps=np.array([5.0, -3.0]), stdev_bps=np.array([9.0, 8.0]), version="v7", minute=MINUTE, latency_ms=12.0
)


def test_votes_stand_in_the_order_of_the_members():
    other = replace(GOOD, mean_bps=np.array([1.0, 2.0]), version="v8")
    votes = assemble_votes(SEEN, {"b": other, "a": GOOD}, ("a", "b"), 15)
    assert votes.mean_bps.tolist() == [[5.0, -3.0], [1.0, 2.0]]
    assert votes.versions == ("v7", "v8")
    assert votes.spoke.tolist() == [True, True]
    assert votes.silence == ("", "")
    assert votes.latency_ms == (12.0, 12.0)
    assert (votes.minute, votes.horizon) == (MINUTE, 15)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Silence(reason="late: no answer within 5000 ms"), "late: no answer within 5000 ms"),
        (Silence(reason=""), "silent: no reason given"),
        (None, ABSENT),
        (replace(GOOD, mean_bps=np.zeros(3)), "wrong shape: mean_bps is (3,), want (2,)"),
        (replace(GOOD, stdev_bps=np.zeros((2, 1))), "wrong shape: stdev_bps is (2, 1), want (2,)"),
        (replace(GOOD, mean_bps=np.array([1.0, math.nan])), "not finite: mean_bps of binance:ETH/USDT is nan"),
        (replace(GOOD, stdev_bps=np.array([math.inf, 1.0])), "not finite: stdev_bps of binance:BTC/USDT is inf"),
        (
            replace(GOOD, mean_bps=np.array([1.0, 1e9])),
            "beyond belief: mean_bps of binance:ETH/USDT is 1e+09, believed to 10000",
        ),
        (replace(GOOD, stdev_bps=np.array([1.0, -1.0])), "negative: stdev_bps of binance:ETH/USDT"),
        (replace(GOOD, mean_bps=np.array(["x", "y"])), "not numbers: mean_bps"),
        (replace(GOOD, minute=MINUTE - 60_000), f"stale: answers minute {MINUTE - 60_000}, asked {MINUTE}"),
    ],
)
def test_an_unfit_answer_is_silence_for_all_instruments_with_its_reason(answer, reason):
    answers = {"good": GOOD} | ({"bad": answer} if answer is not None else {})
    votes = assemble_votes(SEEN, answers, ("bad", "good"), 15)
    assert votes.spoke.tolist() == [False, True]
    assert votes.silence == (reason, "")
    assert np.isnan(votes.mean_bps[0]).all()
    assert np.isnan(votes.stdev_bps[0]).all()
    assert votes.mean_bps[1].tolist() == [5.0, -3.0]


def test_nobody_can_speak_of_an_instrument_whose_features_are_not_whole():
    features = SEEN.features.copy()
    features[1, 3, 2] = math.nan
    seen = replace(SEEN, features=features)
    honest = replace(GOOD, mean_bps=np.array([5.0, math.nan]), stdev_bps=np.array([9.0, math.nan]))
    votes = assemble_votes(seen, {"honest": honest, "bold": GOOD}, ("honest", "bold"), 15)
    assert votes.spoke.tolist() == [True, True]
    np.testing.assert_array_equal(votes.mean_bps, [[5.0, math.nan], [5.0, math.nan]])


def test_without_members_there_are_no_votes():
    votes = assemble_votes(SEEN, {}, (), 15)
    assert votes.mean_bps.shape == (0, 2)
    assert votes.spoke.shape == (0,)
