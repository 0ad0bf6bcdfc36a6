"""The selector as an actor: which models speak, with which weight, and what they want to hold."""

import time
from dataclasses import replace

from actors.plan import RunPlan
from actors.shell import Shell
from core.messages import Detected, Intents, Market, Votes
from core.selection import Selector, WeightTable
from core.warmup import load_selector
from data.artifacts import ArtifactStore
from data.weights import read_weights


def load_weights(plan: RunPlan) -> WeightTable:
    """The tuned table the plan names, else the default weights of trading_rules.json (equal when those are empty)."""
    if plan.weights_version is not None:
        return read_weights(ArtifactStore(plan.artifacts_dir), plan.weights_version)
    return WeightTable.default(plan.member_names, plan.settings.rules.selection.default_weights)


class SelectorActor(Shell):
    """Holds the selector and its weights."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "selector")
        rules = plan.settings.rules
        self._selector = Selector(rules.selection, load_weights(plan), plan.member_names, coins=rules.execution.split)

    def start(self) -> None:
        """Load the compiled rules before the first minute needs them."""
        load_selector(self._selector, self.plan.settings.config.trade.rows, self.plan.member_names)

    def choose(self, market: Market, events: Detected, votes: Votes) -> Intents:
        began = time.perf_counter()
        with self.minute(market.minute, market.trace):
            intents = self._selector.choose(market, events, votes)
            return replace(intents, took_ms=(time.perf_counter() - began) * 1000)

    def set_weights(self, table: WeightTable) -> None:
        """Use ``table`` from the next minute on."""
        self._selector.set_weights(table)
