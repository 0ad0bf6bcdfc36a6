"""Who may trade at the simulated Upbit: a JSON web token for every request, checked as the venue checks it.

Source: docs.upbit.com, "Authentication" (2026). The token carries ``access_key``, a ``nonce`` that no request had before,
and, when there are parameters, ``query_hash``: SHA-512 (hex) of ``a=b&c=d`` as the query or the JSON body says it. It
carries no time, so a wrong clock is no fault here. Signed with HS512; HS256, which the common clients use, is taken too.
"""

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import unquote_plus

import orjson

from exchanges.simulated.upbit.errors import (
    expired_access_key,
    invalid_access_key,
    invalid_query_payload,
    jwt_verification,
    no_authorization_ip,
    no_token,
    nonce_used,
)

DIGESTS = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}
REMEMBERED_NONCES = 200_000


class Keyring:
    """Access keys and their secrets. Shows neither."""

    def __init__(self, credentials: Mapping[str, str]) -> None:
        self._secrets = dict(credentials)
        self._nonces: OrderedDict[str, None] = OrderedDict()
        self.addresses: frozenset[str] | None = None
        """IP addresses from which the keys work; None = any."""
        self.expired: set[str] = set()
        """Keys that are over a year old."""

    def __repr__(self) -> str:
        return f"Keyring({len(self._secrets)} keys)"

    def names(self) -> list[str]:
        """The access keys; their secrets are told to nobody."""
        return list(self._secrets)

    def verify(self, authorization: str | None, parameters: str, address: str = "") -> str:
        """The access key of a good token; UpbitRefusal otherwise. ``parameters``: the query as sent, or the body's."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise no_token()
        claims, signed, signature, algorithm = _parts(token.strip())
        key, nonce = claims.get("access_key"), claims.get("nonce")
        if not isinstance(key, str) or key not in self._secrets:
            raise invalid_access_key()
        expected = hmac.new(self._secrets[key].encode(), signed, DIGESTS[algorithm]).digest()
        if not hmac.compare_digest(expected, signature):
            raise jwt_verification()
        if key in self.expired:
            raise expired_access_key()
        if self.addresses is not None and address not in self.addresses:
            raise no_authorization_ip()
        if not isinstance(nonce, str) or not nonce:
            raise jwt_verification()
        if nonce in self._nonces:
            raise nonce_used()
        self._nonces[nonce] = None
        if len(self._nonces) > REMEMBERED_NONCES:
            self._nonces.popitem(last=False)
        if parameters:
            _check_hash(claims, parameters)
        return key


def _parts(token: str) -> tuple[dict, bytes, bytes, str]:
    """(claims, signed bytes, signature, algorithm) of a token."""
    pieces = token.split(".")
    try:
        header, claims = (orjson.loads(_decode(piece)) for piece in pieces[:2])
        signature = _decode(pieces[2])
        algorithm = header["alg"]
    except (ValueError, binascii.Error, IndexError, KeyError, TypeError):
        raise jwt_verification() from None
    if len(pieces) != 3 or not isinstance(algorithm, str) or algorithm not in DIGESTS or not isinstance(claims, dict):
        raise jwt_verification()
    return claims, f"{pieces[0]}.{pieces[1]}".encode(), signature, algorithm


def _decode(piece: str) -> bytes:
    return base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4))


def _check_hash(claims: dict, parameters: str) -> None:
    if str(claims.get("query_hash_alg", "SHA512")).upper() != "SHA512":
        raise invalid_query_payload()
    found = claims.get("query_hash")
    # The documents hash the text before percent-encoding; what was sent encoded hashes as sent, too.
    texts = {parameters, unquote_plus(parameters)}
    if found not in {hashlib.sha512(text.encode()).hexdigest() for text in texts}:
        raise invalid_query_payload()


def body_parameters(body: dict) -> str:
    """A JSON body as the text that its hash is of."""
    pairs: list[str] = []
    for name, value in body.items():
        if isinstance(value, list):
            pairs += [f"{name.removesuffix('[]')}[]={_text(part)}" for part in value]
        else:
            pairs.append(f"{name}={_text(value)}")
    return "&".join(pairs)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
