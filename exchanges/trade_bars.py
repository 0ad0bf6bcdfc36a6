"""One-minute bars built by us from a venue's trades."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One execution on the tape."""

    price: float
    volume: float
    """Base units."""
    at_ms: int
    sequence: int
    """The venue's number of it, unique in its market."""
