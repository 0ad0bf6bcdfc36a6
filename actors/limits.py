"""Where this machine's processes share a venue's limits, and what they say about them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.clock import wall_ms
from actors.plan import RunPlan
from config.settings import ExchangeSettings
from core.units import Instrument
from exchanges.limits.capacity import Room, require_room
from exchanges.limits.counters import Fixed
from exchanges.limits.gate import Gate
from exchanges.limits.line import Line
from exchanges.limits.priority import Priority
from exchanges.limits.sharing import FOLDER, look_at, shared_gate
from exchanges.limits.tables import LINES


def gate_of(plan: RunPlan, venue: str, exchange: ExchangeSettings) -> Gate:
    """The line of one run: the machine's at the real venue, the run's own at a simulator, which ends with it."""
    return shared_gate(limits_folder(plan.run_dir, exchange), venue, exchange.rest_url, wall_ms)


def limits_folder(run_dir: Path, exchange: ExchangeSettings) -> Path:
    """``var/limits`` for the venue itself; in the run's folder for a simulator."""
    return (run_dir.parent.parent if exchange.rest_url is None else run_dir) / FOLDER


def venue_gate(var: Path | None, venue: str, exchange: ExchangeSettings) -> Gate:
    """For short questions outside of a run: the machine's line at the real venue, our own at a simulator."""
    if var is None or exchange.rest_url is not None:
        return Gate.of(venue)
    return shared_gate(var / FOLDER, venue, None, wall_ms)


def rooms(instruments: Sequence[Instrument], *, paper: bool = False) -> list[Room]:
    """How many symbols fit at each venue; ConfigError when they do not. ``paper``: a paper venue watches as well."""
    venues = dict.fromkeys(i.venue for i in instruments if i.venue in LINES)
    return [require_room(venue, sum(i.venue == venue for i in instruments), paper=paper) for venue in venues]


@dataclass(frozen=True, slots=True)
class Spending:
    """One counter of a venue, as it stands."""

    name: str
    used: int
    limit: int
    known: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """A venue's limits at a moment."""

    venue: str
    of: str
    """Whose limits: ``the exchange itself``, or ``this run's simulator``."""
    spending: tuple[Spending, ...]
    paused: dict[str, float]
    """Counter (``""``: all) → seconds of the pause that are left."""
    waiting: dict[str, int]
    """Urgency → how many wait."""
    refusals: int
    """How often the venue turned us away for rate."""

    def words(self) -> Iterator[str]:
        """Lines for people; after the first counter, only those of which something is known to be used."""
        first = self.spending[:1]
        shown = [s for s in self.spending if s in first or (s.known and s.used)]
        used = ", ".join(f"{s.name} {s.used:,} of {s.limit:,}{'' if s.known else ' (assumed)'}" for s in shown)
        waits = ", ".join(f"{count} {name}" for name, count in self.waiting.items()) or "nobody"
        yield f"limits of {self.venue} ({self.of}): {used}; waiting: {waits}; turned away {self.refusals} times"
        for name, left in self.paused.items():
            yield f"limits of {self.venue} ({self.of}): it asked for a pause ({name or 'everything'}), {left:,.0f} s left"


def standings(folders: Sequence[tuple[str, Path]]) -> list[Standing]:
    """What the shared files of these folders (whose limits, folder) say now."""
    found = []
    for of, path in ((of, path) for of, folder in folders for path in sorted(folder.glob("*-*.bin"))):
        venue = path.name.partition("-")[0]
        seen = look_at(path, venue, wall_ms) if venue in LINES else None
        if seen is not None:
            found.append(_standing(*seen, of))
    return found


def folders_of(var: Path, run_id: str | None = None) -> list[tuple[str, Path]]:
    """Whose limits, and where the lines of a run are: the machine's, and the run's own at a simulator."""
    if run_id is None:
        return [("the exchange itself", var / FOLDER)]
    own = [var / "runs" / run_id / FOLDER, *sorted((var / "live").glob(f"*/{FOLDER}"))]
    return [("the exchange itself", var / FOLDER), *(("this run's simulator", folder) for folder in own)]


def _standing(line: Line, now_ms: int, of: str) -> Standing:
    spending = []
    for name, counter in line.counters.items():
        known = not isinstance(counter, Fixed) or counter.known(*line.venue_span(now_ms))
        spending.append(Spending(name, line.used(now_ms, name), counter.limit, known))
    waiting = [
        Priority(t.priority).name.lower() for t in sorted(line.tickets, key=lambda t: t.priority) if not t.sent_ms
    ]
    return Standing(
        venue=line.venue,
        of=of,
        spending=tuple(spending),
        paused={name: (until - now_ms) / 1_000 for name, until in line.paused.items() if until > now_ms},
        waiting={name: waiting.count(name) for name in dict.fromkeys(waiting)},
        refusals=line.refusals,
    )
