"""What the faults need to know of a venue: which request is which, and how it words its errors and frames."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

JSON, TEXT, HTML = "application/json", "text/plain", "text/html"
HTTP_ERRORS = (
    (500, "Internal Server Error"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Time-out"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the venue's front door."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, value: Any, **headers: str) -> "Answer":
        return cls(status, orjson.dumps(value), headers=headers)


class Wording(Protocol):
    """One venue's words. ``where`` names are those of ``kinds``."""

    venue: str

    def where(self, method: str, path: str) -> str:
        """Which request this is; empty for what is not the venue's REST."""
        ...

    def group(self, where: str) -> str:
        """Requests that are limited together; a 429 closes a group."""
        ...

    def asked(self, params: dict[str, str]) -> tuple[str, ...]:
        """Names of the order that a question is about."""
        ...

    def named(self, body: Any) -> tuple[str, ...]:
        """Names of the order in an answer or a row of one."""
        ...

    def too_many(self, retry_s: int, banned: bool, dice: float) -> Answer: ...

    def unknown(self, dice: float) -> Answer:
        """The venue does not know what became of it."""
        ...

    def busy(self) -> Answer: ...

    def stamp(self, dice: float) -> Answer: ...

    def not_found(self) -> Answer:
        """There is no such order."""
        ...

    def shifted(self, body: Any, offset_ms: int) -> Any:
        """The answer to a question for the time, from a clock that is off."""
        ...

    def frame(self, frame: str | bytes) -> str:
        """Which frame this is; empty for one that passes untouched."""
        ...

    def shutdown(self, frame_like: str, now_ms: int) -> str | None:
        """The notice before a restart, for the kind of connection (``market`` or ``user``)."""
        ...

    def again(self, frame: str | bytes) -> str | bytes:
        """A snapshot as it is repeated."""
        ...


def http_error(size: float) -> Answer:
    """One of the plain texts that proxies answer with; ``size`` from 0 to 4 picks it."""
    status, text = HTTP_ERRORS[min(int(size), len(HTTP_ERRORS) - 1)]
    if status == 504:
        return Answer(status, f"<html><body><h1>{status} {text}</h1></body></html>".encode(), HTML)
    return Answer(status, text.encode(), TEXT)
