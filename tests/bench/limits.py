"""What a turn at the shared limits costs: microseconds of CPU, alone and with a line of waiters."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from config.argument_types import whole
from exchanges.limits.gate import Gate
from exchanges.limits.priority import Priority
from exchanges.limits.store import FileStore, MemoryStore
from exchanges.limits.tables import binance_costs, binance_line
from tests.support.table import table

NAME = "limits"
WALL = 1_772_000_000_000
STATED = {"X-MBX-USED-WEIGHT-1M": "5"}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench limits")
    parser.add_argument("--turns", type=whole(1), default=3_000)
    turns = parser.parse_args(argv).turns
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, waiters in (("this process alone", 0), ("shared file", 0), ("shared file", 50)):
            path = Path(folder) / f"{name}-{waiters}.bin"
            store = MemoryStore(binance_line()) if "alone" in name else FileStore(path, binance_line, lambda: WALL)
            rows.append((name, waiters, *asyncio.run(_turns(store, turns, waiters))))
    print(table(("kept in", "waiters", "CPU us a turn", "p99 us"), rows))
    return 0


async def _turns(store: MemoryStore | FileStore, turns: int, waiters: int) -> tuple[float, float]:
    gate = Gate("binance", store)
    gate.learn({"weight": 10_000_000, "orders": 10_000_000, "orders-day": 10_000_000})
    for _ in range(waiters):
        gate.look(lambda line, now: line.enter(now + 3_600_000, 1, Priority.HISTORY, binance_costs(2)))
    took = []
    began = time.process_time()
    for _ in range(turns):
        one = time.perf_counter()
        async with gate.turn(binance_costs(1, orders=1), Priority.EXIT, 1_000, "bench") as turn:
            turn.heard(STATED)
        took.append((time.perf_counter() - one) * 1e6)
    spent = (time.process_time() - began) / turns * 1e6
    return spent, sorted(took)[int(turns * 0.99)]
