"""The newsroom against sources on loopback: what they say is stamped and kept, what they do wrong is survived."""

import asyncio
import gzip
import json
import logging
import math
import re
import time
from dataclasses import replace

import pytest
from aiohttp import web

from config.secrets import Secret
from core.errors import ConfigError
from core.news import KEPT_MS
from data.headline_scores import lexicon
from data.sources.log import NewsLog
from data.sources.newsroom import Newsroom
from data.sources.spec import SourceSpec
from tests.unit.test_news_parsing import HOUR, NOW, item, rss

MINUTE = 60_000


class World:
    """A time that is moved by hand, and a publisher on loopback that answers as told."""

    def __init__(self) -> None:
        self.now = NOW
        self.answers: dict[str, tuple[bytes, int, dict[str, str]]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path_qs, dict(request.headers)))
        body, status, headers = self.answers[request.path]
        return web.Response(body=body, status=status, headers=headers)

    def say(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> None:
        self.answers[path] = (body, status, headers)


@pytest.fixture
async def world():
    made = World()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def spec(world: World, path: str = "/a", **changes: object) -> SourceSpec:
    made = SourceSpec(
        name="a", kind="feed", url=world.url + path, every_ms=5 * MINUTE, timeout_s=2.0, most_bytes=100_000
    )
    return replace(made, **changes)


def room(world: World, *specs: SourceSpec, **more: object) -> Newsroom:
    return Newsroom(specs, lexicon(), lambda: world.now, frozenset({"BTC"}), **more)


async def test_an_item_is_known_from_when_it_was_fetched_and_ages_from_when_it_was_published(world) -> None:
    world.say("/a", rss(item("Bitcoin rallies", "1"), item("Old", "2", "Wed, 28 Feb 2024 10:00:00 GMT")))
    news = room(world, spec(world))
    await news.look()
    (one,) = news.known(world.now).headlines
    assert (one.knowable_ms, one.published_ms, one.bases) == (NOW, NOW - 2 * HOUR, ("BTC",))
    assert one.score > 0.0
    assert not news.known(NOW - 1)
    await news.close()


async def test_a_revised_title_changes_nothing_and_a_source_is_left_alone_between_looks(world) -> None:
    world.say("/a", rss(item("Bitcoin rallies", "1")))
    news = room(world, spec(world))
    await news.look()
    before = news.known(world.now)
    world.say("/a", rss(item("Bitcoin plunges", "1"), item("Ether up", "2")))
    world.now += 4 * MINUTE
    await news.look()
    assert len(world.asked) == 1
    world.now += MINUTE
    await news.look()
    after = news.known(world.now).headlines
    assert after[0] == before.headlines[0]
    assert (len(after), after[1].title, after[1].knowable_ms) == (2, "Ether up", NOW + 5 * MINUTE)
    assert not news.known(world.now + KEPT_MS + MINUTE)  # it fades from what is handed on
    await news.close()


FAULTS = {
    "a web page": {"body": b"<html>blocked</html>"},
    "larger than": {"body": b"<rss>" + b"x" * 10_000_000},
    "larger": {"body": gzip.compress(b" " * 50_000_000), "Content-Encoding": "gzip"},
    "HTTP status 404": {"status": 404},
    "HTTP status 503": {"status": 503},
    "can not be read": {"body": b"Not<a feed"},
    "empty": {"body": b""},
    r"not a web address \(file\)": {"status": 302, "Location": "file:///etc/passwd"},
    r"not a web address \(ftp\)": {"status": 301, "Location": "ftp://example.com/x"},
    "into this network": {"status": 302, "Location": "http://169.254.169.254/latest/meta-data"},
    "into this": {"status": 302, "Location": "http://localhost:1/x"},
    "more than 3 redirects": {"status": 302, "Location": "/b"},
    "to nowhere": {"status": 302},
}


@pytest.mark.parametrize("said", FAULTS)
async def test_a_source_that_talks_nonsense_is_lost_and_the_others_are_not(world, said) -> None:
    world.say("/a", **FAULTS[said])
    world.say("/b", status=302, Location="/a" if "redirects" in said else "/c")
    world.say("/good", rss(item()))
    news = room(world, spec(world), spec(world, "/good", name="good"))
    await news.look()
    assert set(news.lost) == {"a"}
    assert re.search(said, news.lost["a"])
    assert len(news.known(world.now).headlines) == 1
    world.say("/a", rss(item("Ether up", "9")))
    world.now += 10 * MINUTE
    await news.look()
    assert not news.lost
    assert len(news.known(world.now).headlines) == 2
    await news.close()


async def test_who_fails_is_asked_later_and_later_and_at_least_as_late_as_he_asks(world) -> None:
    world.say("/a", status=500)
    news = room(world, spec(world))
    waits = []
    for _ in range(7):
        await news.look()
        waits.append((news.sources[0].due_ms - world.now) // MINUTE)
        world.now = news.sources[0].due_ms
    assert waits == [10, 20, 40, 80, 120, 120, 120]
    world.say("/a", status=429, **{"Retry-After": "86400"})
    await news.look()
    assert news.sources[0].due_ms - world.now == 24 * HOUR
    await news.close()


async def test_a_source_that_never_answers_is_lost_within_its_time(world) -> None:
    news = room(world, spec(world, url="http://127.0.0.1:1/"), spec(world, name="b", url="file:///etc/passwd"))
    await news.look()
    assert news.lost == {"a": "ClientConnectorError", "b": "not a web address (file)"}
    await news.close()


class Moody:
    """A scorer that fails as told, or thinks for long."""

    name = "moody"

    def __init__(self) -> None:
        self.answer: float | Exception = 0.5
        self.seconds = 0.0

    def score(self, title: str) -> float:
        time.sleep(self.seconds)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [RuntimeError("CUDA error"), KeyError("label"), math.nan, 3.0])
async def test_a_scorer_that_fails_loses_its_source_and_no_headline(world, answer) -> None:
    world.say("/a", rss(item("Bitcoin rallies", "1"), item("Ether up", "2")))
    scorer = Moody()
    news = Newsroom([spec(world)], scorer, lambda: world.now, frozenset({"BTC"}))
    scorer.answer = answer
    await news.look()
    assert "can not be scored" in news.lost["a"]
    assert not news.known(world.now)
    scorer.answer = 0.5
    world.now = news.sources[0].due_ms
    await news.look()
    assert not news.lost
    assert [h.score for h in news.known(world.now).headlines] == [0.5, 0.5]
    await news.close()


async def test_a_scorer_that_thinks_for_long_holds_up_nobody(world) -> None:
    world.say("/a", rss(*(item(f"Bitcoin {k}", str(k)) for k in range(6))))
    scorer = Moody()
    scorer.seconds = 0.3
    news = Newsroom([spec(world)], scorer, lambda: world.now, frozenset({"BTC"}))
    looking, worst = asyncio.create_task(news.look()), 0.0
    while not looking.done():
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        worst = max(worst, time.perf_counter() - began)
    assert len(news.known(world.now).headlines) == 6
    assert worst < 1.2, "thinking took 1.8 s"
    await news.close()


async def test_an_unchanged_feed_is_not_sent_again(world) -> None:
    world.say("/a", rss(item()), ETag='"7"')
    news = room(world, spec(world))
    await news.look()
    world.say("/a", status=304)
    world.now += 5 * MINUTE
    await news.look()
    assert world.asked[1][1]["If-None-Match"] == '"7"'
    assert not news.lost
    await news.close()


async def test_what_was_heard_outlives_the_process_and_is_not_heard_twice(world, tmp_path) -> None:
    undated = item("Undated one", "u", "")
    world.say("/a", rss(item("Bitcoin rallies", "1"), undated))
    first = room(world, spec(world), store=NewsLog(tmp_path))
    await first.look()
    kept = first.known(world.now)
    assert [h.title for h in kept.headlines] == ["Bitcoin rallies"]  # who knows how old the other is
    await first.close()
    world.now += HOUR
    world.say("/a", rss(item("Bitcoin rallies", "1"), item("Undated two", "v", "")))
    second = room(world, spec(world), store=NewsLog(tmp_path))
    assert second.known(world.now) == kept
    await second.look()
    titles = [(h.title, h.knowable_ms) for h in second.known(world.now).headlines]
    assert titles == [("Bitcoin rallies", NOW), ("Undated two", world.now)]
    await second.close()


async def test_funding_of_what_is_traded_is_kept(world) -> None:
    rates = [{"symbol": s, "lastFundingRate": "0.0001"} for s in ("BTCUSDT", "ETHUSDT")]
    world.say("/f", json.dumps(rates).encode())
    news = room(world, spec(world, "/f", kind="funding"))
    await news.look()
    assert [(f.base, f.rate_bps) for f in news.known(world.now).funding] == [("BTC", pytest.approx(1.0))]
    await news.close()


async def test_a_key_reaches_its_source_and_nothing_that_is_written(world, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    keys = {"a": Secret("hush-hush-1234")}
    news = room(world, spec(world, "/a?auth={key}"), keys=keys)
    world.say("/a", status=403)
    await news.look()
    assert world.asked[0][0] == "/a?auth=hush-hush-1234"
    told = caplog.text + repr(news.lost) + repr(news.sources)
    assert "source a is lost: HTTP status 403" in caplog.text
    assert "hush" not in told
    world.now += HOUR
    away = room(world, spec(world, url="http://127.0.0.1:1/?auth={key}"), keys=keys)
    await away.look()
    assert "hush" not in caplog.text + repr(away.lost)
    with pytest.raises(ConfigError, match="source_keys"):
        room(world, spec(world, "/a?auth={key}"))
    await news.close()
    await away.close()
