"""Upbit's words for faults (docs.upbit.com: REST guide, rate limits, WebSocket guide).

Every error is {"error": {"name", "message"}}. A 429 may also be plain text, and whether Retry-After comes with it is not
documented: here it does not. Upbit has no time stamps, no -1008 and no notice before a restart.
"""

from typing import Any

import orjson

from exchanges.simulated.chaos.kinds import (
    ACCOUNT,
    BARS,
    CANCEL,
    DEPTH,
    OPEN,
    OTHER,
    PLACE,
    QUERY,
    REPORT,
    RULES,
    SNAPSHOT,
)
from exchanges.simulated.chaos.wording import TEXT, Answer

REQUESTS = {
    ("POST", "orders"): PLACE,
    ("POST", "orders/cancel_and_new"): PLACE,
    ("DELETE", "order"): CANCEL,
    ("DELETE", "orders/open"): CANCEL,
    ("DELETE", "orders/uuids"): CANCEL,
    ("GET", "order"): QUERY,
    ("GET", "orders/uuids"): OPEN,
    ("GET", "orders/open"): OPEN,
    ("GET", "orders/closed"): OPEN,
    ("GET", "accounts"): ACCOUNT,
    ("GET", "orders/chance"): RULES,
    ("GET", "market/all"): RULES,
    ("GET", "orderbook/instruments"): RULES,
    ("GET", "orderbook"): DEPTH,
}


class UpbitWording:
    """See ``wording.Wording``."""

    venue = "upbit"

    def where(self, method: str, path: str) -> str:
        if not path.startswith("/v1/"):
            return ""
        rest = path.removeprefix("/v1/").rstrip("/")
        return BARS if rest.startswith("candles/") else REQUESTS.get((method, rest), OTHER)

    def group(self, where: str) -> str:
        return {PLACE: "order", BARS: "candle", DEPTH: "orderbook", OTHER: "quotation"}.get(where, "default")

    def asked(self, params: dict[str, str]) -> tuple[str, ...]:
        return _names(params.get("uuid"), params.get("identifier"))

    def named(self, body: Any) -> tuple[str, ...]:
        return _names(body.get("uuid"), body.get("identifier")) if isinstance(body, dict) else ()

    def too_many(self, retry_s: int, banned: bool, dice: float) -> Answer:
        if banned:
            return _error(418, "too_many_requests", f"요청 수 제한을 초과하여 {retry_s}초 동안 차단되었습니다.")
        if dice < 0.5:
            return Answer(429, b"Too many API requests.", TEXT)
        return _error(429, "too_many_requests", "요청 수 제한을 초과했습니다.")

    def unknown(self, dice: float) -> Answer:
        return _error(500, "server_error", "알 수 없는 에러가 발생했습니다.")

    def busy(self) -> Answer:
        return self.unknown(0.0)

    def stamp(self, dice: float) -> Answer:
        return _error(401, "nonce_used", "이미 요청한 nonce값이 다시 사용되었습니다.")

    def not_found(self) -> Answer:
        return _error(404, "order_not_found", "주문을 찾지 못했습니다.")

    def shifted(self, body: Any, offset_ms: int) -> Any:
        return body

    def frame(self, frame: str | bytes) -> str:
        text = frame if isinstance(frame, bytes) else frame.encode()
        if b'"myOrder"' in text:
            return REPORT
        return SNAPSHOT if b'"SNAPSHOT"' in text else ""

    def shutdown(self, frame_like: str, now_ms: int) -> str | None:
        return None

    def again(self, frame: str | bytes) -> str | bytes:
        return frame


def _error(status: int, name: str, message: str) -> Answer:
    return Answer(status, orjson.dumps({"error": {"name": name, "message": message}}))


def _names(order_id: Any, client_id: Any) -> tuple[str, ...]:
    pairs = (("id", order_id), ("name", client_id))
    return tuple(f"{kind}:{value}" for kind, value in pairs if value not in (None, ""))
