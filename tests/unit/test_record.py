"""A record holds what was decided; the hash tells equal inputs from others, and nothing else."""

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from core.errors import Defect
from core.messages import AccountState, Approved, Balance, Refused, Reports, Sentiment, TradingState, Verdicts
from core.record import input_hash, make_record, missed_record
from core.units import Side
from tests.support.markets import BTC, ETH, MINUTE, detected, intents, market, tick, votes

SEEN = market((BTC, ETH), mids=(100.0, math.nan), held=(0.5, 0.0))
APPROVED = Approved(
    intent_id="1",
    minute=MINUTE,
    instrument=BTC,
    side=Side.BUY,
    quantity=Decimal("0.5"),
    limit_price=Decimal("100.3"),
    reference_price=100.0,
    arithmetic=("target 0.5",),
)
REFUSED = Refused(intent_id="2", minute=MINUTE, instrument=ETH, reason="no_book: none")
VERDICTS = Verdicts(
    minute=MINUTE,
    trace="t",
    state=TradingState.REDUCING,
    state_reason="daily_loss_pct",
    approved=(APPROVED,),
    refused=(REFUSED,),
    took_ms=4.0,
)
REPORTS = Reports(minute=MINUTE, trace="t", orders=(), fills=(), took_ms=5.0)


def record(seen=SEEN, **changes):
    said = replace(votes(seen, {"ridge": (5.0, 6.0), "tcn": None}), took_ms=3.0)
    wants = replace(intents(seen, (0.5, math.nan)), weights=(1.0, 0.0))
    parts = {"events": detected(seen), "votes": said, "intents": wants, "verdicts": VERDICTS, "reports": REPORTS}
    return make_record(tick(), seen, **{**parts, **changes})


def test_a_record_holds_every_step():
    made = record(replace(SEEN, took_ms=1.5))
    assert made.status == "done"
    assert made.votes[0].mean_bps == (5.0, 6.0)
    assert made.votes[0].weight == 1.0
    assert (made.votes[1].spoke, made.votes[1].silence) == (False, "late")
    assert made.approved == (APPROVED,)
    assert made.refused == (REFUSED,)
    assert (made.state, made.state_reason) == ("reducing", "daily_loss_pct")
    assert made.close == (100.0, 1.0)
    assert made.position == (0.5, 0.0)
    assert dict(made.timings) == {
        "cache": 1.5,
        "detector": 0.0,
        "models": 3.0,
        "selector": 0.0,
        "risk": 4.0,
        "executor": 5.0,
    }


def test_records_of_equal_minutes_are_equal_in_their_decisions_whatever_time_they_took():
    slow = record(
        replace(SEEN, took_ms=99.0, trace="other"),
        verdicts=replace(VERDICTS, took_ms=1e3),
    )
    assert slow.decisions() == record().decisions()
    assert record(verdicts=replace(VERDICTS, approved=())).decisions() != slow.decisions()


def test_messages_of_different_minutes_do_not_make_a_record():
    with pytest.raises(Defect, match="risk's message of minute 7"):
        record(verdicts=replace(VERDICTS, minute=7))


def test_a_missed_minute_says_why():
    missed = missed_record(tick(), "risk: died")
    assert (missed.status, missed.reason, missed.minute) == ("missed", "risk: died", MINUTE)
    assert missed.decisions() != record().decisions()


def test_the_hash_ignores_how_the_same_market_is_told():
    base = input_hash(SEEN)
    assert len(base) == 64
    assert input_hash(replace(SEEN, trace="x", took_ms=7.0)) == base
    account = SEEN.account
    rewritten = AccountState(
        at_ms=account.at_ms + 5,
        took_ms=1.0,
        balances=(
            Balance(venue="binance", asset="DUST", free=Decimal("0.00"), locked=Decimal(0)),
            *(replace(b, free=b.free.quantize(Decimal("1.0000000000"))) for b in reversed(account.balances)),
        ),
    )
    assert input_hash(replace(SEEN, account=rewritten)) == base
    assert input_hash(replace(SEEN, bars=np.asfortranarray(SEEN.bars))) == base
    other_nan = SEEN.bid.copy()
    other_nan[1] = np.float64(-np.nan)
    assert input_hash(replace(SEEN, bid=other_nan, position=SEEN.position * np.array([1.0, -1.0]))) == base


@pytest.mark.parametrize(
    "field", ["bars", "features", "bid", "ask", "cash", "position", "quote_rate", "filler", "fresh"]
)
def test_the_hash_sees_the_last_bit_of_every_array(field):
    array = getattr(SEEN, field).copy()
    first = (0,) * array.ndim
    array[first] = ~array[first] if array.dtype == bool else np.nextafter(array[first], math.inf)
    assert input_hash(replace(SEEN, **{field: array})) != input_hash(SEEN)


@pytest.mark.parametrize(
    "change",
    [
        {"minute": MINUTE + 60_000},
        {"now_ms": 5},
        {"equity": 1.0},
        {"instruments": (ETH, BTC)},
        {"sentiment": Sentiment(value=50.0, knowable_ms=1)},
        {"account": replace(SEEN.account, reconciled=False)},
        {"account": replace(SEEN.account, balances=SEEN.account.balances[:1])},
    ],
)
def test_the_hash_sees_everything_else_a_decision_may_depend_on(change):
    assert input_hash(replace(SEEN, **change)) != input_hash(SEEN)
