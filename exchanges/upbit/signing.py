"""Upbit's key pair, and the token that goes with every private request and handshake.

A token is a JWT (RFC 7519) of the access key, a nonce never used before and, where there are parameters, the SHA-512 of
them as ``a=1&b=2`` in the order sent (docs.upbit.com, "Authentication"). It holds no time, so a clock that is off does
no harm. HS512 is the algorithm the venue recommends; it takes HS256 too.
"""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from typing import Any

from exchanges import keys

Params = dict[str, Any]
"""Parameters of one request in the order sent; a list is sent as ``name[]`` once for each of its values."""


def new_nonce() -> str:
    return str(uuid.uuid4())


def query_string(params: Params) -> str:
    """The parameters as they are hashed, and for GET and DELETE sent: not percent-encoded."""
    pairs = []
    for name, value in params.items():
        pairs += [f"{name}[]={one}" for one in value] if isinstance(value, list) else [f"{name}={value}"]
    return "&".join(pairs)


class KeyPair(keys.KeyPair):
    """Access key and secret key. Shows neither."""

    __slots__ = ()

    def token(self, query: str = "", nonce: Callable[[], str] = new_nonce) -> str:
        """A token for one request with these parameters (``query_string``), good for one use."""
        claims = {"access_key": self.api_key, "nonce": nonce()}
        if query:
            claims |= {"query_hash": hashlib.sha512(query.encode()).hexdigest(), "query_hash_alg": "SHA512"}
        text = f"{_part({'alg': 'HS512', 'typ': 'JWT'})}.{_part(claims)}"
        signature = hmac.new(self.secret.encode(), text.encode(), hashlib.sha512).digest()
        return f"{text}.{_base64(signature)}"


def _part(value: dict[str, str]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
