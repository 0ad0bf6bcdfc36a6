"""Stimuli and instructions as JSON, for the journal: exact decimals, one kind a class, a version in each payload."""

from typing import Any

import msgspec

from core.errors import DataError, Defect
from core.execution import stimuli
from core.execution.stimuli import Instruction, Stimulus
from core.messages import CancelOrder, PlaceOrder, QueryOrder

VERSION = 1
"""Raise it when a field's meaning changes. Fields may be added, with a default, without raising it."""

STIMULI: tuple[type, ...] = (
    stimuli.Configured,
    stimuli.Restarted,
    stimuli.MinuteStarted,
    stimuli.BookSeen,
    stimuli.OrderWanted,
    stimuli.CancelWanted,
    stimuli.Beat,
    stimuli.PricesSeen,
    stimuli.HoldingsSeen,
    stimuli.BalancesAgreed,
    stimuli.Reconcile,
    stimuli.Placed,
    stimuli.PlaceRefused,
    stimuli.NotSent,
    stimuli.OutcomeUnclear,
    stimuli.Queried,
    stimuli.QueryFailed,
    stimuli.CancelDone,
    stimuli.CancelFailed,
    stimuli.FillSeen,
    stimuli.SnapshotSeen,
    stimuli.OpenSeen,
    stimuli.Reported,
    stimuli.Stopped,
    stimuli.Halted,
)
INSTRUCTIONS: tuple[type, ...] = (PlaceOrder, CancelOrder, QueryOrder)

_ENCODER = msgspec.json.Encoder(decimal_format="string")
_HEAD = msgspec.json.Decoder(tuple[int, msgspec.Raw])
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    kind.__name__: msgspec.json.Decoder(kind) for kind in STIMULI + INSTRUCTIONS
}


def encode(message: Stimulus | Instruction) -> tuple[str, bytes]:
    """(kind, payload) of one message. Raises ``Defect`` for a kind that ``decode`` would not know."""
    kind = type(message).__name__
    if kind not in _DECODERS:
        raise Defect(f"{kind} is not a stimulus or instruction that the journal knows")
    return kind, _ENCODER.encode((VERSION, message))


def decode(kind: str, payload: bytes) -> Stimulus | Instruction:
    """The message again, equal to what was encoded. Raises ``DataError`` naming kind and fault."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise DataError(f"journal entry of unknown kind {kind!r}; it was written by another version of this program")
    try:
        version, body = _HEAD.decode(payload)
        if version != VERSION:
            raise DataError(f"journal entry {kind} has version {version}; this program reads version {VERSION}")
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"journal entry {kind} cannot be read: {error}") from error
