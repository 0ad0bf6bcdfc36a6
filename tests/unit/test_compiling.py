"""The engine's first compilation: what the one process compiles for no minute is what every run then calls."""

from decimal import Decimal

import numpy as np

from config.load import load_settings
from core.engine.loop import advance
from tune.compiling import MINUTES, is_compiled, small_market
from tune.simulate import _compile_loop, simulate_targets


def test_a_run_calls_the_loop_as_it_was_compiled_for_no_minute():
    _compile_loop()
    market = small_market()
    simulate_targets(load_settings(environ={}), market, np.full((MINUTES, 1), 0.05), cash=Decimal(1_000))
    assert len(advance.nopython_signatures) == 1
    assert is_compiled()
