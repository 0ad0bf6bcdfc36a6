"""What of a history was downloaded already, kept with the lake, so that a killed download goes on where it was.

``<lake>/downloads/<venue>/<BASE-QUOTE>.json``. A piece is noted only after its bars are in the lake; one that was not
noted is fetched again, which changes nothing.
"""

import json
import logging
import os

from core.errors import DataError
from core.units import Instrument
from data.lake import Lake, month_of
from data.pieces import Span, joined, month_start, outside

log = logging.getLogger(__name__)

FOLDER = "downloads"
VERSION = 1


class DownloadState:
    """Finished spans of one instrument, and checksums of the archive files they came from."""

    def __init__(self, lake: Lake, instrument: Instrument) -> None:
        self._lake, self._instrument = lake, instrument
        self.path = lake.root / FOLDER / instrument.venue / f"{instrument.base}-{instrument.quote}.json"
        self.done: list[Span] = []
        self.files: dict[str, str] = {}
        """Archive file → its SHA-256."""
        self._read()

    def missing(self, first: int, end: int) -> list[Span]:
        """What is still to be fetched of ``[first, end)``."""
        return outside(self.done, first, end)

    def note(self, span: Span, file: str = "", checksum: str = "") -> None:
        """This span is in the lake. On disk when it returns; DataError when it can not be written."""
        self.done = joined([*self.done, span])
        if file:
            self.files[file] = checksum
        body = {"version": VERSION, "done": self.done, "files": self.files}
        draft = self.path.with_name(f".{self.path.name}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("w", encoding="utf-8") as file_:
                json.dump(body, file_)
                file_.flush()
                os.fsync(file_.fileno())
            draft.replace(self.path)
        except OSError as error:
            raise DataError(f"{self.path}: can not be written to ({error.strerror or error})") from error

    def _read(self) -> None:
        if not self.path.exists():
            return
        try:
            body = json.loads(self.path.read_text(encoding="utf-8"))
            if body["version"] != VERSION:
                raise ValueError(f"version {body['version']}")
            done = joined((int(first), int(end)) for first, end in body["done"])
            files = {str(name): str(checksum) for name, checksum in body["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s can not be read (%s); what is in the lake is fetched again", self.path, error)
            return
        # Months that were deleted by hand since are fetched again.
        self.files = files
        self.done = joined(span for part in done for span in self._still_there(part))

    def _still_there(self, span: Span) -> list[Span]:
        """The months of the span the lake has a file of. A month without any bar has none, and is asked for again."""
        stored = {path.stem for path in self._lake.files(self._instrument)}
        found, at = [], span[0]
        while at < span[1]:
            after = min(month_start(at, 1), span[1])
            if month_of(at) in stored:
                found.append((at, after))
            at = after
        return found
