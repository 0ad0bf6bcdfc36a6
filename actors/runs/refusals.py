"""Refusals that repeat themselves, as a small account's or a standing market's do, are said once and counted."""

from core.messages import MinuteRecord

REFUSED_AGAIN = 60
"""A refusal that repeats itself is told this often, in minutes."""


class Refusals:
    """What limits hold minute after minute: told when it begins, every hour, and how long it was when it ends."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], int] = {}

    def lines(self, record: MinuteRecord) -> list[str]:
        """Those of one minute, without its time."""
        now = {(r.instrument.symbol, r.reason.partition(":")[0]): r.reason for r in record.refused}
        told = [
            f"{symbol} was REFUSED by {name} for {count} minutes in a row"
            for (symbol, name), count in self._held.items()
            if (symbol, name) not in now and count > 1
        ]
        self._held = {key: self._held.get(key, 0) + 1 for key in now}
        for (symbol, name), count in self._held.items():
            if count == 1:
                told.append(f"REFUSED {symbol}: {now[symbol, name]}")
            elif count % REFUSED_AGAIN == 0:
                told.append(f"REFUSED {symbol} for {count} minutes in a row: {now[symbol, name]}")
        return told
