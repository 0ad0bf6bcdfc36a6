"""The line: no interleaving of several processes' requests exceeds the venue's limit or passes a waiting cancel."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.limits.counters import Fixed
from exchanges.limits.line import FLYING_MS, STALE_WAITER_MS, Line
from exchanges.limits.priority import Priority
from exchanges.limits.tables import (
    CONNECTS,
    ORDERS,
    WEIGHT,
    binance_costs,
    binance_line,
    retry_after,
    stated,
    upbit_line,
)
from tests.support.line_world import EPOCH, Ask, fixed_world, sliding_world

T = EPOCH
MINUTE = EPOCH // 60_000 * 60_000


def asks(most_cost: int, deaths: bool = True):
    one = st.builds(
        Ask,
        at=st.integers(T, T + 4_000),
        owner=st.integers(1, 4),
        priority=st.sampled_from(list(Priority)),
        cost=st.integers(1, most_cost),
        there=st.integers(1, 700),
        back=st.integers(0, 700),
        dies=st.booleans() if deaths else st.just(False),
        states=st.booleans(),
        free=st.booleans(),
    )
    return st.lists(one, max_size=40)


@settings(max_examples=150, deadline=None)
@given(asks(6), st.integers(-1_500, 1_500), st.integers(0, 120), st.integers(-120, 120))
def test_no_window_of_the_venue_is_exceeded_and_no_cancel_passed(requests, ahead, slack, error):
    """However the requests of four processes fall, some killed on the way, with the venue's clock off by up to what
    is known of it."""
    world = fixed_world(ahead=ahead, slack=float(slack))
    world.line.ahead_ms = ahead + max(-slack, min(slack, error))
    world.run(requests, until=T + 20_000)
    assert world.venue.worst <= world.venue.limit
    assert world.passed == []


@settings(max_examples=150, deadline=None)
@given(asks(1))
def test_no_second_of_the_venue_is_exceeded_and_no_cancel_passed(requests):
    world = sliding_world()
    world.run(requests, until=T + 20_000)
    assert world.venue.worst <= world.venue.limit
    assert world.passed == []


@settings(max_examples=40, deadline=None)
@given(asks(3, deaths=False))
def test_everybody_is_served_in_the_end(requests):
    world = fixed_world()
    world.run(requests, until=T + 60_000)
    assert len(world.admitted) == len(requests)


@pytest.mark.parametrize("error", [-100, 0, 100])
def test_a_clock_known_to_100_ms_is_not_trusted_to_the_millisecond(error):
    """A flood over the turn of the venue's second, which we take to be 100 ms sooner or later than it is."""
    world = fixed_world(slack=100.0)
    world.line.ahead_ms = float(error)
    world.run([Ask(T + 10 * i, 1, Priority.CANCEL, 1, 1, 1, states=False) for i in range(200)], until=T + 9_000)
    assert world.venue.worst <= 20
    world = fixed_world(slack=0.0)
    world.line.ahead_ms = float(error)
    world.run([Ask(T + 10 * i, 1, Priority.CANCEL, 1, 1, 1, states=False) for i in range(200)], until=T + 9_000)
    assert (world.venue.worst > 20) == (error != 0)  # so the margin is what keeps it


def test_cancels_do_not_starve_under_a_flood_of_everything_else():
    world = fixed_world(limit=60)
    flood = [Ask(T + 3 * i, 1 + i % 3, Priority(1 + i % 5), 1, 40, 40) for i in range(300)]
    cancels = [Ask(T + 400 * i, 4, Priority.CANCEL, 1, 40, 40) for i in range(10)]
    late: list[int] = []
    admit = world._admitted

    def timed(now, number, ask):
        admit(now, number, ask)
        if ask.priority is Priority.CANCEL:
            late.append(now - ask.at)

    world._admitted = timed
    world.run(flood + cancels, until=T + 6_000)
    # 3 of 60 are kept for them each second, and they need no more.
    assert late == [0] * 10
    assert world.venue.worst <= 60


# --- one by one ------------------------------------------------------------------------------------------------------


def known(limit: int = 6_000) -> Line:
    line = binance_line()
    line.ahead_ms, line.slack_ms = 0.0, 0.0
    for counter in line.counters.values():
        if isinstance(counter, Fixed):
            counter.recorded_from = 0
    line.learn({WEIGHT: limit})
    return line


def take(line: Line, now: int, priority: Priority, costs: dict[str, int], owner: int = 1):
    number = line.enter(now, owner, priority, costs)
    return number, line.admit(now, number)


def spend(line: Line, now: int, used: int) -> None:
    number, wait = take(line, now, Priority.CANCEL, binance_costs(1))
    assert wait is None
    line.finish(now, number, {WEIGHT: used})


def test_history_stops_at_half_the_budget_and_others_go_on():
    line = known()
    spend(line, MINUTE + 1_000, used=3_000)
    for priority in Priority:
        number, wait = take(line, MINUTE + 10_000, priority, binance_costs(4))
        assert (wait is not None) == (priority is Priority.HISTORY)
        line.leave(number)
    assert wait.ms == 50_000


def test_a_cancel_waits_for_nobody_who_waits_longer():
    line = known()
    spend(line, MINUTE, used=5_995)
    late, wait = take(line, MINUTE + 1, Priority.ORDER, binance_costs(1, orders=1))
    assert wait is not None
    assert take(line, MINUTE + 2, Priority.CANCEL, binance_costs(1))[1] is None
    assert line.admit(MINUTE + 3, late) is not None


def test_who_waits_for_orders_holds_up_nobody_who_needs_none():
    line = known()
    line.counters[ORDERS].limit = 1
    _, wait = take(line, MINUTE, Priority.ORDER, binance_costs(1, orders=1))
    assert wait is None
    _, wait = take(line, MINUTE, Priority.ORDER, binance_costs(1, orders=1))
    assert wait is not None
    assert take(line, MINUTE, Priority.ACCOUNT, binance_costs(20))[1] is None
    assert take(line, MINUTE, Priority.CANCEL, binance_costs(1))[1] is None


def test_a_filled_order_gives_its_count_back():
    line = known()
    line.counters[ORDERS].limit = 1
    number, _ = take(line, MINUTE, Priority.EXIT, binance_costs(1, orders=1))
    line.finish(MINUTE + 50, number, {WEIGHT: 0, ORDERS: 0})
    assert take(line, MINUTE + 60, Priority.ORDER, binance_costs(1, orders=1))[1] is None


def test_an_order_that_rests_keeps_its_count_until_the_ten_seconds_are_over():
    line = known()
    line.counters[ORDERS].limit = 1
    number, _ = take(line, MINUTE, Priority.EXIT, binance_costs(1, orders=1))
    line.finish(MINUTE + 50, number, {WEIGHT: 0, ORDERS: 1})
    late, wait = take(line, MINUTE + 60, Priority.ORDER, binance_costs(1, orders=1))
    assert 9_000 < wait.ms < 11_000
    line.leave(late)
    assert take(line, MINUTE + 10_060, Priority.ORDER, binance_costs(1, orders=1))[1] is None


def test_what_others_spend_from_this_address_is_believed():
    line = known()
    spend(line, MINUTE, used=5_990)
    assert take(line, MINUTE + 1, Priority.EXIT, binance_costs(1))[1] is not None
    assert take(line, MINUTE + 1, Priority.CANCEL, binance_costs(1))[1] is None


def test_answers_that_cross_on_the_way_never_lower_the_count_below_the_truth():
    line = known()
    first, _ = take(line, MINUTE, Priority.EXIT, binance_costs(100))
    second, _ = take(line, MINUTE, Priority.EXIT, binance_costs(50))
    line.finish(MINUTE + 40, second, {WEIGHT: 150})
    line.finish(MINUTE + 50, first, {WEIGHT: 100})  # counted first, heard last
    assert line.used(MINUTE + 60, WEIGHT) >= 150


def test_until_the_venue_was_asked_only_cancels_and_exits_go():
    line = binance_line()
    line.forget(MINUTE)
    for priority in Priority:
        number, wait = take(line, MINUTE + 1, priority, binance_costs(1))
        assert (wait is None) == (priority <= Priority.EXIT)
        assert wait is None or wait.ask
        line.leave(number)
    probe = line.enter(MINUTE + 2, 1, Priority.EXIT, binance_costs(1), probe=True)
    assert line.admit(MINUTE + 2, probe) is None
    line.clock_read(MINUTE + 2, MINUTE + 12, MINUTE + 30_007)
    line.finish(MINUTE + 12, probe, {WEIGHT: 17})
    assert 17 <= line.used(MINUTE + 20, WEIGHT) <= 20
    assert take(line, MINUTE + 20, Priority.HISTORY, binance_costs(2))[1] is None


def test_a_probe_is_not_sent_by_everybody_at_once():
    line = binance_line()
    line.forget(MINUTE)
    one = line.enter(MINUTE, 1, Priority.EXIT, binance_costs(1), probe=True)
    two = line.enter(MINUTE, 2, Priority.EXIT, binance_costs(1), probe=True)
    assert line.admit(MINUTE, one) is None
    assert line.admit(MINUTE + 1, two) is not None


def test_a_probe_that_says_nothing_leaves_our_own_count():
    line, now = binance_line(), MINUTE + 10_000
    line.forget(now)
    probe = line.enter(now, 1, Priority.EXIT, binance_costs(1), probe=True)
    assert line.admit(now, probe) is None
    line.finish(now + 9, probe, {}, answered=False)
    assert line.unknown(now + 10, binance_costs(1))
    again = line.enter(now + 400, 1, Priority.EXIT, binance_costs(1), probe=True)
    assert line.admit(now + 400, again) is None
    line.finish(now + 410, again, {})
    assert take(line, now + 420, Priority.HISTORY, binance_costs(2))[1] is None


def test_a_dead_waiter_holds_nobody_up_for_long_and_a_dead_senders_request_counts():
    line = known()
    spend(line, MINUTE, used=5_998)
    _, wait = take(line, MINUTE, Priority.CANCEL, binance_costs(30), owner=666)
    assert wait is not None
    _, wait = take(line, MINUTE + 1, Priority.CANCEL, binance_costs(1))
    assert wait is not None
    third, wait = take(line, MINUTE + STALE_WAITER_MS + 1, Priority.CANCEL, binance_costs(1))
    assert wait is None
    line.finish(MINUTE + 2_100, third, {})
    sent, _ = take(line, MINUTE + 60_100, Priority.ACCOUNT, binance_costs(80), owner=666)
    assert line.used(MINUTE + 60_200, WEIGHT) == 80
    assert line.ticket(sent) is not None
    take(line, MINUTE + 60_100 + FLYING_MS + 1, Priority.CANCEL, binance_costs(1))
    assert line.ticket(sent) is None
    assert line.used(MINUTE + 60_100 + FLYING_MS + 2, WEIGHT) == 81


def test_a_process_found_dead_gives_its_places_back_soon():
    line = upbit_line()
    for _ in range(12):
        take(line, T, Priority.CANCEL, {"order": 1}, owner=666)
    waiting, _ = take(line, T, Priority.CANCEL, {"order": 1}, owner=666)
    line.died(T + 500, 666)
    assert line.ticket(waiting) is None
    late, wait = take(line, T + 2_400, Priority.CANCEL, {"order": 1})
    assert wait is not None
    # Over two seconds after it was found dead, and a place is held for a second after that.
    assert line.admit(T + 2_501, late) is not None
    assert line.admit(T + 3_502, late) is None


def test_pauses_hold_everybody_and_are_never_shortened():
    line = known()
    assert line.turned_away(MINUTE, 418, 300.0) == 300.0
    line.turned_away(MINUTE + 1_000, 429, 1.0)
    for priority in Priority:
        number, wait = take(line, MINUTE + 1_000, priority, binance_costs(1))
        assert wait.ms == 299_000
        line.leave(number)
    assert line.refusals == 2
    assert take(line, MINUTE + 300_000, Priority.CANCEL, binance_costs(1))[1] is None


def test_without_retry_after_a_ban_lasts_its_shortest_and_a_429_the_minute():
    assert known().turned_away(MINUTE + 20_000, 418, None) == 120.0
    assert known().turned_away(MINUTE + 20_000, 429, None) == 40.0
    assert known().turned_away(MINUTE + 20_000, 429, None, CONNECTS) == 60.0
    assert known().turned_away(MINUTE + 20_000, 403, None) == 10.0


@pytest.mark.parametrize("asked", [float("1e300"), 2**53 / 1_000, 1e9])
def test_no_number_gone_wrong_stops_us_longer_than_the_longest_ban(asked):
    line = known()
    assert line.turned_away(MINUTE, 418, asked) == 3 * 86_400
    assert take(line, MINUTE + 3 * 86_400_000, Priority.CANCEL, binance_costs(1))[1] is None
    assert known().turned_away(MINUTE, 429, -5.0) == 0.0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("31", 31.0), ("0", 0.0), ("9" * 400, None), ("٣", None), ("-1", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
def test_retry_after_is_read_where_it_is_a_number(said, seconds):
    assert retry_after({"retry-AFTER": said}) == seconds
    assert retry_after({}) is None


def test_three_hundred_connects_in_five_minutes_are_never_reached():
    line, made = known(), 0
    for second in range(300):
        for _ in range(3):
            number, wait = take(line, MINUTE + second * 1_000, Priority.ACCOUNT, {CONNECTS: 1})
            made += wait is None
            line.leave(number) if wait else line.finish(MINUTE + second * 1_000, number, {})
    # A quarter is kept for whoever else is behind this address.
    assert made == 225
    assert take(line, MINUTE + 300_000 + 1, Priority.ACCOUNT, {CONNECTS: 1})[1] is None


def test_too_many_orders_is_no_matter_of_cancels():
    line = known()
    number, _ = take(line, MINUTE, Priority.ORDER, binance_costs(1, orders=1))
    line.finish(MINUTE + 20, number, {}, over=ORDERS)
    assert take(line, MINUTE + 30, Priority.CANCEL, binance_costs(1))[1] is None
    assert take(line, MINUTE + 30, Priority.EXIT, binance_costs(1, orders=1))[1] is not None


def test_a_429_of_an_upbit_group_is_no_matter_of_the_others():
    line = upbit_line()
    assert line.turned_away(T, 429, None, "candle") == 1.0
    assert take(line, T, Priority.CANCEL, {"candle": 1})[1] is not None
    assert take(line, T, Priority.CANCEL, {"order": 1})[1] is None
    _, wait = take(line, T, Priority.CANCEL, {"brand-new": 1})
    assert wait is None and line.flying("default") == 1


def test_a_clock_found_to_be_elsewhere_makes_old_counts_worthless():
    line = known()
    spend(line, MINUTE, used=3_000)
    line.clock_read(MINUTE + 10, MINUTE + 20, MINUTE + 3_600_000)
    assert line.unknown(MINUTE + 30, binance_costs(1))
    spend(line, MINUTE + 40, used=12)
    assert line.used(MINUTE + 50, WEIGHT) == 12


def test_an_answer_over_the_turn_of_the_minute_counts_in_both():
    counter = Fixed(100, 60_000, assumed=0.5, recorded_from=0)
    counter.finish(MINUTE - 20, MINUTE + 20, 30, 0, 90)
    assert counter.used(MINUTE - 10, MINUTE - 5) == 30
    assert counter.used(MINUTE + 30, MINUTE + 40) == 30


@pytest.mark.parametrize("value", ["-5", "many", "", "1e3", "9" * 40])
def test_headers_that_are_no_numbers_are_not_believed(value: str):
    assert stated({"X-MBX-USED-WEIGHT-1M": value, "X-MBX-ORDER-COUNT-10S": value}) == {}


def test_headers_of_both_venues_are_read():
    said = {"X-MBX-USED-WEIGHT-1M": "7", "x-mbx-order-count-10s": "2", "X-MBX-ORDER-COUNT-1D": "40", "Date": "x"}
    assert stated(said) == {"weight": 7, "orders": 2, "orders-day": 40}
    assert stated({"Remaining-Req": "group=default; min=1800; sec=29"}) == {"default": 29}
