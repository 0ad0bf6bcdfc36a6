"""Requests at a steady rate while versions are swapped, for the test of a few seconds and the benchmark of a minute.

Market time runs faster than the wall: a minute lasts ``minute_s``. Requests do not wait for each other, so a replica that
pauses shows as requests that take long, and one that loses a request as a request without an answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from core.units import MINUTE_MS
from serve.doorbell import Said
from tests.support.markets import MINUTE


@dataclass(slots=True)
class Heard:
    """What the requests got."""

    sent: int = 0
    dropped: list[str] = field(default_factory=list)
    versions: dict[int, set[str]] = field(default_factory=dict)
    """By minute."""
    took_ms: list[float] = field(default_factory=list)
    swaps: list[tuple[str, int]] = field(default_factory=list)
    """Version, and the minute it was promised from."""

    @property
    def mixed(self) -> int:
        """Minutes that heard more than one version."""
        return sum(len(versions) > 1 for versions in self.versions.values())


async def swapped_under_load(
    ask_once: Callable[[int], Awaitable[Said | None]],
    take: Callable[[str, int], Awaitable[tuple[str, int]]],
    versions: Sequence[str],
    *,
    seconds: float,
    rate: float = 50.0,
    minute_s: float = 0.2,
) -> Heard:
    """Ask about a minute ``rate`` times a second for ``seconds``, and let the member take each of ``versions`` in turn
    meanwhile."""
    heard = Heard()
    began = time.perf_counter()

    def minute() -> int:
        return MINUTE + int((time.perf_counter() - began) / minute_s) * MINUTE_MS

    async def ask() -> None:
        asked, sent = minute(), time.perf_counter()
        heard.sent += 1
        try:
            async with asyncio.timeout(20):
                said = await ask_once(asked)
        except Exception as error:
            # Whatever it is: this request was not answered, which is what is counted.
            heard.dropped.append(f"{type(error).__name__}: {error}")
            return
        if said is None:
            heard.dropped.append("the features were not found")
            return
        heard.took_ms.append((time.perf_counter() - sent) * 1e3)
        heard.versions.setdefault(said.minute, set()).add(said.version)

    async def swap() -> None:
        for number, version in enumerate(versions):
            due = seconds * (number + 1) / (len(versions) + 1)
            await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
            heard.swaps.append(await take(version, minute()))

    swapping = asyncio.create_task(swap())
    asking = []
    for number in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        asking.append(asyncio.create_task(ask()))
    await asyncio.gather(*asking, swapping)
    return heard
