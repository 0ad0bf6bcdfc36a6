"""How indicators are compiled: kept on disk, without fast-math (so that compiled and uncompiled agree to the last bit),
a division by zero gives infinity or NaN as in numpy, and nothing is made that only C would call."""

from numba import njit

compiled = njit(cache=True, error_model="numpy", no_cfunc_wrapper=True)  # type: ignore[call-overload]
