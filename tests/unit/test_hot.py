"""Hot state in a real embedded Redis: pushed once, bounded, gone with its owner."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import redis

from core.errors import BotError, ConfigError, DataError
from core.messages import MinuteRecord
from data import redis_server
from data.hot import AsyncHot, Hot, HotUnavailable, runs
from data.redis_server import EmbeddedRedis
from tests.support.minute_records import MadeUpRun


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def hot(server, request):
    made = Hot(server.url, f"run-{request.node.name}", keep=5)
    yield made
    made.close()


def test_records_come_back_in_order_and_bounded(hot):
    made = MadeUpRun().many(8)
    assert [hot.publish_record(record) for record in made] == list(range(1, 9))
    assert list(map(repr, hot.records())) == list(map(repr, made[-5:]))
    snapshot = hot.snapshot()
    assert snapshot.seq == 8
    assert [record["minute"] for record in snapshot.records] == [record.minute for record in made[-5:]]
    assert snapshot.equity == tuple((record.minute, record.equity) for record in made)


def test_a_missed_minute_is_no_point_of_the_curve(hot):
    hot.publish_record(MinuteRecord(minute=60_000, trace="1", status="missed", reason="late"))
    assert hot.snapshot().equity == ()
    assert len(hot.records()) == 1


def test_state_merges_and_health_is_stamped(hot):
    hot.publish_state({"mode": "replay", "done": 1})
    hot.publish_state({"done": 2})
    hot.publish_health("feed", {"state": "running", "rss_mb": 91.5})
    assert hot.state() == {"mode": "replay", "done": 2}
    health = hot.health()["feed"]
    assert health["rss_mb"] == 91.5
    assert abs(health["at_ms"] - hot.snapshot().at_ms) < 5_000
    assert hot.snapshot().seq == 3


def test_numbers_json_does_not_have_are_refused(hot):
    with pytest.raises(DataError, match="finite"):
        hot.publish_state({"equity": float("nan")})


def test_each_command_is_taken_once(hot):
    hot.send_command("stop", by="cli")
    hot.send_command("halt")
    assert hot.take_commands() == [{"command": "stop", "by": "cli"}, {"command": "halt"}]
    assert hot.take_commands() == []


def test_commands_nobody_takes_stay_bounded(hot):
    for number in range(150):
        hot.send_command("ping", number=number)
    waiting = hot.take_commands()
    assert len(waiting) == 100
    assert waiting[-1]["number"] == 149


def test_every_key_expires_and_runs_do_not_mix(server, hot):
    other = Hot(server.url, "another")
    hot.publish_record(MadeUpRun().next())
    hot.publish_state({"mode": "paper"})
    hot.publish_health("feed", {})
    hot.send_command("stop")
    assert other.snapshot().seq == 0
    client = redis.Redis.from_url(server.url)
    keys = client.keys("mh:*")
    assert len(keys) >= 6
    assert [key for key in keys if client.ttl(key) <= 0] == []
    name = hot.snapshot().run_id
    assert name in runs(server.url)
    assert "another" not in runs(server.url)
    other.close()


async def test_a_subscriber_hears_every_change_with_its_number(server, hot):
    listener = AsyncHot(server.url, hot.snapshot().run_id)
    heard = []

    async def listen():
        async for line in listener.news(poll_s=0.1):
            heard.append(line)
            if line is not None and line["kind"] == "state":
                return

    task = asyncio.create_task(listen())
    while not heard:
        await asyncio.sleep(0.01)
    record = MadeUpRun().next()
    await asyncio.to_thread(hot.publish_record, record)
    await asyncio.to_thread(hot.publish_state, {"mode": "live"})
    await asyncio.wait_for(task, 5)
    lines = [line for line in heard if line is not None]
    assert heard[0] is None
    assert [(line["seq"], line["kind"]) for line in lines] == [(1, "record"), (2, "state")]
    assert lines[0]["body"]["equity"] == record.equity
    assert (await listener.snapshot()).seq == 2
    await listener.close()


def test_an_absent_redis_is_our_own_error_and_quick(tmp_path):
    hot = Hot(f"unix://{tmp_path}/nobody.sock", "r")
    began = time.perf_counter()
    with pytest.raises(HotUnavailable, match="Redis"):
        hot.publish_record(MadeUpRun().next())
    assert time.perf_counter() - began < 3


def test_a_wrong_address_is_the_users_error():
    with pytest.raises(ConfigError, match="redis_url"):
        Hot("mysql://me:hunter2@host", "r")


def test_it_starts_again_empty_at_the_same_address(tmp_path):
    with EmbeddedRedis(tmp_path) as server:
        hot = Hot(server.url, "r")
        hot.publish_state({"mode": "replay"})
        assert not server.ensure()
        os.kill(server.pid, signal.SIGKILL)
        assert server.ensure()
        assert hot.state() == {}
        assert hot.publish_state({"mode": "replay"}) == 1
    assert not server.socket.exists()
    with pytest.raises(HotUnavailable):
        hot.ping()


def test_only_the_owner_may_connect_and_no_port_is_open(server):
    assert server.socket.stat().st_mode & 0o077 == 0
    assert server.socket.parent.stat().st_mode & 0o077 == 0
    listening = [c for c in psutil.Process(server.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening == []


def test_memory_is_bounded_by_an_error_not_by_dropping(tmp_path):
    with EmbeddedRedis(tmp_path, max_memory_mb=2) as server:
        hot = Hot(server.url, "r")

        def fill() -> None:
            for number in range(64):
                hot.publish_state({f"key{number}": "x" * 100_000})

        with pytest.raises(HotUnavailable, match="memory"):
            fill()
        hot.close()


@pytest.mark.parametrize("guard", ["kernel", "watching"])
def test_it_dies_with_a_killed_parent(tmp_path, guard):
    script = (
        "import sys, time; from pathlib import Path; from data.redis_server import EmbeddedRedis\n"
        f"server = EmbeddedRedis(Path({str(tmp_path)!r})); server.start(); print(server.url, server.pid, flush=True)\n"
        "time.sleep(60)"
    )
    if guard == "watching":
        # The guard of systems without PR_SET_PDEATHSIG, tried here: a child that watches who its parent is.
        script = (
            "import os, subprocess, sys, time\n"
            'code = \'import sys; sys.platform = "other"; sys.argv = sys.argv[1:]; import runpy; '
            'runpy.run_path(sys.argv[0], run_name="__main__")\'\n'
            "guard = subprocess.Popen([sys.executable, '-c', code, 'data/with_parent.py', str(os.getpid()), "
            "sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            "import psutil\n"
            "while not (children := psutil.Process(guard.pid).children()): time.sleep(0.02)\n"
            "print('-', children[0].pid, flush=True); time.sleep(60)"
        )
    root = Path(redis_server.__file__).parent.parent
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root)
    child = psutil.Process(int(parent.stdout.readline().split()[1]))
    assert child.is_running()
    parent.kill()
    parent.wait(10)
    child.wait(10)  # raises TimeoutExpired where the child lives on
    parent.stdout.close()


def test_no_packaged_binary_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.setattr(redis_server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="redis_url"):
        EmbeddedRedis(tmp_path)


def test_a_binary_that_will_not_start_tells_its_last_words(tmp_path, monkeypatch):
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho 'no such instruction on this processor' >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(redis_server, "find_binary", lambda: broken)
    with pytest.raises(BotError, match="no such instruction"):
        EmbeddedRedis(tmp_path / "d").start()


def test_a_deep_folder_still_gets_a_socket(tmp_path):
    deep = tmp_path / ("deep" * 20) / ("er" * 20)
    with EmbeddedRedis(deep) as server:
        assert len(str(server.socket)) <= 100
        Hot(server.url, "r").ping()
