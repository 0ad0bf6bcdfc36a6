# mypy: disable-error-code="no-untyped-call,attr-defined"
"""Compiling a kernel that only kernels call: what numba makes for Python, and machine code of its own, is left out.

Such a kernel's machine code is part of whoever calls it: numba links and optimises it there once more, so what it would
generate for the kernel by itself nobody runs, and what it would optimise is optimised once more where it is linked in.
Without both, and without numba's search for reference counts where none are, the engine compiles in 22 s of a core
instead of 28, and runs as fast within what can be told (measured).
"""

import weakref
from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering


class LeanLibrary(JITCodeLibrary):
    """Code that counts no references: numba optimises every module twice, first cheaply to find counts that cancel."""

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)


class LinkedLibrary(JITCodeLibrary):
    """Code that is linked into others and never loaded itself: what loads it optimises it, once."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._final_module.__library = weakref.proxy(self)
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class LeanLowering(LoweringPass):
    """numba's lowering into a ``LeanLibrary``."""

    _name = "lean_lowering"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        if state.library is None:
            state.library = LeanLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
        return bool(NativeLowering().run_pass(state))


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


class LeanCompiler(CompilerBase):
    """numba's pipeline with a lowering of ours."""

    lowering: type[LoweringPass] = LeanLowering

    def define_pipelines(self) -> list[Any]:
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.passes = [(self.lowering if one is NativeLowering else one, text) for one, text in pipeline.passes]
        pipeline._finalized = False
        pipeline.finalize()
        return [pipeline]


class LinkedCompiler(LeanCompiler):
    """The same for code that only kernels call."""

    lowering = LinkedLowering
