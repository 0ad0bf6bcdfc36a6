"""A loopback server that answers as a test tells it to: the wire of Upbit without an exchange behind it."""

import base64
import hashlib
import hmac
import json
import re
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from aiohttp import WSMsgType, web

from tests.support.venue_stub import Reply, Request, VenueStub

ACCESS_KEY = "xxxxxxxxACCESSxxxxxxxxKEYxxxxxxxx0001"
SECRET_KEY = "yyyyyyyySECRETyyyyyyyyKEYyyyyyyyy0002"

PRIVATE = re.compile(r"/v1/(accounts|orders?(/.*)?|api_keys|withdraws/.*)")


def refusal(name: str, message: str = "왜", status: int = 400, **headers: str) -> Reply:
    return Reply({"error": {"name": name, "message": message}}, status=status, headers=headers)


def claims_of(token: str) -> dict[str, str]:
    """The claims of a token signed with ``SECRET_KEY``; AssertionError when the signature does not hold."""
    text, _, signature = token.rpartition(".")
    head, body = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in text.split("."))
    assert head == {"alg": "HS512", "typ": "JWT"}
    meant = hmac.new(SECRET_KEY.encode(), text.encode(), hashlib.sha512).digest()
    assert base64.urlsafe_b64decode(signature + "==") == meant
    return body


class UpbitStub(VenueStub):
    """``async with UpbitStub() as stub``; script with ``stub.on``; look at ``stub.requests``.

    Every private request is checked as the venue checks it: token, access key, nonce never used before, and the hash
    of what was sent. What does not hold is listed in ``stub.forged``, which a test expects to stay empty.
    """

    stream_path = "/websocket/v1"
    user_path = "/websocket/v1/private"

    def __init__(self) -> None:
        super().__init__()
        self.handshakes: list[dict[str, str]] = []
        self.inbox: list[list[dict[str, Any]]] = []
        """JSON messages clients sent over WebSocket."""
        self.greeting: list[Any] = []
        """Frames sent to every socket right after its subscription."""
        self.refuse_handshake: int = 0
        self.forged: list[str] = []
        self.remaining = "group=default; min=1800; sec=29"
        self._nonces: set[str] = set()
        self.on("GET", "/v1/ticker", Reply([ticker()]))

    def tokens(self) -> list[str]:
        """Every token that was shown, over HTTP and at handshakes."""
        shown = [r.headers.get("Authorization", "") for r in self.requests]
        shown += [h.get("Authorization", "") for h in self.handshakes]
        return [text.removeprefix("Bearer ") for text in shown if text]

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        params = json.loads(body) if body else dict(request.query)
        raw = body or request.rel_url.raw_query_string
        self.requests.append(Request(request.method, request.path, params, dict(request.headers), raw))
        if PRIVATE.fullmatch(request.path):
            sent = "&".join(f"{k}={v}" for k, v in params.items()) if body else unquote(raw)
            self._check(request.headers.get("Authorization", ""), sent, request.path)
        otherwise = refusal("stub", f"nothing scripted for {request.method} {request.path}", status=500)
        date = formatdate(self.server_ms / 1_000, usegmt=True)
        return await self.answer(request, otherwise, {"Date": date, "Remaining-Req": self.remaining})

    def _check(self, authorization: str, sent: str, where: str) -> None:
        claims = claims_of(authorization.removeprefix("Bearer "))
        faults = []
        if claims["access_key"] != ACCESS_KEY:
            faults.append("access key")
        if claims["nonce"] in self._nonces:
            faults.append("nonce used")
        self._nonces.add(claims["nonce"])
        meant = hashlib.sha512(sent.encode()).hexdigest() if sent else None
        if claims.get("query_hash") != meant:
            faults.append(f"query hash of {sent!r}")
        self.forged += [f"{where}: {fault}" for fault in faults]

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self.handshakes.append(dict(request.headers))
        if self.refuse_handshake:
            name = "invalid_access_key" if self.refuse_handshake == 401 else "server_error"
            return web.json_response({"error": {"name": name, "message": "거절"}}, status=self.refuse_handshake)
        if request.path.endswith("/private"):
            self._check(request.headers.get("Authorization", ""), "", request.path)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.inbox.append(json.loads(message.data))
                for frame in self.greeting:
                    await send(socket, frame)
        return socket

    async def say(self, *frames: Any) -> None:
        """Send to the newest socket, as the venue does: binary."""
        for frame in frames:
            await send(self.sockets[-1], frame)


async def send(socket: web.WebSocketResponse, frame: Any) -> None:
    await socket.send_bytes(frame if isinstance(frame, bytes) else json.dumps(frame).encode())


def ticker(**changes: Any) -> dict[str, Any]:
    """One row of /v1/ticker, shortened."""
    row = {"market": "KRW-BTC", "trade_price": 150_000_000.0, "trade_timestamp": 1_771_999_999_000}
    return row | {"timestamp": 1_771_999_999_100} | changes


def order_answer(**changes: Any) -> dict[str, Any]:
    """What the venue answers to a new order."""
    answer = {
        "uuid": "cdd92199-2897-4e14-9448-f923320408ad",
        "side": "bid",
        "ord_type": "limit",
        "price": "150000000",
        "state": "wait",
        "market": "KRW-BTC",
        "created_at": "2026-02-25T15:00:00+09:00",
        "volume": "0.001",
        "remaining_volume": "0.001",
        "executed_volume": "0",
        "reserved_fee": "75",
        "remaining_fee": "75",
        "paid_fee": "0",
        "locked": "150075",
        "trades_count": 0,
        "time_in_force": "ioc",
        "identifier": "mh-1",
        "smp_type": "cancel_taker",
        "prevented_volume": "0",
        "prevented_locked": "0",
    }
    return answer | changes


def filled_answer(**changes: Any) -> dict[str, Any]:
    """The same order asked about after two trades, its rest ended."""
    trades = [
        {"market": "KRW-BTC", "uuid": "t-2", "price": "149999000", "volume": "0.0002", "funds": "29999.8"},
        {"market": "KRW-BTC", "uuid": "t-1", "price": "150000000", "volume": "0.0005", "funds": "75000"},
    ]
    for second, trade in zip((2, 1), trades, strict=True):
        trade |= {"trend": "up", "side": "bid", "created_at": f"2026-02-25T15:00:0{second}+09:00"}
    ended = {"state": "cancel", "executed_volume": "0.0007", "remaining_volume": "0.0003"}
    return order_answer(**ended | {"paid_fee": "52.4999", "trades_count": 2, "trades": trades} | changes)
