"""The first run of the engine on a machine: what it compiles, compiled by two processes side by side.

numba compiles in one thread. The other process begins with what the loop calls last, orders and their fills, and leaves
it on disk: the loop finds it there when it comes so far. Then it compiles what is not the loop's: what makes a market
ready (spreads, liquidity, regimes) and a result's members and tables. A result's costs are left to the first, so that both
are done at about the same time.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np

from config.load import ROOT, load_settings
from config.numba_cache import VARIABLE
from core.engine.loop import advance, carry_out, log_orders
from core.engine.tables import FILL_INTS, ORDER_FLOATS, ORDER_INTS
from core.lean import bound
from core.linked import await_kernel
from core.units import MINUTE_MS, Instrument
from data.market import MarketCut

LOOP = "loop.advance-*.nbi"
"""What numba leaves of the loop on disk."""
MINUTES = 3_000
COMMAND = (sys.executable, "-m", "tune.compiling")
WAIT_S = 180.0
"""The other process is given up then."""
ELSEWHERE = (log_orders, carry_out)
"""What of the loop the other process compiles: it is done with that when this one has compiled what comes before."""
READY = "ready"
"""It says so then."""


def is_compiled() -> bool:
    """Whether this process, or an earlier one, has compiled the loop; True also where nothing is kept on disk."""
    folder = os.environ.get(VARIABLE)
    return is_loaded() or not folder or any(Path(folder).rglob(LOOP))


def is_loaded() -> bool:
    """Whether this process has the loop ready to run."""
    # Not compiled at all (NUMBA_DISABLE_JIT), it has no signatures.
    return bool(getattr(advance, "nopython_signatures", True))


def compile_side_by_side(compile_loop: Callable[[], None]) -> None:
    """Call ``compile_loop`` while another process compiles the rest. If that one fails, whoever needs it compiles it."""
    with subprocess.Popen(  # noqa: S603
        COMMAND, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as other:
        said = other.stdout
        assert said is not None

        @cache
        def wait() -> None:
            for line in said:  # to its end where the other process fails
                if line.strip() == READY:
                    return

        patience = Timer(WAIT_S, other.kill)
        patience.start()
        try:
            for kernel in ELSEWHERE:
                await_kernel(kernel, wait)
            compile_loop()
            for _ in said:
                pass
            other.wait()
        finally:
            patience.cancel()
            for kernel in ELSEWHERE:
                await_kernel(kernel, None)
            if other.poll() is None:
                other.kill()


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


def compile_orders(run: Any) -> None:
    """Compile ``ELSEWHERE`` for the arguments that the loop has for it in ``run`` (``tune.simulate.idle_run``)."""
    market, account = (run.tape, run.grids, run.account_rules), (run.account, run.scratch)
    bound(log_orders, run.scratch, run.logs, 0, 0, 0, 0, 0.0, True)
    bound(carry_out, *market, *account, run.logs, 0, 0, 0, 0, 0, True, 0.0)


def compile_result(simulate: Any, results: Any, ready: Any) -> None:
    """Make what only a result with members, and its tables, need, of one minute that was not run: an order of nothing,
    and no fill."""
    nothing = np.zeros((1, 1, MINUTES))
    forecasts = simulate.Forecasts(members=("none",), versions=("",), mean_bps=nothing, stdev_bps=nothing)
    run = simulate._Run(load_settings(environ={}), ready.market, forecasts, None, [], Decimal(1), "", False, ready)
    orders, floats, shares, fills = run.noted
    orders.add(np.array([[run.first, 0, 1, *[0] * (len(ORDER_INTS) - 3)]]))
    floats.add(np.ones((1, len(ORDER_FLOATS))))
    shares.add(np.ones((1, 1)))
    fills.add(np.zeros((0, len(FILL_INTS)), np.int64))
    run.done = 1
    found = run._found()
    results.contribution_of(found, 0, 0.0)
    results.orders_of(found), results.fills_of(found)


def main() -> int:
    """Compile the loop's part of this process, and everything that is not the loop's."""
    # Those import this module.
    prepared, simulate, results = map(import_module, ("tune.prepared", "tune.simulate", "tune.simulated_result"))
    compile_orders(simulate.idle_run())
    print(READY, flush=True)
    settings = load_settings(environ={})
    ready = prepared.prepare(settings, small_market())
    simulate.readings(settings, ready.tape.seen, MINUTES - 1, MINUTES)
    compile_result(simulate, results, ready)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
