# mypy: disable-error-code="no-untyped-call,attr-defined"
"""What is left out when kernels are compiled: looks at every index whether it counts from the end, and for those that only
kernels call what numba makes for Python, and machine code of their own.

An index that is not a number in the source is never negative in a kernel of ours. Were one, the compiled kernel would read
elsewhere than the uncompiled one does; with NUMBA_BOUNDSCHECK=1 numba stops at it.

The machine code of a kernel that only kernels call is part of whoever calls it: numba links and optimises it there once
more, so what it would generate for the kernel by itself nobody runs. On disk it is kept as LLVM's code, for the next
caller and for another process that compiles (``tune.compiling``).
"""

import weakref
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import _dynfunc
from numba.core import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CR_FIELDS, CompilerBase, CompileResult, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering, NopythonRewrites
from numba.core.untyped_passes import InlineClosureLikes
from numba.np import arrayobj

_counted = arrayobj.fix_integer_index
_module = [""]
"""That of the kernel which is being lowered."""


def _as_it_is(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
    """numba's ``fix_integer_index``: an index without a look at its sign, in a kernel of ours."""
    if builder.module.name != _module[0] or isinstance(index, ir.Constant):
        return _counted(context, builder, kind, index, size)
    return context.cast(builder, index, kind, types.intp)


arrayobj.fix_integer_index = _as_it_is


def _lower(state: Any, part: bool) -> bool:
    """numba's lowering, in which indices count from the beginning; ``part``: of whoever calls it, whatever its size.

    numba has a flag for the latter, which whatever a kernel calls inherits: who happened to call a kernel first decided
    how it was compiled, and the same engine took a third to a half longer where the live parts had been compiled before it.
    """
    before, _module[0] = _module[0], state.func_id.unique_name
    flags = state.flags
    if part:
        state.flags = flags.copy()
        state.flags.forceinline = True
    try:
        return bool(NativeLowering().run_pass(state))
    finally:
        _module[0], state.flags = before, flags


class LeanLibrary(JITCodeLibrary):
    """Code that counts no references: numba optimises every module twice, first cheaply to find counts that cancel."""

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)


class LinkedLibrary(JITCodeLibrary):
    """Code that is linked into others and never loaded itself. It is optimised here and once more there: left to the latter,
    a step of the agent's environment took a sixth to a third longer."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._final_module.__library = weakref.proxy(self)
        self._finalized = True


def _nobody(fndesc: Any, env: Any, library: LinkedLibrary) -> Any:
    """What stands for such a kernel in numba's tables. Its address is null, so calling it is a crash."""
    return _dynfunc.make_function(fndesc.lookup_module(), fndesc.qualname, "", 0, env, (library,))


@register_pass(mutates_CFG=True, analysis_only=False)
class LeanLowering(LoweringPass):
    """numba's lowering into a ``LeanLibrary``."""

    _name = "lean_lowering"
    part = False

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        if state.library is None:
            state.library = LeanLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
        return _lower(state, self.part)


@register_pass(mutates_CFG=True, analysis_only=False)
class LeanPartLowering(LeanLowering):
    """The same of what becomes part of its callers."""

    _name = "lean_part_lowering"
    part = True


@register_pass(mutates_CFG=True, analysis_only=False)
class LinkedLowering(LoweringPass):
    """numba's lowering, without an entry for Python at its end."""

    _name = "linked_lowering"
    part = False

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        if state.library is None:
            state.library = LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        _lower(state, self.part)
        lowered, library = state["cr"], state.library
        nobody = _nobody(lowered.fndesc, lowered.env, library)
        state.targetctx.insert_user_function(nobody, lowered.fndesc, [library])
        state["cr"] = lowered._replace(cfunc=nobody)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class LinkedPartLowering(LinkedLowering):
    """The same of what becomes part of its callers."""

    _name = "linked_part_lowering"
    part = True


IDLE = (InlineClosureLikes, NopythonRewrites)
"""Passes of numba's that look for closures, comprehensions and expressions of whole arrays, and find none in kernels that
do not allocate; looking took a twenty-fifth of the compilation."""


class LeanCompiler(CompilerBase):
    """numba's pipeline with a lowering of ours, and without what has nothing to do."""

    lowering: type[LoweringPass] = LeanLowering

    def define_pipelines(self) -> list[Any]:
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.passes = [
            (self.lowering if one is NativeLowering else one, text) for one, text in pipeline.passes if one not in IDLE
        ]
        pipeline._finalized = False
        pipeline.finalize()
        return [pipeline]


class LeanPartCompiler(LeanCompiler):
    """The same for code that becomes part of its callers."""

    lowering = LeanPartLowering


class LinkedCompiler(LeanCompiler):
    """The same for code that only kernels call."""

    lowering = LinkedLowering


class LinkedPartCompiler(LeanCompiler):
    """The same for code that only kernels call and that becomes part of them."""

    lowering = LinkedPartLowering


class _Kept(CompileResultCacheImpl):
    """What is kept on disk of a kernel in a ``LinkedLibrary``. numba's own keeps machine code, which there is none of."""

    def reduce(self, cres: Any) -> tuple[Any, ...]:
        fndesc, library = cres.fndesc, cres.library
        fndesc.typemap = fndesc.calltypes = None  # as numba does: large, and read by nobody any more
        return library.name, library._final_module.as_bitcode(), fndesc, cres.environment, cres.signature

    def rebuild(self, target_context: Any, payload: tuple[Any, ...]) -> Any:
        name, code, fndesc, env, signature = payload
        library = LinkedLibrary(target_context.codegen(), name)
        library._final_module = binding.parse_bitcode(code)
        library._finalize_final_module()
        known = {
            "typing_context": target_context.typing_context,
            "target_context": target_context,
            "entry_point": _nobody(fndesc, env, library),
            "signature": signature,
            "objectmode": False,
            "lifted": (),
            "fndesc": fndesc,
            "library": library,
            "environment": env,
            "reload_init": (),
            "referenced_envs": (),
        }
        return CompileResult(*(known.get(field) for field in CR_FIELDS))


class LinkedCache(FunctionCache):
    """Where a kernel that only kernels call is looked for before it is compiled.

    numba's own cache but for what is kept. With another numba look at the fields of ``CompileResult``, at how a dispatcher
    asks its ``_cache``, and whether ``tests/unit/test_linked_cache.py`` still finds what it looks for.
    """

    _impl_class = _Kept
    awaited: Callable[[], object] | None = None
    """Called before the kernel is looked for first: waits until another process has compiled it, or never will."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if self.awaited is not None:
            wait, self.awaited = self.awaited, None
            wait()
        return super().load_overload(sig, target_context)


def kept(kernel: Any) -> Any:
    """``kernel``, as numba made it of a function, kept on disk."""
    kernel._cache = LinkedCache(kernel.py_func)
    return kernel


def await_kernel(kernel: Any, wait: Callable[[], object] | None) -> None:
    """Have ``wait`` called, once, before ``kernel`` is looked for on disk; None: not any more."""
    cache = getattr(kernel, "_cache", None)
    if isinstance(cache, LinkedCache):
        cache.awaited = wait
