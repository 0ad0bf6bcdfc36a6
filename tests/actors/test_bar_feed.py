"""The feed's bars as a plain object: waiting, asking, gaps, and looking back, against a history made by hand."""

import asyncio

import pytest

from actors.bar_feed import BarFeed
from core.errors import ExchangeUnavailable
from core.messages import Bar
from core.units import MINUTE_MS, Instrument
from exchanges.bar_book import RECHECK_EVERY
from tests.support.markets import BTC, ETH, MINUTE, bar


class Books:
    """What the venue's REST has; ``fails`` makes it unreachable."""

    def __init__(self) -> None:
        self.bars: dict[tuple[Instrument, int], Bar] = {}
        self.asked: list[tuple[Instrument, int, int]] = []
        self.fails = False
        self.together = self.most = 0

    def has(self, instrument: Instrument, minute: int, close: float) -> None:
        self.bars[instrument, minute] = bar(minute, close, source="rest")

    async def history(self, instrument: Instrument, first_minute: int, count: int) -> list[Bar]:
        self.asked.append((instrument, first_minute, count))
        self.together += 1
        self.most = max(self.most, self.together)
        await asyncio.sleep(0)
        self.together -= 1
        if self.fails:
            raise ExchangeUnavailable("no")
        minutes = range(first_minute, first_minute + count * MINUTE_MS, MINUTE_MS)
        return [self.bars[instrument, m] for m in minutes if (instrument, m) in self.bars]


async def test_final_frames_that_are_on_their_way_are_waited_for():
    feed = BarFeed((BTC, ETH), Books(), 5.0)
    whole = []
    feed.on_complete = whole.append
    task = asyncio.create_task(feed.collect(MINUTE))
    await asyncio.sleep(0)
    feed.hear(BTC, bar(MINUTE, 5.0))
    await asyncio.sleep(0)
    assert not task.done()
    assert whole == []
    feed.hear(ETH, bar(MINUTE, 6.0))
    seen = await task
    assert ([b.close for b in seen.bars], seen.late, seen.revised) == ([5.0, 6.0], (), ())
    assert whole == [MINUTE]


async def test_a_frame_that_does_not_come_is_asked_for_and_a_halt_is_late():
    books = Books()
    feed = BarFeed((BTC, ETH), books, 0.01)
    books.has(BTC, MINUTE, 5.0)
    seen = await feed.collect(MINUTE)
    assert [b and b.source for b in seen.bars] == ["rest", None]
    assert (seen.late, feed.late) == ((ETH,), 1)


async def test_an_unconfirmed_bar_is_asked_about_without_waiting():
    books = Books()
    feed = BarFeed((BTC,), books, 60.0)
    books.has(BTC, MINUTE, 5.1)
    feed.hear(BTC, bar(MINUTE, 5.0, source="unconfirmed"))
    seen = await asyncio.wait_for(feed.collect(MINUTE), 5)
    assert [b.close for b in seen.bars] == [5.1]


async def test_a_venue_that_does_not_answer_leaves_the_minute_late_and_the_next_one_runs():
    books = Books()
    books.fails = True
    feed = BarFeed((BTC,), books, 0.01)
    assert (await feed.collect(MINUTE)).late == (BTC,)
    assert feed.failures == 2  # asked twice
    books.fails = False
    for step, close in ((0, 4.0), (1, 5.0)):
        books.has(BTC, MINUTE + step * MINUTE_MS, close)
    seen = await feed.collect(MINUTE + MINUTE_MS)
    assert seen.late == ()
    assert [r.bar.close for r in seen.revised] == [4.0]  # and once more with the next minute


async def test_a_question_that_fails_once_is_put_again_at_once():
    class Shaky(Books):
        async def history(self, instrument: Instrument, first_minute: int, count: int) -> list[Bar]:
            self.fails = not self.asked
            return await super().history(instrument, first_minute, count)

    books = Shaky()
    books.has(BTC, MINUTE, 5.0)
    assert (await BarFeed((BTC,), books, 0.01).collect(MINUTE)).late == ()


async def test_minutes_missed_while_the_stream_was_away_are_filled_in_and_told():
    books = Books()
    feed = BarFeed((BTC,), books, 0.01)
    feed.hear(BTC, bar(MINUTE, 5.0))
    await feed.collect(MINUTE)
    books.fails = True
    assert (await feed.collect(MINUTE + MINUTE_MS)).late == (BTC,)
    books.fails = False
    for step in range(3):
        books.has(BTC, MINUTE + step * MINUTE_MS, 5.0 + step)
    feed.gap("cut")
    seen = await feed.collect(MINUTE + 2 * MINUTE_MS)
    assert [b.close for b in seen.bars] == [7.0]
    assert [(r.bar.minute, r.bar.close, r.before) for r in seen.revised] == [(MINUTE + MINUTE_MS, 6.0, None)]
    assert (feed.gaps, feed.book.found) == (1, 1)


async def test_history_that_the_venue_revises_is_found_by_looking_back():
    books = Books()
    feed = BarFeed((BTC,), books, 5.0)
    told = []
    for step in range(RECHECK_EVERY + 2):
        minute = MINUTE + step * MINUTE_MS
        feed.hear(BTC, bar(minute, 5.0))
        books.has(BTC, minute, 5.0 if step != 3 else 4.0)
        told += (await feed.collect(minute)).revised
        await feed.settle()
    (one,) = told
    assert (one.bar.minute, one.bar.close, one.before.close) == (MINUTE + 3 * MINUTE_MS, 4.0, 5.0)
    assert feed.book.revisions == 1


async def test_many_questions_do_not_go_out_at_once():
    books = Books()
    many = tuple(Instrument("binance", f"C{n}/USDT") for n in range(40))
    await BarFeed(many, books, 0.0).collect(MINUTE)
    assert len(books.asked) == 40
    assert 1 < books.most <= 10


async def test_an_error_of_ours_while_looking_back_is_not_lost():
    class Broken(Books):
        async def history(self, instrument: Instrument, first_minute: int, count: int) -> list[Bar]:
            raise ZeroDivisionError

    feed = BarFeed((BTC,), Broken(), 5.0)
    for step in range(RECHECK_EVERY + 1):
        feed.hear(BTC, bar(MINUTE + step * MINUTE_MS, 5.0))
        await feed.collect(MINUTE + step * MINUTE_MS)
    with pytest.raises(ZeroDivisionError):
        await feed.settle()
