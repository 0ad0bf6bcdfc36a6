"""Guards: after losses there is no buying for a while, sales pass, and a restart forgets nothing."""

import json
import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from core.errors import DataError
from core.execution.books import Agreed
from core.execution.ledger import Ledger
from core.guards import GuardBook, guard_rules
from core.messages import AccountState, ClosedTrip, Fill, TradingState, Unexplained
from core.params import RiskSettings, TradeSettings
from core.risk import Risk, RiskState
from core.round_trips import RoundTrips
from core.units import MINUTE_MS, Side
from tests.support.markets import BTC, ETH, MINUTE, SOL, intents, market, rules

ROWS = (BTC, ETH, SOL)
RULES = {instrument: rules(instrument) for instrument in ROWS}
TRADE = TradeSettings(instruments=tuple(str(i) for i in ROWS))
CLOSE = MINUTE + MINUTE_MS


def fill(side: Side, quantity: str, price: str, fee: str = "0", fee_asset: str = "USDT", n: int = 0) -> Fill:
    return Fill(
        client_id="c",
        instrument=BTC,
        trade_id=str(n),
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
        fee_asset=fee_asset,
        maker=False,
        at_ms=CLOSE,
    )


def trips_of(*fills: Fill) -> RoundTrips:
    trips = RoundTrips()
    trips.rules = RULES
    for one in fills:
        trips.take(one, stopped=False)
    return trips


def test_a_round_trip_closes_with_its_result_after_fees():
    trips = trips_of(
        fill(Side.BUY, "1", "100", "0.001", "BTC"),
        fill(Side.BUY, "1", "110", "0.11"),
        fill(Side.SELL, "1", "120", "0.12"),
    )
    assert not trips.closed
    assert trips.average_cost(BTC) == pytest.approx((100 + 110.11) / 1.999)
    trips.take(fill(Side.SELL, "0.999", "100", "0.0999"), stopped=True)
    (closed,) = trips.closed
    spent, earned = 100 + 110.11, 119.88 + 99.9 - 0.0999
    assert (closed.number, closed.instrument, closed.stopped) == (1, BTC, False), "a stop in profit is no stop-out"
    assert closed.result_pct == pytest.approx((earned / spent - 1) * 100)


def test_what_cannot_be_sold_any_more_goes_into_the_next_trip_at_its_cost():
    trips = trips_of(fill(Side.BUY, "1", "100"), fill(Side.SELL, "0.96", "100"))
    assert len(trips.closed) == 1, "0.04 at 100 is less than the venue's 5 USDT"
    assert trips.closed[0].result_pct == 0.0
    trips.take(fill(Side.BUY, "0.96", "100"), stopped=False)
    trips.take(fill(Side.SELL, "1", "90"), stopped=True)
    assert trips.closed[1].result_pct == pytest.approx(-10.0)
    assert trips.closed[1].stopped


def test_coins_that_we_never_bought_close_nothing():
    assert not trips_of(fill(Side.SELL, "1", "100")).closed


def closed(number: int, minutes_ago: float, pct: float, instrument=BTC, stopped: bool = False) -> ClosedTrip:
    at = CLOSE - int(minutes_ago * MINUTE_MS)
    return ClosedTrip(number=number, instrument=instrument, at_ms=at, result_pct=pct, stopped=stopped)


def seen(*trips: ClosedTrip, held=(0.0, 0.0, 0.0), **changes):
    now = market(ROWS, mids=(100.0, 50.0, 20.0), held=held)
    return replace(now, account=replace(now.account, closed=trips, **changes))


OFF = {"cooldown_minutes": 0, "max_consecutive_losses": 0, "max_stop_outs": 0, "low_profit_trips": 0}


def told(now, targets=(0.2, 0.2, math.nan), trade=TRADE, state=None, **limits) -> dict[str, str]:
    """Reason of refusal by coin; ``buy`` or ``sell`` where an order passed."""
    verdicts = Risk(trade, RiskSettings(**limits), RULES, state).review(now, intents(now, targets))
    return {a.instrument.base: a.side.value for a in verdicts.approved} | {
        r.instrument.base: r.reason for r in verdicts.refused
    }


def test_an_exit_cools_its_own_instrument_down():
    found = told(seen(closed(1, 2, 1.0)), **OFF | {"cooldown_minutes": 3})
    assert found["BTC"] == (
        "cooldown_minutes: asked +600.00 USDT, closed less than 3 minutes ago: nothing is bought before 22:16:00 UTC"
    )
    assert found["ETH"] == "buy"
    assert told(seen(closed(1, 3, 1.0)), **OFF | {"cooldown_minutes": 3})["BTC"] == "buy"
    selling = seen(closed(1, 2, 1.0), held=(5.0, 0.0, 0.0))
    assert told(selling, (0.0, math.nan, math.nan), **OFF | {"cooldown_minutes": 3}) == {"BTC": "sell"}


def test_losses_in_a_row_pause_the_account_and_a_win_begins_the_count_anew():
    limits = OFF | {"max_consecutive_losses": 3, "consecutive_losses_pause_minutes": 10}
    lost = [closed(k, 9 - k, -0.1, SOL) for k in (1, 2, 3)]
    found = told(seen(*lost), **limits)
    assert found["BTC"].startswith("max_consecutive_losses: asked +600.00 USDT, 3 round trips in a row lost: nothing")
    assert found["ETH"].startswith("max_consecutive_losses: ")
    won = [lost[0], replace(lost[1], result_pct=0.1), lost[2]]
    assert told(seen(*won), **limits)["BTC"] == "buy"
    assert told(seen(*(replace(t, at_ms=t.at_ms - 5 * MINUTE_MS) for t in lost)), **limits)["BTC"] == "buy", "over"


def test_stop_outs_close_together_stop_buying_everywhere():
    limits = OFF | {"max_stop_outs": 2, "stop_outs_within_minutes": 30, "stop_outs_pause_minutes": 20}
    two = (closed(1, 12, -2.0, ETH, True), closed(2, 1, 0.5, SOL, True))
    assert told(seen(*two), **limits)["BTC"].startswith("max_stop_outs: asked +600.00 USDT, 2 stop-outs within 30")
    apart = (replace(two[0], at_ms=CLOSE - 40 * MINUTE_MS), two[1])
    assert told(seen(*apart), **limits)["BTC"] == "buy"
    by_choice = (replace(two[0], stopped=False), two[1])
    assert told(seen(*by_choice), **limits)["BTC"] == "buy"


def test_an_instrument_that_does_not_pay_is_locked():
    limits = OFF | {"low_profit_trips": 2, "low_profit_pct": -1, "low_profit_within_minutes": 60}
    two = (closed(1, 50, -0.8), closed(2, 1, -0.4))
    found = told(seen(*two), **limits)
    assert found["BTC"].startswith("low_profit_pct: asked +600.00 USDT, 2 or more round trips of the last 60 minutes")
    assert found["ETH"] == "buy"
    assert told(seen(replace(two[0], result_pct=0.0), two[1]), **limits)["BTC"] == "buy"
    assert told(seen(replace(two[0], at_ms=CLOSE - 70 * MINUTE_MS), two[1]), **limits)["BTC"] == "buy"


def test_guards_survive_a_restart_and_end_when_a_person_resumes():
    limits = RiskSettings(**OFF | {"max_consecutive_losses": 2, "cooldown_minutes": 30, "max_stop_outs": 3})
    now = seen(closed(1, 3, -1.0), closed(2, 2, -1.0, ETH, True), closed(3, 1, -1.0, ETH))
    desk = Risk(TRADE, limits, RULES)
    verdicts = desk.review(now, intents(now, (0.2, 0.2, 0.2)))
    assert len(verdicts.refused) == 3
    again = RiskState.from_json(json.loads(json.dumps(desk.state.to_json())))
    assert again == desk.state
    later = replace(now, minute=now.minute + MINUTE_MS, now_ms=now.now_ms + MINUTE_MS)
    taken_up = Risk(TRADE, limits, RULES, again)
    assert taken_up.review(later, intents(later, (0.2, 0.2, 0.2))) == desk.review(
        later, intents(later, (0.2, 0.2, 0.2))
    )
    assert taken_up.state == desk.state
    desk.resume("anna", later.now_ms)
    last = replace(later, minute=later.minute + MINUTE_MS, now_ms=later.now_ms + MINUTE_MS)
    assert len(desk.review(last, intents(last, (0.2, 0.2, 0.2))).approved) == 3, "trips seen are not counted again"


def test_every_trip_counts_once_and_another_journal_begins_anew():
    book, limits = GuardBook(), guard_rules(RiskSettings(max_consecutive_losses=3))
    book.rows(ROWS)
    trips = (closed(1, 3, -1.0), closed(2, 2, -1.0))
    assert book.take(trips, limits) and not book.take(trips, limits)
    assert book.to_json()["losses_in_a_row"] == 2
    assert book.take((closed(1, 0, -1.0),), limits)
    assert book.to_json()["paused_until_ms"] == CLOSE + 60 * MINUTE_MS
    with pytest.raises(DataError, match="guards"):
        GuardBook({**book.to_json(), "instruments": {"binance:BTC/USDT": {"closed": [[0, "x"]]}}})


def test_the_rows_may_change_places():
    book, limits = GuardBook(), guard_rules(RiskSettings())
    book.rows(ROWS)
    book.take((closed(1, 1, 1.0, ETH), closed(2, 1, -1.0, SOL)), limits)
    before = book.to_json()
    book.rows((SOL,))
    assert book.to_json() == before
    book.rows((SOL, ETH, BTC))
    assert book.to_json() == before


# --- the minute, the clock, the cancels


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (
            lambda: replace(seen(), now_ms=CLOSE + 15_001),
            "max_decision_delay_ms: asked +600.00 USDT, decided 15.0 s after the minute's close, allowed 15 s",
        ),
        (
            lambda: seen(clock_offset_ms=-1_200.0, clock_allowed_ms=500.0),
            "max_clock_offset_ms: asked +600.00 USDT, the venue's clock is -1200 ms from ours, allowed 500 ms",
        ),
        (
            lambda: seen(clock_offset_ms=math.nan, clock_allowed_ms=500.0),
            "max_clock_offset_ms: asked +600.00 USDT, how far the venue's clock is from ours is not known, allowed 500 ms",
        ),
        (
            lambda: seen(cancels=61),
            "max_cancels_per_minute: asked +600.00 USDT, 61 cancels in the last minute, allowed 60",
        ),
    ],
)
def test_a_doubtful_minute_buys_nothing_and_still_sells(now, reason):
    assert told(now())["BTC"] == reason
    held = now()
    held = replace(held, position=np.array([5.0, 0.0, 0.0]), account=seen(held=(5.0, 0.0, 0.0)).account)
    held = replace(held, account=replace(held.account, **{k: getattr(now().account, k) for k in DOUBTS}))
    assert told(held, (0.0, 0.2, math.nan))["BTC"] == "sell"


DOUBTS = ("clock_offset_ms", "clock_allowed_ms", "cancels")


def test_a_minute_in_time_is_not_late():
    assert told(replace(seen(), now_ms=CLOSE + 15_000))["BTC"] == "buy"
    assert told(seen(clock_offset_ms=500.0, clock_allowed_ms=500.0, cancels=60))["BTC"] == "buy"


def test_orders_of_a_day_are_counted_over_minutes_and_a_new_day_begins_anew():
    desk = Risk(TRADE, RiskSettings(max_orders_per_day=3), RULES)
    day_start = MINUTE // 86_400_000 * 86_400_000
    now = replace(seen(), minute=day_start, now_ms=day_start + MINUTE_MS)
    assert len(desk.review(now, intents(now, (0.2, 0.2, math.nan))).approved) == 2
    now = replace(now, minute=now.minute + MINUTE_MS, now_ms=now.now_ms + MINUTE_MS)
    verdicts = desk.review(now, intents(now, (0.2, 0.2, math.nan)))
    assert len(verdicts.approved) == 1
    assert verdicts.refused[0].reason == "max_orders_per_minute: asked +600.00 USDT, allowed 3 orders a day"
    now = replace(now, minute=now.minute + 86_400_000, now_ms=now.now_ms + 86_400_000)
    assert len(desk.review(now, intents(now, (0.2, 0.2, math.nan))).approved) == 2


# --- money


def test_a_days_loss_in_money_reduces():
    desk = Risk(TRADE, RiskSettings(daily_loss_usdt=100), RULES)
    now = seen()
    desk.review(now, intents(now, (math.nan,) * 3))
    for equity, state in ((9_900.01, TradingState.ACTIVE), (9_900.0, TradingState.REDUCING)):
        verdicts = desk.review(replace(now, equity=equity), intents(now, (math.nan,) * 3))
        assert verdicts.state is state
    assert verdicts.state_reason == "daily_loss_usdt: lost 100.00 USDT today, allowed 100 USDT"


def test_the_bot_manages_only_its_part_and_losses_are_measured_against_it():
    trade = TradeSettings(instruments=TRADE.instruments, capital_pct=50, capital_usdt=2_000)
    desk = Risk(trade, RiskSettings(), RULES)
    now = seen()
    (order,) = desk.review(now, intents(now, (1.0, math.nan, math.nan))).approved
    assert order.arithmetic[0] == "target 1.0000 of 30% of 2000.00 = 600.00"
    assert float(order.quantity) * 100 <= 0.10 * 2_000
    verdicts = desk.review(replace(now, equity=9_900.0), intents(now, (math.nan,) * 3))
    assert verdicts.state_reason.startswith("daily_loss_pct: lost 5.00% of 2000.00 USDT, allowed 5%")


def moved(asset: str, amount: str) -> tuple[Unexplained, ...]:
    return (Unexplained(venue="binance", asset=asset, amount=Decimal(amount)),)


@pytest.mark.parametrize("taken", ["-5000", "5000"])
def test_a_transfer_is_neither_profit_nor_loss(taken):
    desk = Risk(TRADE, RiskSettings(daily_loss_usdt=300), RULES)
    nothing = (math.nan,) * 3
    now = seen()
    desk.review(now, intents(now, nothing))
    now = replace(now, equity=9_800.0)
    desk.review(now, intents(now, nothing))
    after = 9_800.0 + float(taken)
    gap = replace(now.account, reconciled=False, difference="…", unexplained=moved("USDT", taken))
    during = replace(now, equity=after, account=gap)
    assert desk.review(during, intents(during, nothing)).state is TradingState.ACTIVE, "not counted as a loss meanwhile"
    over = replace(gap, unexplained=(), transferred=moved("USDT", taken))
    done = replace(now, equity=after, account=over)
    assert desk.review(done, intents(done, nothing)).state is TradingState.ACTIVE
    state = desk.state
    assert 1 - after / state.peak_equity == pytest.approx(0.02), "the drawdown is what it was"
    assert 1 - after / state.day_equity == pytest.approx(0.02)
    assert state.day_money - after == pytest.approx(200.0), "so is the day's loss in money"
    worse = replace(now, equity=after - 101.0)
    assert desk.review(worse, intents(worse, nothing)).state is TradingState.REDUCING


def test_coins_that_were_sent_away_are_no_loss_either():
    desk = Risk(TRADE, RiskSettings(), RULES)
    nothing, now = (math.nan,) * 3, seen(held=(20.0, 0.0, 0.0))
    desk.review(now, intents(now, nothing))
    gap = replace(now.account, reconciled=False, unexplained=moved("BTC", "-10"))
    during = replace(now, equity=now.equity - 1_000.0, account=gap)
    assert desk.review(during, intents(during, nothing)).state is TradingState.ACTIVE
    assert desk.state.peak_equity == now.equity


def test_an_account_emptied_by_hand_is_measured_anew():
    desk = Risk(TRADE, RiskSettings(), RULES)
    nothing, now = (math.nan,) * 3, seen()
    desk.review(now, intents(now, nothing))
    empty = replace(now, equity=0.0, account=replace(now.account, transferred=moved("USDT", "-10000")))
    desk.review(empty, intents(empty, nothing))
    assert desk.state.peak_equity is None
    small = replace(now, equity=500.0)
    assert desk.review(small, intents(small, nothing)).state is TradingState.ACTIVE


# --- the states' history


def test_who_moved_the_state_when_and_why_is_kept():
    desk = Risk(TRADE, RiskSettings(), RULES)
    now = seen()
    desk.review(now, intents(now, (math.nan,) * 3))
    worse = replace(now, equity=5_000.0)
    desk.review(worse, intents(worse, (math.nan,) * 3))
    desk.halt("anna", "looking", CLOSE + 1)
    desk.resume("bob", CLOSE + 2)
    told = [(c.state.value, c.by, c.reason.split(":")[0], c.at_ms) for c in desk.state.history]
    assert told == [
        ("reducing", "limit", "daily_loss_pct", CLOSE),
        ("halted", "anna", "looking", CLOSE + 1),
        ("active", "bob", "resumed", CLOSE + 2),
    ]
    assert RiskState.from_json(json.loads(json.dumps(desk.state.to_json()))) == desk.state
    for k in range(100):
        desk.halt("anna", str(k), k)
    assert len(desk.state.history) == 20
    told = desk.state.words()
    assert told[0] == "trading is halted: 99 (by anna)"
    assert told[1] == "1970-01-01 00:00:00 UTC halted by anna: 99"


def test_a_state_of_the_first_version_is_taken_up():
    old = {
        "state": "halted",
        "reason": "looking",
        "by": "anna",
        "since_ms": 5,
        "closing": False,
        "peak_equity": 9.0,
        "day": 3,
        "day_equity": 8.0,
        "minute": None,
        "orders": 0,
    }
    state = RiskState.from_json(old)
    assert (state.state, state.day_money) == (TradingState.HALTED, 8.0)


# --- what reconciliation finds


class NoOrders:
    """A machine without orders, for the ledger."""

    def __init__(self) -> None:
        self.books = self
        self.flows: dict = {}
        self.agreed = None
        self.fault_count = 0
        self.faults = ()
        self.trips = RoundTrips()

    def unsettled(self):
        return ()


def test_reconciliation_tells_what_is_unexplained_then_that_it_was_taken_over():
    ledger, machine = Ledger(), NoOrders()

    def state(usdt: str) -> AccountState:
        told = ledger.reconcile(machine, market(ROWS, mids=(1.0, 1.0, 1.0), cash=float(usdt)).account)
        if (adopted := ledger.adopted()) is not None:
            machine.agreed = Agreed({(v, a): total for v, a, total in adopted.totals}, {})
        return told

    assert state("1000").reconciled
    first = state("400")
    assert (first.unexplained, first.transferred) == (moved("USDT", "-600.0"), ())
    second = state("400")
    assert (second.reconciled, second.unexplained, second.transferred) == (False, (), moved("USDT", "-600.0"))
    third = state("400")
    assert (third.reconciled, third.unexplained, third.transferred) == (True, (), ())
