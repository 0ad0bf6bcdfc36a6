"""numba's flags as we compare them: with the answers that numba would give."""

from itertools import product

import pytest
from numba.core.compiler import Flags
from numba.core.targetconfig import TargetConfig

import core.lean  # noqa: F401  (what it changes is looked at here)
from core import quick_flags


def flags(**options: bool) -> Flags:
    made = Flags()
    for name, value in options.items():
        setattr(made, name, value)
    return made


SOME = (
    flags(),
    flags(nrt=False),
    flags(nrt=True),
    flags(forceinline=False),
    flags(nrt=True, forceinline=True),
    flags(forceinline=True, nrt=True),
    flags(error_model="numpy"),
)


def test_numba_uses_them() -> None:
    assert Flags.__eq__ is TargetConfig.__eq__ is quick_flags._equal
    assert Flags.__hash__ is TargetConfig.__hash__ is quick_flags._hash


@pytest.mark.parametrize(("one", "other"), list(product(SOME, SOME)))
def test_flags_are_equal_where_all_their_options_are(one: Flags, other: Flags) -> None:
    assert (one == other) == (one.values() == other.values())
    assert (one == other) == quick_flags._own_comparison(one, other)
    assert hash(one) == hash(other) == hash(tuple(sorted(one.values())))


def test_an_option_set_to_its_default_is_no_other_flag() -> None:
    assert flags() == flags(forceinline=False)
    assert flags() != flags(forceinline=True)


def test_other_kinds_are_not_equal() -> None:
    class Other(Flags):
        pass

    assert (flags() == Other()) == quick_flags._own_comparison(flags(), Other())
    assert flags() != "flags"
