"""Reasons not to trade with real money, by name."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import EXIT_CONFIG, BotError

NAMES = (
    *("no_keys", "key_file_open", "key_file_wrong", "keys_refused", "key_expired", "withdraw_right", "cannot_trade"),
    *("wrong_account", "other_account", "account_in_use", "no_consent"),
    *("clock_off", "stale_lake", "models_missing", "models_other_features"),
    *("open_orders", "unreconciled", "unreconciled_orders", "records_ahead"),
    *("no_paper_run", "config_changed", "no_proven_edge"),
)
"""Of every reason there is."""
SETTINGS = frozenset(
    {
        *("no_keys", "key_file_open", "key_file_wrong", "keys_refused", "key_expired", "withdraw_right"),
        *("cannot_trade", "no_proven_edge"),
    }
)
"""What is wrong with the user's keys or rules, as with any other setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason not to trade."""

    name: str
    """Fixed word for scripts, one of ``NAMES``."""
    text: str
    """What is wrong, and what to do."""


class NotArmed(BotError):
    """Live trading was not started. ``names`` are those of the findings."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        lines = [f"[{f.name}] {f.text}" for f in findings]
        super().__init__("live trading was not started:\n  " + "\n  ".join(lines))
        self.names = tuple(f.name for f in findings)
        if SETTINGS.intersection(self.names):
            # Rules that were never shown to earn are wrong settings for real money, too.
            self.exit_code = EXIT_CONFIG
