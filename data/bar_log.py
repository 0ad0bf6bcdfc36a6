"""Where each minute's bars came from, kept beside a run's records: a line of JSON a minute, added and never changed.

``{"minute": …, "stream": 4, "rest": ["binance:ETH/USDT"], "revised": [["binance:BTC/USDT", minute]]}``: how many bars the
stream itself made final, and by name those that only REST could tell (``rest``), minutes in which nobody traded
(``filler``), and those without a final bar (``none``); what the exchange has revised since, by the minute it was of.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from core.messages import Bar, BarRevised
from core.units import Instrument

log = logging.getLogger("feed")

FILE = "bars.jsonl"
NAMED = ("rest", "filler", "none")
WORDS = {
    "stream": "final by the exchange's stream",
    "rest": "final by REST: the stream did not tell it",
    "filler": "a filler, nobody traded",
    "none": "no final bar, so not fresh",
}


def source_of(bar: Bar | None) -> str:
    """One of ``WORDS``."""
    if bar is None:
        return "none"
    return "filler" if bar.filler else bar.source


class BarLog:
    """The lines of one run. A disk that cannot be written is said once and costs nothing but them."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / FILE
        self._failed = False

    def add(
        self, minute: int, instruments: Sequence[Instrument], bars: Sequence[Bar | None], revised: Sequence[BarRevised]
    ) -> None:
        """The bars of one minute, in the order of ``instruments``."""
        sources = [source_of(bar) for bar in bars]
        line: dict[str, object] = {"minute": minute, "stream": sources.count("stream")}
        for name in NAMED:
            if found := [str(i) for i, source in zip(instruments, sources, strict=True) if source == name]:
                line[name] = found
        if revised:
            line["revised"] = [[str(one.instrument), one.bar.minute] for one in revised]
        try:
            with self.path.open("ab") as file:
                # A line that a crash cut short stays alone.
                torn = file.tell() > 0 and not _ends_a_line(self.path)
                file.write(("\n" * torn + json.dumps(line, separators=(",", ":")) + "\n").encode())
        except OSError as error:
            if not self._failed:
                log.warning("%s: where bars came from is not kept (%s)", self.path, error)
            self._failed = True


def read_source(folder: Path, minute: int, instrument: Instrument) -> str:
    """Where the bar came from, one of ``WORDS``; empty where it was not kept. The newest word of a minute counts."""
    path, found, name = Path(folder) / FILE, "", str(instrument)
    if not path.exists():
        return ""
    for text in path.read_bytes().splitlines():
        try:
            line = json.loads(text)
            if line["minute"] == minute:
                found = next((source for source in NAMED if name in line.get(source, ())), "stream")
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
