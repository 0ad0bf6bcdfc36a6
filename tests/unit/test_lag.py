"""Being behind is told from clocks that disagree."""

from exchanges.lag import FORGET_MS, Lag

VENUE = 1_772_000_000_000


def test_an_offset_between_the_clocks_is_no_lag():
    lag = Lag()
    assert [lag.behind_ms(5_000 + t, VENUE + t) for t in range(0, 10_000, 2_000)] == [0.0] * 5


def test_what_waited_is_behind_by_what_it_waited_beyond_the_usual():
    lag = Lag()
    lag.behind_ms(1_080, VENUE + 1_000)
    assert lag.behind_ms(3_050, VENUE + 3_000) == 0.0  # faster than ever: that is the usual now
    assert lag.behind_ms(30_050, VENUE + 5_000) == 25_000
    assert lag.newest_ms == 25_000


def test_a_market_that_runs_faster_than_we_do_is_never_behind():
    lag = Lag()
    assert all(lag.behind_ms(t, VENUE + 60 * t) == 0.0 for t in range(0, 100_000, 1_000))


def test_clocks_that_drift_apart_are_followed():
    lag = Lag()
    worst = 0.0
    for step in range(0, int(20 * FORGET_MS), 60_000):
        worst = max(worst, lag.behind_ms(step * 1.0001, VENUE + step))
    assert worst < 2.1 * FORGET_MS * 0.0001


def test_a_frame_without_a_time_says_nothing():
    lag = Lag()
    lag.behind_ms(1_000, VENUE)
    assert lag.behind_ms(99_000, 0) == 0.0
    assert lag.behind_ms(99_000, -5) == 0.0
