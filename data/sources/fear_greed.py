"""The fear-and-greed index as its publisher (alternative.me) answers, by the rule of ``data.sentiment``."""

import json
import logging

import aiohttp

from core.errors import DataError
from core.messages import Sentiment
from core.units import DAY_MS
from data.checks import iso
from data.sentiment import PUBLICATION_DELAY_MS
from data.sources.fetching import SourceFault, fetch

log = logging.getLogger(__name__)

PUBLIC_URL = "https://api.alternative.me"
MOST_BYTES = 64 * 1_024
"""Of an answer: a reading takes some 150."""
MOST_VALUES = 2


class FearGreedClient:
    """Asks ``<base_url>/fng/?limit=2``: the day's value, and the one before for the hour in which that still holds.
    A source that is away, slow or talks nonsense yields None and a reason; a warning says when it is lost, and a line when
    it answers again."""

    def __init__(self, base_url: str = PUBLIC_URL, timeout_s: float = 5.0) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout_s = timeout_s
        self.last_fault = ""
        """Why the last ``fetch`` yielded None; empty after a success."""
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, now_ms: int) -> Sentiment | None:
        """The newest published value, or None; answers within ``timeout_s`` and raises nothing but cancellation."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession()
        try:
            answer = await fetch(
                self._session, f"{self.base_url}/fng/?limit=2", timeout_s=self.timeout_s, most_bytes=MOST_BYTES
            )
            reading = parse_reading(_json_of(answer.body or b""), now_ms)
        except (SourceFault, DataError) as error:
            fault = f"{self.base_url}: {error}"
            if fault != self.last_fault:
                log.warning("source fear and greed is lost: %s", fault)
            self.last_fault = fault
            return None
        if self.last_fault:
            log.info("source fear and greed answers again")
        self.last_fault = ""
        return reading

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _json_of(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"answer is not JSON ({type(error).__name__}: {str(error)[:80]})") from None


def parse_reading(body: object, now_ms: int) -> Sentiment | None:
    """The newest value of the publisher's JSON that could be known at ``now_ms``, None before the first; DataError says what
    is wrong with it. Values come newest first:

    ``{"data": [{"value": "40", "timestamp": "1551157200", ...}, …], "metadata": {"error": null}}``
    """
    try:
        items = [(float(item["value"]), int(item["timestamp"]) * 1000) for item in body["data"][:MOST_VALUES]]  # type: ignore[index]
        if not items:
            raise IndexError
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"answer has no data[0].value and .timestamp ({type(error).__name__})") from error
    for value, stamp in items:
        if not 0 <= value <= 100:
            raise DataError(f"value {value} is not between 0 and 100")
        if stamp > now_ms:
            raise DataError(f"value is stamped {iso(stamp)[:40]}, later than now ({iso(now_ms)})")
        if stamp <= 0:
            raise DataError(f"value is stamped {str(stamp)[:20]} ms, which is no time of a market")
        knowable = stamp + (PUBLICATION_DELAY_MS if stamp % DAY_MS == 0 else 0)
        if knowable <= now_ms:
            return Sentiment(value=value, knowable_ms=knowable)
    return None
