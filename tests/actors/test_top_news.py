"""Changed books, and trades of which they said nothing, on their way to the executor: one message at a time."""

import asyncio
import math

from actors.top_news import TopNews
from core.messages import Top
from core.prints import LATE_MS, Crossing
from core.protection import Bounds
from tests.support.fake_venue import BTC, ETH


def top(mid: float) -> Top:
    return Top(bid=mid - 1, bid_qty=1.0, ask=mid + 1, ask_qty=1.0, at_ms=0)


class Listener:
    def __init__(self) -> None:
        self.heard: list[dict] = []
        self.crossed: list[dict] = []
        self.gate = asyncio.Event()
        self.away = False
        self.gate.set()

    async def __call__(self, tops: dict, crossings: dict) -> dict:
        if self.away:
            raise ConnectionError("the executor is being started again")
        self.heard.append(tops)
        self.crossed.append(crossings)
        await self.gate.wait()
        return {BTC: Bounds(95.0, math.inf)}


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_changed_meanwhile_goes_in_one_message_with_the_newest_of_each():
    listener = Listener()
    news = TopNews(listener, pause_s=0.0, idle_s=0.0)
    running = asyncio.create_task(news.run())
    listener.gate.clear()
    news.hear(BTC, top(100))
    await settle()
    for mid in (101, 102, 103):
        news.hear(BTC, top(mid))
    news.hear(ETH, top(7))
    await settle()
    assert listener.heard == [{BTC: top(100)}], "one is on its way at a time"
    listener.gate.set()
    await settle()
    assert listener.heard[1:] == [{BTC: top(103), ETH: top(7)}]
    running.cancel()


async def test_a_book_without_a_side_is_not_told_and_an_absent_listener_ends_nothing():
    listener = Listener()
    news = TopNews(listener, pause_s=0.0, idle_s=0.0)
    running = asyncio.create_task(news.run())
    listener.away = True
    news.hear(BTC, top(100))
    await settle()
    listener.away = False
    news.hear(BTC, top(90))
    news.hear(ETH, top(7))
    news.hear(BTC, None)
    await settle()
    assert listener.heard == [{ETH: top(7)}] and not running.done()
    running.cancel()


async def told(listener: Listener, count: int) -> None:
    async with asyncio.timeout(10):
        while len(listener.crossed) < count:
            await asyncio.sleep(0.01)


async def test_a_trade_beyond_a_level_is_told_where_the_book_stays_silent_and_no_other():
    listener = Listener()
    news = TopNews(listener, pause_s=0.0, idle_s=0.0)
    running = asyncio.create_task(news.run())
    news.hear(BTC, top(100))
    await told(listener, 1)
    for price in (99.0, 101.0, 95.01):
        news.hear_trade(BTC, price, 20)
    news.hear_trade(BTC, 90.0, LATE_MS + 1)
    await asyncio.sleep(0.4)
    assert listener.crossed == [{}], "nothing to be told"

    news.hear_trade(BTC, 90.0, 20)
    news.hear(BTC, top(100))
    await told(listener, 2)
    await asyncio.sleep(0.4)
    assert listener.crossed == [{}, {}], "the book has answered it"

    news.hear_trade(BTC, 90.0, 20)
    news.hear_trade(BTC, 94.0, 20)
    await told(listener, 3)
    (crossing,) = listener.crossed[2].values()
    assert crossing == Crossing(price=94.0, count=2, silent_s=crossing.silent_s) and 0.6 < crossing.silent_s < 10
    assert listener.heard[2] == {}
    running.cancel()


async def test_a_new_crossing_does_not_wait_for_the_alarm_of_an_older_one():
    listener = Listener()
    news = TopNews(listener, pause_s=0.0, idle_s=0.0)
    running = asyncio.create_task(news.run())
    news.hear(BTC, top(100))
    await told(listener, 1)
    news.hear_trade(BTC, 90.0, 20)
    await told(listener, 2)
    # The next look at it is a second away.
    news.hear(BTC, top(100))
    await told(listener, 3)
    began = asyncio.get_running_loop().time()
    news.hear_trade(BTC, 90.0, 20)
    await told(listener, 4)
    assert asyncio.get_running_loop().time() - began < 0.7
    assert list(listener.crossed[3]) == [BTC]
    running.cancel()
