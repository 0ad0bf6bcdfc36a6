"""The faults there are, by name: where each may strike, how big it is, and which venues have it.

The list is that of real venues' misbehaviour (binance-spot-api-docs errors.md, rest-api.md, web-socket-streams.md;
docs.upbit.com, rate limits and WebSocket guide). ``-done`` means that the request took effect before it went wrong,
``-not`` that it did not. A fault changes what is told and when; the books it never touches.
"""

from collections.abc import Iterable
from dataclasses import dataclass

PLACE, CANCEL, QUERY, OPEN, FILLS, ACCOUNT, TIME, BARS, DEPTH, RULES, OTHER = (
    "place",
    "cancel",
    "query",
    "open",
    "fills",
    "account",
    "time",
    "bars",
    "depth",
    "rules",
    "other",
)
"""Requests, as the faults tell them apart."""
CHANGES = (PLACE, CANCEL)
SIGNED = (PLACE, CANCEL, QUERY, OPEN, FILLS, ACCOUNT)
ANY = (PLACE, CANCEL, QUERY, OPEN, FILLS, ACCOUNT, TIME, BARS, DEPTH, RULES, OTHER)

REPORT, FINAL_BAR, DIFF, SNAPSHOT = "report", "final bar", "diff", "snapshot"
"""Frames, as the faults tell them apart; every other frame passes untouched."""
LINK = "link"
"""A connection, looked at whenever something may be written to it."""

BOTH, BINANCE, UPBIT = ("binance", "upbit"), ("binance",), ("upbit",)


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of misbehaviour."""

    name: str
    strikes: tuple[str, ...]
    """Requests or frames it may happen to."""
    about: str
    low: float = 0.0
    high: float = 0.0
    """Size of one, drawn evenly; milliseconds where it is a time."""
    weight: float = 1.0
    """How often against the others of the same place."""
    venues: tuple[str, ...] = BOTH


REST = (
    Kind("slow-request", ANY, "the request arrives late, 86 ms and worse", 86, 1_500, 2.0),
    Kind("slow-answer", ANY, "done at once, the answer comes late (reports overtake it)", 86, 1_500, 2.0),
    Kind("ban", ANY, "429 with Retry-After; 418 for whoever goes on", 1_000, 2_000, 0.05),
    Kind("stamp", SIGNED, "-1021, the time stamp is turned down", weight=0.5, venues=BINANCE),
    Kind("unknown-done", CHANGES, "done, answered with -1007 (Upbit: 500 JSON)"),
    Kind("unknown-not", CHANGES, "not done, answered with -1007 (Upbit: 500 JSON)"),
    Kind("http-done", CHANGES, "done, answered with 500, 502, 503 or 504 and plain text", 0, 4),
    Kind("http-not", ANY, "not done, answered with 500, 502, 503 or 504 and plain text", 0, 4),
    Kind("busy", CHANGES, "not done, 503 -1008 (Binance)", weight=0.5, venues=BINANCE),
    Kind("cut-json", ANY, "done, HTTP 200 with the JSON cut short", 0.05, 0.95),
    Kind("cut-empty", ANY, "done, HTTP 200 with nothing in it", weight=0.5),
    Kind("drop-done", ANY, "done, the connection drops instead of an answer"),
    Kind("drop-not", ANY, "the connection drops before anything is done"),
    Kind("hang", CHANGES, "done, and no answer before the client gives up (30 s)", 30_000, 30_000, 0.2),
    Kind("hide", (PLACE,), "done and answered, not shown to questions for a while", 100, 1_900),
    Kind("hide-lost", (PLACE,), "done, the connection drops, not shown to questions for a while", 100, 1_900),
)
FRAMES = (
    Kind("late-report", (REPORT,), "an order's report comes late", 50, 1_500),
    Kind("dup-report", (REPORT,), "an order's report comes twice"),
    Kind("swap-report", (REPORT,), "two reports change places", 500, 500),
    Kind("late-bar", (FINAL_BAR,), "a final bar comes late", 500, 5_000, venues=BINANCE),
    Kind("lose-bar", (FINAL_BAR,), "a final bar never comes", venues=BINANCE),
    Kind("dup-bar", (FINAL_BAR,), "a final bar comes twice", venues=BINANCE),
    Kind("gap-depth", (DIFF,), "a diff of the book is left out", venues=BINANCE),
    Kind("again-snapshot", (SNAPSHOT,), "a SNAPSHOT is repeated", venues=UPBIT),
)
LINKS = (
    Kind("end-shutdown", (LINK,), "serverShutdown, then the connection ends", 500, 3_000, venues=BINANCE),
    Kind("end-day", (LINK,), "the 24 hours of a connection are over, compressed", 120_000, 420_000),
    Kind("end-pong", (LINK,), "a pong counts as missed: the connection is cut"),
)
WORLD = (
    Kind("clock", ("clock",), "the venue's clock jumps by up to 1.3 s either way", -1_300, 1_300, venues=BINANCE),
    Kind("halt", ("halt",), "a market stops: flat minutes, then none (Upbit: none at all)", 2, 10),
    Kind("quiet", ("quiet",), "a minute in which nobody trades", 1, 1),
)
KINDS = {kind.name: kind for kind in (*REST, *FRAMES, *LINKS, *WORLD)}


def foreign(names: Iterable[str], venue: str) -> tuple[str, ...]:
    """Those of the kinds that ``venue`` does not have."""
    return tuple(name for name in names if venue not in KINDS[name].venues)


def chosen(names: str) -> tuple[str, ...]:
    """Kinds named by ``drop-done``, or by what stands before the dash (``drop``), joined by ``+``. ValueError else."""
    found: list[str] = []
    for part in names.split("+"):
        hits = [name for name in KINDS if name == part or name.partition("-")[0] == part]
        if not hits:
            raise ValueError(f"there is no fault {part!r}; known are {', '.join(KINDS)}")
        found += [name for name in hits if name not in found]
    return tuple(found)
