"""How our clock and our key stand with the venue: the core's words for it, under the name every venue has."""

from core.standing import ClockReading, KeyRights

__all__ = ["ClockReading", "KeyRights"]
