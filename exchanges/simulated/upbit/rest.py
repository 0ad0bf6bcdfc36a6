"""Upbit's REST over the simulated exchange: reading a request, checking who asks, answering or refusing.

Endpoints, parameters and answers from docs.upbit.com, API reference v1.6.4. The calls are in ``public.py`` and
``private.py``.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from exchanges.simulated.answers import json_answer
from exchanges.simulated.upbit.auth import body_parameters
from exchanges.simulated.upbit.errors import (
    UpbitRefusal,
    out_of_range,
    out_of_scope,
    type_mismatch,
    validation_error,
)
from exchanges.simulated.upbit.state import STATE, UpbitState

BASE = "/v1/"
QUOTATION = frozenset({"market", "candle", "trade", "ticker", "orderbook"})
"""Groups that everybody may ask."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: single parameters, and lists under their name without brackets."""

    state: UpbitState
    params: dict[str, object]
    lists: dict[str, list[str]]

    def text(self, name: str) -> str:
        """A parameter, empty when it was not sent."""
        value = self.params.get(name)
        return "" if value is None else str(value)

    def whole(self, name: str, default: int, most: int) -> int:
        """A count of an account call. How the venue refuses one that is none it does not publish: here by the name it
        has for every wrong parameter. One that is too large is cut."""
        found = self._whole(name)
        if found is None:
            return default
        if isinstance(found, str) or found < 1:
            raise validation_error(f"{name} does not have a valid value")
        return min(found, most)

    def count(self, default: int, most: int) -> int:
        """``count`` of a quotation call. What is no whole number is a mismatch of types; more than there is at most gives
        the most, as users of the venue report. That none and fewer are out of range is our reading of its documents."""
        found = self._whole("count")
        if found is None:
            return default
        if isinstance(found, str):
            raise type_mismatch()
        if found < 1:
            raise out_of_range()
        return min(found, most)

    def _whole(self, name: str) -> int | str | None:
        """A parameter as a whole number, as it was sent where it is none; None when it was not sent, or is empty."""
        text = self.text(name)
        if not text:
            return None
        return int(text) if re.fullmatch("[+-]?[0-9]{1,9}", text) else text

    def many(self, name: str) -> list[str]:
        """A list, sent as ``name[]=a&name[]=b`` or as ``name=a,b``."""
        return self.lists.get(name) or [part for part in self.text(name).split(",") if part]


Call = Callable[[Ask], Awaitable[object]]


def endpoint(method: str, path: str, group: str, call: Call, right: str = "", status: int = 200) -> web.RouteDef:
    """A route that counts against its group, checks the token and the key's ``right``, calls, and words refusals."""

    async def handle(request: web.Request) -> web.Response:
        state = request.app[STATE]
        public = group in QUOTATION
        counted = "origin" if public and "Origin" in request.headers else group
        try:
            state.budget.spend(counted)
            query = request.raw_path.partition("?")[2]
            body = await _body(request)
            if not public:
                signed = query or body_parameters(body)
                state.keyring.verify(request.headers.get("Authorization"), signed, request.remote or "")
                if right and right not in state.key_rights:
                    raise out_of_scope()
            async with state.lock:
                answer = await call(_ask(state, query, body))
        except UpbitRefusal as refusal:
            return refused(state, refusal, counted)
        return json_answer(answer, status, _headers(state, counted))

    return web.route(method, BASE + path, handle)


async def _body(request: web.Request) -> dict:
    """The JSON object of a POST; forms are not taken since 2022."""
    raw = await request.read()
    if not raw:
        return {}
    try:
        body = orjson.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise validation_error("the body must be a JSON object")
    return body


def _ask(state: UpbitState, query: str, body: dict) -> Ask:
    params: dict[str, object] = dict(body)
    lists: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name.endswith("[]"):
            lists.setdefault(name[:-2], []).append(value)
        else:
            params[name] = value
    return Ask(state, params, lists)


def refused(state: UpbitState, refusal: UpbitRefusal, group: str) -> web.Response:
    return json_answer(refusal.body(), refusal.status, _headers(state, group))


def _headers(state: UpbitState, group: str) -> dict[str, str]:
    """What every answer carries. ``Date`` is all the venue tells of its time: whole seconds, and here the market's."""
    return state.budget.headers(group) | {"Date": formatdate(state.exchange.now_ms // 1_000, usegmt=True)}
