"""Asking the processor to fetch what is read soon. A year of bars lies far from it: an order waits for them longer than
it takes to be sized, checked and filled, unless they are asked for when it is first known that they will be read."""

from typing import Any

from llvmlite import ir
from numba import config
from numba.core import cgutils, types
from numba.extending import intrinsic


def prefetch(array: Any, row: int, index: int, column: int) -> None:
    """Fetch the place of ``array[row, index, column]``, which need not be there; changes nothing."""


def prefetch_flat(array: Any, row: int, index: int) -> None:
    """``prefetch`` of an array of two axes."""


if not config.DISABLE_JIT:  # type: ignore[attr-defined]

    def _build(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = signature.args[0]
        made = context.make_array(kind)(context, builder, args[0])
        place = cgutils.get_item_pointer(context, builder, kind, made, args[1:], wraparound=False)  # type: ignore[no-untyped-call]
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        called = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, called, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        # To read (0), often (3), as data (1).
        told = [ir.Constant(number, value) for value in (0, 3, 1)]
        builder.call(function, [builder.bitcast(place, pointer), *told])
        return context.get_dummy_value()

    @intrinsic
    def prefetch(typing_context, array, row, index, column):  # type: ignore[no-untyped-def]
        """As above, compiled."""
        return types.void(array, types.int64, types.int64, types.int64), _build

    @intrinsic
    def prefetch_flat(typing_context, array, row, index):  # type: ignore[no-untyped-def]
        """As above, compiled."""
        return types.void(array, types.int64, types.int64), _build
