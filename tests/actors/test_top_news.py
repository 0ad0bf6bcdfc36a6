"""Changed books on their way to the executor: the newest of each, one message at a time."""

import asyncio

from actors.top_news import TopNews
from core.messages import Top
from tests.support.fake_venue import BTC, ETH


def top(mid: float) -> Top:
    return Top(bid=mid - 1, bid_qty=1.0, ask=mid + 1, ask_qty=1.0, at_ms=0)


class Listener:
    def __init__(self) -> None:
        self.heard: list[dict] = []
        self.gate = asyncio.Event()
        self.away = False
        self.gate.set()

    async def __call__(self, tops: dict) -> bool:
        if self.away:
            raise ConnectionError("the executor is being started again")
        self.heard.append(tops)
        await self.gate.wait()
        return True


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
