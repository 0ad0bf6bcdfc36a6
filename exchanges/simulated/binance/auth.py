"""Who may trade: API keys, signatures (HMAC, Ed25519) and time stamps, refused as Binance refuses them.

Source: binance-spot-api-docs, rest-api.md, "Request Security" and "Timing security".
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from core.errors import ConfigError
from exchanges.simulated.refusals import VenueRefusal, missing

MAX_AHEAD_MS = 1_000
DEFAULT_WINDOW_MS = 5_000
MAX_WINDOW_MS = 60_000
PLAIN = "[0-9]{1,20}(\\.[0-9]{1,20})?"
"""A time or a span: ms, and where somebody likes a part of one."""
KEY_FORM = re.compile("[A-Za-z0-9]{64}")
"""How the venue's own API keys look; its documents do not say it, every key they show has it."""
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----"
"""How the secret of a key begins that is no secret: the client keeps the private half."""


class VenueTime:
    """Which time stamps are honest.

    At speed 1 only the venue's own time is. A clock that stands still or runs at N times speed cannot be followed by
    a client between two looks at it, so then any stamp counts that a client could have come to which read the
    venue's time once since the start and carried on by its own watch. ``wall_ms``, where given, admits clients that
    never look and stamp with the time of day, as unmodified libraries do.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        elapsed_ms: Callable[[], int],
        steady: bool,
        wall_ms: Callable[[], int] | None = None,
    ) -> None:
        self._now = now_ms
        self._elapsed = elapsed_ms
        self._steady = steady
        self._start = now_ms()
        self._wall = wall_ms

    def check(self, stamp: int, window: int) -> None:
        """Raise VenueRefusal -1021 when ``stamp`` is too old or in the future."""
        now = self._now()
        low, high = now - window, now + MAX_AHEAD_MS
        if not self._steady:
            low, high = self._start - window, high + self._elapsed()
        if low <= stamp < high:
            return
        if self._wall is not None and self._wall() - window <= stamp < self._wall() + MAX_AHEAD_MS:
            return
        if stamp >= high and (self._wall is None or stamp >= self._wall()):
            raise VenueRefusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        raise VenueRefusal(-1021, "Timestamp for this request is outside of the recvWindow.")


class Keyring:
    """API keys and how they sign: by a shared secret, or by a private key whose public half (PEM) is here.

    Shows no secret. Raises ConfigError for a public key that is none, or not Ed25519.
    """

    def __init__(self, credentials: Mapping[str, str], time: VenueTime) -> None:
        self._secrets = {key: text for key, text in credentials.items() if PUBLIC_KEY not in text}
        self._public = {key: _public_key(text) for key, text in credentials.items() if PUBLIC_KEY in text}
        self._time = time

    def __repr__(self) -> str:
        return f"Keyring({len(self._secrets) + len(self._public)} keys)"

    def require(self, api_key: str | None) -> str:
        """The key, if it is one of ours."""
        if api_key and (api_key in self._secrets or api_key in self._public):
            return api_key
        if not api_key or not KEY_FORM.fullmatch(api_key):
            raise VenueRefusal(-2014, "API-key format invalid.", status=401)
        raise VenueRefusal(-2015, "Invalid API-key, IP, or permissions for action.", status=401)

    def has_public(self, api_key: str) -> bool:
        """Whether this key signs with Ed25519, which a session needs."""
        return api_key in self._public

    def check_time(self, params: Mapping[str, str]) -> None:
        """VenueRefusal -1021 for a stamp that is too old or in the future."""
        stamp, window = _integer(params, "timestamp"), _integer(params, "recvWindow", DEFAULT_WINDOW_MS)
        if window > MAX_WINDOW_MS:
            raise VenueRefusal(-1131, "recvWindow must be less than 60000")
        self._time.check(stamp, window)

    def verify(self, api_key: str | None, payload: str, params: Mapping[str, str]) -> str:
        """Check key, time stamp and the signature over ``payload``; returns the key."""
        key = self.require(api_key)
        for name in ("timestamp", "signature"):
            if not params.get(name):
                raise missing(name)
        self.check_time(params)
        if not self._signed(key, payload.encode(), params["signature"]):
            raise VenueRefusal(-1022, "Signature for this request is not valid.")
        return key

    def _signed(self, key: str, payload: bytes, signature: str) -> bool:
        public = self._public.get(key)
        if public is None:
            expected = hmac.new(self._secrets[key].encode(), payload, hashlib.sha256).hexdigest()
            return hmac.compare_digest(expected.encode(), signature.encode())
        try:
            public.verify(base64.b64decode(signature, validate=True), payload)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def _public_key(pem: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem.strip().encode())
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(
            "the public key is not an Ed25519 key in PEM; make one with: openssl genpkey -algorithm ed25519"
        )
    return key


def _integer(params: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = params.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(PLAIN, text):
        raise missing(name)
    return int(text.partition(".")[0])


def signed_part(query: str, body: str) -> str:
    """What was signed: query string then body, as sent, less the signature itself."""
    return _without_signature(query) + _without_signature(body)


def _without_signature(text: str) -> str:
    return "&".join(part for part in text.split("&") if part and not part.startswith("signature="))
