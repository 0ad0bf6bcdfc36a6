"""How kernels are compiled. All of them: kept on disk, without fast-math (so that compiled and uncompiled agree to the
last bit), a division by zero gives infinity or NaN as in numpy, and nothing is made that only C would call.

Those that are called millions of times are ``lean``: without counting references. numba counts who uses an array each
time one is looked at or handed on, with locked instructions that cost more than most of what these kernels do. A lean
kernel does not: so it must not allocate, and must not return an array.
"""

from numba import njit

compiled = njit(cache=True, error_model="numpy", no_cfunc_wrapper=True)  # type: ignore[call-overload]

lean = njit(cache=True, error_model="numpy", no_cfunc_wrapper=True, _nrt=False)  # type: ignore[call-overload]

inlined = njit(  # type: ignore[call-overload]
    error_model="numpy", no_cfunc_wrapper=True, no_cpython_wrapper=True, _nrt=False, forceinline=True
)
"""A lean kernel that becomes part of its caller: for what has one caller or is a line or two, as handing on a tuple of
arrays costs as much as a hundred additions. Python cannot call it (a crash, not an error; ``tests/unit/test_lean.py``
looks for such calls): what only it needs would be compiled with each, and kept on disk, for nobody."""
