"""The one loop around the machine, without IO: it yields what must be done and is sent what came of it.

Both drivers (in-process and async) run this generator, so the order of calls is the same in a backtest and live.
A ``Note`` comes before everything that a stimulus led to: only when it is durable may the rest be acted upon.
"""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

from core.errors import BotError, ExchangeRefused, ExchangeUnavailable
from core.execution.machine import ExecutionMachine
from core.execution.stimuli import (
    CancelFailed,
    Instruction,
    NotSent,
    OutcomeUnclear,
    PlaceRefused,
    QueryFailed,
    Reported,
    Stimulus,
)
from core.messages import CancelOrder, OrderSnapshot, PlaceOrder, QueryOrder
from core.ports import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Make this durable, all of it or nothing, before going on."""

    stimulus: Stimulus
    instructions: tuple[Instruction, ...]

    @property
    def may_wait(self) -> bool:
        """Losing it in a crash only makes a report repeat itself: it may be written with the next note."""
        return isinstance(self.stimulus, Reported)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotWritten:
    """Answer to a ``Note``: the journal did not take it."""

    text: str


Step = Note | Instruction
Answer = Stimulus | NotWritten | None
"""What came of a step: of a note None or NotWritten, of an instruction a stimulus."""


def pump(machine: ExecutionMachine, stimulus: Stimulus) -> Generator[Step, Answer, None]:
    """Let one stimulus, and every answer that follows from it, run through the machine until all is quiet.

    An answer is taken in before the next instruction is acted upon, so that a crash loses the least. While the
    journal cannot be written nothing new is placed (each order becomes ``NotSent``); questions and cancels go on,
    for they can only make things safer.
    """
    stimuli: deque[Stimulus] = deque([stimulus])
    instructions: deque[Instruction] = deque()
    unwritten = ""
    while stimuli or instructions:
        if stimuli:
            taken = stimuli.popleft()
            version = machine.version
            wanted = machine.handle(taken)
            if wanted or machine.version != version:
                answer = yield Note(stimulus=taken, instructions=tuple(wanted))
                if isinstance(answer, NotWritten):
                    unwritten = answer.text
            instructions.extend(wanted)
            continue
        instruction = instructions.popleft()
        if unwritten and isinstance(instruction, PlaceOrder):
            stimuli.append(NotSent(client_id=instruction.client_id, text=unwritten))
            continue
        came = yield instruction
        if came is not None and not isinstance(came, NotWritten):
            stimuli.append(came)


def failed(instruction: Instruction, error: BotError, now_ms: int) -> Stimulus:
    """The stimulus that a failed call amounts to. Whatever is not certain is unclear."""
    name, text = instruction.client_id, str(error)
    match instruction:
        case PlaceOrder():
            if isinstance(error, ExchangeRefused):
                return PlaceRefused(client_id=name, code=error.code, text=text)
            if isinstance(error, ExchangeUnavailable):
                return NotSent(client_id=name, text=text)
            return OutcomeUnclear(client_id=name, text=text, now_ms=now_ms)
        case CancelOrder():
            return CancelFailed(client_id=name, text=text)
        case QueryOrder():
            return QueryFailed(client_id=name, text=text)


def lacks_fills(snapshot: OrderSnapshot) -> bool:
    """Whether a statement says more was executed than the fills it carries; then they are asked for separately."""
    return snapshot.executed > sum((fill.quantity for fill in snapshot.fills), ZERO)
