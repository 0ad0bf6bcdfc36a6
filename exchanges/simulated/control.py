"""What is no venue's: the clock's controls, the mood index that alternative.me serves, and recorded news."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import format_datetime
from xml.etree import ElementTree

import orjson
from aiohttp import web

from exchanges.simulated.answers import json_answer
from exchanges.simulated.exchange import STATUSES
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.served import SERVED

MOST = Decimal(10) ** 15
"""Of one transfer."""
CLASSES = ((25, "Extreme Fear"), (46, "Fear"), (55, "Neutral"), (76, "Greed"), (101, "Extreme Greed"))
"""(below, name), as the index names its values."""


async def state(request: web.Request) -> web.Response:
    """GET /sim/state."""
    return json_answer(request.app[SERVED].describe())


async def advance(request: web.Request) -> web.Response:
    """POST /sim/advance {"to_ms": int}: answers when everything up to then has happened and was written."""
    served = request.app[SERVED]
    if served.mode != "lockstep":
        return _wrong(409, "the clock runs by itself; start the simulator with --lockstep to move it")
    try:
        to_ms = orjson.loads(await request.read())["to_ms"]
    except (ValueError, KeyError, TypeError):
        to_ms = None
    if not isinstance(to_ms, int) or isinstance(to_ms, bool):
        return _wrong(400, 'send {"to_ms": <epoch ms>}')
    async with served.lock:
        now = served.exchange.now_ms
        if to_ms < now:
            return _wrong(400, f"time cannot go back: it is {now}, asked was {to_ms}")
        await served.advance(to_ms)
        return json_answer({"now_ms": served.exchange.now_ms, "ended": served.ended})


async def run(request: web.Request) -> web.Response:
    """POST /sim/run: start a clock that stands (--paused); one that runs goes on. Takes nothing. Answers the state."""
    served = request.app[SERVED]
    try:
        empty = (orjson.loads(await request.read() or b"{}")) == {}
    except ValueError:
        empty = False
    if not empty:
        return _wrong(400, "send no body, or {}: there is nothing to say about it")
    if served.mode == "lockstep":
        return _wrong(
            409, "in lockstep time moves by POST /sim/advance; start the simulator with --speed to let it run"
        )
    served.running.set()
    return json_answer(served.describe())


async def transfer(request: web.Request) -> web.Response:
    """POST /sim/transfer {"asset": "USDT", "amount": "-500"}: a deposit, or a withdrawal. Answers the balance."""
    served = request.app[SERVED]
    try:
        ask = orjson.loads(await request.read())
        asset, moved = str(ask["asset"]).upper(), Decimal(str(ask["amount"]))
        if not moved.is_finite() or not (asset.isascii() and asset.isalnum()) or abs(moved) >= MOST:
            raise ValueError
    except (ValueError, KeyError, TypeError, InvalidOperation):
        return _wrong(400, f'send {{"asset": "USDT", "amount": "<decimal below {MOST:f}, negative to withdraw>"}}')
    async with served.lock:
        account = served.exchange.account
        try:
            served.exchange.transfer(asset, moved)
        except VenueRefusal:
            return _wrong(409, f"only {account.free(asset)} {asset} is free")
        await served.traded(None)
        return json_answer({"asset": asset, "free": str(account.free(asset)), "locked": str(account.locked(asset))})


async def status(request: web.Request) -> web.Response:
    """POST /sim/status {"symbol": "BTCUSDT", "status": "HALT"}: stop or start trading in a market."""
    served = request.app[SERVED]
    # By the venue's own names; Upbit's wire says "KRW-BTC".
    markets: dict[str, int] = getattr(served, "symbols", None) or getattr(served, "codes", {})
    try:
        ask = orjson.loads(await request.read())
        row, wanted = markets[ask["symbol"]], ask["status"]
    except (ValueError, KeyError, TypeError):
        row, wanted = None, None
    if row is None or wanted not in STATUSES:
        symbols, statuses = ", ".join(markets), ", ".join(STATUSES)
        return _wrong(400, f'send {{"symbol": one of {symbols}, "status": one of {statuses}}}')
    async with served.lock:
        served.exchange.status[row] = wanted
    return json_answer({"symbol": ask["symbol"], "status": wanted})


async def no_chaos(request: web.Request) -> web.Response:
    """GET /sim/chaos where nothing goes wrong."""
    return _wrong(404, "no faults were switched on; start the simulator with --chaos seed=7 (see run.py sim --help)")


async def no_such_control(request: web.Request) -> web.Response:
    known = ", ".join(sorted(f"{route.method} {route.path}" for route in ROUTES if route.path.startswith("/sim/")))
    same = [route.method for route in ROUTES if route.path == request.path]
    if same:
        return _wrong(405, f"{request.path} takes {' and '.join(same)}, not {request.method}")
    return _wrong(404, f"there is no {request.path}; there are {known} and GET /sim/chaos")


def _wrong(code: int, text: str) -> web.Response:
    return json_answer({"error": text}, code)


async def fear_and_greed(request: web.Request) -> web.Response:
    """GET /fng/: the newest reading that is knowable at the simulated now (api.alternative.me's format)."""
    exchange = request.app[SERVED].exchange
    reading = exchange.market.sentiment_at(exchange.now_ms)
    rows = []
    if reading is not None:
        value = f"{Decimal(repr(reading.value)):f}".removesuffix(".0")
        name = next(name for below, name in CLASSES if reading.value < below)
        rows.append({"value": value, "value_classification": name, "timestamp": str(reading.knowable_ms // 1000)})
    return json_answer({"name": "Fear and Greed Index", "data": rows, "metadata": {"error": None}})


async def news_feed(request: web.Request) -> web.Response:
    """GET /news/rss: the headlines in force at the simulated now as RSS 2.0; each says when it could be known."""
    exchange = request.app[SERVED].exchange
    root = ElementTree.Element("rss", {"version": "2.0", "xmlns:mh": "urn:minutehand:news"})
    channel = ElementTree.SubElement(root, "channel")
    ElementTree.SubElement(channel, "title").text = "Recorded headlines"
    for one in exchange.market.news_at(exchange.now_ms).headlines:
        item = ElementTree.SubElement(channel, "item")
        parts = {"title": one.title, "guid": one.key, "mh:knowable": str(one.knowable_ms)}
        if one.published_ms is not None:
            parts["pubDate"] = format_datetime(datetime.fromtimestamp(one.published_ms // 1_000, UTC))
        for name, text in parts.items():
            ElementTree.SubElement(item, name).text = _plain(text)
    body = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return web.Response(body=body, content_type="application/rss+xml")


def _plain(text: str) -> str:
    """Without what XML can not hold."""
    return "".join(c for c in text if c.isprintable())


async def funding(request: web.Request) -> web.Response:
    """GET /news/funding: the funding rates in force at the simulated now, as the futures venue writes them."""
    exchange = request.app[SERVED].exchange
    return json_answer(
        [
            {
                "symbol": f"{one.base}USDT",
                "lastFundingRate": f"{Decimal(repr(one.rate_bps)) / 10_000:f}",
                "time": one.knowable_ms,
            }
            for one in exchange.market.news_at(exchange.now_ms).funding
        ]
    )


ROUTES = [
    web.get("/news/rss", news_feed),
    web.get("/news/funding", funding),
    web.get("/sim/state", state),
    web.post("/sim/advance", advance),
    web.post("/sim/run", run),
    web.post("/sim/transfer", transfer),
    web.post("/sim/status", status),
    web.get("/fng/", fear_and_greed),
    web.get("/fng", fear_and_greed),
]
UNKNOWN = [web.route("*", "/sim/{anything:.*}", no_such_control)]
"""After everything else."""
