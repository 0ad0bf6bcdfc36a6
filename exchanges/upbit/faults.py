"""Upbit's errors that lie with the key say what to do; all others are read from ``exchanges.outcomes``.

Names: docs.upbit.com, "REST API guide", and what users of its API met (state of 2026).
"""

from core.errors import BotError, ExchangeRefused
from exchanges.faults import VenueFault, clean, translate
from exchanges.upbit.calls import Call
from exchanges.upbit.names import VENUE
from exchanges.upbit.standing import ADVICE

NOT_FOUND = "order_not_found"
OUT_OF_SCOPE = "out_of_scope"


def translated(error: Exception, call: Call) -> BotError:
    """Our error for a failed call: advice where the key is at fault, else what the table of outcomes says."""
    where = f"{VENUE} {call.where}"
    if isinstance(error, VenueFault) and error.code in ADVICE:
        said = f"{clean(error.text) or 'no reason given'} ({error.code}, HTTP {error.status})"
        return ExchangeRefused(f"{where}: {said}; {ADVICE[error.code]}", code=error.code)
    return translate(error, call.placing, where)
