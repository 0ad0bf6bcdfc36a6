"""The house keeps its shape: what no linter knows, read from the source of every room."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "config", "data", "exchanges", "serve", "tune", "actors")
LONGEST = 400
REASON = re.compile(r"\babove 400 lines because\b", re.IGNORECASE)
"""A longer file says in its first lines: ``Above 400 lines because …``."""

OPENS_WITH = {"exchanges/limits/__init__.py"}
"""An agreed face of a package: names of its own modules and nothing else."""

MAKES = {
    "Approved": ("core/risk.py", "Approved is made by core/risk.py alone; it is the permission to trade"),
    "ProtectiveExit": (
        "core/protection.py",
        "ProtectiveExit is made by core/protection.py alone; it passes every limit",
    ),
    "OrderWanted": ("tests", "OrderWanted is for tests alone; in the bot an order has an Approved or a ProtectiveExit"),
}
"""Who may make what permits an order."""
MAKES_REMOTE = {"actors/system.py"}
MAKES_REMOTE_TASKS = re.compile(r"^tune/")
"""Training may use Ray's retriable tasks; a live actor is made remote in one place only."""

CATCHES_ALL = {
    "actors/conductor.py": {"_decide", "_guarded"},
    "actors/conductor_actor.py": {"_answers", "_run"},
    "actors/runs/launch.py": {"_quietly"},
    "actors/notifier.py": {"_try"},
    "actors/panel.py": {"_look_on"},
    "actors/system.py": {"start_ray"},
    "actors/supervisor.py": {"_check", "_restart", "_publish"},
    "actors/shadow.py": {"_ask"},
    "data/sources/newsroom.py": {"_scored"},
    "serve/doorbell.py": {"_reply"},
    "serve/load_check.py": {"check"},
    "serve/panel.py": {"_ask"},
    "tune/auto/child.py": {"answer"},
    "tune/cluster.py": {"own_ray"},
}
"""The outermost loops, by function: each records what it caught and goes on. ``start_ray`` and ``own_ray`` give Ray's
bare Exception a name, and whoever asks a model or a scorer of somebody else's cannot know what it may fail in. Anything
else names its errors."""


def sources() -> dict[str, str]:
    """Project-relative path → text of every module that is not a test."""
    paths = [ROOT / "run.py", *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every node with the name of the innermost function around it."""
    for child in ast.iter_child_nodes(tree):
        named = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else inside
        yield named, child
        yield from functions(child, named)


def called(node: ast.AST) -> str:
    """``ray.remote`` for a call of it; empty for anything but a call of names."""
    return (
        ast.unparse(node.func) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute) else ""
    )


def faults(path: str, text: str) -> list[str]:
    """What is out of shape in one module, each with its place."""
    found = []
    lines = text.splitlines()
    if len(lines) > LONGEST and not REASON.search("\n".join(lines[:40])):
        found.append(f"{path}: {len(lines)} lines; split it, or say at the top 'Above 400 lines because …'")
    if path.endswith("__init__.py") and text.strip() and not (path in OPENS_WITH and only_own_names(path, text)):
        found.append(f"{path}: an __init__.py is empty, so that importing a room imports nothing else")
    for function, node in functions(ast.parse(text)):
        place = f"{path}:{getattr(node, 'lineno', 0)}"
        maker, rule = MAKES.get(called(node).rpartition(".")[2], (path, ""))
        if path != maker:
            found.append(f"{place}: {rule}")
        remote = called(node) == "ray.remote" or any(
            ast.unparse(mark).startswith("ray.remote") for mark in getattr(node, "decorator_list", ())
        )
        if remote and path not in MAKES_REMOTE and not MAKES_REMOTE_TASKS.match(path):
            found.append(f"{place}: ray.remote belongs into actors/system.py; keep the class plain")
        if isinstance(node, ast.ExceptHandler) and catches_all(node) and not reraises(node):
            if function not in CATCHES_ALL.get(path, ()):
                found.append(f"{place}: {function or 'module'} catches everything; name the errors you can answer")
            elif not has_reason(node, lines):
                found.append(f"{place}: a broad except says in a comment why it is the outermost loop")
        if isinstance(node, ast.Global):
            found.append(f"{place}: global {', '.join(node.names)}; pass the state in")
        if isinstance(node, ast.Import):
            bare = {alias.name for alias in node.names} & {"data", "config"}
            found += [f"{place}: bare import {name}; write from {name}.module import …" for name in sorted(bare)]
    return found


def only_own_names(path: str, text: str) -> bool:
    """A docstring, imports from the package's own modules, and ``__all__``."""
    package = path.removesuffix("/__init__.py").replace("/", ".")
    for node in ast.parse(text).body[1:]:
        own = isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{package}.")
        if not own and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"):
            return False
    return True


def catches_all(handler: ast.ExceptHandler) -> bool:
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(name is None or ast.unparse(name) in ("Exception", "BaseException") for name in names)


def reraises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def has_reason(handler: ast.ExceptHandler, lines: list[str]) -> bool:
    around = lines[handler.lineno - 2 : handler.body[0].end_lineno]
    return any(line.strip().startswith("#") for line in around)


@pytest.mark.parametrize(("path", "text"), sources().items(), ids=sources())
def test_module_is_in_shape(path: str, text: str):
    assert faults(path, text) == []


def test_the_allowed_places_exist():
    """A name on the list above that is gone would hide the next fault of that name."""
    texts = sources()
    for path, names in CATCHES_ALL.items():
        there = {
            function for function, node in functions(ast.parse(texts[path])) if isinstance(node, ast.ExceptHandler)
        }
        assert names <= there, f"{path}: {sorted(names - there)} catch nothing any more; take them off the list"


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("core/a.py", "x = 1\n" * 401, "401 lines"),
        ("core/__init__.py", "from core.units import Side\n", "is empty"),
        ("exchanges/limits/__init__.py", '"""Face."""\nfrom core.units import Side\n', "is empty"),
        ("actors/a.py", "order = Approved(intent_id='1')\n", "core/risk.py alone"),
        ("actors/a.py", "order = messages.Approved(intent_id='1')\n", "core/risk.py alone"),
        ("serve/a.py", "import ray\nHandle = ray.remote(Feed)\n", "actors/system.py"),
        ("actors/a.py", "import ray\n@ray.remote\nclass Feed: ...\n", "actors/system.py"),
        ("actors/a.py", "import ray\n@ray.remote(num_cpus=1)\ndef work(): ...\n", "actors/system.py"),
        (
            "data/a.py",
            "def read():\n    try:\n        open('x')\n    except Exception:\n        pass\n",
            "a.py:4: read catches",
        ),
        ("data/a.py", "try:\n    pass\nexcept:\n    pass\n", "module catches everything"),
        ("data/a.py", "try:\n    pass\nexcept (OSError, BaseException):\n    pass\n", "catches everything"),
        (
            "actors/conductor.py",
            "def _decide():\n    try:\n        pass\n    except Exception:\n        return\n",
            "says in a comment why",
        ),
        ("data/a.py", "def f():\n    global state\n    state = 1\n", "global state"),
        ("tune/a.py", "import data\n", "bare import data"),
    ],
)
def test_a_planted_fault_is_named(path: str, text: str, said: str):
    assert any(said in fault for fault in faults(path, text))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("core/a.py", '"""A table. Above 400 lines because the states stand in one place."""\n' + "x = 1\n" * 500),
        ("core/risk.py", "order = Approved(intent_id='1')\n"),
        ("tune/folds.py", "import ray\n@ray.remote\ndef fold(): ...\n"),
        ("data/a.py", "try:\n    pass\nexcept BaseException:\n    close()\n    raise\n"),
        ("data/a.py", "try:\n    pass\nexcept OSError:\n    pass\n"),
    ],
)
def test_what_is_allowed_passes(path: str, text: str):
    assert faults(path, text) == []
