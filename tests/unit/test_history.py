"""What the search for weights reads of the market is what the live detector said of it, minute by minute."""

import numpy as np

from core.bars import fill_gaps
from core.events import REGIMES, VOLATILITY_SHOCK, Detector
from core.features import WINDOW
from core.messages import Regime
from core.params import EventSettings
from core.units import MINUTE_MS
from tests.support.markets import BTC, ETH, MINUTE, market, walk
from tune.history import readings


def test_regimes_and_shocks_are_the_detectors() -> None:
    bars, filler = fill_gaps(np.stack([walk(1_000, seed, gaps=0.03) for seed in (1, 2)]))
    bars[:, 700:740, :4] *= 1.03
    settings = EventSettings()
    regime, shock = readings(bars, filler, settings)
    assert (regime[: WINDOW - 1] == -1).all()
    assert not shock[:, : WINDOW - 1].any()
    assert shock.any()
    assert {REGIMES[r] for r in regime[WINDOW - 1 :]} >= {Regime.CALM, Regime.TURBULENT}
    detector = Detector(settings)
    for t in range(WINDOW - 1, 1_000):
        part = np.s_[:, t + 1 - WINDOW : t + 1]
        seen = market((BTC, ETH), mids=(1.0, 1.0), minute=MINUTE + t * MINUTE_MS, bars=bars[part], filler=filler[part])
        found = detector.detect(seen)
        assert REGIMES[regime[t]] is found.regime
        shocked = {event.instrument for event in found.events if event.kind == VOLATILITY_SHOCK}
        assert shock[:, t].tolist() == [BTC in shocked, ETH in shocked]
