"""`run.py test`: lint, layers and types, then the tests; pytest's closing line comes last."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from core.errors import EXIT_FAILURE, EXIT_OK

HELP = "Lint, check layers and types, then run the tests. What else stands on the line goes to pytest."
EXAMPLE = "python3 run.py test\npython3 run.py test --only-tests tests/unit -k config"
PASSES_THROUGH = True
ROOT = Path(__file__).resolve().parent.parent


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only-tests", action="store_true", help="skip lint, layers and types")


def main(args: argparse.Namespace) -> int:
    failed = [] if args.only_tests else [name for name, command in static_checks() if not _passes(name, command)]
    if failed:
        print(f"FAILED before the tests: {', '.join(failed)}. The tests run all the same.", flush=True)
    tests = subprocess.run([sys.executable, "-m", "pytest", *args.rest], cwd=ROOT, check=False).returncode
    return EXIT_FAILURE if failed or tests else EXIT_OK


def static_checks() -> list[tuple[str, list[str]]]:
    """Name and command of each check that runs no code of ours."""
    layers = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or "lint-imports"
    return [
        ("lint", [sys.executable, "-m", "ruff", "check", "."]),
        ("layers", [layers, "--no-cache"]),
        ("types", [sys.executable, "-m", "mypy"]),
    ]


def _passes(name: str, command: list[str]) -> bool:
    print(f"== {name}", flush=True)
    try:
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    except FileNotFoundError:
        print(f"{command[0]} is not installed", flush=True)
        return False
