"""Client ids for orders that no parent's slots number: the next free one of a minute."""

from core.execution.books import Books
from core.orders import client_id
from core.units import Instrument

LAST_SLICE = 36**2 - 1


class Names:
    """Of one strategy's orders. Equal after a replay, as each was booked when it was given out."""

    def __init__(self, books: Books, instance: str, strategy: str) -> None:
        self._books = books
        self._instance = instance
        self._strategy = strategy
        self._given: dict[Instrument, tuple[int, int]] = {}
        """(minute, names given out in it)."""

    def next(self, instrument: Instrument, minute: int) -> str:
        """A name that was not used; empty when the minute has none left, or none was decided yet."""
        at, count = self._given.get(instrument, (minute, 0))
        count = count if at == minute else 0
        while minute >= 0 and count <= LAST_SLICE:
            name = client_id(self._instance, self._strategy, minute, instrument.symbol, count)
            count += 1
            if name not in self._books.orders:
                self._given[instrument] = (minute, count)
                return name
        return ""
