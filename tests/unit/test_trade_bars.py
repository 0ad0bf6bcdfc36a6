"""Bars from trades: what makes a minute final, and what never does."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from core.messages import Bar
from core.units import MINUTE_MS, Instrument
from exchanges.trade import Trade
from exchanges.trade_bars import GIVE_UP_MS, GRACE_MS, HOLD_MS, KEPT_MINUTES, TradeBars

BTC, DOGE = Instrument("upbit", "BTC/KRW"), Instrument("upbit", "DOGE/KRW")
START = 1_772_000_040_000
"""Open of a minute."""
NOW = START + 10 * MINUTE_MS


def trade(at_ms: int, price: float = 100.0, quantity: float = 1.0, number: int | None = None) -> Trade:
    return Trade(id=at_ms if number is None else number, price=price, quantity=quantity, at_ms=at_ms, sold=False)


def bars_from(begin_ms: int = START) -> TradeBars:
    bars = TradeBars([BTC, DOGE])
    bars.begin(begin_ms)
    return bars


def candle(minute: int, price: float = 100.0, volume: float = 1.0) -> Bar:
    return Bar(minute=minute, open=price, high=price, low=price, close=price, volume=volume, source="rest")


def test_a_trade_of_a_later_minute_closes_a_whole_one():
    bars = bars_from()
    for at, price in ((5, 100.0), (20, 130.0), (40, 90.0), (59_999, 110.0)):
        assert bars.take(BTC, trade(START + at, price), NOW) == []
    (bar,) = bars.take(BTC, trade(START + MINUTE_MS + 1, 500.0), NOW)
    assert bar == Bar(minute=START, open=100.0, high=130.0, low=90.0, close=110.0, volume=4.0, source="stream")


def test_the_clock_alone_closes_nothing():
    bars = bars_from()
    bars.take(BTC, trade(START + 5), START + 5)
    for later in (MINUTE_MS + GRACE_MS, MINUTE_MS + GIVE_UP_MS - 1):
        assert bars.ripe(START + later) == []
        assert bars.due(START + later) == {BTC: (START, START + MINUTE_MS), DOGE: (START, START + MINUTE_MS)}


def test_a_minute_stays_open_a_moment_for_trades_in_another_order():
    bars = bars_from()
    end = START + MINUTE_MS
    bars.take(BTC, trade(START + 5, 100.0), START + 5)
    assert bars.take(BTC, trade(end + 2, 7.0), end + 3) == []
    assert bars.take(BTC, trade(end - 1, 120.0), end + 4) == []
    assert bars.ripe(end + HOLD_MS - 1) == []
    ((instrument, bar),) = bars.ripe(end + HOLD_MS)
    assert (instrument, bar.close, bar.volume) == (BTC, 120.0, 2.0)


def test_order_within_a_minute_is_by_time_and_number_not_by_arrival():
    bars = bars_from()
    for number, price in ((5, 105.0), (3, 103.0), (9, 109.0), (4, 104.0)):
        bars.take(BTC, trade(START + 7, price, number=number), NOW)
    (bar,) = bars.take(BTC, trade(START + MINUTE_MS), NOW)
    assert (bar.open, bar.close) == (103.0, 109.0)


def test_volumes_add_up_as_the_venue_counts_them():
    """Sums of float64 would differ from the venue's in the last digit, and every bar would look revised."""
    bars = bars_from()
    parts = (0.1, 0.2, 0.3, 0.00000001, 1.1, 2.2)
    for n, part in enumerate(parts):
        bars.take(BTC, trade(START + n, quantity=part), NOW)
    (bar,) = bars.take(BTC, trade(START + MINUTE_MS), NOW)
    assert bar.volume == 3.90000001 != sum(parts)


def test_a_trade_heard_twice_counts_once():
    bars = bars_from()
    for _ in range(3):
        bars.take(BTC, trade(START + 7), NOW)
    (bar,) = bars.take(BTC, trade(START + MINUTE_MS), NOW)
    bars.take(BTC, trade(START + 7), NOW)
    assert (bar.volume, bars.faults["repeated"], bars.faults["late"]) == (1.0, 3, 0)


def test_a_trade_that_comes_too_late_is_counted_and_changes_no_bar():
    bars = bars_from()
    bars.take(BTC, trade(START + 7), NOW)
    bars.take(BTC, trade(START + MINUTE_MS), NOW)
    assert bars.take(BTC, trade(START + 8, 1.0), NOW) == []
    assert bars.faults["late"] == 1


def test_the_first_partial_minute_is_never_final_from_the_stream_alone():
    bars = bars_from(START + 20_000)
    bars.take(BTC, trade(START + 30_000), NOW)
    assert bars.take(BTC, trade(START + MINUTE_MS + 5, 200.0), NOW) == []
    assert bars.take(BTC, trade(START + 2 * MINUTE_MS + 5), NOW) == []
    assert bars.quiet(BTC, START + 2 * MINUTE_MS + 5, 1.0, NOW) == []
    assert bars.due(START + MINUTE_MS + GRACE_MS)[BTC] == (START, START + MINUTE_MS)
    partial = bars.settle(BTC, START, START + MINUTE_MS, [candle(START, 90.0, 5.0)])
    assert [(b.close, b.source) for b in partial] == [(90.0, "rest")]
    assert [(i, b.minute, b.source) for i, b in bars.ripe(NOW)] == [(BTC, START + MINUTE_MS, "stream")]


def test_an_empty_minute_between_two_trades_is_a_flagged_filler():
    bars = bars_from()
    bars.take(BTC, trade(START + 7, 101.0), NOW)
    closed = bars.take(BTC, trade(START + 2 * MINUTE_MS + 7), NOW)
    assert [(b.minute, b.filler, b.source, b.close, b.volume) for b in closed] == [
        (START, False, "stream", 101.0, 1.0),
        (START + MINUTE_MS, True, "filler", 101.0, 0.0),
    ]


def test_rest_confirms_that_nothing_more_was_traded():
    bars = bars_from()
    asked = START + MINUTE_MS + GRACE_MS
    bars.take(BTC, trade(START + 7, 101.0), START + 7)
    (bar,) = bars.quiet(BTC, START + 7, 101.0, asked)
    assert (bar.minute, bar.source, bar.close) == (START, "stream", 101.0)
    (empty,) = bars.quiet(BTC, START + 7, 101.0, asked + MINUTE_MS)
    assert (empty.minute, empty.filler, empty.close) == (START + MINUTE_MS, True, 101.0)


def test_rest_that_knows_more_or_less_than_was_heard_confirms_nothing():
    bars = bars_from()
    asked = START + MINUTE_MS + GRACE_MS
    bars.take(BTC, trade(START + 7), START + 7)
    assert bars.quiet(BTC, START + 8, 1.0, asked) == []  # a trade we did not hear
    assert bars.quiet(BTC, START - 5, 1.0, asked) == []  # it lags behind us
    assert bars.quiet(BTC, START + 7, 1.0, asked - 1) == []  # asked too early


def test_a_market_that_never_traded_since_the_start_is_filled_with_the_price_rest_tells():
    bars = bars_from()
    (empty,) = bars.quiet(DOGE, START - 3_600_000, 298.0, START + MINUTE_MS + GRACE_MS)
    assert (empty.filler, empty.close) == (True, 298.0)


def test_without_any_price_an_empty_minute_has_no_bar():
    bars = bars_from()
    assert bars.settle(DOGE, START, START + MINUTE_MS, []) == []
    assert bars.due(START + MINUTE_MS + GRACE_MS) == {BTC: (START, START + MINUTE_MS)}


def test_the_last_trade_told_at_the_start_is_a_price_and_no_volume():
    bars = bars_from()
    assert bars.take(DOGE, trade(START - 90_000, 297.0), START) == []
    assert bars.take(DOGE, trade(START - 90_000, 297.0), START) == []  # told again by a connection that takes over
    (empty,) = bars.settle(DOGE, START, START + MINUTE_MS, [])
    assert (empty.close, empty.volume, empty.filler) == (297.0, 0.0, True)
    assert (bars.faults["late"], bars.faults["repeated"]) == (0, 1)


def test_rest_decides_where_it_knows_better():
    bars = bars_from()
    bars.take(BTC, trade(START + 7, 101.0), START + 7)
    (bar,) = bars.settle(BTC, START, START + MINUTE_MS, [candle(START, 102.0, 3.0)])
    assert (bar.close, bar.source, bars.faults["mended"]) == (102.0, "rest", 1)
    bars.take(BTC, trade(START + MINUTE_MS + 7, 101.0), NOW)
    (bar,) = bars.settle(BTC, START + MINUTE_MS, START + 2 * MINUTE_MS, [candle(START + MINUTE_MS, 101.0, 1.0)])
    assert (bar.source, bars.faults["mended"]) == ("stream", 1)


def test_rest_that_lags_settles_nothing():
    bars = bars_from(START + 1)
    bars.take(BTC, trade(START + 7, 101.0, 2.0), START + 7)
    assert bars.settle(BTC, START, START + MINUTE_MS, []) == []
    assert bars.settle(BTC, START, START + MINUTE_MS, [candle(START, 101.0, 1.0)]) == []
    (bar,) = bars.settle(BTC, START, START + MINUTE_MS, [candle(START, 101.0, 2.0)])
    assert bar.source == "rest"


def test_a_nonsense_candle_is_not_taken():
    bars = bars_from(START + 1)
    bars.take(BTC, trade(START + 7, 101.0, 2.0), START + 7)
    assert bars.settle(BTC, START, START + MINUTE_MS, [candle(START, math.nan, 2.0), candle(START, -1.0, 2.0)]) == []


def test_after_a_break_everything_since_is_asked_for():
    bars = bars_from()
    bars.take(BTC, trade(START + 7), START + 7)
    bars.cut()
    bars.begin(START + 3 * MINUTE_MS + 20_000)
    bars.take(BTC, trade(START + 4 * MINUTE_MS + 1), NOW)
    assert bars.ripe(NOW) == []
    now = START + 4 * MINUTE_MS + GRACE_MS
    assert bars.due(START + 3 * MINUTE_MS + 20_000)[BTC] == (START + 2 * MINUTE_MS, START + 3 * MINUTE_MS)
    assert bars.faults["unsettled"] == 4  # two minutes of each instrument, long over
    first, end = bars.due(now)[BTC]
    rest = [candle(m, 50.0, 9.0) for m in range(first, end, MINUTE_MS)]
    assert [b.source for b in bars.settle(BTC, first, end, rest)] == ["rest"] * len(rest)
    bars.take(BTC, trade(START + 5 * MINUTE_MS + 1), NOW)
    assert bars.due(START + 5 * MINUTE_MS + GRACE_MS).get(BTC) is None


def test_what_rest_cannot_settle_is_left_out_before_it_holds_up_the_next():
    bars = bars_from(START + 1)
    bars.take(BTC, trade(START + 7), NOW)
    bars.take(BTC, trade(START + MINUTE_MS + 7, 105.0), NOW)
    bars.due(START + MINUTE_MS + GIVE_UP_MS)
    (bar,) = bars.take(BTC, trade(START + 2 * MINUTE_MS), NOW)
    assert (bar.minute, bar.close) == (START + MINUTE_MS, 105.0)
    assert bars.faults["unsettled"] == 2  # one of each instrument


def test_a_long_absence_is_not_made_up_for_minute_by_minute():
    bars = bars_from()
    bars.cut()
    later = START + 1_000 * MINUTE_MS
    bars.begin(later)
    first, _ = bars.due(later + GRACE_MS)[BTC]
    assert first >= later - KEPT_MINUTES * MINUTE_MS


def test_a_trade_from_the_future_is_a_fault_of_its_frame():
    bars = bars_from()
    assert bars.take(BTC, trade(START + 3_600_000), START) == []
    assert bars.faults["future"] == 1
    assert bars.due(START) == {}


def truth(trades: list[Trade], minute: int) -> Bar | None:
    """The bar of a minute, from the trades in their true order."""
    own = sorted((t for t in trades if minute <= t.at_ms < minute + MINUTE_MS), key=lambda t: (t.at_ms, t.id))
    if not own:
        return None
    prices = [t.price for t in own]
    return Bar(
        minute=minute,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=sum(t.quantity for t in own),
    )


@settings(max_examples=80, deadline=None)
@given(
    moments=st.lists(st.integers(0, 6 * MINUTE_MS - 1), max_size=40, unique=True),
    breaks=st.lists(st.tuples(st.integers(0, 6 * MINUTE_MS), st.integers(1, 90_000)), max_size=3),
    data=st.data(),
)
def test_whatever_is_lost_doubled_or_broken_off_every_bar_is_the_true_one(moments, breaks, data):
    """Trades come twice and in another order by up to the hold; the stream breaks; REST answers from the truth."""
    trades = [
        Trade(id=n, price=float(100 + n % 7), quantity=float(1 + n % 3), at_ms=START + at, sold=False)
        for n, at in enumerate(sorted(moments))
    ]
    bars, out = TradeBars([BTC]), []
    bars.begin(START)
    deaf = [(START + at, START + at + length) for at, length in breaks]
    events = [(t.at_ms + data.draw(st.integers(0, HOLD_MS - 1)), "trade", t) for t in trades for _ in range(2)]
    events += [(a, "cut", b) for a, b in deaf] + [(b, "begin", a) for a, b in deaf]
    events += [(START + s * 2_000, "look", None) for s in range(7 * 30)]
    for at, kind, what in sorted(events, key=lambda e: (e[0], e[1])):
        hearing = not any(a <= at < b for a, b in deaf)
        if kind == "cut":
            bars.cut()
        elif kind == "begin" and hearing:
            bars.begin(at + HOLD_MS)
        elif kind == "trade" and hearing:
            out += bars.take(BTC, what, at)
        elif kind == "look" and hearing:
            out += [bar for _, bar in bars.ripe(at)]
            for first, end in bars.due(at).values():
                known = [t for t in trades if t.at_ms <= at]
                if known and data.draw(st.booleans()):
                    out += bars.quiet(BTC, known[-1].at_ms, known[-1].price, at)
                else:
                    rest = [b for m in range(first, end, MINUTE_MS) if (b := truth(trades, m))]
                    out += bars.settle(BTC, first, end, rest)
    minutes = [bar.minute for bar in out]
    assert minutes == sorted(set(minutes))
    for bar in out:
        meant = truth(trades, bar.minute)
        assert bar.filler == (meant is None)
        if meant is not None:
            assert (bar.open, bar.high, bar.low, bar.close) == (meant.open, meant.high, meant.low, meant.close)
            assert bar.volume == meant.volume
        else:
            before = [t.price for t in trades if t.at_ms < bar.minute]
            assert bar.close == before[-1]
