"""Kernels that only kernels call have no entry for Python: a call from Python would crash the process."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLOSED = {"inlined", "inner"}
KERNELS = {*CLOSED, "lean", "shared", "compiled", "pasted", "njit"}
COMPILES = {Path("tune/compiling.py")}
"""There they are handed on to be compiled; a call is wrong there as well."""


def decorators(function: ast.FunctionDef) -> set[str]:
    found = set()
    for node in function.decorator_list:
        named = node.func if isinstance(node, ast.Call) else node
        found.add(named.id if isinstance(named, ast.Name) else "")
    return found


def calls_outside_kernels(source: str, closed: set[str], *, called: bool = False) -> list[str]:
    """Names in ``closed`` that a plain Python function or module of ``source`` calls or hands on; or only ``called``."""
    found: list[str] = []

    def look(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef) and decorators(node) & KERNELS:
            return
        name = node.func if called and isinstance(node, ast.Call) else None if called else node
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load) and name.id in closed:
            found.append(name.id)
        for child in ast.iter_child_nodes(node):
            look(child)

    look(ast.parse(source))
    return found


def test_python_calls_no_kernel_that_only_kernels_may_call() -> None:
    sources = {
        p: p.read_text(encoding="utf-8") for top in ("core", "tune", "exchanges") for p in (ROOT / top).rglob("*.py")
    }
    where = {
        node.name: path.stem
        for path, text in sources.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and decorators(node) & CLOSED
    }
    assert {"middle", "_listen"} <= set(where)
    wrong = []
    for path, text in sources.items():
        # A name counts where it is defined or imported from there.
        known = {name for name, stem in where.items() if path.stem == stem}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                stem = node.module.rsplit(".", 1)[-1]
                known |= {alias.asname or alias.name for alias in node.names if where.get(alias.name) == stem}
        where_it_stands = path.relative_to(ROOT)
        found = calls_outside_kernels(text, known, called=where_it_stands in COMPILES)
        wrong += [f"{where_it_stands}: {name}" for name in found]
    assert wrong == []


def test_the_search_finds_such_a_call() -> None:
    source = "@inlined\ndef part(x): return x\n@lean\ndef whole(x): return part(x)\ndef plain(x): return part(x)\n"
    assert calls_outside_kernels(source, {"part"}) == ["part"]
    assert calls_outside_kernels(source, {"part"}, called=True) == ["part"]
    assert calls_outside_kernels("kept = (part,)\nhand_on(part)\n", {"part"}) == ["part", "part"]
    assert calls_outside_kernels("kept = (part,)\nhand_on(part)\n", {"part"}, called=True) == []
