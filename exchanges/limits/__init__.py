"""A venue's request budget. The names most callers need; the modules hold the rest."""

from exchanges.limits.ledger import BAN_S, Ledger
from exchanges.limits.priority import CEILING, Priority

__all__ = ["BAN_S", "CEILING", "Ledger", "Priority"]
