"""Copying a row of a table as a piece of memory: as kernels are compiled here (``config.numba_cache``) a loop moves one
number at a time."""

from typing import Any

from llvmlite import ir
from numba import config
from numba.core import cgutils, types
from numba.extending import intrinsic


def copy_row(source: Any, i: int, j: int, target: Any, k: int, m: int) -> None:
    """Write ``source[i, j]`` to the beginning of ``target[k, m]``; both (.., .., N) in C order, of one kind of number."""
    target[k, m, : source.shape[2]] = source[i, j]


if not config.DISABLE_JIT:  # type: ignore[attr-defined]

    @intrinsic
    def copy_row(typing_context, source, i, j, target, k, m):  # type: ignore[no-untyped-def]
        """As above, compiled."""
        if source.dtype != target.dtype or source.layout != "C" or target.layout != "C":
            return None

        def build(context, builder, signature, args):  # type: ignore[no-untyped-def]
            zero = ir.Constant(ir.IntType(64), 0)
            of = context.make_array(source)(context, builder, args[0])
            into = context.make_array(target)(context, builder, args[3])
            begin = cgutils.get_item_pointer(context, builder, source, of, [*args[1:3], zero], wraparound=False)  # type: ignore[no-untyped-call]
            end = cgutils.get_item_pointer(context, builder, target, into, [*args[4:6], zero], wraparound=False)  # type: ignore[no-untyped-call]
            size = context.get_abi_sizeof(context.get_data_type(source.dtype))
            cgutils.raw_memcpy(builder, end, begin, builder.extract_value(of.shape, 2), size)  # type: ignore[no-untyped-call]
            return context.get_dummy_value()

        return types.void(source, types.int64, types.int64, target, types.int64, types.int64), build
