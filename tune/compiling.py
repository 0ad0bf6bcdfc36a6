"""The first run of the engine on a machine: what it compiles, compiled by two processes side by side.

numba compiles in one thread. The engine's loop is three quarters of it and cannot be divided; the rest (spreads,
liquidity, regimes: what makes a market ready) is compiled meanwhile by a process of its own, which leaves it on disk.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np

from config.load import ROOT, load_settings
from config.numba_cache import VARIABLE
from core.engine.loop import advance
from core.units import MINUTE_MS, Instrument
from data.market import MarketCut

LOOP = "loop.advance-*.nbi"
"""What numba leaves of the loop on disk."""
MINUTES = 3_000
WAIT_S = 120.0


def is_compiled() -> bool:
    """Whether this process, or an earlier one, has compiled the loop; True also where nothing is kept on disk."""
    folder = os.environ.get(VARIABLE)
    # Not compiled at all (NUMBA_DISABLE_JIT), it has no signatures.
    return bool(getattr(advance, "nopython_signatures", True)) or not folder or any(Path(folder).rglob(LOOP))


def compile_side_by_side(compile_loop: Callable[[], None]) -> None:
    """Call ``compile_loop`` while another process compiles the rest. If that one fails, whoever needs it compiles it."""
    command = [sys.executable, "-m", "tune.compiling"]
    other = subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        compile_loop()
        other.wait(WAIT_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if other.poll() is None:
            other.kill()
            other.wait()


def small_market() -> MarketCut:
    """Flat bars of two days: long enough for every kernel, and no market at all."""
    instruments = (Instrument("binance", "BTC/USDT"),)
    bars = np.full((1, MINUTES, 5), 100.0)
    return MarketCut(
        instruments=instruments,
        start_minute=0,
        first_minute=(MINUTES - 1) * MINUTE_MS,
        minutes=1,
        bars=bars,
        synthetic=True,
        sentiment=(),
    )


def main() -> int:
    """Make a market ready, and let its regimes be read: everything that is compiled but the loop."""
    # Those two import this module.
    prepared, simulate = import_module("tune.prepared"), import_module("tune.simulate")
    settings = load_settings(environ={})
    ready = prepared.prepare(settings, small_market())
    simulate.readings(settings, ready.tape.seen, MINUTES - 1, MINUTES)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
