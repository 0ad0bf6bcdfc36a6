"""Questions asked before a run, each in an event loop of its own that ends when the question does.

A resolver that does not answer is waited for by the operating system, far longer than anybody's patience, and asyncio
waits for the thread that asked it: at the end of the loop, and again at the end of the process. Names are therefore
looked up in daemon threads here, so that a start that was refused also ends.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_briefly(question: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``; does not wait for names that are still being looked up."""
    with asyncio.Runner(loop_factory=_BriefLoop) as runner:
        return runner.run(question)


class _BriefLoop(asyncio.SelectorEventLoop):
    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        answer: asyncio.Future[Any] = self.create_future()

        def give(result: Any, error: OSError | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        def look_up() -> None:
            result, failed = None, None
            try:
                result = socket.getaddrinfo(host, port, family, type, proto, flags)
            except OSError as error:
                failed = error
            try:
                self.call_soon_threadsafe(give, result, failed)
            except RuntimeError:
                # The loop has ended meanwhile: nobody waits for the answer any more.
                return

        threading.Thread(target=look_up, name=f"look up {host}", daemon=True).start()
        return await answer
