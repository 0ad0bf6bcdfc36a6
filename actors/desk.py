"""The desk over Ray: the same seven parts, each a handle; values are ``ObjectRef``s that Ray carries between actors.

Handles are looked up by name each minute (25 µs), so a part that the supervisor has started again is found
without anybody telling.
"""

import asyncio
import contextlib
from typing import Any

import ray
from ray.exceptions import RayError

from actors.plan import NAMESPACE
from core.messages import MinuteTick, Top
from core.prints import Crossing
from core.protection import Bounds
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


class Shade:
    """Passes each minute on to the shadow, where one runs. Nobody waits for it: while it is behind, minutes are left out."""

    def __init__(self, most: int = 2) -> None:
        """``most``: minutes that may wait for it."""
        self._most = most
        self._behind: list[asyncio.Task] = []
        self.left_out = 0

    def give(self, market: Any, votes: Any) -> None:
        """References of a minute's market and votes."""
        try:
            shadow = ray.get_actor("shadow", namespace=NAMESPACE)
        except ValueError:
            return
        self._behind = [task for task in self._behind if not task.done()]
        if len(self._behind) >= self._most:
            self.left_out += 1
            return
        self._behind.append(asyncio.ensure_future(_ended(shadow.observe.remote(market, votes))))


async def _ended(work: Any) -> None:
    """However it ended: a minute that the shadow could not judge is its loss alone."""
    with contextlib.suppress(RayError):
        await work


class ShadedPanel:
    """The panel, whose minutes the shadow sees too."""

    def __init__(self, panel: RemotePart, shade: Shade) -> None:
        self._panel = panel
        self._shade = shade

    def forecast(self, market: Any) -> Any:
        votes = self._panel.forecast(market)
        self._shade.give(market, votes)
        return votes


class RayDesk:
    """``core.ports.Desk`` over handles. Raises ValueError naming the part when one is not running just now."""

    def __init__(self, shade: Shade | None = None) -> None:
        feed, cache, detector, panel, selector, risk, executor, recorder = (RemotePart(name) for name in PARTS)
        self.cache: Any = RemoteCache(cache, feed, executor)
        self.detector: Any = detector
        self.models: Any = panel if shade is None else ShadedPanel(panel, shade)
        self.selector: Any = selector
        self.risk: Any = risk
        self.executor: Any = executor
        self.recorder: Any = recorder


async def tell_prices(
    tops: dict[Instrument, Top], crossings: dict[Instrument, Crossing], now_ms: int
) -> dict[Instrument, Bounds]:
    """Give changed books, and trades of which books said nothing, to the executor; what it watches, and between which
    prices nothing is due. Raises ConnectionError when it does not answer."""
    try:
        answer: dict[Instrument, Bounds] = await RemotePart("executor").on_prices(tops, crossings, now_ms)
        return answer
    except (ValueError, RayError) as error:
        raise ConnectionError(str(error).strip().splitlines()[0] if str(error).strip() else "no answer") from None
