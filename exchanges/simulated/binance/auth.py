"""Who may trade: API keys, HMAC signatures and time stamps, refused as Binance refuses them.

Source: binance-spot-api-docs, rest-api.md, "Request Security" and "Timing security".
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping

from exchanges.simulated.refusals import VenueRefusal, missing

MAX_AHEAD_MS = 1_000
DEFAULT_WINDOW_MS = 5_000
MAX_WINDOW_MS = 60_000


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
    """API keys and their secrets. Shows neither."""

    def __init__(self, credentials: Mapping[str, str], time: VenueTime) -> None:
        self._secrets = dict(credentials)
        self._time = time

    def __repr__(self) -> str:
        return f"Keyring({len(self._secrets)} keys)"

    def require(self, api_key: str | None) -> str:
        """The key, if it is one of ours."""
        if not api_key:
            raise VenueRefusal(-2014, "API-key format invalid.", status=401)
        if api_key not in self._secrets:
            raise VenueRefusal(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
        return api_key

    def verify(self, api_key: str | None, payload: str, params: Mapping[str, str]) -> str:
        """Check key, time stamp and the signature over ``payload``; returns the key."""
        key = self.require(api_key)
        for name in ("timestamp", "signature"):
            if not params.get(name):
                raise missing(name)
        stamp, window = _integer(params, "timestamp"), _integer(params, "recvWindow", DEFAULT_WINDOW_MS)
        if window > MAX_WINDOW_MS:
            raise VenueRefusal(-1131, "recvWindow must be less than 60000.")
        self._time.check(stamp, window)
        expected = hmac.new(self._secrets[key].encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), params["signature"].encode()):
            raise VenueRefusal(-1022, "Signature for this request is not valid.")
        return key


def _integer(params: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = params.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(float(text or ""))
    except ValueError:
        raise missing(name) from None


def signed_part(query: str, body: str) -> str:
    """What was signed: query string then body, as sent, less the signature itself."""
    return _without_signature(query) + _without_signature(body)


def _without_signature(text: str) -> str:
    return "&".join(part for part in text.split("&") if part and not part.startswith("signature="))
