"""Messages as plain JSON data, and back, led by their type annotations.

Exact both ways: a float is written as the shortest decimal that reads back the same, a NaN as null, an infinity
as a word, a Decimal as its digits, an instrument as ``venue:BASE/QUOTE``. A field that a stored message lacks
takes its default, so records of an earlier version read; a field we do not know is an error, so records of a
later version are never half read.
"""

import json
import math
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from core.errors import DataError
from core.units import Instrument

T = TypeVar("T")
Convert = Callable[[Any], Any]

_INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}


def encode(message: Any) -> Any:
    """``message`` (a frozen dataclass of the house, or a value of one of its fields' types) as JSON-able data."""
    return _encoder(type(message))(message)


def decode(kind: type[T], data: Any) -> T:
    """Read ``data`` as ``kind``. Raises DataError naming the field that does not fit."""
    return _decoder(kind)(data)


def dumps(message: Any) -> str:
    """``message`` as one line of standard JSON (no NaN tokens: any browser reads it)."""
    return json.dumps(encode(message), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def loads(kind: type[T], text: str | bytes) -> T:
    """Read what ``dumps`` wrote. Raises DataError when it is not that."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DataError(f"{kind.__name__}: not JSON ({error})") from error
    return decode(kind, data)


def _float_out(value: float) -> float | str | None:
    number = float(value)
    if math.isfinite(number):
        return number
    return None if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")


def _float_in(value: Any) -> float:
    if value is None:
        return math.nan
    return _INFINITIES[value] if isinstance(value, str) else float(value)


@cache
def _encoder(kind: Any) -> Convert:
    """How values of ``kind`` (a type or an annotation) are written."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        write = _encoder(_only(kind, inner))
        return lambda value: None if value is None else write(value)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            item = _encoder(inner[0])
            return lambda values: [item(value) for value in values]
        items = [_encoder(part) for part in inner]
        return lambda values: [write(value) for write, value in zip(items, values, strict=True)]
    if kind is Instrument or (isinstance(kind, type) and issubclass(kind, (StrEnum, Decimal))):
        return str
    if isinstance(kind, type) and issubclass(kind, bool):
        return bool
    if isinstance(kind, type) and issubclass(kind, float):
        return _float_out
    if kind is int or kind is str:
        return kind
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        parts = [(f.name, _encoder(hints[f.name])) for f in fields(kind)]
        return lambda message: {name: write(getattr(message, name)) for name, write in parts}
    raise TypeError(f"{kind} has no plain form; give it one in data/plain.py")


@cache
def _decoder(kind: Any) -> Convert:
    """How values of ``kind`` (a type or an annotation) are read."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        read = _decoder(_only(kind, inner))
        return lambda value: None if value is None else read(value)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            item = _decoder(inner[0])
            return lambda values: tuple(item(value) for value in values)
        items = [_decoder(part) for part in inner]
        return lambda values: tuple(read(value) for read, value in zip(items, values, strict=True))
    if kind is Instrument:
        return Instrument.parse
    if kind is float:
        return _float_in
    if is_dataclass(kind):
        return _dataclass_decoder(kind)
    if isinstance(kind, type) and issubclass(kind, (StrEnum, Decimal, bool, int, str)):
        return kind
    raise TypeError(f"{kind} has no plain form; give it one in data/plain.py")


def _dataclass_decoder(kind: Any) -> Convert:
    hints = get_type_hints(kind)
    readers = {f.name: _decoder(hints[f.name]) for f in fields(kind)}
    needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]

    def read(data: Any) -> Any:
        if not isinstance(data, dict):
            raise DataError(f"{kind.__name__}: expected an object, found {type(data).__name__}")
        unknown = sorted(data.keys() - readers.keys())
        if unknown:
            raise DataError(f"{kind.__name__}.{unknown[0]}: unknown field, written by a newer version? Update the bot")
        missing = [name for name in needed if name not in data]
        if missing:
            raise DataError(f"{kind.__name__}.{missing[0]}: missing")
        values = {}
        for name, value in data.items():
            try:
                values[name] = readers[name](value)
            except DataError:
                raise
            except (TypeError, ValueError, KeyError, ArithmeticError) as error:
                raise DataError(f"{kind.__name__}.{name}: {value!r} does not fit ({error})") from error
        return kind(**values)

    return read


def _only(kind: Any, inner: tuple[Any, ...]) -> Any:
    """The one type of an optional."""
    some = [part for part in inner if part is not NoneType]
    if len(some) != 1:
        raise TypeError(f"{kind} is ambiguous as plain data")
    return some[0]
