"""The desk over Ray: the same seven parts, each a handle; values are ``ObjectRef``s that Ray carries between actors.

Handles are looked up by name each minute (25 µs), so a part that the supervisor has started again is found
without anybody telling.
"""

from typing import Any

import ray
from ray.exceptions import RayError

from actors.plan import NAMESPACE
from core.messages import MinuteTick, Top
from core.units import Instrument

PARTS = ("feed", "cache", "detector", "panel", "selector", "risk", "executor", "recorder")
"""The actors a minute passes through, in order."""


class RemotePart:
    """Calls methods of a named actor; each answer is an ObjectRef."""

    def __init__(self, name: str) -> None:
        self._handle = ray.get_actor(name, namespace=NAMESPACE)

    def __getattr__(self, method: str) -> Any:
        return getattr(self._handle, method).remote


class RemoteCache:
    """Sends the feed's slice and the executor's account straight to the cache."""

    def __init__(self, cache: RemotePart, feed: RemotePart, executor: RemotePart) -> None:
        self._cache = cache
        self._feed = feed
        self._executor = executor

    def observe(self, tick: MinuteTick) -> Any:
        return self._cache.observe(tick, self._feed.collect(tick), self._executor.account(tick))


class RayDesk:
    """``core.ports.Desk`` over handles. Raises ValueError naming the part when one is not running just now."""

    def __init__(self) -> None:
        feed, cache, detector, panel, selector, risk, executor, recorder = (RemotePart(name) for name in PARTS)
        self.cache: Any = RemoteCache(cache, feed, executor)
        self.detector: Any = detector
        self.models: Any = panel
        self.selector: Any = selector
        self.risk: Any = risk
        self.executor: Any = executor
        self.recorder: Any = recorder


async def tell_tops(tops: dict[Instrument, Top], now_ms: int) -> bool:
    """Give changed books to the executor; whether it watches any. Raises ConnectionError when it does not answer."""
    try:
        return bool(await RemotePart("executor").on_tops(tops, now_ms))
    except (ValueError, RayError) as error:
        raise ConnectionError(str(error).strip().splitlines()[0] if str(error).strip() else "no answer") from None
