"""An executor that also takes single orders by hand: tests and the chaos run stand in front of the live one with it.

In the bot nobody may: orders come from what risk approved, or from the exit rule.
"""

from actors.executor import ExecutorActor
from core.execution.stimuli import CancelWanted, OrderWanted
from core.messages import PlaceOrder


class HandExecutor(ExecutorActor):
    """``ExecutorActor`` with a door for tests."""

    async def place(self, order: PlaceOrder, minute: int, now_ms: int) -> None:
        """Send one order that stands by itself until it ends or is withdrawn; a name once used is not sent again."""
        async with self._lock:
            self._now_ms = max(self._now_ms, now_ms)
            await self._run(OrderWanted(order=order, minute=minute))

    async def withdraw(self, client_id: str, now_ms: int) -> None:
        """Cancel what still stands of an order that was placed by itself."""
        async with self._lock:
            self._now_ms = max(self._now_ms, now_ms)
            await self._run(CancelWanted(client_id=client_id))
