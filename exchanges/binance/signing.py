"""Binance's key pair, HMAC or Ed25519, and the signature of a WebSocket API request.

Binance signs the parameters sorted by name, joined as ``a=1&b=2``: hex HMAC-SHA256 with a secret, or base64 Ed25519
with a private key (binance-spot-api-docs: web-socket-api.md, "SIGNED request security"). Which of the two a secret is,
its text tells. REST requests are signed by ccxt, which takes a PEM above 120 characters for an RSA key: so it is given
the key written anew, 118 characters, whatever line ends, blanks or escapes it was pasted with.
"""

import base64
import binascii
import hashlib
import hmac
import re
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from core.errors import ConfigError
from exchanges import keys
from exchanges.keys import reveal

BARE = re.compile(r"MC4CAQAwBQYDK2VwBCIEI[A-Za-z0-9+/]{43}")
"""A PKCS#8 Ed25519 key pasted without its frame: the prefix of RFC 8410, section 7, and 32 bytes."""
_FRAME = re.compile(r"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----(.*?)-----END \1PRIVATE KEY-----", re.DOTALL)
_MARK = "PRIVATE KEY"
_ADVICE = "make an Ed25519 or an HMAC key at the exchange and paste it whole into config/api_keys.json"


class KeyPair(keys.KeyPair):
    """API key and secret. Shows neither. ConfigError for a secret that is a PEM text, but no Ed25519 private key."""

    __slots__ = ("_signer",)

    def __init__(self, api_key: Any = None, secret: Any = None) -> None:
        super().__init__(api_key, secret)
        text = reveal(secret)
        self._signer = _ed25519(text) if _MARK in text or BARE.fullmatch(text) else None

    @property
    def secret(self) -> str:
        """The secret; an Ed25519 key as a PEM text of 118 characters."""
        if self._signer is None:
            return super().secret
        return self._signer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().strip()

    def sign(self, params: dict[str, Any]) -> str:
        """Signature over ``params`` (without ``signature``)."""
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params)).encode()
        if self._signer is not None:
            return base64.b64encode(self._signer.sign(payload)).decode()
        return hmac.new(self.secret.encode(), payload, hashlib.sha256).hexdigest()


def _ed25519(text: str) -> Ed25519PrivateKey:
    """The key of a PEM text (or of its bare middle), however it was folded. The error never shows any of it."""
    framed = _FRAME.search(text)
    label, body = (framed[1].strip(), framed[2]) if framed else ("", text)
    if _MARK in body:
        raise ConfigError(f"binance: the secret is a PEM key with its BEGIN or END line damaged; {_ADVICE}")
    if label == "ENCRYPTED":
        raise ConfigError("binance: the secret is a PEM key with a password; write it without one (openssl pkey)")
    try:
        der = base64.b64decode("".join(body.replace("\\r", "").replace("\\n", "").split()), validate=True)
        key = load_der_private_key(der, password=None)
    except (binascii.Error, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"binance: the secret is a PEM key, but not a plain Ed25519 private key; {_ADVICE}")
    return key
