"""Markets as the venue writes them, and the identifiers our orders carry there.

An identifier is unique in the account for ever, also after a request that failed (docs.upbit.com, "New Order"): where
an order is sent again under its client id, after an attempt that never became an order, it needs a new one. So the
identifier is the client id, and for every further attempt the client id with a mark at its end.
"""

import re
from collections.abc import Iterable

from core.errors import DataError
from core.near_symbols import near_symbol
from core.units import Instrument

VENUE = "upbit"

ATTEMPTS = 9
"""Most identifiers that one client id may use up."""

CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
"""Characters and length that we allow ourselves: the venue documents neither, and takes a UUID of 36."""

_MARKED = re.compile(r"(.+)_r([1-9])", re.DOTALL)
_CODE = re.compile(r"([A-Z0-9]{1,20})-([A-Z0-9]{1,20})")


def market_code(instrument: Instrument) -> str:
    """``BTC/KRW`` as the venue writes it: ``KRW-BTC``."""
    return f"{instrument.quote}-{instrument.base}"


def instrument_of(code: str) -> Instrument:
    """``KRW-BTC`` as an instrument; ``DataError`` for what is no market code."""
    match = _CODE.fullmatch(code)
    if match is None:
        raise DataError(f"{VENUE}: {code[:40]!r} is no market code")
    return Instrument(VENUE, f"{match[2]}/{match[1]}")


def near(instrument: Instrument, codes: Iterable[str]) -> str:
    """``; did you mean …?`` for a market the venue does not list; how many it lists when nothing is close."""
    names = [f"{base}/{quote}" for quote, _, base in (code.partition("-") for code in codes)]
    close = near_symbol(instrument.symbol, names)
    return f"; did you mean {close}?" if close else f"; it lists {len(names):,} others"


def identifier(client_id: str, attempt: int) -> str:
    """What attempt number ``attempt`` (from 0) of an order is called at the venue."""
    return client_id if attempt == 0 else f"{client_id}_r{attempt}"


def client_id_of(name: str) -> str:
    """The client id an identifier was made of."""
    match = _MARKED.fullmatch(name)
    return match[1] if match else name
