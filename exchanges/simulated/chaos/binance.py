"""Binance's words for faults. Codes and texts: binance-spot-api-docs, errors.md, rest-api.md (limits, general information),
web-socket-streams.md and web-socket-api.md (serverShutdown)."""

from typing import Any

import orjson

from exchanges.simulated.chaos.kinds import (
    ACCOUNT,
    BARS,
    CANCEL,
    DEPTH,
    DIFF,
    FILLS,
    FINAL_BAR,
    OPEN,
    OTHER,
    PLACE,
    QUERY,
    REPORT,
    RULES,
    TIME,
)
from exchanges.simulated.chaos.wording import Answer

REQUESTS = {
    ("POST", "order"): PLACE,
    ("POST", "order/cancelReplace"): PLACE,
    ("DELETE", "order"): CANCEL,
    ("DELETE", "openOrders"): CANCEL,
    ("GET", "order"): QUERY,
    ("GET", "openOrders"): OPEN,
    ("GET", "myTrades"): FILLS,
    ("GET", "account"): ACCOUNT,
    ("GET", "time"): TIME,
    ("GET", "klines"): BARS,
    ("GET", "depth"): DEPTH,
    ("GET", "exchangeInfo"): RULES,
}
TIMED_OUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
UNEXPECTED = "An unexpected response was received from the message bus. Execution status unknown."


class BinanceWording:
    """See ``wording.Wording``."""

    venue = "binance"

    def where(self, method: str, path: str) -> str:
        if path.startswith("/api/v3/"):
            return REQUESTS.get((method, path.removeprefix("/api/v3/")), OTHER)
        return OTHER if path.startswith("/sapi/") else ""

    def group(self, where: str) -> str:
        return "address"

    def asked(self, params: dict[str, str]) -> tuple[str, ...]:
        return _names(params.get("orderId"), params.get("origClientOrderId"))

    def named(self, body: Any) -> tuple[str, ...]:
        return _names(body.get("orderId"), body.get("clientOrderId")) if isinstance(body, dict) else ()

    def too_many(self, retry_s: int, banned: bool, dice: float) -> Answer:
        headers = {"Retry-After": str(retry_s)}
        if banned:
            text = "Way too much request weight used; IP banned. Please use WebSocket Streams for live updates."
            return Answer.of(418, {"code": -1003, "msg": text}, **headers)
        text = "Too much request weight used; please use WebSocket Streams for live updates to avoid polling the API."
        return Answer.of(429, {"code": -1003, "msg": text}, **headers)

    def unknown(self, dice: float) -> Answer:
        if dice < 0.25:
            return Answer.of(500, {"code": -1006, "msg": UNEXPECTED})
        return Answer.of(504 if dice < 0.6 else 408, {"code": -1007, "msg": TIMED_OUT})

    def busy(self) -> Answer:
        text = "Server is currently overloaded with other requests. Please try again in a few minutes."
        return Answer.of(503, {"code": -1008, "msg": text})

    def stamp(self, dice: float) -> Answer:
        early = "Timestamp for this request was 1000ms ahead of the server's time."
        late = "Timestamp for this request is outside of the recvWindow."
        return Answer.of(400, {"code": -1021, "msg": early if dice < 0.5 else late})

    def not_found(self) -> Answer:
        return Answer.of(400, {"code": -2013, "msg": "Order does not exist."})

    def shifted(self, body: Any, offset_ms: int) -> Any:
        if isinstance(body, dict) and isinstance(body.get("serverTime"), int):
            return body | {"serverTime": body["serverTime"] + offset_ms}
        return body

    def frame(self, frame: str | bytes) -> str:
        if not isinstance(frame, str):
            return ""
        if '"e":"executionReport"' in frame:
            return REPORT
        if '"e":"depthUpdate"' in frame:
            return DIFF
        return FINAL_BAR if '"e":"kline"' in frame and '"x":true' in frame else ""

    def shutdown(self, frame_like: str, now_ms: int) -> str | None:
        event = {"e": "serverShutdown", "E": now_ms}
        wrapped = {
            "user": {"event": event},
            "combined": {"stream": "!serverShutdown", "data": event},
            "raw": event,
        }
        return orjson.dumps(wrapped[frame_like]).decode()

    def again(self, frame: str | bytes) -> str | bytes:
        return frame


def _names(order_id: Any, client_id: Any) -> tuple[str, ...]:
    pairs = (("id", order_id), ("name", client_id))
    return tuple(f"{kind}:{value}" for kind, value in pairs if value not in (None, ""))
