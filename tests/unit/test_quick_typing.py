"""numba's typing as it is asked once for the same arguments: with the answers that numba would give."""

import operator
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from numba import njit, types
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.core.targetconfig import ConfigStack

import core.lean  # noqa: F401  (what it changes is looked at here)
from core import quick_typing

NUMBERS = (types.int64, types.float64, types.boolean, types.int8, types.literal(3), types.literal(True))
ROWS = (types.Array(types.float64, 2, "C"), types.Array(types.int64, 2, "A"))


def function_of(what: Callable[..., Any]) -> Any:
    context = cpu_target.typing_context
    context.refresh()
    return context.resolve_value_type(what)


def asked(what: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
    """(as it is, numba's own) answers, each with what implements it."""
    function, context = function_of(what), cpu_target.typing_context
    found = function.get_call_type(context, args, {})
    mine = found, function.get_impl_key(found)
    own = quick_typing._own_answer(function, context, args, {})
    return mine, (own, function.get_impl_key(own))


@pytest.mark.parametrize("what", [operator.add, operator.lt, operator.truediv, operator.floordiv, operator.eq])
@pytest.mark.parametrize(("one", "other"), list(product(NUMBERS, NUMBERS)))
def test_operators_are_what_they_are_to_numba(what: Callable[..., Any], one: Any, other: Any) -> None:
    for _ in range(2):
        mine, own = asked(what, one, other)
        assert mine == own and str(mine[0]) == str(own[0])


def test_indexing_is_what_it_is_to_numba() -> None:
    for row, _ in product(ROWS, range(2)):
        for index in (types.int64, types.UniTuple(types.int64, 2), types.slice2_type, types.literal(1)):
            mine, own = asked(operator.getitem, row, index)
            assert mine == own and str(mine[0]) == str(own[0])


def test_what_does_not_fit_is_refused_each_time() -> None:
    function = function_of(operator.add)
    for _ in range(2):
        with pytest.raises(TypingError):
            function.get_call_type(cpu_target.typing_context, (types.int64, ROWS[0].copy(dtype=types.unicode_type)), {})


def test_a_kernel_is_asked_about_the_same_sum_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, ...]] = []
    own = quick_typing._own_answer

    def listening(self: Any, context: Any, args: tuple[Any, ...], kws: Any) -> Any:
        told.append((self, args))
        return own(self, context, args, kws)

    monkeypatch.setattr(quick_typing, "_own_answer", listening)
    monkeypatch.setattr(quick_typing, "_known", type(quick_typing._known)())

    @njit
    def total(a: float, b: float) -> float:
        return a + b + a + b + a

    assert total(1.0, 2.0) == 7.0
    sums = [args for function, args in told if function.typing_key is operator.add]
    assert sums == [(types.float64, types.float64)]


def test_a_kernel_with_other_flags_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What implements a function is compiled with its caller's flags: without references counted, or with."""
    told: list[Any] = []
    own = quick_typing._own_answer

    def listening(self: Any, context: Any, args: tuple[Any, ...], kws: Any) -> Any:
        if self.typing_key is max:
            told.append(ConfigStack.top_or_none().nrt)
        return own(self, context, args, kws)

    monkeypatch.setattr(quick_typing, "_own_answer", listening)
    monkeypatch.setattr(quick_typing, "_known", type(quick_typing._known)())

    def largest(a: float, b: float) -> float:
        return max(max(a, b), b)

    for counting in (False, True):
        assert njit(largest, _nrt=counting)(1.0, 2.0) == 2.0
    assert told == [False, True]
