"""A process that takes turns at a shared file of limits: ``python -m tests.support.limits_worker FILE LOG SECONDS SEED``.

Upbit's group "order", requests of every urgency; each is written into LOG (one line: when it was handled, in s of the
machine's clock, urgency, how long it waited in ms) as a venue would see it; who gave up waiting leaves a line that says so.
"""

import asyncio
import os
import random
import sys
import time
from pathlib import Path

from core.errors import BotError
from exchanges.limits.gate import Gate
from exchanges.limits.priority import Priority
from exchanges.limits.store import FileStore
from exchanges.limits.tables import upbit_line

WALL = 1_772_000_000_000


async def hammer(path: Path, log: Path, seconds: float, seed: int) -> None:
    gate = Gate("upbit", FileStore(path, upbit_line, lambda: WALL))
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def one() -> None:
        while time.monotonic() < until:
            priority = chance.choice(list(Priority))
            asked = time.monotonic()
            try:
                async with gate.turn({"order": 1}, priority, patience_ms=3_000):
                    waited = (time.monotonic() - asked) * 1_000
                    await asyncio.sleep(chance.uniform(0, 0.08))
                    os.write(descriptor, f"{time.monotonic():.6f} {priority.name} {waited:.1f}\n".encode())
                    await asyncio.sleep(chance.uniform(0, 0.08))
            except BotError:
                os.write(descriptor, f"{time.monotonic():.6f} {priority.name} given_up\n".encode())

    await asyncio.gather(*(one() for _ in range(8)))


if __name__ == "__main__":
    asyncio.run(hammer(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
