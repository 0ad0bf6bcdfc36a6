"""The dashboard's server: snapshot first, every change once, and closed to foreign web sites."""

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request

import pytest
import websockets

from core.errors import ConfigError
from serve.dashboard.app import address, free_port
from serve.dashboard.hub import QUEUE, Page
from tests.support.minute_records import MadeUpRun
from tests.support.page_server import STATE, PageServer


@pytest.fixture
def server(tmp_path):
    running = PageServer(tmp_path)
    yield running
    running.close()


def get(server: PageServer, path: str, **headers: str):
    request = urllib.request.Request(f"http://{server.address}{path}", headers=headers)
    return urllib.request.urlopen(request, timeout=5)


async def heard(socket, count: int, skip: str = "beat") -> list[dict]:
    """The next ``count`` messages that are not signs of life."""
    messages: list[dict] = []
    while len(messages) < count:
        message = json.loads(await asyncio.wait_for(socket.recv(), 10))
        if message["type"] != skip:
            messages.append(message)
    return messages


async def until_snapshot(socket) -> dict:
    while (message := (await heard(socket, 1))[0])["type"] != "snapshot":
        pass
    return message


async def test_the_snapshot_comes_first_and_then_every_change_once(server):
    run = MadeUpRun()
    for record in run.many(30):
        server.hot.publish_record(record)
    async with websockets.connect(f"ws://{server.address}/ws") as socket:
        first = await until_snapshot(socket)
        assert first["run_id"] == "made-up"
        assert first["state"] == STATE
        # The hub may have been a little behind Redis when we came: the rest follows, nothing is missing.
        shown, seq = [minute["minute"] for minute in first["minutes"]], first["seq"]
        for message in await heard(socket, server.hot.snapshot().seq - seq):
            assert message["seq"] == seq + 1
            shown, seq, first["latency"] = [*shown, message["minute"]["minute"]], message["seq"], message["latency"]
        assert shown == [record.minute for record in server.hot.records()]
        assert first["latency"][-1]["step"] == "all steps"
        later = run.next()
        await asyncio.to_thread(server.hot.publish_record, later)
        await asyncio.to_thread(server.hot.publish_health, "feed", {"state": "running"})
        await asyncio.to_thread(server.hot.publish_state, {"done": 31})
        record, health, state = await heard(socket, 3)
        assert [m["seq"] for m in (record, health, state)] == [seq + n for n in (1, 2, 3)]
        assert record["minute"]["minute"] == later.minute
        assert record["minute"]["headline"]
        assert health["health"]["actor"] == "feed"
        assert state["state"] == {"done": 31}


async def test_two_pages_see_the_same_and_one_that_leaves_disturbs_nobody(server):
    run = MadeUpRun()
    async with websockets.connect(f"ws://{server.address}/ws") as stays:
        async with websockets.connect(f"ws://{server.address}/ws") as leaves:
            await until_snapshot(leaves)
        before = await until_snapshot(stays)
        await asyncio.to_thread(server.hot.publish_record, run.next())
        (message,) = await heard(stays, 1)
        assert message["seq"] == before["seq"] + 1


async def test_a_redis_that_dies_and_returns_is_seen_and_gives_a_new_snapshot(server):
    server.hot.publish_record(MadeUpRun().next())
    async with websockets.connect(f"ws://{server.address}/ws") as socket:
        await until_snapshot(socket)
        os.kill(server.redis.pid, signal.SIGKILL)
        assert (await heard(socket, 1))[0]["type"] == "waiting"
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(get, server, "/healthz")
        assert refused.value.code == 503
        await asyncio.to_thread(server.redis.ensure)
        await asyncio.to_thread(server.hot.publish_state, {"mode": "paper"})
        while (message := (await heard(socket, 1))[0])["type"] == "waiting":
            pass
        if message["type"] == "snapshot" and not message["state"]:
            message = (await heard(socket, 1))[0]
        assert message["state"] == {"mode": "paper"}


async def test_signs_of_life_carry_the_number(server):
    async with websockets.connect(f"ws://{server.address}/ws") as socket:
        first = await until_snapshot(socket)
        while (message := json.loads(await asyncio.wait_for(socket.recv(), 6)))["type"] != "beat":
            pass
        assert message == {"type": "beat", "seq": first["seq"], "redis": True}


def test_the_page_and_its_parts_are_served_with_a_fence(server):
    for path, kind in (
        ("/", "text/html"),
        ("/page.js", "javascript"),
        ("/chart.js", "javascript"),
        ("/page.css", "css"),
    ):
        with get(server, path) as answer:
            assert answer.status == 200
            assert kind in answer.headers["Content-Type"]
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            text = answer.read().decode()
        # Self-contained: nothing is fetched from anywhere else.
        assert "https://" not in text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")


def test_the_snapshot_is_there_for_scripts(server):
    server.hot.publish_record(MadeUpRun().next())
    deadline = time.monotonic() + 5
    while True:
        with get(server, "/api/snapshot") as answer:
            snapshot = json.loads(answer.read())
        if snapshot.get("minutes"):
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with get(server, "/healthz") as answer:
        assert json.loads(answer.read()) == {"run_id": "made-up", "redis": True}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
def test_a_foreign_host_is_refused(server, host):
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(server, "/api/snapshot", Host=host)
    assert refused.value.code == 403


def test_a_foreign_page_may_not_read(server):
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(server, "/api/snapshot", Origin="https://evil.example")
    assert refused.value.code == 403


async def test_a_foreign_page_gets_no_socket(server):
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(f"ws://{server.address}/ws", origin="https://evil.example")
    async with websockets.connect(f"ws://{server.address}/ws", origin=f"http://{server.address}") as socket:
        await until_snapshot(socket)


def test_a_page_that_does_not_read_is_marked_not_waited_for():
    page = Page()
    for number in range(QUEUE + 1):
        page.put(str(number))
    assert page.slow


def test_a_port_in_use_names_the_key(server):
    with pytest.raises(ConfigError, match=r"dashboard.port: \d+ is in use"):
        free_port("127.0.0.1", server.port)
    assert free_port("127.0.0.1", 0) > 1024
    with pytest.raises(ConfigError, match=r"dashboard.host"):
        free_port("192.0.2.1", 0)
    assert address("0.0.0.0", 8420) == "http://127.0.0.1:8420/"
    assert address("::1", 8420) == "http://[::1]:8420/"
