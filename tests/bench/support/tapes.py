"""A made-up market of any names for the simulator: the one it has built in holds a few real ones only."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.units import MINUTE_MS
from exchanges.sim_command import WARM_UP_MINUTES, wall_ms
from exchanges.simulated.upbit.walk import krw_walk_tape
from exchanges.simulated.walk import random_walk_tape


@contextlib.contextmanager
def taped(venue: str, symbols: Sequence[str], minutes: int) -> Iterator[list[str]]:
    """Arguments of ``run.py sim`` that play so many minutes of these markets from now on, with a past before them."""
    start = wall_ms() // MINUTE_MS * MINUTE_MS
    walk = krw_walk_tape if venue == "upbit" else random_walk_tape
    with tempfile.TemporaryDirectory(prefix="minutehand-") as folder:
        path = Path(folder) / "market.npz"
        walk(tuple(symbols), start - WARM_UP_MINUTES * MINUTE_MS, WARM_UP_MINUTES + minutes).save(path)
        yield ["--tape", str(path), "--start", str(start)]
