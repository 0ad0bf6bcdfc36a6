"""Which trades are worth a look at the book, and when their own price counts."""

import math

import pytest

from core.params import ProtectionSettings, RiskSettings
from core.prints import AGAIN_S, LEVELS_S, MOST_LOOKS, OLD_S, SETTLE_S, Crossing, Prints
from core.protection import NOT_DUE, STOP_LOSS, Bounds, due_at, exit_bounds, exit_rules
from tests.support.fake_venue import BTC, ETH

HELD = {BTC: Bounds(95.0, 110.0)}


def holding(now_s: float = 0.0) -> Prints:
    prints = Prints()
    prints.learn(HELD, now_s)
    prints.book(BTC, now_s)
    return prints


@pytest.mark.parametrize(
    ("settings", "peak"),
    [
        (ProtectionSettings(stop_loss_pct=5), 100.0),
        (ProtectionSettings(stop_loss_pct=5, take_profit_pct=7), 100.0),
        (ProtectionSettings(stop_loss_pct=None, trailing_stop_pct=3, trailing_activation_pct=1), 104.3),
        (ProtectionSettings(stop_loss_pct=None, trailing_stop_pct=3, trailing_activation_pct=9), 104.3),
        (ProtectionSettings(stop_loss_pct=5, trailing_stop_pct=1, take_profit_pct=9), 108.77),
    ],
)
def test_bounds_are_where_the_rule_of_exits_begins_to_say_otherwise(settings, peak):
    rules = exit_rules(settings, RiskSettings())
    bounds = exit_bounds(100.0, peak, NOT_DUE, rules)

    def due(price: float) -> bool:
        return due_at(100.0, peak, 0, price, 0, rules) != NOT_DUE

    for level, inward in ((bounds.low, math.inf), (bounds.high, 0.0)):
        if 0.0 < level < math.inf:
            assert due(level) and not due(math.nextafter(level, inward))
    assert due(0.01) is (bounds.low > 0.0) and due(1e9) is (bounds.high < math.inf)


def test_a_position_that_is_being_sold_wants_to_know_every_price():
    bounds = exit_bounds(100.0, 100.0, STOP_LOSS, exit_rules(ProtectionSettings(stop_loss_pct=5), RiskSettings()))
    prints = Prints()
    prints.learn({BTC: bounds}, 0.0)
    assert prints.trade(BTC, 101.0, 0.1) == SETTLE_S


def test_a_trade_that_crosses_is_due_when_the_book_has_had_its_time():
    prints = holding()
    assert prints.trade(BTC, 96.0, 1.0) == math.inf
    assert prints.trade(BTC, 95.0, 1.0) == SETTLE_S
    assert prints.due(1.0 + SETTLE_S - 0.01) == {}
    assert prints.due(1.0 + SETTLE_S) == {BTC: Crossing(price=95.0, count=1, silent_s=1.0 + SETTLE_S)}
    assert prints.due(1.0 + SETTLE_S + AGAIN_S - 0.01) == {}
    assert list(prints.due(1.0 + SETTLE_S + AGAIN_S)) == [BTC]


def test_a_book_heard_after_it_answers_a_trade_and_one_within_the_levels_takes_it_back():
    prints = holding()
    prints.trade(BTC, 90.0, 1.0)
    prints.book(BTC, 1.01)
    assert prints.due(9.0) == {} and prints.wait_s(9.0) == math.inf
    prints.trade(BTC, 90.0, 9.0)
    prints.trade(BTC, 99.0, 9.01)
    assert prints.due(19.0) == {}


def test_the_milder_of_two_in_a_row_counts_and_one_alone_never_does():
    prints = holding()
    prints.trade(BTC, 50.0, 3.0)
    (alone,) = prints.due(5.0).values()
    assert not alone.counts(1e9)
    prints.trade(BTC, 94.5, 5.1)
    (two,) = prints.due(7.0).values()
    assert two == Crossing(price=94.5, count=2, silent_s=7.0)
    assert two.counts(OLD_S) and not two.counts(OLD_S - 0.01)
    prints.trade(BTC, 94.0, 7.1)
    assert prints.due(9.0)[BTC].price == 94.5
    # Above the other level it is the lower one; and a run begins anew with the side.
    prints.trade(BTC, 120.0, 9.1)
    assert prints.due(9.5)[BTC] == Crossing(price=120.0, count=1, silent_s=9.5)
    prints.trade(BTC, 111.0, 9.6)
    assert prints.due(12.0)[BTC].price == 111.0


def test_one_print_is_looked_at_a_few_times_and_the_next_one_again():
    prints = holding()
    prints.trade(BTC, 90.0, 0.0)
    looks = [prints.due(0.25 + second) for second in range(3 * MOST_LOOKS)]
    assert sum(map(len, looks)) == MOST_LOOKS and prints.wait_s(99.0) == math.inf
    prints.trade(BTC, 90.0, 99.0)
    assert prints.due(99.0)[BTC].count == 2


def test_thousands_of_trades_beyond_a_level_are_one_look_a_second():
    prints = holding()
    looks = 0
    for k in range(20_000):
        now = k / 2_000
        prints.trade(BTC, 90.0 + k % 7 / 10, now)
        looks += len(prints.due(now))
    assert looks == 10
    # With a book that answers each of them, none.
    prints, looks = holding(), 0
    for k in range(20_000):
        now = k / 2_000
        prints.trade(BTC, 90.0, now)
        prints.book(BTC, now + 0.0002)
        looks += len(prints.due(now + 0.0004))
    assert looks == 0


def test_a_trade_of_what_is_not_known_to_be_held_is_a_reason_to_ask_now_and_then():
    prints = holding()
    assert prints.trade(ETH, 1.0, LEVELS_S - 0.01) == math.inf
    assert prints.trade(ETH, 1.0, LEVELS_S) == 0.0
    prints.learn({}, LEVELS_S)
    assert prints.trade(BTC, 1.0, LEVELS_S + 0.1) == math.inf and prints.due(99.0) == {}


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_a_price_that_is_none_is_none(price):
    prints = holding()
    prints.trade(BTC, price, 0.1)
    assert prints.due(9.0) == {}
