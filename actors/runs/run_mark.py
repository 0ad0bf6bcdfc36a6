"""The word a finished run leaves in its folder, and how live trading finds the paper run that went before it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "end.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMark:
    """How a run ended."""

    run_id: str
    mode: str
    rules_hash: str
    """``config.identity.rules_hash`` of its settings."""
    stand_in: bool
    """A simulator stood at the exchange's place."""
    minutes: int
    """Decided ones."""
    missed: int
    differences: int
    """Between our books and the exchange's, at the end."""
    ended_ms: int


def leave_mark(run_dir: Path, mark: RunMark) -> None:
    """Write the mark, whole or not at all."""
    draft = run_dir / f"{FILE}.part"
    draft.write_text(json.dumps(asdict(mark)), encoding="utf-8")
    os.replace(draft, run_dir / FILE)


def find_paper_run(runs_dir: Path, wanted: str | None, *, stand_in: bool) -> RunMark | None:
    """The newest paper run with these rules (None: with any) that decided a minute and whose books agreed; None when there is none.

    Trading on the real exchange counts only paper runs that watched the real exchange.
    """
    found = [
        mark
        for folder in runs_dir.glob(f"*/{FILE}")
        if (mark := _read(folder)) is not None
        and (mark.mode, mark.differences) == ("paper", 0)
        and wanted in (None, mark.rules_hash)
        and mark.minutes > 0
        and (stand_in or not mark.stand_in)
    ]
    return max(found, key=lambda mark: mark.ended_ms, default=None)


def _read(path: Path) -> RunMark | None:
    """A mark, or None for one that another version left or that is damaged: it then proves nothing."""
    try:
        return RunMark(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
