"""Binance spot's REST over the simulated exchange: reading a request, checking who asks, answering or refusing.

Endpoints, parameters and answers from binance-spot-api-docs, rest-api.md. The calls themselves are in ``public.py``
and ``private.py``.
"""

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
from exchanges.simulated.binance.parameters import check, whole
from exchanges.simulated.binance.state import STATE, ServerState
from exchanges.simulated.exchange import STATUSES, TRADING
from exchanges.simulated.refusals import VenueRefusal, bad_combination, invalid_symbol, missing, too_long_a_span

BASE = "/api/v3/"
WALLET = "/sapi/v1/"
HOUR_MS = 3_600_000


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
        if text is None:
            if default is None:
                raise missing(name)
            return default
        value = whole(name, text)
        return value if most is None else min(value, most)

    def optional_integer(self, name: str) -> int | None:
        return self.integer(name) if name in self.params else None

    def span(self, hours: int) -> tuple[int, int | None]:
        """(startTime, endTime) of an account's history, at most so many hours apart; 0 and None where not sent."""
        start, end = self.integer("startTime", 0), self.optional_integer("endTime")
        if "startTime" in self.params and end is not None:
            if end <= start:
                # The venue's own words for an end that is not after the start.
                raise missing("endTime")
            if end - start > hours * HOUR_MS:
                raise too_long_a_span(hours)
        return start, end

    def decimal(self, name: str) -> Decimal | None:
        """An amount, or None when it was not sent."""
        text = self.params.get(name)
        return None if text is None else Decimal(text)

    def row(self) -> int:
        """Row of the mandatory ``symbol``, which must be of ``symbolStatus`` where that is sent."""
        row = self.state.symbols.get(self.text("symbol"))
        if row is None:
            raise invalid_symbol()
        if not self._of_status(row):
            raise VenueRefusal(-1220, "The symbol's status does not match the requested symbolStatus.")
        return row

    def rows(self) -> list[int]:
        """Rows of ``symbol`` or ``symbols``, all of them when neither is sent; the latter two by ``symbolStatus``."""
        if "symbol" in self.params and "symbols" in self.params:
            raise bad_combination()
        if "symbol" in self.params:
            return [self.row()]
        if "symbols" not in self.params:
            return [row for row in self.state.symbols.values() if self._of_status(row)]
        named = orjson.loads(self.params["symbols"])
        if len(set(named)) < len(named):
            raise VenueRefusal(-1151, "Symbol is present multiple times in the list.")
        if any(name not in self.state.symbols for name in named):
            raise invalid_symbol()
        return [row for row in map(self.state.symbols.__getitem__, named) if self._of_status(row)]

    def status(self, row: int) -> str:
        """What is said of a market: TRADING, HALT, BREAK …"""
        exchange = self.state.exchange
        stated = exchange.status[row]
        if stated != TRADING:
            return stated
        return exchange.rules[row].status if exchange.trading(row) else "BREAK"

    def _of_status(self, row: int) -> bool:
        wanted = self.params.get("symbolStatus")
        if wanted is not None and wanted not in STATUSES:
            raise VenueRefusal(-1122, "Invalid symbolStatus.")
        return wanted in (None, self.status(row))


Call = Callable[[Ask], Awaitable[object]]


def endpoint(method: str, path: str, security: Security, call: Call, base: str = BASE) -> web.RouteDef:
    """A route that spends weight, checks the signature, calls, and words refusals as the venue does."""
    key = (method, path)

    async def handle(request: web.Request) -> web.Response:
        state = request.app[STATE]
        query = request.raw_path.partition("?")[2]
        body = (await request.read()).decode(errors="replace")
        sent = parse_qsl(query, keep_blank_values=True), parse_qsl(body, keep_blank_values=True)
        try:
            weight = _weight(key, dict(sent[1]) | dict(sent[0]))
            state.budget.spend(weight)
            api_key = request.headers.get("X-MBX-APIKEY")
            if security is Security.SIGNED:
                state.keyring.require(api_key)
            ask = Ask(state, check(key, *sent))
            if security is Security.SIGNED:
                state.keyring.verify(api_key, signed_part(query, body), ask.params)
            async with state.lock:
                answer = await call(ask)
            if key in FREE_WHEN_DONE:
                state.budget.refund(weight)
        except VenueRefusal as refusal:
            return refused(state, refusal)
        return json_answer(answer, headers=state.budget.headers(ordered=key in COUNTS_ORDERS))

    return web.route(method, base + path, handle)


def _weight(key: tuple[str, str], params: dict[str, str]) -> int:
    if key == ("GET", "depth"):
        limit = params.get("limit", "")
        return depth_weight(int(limit[:9]) if limit.isascii() and limit.isdecimal() else 100)
    if key == ("GET", "openOrders") and not params.get("symbol"):
        return 80
    if key == ("POST", "order/test") and params.get("computeCommissionRates") == "true":
        return 20
    if key == ("GET", "myTrades") and params.get("orderId"):
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
