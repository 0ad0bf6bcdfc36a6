"""Risk as an actor: the limits, with a state that survives restarts."""

import json
import time
from dataclasses import replace
from typing import Any

import ray

from actors.plan import NAMESPACE, RunPlan
from actors.shell import Shell
from config.changes import keep_change
from config.watch import TradeWatch
from core.coin_split import split_rules
from core.cost_gate import cost_gate
from core.messages import Intents, Market, Verdicts
from core.risk import Risk, RiskState
from core.starting_cap import LiveDay
from core.units import Instrument, MarketRules
from core.warmup import load_risk
from data.artifacts import ArtifactStore
from data.impact_law import read_law
from data.journal import SqliteJournal
from data.starting_caps import CapKeeper

STATE, SELDOM = "risk_state", ("guards", "history")


class RiskActor(Shell):
    """Holds the limits. Its state is journalled before a verdict leaves, so a halt outlives this process."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "risk")
        self._journal = SqliteJournal(plan.run_dir / "risk.sqlite")
        # Only real money begins under a cap.
        self._caps = CapKeeper(plan.run_dir, plan.settings.config.live) if plan.mode == "live" else None
        self._risk: Risk | None = None
        self._watch = (
            TradeWatch(plan.config_source, plan.settings.config.trade) if plan.config_source is not None else None
        )
        self._kept: dict[str, str] = {}
        self._change: dict[str, Any] | None = None

    def start(self) -> None:
        """Take up the last state, with the venue's rules from the executor."""
        self.take_up(ray.get(ray.get_actor("executor", namespace=NAMESPACE).rules.remote(), timeout=60))

    def take_up(self, rules: dict[Instrument, MarketRules]) -> None:
        """Go on from the journal."""
        state, self._kept = taken_up(self._journal.replay())
        settings = self.plan.settings
        load_risk(settings.config.trade, settings.rules.risk, rules)
        law = read_law(ArtifactStore(self.plan.artifacts_dir), self.plan.impact_version)
        self._risk = Risk(
            settings.config.trade,
            settings.rules.risk,
            rules,
            state,
            self._caps.cap if self._caps is not None else None,
            gate=cost_gate(settings.rules.execution, settings.rules.costs, law),
            split=split_rules(settings.rules.execution, settings.rules.costs, law),
            stale_minutes=settings.rules.events.stale_minutes,
        )

    def review(self, market: Market, intents: Intents) -> Verdicts:
        began = time.perf_counter()
        assert self._risk is not None, "start() comes first"
        with self.minute(market.minute, market.trace):
            change = self._watch.look() if self._watch is not None else None
            if change is not None:
                self.log.warning("settings: %s", "; ".join(change.lines))
                self._risk.set_trade(change.trade)
                if change.trade != self.plan.settings.config.trade:
                    keep_change(self.plan.run_dir, change.trade, market.minute)
                self._change = {"minute": market.minute, "lines": list(change.lines), "refused": change.refused}
            verdicts = self._risk.review(market, intents)
            self._keep()
            told = change.lines if change is not None else ()
            return replace(verdicts, settings=told, took_ms=(time.perf_counter() - began) * 1000)

    def halt(self, by: str, reason: str, at_ms: int) -> None:
        """Buy nothing until a person resumes; exits and cancels pass."""
        assert self._risk is not None, "start() comes first"
        self._risk.halt(by, reason, at_ms)
        self._keep()

    def resume(self, by: str, at_ms: int) -> str:
        """Trade again; gives the state that it was in."""
        assert self._risk is not None, "start() comes first"
        before = str(self._risk.state.state)
        self._risk.resume(by, at_ms)
        self._keep()
        return before

    def day_over(self, seen: LiveDay) -> str:
        """Let a finished day of live trading move the starting cap; gives where it stands then, in words."""
        assert self._risk is not None, "start() comes first"
        self._risk.day_over(seen)
        self._keep()
        return self._cap_words()

    def health(self) -> dict:
        told = super().health() | ({"starting_cap": self._cap_words()} if self._caps is not None else {})
        told |= {"settings": self._change} if self._change is not None else {}
        return told | ({"trading": self._risk.state.words()} if self._risk is not None else {})

    def _cap_words(self) -> str:
        trade = self._risk.trade if self._risk is not None else self.plan.settings.config.trade
        return "" if self._caps is None else self._caps.cap.words(trade.invest_pct)

    def _keep(self) -> None:
        assert self._risk is not None
        if self._caps is not None and self._risk.cap is not None:
            self._caps.keep(self._risk.cap)
        kept = in_parts(self._risk.state)
        changed = [(kind, text.encode()) for kind, text in kept.items() if text != self._kept.get(kind)]
        if changed:
            self._journal.append(changed)
            self._kept = kept


def in_parts(state: RiskState) -> dict[str, str]:
    """The state as journal entries by kind. What seldom changes is not written again with every minute."""
    told = state.to_json()
    parts = {f"risk_{name}": {name: told.pop(name)} for name in SELDOM}
    return {kind: json.dumps(part, sort_keys=True) for kind, part in {STATE: told, **parts}.items()}


def taken_up(entries: list[tuple[str, bytes]]) -> tuple[RiskState, dict[str, str]]:
    """(the state that the newest entries tell of, those entries by kind). Raises DataError."""
    kept = {kind: text.decode() for kind, text in entries}
    if STATE not in kept:
        return RiskState(), {}
    told: dict[str, Any] = {}
    for text in kept.values():
        told |= json.loads(text)
    return RiskState.from_json(told), kept
