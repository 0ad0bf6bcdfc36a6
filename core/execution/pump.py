"""The one loop around the machine, without IO: it yields what must be done and is sent what came of it.

Both drivers (in-process and async) run this generator, so the order of calls is the same in a backtest and live.
``Notes`` come before everything that their stimuli led to: only when they are durable may the rest be acted upon.
"""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

from core.errors import BotError, Defect, ExchangeRefused, ExchangeUnavailable
from core.execution.machine import ExecutionMachine
from core.execution.stimuli import (
    BalancesAgreed,
    CancelFailed,
    Instruction,
    NotSent,
    OutcomeUnclear,
    PlaceRefused,
    PricesSeen,
    QueryFailed,
    Reported,
    Stimulus,
)
from core.messages import CancelOrder, OrderSnapshot, PlaceOrder, QueryOrder
from core.ports import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A stimulus that was taken in, and what it led to."""

    stimulus: Stimulus
    instructions: tuple[Instruction, ...]

    @property
    def may_wait(self) -> bool:
        """Losing it in a crash only makes a report repeat itself, forgets a peak that the next price shows again, or has
        balances compared with older ones, from which the fills lead to the same: it may be written with the next note."""
        seldom = isinstance(self.stimulus, BalancesAgreed | Reported)
        return seldom or (isinstance(self.stimulus, PricesSeen) and not self.instructions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """Make these durable, in this order, all of them or nothing, before going on."""

    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Do these, at once where calls take time: orders of one side, or a single cancel or question."""

    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotWritten:
    """Answer to ``Notes``: the journal did not take them."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """Answer to ``Together``: what came of each instruction, in their order, without those that have no answer."""

    stimuli: tuple[Stimulus, ...]
    error: BaseException | None = None
    """Why some have none. It is raised out of the pump once the answers that there are have been taken in."""


OVERTAKEN = "its intent ended before it left"

Step = Notes | Together
Answer = NotWritten | Came | None
"""What came of a step: of notes None or NotWritten, of instructions Came."""


def pump(machine: ExecutionMachine, stimulus: Stimulus) -> Generator[Step, Answer, None]:
    """Let one stimulus, and every answer that follows from it, run through the machine until all is quiet.

    Several pumps may be at work on one machine, each waiting for its own answers: between two steps that wait nothing is
    half done, and notes stand in the order in which stimuli were taken in. A purchase whose intent another one has ended
    meanwhile is not sent.

    All answers there are get taken in and noted before the next instructions are acted upon. Sells go before the
    buys that stand behind them, so that what they bring in may pay. While the journal cannot be written nothing new is
    placed (each order becomes ``NotSent``); questions and cancels go on, for they can only make things safer.
    """
    stimuli: deque[Stimulus] = deque([stimulus])
    instructions: deque[Instruction] = deque()
    unwritten = ""
    error: BaseException | None = None
    while True:
        notes: list[Note] = []
        while stimuli:
            taken = stimuli.popleft()
            version = machine.version
            try:
                wanted = machine.handle(taken)
            except Defect as defect:
                # What came before it has changed the books, and what comes after it is true all the same.
                error = error or defect
                continue
            if wanted or machine.version != version:
                notes.append(Note(stimulus=taken, instructions=tuple(wanted)))
            instructions.extend(wanted)
        if notes:
            written = yield Notes(notes=tuple(notes))
            if isinstance(written, NotWritten):
                unwritten = written.text
        if error is not None:
            raise error
        if not instructions:
            return
        together = _next(instructions)
        if late := [order for order in together if isinstance(order, PlaceOrder) and machine.overtaken(order)]:
            stimuli.extend(NotSent(client_id=order.client_id, text=OVERTAKEN) for order in late)
            instructions.extendleft(reversed([order for order in together if order not in late]))
            continue
        if unwritten and isinstance(together[0], PlaceOrder):
            stimuli.extend(NotSent(client_id=order.client_id, text=unwritten) for order in together)
            continue
        came = yield Together(instructions=together)
        if isinstance(came, Came):
            stimuli.extend(came.stimuli)
            error = came.error


def _next(instructions: deque[Instruction]) -> tuple[Instruction, ...]:
    """Take the first instruction off; an order, with those of its side that follow it without a gap.

    Questions and cancels go one by one: they come in numbers when a venue is in trouble, and to one that has just asked
    us to be quiet (429) each that is already on its way is another offence, up to a ban (418).
    """
    first = instructions.popleft()
    together = [first]
    while isinstance(first, PlaceOrder) and instructions:
        following = instructions[0]
        if not isinstance(following, PlaceOrder) or following.side is not first.side:
            break
        together.append(instructions.popleft())
    return tuple(together)


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
