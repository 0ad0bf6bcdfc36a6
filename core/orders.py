"""The life of one order as a table, and the names our orders carry at a venue.

Rules of this table: (1) it holds every transition there is; what is not in it is a ``Defect``. (2) The venue's
word wins over ours: an order we had given up may still surface. (3) News may come late or twice: an ended order
shrugs off old news, and a fill that arrives after the end changes the amount, not the end.
"""

import hashlib
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from core.errors import Defect
from core.messages import OrderState
from core.units import MINUTE_MS

PREFIX = "mh"
"""First part of every client id; only orders with it and our instance are ever touched."""
REPLAY_INSTANCE = "replay"
"""Instance of backtests and replays alike, so that their orders, and what their names decide, compare."""
MAX_ID = 36
"""Longest client id that every supported venue takes (Binance ``newClientOrderId``)."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_INSTANCE = re.compile(r"[a-z0-9]{1,6}")
_STRATEGY = re.compile(r"[a-z0-9]{1,4}")
_PLAIN_SYMBOL = re.compile(r"[A-Za-z0-9]{1,12}")
_ID = re.compile(PREFIX + r"-([a-z0-9]{1,6})-([a-z0-9]{1,4})-([0-9a-z]{5,6})-([A-Za-z0-9]{1,12})-([0-9a-z]{1,2})")


class OrderEvent(StrEnum):
    """What may happen to an order."""

    SEND = "send"
    """The place request is about to leave."""
    DROP = "drop"
    """It is certain that nothing reached the venue."""
    REFUSE = "refuse"
    """The venue said no."""
    LOSE = "lose"
    """Nobody knows whether the venue has it."""
    ABSENT = "absent"
    """Asked twice, the venue has no such order."""
    OPEN = "open"
    """The venue says it rests, nothing filled."""
    FILL_PART = "fill part"
    FILL_ALL = "fill all"
    ASK_CANCEL = "ask cancel"
    """The cancel request is about to leave."""
    CANCEL = "cancel"
    """The venue says it is cancelled."""
    EXPIRE = "expire"
    """The venue ended it (an IOC's rest, a rule of the venue)."""


S, E = OrderState, OrderEvent

TABLE: dict[OrderState, dict[OrderEvent, OrderState]] = {
    S.PLANNED: {E.SEND: S.SENT, E.DROP: S.REJECTED},
    S.SENT: {
        E.DROP: S.REJECTED,
        E.REFUSE: S.REJECTED,
        E.LOSE: S.UNKNOWN,
        E.OPEN: S.OPEN,
        E.FILL_PART: S.PARTIAL,
        E.FILL_ALL: S.FILLED,
        E.CANCEL: S.CANCELLED,
        E.EXPIRE: S.EXPIRED,
    },
    S.UNKNOWN: {
        E.LOSE: S.UNKNOWN,
        E.ABSENT: S.REJECTED,
        E.REFUSE: S.REJECTED,
        E.OPEN: S.OPEN,
        E.FILL_PART: S.PARTIAL,
        E.FILL_ALL: S.FILLED,
        E.CANCEL: S.CANCELLED,
        E.EXPIRE: S.EXPIRED,
    },
    S.OPEN: {
        E.LOSE: S.OPEN,
        E.OPEN: S.OPEN,
        E.FILL_PART: S.PARTIAL,
        E.FILL_ALL: S.FILLED,
        E.ASK_CANCEL: S.CANCELLING,
        E.CANCEL: S.CANCELLED,
        E.EXPIRE: S.EXPIRED,
    },
    S.PARTIAL: {
        E.LOSE: S.PARTIAL,
        E.OPEN: S.PARTIAL,
        E.FILL_PART: S.PARTIAL,
        E.FILL_ALL: S.FILLED,
        E.ASK_CANCEL: S.CANCELLING,
        E.CANCEL: S.CANCELLED,
        E.EXPIRE: S.EXPIRED,
    },
    S.CANCELLING: {
        E.LOSE: S.CANCELLING,
        E.OPEN: S.CANCELLING,
        E.FILL_PART: S.CANCELLING,
        E.FILL_ALL: S.FILLED,
        E.ASK_CANCEL: S.CANCELLING,
        E.CANCEL: S.CANCELLED,
        E.EXPIRE: S.EXPIRED,
    },
    S.FILLED: {E.LOSE: S.FILLED, E.OPEN: S.FILLED, E.FILL_PART: S.FILLED, E.FILL_ALL: S.FILLED},
    S.CANCELLED: {
        E.LOSE: S.CANCELLED,
        E.OPEN: S.CANCELLED,
        E.FILL_PART: S.CANCELLED,
        E.FILL_ALL: S.FILLED,
        E.CANCEL: S.CANCELLED,
        E.EXPIRE: S.CANCELLED,
    },
    S.EXPIRED: {
        E.LOSE: S.EXPIRED,
        E.OPEN: S.EXPIRED,
        E.FILL_PART: S.EXPIRED,
        E.FILL_ALL: S.FILLED,
        E.CANCEL: S.EXPIRED,
        E.EXPIRE: S.EXPIRED,
    },
    S.REJECTED: {
        E.REFUSE: S.REJECTED,
        E.ABSENT: S.REJECTED,
        E.OPEN: S.OPEN,
        E.FILL_PART: S.PARTIAL,
        E.FILL_ALL: S.FILLED,
        E.CANCEL: S.CANCELLED,
        E.EXPIRE: S.EXPIRED,
    },
}

TERMINAL = frozenset({S.FILLED, S.CANCELLED, S.EXPIRED, S.REJECTED})
"""Nothing more is owed to such an order (though late fills are still counted)."""
LIVE = frozenset({S.SENT, S.UNKNOWN, S.OPEN, S.PARTIAL, S.CANCELLING})
"""The venue may have, or is known to have, this order working."""
SAID: dict[OrderState, OrderEvent] = {
    S.OPEN: E.OPEN,
    S.PARTIAL: E.FILL_PART,
    S.FILLED: E.FILL_ALL,
    S.CANCELLED: E.CANCEL,
    S.EXPIRED: E.EXPIRE,
    S.REJECTED: E.REFUSE,
}
"""The event that a venue's statement of a state amounts to."""


def advance(state: OrderState, event: OrderEvent) -> OrderState:
    """The state after ``event``. Raises ``Defect`` naming both when the table has no such step."""
    after = TABLE[state].get(event)
    if after is None:
        raise Defect(f"an order in state {state.value!r} cannot take the event {event.value!r}")
    return after


def diagram() -> str:
    """The table as a Mermaid state diagram (self-loops left out), for docs/architecture.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {S.PLANNED.value}"
    for state, row in TABLE.items():
        labels: dict[OrderState, list[str]] = {}
        for event, after in row.items():
            if after is not state:
                labels.setdefault(after, []).append(event.value)
        for after, events in labels.items():
            yield f"    {state.value} --> {after.value}: {', '.join(events)}"
    for state in TABLE:
        if state in TERMINAL:
            yield f"    {state.value} --> [*]"


class IdParts(NamedTuple):
    """What a client id of ours says."""

    instance: str
    strategy: str
    minute: int
    """Open time of the bar that was decided upon, epoch ms."""
    code: str
    """``symbol_code`` of the symbol."""
    slice: int


def client_id(instance: str, strategy: str, minute: int, symbol: str, slice_index: int) -> str:
    """The name of one order: equal arguments, equal name, in every process and after every restart.

    At most 36 characters of ``[a-zA-Z0-9-]``. Raises ``Defect`` when a part does not fit.
    """
    if not _INSTANCE.fullmatch(instance):
        raise Defect(f"instance {instance!r} must be 1 to 6 of a-z0-9; instance_code() makes one of any text")
    if not _STRATEGY.fullmatch(strategy):
        raise Defect(f"strategy {strategy!r} must be 1 to 4 of a-z0-9")
    if minute % MINUTE_MS or minute < 0:
        raise Defect(f"minute {minute} is not the open time of a minute, epoch ms")
    if not 0 <= slice_index < 36**2:
        raise Defect(f"slice {slice_index} is not within 0..1295")
    when, which = _base36(minute // MINUTE_MS, 5), _base36(slice_index, 1)
    return f"{PREFIX}-{instance}-{strategy}-{when}-{symbol_code(symbol)}-{which}"


def parse_id(text: str) -> IdParts | None:
    """Read a client id, or None when it is not one of this project's."""
    match = _ID.fullmatch(text)
    if match is None:
        return None
    instance, strategy, minute, code, slice_index = match.groups()
    return IdParts(instance, strategy, int(minute, 36) * MINUTE_MS, code, int(slice_index, 36))


def is_ours(text: str, instance: str) -> bool:
    """Whether this very instance named the order. Anything else is never touched."""
    parts = parse_id(text)
    return parts is not None and parts.instance == instance


def symbol_code(symbol: str) -> str:
    """``BTC/USDT`` as ``BTCUSDT``; a long or odd symbol as its first letters and a digest, 12 characters at most."""
    plain = symbol.replace("/", "")
    if _PLAIN_SYMBOL.fullmatch(plain):
        return plain
    kept = "".join(c for c in plain if c.isascii() and c.isalnum())[:6]
    return kept + _digest(symbol, 6)


def instance_code(text: str) -> str:
    """An instance name that fits client ids: the text itself where it fits, else a digest of it."""
    return text if _INSTANCE.fullmatch(text) else _digest(text, 6)


def _digest(text: str, length: int) -> str:
    number = int.from_bytes(hashlib.blake2s(text.encode(), digest_size=8).digest(), "big")
    return _base36(number, length)[-length:]


def _base36(number: int, width: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits.rjust(width, "0")
