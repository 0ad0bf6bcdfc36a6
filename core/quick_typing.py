"""numba's typing of operators and functions, asked once for the same arguments: a tenth of the engine's first compilation.

For each addition and comparison numba tries an operator's templates one after the other, and words why each that does not
fit does not; a kernel adds the same kinds of numbers a thousand times. The answers are numba's own, which
``tests/unit/test_quick_typing.py`` holds. A function that is given more templates is another object to numba, and is asked
anew; so is one in a kernel with other flags, for which numba compiles what implements it again (a lean kernel's counts no
references, and would free another's arrays under its hands); arguments that are not yet known for certain are, too.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from numba.core.targetconfig import ConfigStack
from numba.core.types.functions import BaseFunction

_known: WeakKeyDictionary[BaseFunction, dict[tuple[Any, ...], tuple[Any, Any]]] = WeakKeyDictionary()
_own_answer: Callable[..., Any] = BaseFunction.get_call_type


def _call_type(self: Any, context: Any, args: tuple[Any, ...], kws: Any) -> Any:
    """numba's ``get_call_type``: the signature that a call with arguments of these types has."""
    if kws or not all(one.is_precise() for one in args):
        return _own_answer(self, context, args, kws)
    known, asked = _known.setdefault(self, {}), (args, ConfigStack.top_or_none())  # type: ignore[no-untyped-call]
    found = known.get(asked)
    if found is None:
        answer = _own_answer(self, context, args, kws)
        found = known[asked] = answer, self._impl_keys[answer.args]
    # By this numba finds what implements it; another object for the same function has its own.
    self._impl_keys[found[0].args] = found[1]
    return found[0]


BaseFunction.get_call_type = _call_type  # type: ignore[method-assign]
