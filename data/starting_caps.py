"""Where a live run's starting cap is kept: a journal of its own in the run's folder, so that every change stays readable."""

import json
from pathlib import Path

from core.errors import DataError
from core.params import LiveSettings
from core.starting_cap import CapState, StartingCap
from data.journal import SqliteJournal, read_journal

JOURNAL = "starting_cap.sqlite"
KIND = "starting_cap"


def read_cap(run_dir: Path, settings: LiveSettings) -> StartingCap:
    """The cap as it stands; a new one where none was kept. Raises DataError when what was kept cannot be read."""
    path = run_dir / JOURNAL
    if not path.exists():
        return StartingCap(settings)
    entries = read_journal(path)
    if not entries:
        return StartingCap(settings)
    try:
        return StartingCap(settings, CapState.from_json(json.loads(entries[-1][1])))
    except (ValueError, DataError) as error:
        raise DataError(f"{path}: {error}; move it aside to begin with the starting cap again") from None


class CapKeeper:
    """The one writer of a run's cap."""

    def __init__(self, run_dir: Path, settings: LiveSettings) -> None:
        self.cap = read_cap(run_dir, settings)
        self._journal = SqliteJournal(run_dir / JOURNAL)

    def keep(self, cap: StartingCap) -> None:
        """Write it down, durably, when it is another one than the last."""
        if cap.state != self.cap.state:
            self._journal.append([(KIND, json.dumps(cap.state.to_json(), sort_keys=True).encode())])
        self.cap = cap

    def close(self) -> None:
        self._journal.close()
