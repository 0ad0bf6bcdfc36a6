"""What a client asks of a stream: one JSON array that replaces everything it asked for before.

Form and error names from docs.upbit.com, "WebSocket usage and errors" (v1.6.4):
``[{"ticket": …}, {"type": …, "codes": […]}, …, {"format": …}]``.
"""

from collections.abc import Collection
from dataclasses import dataclass

import orjson

PUBLIC = ("ticker", "trade", "orderbook")
CANDLE_MINUTES = (1, 3, 5, 10, 15, 30, 60, 240)
CANDLES = ("candle.1s", *(f"candle.{unit}m" for unit in CANDLE_MINUTES))
PRIVATE = ("myOrder", "myAsset")
FORMATS = ("DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST")
UNITS = (1, 5, 15, 30)
ALL = "*"
"""In place of a code: every market."""


class StreamError(Exception):
    """A request that cannot be served, by the venue's name for it."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text

    def frame(self) -> bytes:
        return orjson.dumps({"error": {"name": self.name, "message": self.text}})


@dataclass(frozen=True, slots=True)
class Topic:
    """One stream: a type of one market, a book with so many levels."""

    kind: str
    code: str
    units: int = 0

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.code}:{self.units}"

    @property
    def minutes(self) -> int:
        """Of a candle; 0 for one second."""
        return 0 if self.kind == "candle.1s" else int(self.kind[7:-1])


@dataclass(frozen=True, slots=True)
class Subscription:
    """A whole request."""

    ticket: str
    snapshots: tuple[Topic, ...]
    realtime: tuple[Topic, ...]
    format: str
    asked: tuple[dict, ...]
    """The type objects as sent, for LIST_SUBSCRIPTIONS."""
    listing: bool = False

    @property
    def short(self) -> bool:
        return self.format.startswith("SIMPLE")

    @property
    def listed(self) -> bool:
        return self.format.endswith("_LIST")


def read(text: str | bytes, codes: Collection[str], private: bool) -> Subscription:
    """A request; StreamError names what is wrong. A public connection may not ask for private types."""
    try:
        parts = orjson.loads(text)
    except ValueError:
        raise StreamError("WRONG_FORMAT", "요청 형식이 올바르지 않습니다.") from None
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise StreamError("WRONG_FORMAT", "요청 형식이 올바르지 않습니다.")
    ticket = next((p["ticket"] for p in parts if p.get("ticket")), None)
    if ticket is None:
        raise StreamError("NO_TICKET", "티켓 필드가 없습니다.")
    form = next((p["format"] for p in parts if "format" in p), "DEFAULT")
    if form not in FORMATS:
        raise StreamError("INVALID_PARAM", "지원하지 않는 format입니다.")
    if any(p.get("method") == "LIST_SUBSCRIPTIONS" for p in parts):
        return Subscription(str(ticket), (), (), form, (), listing=True)
    asked = tuple(p for p in parts if "ticket" not in p and "format" not in p)
    if not asked or any("type" not in p for p in asked):
        raise StreamError("NO_TYPE", "타입 필드가 없습니다.")
    snapshots: list[Topic] = []
    realtime: list[Topic] = []
    for part in asked:
        topics = _topics(part, codes, private)
        if not part.get("is_only_realtime", part.get("isOnlyRealtime", False)):
            snapshots += topics
        if not part.get("is_only_snapshot", part.get("isOnlySnapshot", False)):
            realtime += topics
    return Subscription(str(ticket), tuple(snapshots), tuple(realtime), form, asked)


def _topics(part: dict, codes: Collection[str], private: bool) -> list[Topic]:
    kind = part["type"]
    if kind in PRIVATE:
        if not private:
            raise StreamError("INVALID_AUTH", "인증 정보가 올바르지 않습니다.")
        if kind == "myAsset" and "codes" in part:
            raise StreamError("WRONG_FORMAT", "myAsset은 codes를 지원하지 않습니다.")
        named = _codes(part, codes) if part.get("codes") else [(ALL, 0)]
        return [Topic(kind, code) for code, _ in named]
    if private or (kind not in PUBLIC and kind not in CANDLES):
        raise StreamError("INVALID_PARAM", "지원하지 않는 type입니다.")
    if not part.get("codes"):
        raise StreamError("NO_CODES", "코드 필드가 없습니다.")
    return [Topic(kind, code, units if kind == "orderbook" else 0) for code, units in _codes(part, codes)]


def _codes(part: dict, known: Collection[str]) -> list[tuple[str, int]]:
    """(market code, levels); codes that are not listed are skipped, as long as one is."""
    named = part["codes"]
    if not isinstance(named, list) or not all(isinstance(code, str) for code in named):
        raise StreamError("WRONG_FORMAT", "요청 형식이 올바르지 않습니다.")
    found = []
    for name in named:
        code, _, units = name.partition(".")
        if units and (not units.isdecimal() or int(units) not in UNITS):
            raise StreamError("INVALID_PARAM", "지원하지 않는 호가 조회 단위입니다.")
        if code in known:
            found.append((code, int(units or 30)))
    if not found:
        raise StreamError("INVALID_PARAM", "지원하지 않는 코드입니다.")
    return found
