"""A flat market to try a part on before the first minute, so that compiled rules are loaded when it comes."""

import numpy as np

from core.features import N_FEATURES, SEQUENCE, WINDOW
from core.messages import AccountState, Intents, Market, Regime
from core.units import Instrument


def flat_market(instruments: tuple[Instrument, ...]) -> Market:
    """Nothing held, nothing moving, every price 1; not fresh, so nothing can be bought on it."""
    rows = len(instruments)
    bars = np.ones((rows, WINDOW, 5))
    return Market(
        minute=0,
        now_ms=60_000,
        trace="warm-up",
        instruments=instruments,
        bars=bars,
        filler=np.zeros((rows, WINDOW), dtype=np.bool_),
        features=np.zeros((rows, SEQUENCE, N_FEATURES)),
        bid=np.ones(rows),
        ask=np.ones(rows),
        fresh=np.zeros(rows, dtype=np.bool_),
        account=AccountState(at_ms=0, balances=()),
        equity=1.0,
        cash=np.zeros(rows),
        position=np.zeros(rows),
        quote_rate=np.ones(rows),
    )


def no_intents(rows: int) -> Intents:
    """No opinion about anything."""
    nothing = np.full(rows, np.nan)
    return Intents(
        minute=0,
        trace="warm-up",
        regime=Regime.CALM,
        weights=(),
        weights_version="",
        edge_bps=nothing,
        spread_bps=nothing,
        target=nothing,
    )
