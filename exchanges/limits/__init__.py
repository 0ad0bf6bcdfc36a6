"""A venue's limits, shared by everyone on this machine. The names most callers need; the modules hold the rest."""

from exchanges.limits.gate import Gate, Turn
from exchanges.limits.priority import CEILING, Priority

__all__ = ["CEILING", "Gate", "Priority", "Turn"]
