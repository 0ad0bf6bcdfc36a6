"""How our clock, our key and our books stand with a venue."""

from dataclasses import dataclass

NOT_READ = "account not read"
NOT_STATED = "did not state its account"
OUTCOME_UNKNOWN = "outcome unknown"
FILLS_MISSING = "fills missing"


def is_difference(text: str) -> bool:
    """Whether what ``AccountState.difference`` says is a contradiction, and not merely an answer that is still to come."""
    if not text or text.startswith(NOT_READ):
        return False
    waiting = (NOT_STATED, OUTCOME_UNKNOWN, FILLS_MISSING)
    return any(not any(words in part for words in waiting) for part in text.split("; "))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """How the venue's clock stands to ours."""

    offset_ms: float
    """Venue minus ours."""
    round_trip_ms: float
    within: bool
    """The offset is within ``max_clock_offset_ms``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRights:
    """Whose key it is and what it may do. None: the venue would not say."""

    account: str
    """The venue's number of the account; empty where it gives none."""
    can_trade: bool
    """The account may trade, and (where the venue says so) the key may trade spot."""
    can_withdraw: bool | None
    ip_bound: bool | None
    expires_ms: int | None = None
    """When the key ends, epoch ms; None where it does not, or the venue does not say."""
