"""Binance spot's REST over the simulated exchange: reading a request, checking who asks, answering or refusing.

Endpoints, parameters and answers from binance-spot-api-docs, rest-api.md. The calls themselves are in ``public.py``
and ``private.py``.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from exchanges.simulated.answers import json_answer
from exchanges.simulated.binance.auth import signed_part
from exchanges.simulated.binance.budget import COUNTS_ORDERS, FREE_WHEN_DONE, WEIGHTS, depth_weight
from exchanges.simulated.binance.state import STATE, ServerState
from exchanges.simulated.refusals import VenueRefusal, illegal, invalid_symbol, missing

BASE = "/api/v3/"
WALLET = "/sapi/v1/"
DIGITS = "^[0-9]{1,20}$"
NUMBER = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"


class Security(StrEnum):
    """Who may call: anybody, or a holder of a key who signs."""

    NONE = "none"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, its parameters merged from query and body."""

    state: ServerState
    params: dict[str, str]

    def text(self, name: str) -> str:
        """A parameter that must be there."""
        value = self.params.get(name, "")
        if not value:
            raise missing(name)
        return value

    def integer(self, name: str, default: int | None = None, most: int | None = None) -> int:
        text = self.params.get(name)
        if not text:
            if default is None:
                raise missing(name)
            return default
        if not text.isdecimal():
            raise illegal(name, DIGITS)
        return int(text) if most is None else min(int(text), most)

    def optional_integer(self, name: str) -> int | None:
        return self.integer(name) if self.params.get(name) else None

    def decimal(self, name: str) -> Decimal | None:
        """An amount, or None when it was not sent."""
        text = self.params.get(name)
        if not text:
            return None
        if not re.fullmatch(NUMBER, text):
            raise illegal(name, NUMBER)
        return Decimal(text)

    def row(self) -> int:
        """Row of the mandatory ``symbol``."""
        row = self.state.symbols.get(self.text("symbol"))
        if row is None:
            raise invalid_symbol()
        return row

    def rows(self) -> list[int]:
        """Rows of ``symbol`` or ``symbols``; all of them when neither is sent."""
        if self.params.get("symbol"):
            return [self.row()]
        if not self.params.get("symbols"):
            return list(self.state.symbols.values())
        try:
            names = orjson.loads(self.params["symbols"])
            return [self.state.symbols[name] for name in names]
        except (ValueError, TypeError):
            raise illegal("symbols", '^\\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}")*\\]$') from None
        except KeyError:
            raise invalid_symbol() from None


Call = Callable[[Ask], Awaitable[object]]


def endpoint(method: str, path: str, security: Security, call: Call, base: str = BASE) -> web.RouteDef:
    """A route that spends weight, checks the signature, calls, and words refusals as the venue does."""
    key = (method, path)

    async def handle(request: web.Request) -> web.Response:
        state = request.app[STATE]
        query = request.raw_path.partition("?")[2]
        body = await request.text()
        ask = Ask(state, dict(parse_qsl(query, keep_blank_values=True)) | dict(parse_qsl(body, keep_blank_values=True)))
        try:
            weight = _weight(key, ask)
            state.budget.spend(weight)
            if security is Security.SIGNED:
                state.keyring.verify(request.headers.get("X-MBX-APIKEY"), signed_part(query, body), ask.params)
            async with state.lock:
                answer = await call(ask)
            if key in FREE_WHEN_DONE:
                state.budget.refund(weight)
        except VenueRefusal as refusal:
            return refused(state, refusal)
        return json_answer(answer, headers=state.budget.headers(ordered=key in COUNTS_ORDERS))

    return web.route(method, base + path, handle)


def _weight(key: tuple[str, str], ask: Ask) -> int:
    if key == ("GET", "depth"):
        return depth_weight(ask.integer("limit", 100))
    if key == ("GET", "openOrders") and not ask.params.get("symbol"):
        return 80
    if key == ("POST", "order/test") and ask.params.get("computeCommissionRates") == "true":
        return 20
    if key == ("GET", "myTrades") and ask.params.get("orderId"):
        return 5
    return WEIGHTS.get(key, 1)


def refused(state: ServerState, refusal: VenueRefusal) -> web.Response:
    headers = state.budget.headers()
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    return json_answer(refusal_body(refusal), refusal.status, headers)


def refusal_body(refusal: VenueRefusal) -> dict:
    body: dict = {"code": refusal.number, "msg": refusal.text}
    return body if refusal.data is None else body | {"data": refusal.data}
