"""When the venues' rules are asked for again: a venue changes its grid and its minimum while a bot runs.

Nobody tells of it but the refusal of an order that keeps the old rules, and with those every exit would be refused too.
So a refusal makes the executor ask before the next minute is decided, as does a market that was not traded when it
was last asked about; what the venues say then holds for risk, which sizes, and for the machine, which cuts.
"""

from collections.abc import Mapping
from dataclasses import replace

from core.execution.stimuli import Configured, PlaceRefused, Stimulus
from core.units import Instrument, MarketRules

TRADING, UNLISTED = "TRADING", "UNLISTED"


class RulesWatch:
    """Remembers whether the rules may have changed, and whether they have."""

    def __init__(self) -> None:
        self._refused = False
        self._changed = False

    def hear(self, stimulus: Stimulus) -> None:
        """Take in what a venue answered to an order."""
        if isinstance(stimulus, PlaceRefused) and not stimulus.would_take:
            self._refused = True

    def due(self, config: Configured) -> bool:
        """Whether the venues should be asked for their rules now."""
        return self._refused or any(rule.status != TRADING for rule in config.rules)

    def take(self, config: Configured, rules: Mapping[Instrument, MarketRules]) -> Configured | None:
        """The stimulus that puts what the venues said in force; None when it is what is in force.

        A market that they do not tell of any more keeps its rules, and is not traded.
        """
        self._refused = False
        told = (rules.get(rule.instrument) or replace(rule, status=UNLISTED) for rule in config.rules)
        new = replace(config, rules=tuple(told))
        if new == config:
            return None
        self._changed = True
        return new

    def restarted(self) -> None:
        """The rules were read anew by a new process: whoever had the old ones is to be told."""
        self._changed = True

    def stated(self, config: Configured) -> tuple[MarketRules, ...]:
        """What goes with each account state: empty while the rules are those of the start."""
        return config.rules if self._changed else ()
