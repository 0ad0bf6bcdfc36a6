"""Fetching from sources that owe us nothing: bounded in time and size, over http(s) alone, and silent about keys.

What goes wrong is a ``SourceFault`` whose text names no address: an address may hold a key.
"""

import ipaddress
from dataclasses import dataclass

import aiohttp
from yarl import URL

from core.errors import BotError

REDIRECTS = 3
AGENT = "minutehand (a personal trading bot; one look every few minutes)"
_PIECE = 64 * 1_024


class SourceFault(BotError):
    """A source is away or talks nonsense. It counts as lost until it answers again."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """How long it asks to be left alone."""


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes | None
    """None: unchanged since ``validators``."""
    validators: tuple[tuple[str, str], ...] = ()
    """Headers by which the next request asks whether anything has changed."""


async def fetch(
    session: aiohttp.ClientSession,
    url: str,
    *,
    timeout_s: float,
    most_bytes: int,
    validators: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """The body of ``url``, decompressed at most ``most_bytes``. Raises SourceFault."""
    headers = {"User-Agent": AGENT, **dict(validators)}
    limit = aiohttp.ClientTimeout(total=timeout_s)
    try:
        here = _usable(URL(url))
        for _ in range(REDIRECTS + 1):
            async with session.get(here, headers=headers, timeout=limit, allow_redirects=False) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    here = _next(here, answer.headers.get("Location", ""))
                    continue
                if answer.status == 304 and validators:
                    return Answer(None, validators)
                if answer.status != 200:
                    raise SourceFault(f"HTTP status {answer.status}", _patience(answer.headers.get("Retry-After", "")))
                return Answer(await _body(answer, most_bytes), _validators(answer))
    except TimeoutError:
        raise SourceFault(f"no answer within {timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Its words may hold the address, and so a key.
        raise SourceFault(type(error).__name__) from None
    raise SourceFault(f"more than {REDIRECTS} redirects")


async def _body(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    parts, size = [], 0
    while piece := await answer.content.read(_PIECE):
        parts.append(piece)
        size += len(piece)
        if size > most_bytes:
            answer.close()
            raise SourceFault(f"answer is larger than {most_bytes // 1_024} KB")
    return b"".join(parts)


def _validators(answer: aiohttp.ClientResponse) -> tuple[tuple[str, str], ...]:
    asked = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
    return tuple((ask, answer.headers[told][:200]) for ask, told in asked if told in answer.headers)


def _next(here: URL, location: str) -> URL:
    """Where a redirect leads, where that is a place to go."""
    there = here.join(URL(location)) if location else here
    if not location or there == here:
        raise SourceFault("a redirect to nowhere")
    _usable(there)
    if here.scheme == "https" and there.scheme != "https":
        raise SourceFault("a redirect from https to http")
    if _inside(there.host) and there.host != here.host:
        raise SourceFault("a redirect into this network")
    return there


def _usable(url: URL) -> URL:
    if url.scheme not in ("http", "https") or not url.host:
        raise SourceFault(f"not a web address ({url.scheme or 'no scheme'})")
    return url


def _inside(host: str | None) -> bool:
    try:
        return not ipaddress.ip_address(host or "").is_global
    except ValueError:
        return host is None or host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def _patience(text: str) -> float:
    return min(float(text), 86_400.0) if text.isdigit() else 0.0
