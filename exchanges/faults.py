"""Vendor failures (ccxt, HTTP, sockets) translated into our own errors at the edge.

What an answer means stands in ``outcomes.py``; where there is no answer to look up, the vendor's class must do.
A message is built from the code and the venue's own text, never from a URL, a header or a body, so that no
signature and no key can be in it.
"""

import asyncio
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import msgspec

from core.errors import BotError, ConfigError, ExchangeRefused, ExchangeUnavailable, OutcomeUnknown
from exchanges.outcomes import Outcome, read
from exchanges.vendor import errors as ccxt

DUPLICATE = "duplicate order"
"""Text of an order with a client id that already stands, where a vendor library swallowed the code."""

_CODE = re.compile(r'"code"\s*:\s*"?(-?\d+)')
_MESSAGE = re.compile(r'"msg"\s*:\s*"((?:[^"\\]|\\.)*)"')
_LONG_TOKEN = re.compile(r"[A-Za-z0-9+/=_%-]{40,}")
_TEXT_LIMIT = 200

REFUSAL_CLASSES = (
    ccxt.InsufficientFunds,
    ccxt.InvalidOrder,
    ccxt.OrderNotFound,
    ccxt.AuthenticationError,
    ccxt.BadRequest,
    ccxt.BadSymbol,
    ccxt.NotSupported,
)


@dataclass(eq=False)
class VenueFault(Exception):
    """An answer that is an error, taken apart: the only vendor failure that carries a code for certain."""

    status: int
    """HTTP status."""
    code: str = ""
    """The venue's code, e.g. ``-2010``; empty when the body had none."""
    text: str = ""
    """The venue's own words."""
    retry_after_s: float | None = None
    venue: str = "binance"
    """Whose table of outcomes it is looked up in."""

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.code} {clean(self.text)}"


class UnreadableAnswer(Exception):
    """HTTP 200, but cut, empty or not what the endpoint answers with."""


VENDOR_ERRORS = (
    VenueFault,
    UnreadableAnswer,
    ccxt.BaseError,
    aiohttp.ClientError,
    msgspec.MsgspecError,
    OSError,
    asyncio.TimeoutError,
    ValueError,
)
"""What a vendor's call may raise, to be caught at the edge and translated."""


def clean(text: str) -> str:
    """A venue's text made fit to show: one line, bounded, without anything as long as a key or a signature."""
    line = "".join(c if c.isprintable() else " " for c in text[: 2 * _TEXT_LIMIT])
    return _LONG_TOKEN.sub("…", line)[:_TEXT_LIMIT].strip()


def not_this_venue(url: str, venue: str) -> str:
    """What a 404 without the venue's own words means: the address is somebody else's. Of the URL only where it leads."""
    parts = urlsplit(url)
    host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    return f"{parts.scheme}://{host}{parts.path} is not there: this address does not speak {venue.title()}'s protocol"


def translate(error: Exception, placing: bool, where: str = "exchange") -> BotError:
    """Our error for a vendor failure.

    ``placing`` is True for requests that change something (new order, cancel): only these can be
    ``OutcomeUnknown``. ``where`` opens the message, e.g. ``binance order``. An error of ours passes unchanged.
    """
    if isinstance(error, BotError):
        return error
    if isinstance(error, VenueFault):
        return _answered(error, placing, where)
    if isinstance(error, UnreadableAnswer | msgspec.MsgspecError):
        return _undecided(f"{where}: the answer was cut short or is not what this endpoint answers with", placing)
    if isinstance(error, ccxt.BaseError):
        return _from_ccxt(error, placing, where)
    if _never_sent(error):
        return ExchangeUnavailable(f"{where}: no connection to the venue ({type(error).__name__})")
    if isinstance(error, asyncio.TimeoutError | OSError | aiohttp.ClientError):
        return _undecided(f"{where}: {_network_words(error)}", placing)
    return _undecided(f"{where}: unexpected {type(error).__name__}", placing)


def _answered(fault: VenueFault, placing: bool, where: str) -> BotError:
    """By the venue's table."""
    says = clean(fault.text) or "no reason given"
    text = f"{where}: {says} ({f'code {clean(fault.code)}, ' if fault.code else ''}HTTP {fault.status})"
    row = read(fault.venue, fault.status, fault.code, fault.text)
    match row.outcome:
        case Outcome.NOTHING:
            return ExchangeUnavailable(text, fault.retry_after_s)
        case Outcome.REFUSED:
            return _refused(text, fault)
        case Outcome.STANDS if placing:
            return OutcomeUnknown(f"{text}: this name was used before, its order may stand: ask by client id")
        case Outcome.HALF if placing:
            return OutcomeUnknown(f"{text}: one half of it took effect: ask about both orders")
    return _undecided(text, placing)


def _refused(text: str, fault: VenueFault) -> ExchangeRefused:
    return ExchangeRefused(text, code=fault.code)


def _undecided(text: str, placing: bool) -> BotError:
    if placing:
        return OutcomeUnknown(f"{text}; it may or may not have taken effect: ask by client id")
    return ExchangeUnavailable(text)


def _from_ccxt(error: ccxt.BaseError, placing: bool, where: str) -> BotError:
    """A ccxt error that still holds the venue's JSON is read from that; else its class must do."""
    body = str(error)
    code = _CODE.search(body)
    if code:
        said = _MESSAGE.search(body)
        status = 429 if isinstance(error, ccxt.DDoSProtection) else 400
        return _answered(VenueFault(status, code[1], said[1] if said else ""), placing, where)
    kind = type(error).__name__
    if _never_sent(error.__cause__):
        return ExchangeUnavailable(f"{where}: no connection to the venue ({type(error.__cause__).__name__})")
    if isinstance(error, ccxt.AuthenticationError) and "credential" in body:
        return ConfigError(f"{where}: needs an API key; put one for this exchange into config/api_keys.json")
    if isinstance(error, ccxt.InvalidNonce | ccxt.RateLimitExceeded | ccxt.DDoSProtection):
        return ExchangeUnavailable(f"{where}: turned away ({kind})")
    if isinstance(error, ccxt.InvalidOrder) and DUPLICATE in body.lower() and placing:
        return OutcomeUnknown(f"{where}: an order with this client id already stands ({kind})")
    if isinstance(error, REFUSAL_CLASSES):
        return ExchangeRefused(f"{where}: refused ({kind})", code=kind)
    if error.__cause__ is not None:
        return _undecided(f"{where}: {_network_words(error.__cause__)}", placing)
    return _undecided(f"{where}: {kind}", placing)


def _never_sent(error: BaseException | None) -> bool:
    """True when the connection was never made, so that the venue cannot have heard of the request."""
    return isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | socket.gaierror | ConnectionRefusedError
    )


def _network_words(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return f"no answer in time ({type(error).__name__})"
    return f"the connection broke ({type(error).__name__})"
