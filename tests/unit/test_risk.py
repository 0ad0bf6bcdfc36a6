"""Risk: what is approved keeps every limit, states change only as told, and doubt means less exposure."""

import json
import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DataError, Defect
from core.impact import average_impact
from core.messages import AccountState, Balance, Intents, Market, TradingState
from core.params import RiskSettings, TradeSettings
from core.risk import BY_LIMIT, Risk, RiskState
from core.units import BPS, DAY_MS, MINUTE_MS, Side
from tests.support.markets import BTC, ETH, MINUTE, SOL, intents, market, rules

TRADE = TradeSettings(instruments=("binance:BTC/USDT", "binance:ETH/USDT", "binance:SOL/USDT"))
LIMITS = RiskSettings()
ROWS = (BTC, ETH, SOL)
RULES = {instrument: rules(instrument) for instrument in ROWS}


def risk(state: RiskState | None = None, trade=TRADE, limits=LIMITS, known=RULES) -> Risk:
    return Risk(trade, limits, known, state)


def three(held=(0.0, 0.0, 0.0), mids=(100.0, 50.0, 20.0), **changes) -> Market:
    return market(ROWS, mids=mids, held=held, **changes)


def later(seen: Market, minutes: int = 1, **changes) -> Market:
    return replace(seen, minute=seen.minute + minutes * MINUTE_MS, now_ms=seen.now_ms + minutes * MINUTE_MS, **changes)


def review(seen: Market, targets, **with_):
    return risk(**with_).review(seen, intents(seen, targets))


def reasons(verdicts) -> dict[str, str]:
    return {refused.instrument.base: refused.reason for refused in verdicts.refused}


def test_a_wanted_position_becomes_an_order_with_its_arithmetic():
    verdicts = review(three(), (0.2, math.nan, 0.0))
    (order,) = verdicts.approved
    assert verdicts.refused == ()
    assert (order.instrument, order.side, order.minute) == (BTC, Side.BUY, MINUTE)
    assert order.quantity == Decimal("6.00000")
    assert order.limit_price == Decimal("100.29")
    assert order.reference_price == 100.0
    assert order.intent_id == f"{MINUTE}:binance:BTC/USDT"
    assert order.arithmetic[:2] == (
        "target 0.2000 of 30% of 10000.00 = 600.00",
        "held 0 BTC = 0.00, change +600.00",
    )
    assert verdicts.state is TradingState.ACTIVE


def test_a_sale_is_never_more_than_what_is_free_and_on_the_grid():
    seen = three(held=(1.234567, 0.0, 0.0))
    balances = tuple(
        replace(b, free=Decimal("1.1234567"), locked=Decimal("0.1111103")) if b.asset == "BTC" else b
        for b in seen.account.balances
    )
    (order,) = review(replace(seen, account=replace(seen.account, balances=balances)), (0.0, 0.0, 0.0)).approved
    assert order.side is Side.SELL
    assert order.quantity == Decimal("1.12345")
    assert order.limit_price == Decimal("99.71")


def test_the_least_limit_that_holds_an_order_is_named():
    verdicts = review(three(cash=30.0, equity=10_000.0), (0.2, math.nan, math.nan))
    assert reasons(verdicts) == {
        "BTC": "free_cash: asked +600.00 USDT, allowed 29.97 USDT, the least order is 50.00 USDT"
    }
    assert verdicts.refused[0].arithmetic


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fresh": np.array([False, True, True])}, "not_fresh"),
        ({"bid": np.array([math.nan, 50.0, 20.0])}, "no_book"),
        ({"equity": math.nan}, "equity"),
        ({"equity": -100.0}, "equity"),
        ({"equity": math.inf}, "equity"),
        ({"equity": 0.0}, "equity"),
        ({"cash": np.array([math.nan, 0.0, 0.0])}, "free_cash"),
        ({"quote_rate": np.array([math.nan, 1.0, 1.0])}, "no_book"),
        ({"position": np.array([0.0, 1e9, 0.0])}, "max_gross_pct"),
    ],
)
def test_doubt_buys_nothing(changes, reason):
    verdicts = review(replace(three(), **changes), (0.2, math.nan, math.nan))
    assert verdicts.approved == ()
    assert reasons(verdicts)["BTC"].startswith(f"{reason}: ")


def test_an_unreconciled_account_buys_nothing_and_still_sells():
    seen = three(held=(0.0, 10.0, 0.0))
    seen = replace(seen, account=replace(seen.account, reconciled=False, difference="venue holds 1 BTC more"))
    verdicts = review(seen, (0.2, 0.0, math.nan))
    assert [order.side for order in verdicts.approved] == [Side.SELL]
    assert reasons(verdicts) == {
        "BTC": "unreconciled_account: asked +630.00 USDT, not reconciled: venue holds 1 BTC more"
    }


@pytest.mark.parametrize(("quiet", "bought"), [(1, True), (2, True), (3, False), (9, False)])
def test_where_nothing_trades_any_more_nothing_is_bought_and_what_is_held_may_be_sold(quiet, bought):
    seen = three(held=(0.0, 10.0, 0.0))
    bars = np.array(seen.bars)
    bars[:2, -quiet:, 4] = 0.0
    verdicts = review(replace(seen, bars=bars), (0.2, 0.0, 0.2))
    assert [(o.instrument, o.side) for o in verdicts.approved] == [
        *([(BTC, Side.BUY)] if bought else []),
        (ETH, Side.SELL),
        (SOL, Side.BUY),
    ]
    why = "stale_minutes: asked +630.00 USDT, nothing traded there in the last 3 minutes"
    told = {} if bought else {"BTC": why}
    assert reasons(verdicts) == told
    # One trade, and it is a market again.
    bars[0, -1, 4] = 1e-8
    assert BTC in [o.instrument for o in review(replace(seen, bars=bars), (0.2, math.nan, math.nan)).approved]


def test_what_is_not_fresh_may_still_be_sold_but_not_without_a_book():
    seen = three(held=(10.0, 10.0, 0.0), fresh=np.array([False, False, True]))
    seen = replace(seen, ask=np.array([math.nan, 50.0, 20.0]))
    verdicts = review(seen, (0.0, 0.0, math.nan))
    assert [order.instrument for order in verdicts.approved] == [ETH]
    assert reasons(verdicts)["BTC"] == "no_book: asked -1000.00 USDT, no usable book"


def test_a_coin_that_is_dear_against_the_other_venue_is_not_bought_but_may_be_sold():
    seen = three(held=(0.0, 4.0, 0.0), premium_bps=np.array([501.0, 501.0, 500.0]))
    verdicts = review(seen, (0.2, 0.0, 0.2))
    assert [(o.instrument, o.side) for o in verdicts.approved] == [(ETH, Side.SELL), (SOL, Side.BUY)]
    assert "costs 501 bps more than at the other venue, allowed 500" in reasons(verdicts)["BTC"]
    unknown = review(three(premium_bps=np.full(3, math.nan)), (0.2, math.nan, math.nan))
    assert len(unknown.approved) == 1


def test_an_unlisted_or_stopped_market_is_not_traded():
    known = {BTC: rules(BTC, status="BREAK"), ETH: rules(ETH)}
    verdicts = review(three(), (0.1, 0.1, 0.1), known=known)
    assert [order.instrument for order in verdicts.approved] == [ETH]
    assert reasons(verdicts)["BTC"].startswith("venue_rules: ")
    assert reasons(verdicts)["SOL"].startswith("venue_rules: ")
    assert risk(known={}).review(three(), intents(three(), (0.1,) * 3)).approved == ()


def test_halted_lets_exits_pass_and_buys_nothing_until_a_person_resumes():
    desk = risk()
    seen = three(held=(10.0, 0.0, 0.0))
    desk.halt("anna", "something is odd", MINUTE)
    verdicts = desk.review(seen, intents(seen, (0.0, 0.2, math.nan)))
    assert [(o.instrument, o.side, float(o.quantity)) for o in verdicts.approved] == [(BTC, Side.SELL, 10.0)]
    assert (verdicts.state, verdicts.state_reason) == (TradingState.HALTED, "something is odd")
    assert {name: reason.split(":")[0] for name, reason in reasons(verdicts).items()} == {"ETH": "halted"}
    desk.reduce("bob", "less", MINUTE)
    assert desk.state.state is TradingState.HALTED
    desk.resume("anna", MINUTE + 5)
    after = later(seen)
    assert len(desk.review(after, intents(after, (0.0, 0.2, math.nan))).approved) == 2
    assert desk.state.by == "anna"


def test_reducing_by_a_person_lets_only_sells_through():
    desk = risk()
    desk.reduce("anna", "weekend", MINUTE)
    seen = three(held=(10.0, 5.0, 0.0))
    verdicts = desk.review(seen, intents(seen, (0.0, math.nan, 0.2)))
    assert [(order.instrument, order.side) for order in verdicts.approved] == [(BTC, Side.SELL)]
    assert reasons(verdicts)["SOL"].startswith("reducing: asked +675.00 USDT, state reducing since")


@pytest.mark.parametrize(("fall", "limit"), [(0.049, None), (0.0501, "daily_loss_pct"), (0.2, "daily_loss_pct")])
def test_a_daily_loss_reduces_closes_and_stays(fall, limit):
    desk = risk()
    seen = three(held=(10.0, 0.0, 0.0))
    desk.review(seen, intents(seen, (math.nan,) * 3))
    worse = later(seen, equity=seen.equity * (1 - fall))
    verdicts = desk.review(worse, intents(worse, (math.nan, 0.1, math.nan)))
    if limit is None:
        assert verdicts.state is TradingState.ACTIVE
        assert [order.side for order in verdicts.approved] == [Side.BUY]
        return
    assert verdicts.state is TradingState.REDUCING
    assert verdicts.state_reason.startswith(f"{limit}: lost ")
    assert [(order.instrument, order.side) for order in verdicts.approved] == [(BTC, Side.SELL)]
    assert (desk.state.by, desk.state.since_ms) == (BY_LIMIT, worse.now_ms)

    tomorrow = later(seen, minutes=1_440, equity=seen.equity * 2)
    verdicts = desk.review(tomorrow, intents(tomorrow, (math.nan, 0.1, math.nan)))
    assert verdicts.state is TradingState.REDUCING, "a new day resets the measure, not the state"
    assert desk.state.day == tomorrow.minute // DAY_MS
    assert desk.state.since_ms == worse.now_ms

    desk.resume("anna", tomorrow.now_ms)
    after = later(tomorrow)
    assert desk.review(after, intents(after, (math.nan, 0.1, math.nan))).state is TradingState.ACTIVE


def test_a_loss_limit_breached_in_a_halt_closes_and_stays_halted():
    seen = three(held=(10.0, 0.0, 0.0))
    for how, sold in (("close", [BTC]), ("hold", [])):
        desk = risk(limits=RiskSettings(on_loss_limit=how))
        desk.review(seen, intents(seen, (math.nan,) * 3))
        desk.halt("anna", "news", seen.now_ms)
        worse = later(seen, equity=seen.equity * 0.9)
        verdicts = desk.review(worse, intents(worse, (math.nan, 0.1, math.nan)))
        assert verdicts.state is TradingState.HALTED
        assert [order.instrument for order in verdicts.approved] == sold
        assert desk.state.by == (BY_LIMIT if sold else "anna")
        again = later(worse, equity=seen.equity * 0.8)
        desk.review(again, intents(again, (math.nan,) * 3))
        assert len(desk.state.history) == (2 if sold else 1), "told once"


def test_a_halt_does_not_end_what_a_loss_limit_closes():
    desk = risk()
    seen = three(held=(10.0, 5.0, 0.0))
    desk.review(seen, intents(seen, (math.nan,) * 3))
    worse = later(seen, equity=seen.equity * 0.9)
    assert len(desk.review(worse, intents(worse, (math.nan,) * 3)).approved) == 2
    desk.halt("anna", "news", worse.now_ms)
    after = later(worse)
    verdicts = desk.review(after, intents(after, (math.nan, math.nan, 0.1)))
    assert [(o.instrument, o.side) for o in verdicts.approved] == [(BTC, Side.SELL), (ETH, Side.SELL)]
    assert (verdicts.state, desk.state.by) == (TradingState.HALTED, "anna")
    desk.resume("anna", after.now_ms)
    calm = later(after)
    assert [o.side for o in desk.review(calm, intents(calm, (math.nan, math.nan, 0.1))).approved] == [Side.BUY]


def test_hold_leaves_the_exits_to_the_ensemble():
    desk = risk(limits=RiskSettings(on_loss_limit="hold"))
    seen = three(held=(10.0, 0.0, 0.0))
    desk.review(seen, intents(seen, (math.nan,) * 3))
    worse = later(seen, equity=seen.equity * 0.9)
    verdicts = desk.review(worse, intents(worse, (math.nan, 0.1, math.nan)))
    assert verdicts.state is TradingState.REDUCING
    assert verdicts.approved == ()


def test_drawdown_is_from_the_peak_over_days_and_resuming_starts_it_anew():
    desk = risk()
    seen = three()
    for day, equity in enumerate((10_000.0, 12_000.0, 11_500.0, 11_000.0, 10_600.0, 10_250.0)):
        now = later(seen, minutes=1_440 * day, equity=equity)
        assert desk.review(now, intents(now, (math.nan,) * 3)).state is TradingState.ACTIVE
    now = later(now, minutes=1_440, equity=10_199.0)
    assert desk.review(now, intents(now, (math.nan,) * 3)).state_reason.startswith(
        "max_drawdown_pct: lost 15.01% of 12000.00 USDT, allowed 15%"
    )
    desk.resume("anna", now.now_ms)
    now = later(now, equity=10_150.0)
    assert desk.review(now, intents(now, (math.nan,) * 3)).state is TradingState.ACTIVE
    assert desk.state.peak_equity == 10_150.0


def test_an_unknown_equity_or_an_unreconciled_peak_marks_nothing():
    desk = risk()
    seen = three()
    desk.review(seen, intents(seen, (math.nan,) * 3))
    for equity in (math.nan, 0.0, math.inf, -math.inf):
        now = later(seen, equity=equity)
        assert desk.review(now, intents(now, (math.nan,) * 3)).state is TradingState.ACTIVE
    doubtful = later(seen, equity=1e9, account=replace(seen.account, reconciled=False))
    desk.review(doubtful, intents(doubtful, (math.nan,) * 3))
    assert desk.state.peak_equity == seen.equity


def test_orders_are_counted_by_the_minute_even_when_it_is_reviewed_twice():
    desk = risk(limits=RiskSettings(max_orders_per_minute=2))
    seen = three()
    first = desk.review(seen, intents(seen, (0.1,) * 3))
    assert len(first.approved) == 2
    assert reasons(first)["SOL"] == "max_orders_per_minute: asked +300.00 USDT, allowed 2 orders a minute"
    assert desk.review(seen, intents(seen, (0.1,) * 3)).approved == ()
    after = later(seen)
    assert len(desk.review(after, intents(after, (0.1,) * 3)).approved) == 2


def test_the_state_survives_json_and_a_restart():
    desk = risk()
    seen = three(held=(10.0, 0.0, 0.0))
    desk.review(seen, intents(seen, (math.nan,) * 3))
    worse = later(seen, equity=seen.equity * 0.9)
    desk.review(worse, intents(worse, (math.nan,) * 3))
    state = RiskState.from_json(json.loads(json.dumps(desk.state.to_json())))
    assert state == desk.state
    after = later(worse)
    again = risk(state).review(after, intents(after, (0.2,) * 3))
    assert again == desk.review(after, intents(after, (0.2,) * 3))
    assert again.state is TradingState.REDUCING


@pytest.mark.parametrize(
    "fault",
    [
        {"state": "fine"},
        {"extra": 1},
        {"peak_equity": "much"},
        {"day_equity": math.nan},
        None,
    ],
)
def test_a_state_that_cannot_be_read_is_not_guessed(fault):
    data = RiskState().to_json()
    with pytest.raises(DataError, match="not a risk state"):
        RiskState.from_json([] if fault is None else {**data, **fault})


def test_intents_of_another_minute_or_shape_are_a_defect():
    seen = three()
    with pytest.raises(Defect, match="intents of minute"):
        risk().review(later(seen), intents(seen, (0.1,) * 3))
    with pytest.raises(Defect, match="3 instruments"):
        risk().review(seen, replace(intents(seen, (0.1,) * 3), target=np.array([0.1])))


money = st.one_of(st.floats(0, 1e6), st.sampled_from([0.0, math.nan, math.inf, -math.inf, -1.0, 1e300, 1e-300]))
wild = st.one_of(st.floats(0, 1), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 1e9, -1e9]))


@st.composite
def wild_markets(draw) -> tuple[Market, Intents]:
    mids = tuple(draw(st.one_of(st.floats(1e-3, 1e5), st.sampled_from([math.nan, 0.0, math.inf]))) for _ in ROWS)
    held = tuple(draw(st.one_of(st.just(0.0), st.floats(0, 1e3))) for _ in ROWS)
    free = [Decimal(repr(h * draw(st.floats(0, 1)))) for h in held]
    cash = draw(st.floats(0, 1e6))
    balances = [Balance(venue="binance", asset="USDT", free=Decimal(repr(cash)), locked=Decimal(0))]
    balances += [
        Balance(venue="binance", asset=i.base, free=f, locked=Decimal(repr(h)) - f)
        for i, f, h in zip(ROWS, free, held, strict=True)
    ]
    worth = cash + sum(m * h for m, h in zip(mids, held, strict=True) if math.isfinite(m))
    seen = market(
        ROWS,
        mids=mids,
        held=held,
        cash=cash,
        equity=draw(st.one_of(st.just(worth), st.just(worth), money)),
        fresh=np.array([draw(st.booleans()) for _ in ROWS]),
        account=AccountState(at_ms=MINUTE, balances=tuple(balances), reconciled=draw(st.booleans())),
    )
    return seen, intents(seen, tuple(draw(wild) for _ in ROWS))


@given(wild_markets(), st.sampled_from(list(TradingState)))
@settings(max_examples=300, deadline=None)
def test_whatever_is_asked_what_is_approved_keeps_the_limits(asked, state):
    seen, wants = asked
    desk = risk(RiskState(state=state, reason="test", by="test"))
    verdicts = desk.review(seen, wants)
    spent = Decimal(0)
    gross = float(sum(p * m for p, m in zip(seen.position, seen.mid, strict=True) if p > 0 and math.isfinite(m)))
    for order in verdicts.approved:
        row = ROWS.index(order.instrument)
        grid = RULES[order.instrument]
        mid, held = float(seen.mid[row]), float(seen.position[row])
        value = float(order.quantity) * mid
        assert order.quantity % grid.step == 0
        assert order.limit_price % grid.tick == 0
        assert grid.min_qty <= order.quantity <= grid.max_qty
        assert order.quantity * min(order.limit_price, Decimal(repr(mid))) >= grid.min_notional
        assert order.arithmetic
        if order.side is Side.BUY:
            assert state is TradingState.ACTIVE
            assert seen.fresh[row]
            assert seen.account.reconciled
            assert 0 < seen.equity < math.inf
            assert float(order.limit_price) <= mid * 1.003
            assert value >= 50 * (1 - 1e-9)
            assert float(order.quantity * order.limit_price) <= 0.10 * seen.equity
            assert held * mid + value <= 0.15 * seen.equity * (1 + 1e-9)
            gross += value
            assert gross <= 0.30 * seen.equity * (1 + 1e-9)
            spent += order.quantity * order.limit_price * (1 + grid.taker_fee)
            assert spent <= Decimal(repr(float(seen.cash[row])))
        else:
            free = seen.account.free("binance", order.instrument.base)
            assert order.quantity <= free
            assert float(order.limit_price) >= min(mid * 0.997, 0.01)
            rest = free - order.quantity
            assert rest < grid.step or float(rest) * mid >= 50 * (1 - 1e-9) - float(grid.step) * mid
    judged = [v.instrument for v in (*verdicts.approved, *verdicts.refused)]
    assert len(judged) == len(set(judged))
    assert risk(RiskState(state=state, reason="test", by="test")).review(seen, wants) == verdicts


def test_the_impact_law_grows_with_the_root_of_size():
    assert average_impact(1.0, 4.0, 100.0, 0.01) * BPS == pytest.approx(20.0)
    assert average_impact(1.0, 1.0, 100.0, 0.01) * BPS == pytest.approx(10.0)
    for quantity, volume, volatility in ((1.0, 0.0, 0.1), (math.nan, 1.0, 0.1), (1.0, 1.0, math.nan), (-1.0, 1, 1)):
        assert math.isnan(average_impact(1.0, quantity, volume, volatility))
