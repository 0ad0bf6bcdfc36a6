"""What Upbit's own names of errors mean for us; all else is read by ``exchanges.faults``.

Names: docs.upbit.com, "REST API guide", and what users of its API met (state of 2026).
"""

from core.errors import BotError, ExchangeRefused, ExchangeUnavailable, OutcomeUnknown
from exchanges.faults import VenueFault, clean, translate
from exchanges.upbit.calls import Call
from exchanges.upbit.names import VENUE
from exchanges.upbit.standing import ADVICE

NOT_FOUND = "order_not_found"
OUT_OF_SCOPE = "out_of_scope"
NONCE_USED = "nonce_used"
"""Our nonces are never used twice, so the venue has read this very request before: the connection broke under its
first answer, and the library sent it again."""
TOO_MANY = frozenset({"too_many_requests", "too_many_request"})


def translated(error: Exception, call: Call) -> BotError:
    """Our error for a failed call."""
    where = f"{VENUE} {call.where}"
    if not isinstance(error, VenueFault):
        return translate(error, call.placing, where)
    text = f"{where}: {clean(error.text) or 'no reason given'} ({error.code or 'no name'}, HTTP {error.status})"
    if error.code in ADVICE:
        return ExchangeRefused(f"{text}; {ADVICE[error.code]}", code=error.code)
    if error.code in TOO_MANY:
        return ExchangeUnavailable(text, error.retry_after_s)
    if error.code == NONCE_USED:
        return OutcomeUnknown(f"{text}: it was read before") if call.placing else ExchangeUnavailable(text)
    if call.placing and 400 <= error.status < 500 and "identifier" in f"{error.code} {error.text}".lower():
        return OutcomeUnknown(f"{text}: the identifier was used before; what became of it must be asked")
    if error.status == 403 and error.code:
        return ExchangeRefused(text, code=error.code)
    return translate(error, call.placing, where)
