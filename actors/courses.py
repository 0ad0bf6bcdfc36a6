"""Stimuli on their way through the executor's machine: several at once, each waiting for its own answers alone.

Between a stimulus and its note, and between an answer and its note, nothing waits: so however many are under way, each
finds whole books, and the journal has the order in which things were taken in. What is decided and not yet answered is
known by name (``awaited``), so that whoever looks meanwhile takes no order for lost whose answer is on its way.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from core.execution.machine import ExecutionMachine
from core.execution.pump import Answer, Came, Notes, Step, Together, pump
from core.execution.scribe import Scribe
from core.execution.stimuli import Instruction, Stimulus
from core.messages import PlaceOrder

log = logging.getLogger("executor")


@dataclass(slots=True, kw_only=True)
class _Course:
    """One stimulus."""

    steps: Generator[Step, Answer, None]
    step: Together | None = None
    """The calls that are to be made next; None at its end."""
    awaited: set[str] = field(default_factory=set)
    """Orders that it led to, and whose answers have not come."""


class Courses:
    """``call`` does what an instruction says, and gives what came of it."""

    def __init__(self, scribe: Scribe, call: Callable[[Instruction], Awaitable[Stimulus]]) -> None:
        self._scribe, self._call = scribe, call
        self._awaited: set[str] = set()
        self._answered = asyncio.Event()
        """Set, and replaced, with each answer that came."""
        self.beside_us: set[asyncio.Task[None]] = set()
        """Those that nobody waits for."""

    async def run(self, machine: ExecutionMachine, stimulus: Stimulus) -> None:
        """Take a stimulus in, make the calls that it leads to, and take in what came of them, until all is quiet."""
        await self._go_on(self._begin(machine, stimulus))

    def beside(self, machine: ExecutionMachine, stimulus: Stimulus) -> None:
        """Take a stimulus in now; its calls are made while others go on."""
        course = self._begin(machine, stimulus)
        if course.step is not None:
            task = asyncio.create_task(self._go_on(course))
            self.beside_us.add(task)
            task.add_done_callback(self._ended)

    def awaited(self) -> tuple[str, ...]:
        """Client ids of orders that were decided and whose answers have not come, in order of name."""
        return tuple(sorted(self._awaited))

    async def answer_to(self, name: str) -> None:
        """Returns when the answer to this order has been taken in, or none is awaited."""
        while name in self._awaited:
            await self._answered.wait()

    async def settled(self, timeout_s: float) -> None:
        """Returns when no answer is awaited any more, or it has lasted too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._awaited:
                    await self._answered.wait()

    def _begin(self, machine: ExecutionMachine, stimulus: Stimulus) -> _Course:
        course = _Course(steps=pump(machine, stimulus))
        self._move_on(course, None)
        return course

    async def _go_on(self, course: _Course) -> None:
        try:
            while course.step is not None:
                called = course.step.instructions
                came = await self._together(course.step)
                # No pause between: with the next line the answers are taken in.
                self._answers_came(course, _names_of(called))
                self._move_on(course, came)
        finally:
            self._answers_came(course, course.awaited)

    def _move_on(self, course: _Course, answer: Answer) -> None:
        """To the next step that waits; without a pause."""
        try:
            while isinstance(step := course.steps.send(answer), Notes):
                # Decided, if not yet sent: nobody may take them for lost.
                ordered = _names_of(i for note in step.notes for i in note.instructions)
                course.awaited |= ordered
                self._awaited |= ordered
                answer = self._scribe.write(step.notes)
            course.step = step
        except StopIteration:
            course.step = None
        except BaseException:
            course.step = None
            self._answers_came(course, course.awaited)
            raise

    def _answers_came(self, course: _Course, names: Iterable[str]) -> None:
        done = course.awaited.intersection(names)
        if done:
            course.awaited -= done
            self._awaited -= done
            answered, self._answered = self._answered, asyncio.Event()
            answered.set()

    async def _together(self, step: Together) -> Came:
        """Every answer there is, even when a call ends in what is no answer, or this one is cancelled meanwhile."""
        calls = [asyncio.ensure_future(self._call(instruction)) for instruction in step.instructions]
        error: BaseException | None = None
        try:
            await asyncio.gather(*calls, return_exceptions=True)
        except asyncio.CancelledError as cancelled:
            # By now each call has ended: with its answer, or cancelled too, to be asked about.
            error = cancelled
        stimuli = []
        for call in calls:
            if call.cancelled():
                error = error or asyncio.CancelledError()
            elif (fault := call.exception()) is not None:
                error = error or fault
            else:
                stimuli.append(call.result())
        return Came(stimuli=tuple(stimuli), error=error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.beside_us.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an exit could not go on; the next price is its next try", exc_info=error)


def _names_of(instructions: Iterable[Instruction]) -> set[str]:
    """The orders that these place."""
    placed = [i for i in instructions if isinstance(i, PlaceOrder)]
    return {name for order in placed for name in (order.client_id, order.pair) if name}
