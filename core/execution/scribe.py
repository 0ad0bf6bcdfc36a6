"""Writing notes to the journal and reading them back into a machine."""

from collections.abc import Sequence

from core.errors import BotError, DataError
from core.execution.codec import INSTRUCTIONS, decode, encode
from core.execution.machine import ExecutionMachine
from core.execution.pump import Note, NotWritten
from core.execution.stimuli import Instruction
from core.ports import Journal


class Scribe:
    """Keeps the journal whole: what could not be written is kept and written, in order, before anything newer."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._waiting: list[tuple[str, bytes]] = []
        self.problem = ""
        """Why the journal does not take entries now; empty when it does."""

    def write(self, notes: Sequence[Note]) -> NotWritten | None:
        """Make notes durable, all of them or nothing; ``NotWritten`` with the reason when that failed."""
        if self._journal is None:
            return None
        for note in notes:
            self._waiting.append(encode(note.stimulus))
            self._waiting.extend(encode(instruction) for instruction in note.instructions)
        return None if all(note.may_wait for note in notes) else self.flush()

    def flush(self) -> NotWritten | None:
        """Write what waits."""
        if self._journal is None or not self._waiting:
            return None
        try:
            self._journal.append(self._waiting)
        except BotError as error:
            self.problem = str(error)
            return NotWritten(text=self.problem)
        self._waiting = []
        self.problem = ""
        return None

    def replay(self, machine: ExecutionMachine) -> int:
        """Bring a new machine to where the journal ends; returns the number of entries. Raises ``DataError``."""
        return replay(self._journal.replay(), machine) if self._journal is not None else 0


def replay(entries: list[tuple[str, bytes]], machine: ExecutionMachine) -> int:
    """Bring a new machine to where these journal entries end; returns their number.

    The entries carry their own settings and rules. The machine must come to the instructions that were recorded;
    raises ``DataError`` when it does not: then the journal was written by other rules, and what the venue holds must
    be looked at by hand.
    """
    due: list[Instruction] = []
    for number, (kind, payload) in enumerate(entries, start=1):
        message = decode(kind, payload)
        if isinstance(message, INSTRUCTIONS):
            if not due or due.pop(0) != message:
                raise _differs(number, message)
            continue
        if due:
            raise _differs(number, message)
        due = machine.handle(message)  # type: ignore[arg-type]
    if due:
        raise _differs(len(entries) + 1, "the end")
    return len(entries)


def _differs(number: int, found: object) -> DataError:
    return DataError(
        f"journal entry {number} ({found}) is not what today's rules make of the entries before it. Check the open "
        "orders and balances at the venue, move the journal file aside, and start again"
    )
