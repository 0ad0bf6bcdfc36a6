"""How our clock and our key stand with the venue.

Upbit has no endpoint for its time, and its tokens hold none, so a clock that is off costs no order here; it costs
minutes that are called closed too early. What is known of the venue's clock is the ``Date`` header of its answers,
whole seconds: each answer says that the clock stood within one second while we waited, and a few answers spread over a
second narrow that down to the space between them.
"""

import math
import time
from email.utils import parsedate_to_datetime

from core.ports import Clock
from core.standing import ClockReading, KeyRights

__all__ = ["ADVICE", "ClockReading", "DateClock", "KeyRights", "VenueTime", "date_ms", "mono_ms"]

_PAGE = "at upbit.com, My Page > Open API management"

ADVICE = {
    "invalid_access_key": f"the access key is unknown to Upbit: copy it again {_PAGE} into config/api_keys.json",
    "jwt_verification": "the secret key does not fit the access key: copy both again into config/api_keys.json "
    f"(the secret is shown once only, {_PAGE}: make a new pair where it is lost)",
    "expired_access_key": f"the key has expired (they live one year): make a new one {_PAGE}",
    "no_authorization_ip": f"this machine's address is not on the key's list: add its public IP {_PAGE}",
    "no_authorization_i_p": f"this machine's address is not on the key's list: add its public IP {_PAGE}",
    "out_of_scope": "the key lacks a right this needs: make one with 'View Account', 'View Orders' and "
    f"'Make Orders' (and without withdrawal) {_PAGE}",
    "thirdparty_agreement_required": "Upbit waits for your consent: log in at upbit.com and accept its terms",
}
"""The venue's names of faults that lie with the key, and what to do about each."""


def mono_ms() -> float:
    return time.monotonic() * 1_000


def date_ms(headers: dict[str, str]) -> int | None:
    """The ``Date`` of an answer in epoch ms; None when it has none that can be read."""
    for name, value in headers.items():
        if name.lower() == "date":
            try:
                return int(parsedate_to_datetime(value).timestamp() * 1_000)
            except (ValueError, TypeError, OverflowError):
                return None
    return None


class DateClock:
    """Bounds on venue's clock minus ours, milliseconds, from answers that state whole seconds."""

    def __init__(self) -> None:
        self.low, self.high = -math.inf, math.inf

    @property
    def known(self) -> bool:
        return math.isfinite(self.low)

    @property
    def offset_ms(self) -> float:
        """The middle of what is possible; 0 when nothing was heard."""
        return (self.low + self.high) / 2 if self.known else 0.0

    def heard(self, sent_ms: float, got_ms: float, stated_ms: int) -> None:
        """An answer to what was sent at ``sent_ms`` of ours and came at ``got_ms`` was dated ``stated_ms``.

        The venue's clock was within that second at some moment between the two. Where that cannot be together with
        what was known, a clock was set (or drifted away): what was known is dropped.
        """
        low, high = stated_ms - got_ms, stated_ms + 1_000 - sent_ms
        if low >= self.high or high <= self.low:
            self.low, self.high = low, high
        else:
            self.low, self.high = max(low, self.low), min(high, self.high)


class VenueTime:
    """The venue's time: the market's clock, or without one the monotonic clock, corrected by what the answers say."""

    def __init__(self, clock: Clock | None) -> None:
        self._clock, self._started = clock, mono_ms()
        self.bounds = DateClock()

    def now_ms(self) -> int:
        return int(self._base_ms() + self.bounds.offset_ms)

    def heard(self, asked_ms: float, came_ms: float, headers: dict[str, str]) -> None:
        """An answer's headers, right after it came; when it was asked and when it came, in monotonic ms."""
        stated = date_ms(headers)
        if stated is not None:
            base = self._base_ms()
            self.bounds.heard(base - (came_ms - asked_ms), base, stated)

    def _base_ms(self) -> float:
        return self._clock.now_ms() if self._clock else mono_ms() - self._started
