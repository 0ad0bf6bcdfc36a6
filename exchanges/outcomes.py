"""What an answer to a request means for the order it was about, as a table: the first row that fits decides.

The venue's own code or name comes first, then the HTTP status; never a vendor library's class, for those differ between
the real host and a simulator's and call some answers retryable after which an order exists. Codes and texts:
binance-spot-api-docs (errors.md, rest-api.md: HTTP return codes, cancel-replace); docs.upbit.com (REST guide, rate
limits, New Order on ``identifier``).
"""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of a request that changes something."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """The venue understood and said no: no order, and the same request would be refused again."""
    NOTHING = "nothing happened"
    """Turned away before anything was looked at: no order, and it may be asked again later."""
    UNKNOWN = "unknown"
    """The order may exist: ask by client id."""
    STANDS = "used before"
    """This very name was used before: that request's order may exist, this one's does not. Ask by client id."""
    HALF = "half done"
    """One of two steps took effect (cancel and replace). Ask about both."""


OPEN_ENDED = frozenset({Outcome.UNKNOWN, Outcome.STANDS, Outcome.HALF})
"""Outcomes after which an order may exist, and nothing may be sent before the venue was asked."""

NO_CODE = "-"
"""Matches an answer without a code: HTML, plain text, an empty body."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: conditions that must all hold (an empty one always does), and what it means."""

    outcome: Outcome
    why: str
    codes: frozenset[str] = frozenset()
    low: int = 0
    high: int = 999
    """HTTP statuses, both ends included."""
    says: str = ""
    """Part of the venue's code or text, lower case."""

    def fits(self, status: int, code: str, text: str) -> bool:
        if self.codes and (code or NO_CODE) not in self.codes:
            return False
        return self.low <= status <= self.high and self.says in f"{code} {text}".lower()


def _row(outcome: Outcome, why: str, *codes: str, at: int | tuple[int, int] = (0, 999), says: str = "") -> Row:
    low, high = (at, at) if isinstance(at, int) else at
    return Row(outcome, why, frozenset(codes), low, high, says)


O = Outcome  # noqa: E741 - the tables read better so

BINANCE: tuple[Row, ...] = (
    _row(O.NOTHING, "too much weight, too many orders, clock out of window, too many connections", "-1003", "-1015", "-1021", "-1034"),
    _row(O.NOTHING, "the firewall", at=403),
    _row(O.NOTHING, "rate limit, ban", at=418),
    _row(O.NOTHING, "rate limit", at=429),
    _row(O.HALF, "cancel-replace: one of the two took effect", "-2021"),
    _row(O.REFUSED, "cancel-replace: neither took effect", "-2022"),
    _row(O.UNKNOWN, "internal error, timeout, overload, shutting down: the venue itself does not say", "-1000", "-1001", "-1004", "-1006", "-1007", "-1008", "-1016"),
    _row(O.UNKNOWN, "timeout", at=408),
    _row(O.UNKNOWN, "the venue's side broke", at=(500, 999)),
    _row(O.STANDS, "an order with this client id is open", "-2010", says="duplicate order"),
    _row(O.UNKNOWN, "a conflict that names nothing", NO_CODE, at=409),
    _row(O.ACCEPTED, "", NO_CODE, at=(200, 299)),
    _row(O.UNKNOWN, "a redirect or a status without words", NO_CODE, at=(0, 399)),
    _row(O.REFUSED, "filters, balance, post-only, key, parameters"),
)  # fmt: skip

UPBIT: tuple[Row, ...] = (
    _row(O.NOTHING, "rate limit", "too_many_requests", "too_many_request"),
    _row(O.NOTHING, "block", at=418),
    _row(O.NOTHING, "rate limit", at=429),
    _row(O.STANDS, "our nonces are used once: this very request was read before, under a connection that broke", "nonce_used"),
    _row(O.STANDS, "the same, its words cut short: a key that is wrong is told so by the next whole answer", NO_CODE, at=401),
    _row(O.STANDS, "an identifier is used up by the first request that names it", at=(400, 499), says="identifier"),
    _row(O.NOTHING, "the firewall", NO_CODE, at=403),
    _row(O.UNKNOWN, "timeout", at=408),
    _row(O.UNKNOWN, "the venue's side broke, with a JSON body or without", at=(500, 999)),
    _row(O.UNKNOWN, "a conflict that names nothing", NO_CODE, at=409),
    _row(O.ACCEPTED, "", NO_CODE, at=(200, 299)),
    _row(O.UNKNOWN, "a redirect or a status without words", NO_CODE, at=(0, 399)),
    _row(O.REFUSED, "minimum, funds, price step, key, parameters"),
)  # fmt: skip

TABLES: dict[str, tuple[Row, ...]] = {"binance": BINANCE, "upbit": UPBIT}

WITHOUT_ANSWER: dict[str, Outcome] = {
    "no connection was made": Outcome.NOTHING,
    "the connection broke after sending": Outcome.UNKNOWN,
    "no answer in time": Outcome.UNKNOWN,
    "an answer that cannot be read": Outcome.UNKNOWN,
}
"""The same where nothing came that could be looked up: also HTTP 200 with JSON that is cut, empty or of another shape."""


def read(venue: str, status: int, code: str = "", text: str = "") -> Row:
    """The row that fits an answer. ``code``: the venue's number or name, empty when the body had none."""
    return next(row for row in TABLES[venue] if row.fits(status, code, text))
