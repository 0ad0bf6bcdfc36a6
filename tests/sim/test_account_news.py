"""The executor's ear at the account, over the wire: nothing falls between start and stream, and every gap is asked about."""

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest

from actors.account_news import AccountNews
from core.errors import Defect, ExchangeRefused, ExchangeUnavailable, TimedOut
from core.messages import OrderState
from exchanges.binance.user_stream import UserStream
from exchanges.link import LinkPolicy
from tests.sim.conftest import KEY, SECRET
from tests.sim.test_chaos import BTC, World, until, world

LOG = logging.getLogger("test")


class Listener:
    """Books that only remember what they were told; ``away`` questions find no venue."""

    def __init__(self, away: int = 0) -> None:
        self.told, self.looks, self.away = [], 0, away
        self.unreadable: set[str] = set()

    async def on_snapshot(self, snapshot) -> None:
        if snapshot.client_id in self.unreadable:
            raise Defect("cannot be taken in")
        self.told.append(snapshot)

    async def on_reconnect(self) -> None:
        self.looks += 1
        if self.looks <= self.away:
            raise ExchangeUnavailable("the venue is away")


@asynccontextmanager
async def news_of(w: World, secret: str = SECRET, confirm_s: float = 5.0):
    await w.gateway.sync_clock()

    def stream(on_order, on_reconnect):
        policy = LinkPolicy(silence_s=None, first_delay_s=0.02)
        how = {"on_reconnect": on_reconnect, "now_ms": w.gateway.now_ms, "policy": policy}
        return [UserStream(w.settings, (KEY, secret), [BTC], on_order, **how)]

    made = AccountNews(stream, LOG, confirm_s=confirm_s, retry_s=0.02)
    try:
        yield made
    finally:
        await made.close()


async def test_what_happens_between_listening_and_following_is_told_first():
    async with world() as w, news_of(w) as news:
        books = Listener()
        await news.listen()
        await news.listen()  # once is enough
        await w.gateway.place(w.order("mh-1"))
        await until(lambda: not news.idle)
        assert books.told == []
        news.follow(books)
        await until(lambda: books.told and books.told[-1].state is OrderState.FILLED)
        assert books.told[0].state is OrderState.OPEN
        assert (news.connected, news.problem, books.looks) == (True, "", 0)


async def test_after_a_cut_the_venue_is_asked_until_it_answers():
    async with world() as w, news_of(w) as news:
        books = Listener(away=2)
        await news.listen()
        news.follow(books)
        for connection in tuple(w.server.state.users.connections):
            connection.abandon()
        await until(lambda: books.looks == 3)
        await asyncio.sleep(0.1)
        assert books.looks == 3
        await w.gateway.place(w.order("mh-1"))
        await until(lambda: books.told and books.told[-1].state is OrderState.FILLED)


async def test_a_key_that_is_refused_fails_the_start_at_once_with_its_reason():
    async with world() as w, news_of(w, secret="y" * 64) as news:
        began = asyncio.get_running_loop().time()
        with pytest.raises(ExchangeRefused, match="-1022"):
            await news.listen()
        assert asyncio.get_running_loop().time() - began < 3


async def test_a_venue_that_never_confirms_is_a_start_that_timed_out():
    async with world() as w, news_of(w, confirm_s=0.3) as news:
        await w.server.close()
        with pytest.raises(TimedOut, match=r"not subscribed within 0\.3 s"):
            await news.listen()


async def test_a_stream_that_ends_for_good_says_so(caplog):
    async with world() as w, news_of(w) as news:
        await news.listen()
        news.follow(Listener())
        w.server.state.keyring._secrets.clear()
        for connection in tuple(w.server.state.users.connections):
            connection.abandon()
        await until(lambda: news.problem)
        # The test's key is not of the form of the venue's own: unknown, it is told so.
        assert "-2014" in news.problem
        assert "asking once a minute" in caplog.text


async def test_news_that_could_not_be_taken_in_is_asked_for_once_however_much_failed():
    async with world() as w, news_of(w) as news:
        books = Listener()
        books.unreadable.add("mh-1")
        await news.listen()
        news.follow(books)
        await w.gateway.place(w.order("mh-1"))
        await until(lambda: books.looks == 1)
        await asyncio.sleep(0.1)
        assert (books.looks, books.told) == (1, [])


async def test_two_accounts_are_heard_together_and_both_must_be():
    async with world() as one, world() as two:
        await one.gateway.sync_clock()
        await two.gateway.sync_clock()
        policy = LinkPolicy(silence_s=None, first_delay_s=0.02)

        def streams(on_order, on_reconnect):
            return [
                UserStream(
                    w.settings,
                    (KEY, SECRET),
                    [BTC],
                    on_order,
                    None,
                    on_reconnect,
                    now_ms=w.gateway.now_ms,
                    policy=policy,
                )
                for w in (one, two)
            ]

        news, books = AccountNews(streams, LOG, confirm_s=5.0), Listener()
        await news.listen()
        news.follow(books)
        assert news.connected
        await one.gateway.place(one.order("mh-1"))
        await two.gateway.place(two.order("mh-2"))
        await until(lambda: {o.client_id for o in books.told if o.state is OrderState.FILLED} == {"mh-1", "mh-2"})
        await two.server.close()
        await until(lambda: not news.connected)
        await news.close()
