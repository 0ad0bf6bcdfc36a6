"""Turn a settings fault into one line: file, key, value, and the near right one."""

import difflib
import json
import re
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError

from config import keys

UNITS = {
    "pct": "per cent",
    "bps": "basis points",
    "ms": "milliseconds",
    "s": "seconds",
    "seconds": "seconds",
    "minutes": "minutes",
    "mb": "MB",
    "usdt": "USDT",
}
"""Last word of a key → its unit. ``gpu_fraction`` is the one share that is not per cent."""

UNIT_WORDS = (
    *UNITS,
    "percent",
    "percentage",
    "fraction",
    "ratio",
    "share",
    "sec",
    "secs",
    "msec",
    "hours",
    "usd",
    "bp",
)
WANTED = {
    "float_type": "a number, without quotes",
    "int_type": "a whole number, without quotes",
    "bool_type": "true or false",
    "string_type": "text in double quotes",
    "model_type": "an object { }",
    "dict_type": "an object { }",
    "tuple_type": "a list [ ]",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "finite_number": "a finite number",
}


def near(word: str, known: tuple[str, ...]) -> str | None:
    """The known word that was probably meant: nearest in spelling, letter case aside."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def same_stem(word: str, known: tuple[str, ...]) -> str | None:
    """The key that says the same in another unit: ``invest_fraction`` → ``invest_pct``."""
    stem = _stem(word)
    return next((candidate for candidate in known if candidate != word and _stem(candidate) == stem), None)


def _stem(word: str) -> str:
    head, _, tail = word.lower().rpartition("_")
    return head if head and tail in UNIT_WORDS else word.lower()


def without_password(text: str) -> str:
    """The text with the passwords of addresses in it (``redis://user:password@host``) hidden."""
    return re.sub(r"(://[^/\s\"@:]*:)[^/\s\"]+@", r"\1…@", text)


def show(value: Any) -> str:
    """The value as JSON would write it, cut to a readable length, without passwords."""
    text = without_password(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 60 else text[:57] + "…"


def unknown_key(root: Any, path: keys.Path, elsewhere: dict[str, Any]) -> str:
    """Why the key at ``path`` is refused, and which one was meant.

    ``elsewhere`` maps file names to the root types of the other files, for keys put in the wrong file.
    """
    word, known = str(path[-1]), keys.names(root, path[:-1])
    parent = path[:-1]
    unit = same_stem(word, known)
    if unit is not None:
        meaning = UNITS.get(unit.rpartition("_")[2])
        return f"unknown key; the key is {keys.dotted((*parent, unit))!r}" + (f", in {meaning}" if meaning else "")
    for where, other in {"": root, **elsewhere}.items():
        homes = [home for home in keys.every(other) if home[-1] == word]
        if homes:
            return f"unknown key here; did you mean {keys.dotted(homes[0])!r}" + (f" in {where}?" if where else "?")
    close = near(word, known)
    if close is not None:
        return f"unknown key; did you mean {keys.dotted((*parent, close))!r}?"
    return f"unknown key; known here: {', '.join(known)}"


def allowed(root: Any, path: keys.Path) -> str:
    """The range of a number, with its unit: ``0 to 100 per cent``. Empty when it has none."""
    info = keys.field(root, path)
    low = high = None
    for limit in info.metadata if info is not None else ():
        if isinstance(limit, Ge):
            low = f"{limit.ge:,}"
        elif isinstance(limit, Gt):
            low = f"above {limit.gt:,}"
        elif isinstance(limit, Le):
            high = f"{limit.le:,}"
        elif isinstance(limit, Lt):
            high = f"below {limit.lt:,}"
    unit = UNITS.get(str(path[-1]).rpartition("_")[2], "")
    if low is not None and high is not None:
        text = f"{low} to {high}"
    elif low is not None:
        text = low if low.startswith("above") else f"at least {low}"
    elif high is not None:
        text = high if high.startswith("below") else f"at most {high}"
    else:
        return ""
    return f"{text} {unit}".rstrip()


def explain(root: Any, error: ValidationError, elsewhere: dict[str, Any]) -> tuple[keys.Path, str]:
    """Key path and the rest of the line for the first fault; further faults are counted."""
    faults = error.errors()
    # A list that failed by one entry is also reported as too short: name the entry.
    faults.sort(key=lambda fault: fault["type"] == "too_short")
    path: keys.Path = tuple(part for part in faults[0]["loc"] if part != "[key]")
    text = _one(root, path, faults[0], elsewhere)
    more = len({fault["loc"] for fault in faults if fault["type"] != "too_short"} - {faults[0]["loc"]})
    return path, text + (f" (and {more} more fault{'s' if more > 1 else ''})" if more else "")


def _one(root: Any, path: keys.Path, fault: Any, elsewhere: dict[str, Any]) -> str:
    kind, value, context = fault["type"], fault.get("input"), fault.get("ctx", {})
    said = str(context["error"]) if "error" in context else fault["msg"]
    if kind == "missing":
        return f"is missing; {_needs(root, path)}"
    if kind == "value_error" and isinstance(value, dict):
        return f"is refused: {said}" if path else said
    if kind == "extra_forbidden":
        return f"= {show(value)}: {unknown_key(root, path, elsewhere)}"
    if kind == "literal_error" and fault["loc"][-1] == "[key]":
        return f"is an {unknown_key(root, path, elsewhere)}"
    if kind == "literal_error":
        choices = tuple(re.findall(r"'([^']*)'", context["expected"]))
        close = near(str(value), choices)
        hint = f"did you mean {show(close)}? " if close else ""
        return f"= {show(value)}: {hint}allowed: {', '.join(show(choice) for choice in choices)}"
    if kind in ("less_than_equal", "greater_than_equal", "less_than", "greater_than"):
        return f"= {show(value)}: out of range; allowed: {allowed(root, path) or said}"
    if kind == "too_short":
        return f"= {show(value)}: needs at least {context['min_length']} entry"
    if kind in WANTED:
        limits = allowed(root, path)
        return f"= {show(value)}: must be {WANTED[kind]}" + (f", {limits}" if limits else "")
    return f"= {show(value)}: {said}"


def _needs(root: Any, path: keys.Path) -> str:
    below = keys.names(root, path)
    if below:
        return f"an object with the keys {', '.join(below)}"
    limits = allowed(root, path)
    return f"a value is required ({limits})" if limits else "a value is required"
