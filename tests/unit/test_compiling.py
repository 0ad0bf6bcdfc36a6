"""The engine's first compilation: what the one process compiles for no minute is what every run then calls, and what the
other process compiles of the loop is what the loop asks for."""

import os
import pickle
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from config.load import load_settings
from config.numba_cache import VARIABLE
from core.engine.loop import advance, carry_out
from tune import compiling
from tune.compiling import ELSEWHERE, MINUTES, READY, compile_orders, compile_side_by_side, is_compiled, small_market
from tune.simulate import _compile_loop, idle_run, simulate_targets


def test_a_run_calls_the_loop_as_it_was_compiled_for_no_minute():
    _compile_loop()
    market = small_market()
    simulate_targets(load_settings(environ={}), market, np.full((MINUTES, 1), 0.05), cash=Decimal(1_000))
    assert len(advance.nopython_signatures) == 1
    assert is_compiled()


def test_the_other_process_compiles_what_the_loop_calls():
    _compile_loop()
    compile_orders(idle_run())
    for kernel in ELSEWHERE:
        name = kernel.py_func.__qualname__
        # Both have left what they compiled on disk: were the types not the same, it would be there twice.
        (index,) = Path(os.environ[VARIABLE]).rglob(f"{kernel.py_func.__module__.rsplit('.', 1)[-1]}.{name}-*.nbi")
        with index.open("rb") as file:
            pickle.load(file)
            _, kept = pickle.load(file)
        assert len(kept) == 1, name


def test_the_loop_waits_until_the_other_process_is_ready(monkeypatch: pytest.MonkeyPatch):
    told = f"import time; time.sleep(0.3); print('{READY}', flush=True); time.sleep(0.3)"
    monkeypatch.setattr(compiling, "COMMAND", (sys.executable, "-c", told))
    waits = []
    compile_side_by_side(lambda: waits.extend(kernel._cache.awaited() for kernel in ELSEWHERE))
    assert waits == [None] * len(ELSEWHERE)
    assert carry_out._cache.awaited is None


@pytest.mark.parametrize("told", ["raise SystemExit(1)", "import time; time.sleep(600)"])
def test_the_loop_does_not_wait_for_a_process_that_fails(monkeypatch: pytest.MonkeyPatch, told: str):
    monkeypatch.setattr(compiling, "COMMAND", (sys.executable, "-c", told))
    monkeypatch.setattr(compiling, "WAIT_S", 0.5)
    called = []
    compile_side_by_side(lambda: called.append(carry_out._cache.awaited()))
    assert called == [None]
    assert carry_out._cache.awaited is None
