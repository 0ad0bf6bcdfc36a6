"""Read one JSON settings file; every fault is one line with the place in it."""

import json
from pathlib import Path
from typing import Any

from core.errors import ConfigError


def shown(path: Path, root: Path) -> str:
    """The path as the user knows it: relative to the project when it is inside."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def read_json(path: Path, name: str, remedy: str, *, private: bool = False) -> dict[str, Any]:
    """Return the object in the file.

    ``name`` is what the user is told; ``remedy`` says how to get a missing one. Of a ``private`` file no word is shown:
    what is wrong may stand in the line of a secret. Raises ConfigError for a missing or
    unreadable file, broken JSON (with line and column), a key given twice, and anything but an object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{name}: there is no such file; {remedy}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
    try:
        value = json.loads(text, object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}: line {error.lineno} column {error.colno}: {_said(error, text, private)}") from None
    except _Fault as error:
        raise ConfigError(f"{name}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{name}: the JSON is nested too deeply") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: must hold one object {{ }}, not a {type(value).__name__}")
    return value


class _Fault(Exception):
    pass


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _Fault(f"the key {key!r} stands twice in one object; keep one of them")
        result[key] = value
    return result


def _no_constant(text: str) -> float:
    raise _Fault(f"{text} is not a JSON number")


def _said(error: json.JSONDecodeError, text: str, private: bool) -> str:
    lines = text.splitlines()
    # A file that was cut off ends where no line is any more: the last one is shown then.
    line = lines[min(error.lineno, len(lines)) - 1].strip() if text.strip() else ""
    before = text[: error.pos].rstrip()
    if not text.strip():
        return "the file is empty; an object { } is needed"
    if line.startswith(("//", "#")):
        return "JSON has no comments; remove this line"
    if before.endswith(","):
        return "a comma stands before the end of the list or object; remove it"
    return error.msg if private else f"{error.msg} near {line[:40]!r}"
