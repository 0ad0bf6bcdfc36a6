"""How the kernels are compiled that are called millions of times: without counting references.

numba counts who uses an array each time one is looked at or handed on, with locked instructions that cost more than
most of what these kernels do. A ``lean`` kernel does not: so it must not allocate, and must not return an array.
"""

from numba import njit

lean = njit(cache=True, _nrt=False)  # type: ignore[call-overload]

inlined = njit(cache=True, _nrt=False, forceinline=True)  # type: ignore[call-overload]
"""A lean kernel that becomes part of its caller: for what has one caller or is a line or two, as handing on a tuple of
arrays costs as much as a hundred additions."""
