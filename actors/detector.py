"""The detector as an actor: events and regime of each minute."""

import time
from dataclasses import replace

from actors.plan import RunPlan
from actors.shell import Shell
from core.events import Detector
from core.messages import Detected, Market
from core.warmup import load_detector


class DetectorActor(Shell):
    """Holds the detector; it keeps no state between minutes."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "detector")
        self._detector = Detector(plan.settings.rules.events)

    def start(self) -> None:
        """Load the compiled rules before the first minute needs them."""
        load_detector(self._detector, self.plan.settings.config.trade.rows)

    def detect(self, market: Market) -> Detected:
        began = time.perf_counter()
        with self.minute(market.minute, market.trace):
            return replace(self._detector.detect(market), took_ms=(time.perf_counter() - began) * 1000)
