"""Faults at the front door: an aiohttp middleware that lets a request through, or not, and answers otherwise.

``-done`` faults run the venue's own handler and change only what is answered; ``-not`` faults never reach it. So the
books hold exactly what they would have held.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from exchanges.simulated.chaos.kinds import FILLS, OPEN, QUERY, TIME
from exchanges.simulated.chaos.plan import Chaos, Fault
from exchanges.simulated.chaos.wording import JSON, Answer, Wording, http_error

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
QUIET_BAN_S = 2
"""Shortest ban, seconds; it doubles for whoever goes on (the venue's is 2 minutes, up to 3 days)."""


class FrontDoor:
    """The faults of requests. ``now_ms`` is the venue's time; bans run on the loop's clock, as clients wait by theirs."""

    def __init__(self, chaos: Chaos, wording: Wording, now_ms: Callable[[], int]) -> None:
        self.chaos, self.wording, self.now_ms = chaos, wording, now_ms
        self.hidden: dict[str, float] = {}
        """Names of orders that questions do not see, and until when (the venue's time, ms)."""
        self._closed: dict[str, float] = {}
        """Group of requests → until when it is closed; ``""`` is all of them."""
        self._ban_s = QUIET_BAN_S

    @property
    def middleware(self) -> Any:
        """To be put among the application's middlewares."""

        @web.middleware
        async def chaos(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.pass_through(request, handler)

        return chaos

    async def pass_through(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """One request, with what the plan has for it."""
        where = self.wording.where(request.method, request.path)
        if not where:
            return await handler(request)
        if banned := self._banned(where):
            return banned
        fault = self.chaos.request(where, self.now_ms())
        if fault is None:
            return await self._answered(request, handler, where)
        response = await self._faulty(request, handler, where, fault)
        self.chaos.happened(fault.kind, where, self.now_ms())
        return response

    async def _faulty(self, request: web.Request, handler: Handler, where: str, fault: Fault) -> web.StreamResponse:
        words, wait_s = self.wording, fault.size / 1_000 * self.chaos.pace
        # It has arrived in any case: a client that goes away now does not call it back.
        await request.read()
        match fault.kind:
            case "slow-request":
                await asyncio.sleep(wait_s)
            case "ban":
                return self._close(max(1, math.ceil(wait_s)), where, fault)
            case "stamp":
                return _plain(words.stamp(fault.dice))
            case "busy":
                return _plain(words.busy())
            case "unknown-not":
                return _plain(words.unknown(fault.dice))
            case "http-not":
                return _plain(http_error(fault.size))
            case "drop-not":
                return _cut(request)
        response = await self._answered(request, handler, where)
        match fault.kind:
            case "slow-answer":
                await asyncio.sleep(wait_s)
            case "unknown-done":
                return _plain(words.unknown(fault.dice))
            case "http-done":
                return _plain(http_error(fault.size))
            case "drop-done":
                return _cut(request)
            case "hang":
                await asyncio.sleep(wait_s)
                return _cut(request)
            case "cut-json" | "cut-empty" if isinstance(response, web.Response):
                body = _bytes(response)
                keep = (
                    min(max(1, int(len(body) * fault.size)), max(0, len(body) - 1)) if fault.kind == "cut-json" else 0
                )
                return _again(response, body[:keep])
            case "hide" | "hide-lost" if isinstance(response, web.Response):
                if response.status < 300:
                    for name in words.named(orjson.loads(_bytes(response))):
                        self.hidden[name] = self.now_ms() + fault.size
                return response if fault.kind == "hide" else _cut(request)
        return response

    async def _answered(self, request: web.Request, handler: Handler, where: str) -> web.StreamResponse:
        """The venue's own answer, less what it does not show yet, by a clock that may be off."""
        if where in (QUERY, FILLS) and self.hidden and await self._unseen(request):
            return _plain(self.wording.not_found() if where == QUERY else Answer.of(200, []))
        response = await handler(request)
        if not isinstance(response, web.Response) or response.status != 200:
            return response
        if where == OPEN and self.hidden:
            rows = orjson.loads(_bytes(response))
            if isinstance(rows, list):
                shown = [row for row in rows if not self._is_hidden(self.wording.named(row))]
                return _again(response, orjson.dumps(shown)) if len(shown) < len(rows) else response
        offset = self.chaos.clock_offset_ms(self.now_ms()) if where == TIME else 0
        if offset:
            self.chaos.done["clock"] += 1
            return _again(response, orjson.dumps(self.wording.shifted(orjson.loads(_bytes(response)), offset)))
        return response

    async def _unseen(self, request: web.Request) -> bool:
        body = await request.text()
        params = dict(parse_qsl(request.query_string)) | dict(parse_qsl(body))
        return self._is_hidden(self.wording.asked(params))

    def _is_hidden(self, names: tuple[str, ...]) -> bool:
        now = self.now_ms()
        for name in [name for name, until in self.hidden.items() if until <= now]:
            del self.hidden[name]
        return any(name in self.hidden for name in names)

    def _close(self, retry_s: int, where: str, fault: Fault) -> web.Response:
        self._closed[self.wording.group(where)] = asyncio.get_running_loop().time() + retry_s
        self._ban_s = QUIET_BAN_S
        return _plain(self.wording.too_many(retry_s, False, fault.dice))

    def _banned(self, where: str) -> web.Response | None:
        """418 for whoever goes on into a 429, longer each time."""
        now = asyncio.get_running_loop().time()
        until = max(self._closed.get("", 0.0), self._closed.get(self.wording.group(where), 0.0))
        # A tenth of a second of grace: a client waits by its own watch.
        if now >= until - 0.1:
            return None
        self._closed[""], self._ban_s = now + self._ban_s, self._ban_s * 2
        self.chaos.happened("banned", where, self.now_ms())
        return _plain(self.wording.too_many(self._ban_s // 2, True, 0.0))


def _plain(answer: Answer) -> web.Response:
    return web.Response(
        body=answer.body, status=answer.status, headers=answer.headers, content_type=answer.content_type
    )


def _again(response: web.Response, body: bytes) -> web.Response:
    """The same answer with another body."""
    headers = {n: v for n, v in response.headers.items() if n.lower() not in ("content-length", "content-type")}
    return web.Response(body=body, status=response.status, headers=headers, content_type=response.content_type or JSON)


def _bytes(response: web.Response) -> bytes:
    return response.body if isinstance(response.body, bytes | bytearray) else b""


def _cut(request: web.Request) -> web.Response:
    """Drop the connection without a word; nothing of the returned answer is written."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
