"""The key pair of one venue, and the signature of a WebSocket API request.

Binance signs the parameters sorted by name, joined as ``a=1&b=2``: hex HMAC-SHA256 with a secret, or base64 Ed25519
with a PEM private key (binance-spot-api-docs: web-socket-api.md, "SIGNED request security").
"""

import base64
import hashlib
import hmac
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from core.errors import ConfigError

PEM_MARK = "PRIVATE KEY"


def reveal(value: Any) -> str:
    """The text of a secret: of an object with ``reveal()``, of a plain str, or of nothing."""
    if value is None:
        return ""
    text = value.reveal() if hasattr(value, "reveal") else value
    return str(text).strip().replace("\r\n", "\n")


class KeyPair:
    """API key and secret. Shows neither."""

    __slots__ = ("_key", "_secret", "_signer")

    def __init__(self, api_key: Any = None, secret: Any = None) -> None:
        self._key = api_key
        self._secret = secret
        self._signer: Ed25519PrivateKey | None = None
        if PEM_MARK in reveal(secret):
            self._signer = _ed25519(reveal(secret))

    @classmethod
    def of(cls, keys: Any) -> "KeyPair":
        """From None (public data only), a KeyPair, a (key, secret) pair, or ``config.secrets.ApiKeys``."""
        if isinstance(keys, cls):
            return keys
        if keys is None:
            return cls()
        if isinstance(keys, tuple | list):
            return cls(*keys)
        return cls(keys.api_key, keys.api_secret)

    def __repr__(self) -> str:
        return f"KeyPair({'set' if self.present else 'empty'})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a KeyPair is not sent or stored: load the keys in the process that uses them")

    @property
    def present(self) -> bool:
        return bool(reveal(self._key)) and bool(reveal(self._secret))

    @property
    def api_key(self) -> str:
        return reveal(self._key)

    @property
    def secret(self) -> str:
        return reveal(self._secret)

    def sign(self, params: dict[str, Any]) -> str:
        """Signature over ``params`` (without ``signature``)."""
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params)).encode()
        if self._signer is not None:
            return base64.b64encode(self._signer.sign(payload)).decode()
        return hmac.new(self.secret.encode(), payload, hashlib.sha256).hexdigest()


def _ed25519(pem: str) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            "binance: the secret is a PEM key, but not a plain Ed25519 private key; make an Ed25519 or an HMAC key"
        )
    return key
