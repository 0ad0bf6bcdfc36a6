"""How kernels are compiled. All of them: kept on disk, without fast-math (so that compiled and uncompiled agree to the
last bit), a division by zero gives infinity or NaN as in numpy, and nothing is made that only C would call.

Those that are called millions of times are ``lean``: without counting references. numba counts who uses an array each
time one is looked at or handed on, with locked instructions that cost more than most of what these kernels do. A lean
kernel does not: so it must not allocate, and must not return an array.
"""

import gc
from collections.abc import Callable
from typing import Any

from numba import config, njit
from numba.core import event
from numba.extending import register_jitable

from core import quick_flags, quick_typing  # noqa: F401  (what numba asks most often)
from core.linked import LeanCompiler, LeanPartCompiler, LinkedCompiler, LinkedPartCompiler, kept

compiled = njit(cache=True, error_model="numpy", no_cfunc_wrapper=True)  # type: ignore[call-overload]


def _lean(pipeline: type[LeanCompiler]) -> Any:
    return njit(  # type: ignore[call-overload]
        cache=True, error_model="numpy", no_cfunc_wrapper=True, _nrt=False, pipeline_class=pipeline
    )


lean = _lean(LeanCompiler)

shared = _lean(LeanPartCompiler)
"""A lean kernel for Python that becomes part of each kernel that calls it: handing on a tuple of arrays costs as much as
a hundred additions."""


def _linked(pipeline: type[LeanCompiler]) -> Callable[[Any], Any]:
    compiling = njit(  # type: ignore[call-overload]
        error_model="numpy", no_cfunc_wrapper=True, no_cpython_wrapper=True, _nrt=False, pipeline_class=pipeline
    )
    return compiling if config.DISABLE_JIT else lambda function: kept(compiling(function))  # type: ignore[attr-defined]


inlined = _linked(LinkedPartCompiler)
"""The same for what only kernels call. Python cannot call it (a crash, not an error; ``tests/unit/test_lean.py`` looks for
such calls): what only it needs would be compiled with each for nobody."""

inner = _linked(LinkedCompiler)
"""A lean kernel that only kernels call, compiled once. Python cannot call it either: unpacking its arguments for Python
would take longer to compile than many a kernel."""

pasted = njit(cache=True, error_model="numpy", no_cfunc_wrapper=True, inline="always")  # type: ignore[call-overload]
"""For Python and for kernels: a kernel that calls it is compiled as if it stood written there. For what is a line or two,
or has one caller: compiling one kernel more takes as long as a dozen lines. (Elsewhere, beware of literals as arguments:
a kernel is compiled anew for each.)"""

plain = register_jitable(inline="always")
"""The same for kernels; Python calls it as it stands: for a line that Python seldom needs, with arguments whose unpacking
would take a third of a second to compile."""


def bound(kernel: Any, *arguments: Any) -> Callable[..., Any]:
    """``kernel``, compiled for arguments of these types. Called with others it crashes, as nobody looks any more: numba
    looks at all types at every call, which takes 20 us where they are tuples of many arrays."""
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return kernel
    return kernel.compile(tuple(kernel.typeof_pyval(one) for one in arguments))


class _Pause(event.Listener):
    """No search for cyclic garbage while numba compiles: it makes millions of objects that live until it is done, and
    the search took an eighth of its time."""

    def __init__(self) -> None:
        self._depth = 0
        self._was_on = False

    def on_start(self, event: event.Event) -> None:
        if not self._depth:
            self._was_on = gc.isenabled()
            gc.disable()
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        self._depth -= 1
        if not self._depth and self._was_on:
            gc.enable()


event.register("numba:compile", _Pause())  # type: ignore[no-untyped-call]
