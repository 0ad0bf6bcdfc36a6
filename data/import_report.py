"""How an import was asked for, and what is said about it."""

from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from core.units import Instrument
from data.checks import FAULT, Finding
from data.schema import Synthetic


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    venue: str | None = None
    symbol: str | None = None
    zone: ZoneInfo | None = None
    """What times without a zone mean; None is UTC."""
    replace: bool = False
    """Let a file's bar take the place of a stored one that differs."""
    dry_run: bool = False
    source: str | None = None
    """Kept with every bar; None is ``import:`` and the file's name."""
    synthetic: Synthetic | None = None
    """The label of bars that are known to be made up though no file says so."""


@dataclass(slots=True, kw_only=True)
class FileReport:
    """What one file (or one symbol of a file that holds several) held, and what became of it."""

    path: Path
    kind: str = "bars"
    """``bars``, ``sentiment``, ``headlines`` or ``other`` (not a file of bars by its name)."""
    instrument: Instrument | None = None
    rows: int = 0
    new: int = 0
    unchanged: int = 0
    revised: int = 0
    kept: int = 0
    """Differed from the lake, which stayed as it was."""
    bad: int = 0
    duplicates: int = 0
    """Further copies of an identical row."""
    conflicting: int = 0
    """Rows that say different things of one minute; none of them was imported."""
    disordered: int = 0
    """Rows whose time is before that of the row above."""
    gaps: int = 0
    missing: int = 0
    zero_volume: int = 0
    first: int | None = None
    last: int | None = None
    findings: list[Finding] = field(default_factory=list)

    def count(self, severity: str) -> int:
        return sum(f.severity == severity for f in self.findings)


@dataclass(frozen=True, slots=True)
class ImportReport:
    lake: Path
    dry_run: bool
    files: tuple[FileReport, ...]

    @property
    def faults(self) -> int:
        return sum(report.count(FAULT) for report in self.files)
