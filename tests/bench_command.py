"""`run.py bench`: list the benchmarks, or run some. Each is a module of tests/bench with NAME and main(argv) -> int."""

import argparse
import ast
import difflib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import EXIT_FAILURE, EXIT_OK, BotError

HELP = "List the benchmarks, or run one of them (or all). What else stands on the line goes to the benchmark."
EXAMPLE = "python3 run.py bench\npython3 run.py bench startup --runs 10"
PASSES_THROUGH = True
FOLDER = Path(__file__).resolve().parent / "bench"


class UnknownBench(BotError):
    """There is no benchmark of that name."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark, known without running its imports."""

    name: str
    about: str
    module: str


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="which one; `all` runs each in turn; without a name they are listed")


def main(args: argparse.Namespace) -> int:
    known = find(FOLDER)
    helps = "-h" in args.rest or "--help" in args.rest
    if args.name is None or (args.name == "all" and helps):
        width = max((len(name) for name in known), default=0)
        for bench in known.values():
            print(f"{bench.name:<{width}}  {bench.about}")
        return EXIT_OK
    chosen = list(known.values()) if args.name == "all" else [choose(known, args.name)]
    codes = [_run(bench, args.rest if len(chosen) == 1 else []) for bench in chosen]
    return EXIT_FAILURE if any(codes) else EXIT_OK


def find(folder: Path) -> dict[str, Bench]:
    """Benchmarks of the folder by name; a module without NAME is a helper and is left out."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        about = (ast.get_docstring(tree) or "").partition("\n")[0]
        for line in tree.body:
            match line:
                case ast.Assign(targets=[ast.Name(id="NAME")], value=ast.Constant(value=str(name))):
                    found[name] = Bench(name, about, f"tests.{folder.name}.{path.stem}")
    return found


def choose(known: dict[str, Bench], name: str) -> Bench:
    """The benchmark of that name; UnknownBench naming the near one."""
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or 'none'}"
        raise UnknownBench(f"there is no benchmark '{name}'; {hint}")
    return known[name]


def _run(bench: Bench, rest: list[str]) -> int:
    helps = "-h" in rest or "--help" in rest
    if not helps:
        print(f"== {bench.name}: {bench.about}", flush=True)
    try:
        module: Any = importlib.import_module(bench.module)
    except ModuleNotFoundError as error:
        if not helps:
            raise
        print(
            f"{bench.name}: {bench.about}\nIts options are known once it is installed ({error.name} is missing): run it."
        )
        return EXIT_OK
    return int(module.main(rest))
