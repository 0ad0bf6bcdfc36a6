"""The dashboard on Ray Serve: deployed behind Serve's proxy, pushed over its WebSocket, replaced by the next run's."""

import asyncio
import json
import urllib.request

import pytest
import websockets
from ray import serve as ray_serve

from actors.metrics import METRICS, make_metrics
from config.settings import DashboardSettings
from core.errors import BotError
from data.hot import Hot
from data.redis_server import EmbeddedRedis
from serve.dashboard.app import deploy, open_serve, undeploy
from tests.support.minute_records import MadeUpRun

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster(ray_cluster):
    """The session's cluster, with a Serve whose proxy is ours to place."""
    ray_serve.shutdown()
    yield
    ray_serve.shutdown()


async def first_message(url: str) -> dict:
    async with websockets.connect(url.replace("http", "ws") + "ws") as socket:
        while True:
            message = json.loads(await asyncio.wait_for(socket.recv(), 15))
            if message["type"] == "snapshot":
                return message


async def test_the_page_is_served_pushed_and_replaced(cluster, tmp_path):
    with EmbeddedRedis(tmp_path) as redis:
        settings = DashboardSettings(port=0)
        for run_id in ("first", "second"):
            hot = Hot(redis.url, run_id)
            record = MadeUpRun().next()
            hot.publish_record(record)
            url = await asyncio.to_thread(deploy, settings, redis.url, run_id)
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert b"<title>Minutehand</title>" in answer.read()
            message = await first_message(url)
            assert message["run_id"] == run_id
            assert [minute["minute"] for minute in message["minutes"]] == [record.minute]
            hot.close()
        # Serve's proxy stays where it is: a second start gives the same port.
        assert f":{await asyncio.to_thread(open_serve, settings)}/" in url
        await asyncio.to_thread(undeploy)


async def test_a_serve_without_proxy_says_in_which_order_to_start(cluster):
    await asyncio.to_thread(ray_serve.shutdown)
    await asyncio.to_thread(ray_serve.start, proxy_location="Disabled")
    with pytest.raises(BotError, match="before the models"):
        await asyncio.to_thread(open_serve, DashboardSettings(port=0))


def test_every_metric_of_the_table_is_taken_by_ray(cluster):
    metrics = make_metrics("run", "replay")
    for record in MadeUpRun(seed=5).many(60):
        metrics.minute(record)
    metrics.health({"feed": {"state": "running", "restarts": 0, "rss_mb": 80.0}})
    metrics.redis_failed()
    assert set(metrics._sink._metrics) == set(METRICS)
