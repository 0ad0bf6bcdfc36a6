# mypy: disable-error-code="no-untyped-call,attr-defined"
"""Compiling a kernel that only kernels call: what numba makes for Python, and machine code of its own, is left out.

Such a kernel's machine code is part of whoever calls it: numba links and optimises it there once more, so what it would
generate for the kernel by itself nobody runs. Without it the engine compiles in 2 s less of 28 (measured).
"""

import weakref
from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering


class LinkedLibrary(JITCodeLibrary):
    """Code that is linked into others and never loaded itself."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._final_module.__library = weakref.proxy(self)
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class LinkedLowering(LoweringPass):
    """numba's lowering, without an entry for Python at its end."""

    _name = "linked_lowering"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        if state.library is None:
            state.library = LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        NativeLowering().run_pass(state)
        lowered, library = state["cr"], state.library
        fndesc = lowered.fndesc
        # What stands for it in numba's tables. Its address is null, so calling it is a crash.
        nobody = _dynfunc.make_function(fndesc.lookup_module(), fndesc.qualname, "", 0, lowered.env, (library,))
        state.targetctx.insert_user_function(nobody, fndesc, [library])
        state["cr"] = lowered._replace(cfunc=nobody)
        return True


class LinkedCompiler(CompilerBase):
    """numba's pipeline with that lowering."""

    def define_pipelines(self) -> list[Any]:
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.passes = [(LinkedLowering if one is NativeLowering else one, text) for one, text in pipeline.passes]
        pipeline._finalized = False
        pipeline.finalize()
        return [pipeline]
