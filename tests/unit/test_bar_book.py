"""What is final, what is asked, what was revised."""

from dataclasses import replace

from core.messages import Bar, BarRevised
from core.units import MINUTE_MS
from exchanges.bar_book import KEPT_MINUTES, RECHECK_EVERY, RECHECK_MINUTES, Ask, BarBook
from tests.support.markets import BTC, ETH, MINUTE, SOL, bar

NEXT = MINUTE + MINUTE_MS


def rest(minute: int, close: float, **changes: object) -> Bar:
    return bar(minute, close, source="rest", **changes)


def test_a_minute_is_complete_when_every_final_bar_is_there():
    book = BarBook((BTC, ETH))
    book.hear(BTC, bar(MINUTE, 5.0))
    assert not book.complete(MINUTE)
    book.hear(ETH, bar(MINUTE, 6.0))
    assert book.complete(MINUTE)
    assert book.asks(MINUTE) == []
    assert book.close(MINUTE) == (bar(MINUTE, 5.0), bar(MINUTE, 6.0))


def test_what_is_missing_is_asked_and_rest_is_final():
    book = BarBook((BTC, ETH))
    book.hear(BTC, bar(MINUTE, 5.0))
    (ask,) = book.asks(MINUTE)
    assert ask == Ask(ETH, MINUTE, 1)
    book.learn(ask, [rest(MINUTE, 6.0)])
    assert [b.source for b in book.close(MINUTE)] == ["stream", "rest"]


def test_an_unconfirmed_bar_is_never_given_out_but_asked_about_at_once():
    book = BarBook((BTC,))
    book.hear(BTC, bar(MINUTE, 5.0, source="unconfirmed"))
    assert book.doubtful(MINUTE)
    (ask,) = book.asks(MINUTE)
    assert book.close(MINUTE) == (None,)  # REST did not answer in time
    book.learn(ask, [rest(MINUTE, 5.1)])
    assert not book.doubtful(MINUTE)
    assert book.take_revisions(NEXT) == (BarRevised(instrument=BTC, bar=rest(MINUTE, 5.1), before=None),)
    assert book.found == 1


def test_a_bar_heard_otherwise_than_it_is_held_is_in_doubt():
    book = BarBook((BTC,))
    book.hear(BTC, bar(MINUTE, 5.0))
    book.hear(BTC, bar(MINUTE, 5.0))
    assert book.complete(MINUTE)
    book.hear(BTC, bar(MINUTE, 5.2))
    assert not book.complete(MINUTE)
    assert book.asks(MINUTE) == [Ask(BTC, MINUTE, 1)]


def test_a_late_final_frame_after_rest_changes_nothing():
    book = BarBook((BTC,))
    book.learn(Ask(BTC, MINUTE, 1), [rest(MINUTE, 5.0)])
    book.close(MINUTE)
    book.hear(BTC, bar(MINUTE, 4.9))
    assert book.take_revisions(NEXT) == ()
    assert not book.doubtful(MINUTE)


def test_a_late_final_frame_of_a_minute_given_out_without_it_is_told():
    book = BarBook((BTC,))
    assert book.close(MINUTE) == (None,)
    book.hear(BTC, bar(MINUTE, 5.0))
    assert book.take_revisions(MINUTE) == ()  # not while that very minute is given out
    assert [r.bar.close for r in book.take_revisions(NEXT)] == [5.0]
    assert book.take_revisions(NEXT) == ()  # once


def test_a_revised_bar_is_counted_and_told_with_what_it_was():
    book = BarBook((BTC,))
    book.hear(BTC, bar(MINUTE, 5.0))
    book.close(MINUTE)
    book.learn(Ask(BTC, MINUTE, 1), [rest(MINUTE, 5.0)])
    assert book.take_revisions(NEXT) == ()  # the same numbers from a better source
    book.learn(Ask(BTC, MINUTE, 1), [rest(MINUTE, 5.0, volume=1.5)])
    (told,) = book.take_revisions(NEXT)
    assert (told.instrument, told.bar.volume, told.before.volume) == (BTC, 1.5, 1.0)
    assert book.revisions == 1


def test_a_bar_rest_does_not_know_yet_stands():
    book = BarBook((BTC,))
    book.hear(BTC, bar(MINUTE, 5.0))
    book.close(MINUTE)
    book.learn(Ask(BTC, MINUTE, 1), [])
    assert book.take_revisions(NEXT) == ()


def test_after_an_interruption_every_hole_since_is_asked_once():
    book = BarBook((BTC, ETH))
    for step in range(5):
        minute = MINUTE + step * MINUTE_MS
        book.hear(ETH, bar(minute, 6.0))
        if step in (0, 2, 4):
            book.hear(BTC, bar(minute, 5.0))
        if step == 0:
            book.close(minute)
    book.gap()
    assert book.asks(MINUTE + 4 * MINUTE_MS) == [Ask(BTC, NEXT, 3)]
    assert book.asks(MINUTE + 4 * MINUTE_MS) == []


def test_a_halt_is_asked_about_each_minute_and_only_that_minute():
    book = BarBook((BTC,))
    for step in range(4):
        minute = MINUTE + step * MINUTE_MS
        assert book.asks(minute) == [Ask(BTC, minute, 1)]
        assert book.close(minute) == (None,)


def test_recent_bars_are_looked_at_again_every_quarter_of_an_hour():
    book = BarBook((BTC, SOL))
    looked = []
    for step in range(50):
        minute = MINUTE + step * MINUTE_MS
        book.close(minute)
        looked += [
            (step, ask.instrument, (ask.first - MINUTE) // MINUTE_MS, ask.count) for ask in book.look_back(minute)
        ]
    assert looked == [
        (
            RECHECK_EVERY * n,
            i,
            max(0, RECHECK_EVERY * n - RECHECK_MINUTES + 1),
            min(RECHECK_MINUTES, RECHECK_EVERY * n + 1),
        )
        for n in (1, 2, 3)
        for i in (BTC, SOL)
    ]


def test_memory_is_bounded_whatever_minutes_are_heard():
    book = BarBook((BTC,))
    for step in range(3 * KEPT_MINUTES):
        minute = MINUTE + step * MINUTE_MS
        book.hear(BTC, bar(minute, 5.0))
        book.hear(BTC, bar(minute + 10**12, 5.0))
        book.hear(BTC, bar(-minute, 5.0, source="unconfirmed"))
        book.close(minute)
    assert len(book._bars) == KEPT_MINUTES
    assert not book._doubts


def test_a_filler_of_the_stream_makes_a_minute_complete_and_gives_way_to_a_bar():
    book = BarBook((BTC, ETH))
    book.hear(BTC, bar(MINUTE, 5.0, volume=0.0, filler=True, source="filler"))
    book.hear(ETH, bar(MINUTE, 6.0))
    assert book.complete(MINUTE)
    book.hear(BTC, bar(MINUTE, 5.5))
    assert book.close(MINUTE)[0] == bar(MINUTE, 5.5)


def test_a_foreign_instrument_is_nothing():
    book = BarBook((BTC,))
    book.hear(ETH, replace(bar(MINUTE, 5.0)))
    assert book.asks(MINUTE) == [Ask(BTC, MINUTE, 1)]
