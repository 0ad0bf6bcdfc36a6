"""Which file the limits of a venue are shared in, and who may not share."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from exchanges.limits.gate import Gate
from exchanges.limits.line import Line
from exchanges.limits.store import FileStore
from exchanges.limits.tables import LINES

log = logging.getLogger(__name__)

FOLDER = "limits"
"""Below ``var``."""


def limits_file(folder: Path, venue: str, rest_url: str | None) -> Path:
    """The file of one venue at one address: a simulator has limits of its own."""
    host = "" if rest_url is None else urlsplit(rest_url).netloc.lower()
    return folder / f"{venue}-{hashlib.sha256(host.encode()).hexdigest()[:12]}.bin"


def shared_gate(folder: Path, venue: str, rest_url: str | None, wall_ms: Callable[[], int]) -> Gate:
    """The gate all processes of this machine share; where no file can be had, one of this process alone, with a
    warning. ``folder``: usually ``var/limits``."""
    path = limits_file(folder, venue, rest_url)
    try:
        return Gate(venue, FileStore(path, LINES[venue], wall_ms))
    except OSError as error:
        log.warning("%s: limits are not shared (%s); this process counts %s's for itself", path, error, venue)
        return Gate.of(venue)


def look_at(path: Path, venue: str, wall_ms: Callable[[], int]) -> tuple[Line, int] | None:
    """The line as another process left it, and its time; None when there is no such file or it can not be read."""
    if not path.exists():
        return None
    try:
        store = FileStore(path, LINES[venue], wall_ms)
        try:
            return store.look()
        finally:
            store.close()
    except OSError:
        return None
