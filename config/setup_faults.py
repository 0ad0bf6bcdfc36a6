"""What went wrong while the environment was made, and what the user can do about it."""

import errno
import re
import shutil
import sys
from pathlib import Path

from core.errors import BotError

NO_ANSWER = re.compile(
    r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Failed to establish a new connection|ProxyError|SSLError"
    r"|CERTIFICATE_VERIFY_FAILED|NameResolutionError|Temporary failure in name resolution|Network is unreachable"
    r"|RemoteDisconnected|IncompleteRead|ConnectionResetError|Connection to \S+ timed out"
)
DISK_FULL = re.compile(r"No space left on device|Errno 28\b|not enough space on the disk|Disk quota exceeded")
FORBIDDEN = re.compile(r"Permission denied|Read-only file system|Errno 13\b|Errno 30\b|WinError 5\b")
NO_VENV = re.compile(r"ensurepip is not|No module named '?(venv|ensurepip)|python3?[\d.]*-venv")
NO_MATCH = re.compile(r"No matching distribution found for (\S+)")
NO_COMPILER = re.compile(r"Failed (?:to build|building)[^\n]*?(?:wheel for )?([\w.-]+)\s*$", re.MULTILINE)


class SetupFailed(BotError):
    """The environment could not be made. The text says why and what to do."""


def explain(words: str, folder: Path, log: Path) -> str:
    """One fault read from what ``venv`` or pip said."""
    kept = f" What pip said: {log}"
    if DISK_FULL.search(words):
        return _disk_full(folder) + kept
    if NO_VENV.search(words):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (
            "this Python cannot make environments, because its venv module is not installed. "
            f"On Debian or Ubuntu: sudo apt install python{version}-venv. Then run this again." + kept
        )
    if FORBIDDEN.search(words):
        return _forbidden(folder) + kept
    if NO_ANSWER.search(words):
        return (
            "pip cannot reach its package registry. Check the network, a proxy (HTTPS_PROXY) or a mirror "
            "(pip config list), then run this again; what was fetched already is kept." + kept
        )
    if missing := NO_MATCH.search(words):
        version = sys.version.split()[0]
        return (
            f"the registry shows no {missing[1]} for Python {version} on {sys.platform}. Either this Python is "
            "too new: use 3.11 or 3.12; or pip reads a mirror that lacks the package: see pip config list." + kept
        )
    if built := NO_COMPILER.search(words):
        return f"{built[1]} had to be built here and was not. Use Python 3.11 or 3.12, or install a C compiler." + kept
    last = next((line for line in reversed(words.splitlines()) if line.strip()), "it said nothing")
    return f"the environment could not be made: {last.strip()[:200]}." + kept


def explain_os(error: OSError, folder: Path) -> str:
    """One fault of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _disk_full(folder)
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return _forbidden(Path(error.filename) if error.filename else folder)
    return f"cannot make {error.filename or folder}: {error.strerror or error}"


def _disk_full(folder: Path) -> str:
    here = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    free = shutil.disk_usage(here).free / 1e9
    return f"the disk is full ({free:.1f} GB free at {here}). Free some, about 8 GB are needed, then run this again."


def _forbidden(place: Path) -> str:
    return (
        f"{place} cannot be written (read-only or not yours). Copy the project to a folder of your own, "
        "or set MINUTEHAND_VENV to a writable place for the environment."
    )
