# mypy: disable-error-code="no-untyped-call"
"""numba's flags, told apart quickly: a second of the engine's first compilation.

The flags that a kernel is compiled with are part of the key under which numba looks up what it has typed before, at every
call and operator. Its own comparison makes tables of all thirty options first, defaults included, and so does its hash,
which then only takes their names. Here the names are hashed once, and options that nobody set are not looked at. The
answers are numba's own, which ``tests/unit/test_quick_flags.py`` holds.
"""

from functools import cache

from numba.core.targetconfig import TargetConfig


@cache
def _hash_of(kind: type[TargetConfig]) -> int:
    return hash(tuple(sorted(kind.options)))


def _hash(self: TargetConfig) -> int:
    return _hash_of(type(self))


_own_comparison = TargetConfig.__eq__


def _equal(self: TargetConfig, other: object) -> bool:
    if type(self) is not type(other) or not isinstance(other, TargetConfig):
        return _own_comparison(self, other)
    mine, theirs = self._values, other._values
    return mine == theirs or all(getattr(self, name) == getattr(other, name) for name in mine.keys() | theirs.keys())


TargetConfig.__hash__ = _hash  # type: ignore[method-assign]
TargetConfig.__eq__ = _equal  # type: ignore[method-assign]
