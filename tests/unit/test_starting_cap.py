"""The starting cap of live trading: only clean days in a row raise it, and any doubt keeps or lowers it."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError
from core.messages import Fill, MinuteRecord
from core.params import LiveSettings, RiskSettings, TradeSettings
from core.risk import BY_LIMIT, Risk
from core.standing import is_difference
from core.starting_cap import CapState, LiveDay, StartingCap, after_day, level_pct, live_day
from core.units import DAY_MS, MINUTE_MS, Side
from tests.support.markets import BTC, ETH, SOL, intents, market, rules

LIVE = LiveSettings(starting_cap_pct=20, cap_step_pct=40, clean_days=2, clean_day_minutes=3)
DAY = 20_000
CLEAN = LiveDay(day=DAY, minutes=3, fills=1)


def days(*seen: LiveDay) -> CapState:
    """The cap after these days in a row."""
    state = CapState()
    for number, one in enumerate(seen):
        state = after_day(state, replace(one, day=DAY + number), LIVE)
    return state


def test_clean_days_in_a_row_earn_steps_up_to_the_whole():
    levels = [level_pct(days(*[CLEAN] * count), LIVE) for count in range(7)]
    assert levels == [20, 20, 60, 60, 100, 100, 100]


@pytest.mark.parametrize("nothing", [replace(CLEAN, minutes=2), replace(CLEAN, fills=0)])
def test_a_day_that_shows_nothing_neither_counts_nor_breaks_the_row(nothing):
    assert days(CLEAN, nothing).clean_days == 1
    assert level_pct(days(CLEAN, nothing, CLEAN), LIVE) == 60


def test_a_difference_begins_the_count_anew_and_a_breach_the_cap():
    differs = replace(CLEAN, differences=("order x: recorded 1, binance says 2",))
    assert days(CLEAN, CLEAN, CLEAN, differs) == CapState(
        steps=1, clean_days=0, judged=DAY + 3, reason="the count began anew: order x: recorded 1, binance says 2"
    )
    breach = replace(CLEAN, breaches=("daily_loss_pct: lost 6%",))
    assert level_pct(days(CLEAN, CLEAN, breach), LIVE) == 20


def test_a_short_day_with_a_difference_is_still_one_with_a_difference():
    assert days(CLEAN, replace(CLEAN, minutes=1, fills=0, differences=("gap",))).clean_days == 0


def test_a_day_is_judged_once():
    state = days(CLEAN)
    assert after_day(state, CLEAN, LIVE) == state


@given(st.lists(st.sampled_from([CLEAN, replace(CLEAN, fills=0), replace(CLEAN, differences=("d",))]), max_size=12))
def test_the_cap_never_rises_without_its_clean_days(seen):
    state = days(*seen)
    assert state.steps * LIVE.clean_days + state.clean_days <= seen.count(CLEAN)


def test_the_cap_in_money_holds_where_it_is_smaller_and_rises_alike():
    cap = StartingCap(LIVE.model_copy(update={"starting_cap_usdt": Decimal(100)}))
    assert cap.invest(0.3, 1_000) == pytest.approx(0.06)
    assert cap.invest(0.3, 10_000) == pytest.approx(0.01)
    assert "at most 100.00 = 1%" in cap.line(0.3, 10_000)
    risen = replace(cap, state=CapState(steps=2))
    assert (risen.level_pct, risen.usdt()) == (100, pytest.approx(500))
    assert risen.invest(0.3, 10_000) == pytest.approx(0.05)
    assert StartingCap(LIVE, CapState(steps=2)).binds is False


@pytest.mark.parametrize(
    "fault", [{"steps": -1}, {"steps": "2"}, {"clean_days": None}, {"judged": "x"}, {"more": 1}, None]
)
def test_a_cap_that_cannot_be_read_is_refused_not_guessed(fault):
    data = CapState(steps=1).to_json()
    assert CapState.from_json(json.loads(json.dumps(data))) == CapState(steps=1)
    with pytest.raises(DataError):
        CapState.from_json([] if fault is None else {**data, **fault})


# What a day was like, from its records


def minute(number: int, **changes) -> MinuteRecord:
    return MinuteRecord(minute=DAY * DAY_MS + number * MINUTE_MS, trace="t", status="done", state="active", **changes)


FILL = Fill(
    client_id="c",
    instrument=BTC,
    trade_id="1",
    side=Side.BUY,
    quantity=Decimal(1),
    price=Decimal(1),
    fee=Decimal(0),
    fee_asset="BTC",
    maker=False,
    at_ms=0,
)


def test_a_day_is_told_by_its_own_records():
    other = replace(minute(0), minute=(DAY + 1) * DAY_MS, difference="of another day")
    seen = live_day(DAY, [minute(0, fills=(FILL,)), minute(1), replace(minute(2), status="missed"), other], ["order x"])
    assert seen == LiveDay(day=DAY, minutes=2, fills=1, differences=("order x",))


def test_loss_limits_and_our_own_mistakes_are_breaches_and_a_persons_halt_is_none():
    held = replace(minute(0), state="reducing", state_reason="daily_loss_pct: lost 6%")
    wrong = replace(minute(1), status="missed", reason="Defect: minute 1 was given")
    late = replace(minute(2), status="missed", reason="late: no record within 20 s")
    by_hand = replace(minute(3), state="halted", state_reason="news")
    assert live_day(DAY, [held, wrong, late, by_hand], ()).breaches == (held.state_reason, wrong.reason)
    lost = replace(by_hand, state_reason="max_drawdown_pct: lost 16%")
    assert live_day(DAY, [by_hand, lost], ()).breaches == (lost.state_reason,), "a loss limit breached in a halt"


@pytest.mark.parametrize(
    ("text", "differs"),
    [
        ("", False),
        ("account not read: binance: timeout; try again", False),
        ("outcome unknown: mh-1; fills missing: mh-2", False),
        ("upbit did not state its account: no answer", False),
        ("outcome unknown: mh-1; binance USDT: +3 against our fills", True),
        ("could not be compared", True),
    ],
)
def test_an_answer_still_to_come_is_no_difference(text, differs):
    assert is_difference(text) is differs
    assert bool(live_day(DAY, [minute(0, difference=text)], ()).differences) is differs


# As risk applies it

ROWS = (BTC, ETH, SOL)
TRADE = TradeSettings(instruments=tuple(map(str, ROWS)))


def desk(cap: StartingCap | None, **limits) -> Risk:
    return Risk(TRADE, RiskSettings(**limits), {i: rules(i) for i in ROWS}, cap=cap)


def test_live_invests_no_more_than_the_cap_and_the_record_says_so():
    seen = market(ROWS, mids=(100.0, 50.0, 20.0), held=(0.0, 0.0, 0.0))
    wanted = intents(seen, (0.3, float("nan"), float("nan")))
    (whole,) = desk(None).review(seen, wanted).approved
    (capped,) = desk(StartingCap(LIVE)).review(seen, wanted).approved
    assert capped.quantity * 5 == whole.quantity
    assert capped.arithmetic[:2] == ("starting cap 20% of 30% = 6%", "target 0.3000 of 6% of 10000.00 = 180.00")


def test_what_the_cap_leaves_no_room_for_is_refused_by_its_name():
    seen = market(ROWS, mids=(100.0, 50.0, 20.0), held=(6.0, 0.0, 0.0))
    verdicts = desk(StartingCap(LIVE)).review(seen, intents(seen, (float("nan"), 0.3, float("nan"))))
    assert [r.reason.partition(":")[0] for r in verdicts.refused] == ["starting_cap"]
    verdicts = desk(None).review(seen, intents(seen, (float("nan"), 0.3, float("nan"))))
    assert verdicts.refused == ()


def test_a_breached_loss_limit_begins_the_cap_anew_at_once():
    risk = desk(StartingCap(LIVE, CapState(steps=2)))
    seen = market(ROWS, mids=(100.0, 50.0, 20.0), held=(0.0, 0.0, 0.0))
    nothing = intents(seen, (float("nan"),) * 3)
    risk.review(seen, nothing)
    assert risk.cap.level_pct == 100
    risk.review(replace(seen, equity=seen.equity * 0.9), nothing)
    assert risk.state.by == BY_LIMIT
    assert risk.cap.level_pct == 20
    assert "daily_loss_pct" in risk.cap.state.reason
    risk.resume("me", seen.now_ms)
    assert risk.cap.level_pct == 20


def test_words_say_how_much_and_what_raises_it():
    cap = StartingCap(LIVE, CapState(clean_days=1))
    said = cap.words(30, 5_000)
    assert "20 % of trade.invest_pct = 300.00 USDT; 1 more clean day in a row raises it to 60 %" in said
    assert StartingCap(LIVE, CapState(steps=5)).words(30).startswith("starting cap: none")
    assert "never rises" in StartingCap(LIVE.model_copy(update={"cap_step_pct": 0.0})).words(30)
