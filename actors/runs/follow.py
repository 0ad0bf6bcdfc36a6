"""What a person sees while a run goes on: a live view on a terminal, plain lines elsewhere."""

import math
from collections import deque
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from actors.runs.told import Teller, clock
from core.messages import MinuteRecord
from core.units import plainly

LINES_SHOWN = 12
QUIET_EVERY = 10
"""On plain output a minute in which nothing was decided is told this often."""


class Follower(Protocol):
    """Shows records as they come."""

    def show(self, record: MinuteRecord, done: int, missed: int) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None: ...


class PlainFollower:
    """One line a decision, and now and then a sign of life."""

    def __init__(self, console: Console, total: int | None) -> None:
        self._console = console
        self._total = total
        self._quiet = 0
        self._teller = Teller()

    def show(self, record: MinuteRecord, done: int, missed: int) -> None:
        lines = self._teller.tell(record)
        for line in lines:
            self.say(line)
        self._quiet = 0 if lines else self._quiet + 1
        if self._quiet >= QUIET_EVERY or (not lines and done == 1):
            self._quiet = 0
            of = f"/{self._total}" if self._total else ""
            self.say(
                f"{clock(record.minute)}  hold: {self._why(record)}; minute {done}{of}, missed {missed}, "
                f"equity {record.equity:,.2f}"
            )

    def _why(self, record: MinuteRecord) -> str:
        """What keeps it from trading: markets that stand still, else the best of what was forecast."""
        still = self._teller.still(record)
        edges = [e for e, fresh in zip(record.edge_bps, record.fresh, strict=True) if fresh and math.isfinite(e)]
        best = f"best forecast {max(edges):+.1f} bps" if edges else "no forecast"
        return f"{still}; {best}" if still and edges else still or best

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        return None


class LiveFollower:
    """A table of the instruments, the last decisions, and how the minutes go."""

    def __init__(self, console: Console, title: str, total: int | None, synthetic: bool) -> None:
        self._title = title
        self._total = total
        self._synthetic = synthetic
        self._lines: deque[str] = deque(maxlen=LINES_SHOWN)
        self._teller = Teller()
        self._record: MinuteRecord | None = None
        self._counts = (0, 0)
        self._live = Live(self._view(), console=console, refresh_per_second=8, transient=False)
        self._live.start()

    def show(self, record: MinuteRecord, done: int, missed: int) -> None:
        self._counts = (done, missed)
        if record.status == "done":
            self._record = record
        self._lines.extend(self._teller.tell(record))
        self._live.update(self._view())

    def say(self, text: str) -> None:
        self._lines.append(text)
        self._live.update(self._view())

    def close(self) -> None:
        self._live.stop()

    def _view(self) -> Group:
        return Group(
            self._head(),
            self._table(),
            Panel("\n".join(self._lines) or "waiting for the first decision …", title="decisions"),
        )

    def _head(self) -> Text:
        text = Text(f" {self._title} ", style="bold white on blue")
        if self._synthetic:
            text.append(" SYNTHETIC MARKET ", style="bold black on yellow")
        done, missed = self._counts
        of = f" of {self._total}" if self._total else ""
        text.append(f"  minute {done}{of}, missed {missed}", style="bold red" if missed else "")
        if self._record is not None:
            when = datetime.fromtimestamp(self._record.minute / 1000, UTC)
            text.append(
                f"  {when:%Y-%m-%d %H:%M} UTC  equity {self._record.equity:,.2f}  {self._record.regime}  {self._record.state}"
            )
        return text

    def _table(self) -> Table:
        table = Table(expand=True, pad_edge=False)
        for name in ("instrument", "close", "held", "forecast bps", "target"):
            table.add_column(name, justify="left" if name == "instrument" else "right")
        record = self._record
        if record is not None:
            for row, instrument in enumerate(record.instruments):
                edge, target = record.edge_bps[row], record.target[row]
                table.add_row(
                    instrument.symbol + ("" if record.fresh[row] else "  (stale)"),
                    plainly(record.close[row], 7),
                    plainly(record.position[row], 7),
                    Text(f"{edge:+.1f}", style="green" if edge > 0 else "red") if math.isfinite(edge) else "–",
                    f"{target:.0%}" if math.isfinite(target) else "keep",
                )
        return table


def make_follower(console: Console, title: str, total: int | None, synthetic: bool) -> Follower:
    """A live view on a terminal, plain lines elsewhere."""
    if console.is_terminal:
        return LiveFollower(console, title, total, synthetic)
    return PlainFollower(console, total)
