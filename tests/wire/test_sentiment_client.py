"""The fear-and-greed client against a publisher on loopback: its answer is read, its troubles are survived."""

import asyncio
import gzip
import logging
from dataclasses import replace

import pytest
from aiohttp import web

from actors import feed as feed_module
from actors.feed import SENTIMENT_EVERY_MS, FeedActor
from core.messages import Sentiment
from data.sentiment import PUBLICATION_DELAY_MS
from data.sources.fear_greed import FearGreedClient
from tests.sim.test_live_executor import plan_at, quiet_logs  # noqa: F401 - a fixture
from tests.support.chaos_venues import VENUES

DAY = 1_709_251_200_000  # 2024-03-01T00:00Z
NOW = DAY + 5 * 3_600_000


def body() -> dict:
    return {"name": "Fear and Greed Index", "data": [{"value": "40", "timestamp": str(DAY // 1000)}], "metadata": {}}


def stamped(timestamp: str) -> web.Response:
    """An answer whose stamp is this number, as JSON writes it."""
    text = f'{{"data": [{{"value": "40", "timestamp": {timestamp}}}]}}'
    return web.Response(text=text, content_type="application/json")


class Publisher:
    """A publisher on loopback that answers as told."""

    def __init__(self) -> None:
        self.answer: web.Response | None = web.json_response(body())
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        if self.answer is None:
            await asyncio.sleep(30)
            return web.Response()
        return self.answer

    async def start(self) -> tuple[web.AppRunner, str]:
        app = web.Application()
        app.router.add_get("/fng/", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def ask(answer: web.Response | None) -> tuple[Sentiment | None, str, list[str]]:
    publisher = Publisher()
    publisher.answer = answer
    runner, url = await publisher.start()
    client = FearGreedClient(url + "/", timeout_s=0.5)
    try:
        return await client.fetch(NOW), client.last_fault, publisher.asked
    finally:
        await client.close()
        await runner.cleanup()


async def test_the_client_asks_for_the_newest_value():
    reading, fault, asked = await ask(web.json_response(body()))
    assert reading == Sentiment(value=40.0, knowable_ms=DAY + PUBLICATION_DELAY_MS)
    assert (fault, asked) == ("", ["/fng/?limit=2"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: web.Response(status=503), "503"),
        (lambda: web.Response(text="<html>", content_type="text/html"), "not JSON"),
        (lambda: web.json_response({"data": []}), "no data"),
        (lambda: web.Response(body=b"\xff\xfe"), "not JSON"),
        (lambda: web.Response(body=b"[" * 60_000), "not JSON"),
        (lambda: web.Response(body=b'{"data": ' + b" " * 10_000_000), "larger than 64 KB"),
        (lambda: web.Response(body=gzip.compress(b" " * 50_000_000), headers={"Content-Encoding": "gzip"}), "larger"),
        (lambda: web.Response(status=302, headers={"Location": "http://169.254.169.254/"}), "into this network"),
        (lambda: stamped("1e999"), "no data"),
        (lambda: stamped("NaN"), "no data"),
        (lambda: stamped("-99999999999999999999999"), "no time of a market"),
        (lambda: stamped("99999999999999999999999"), "later than now"),
        (lambda: stamped("0"), "no time of a market"),
        (lambda: None, "no answer within"),
    ],
)
async def test_a_source_in_trouble_is_no_reading_and_a_reason(answer, said):
    reading, fault, _ = await ask(answer())
    assert reading is None
    assert said in fault
    assert fault


async def test_a_source_that_is_gone_is_no_reading_and_a_reason():
    runner, url = await Publisher().start()
    await runner.cleanup()
    client = FearGreedClient(url, timeout_s=0.5)
    assert await client.fetch(NOW) is None
    assert "127.0.0.1" in client.last_fault
    await client.close()


async def test_a_loss_is_said_once_and_so_is_its_end(caplog):
    caplog.set_level(logging.INFO, "data.sentiment")
    publisher = Publisher()
    runner, url = await publisher.start()
    client = FearGreedClient(url)
    for answer in (web.Response(status=503), web.Response(status=503), web.json_response(body())):
        publisher.answer = answer
        await client.fetch(NOW)
    await client.close()
    await runner.cleanup()
    said = [record.message for record in caplog.records]
    assert said == [f"source fear and greed is lost: {url}: HTTP status 503", "source fear and greed answers again"]


@pytest.mark.parametrize("clock", ["wall", "lockstep"])
async def test_on_the_wall_clock_no_minute_waits_for_the_mood(clock, tmp_path, quiet_logs):  # noqa: F811
    publisher = Publisher()
    runner, url = await publisher.start()
    servers = {name: await venue.serve(venue.make(4), None) for name, venue in VENUES.items()}
    feed = FeedActor(replace(plan_at(servers, tmp_path), clock=clock, sentiment_url=url))
    feed._mood.timeout_s = 0.5
    try:
        publisher.answer = None
        asked = asyncio.get_running_loop().time()
        assert await feed._mood_at(NOW) is None
        took = asyncio.get_running_loop().time() - asked
        assert took < 0.2 if clock == "wall" else took >= 0.4
        while feed._feeling is not None and not feed._feeling.done():
            await asyncio.sleep(0.02)
        publisher.answer = web.json_response(body())
        assert await feed._mood_at(NOW + SENTIMENT_EVERY_MS - 1) is None, "it was asked a moment ago"
        assert len(publisher.asked) == 1
        await feed._mood_at(NOW + SENTIMENT_EVERY_MS)
        if feed._feeling is not None:
            await feed._feeling
        assert await feed._mood_at(NOW + SENTIMENT_EVERY_MS + 1) == Sentiment(
            value=40.0, knowable_ms=DAY + PUBLICATION_DELAY_MS
        )
        assert len(publisher.asked) == 2
    finally:
        await feed._mood.close()
        for part in feed._venues:
            await part.gateway.close()
        for server in servers.values():
            await server.close()
        await runner.cleanup()


async def test_the_first_minute_on_the_wall_clock_knows_the_mood_and_no_start_waits_for_it(
    tmp_path,
    monkeypatch,
    quiet_logs,  # noqa: F811
):
    monkeypatch.setattr(feed_module, "keep_memory", lambda: None)  # of a process of its own
    publisher = Publisher()
    runner, url = await publisher.start()
    servers = {name: await venue.serve(venue.make(4), None) for name, venue in VENUES.items()}
    feed = FeedActor(replace(plan_at(servers, tmp_path), clock="wall", sentiment_url=url))
    feed._mood.timeout_s = 30.0
    publisher.answer = None
    try:
        await asyncio.wait_for(feed.start(), 10)
        assert not feed._feeling.done(), "the publisher hangs"
        feed._feeling.cancel()
        publisher.answer = web.json_response(body())
        feed._first_feeling()
        await feed._feeling
        assert (await feed._mood_at(feed._sentiment_asked_ms + 1_000)).value == 40.0
        assert len(publisher.asked) == 2
    finally:
        await feed._mood.close()
        for part in feed._venues:
            await part._stream.close()
            await part.gateway.close()
        await asyncio.gather(*(part._running for part in feed._venues))
        for server in servers.values():
            await server.close()
        await runner.cleanup()
