"""Reasons that know themselves: a code and what fills it, so that they can be worded in another language later.

A ``Reason`` is its English text wherever text is wanted: records, journals, logs and comparisons hold that and nothing
else. Where people are told, ``worded`` words it in their language. What others say (an exchange, the operating system, a
person) is plain text and stays as it is. Between processes a reason is carried whole; where it waits on disk until it is
told, ``to_plain`` and ``from_plain`` keep it beside its text, and what an older version kept without it is plain text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from core.errors import DataError
from core.reason_texts import REASONS
from core.verdict_texts import VERDICTS
from core.wording import WORDS, Wording

TEXTS: dict[str, Wording] = REASONS | VERDICTS


class Reason(str):
    """A text of ours: in English as a string, with its code and values."""

    __slots__ = ("code", "values")
    code: str
    values: dict[str, str]
    """By name, each ready to be shown; another reason is worded in its turn."""

    def __new__(cls, code: str, /, **values: str) -> Self:
        """Raises KeyError for a code or a value that its text does not know."""
        made = super().__new__(cls, TEXTS[code].en.format_map(values))
        made.code, made.values = code, values
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self.code, self.values)


def _made(code: str, values: dict[str, str]) -> Reason:
    return Reason(code, **values)


def counted(count: int, noun: str) -> Reason:
    """``1 minute``, ``2,500 minutes``; ``noun`` is a code of that kind."""
    return Reason(noun if count == 1 else f"{noun}s", count=f"{count:,}")


def refused_words(code: str, text: str) -> Reason:
    """An exchange's refusal in its own words, with its code where it gave one."""
    return Reason("refused_with", code=code, text=text) if code else Reason("refused", text=text)


def joined(parts: Sequence[str]) -> str:
    """``parts`` one after the other; empty without any."""
    if not parts:
        return ""
    found = parts[0]
    for part in parts[1:]:
        found = Reason("both", first=found, then=part)
    return found


def worded(value: str, language: str) -> str:
    """A value as people of this language read it: a reason in their words, a word of ours too, all else as it is."""
    if isinstance(value, Reason):
        shown = {name: worded(part, language) for name, part in value.values.items()}
        return str(getattr(TEXTS[value.code], language)).format_map(shown)
    return WORDS[language].get(value, value)


Plain = dict[str, Any]
"""``{"code": …, "values": {name: text or another of these}}``"""


def to_plain(reason: str) -> Plain | None:
    """What JSON keeps of a reason beside its text; None for plain text."""
    if not isinstance(reason, Reason):
        return None
    return {"code": reason.code, "values": {name: to_plain(v) or str(v) for name, v in reason.values.items()}}


def from_plain(text: str, kept: Any) -> str:
    """The reason that ``text`` was; the text alone where nothing was kept beside it, or what another version words
    differently: what stands in the text is what was said then. Raises DataError for what ``to_plain`` does not write."""
    if kept is None:
        return text
    if not (
        isinstance(kept, Mapping) and isinstance(kept.get("code"), str) and isinstance(kept.get("values"), Mapping)
    ):
        raise DataError(f"not a reason: {kept!r}")
    try:
        found = _read(kept)
    except (KeyError, TypeError) as error:
        if isinstance(error, TypeError):
            raise DataError(f"not a reason: {kept!r}") from error
        return text
    return found if found == text else text


def all_from_plain(texts: Sequence[Any], kept: Any) -> tuple[str, ...]:
    """``from_plain`` of each; ``kept`` is None or as long. Raises DataError."""
    if kept is None:
        return tuple(str(text) for text in texts)
    if not isinstance(kept, list) or len(kept) != len(texts):
        raise DataError(f"not as many reasons as texts: {kept!r}")
    return tuple(from_plain(str(text), one) for text, one in zip(texts, kept, strict=True))


def _read(kept: Any) -> Reason:
    values = {str(k): v if isinstance(v, str) else _read(v) for k, v in kept["values"].items()}
    return Reason(kept["code"], **values)
