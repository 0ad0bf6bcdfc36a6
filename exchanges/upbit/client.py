"""Requests to Upbit over HTTP: token, place in line, answer or one of our errors.

Not by ccxt: it cannot ask or cancel by identifier, drops ``smp_type``, and takes a rate refusal for an error of the
order. What is left of it, a token and a URL, is shorter said here, with every header heard.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from config.settings import ExchangeSettings
from core.errors import ConfigError
from exchanges.faults import VENDOR_ERRORS, VenueFault, not_this_venue
from exchanges.limits.gate import Gate, Turn
from exchanges.limits.tables import retry_after
from exchanges.upbit.calls import Call
from exchanges.upbit.faults import translated
from exchanges.upbit.names import VENUE
from exchanges.upbit.signing import KeyPair, Params, query_string
from exchanges.upbit.standing import mono_ms

log = logging.getLogger(__name__)

REST_URL = "https://api.upbit.com"
NO_ROUTE = "not_found"
"""How the venue's gateway names an address that it does not have; an order that is not there has a name of its own."""

Heard = Callable[[float, float, dict[str, str]], None]
"""Told of every answer: monotonic ms when it was asked and when it came, and its headers."""


class Answer(NamedTuple):
    """What came back with a status of success."""

    body: bytes
    headers: dict[str, str]


_BLOCK = re.compile(r"(\d{1,6})\s*(초|분|s|m)", re.IGNORECASE)
"""A block's length in the text of a refusal: seconds or minutes, in Korean or English."""


class WireReason(msgspec.Struct):
    name: str | int = ""
    message: str = ""


class WireRefusal(msgspec.Struct):
    error: WireReason


_REFUSAL = msgspec.json.Decoder(WireRefusal)


class UpbitClient:
    """One session with the venue, or with a simulator when the settings name one."""

    def __init__(
        self, settings: ExchangeSettings, keys: KeyPair, gate: Gate, nonce: Callable[[], str], heard: Heard
    ) -> None:
        self._base = (settings.rest_url or REST_URL).rstrip("/")
        self._simulated = settings.rest_url is not None
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_ms / 1_000)
        self._keys, self._gate, self._nonce, self._heard = keys, gate, nonce, heard
        gate.timeout_ms = settings.timeout_ms
        self._session: aiohttp.ClientSession | None = None

    async def call(self, call: Call, params: Params) -> Answer:
        """A good answer; else one of our errors. Nothing is ever sent a second time."""
        if call.signed and not self._keys.present:
            raise ConfigError(f"{VENUE} {call.where}: needs an API key; put one for {VENUE} into config/api_keys.json")
        outcome = await self._attempt(call, params)
        if isinstance(outcome, Exception):
            # Raised outside of any except block: the vendor's error, which may hold a URL, is not chained.
            raise translated(outcome, call)
        return outcome

    async def close(self) -> None:
        await self._gate.close()
        if self._session is not None:
            await self._session.close()

    async def _attempt(self, call: Call, params: Params) -> Answer | Exception:
        """Send once, when it is our turn; the answer, or the vendor's error as a value."""
        async with self._gate.turn({call.group: 1}, call.priority, call.patience_ms, call.where) as turn:
            try:
                return await self._send(call, params, turn)
            except VENDOR_ERRORS as error:
                return self._obey(turn, error, call) if isinstance(error, VenueFault) else error

    async def _send(self, call: Call, params: Params, turn: Turn) -> Answer:
        query = query_string(params)
        headers = {"Accept": "application/json"}
        if call.signed:
            headers["Authorization"] = f"Bearer {self._keys.token(query, self._nonce)}"
        body, url = None, f"{self._base}{call.path}"
        if call.method == "POST":
            headers["Content-Type"], body = "application/json; charset=utf-8", msgspec.json.encode(params)
        elif query:
            url += "?" + quote(query, safe="=&[],:")
        session = self._open()
        asked = mono_ms()
        async with session.request(
            call.method, URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
        ) as answer:
            said = dict(answer.headers)
            self._heard(asked, mono_ms(), said)
            turn.heard(said)
            text = await answer.read()
            if 200 <= answer.status < 300:
                return Answer(text, said)
            fault = _fault(answer.status, text, said)
            if answer.status == 404 and (not fault.code or fault.code == NO_ROUTE):
                fault = replace(fault, text=not_this_venue(url, VENUE))
            raise fault

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=not self._simulated
            )
        return self._session

    def _obey(self, turn: Turn, fault: VenueFault, call: Call) -> VenueFault:
        """Note that the venue turned us away for rate: a 429 is about the group, a 418 about everything, and so is a
        403 without words, which is the firewall's."""
        firewall = fault.status == 403 and not fault.code
        if fault.status not in (418, 429) and not firewall:
            return fault
        group = call.group if fault.status == 429 else ""
        pause = turn.turned_away(fault.status, fault.retry_after_s, group)
        log.warning("%s asks for a pause of %.1f s (HTTP %d, %s)", VENUE, pause, fault.status, call.where)
        return replace(fault, retry_after_s=pause)


def _fault(status: int, body: bytes, headers: dict[str, str]) -> VenueFault:
    """An error answer taken apart: named JSON, or only a status with some text or none."""
    try:
        reason = _REFUSAL.decode(body).error
    except (msgspec.MsgspecError, ValueError, RecursionError):
        reason = WireReason()
    after = retry_after(headers)
    return VenueFault(
        status=status,
        code=str(reason.name),
        text=reason.message,
        retry_after_s=_block_s(status, reason.message) if after is None else after,
        venue=VENUE,
    )


def _block_s(status: int, text: str) -> float | None:
    """How long a 418 says that we are blocked, where its text says so."""
    found = _BLOCK.search(text) if status == 418 else None
    if found is None:
        return None
    return float(found[1]) * (60 if found[2] in ("분", "m", "M") else 1)
