"""Walk the settings' types by key path: which keys stand where, and what a key may hold."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Path = tuple[str | int, ...]


def plain(annotation: Any) -> Any:
    """The annotation without ``Annotated`` and without the ``| None`` of an optional key."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return plain(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        rest = [arg for arg in get_args(annotation) if arg is not type(None)]
        return plain(rest[0]) if len(rest) == 1 else annotation
    return annotation


def step(annotation: Any, part: str | int) -> Any:
    """What stands one key (or list index) deeper; None where there is no such key."""
    inner = plain(annotation)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        field = inner.model_fields.get(str(part))
        return None if field is None else field.annotation
    if get_origin(inner) is dict:
        return get_args(inner)[1]
    if get_origin(inner) in (tuple, list):
        return get_args(inner)[0]
    return None


def walk(root: Any, path: Path) -> Any:
    """The annotation at ``path`` below ``root``; None where the path leaves the known keys."""
    here = root
    for part in path:
        here = step(here, part)
        if here is None:
            return None
    return plain(here)


def section(root: Any, path: Path) -> type[BaseModel] | None:
    """The settings section at ``path``, or None when something else stands there."""
    here = walk(root, path)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def field(root: Any, path: Path) -> FieldInfo | None:
    """The declared field at ``path``, with its limits; None for entries of dicts and lists."""
    owner = section(root, path[:-1]) if path else None
    return None if owner is None else owner.model_fields.get(str(path[-1]))


def names(root: Any, path: Path) -> tuple[str, ...]:
    """Keys that may stand directly below ``path``."""
    owner = section(root, path)
    if owner is not None:
        return tuple(owner.model_fields)
    here = walk(root, path)
    if get_origin(here) is dict:
        key = plain(get_args(here)[0])
        return tuple(str(arg) for arg in get_args(key)) if get_origin(key) is Literal else ()
    return ()


def every(root: Any, prefix: Path = ()) -> Iterator[Path]:
    """Every key path below ``root`` that leads through sections; dict and list entries are left out."""
    owner = section(root, ())
    if owner is None:
        return
    for name, info in owner.model_fields.items():
        yield (*prefix, name)
        yield from every(plain(info.annotation), (*prefix, name))


def dotted(path: Path) -> str:
    """``trade.instruments[0]`` as a user would write it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text
