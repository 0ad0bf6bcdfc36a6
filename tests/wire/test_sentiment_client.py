"""The fear-and-greed client against a publisher on loopback: its answer is read, its troubles are survived."""

import asyncio

import pytest
from aiohttp import web

from core.messages import Sentiment
from data.sentiment import FearGreedClient

DAY = 1_709_251_200_000  # 2024-03-01T00:00Z
NOW = DAY + 5 * 3_600_000


def body() -> dict:
    return {"name": "Fear and Greed Index", "data": [{"value": "40", "timestamp": str(DAY // 1000)}], "metadata": {}}


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
    assert reading == Sentiment(value=40.0, knowable_ms=DAY)
    assert (fault, asked) == ("", ["/fng/?limit=1"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: web.Response(status=503), "503"),
        (lambda: web.Response(text="<html>", content_type="text/html"), "Expecting value"),
        (lambda: web.json_response({"data": []}), "no data"),
        (lambda: web.Response(body=b"\xff\xfe"), ""),
        (lambda: None, "TimeoutError"),
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
