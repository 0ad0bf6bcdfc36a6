"""Risk as an actor: the limits, with a state that survives restarts."""

import json
import time
from dataclasses import replace

import ray

from actors.plan import NAMESPACE, RunPlan
from actors.shell import Shell
from core.cost_gate import cost_gate
from core.messages import Intents, Market, Verdicts
from core.risk import Risk, RiskState
from core.starting_cap import LiveDay
from core.warmup import load_risk
from data.journal import SqliteJournal
from data.starting_caps import CapKeeper


class RiskActor(Shell):
    """Holds the limits. Its state is journalled before a verdict leaves, so a halt outlives this process."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "risk")
        self._journal = SqliteJournal(plan.run_dir / "risk.sqlite")
        # Only real money begins under a cap.
        self._caps = CapKeeper(plan.run_dir, plan.settings.config.live) if plan.mode == "live" else None
        self._risk: Risk | None = None
        self._kept = ""

    def start(self) -> None:
        """Take up the last state, and the venue's rules from the executor."""
        rules = ray.get(ray.get_actor("executor", namespace=NAMESPACE).rules.remote(), timeout=60)
        entries = self._journal.replay()
        state = RiskState.from_json(json.loads(entries[-1][1])) if entries else RiskState()
        self._kept = json.dumps(state.to_json(), sort_keys=True)
        settings = self.plan.settings
        load_risk(settings.config.trade, settings.rules.risk, rules)
        self._risk = Risk(
            settings.config.trade,
            settings.rules.risk,
            rules,
            state,
            self._caps.cap if self._caps is not None else None,
            gate=cost_gate(settings.rules.execution, settings.rules.costs),
        )

    def review(self, market: Market, intents: Intents) -> Verdicts:
        began = time.perf_counter()
        assert self._risk is not None, "start() comes first"
        with self.minute(market.minute, market.trace):
            verdicts = self._risk.review(market, intents)
            self._keep()
            return replace(verdicts, took_ms=(time.perf_counter() - began) * 1000)

    def halt(self, by: str, reason: str, at_ms: int) -> None:
        """Stop everything but cancels, until a person resumes."""
        assert self._risk is not None, "start() comes first"
        self._risk.halt(by, reason, at_ms)
        self._keep()

    def resume(self, by: str, at_ms: int) -> None:
        assert self._risk is not None, "start() comes first"
        self._risk.resume(by, at_ms)
        self._keep()

    def day_over(self, seen: LiveDay) -> str:
        """Let a finished day of live trading move the starting cap; gives where it stands then, in words."""
        assert self._risk is not None, "start() comes first"
        self._risk.day_over(seen)
        self._keep()
        return self._cap_words()

    def health(self) -> dict:
        return super().health() | ({"starting_cap": self._cap_words()} if self._caps is not None else {})

    def _cap_words(self) -> str:
        return "" if self._caps is None else self._caps.cap.words(self.plan.settings.config.trade.invest_pct)

    def _keep(self) -> None:
        assert self._risk is not None
        if self._caps is not None and self._risk.cap is not None:
            self._caps.keep(self._risk.cap)
        text = json.dumps(self._risk.state.to_json(), sort_keys=True)
        if text != self._kept:
            self._journal.append([("risk_state", text.encode())])
            self._kept = text
