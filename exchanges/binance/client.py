"""ccxt's Binance client, cut to what the gateway needs: signing, the session, and answers taken apart.

Nothing of ccxt's unified layer is used (it rounds prices, hides codes and never sees the request budget): the gateway
calls the implicit methods with exact texts. Loading ccxt's markets is therefore not needed.
"""

import logging
from collections.abc import Callable
from typing import Any

from config.settings import ExchangeSettings
from exchanges.faults import VenueFault, not_this_venue
from exchanges.limits.tables import retry_after
from exchanges.vendor import binance

QUIET = logging.getLogger("minutehand.vendor")
"""Given to vendor clients: at DEBUG they would write signed URLs and API keys."""
QUIET.setLevel(logging.WARNING)

OPTIONS = {
    "fetchMarkets": {"types": ["spot"]},
    "fetchMargins": False,
    "fetchCurrencies": False,
    "adjustForTimeDifference": False,
    "maxRetriesOnFailure": 0,
}
"""Spot only; no requests beside the ones asked for; never resend a request on its own."""


class BinanceClient(binance):
    """ccxt's client with our time stamps, raising ``VenueFault`` for every answer that is an error."""

    stamp_ms: Callable[[], int]
    """The venue's time as we know it, for the ``timestamp`` of signed requests."""
    on_headers: Callable[[dict[str, str]], None]
    """Told the headers of every answer, good or bad."""

    def nonce(self) -> int:
        return self.stamp_ms()

    def on_rest_response(
        self, code, reason, url, method, response_headers, response_body, request_headers, request_body
    ) -> str:
        self.on_headers(response_headers)
        return response_body.strip()

    def handle_errors(self, code, reason, url, method, headers, body, response, request_headers, request_body) -> None:
        """Take an error answer apart before ccxt turns it into one of its classes and drops the code."""
        said = response if isinstance(response, dict) else {}
        venue_code = said.get("code")
        if code < 400 and not (isinstance(venue_code, int) and venue_code < 0):
            return
        text = not_this_venue(url, "binance") if code == 404 and venue_code is None else str(said.get("msg", ""))
        raise VenueFault(
            status=int(code),
            code="" if venue_code is None else str(venue_code),
            text=text,
            retry_after_s=retry_after(headers),
        )


def make_client(
    settings: ExchangeSettings,
    api_key: str,
    secret: str,
    stamp_ms: Callable[[], int],
    on_headers: Callable[[dict[str, str]], None],
) -> BinanceClient:
    """A client for the venue, or for a simulator when the settings name one (then no URL leads anywhere else)."""
    simulated = settings.rest_url is not None
    client = BinanceClient(
        {
            "apiKey": api_key,
            "secret": secret.strip(),
            "enableRateLimit": False,
            "timeout": settings.timeout_ms,
            "logger": QUIET,
            "aiohttp_trust_env": not simulated,
            "options": {**OPTIONS, "recvWindow": settings.recv_window_ms},
        }
    )
    client.stamp_ms, client.on_headers = stamp_ms, on_headers
    client.enableLastHttpResponse = client.enableLastJsonResponse = False
    if settings.rest_url is not None:
        base = settings.rest_url.rstrip("/")
        for group in ("api", "test", "demo"):
            client.urls[group] = _onto(base, client.urls.get(group, {}))
        client.urls["api"]["public"] = client.urls["api"]["private"] = f"{base}/api/v3"
        client.urls["api"]["sapi"] = f"{base}/sapi/v1"
        if not base.startswith("https:"):
            client.timeout_on_exit = 0
    return client


def _onto(base: str, urls: Any) -> Any:
    """The same tree of URLs with every one replaced, so that no call can leave for the real venue."""
    if isinstance(urls, dict):
        return {name: _onto(base, value) for name, value in urls.items()}
    return f"{base}/unused"
